"""The verb spec: a config.json that runs."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from oci.bundle import Bundle


def test_spec_runs(bundle: Bundle) -> None:
    """With nothing changed but the terminal and the program."""
    bundle.runtime.call("spec", cwd=bundle.path).ok()
    path = os.path.join(bundle.path, "config.json")
    with open(path) as file:
        config = json.load(file)
    assert config["process"]["args"] == ["sh"]
    assert config["process"]["terminal"] is True
    assert config["root"] == {"path": "rootfs", "readonly": True}
    config["process"]["terminal"] = False
    config["process"]["args"] = ["sh", "-c", "echo alive"]
    bundle.config = config
    assert bundle.container().bundle is bundle
    bundle.write()
    assert bundle.runtime.call("run", "--bundle", bundle.path, bundle.runtime.new_id()).ok().stdout == "alive\n"


@pytest.mark.parametrize("option", ["--bundle", "-b"])
def test_bundle_option(bundle: Bundle, option: str) -> None:
    """The directory to write to."""
    bundle.runtime.call("spec", option, bundle.path).ok()
    assert os.path.exists(os.path.join(bundle.path, "config.json"))


def test_existing_file_is_kept(bundle: Bundle) -> None:
    """It is not written over."""
    bundle.file("config.json", "{}")
    result = bundle.runtime.call("spec", "--bundle", bundle.path)
    result.refused("config.json", where="config.json")
    with open(os.path.join(bundle.path, "config.json")) as file:
        assert file.read() == "{}"


def test_rootless_spec(bundle: Bundle) -> None:
    """--rootless: a user namespace with the caller's ids."""
    bundle.runtime.call("spec", "--rootless", "--bundle", bundle.path).ok()
    with open(os.path.join(bundle.path, "config.json")) as file:
        config = json.load(file)
    types = {namespace["type"] for namespace in config["linux"]["namespaces"]}
    assert "user" in types
    assert "network" not in types
    assert config["linux"]["uidMappings"] == [{"containerID": 0, "hostID": os.getuid(), "size": 1}]
    assert config["linux"]["gidMappings"] == [{"containerID": 0, "hostID": os.getgid(), "size": 1}]
