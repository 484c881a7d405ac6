"""Configuration of a container as values and lists, and its networks: nothing runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings, strategies as st

import lxcffi

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


pytestmark = pytest.mark.usefixtures("lock_directories")


@pytest.fixture
def container(tmp_path: Path) -> Iterator[lxcffi.Container]:
    with lxcffi.Container("unit", tmp_path) as container:
        yield container


def test_set_replaces_a_value_and_a_list(container: lxcffi.Container) -> None:
    config = container.config
    config.set("lxc.uts.name", "one")
    config.set("lxc.uts.name", "two")
    assert config.get("lxc.uts.name") == "two"
    config.set("lxc.environment", ["A=1", "B=2"])
    config.set("lxc.environment", ["C=3"])
    assert config.values("lxc.environment") == ["C=3"]
    config.append("lxc.environment", "D=4")
    assert config.values("lxc.environment") == ["C=3", "D=4"]
    assert config.get("lxc.environment") == "C=3\nD=4"
    config.set("lxc.environment", "E=5")
    assert config.values("lxc.environment") == ["E=5"]
    config.set("lxc.environment", [])
    assert config.values("lxc.environment") == []
    config.set("lxc.environment", ["A=1"])
    config.clear("lxc.environment")
    assert config.values("lxc.environment") == []


def test_what_is_refused_leaves_the_item_as_it_was(container: lxcffi.Container) -> None:
    config = container.config
    config.set("lxc.cap.drop", ["mknod", "sys_time"])
    with pytest.raises(ValueError, match="embedded null"):
        config.append("lxc.cap.drop", "a\0b")
    config.set("lxc.idmap", ["u 0 100000 1000", "g 0 100000 1000"])
    with pytest.raises(lxcffi.ConfigItemError, match=r"lxc\.idmap = nonsense"):
        config.set("lxc.idmap", ["u 0 200000 1000", "nonsense"])
    assert config.values("lxc.idmap") == ["u 0 100000 1000", "g 0 100000 1000"]
    for values in ([], ["x"], ["x", "y"]):
        with pytest.raises(lxcffi.ConfigItemError, match=r"lxc\.nonsense"):
            config.set("lxc.nonsense", values)
    config.set("lxc.tty.max", "4")
    with pytest.raises(lxcffi.ConfigItemError, match=r"lxc\.tty\.max = many"):
        config.set("lxc.tty.max", "many")
    assert config.get("lxc.tty.max") == "4"


def test_config_is_used_like_a_mapping(container: lxcffi.Container) -> None:
    config = container.config
    assert "lxc.uts.name" not in config
    config["lxc.uts.name"] = "one"
    assert "lxc.uts.name" in config
    assert config["lxc.uts.name"] == "one"
    del config["lxc.uts.name"]
    assert "lxc.uts.name" not in config
    assert "lxc.nonsense" not in config
    with pytest.raises(lxcffi.ConfigItemError, match=r"get_config_item of container unit: lxc\.nonsense"):
        config["lxc.nonsense"]
    assert repr(config) == "<configuration of unit>"


def test_keys(container: lxcffi.Container) -> None:
    assert {"lxc.uts.name", "lxc.idmap"} <= set(container.config.keys())
    container.network.add("veth")
    assert {"type", "link", "flags"} <= set(container.config.keys("lxc.net.0"))
    with pytest.raises(lxcffi.ConfigItemError, match=r"get_keys of container unit: lxc\.nonsense"):
        container.config.keys("lxc.nonsense")


def test_long_value_is_read_whole(container: lxcffi.Container) -> None:
    for length in (254, 255, 256, 257, 5000):
        value = "A=" + "x" * (length - 3)  # and a newline
        container.config.set("lxc.environment", [value])
        assert container.config.values("lxc.environment") == [value]


@settings(max_examples=30, deadline=None)
@given(st.lists(st.from_regex(r"[A-Z]{1,5}=[!-~ä]{0,20}", fullmatch=True), max_size=6))
def test_a_list_is_read_as_it_was_set(values: list[str]) -> None:
    with lxcffi.Container("unit", "/nonexistent") as container:
        container.config.set("lxc.environment", ["FIRST=1"])
        container.config.set("lxc.environment", values)
        assert container.config.values("lxc.environment") == values


def test_config_goes_through_a_file(container: lxcffi.Container, tmp_path: Path) -> None:
    container.config.set("lxc.environment", ["A=1", "B=2"])
    container.network.add("veth", {"link": "br0", "ipv4.address": ["10.0.0.1/24", "10.0.0.2/24"]})
    container.save_config(tmp_path / "file")
    with lxcffi.Container("other", tmp_path) as other:
        other.load_config(tmp_path / "file")
        assert other.config.values("lxc.environment") == ["A=1", "B=2"]
        assert other.network[0].values("ipv4.address") == ["10.0.0.1/24", "10.0.0.2/24"]


def test_networks_are_added_read_and_removed(container: lxcffi.Container) -> None:
    networks = container.network
    assert list(networks) == []
    first = networks.add("veth", {"link": "br0", "flags": "up", "ipv4.address": ["10.0.0.1/24"]})
    second = networks.add("empty")
    third = networks.add("macvlan", {"link": "eth0"})
    assert [network.type for network in networks] == ["veth", "empty", "macvlan"]
    assert (len(networks), networks[0], networks[-1]) == (3, first, third)
    assert networks[1:] == [second, third]
    assert first in networks
    first["link"] = "br1"
    first.append("ipv4.address", "10.0.0.2/24")
    assert (first["link"], first["flags"]) == ("br1", "up")
    assert first.values("ipv4.address") == ["10.0.0.1/24", "10.0.0.2/24"]
    first.clear("ipv4.address")
    assert first.values("ipv4.address") == []
    del first["link"]
    assert first.get("link") == ""
    networks.remove(second)
    assert [network.index for network in networks] == [0, 2]
    assert networks.add("empty").index == 1
    assert repr(third) == "<lxc.net.2 of unit>"


def test_network_that_is_refused_is_not_added(container: lxcffi.Container) -> None:
    with pytest.raises(lxcffi.ConfigItemError, match=r"lxc\.net\.0\.nonsense = x"):
        container.network.add("veth", {"nonsense": "x"})
    assert len(container.network) == 0
    with pytest.raises(lxcffi.ConfigItemError, match=r"lxc\.net\.0\.type = nonsense"):
        container.network.add("nonsense")
    assert len(container.network) == 0


def test_paths_of_a_container(container: lxcffi.Container, tmp_path: Path) -> None:
    assert container.config_path == str(tmp_path)
    assert container.config_file_name == f"{tmp_path}/unit/config"
    container.config_path = tmp_path / "other"
    assert container.config_path == f"{tmp_path}/other"


def test_global_items_and_states() -> None:
    assert lxcffi.global_config_item("lxc.lxcpath").startswith("/")
    with pytest.raises(lxcffi.ConfigItemError, match=r"lxc_get_global_config_item: lxc\.nonsense"):
        lxcffi.global_config_item("lxc.nonsense")
    assert lxcffi.wait_states()[:3] == ["STOPPED", "STARTING", "RUNNING"]


def test_flags_are_named() -> None:
    assert lxcffi.AttachFlag.DEFAULT & lxcffi.AttachFlag.MOVE_TO_CGROUP
    assert lxcffi.CloneFlag.SNAPSHOT | lxcffi.CloneFlag.KEEPNAME == 5
    assert int(lxcffi.Namespace.NET) == 0x40000000
    assert lxcffi.MigrateCommand.RESTORE.name == "RESTORE"
