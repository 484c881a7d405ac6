"""The log file, as containerd and podman read it."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, strategies as st

from lxcri.log import Log, json_string, one_line

if TYPE_CHECKING:
    from pathlib import Path

RFC_3339 = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")


@given(st.text())
def test_json_string_is_json(text: str) -> None:
    assert json.loads(json_string(text)) == text


def test_bytes_that_are_not_utf8_become_the_replacement_character() -> None:
    text = b"a\xff\xc3\xa9".decode("utf-8", "surrogateescape")
    assert json.loads(json_string(text)) == "a\ufffdé"


def test_a_json_record_has_level_msg_and_time(tmp_path: Path) -> None:
    path = tmp_path / "log.json"
    file = Log(str(path), "json", debug=False)
    file.warn("first")
    file.error('mounts[0] "/data": gone\nbadly \x01 é')
    records = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    assert [record["level"] for record in records] == ["warning", "error"]
    assert records[1]["msg"] == 'mounts[0] "/data": gone\nbadly \x01 é'
    for record in records:
        assert list(record) == ["level", "msg", "time"]
        assert RFC_3339.fullmatch(record["time"])


def test_a_text_record_is_one_line_of_logrus_form(tmp_path: Path) -> None:
    path = tmp_path / "log"
    Log(str(path), "text", debug=False).error('say "a"\nb')
    assert re.fullmatch(r'time="[^"]+" level=error msg="say \\"a\\"\\nb"\n', path.read_text(encoding="utf-8"))


def test_records_are_appended(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_text("before\n", encoding="utf-8")
    Log(str(path), "json", debug=False).error("after")
    assert path.read_text(encoding="utf-8").startswith('before\n{"level"')


def test_debug_records_are_kept_with_debug_only(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "log"
    Log(str(path), "json", debug=False).debug("quiet")
    assert path.read_text(encoding="utf-8") == ""
    Log(str(path), "json", debug=True).debug("loud")
    assert '"msg":"loud"' in path.read_text(encoding="utf-8")
    assert capfd.readouterr().err == "lxcri: debug: loud\n"


def test_standard_error_stays_empty_below_error_without_debug(capfd: pytest.CaptureFixture[str]) -> None:
    """The output of `ps` is parsed from both streams together by go-runc."""
    none = Log(None, "text", debug=False)
    none.warn("w")
    none.debug("d")
    assert capfd.readouterr().err == ""


def test_a_log_that_cannot_be_opened_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        Log(str(tmp_path / "missing" / "log"), "text", debug=False)


def test_one_line_escapes_what_a_terminal_would_obey() -> None:
    assert one_line("a\nb\x1b[31m\udcff é") == "a\\nb\\x1b[31m\\udcff é"
