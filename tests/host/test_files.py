"""Whatever stands in the place of a file ends in one sentence, at once."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rigmark.bench.host import files

DEEP = 100_000


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "file"


def refused(read: Callable[..., Any], path: Path) -> str:
    """The reason, once the message is known to be one line that names the file."""
    with pytest.raises(files.Unreadable) as told:
        list(read(path))
    assert str(told.value) == f"cannot read {path}: {told.value.reason}"
    assert "\n" not in str(told.value)
    return told.value.reason


@pytest.mark.parametrize("read", [files.read_bytes, files.read_text, files.read_json, files.read_toml, files.read_csv])
def test_what_is_no_regular_file_is_refused_without_waiting_for_it(read: Callable[..., Any], path: Path):
    assert refused(read, path) == "No such file or directory"
    assert refused(read, Path("/dev/zero")) == "it is a device, not a file"
    assert refused(read, path.parent) == "it is a folder, not a file"
    os.mkfifo(path)
    assert refused(read, path) == "it is a named pipe, not a file"
    path.unlink()
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind(os.path.relpath(path))        # a socket's name has to be short
        assert refused(read, path) == "it is a socket, not a file"


def test_a_pipe_that_takes_the_place_of_a_file_in_between_is_no_wait(path: Path, monkeypatch: pytest.MonkeyPatch):
    path.write_text("x")
    seen = os.stat(path)
    path.unlink()
    os.mkfifo(path)
    monkeypatch.setattr(files.os, "stat", lambda name: seen)

    assert files.read_bytes(path) == b""


def test_a_file_that_is_not_there_is_distinguished(path: Path):
    with pytest.raises(files.NotThere):
        files.read_text(path / "deeper")
    path.write_text("")
    with pytest.raises(files.NotThere):
        files.read_text(path / "below a file")


def test_a_file_that_is_too_large_is_not_read_to_its_end(path: Path):
    with open(path, "wb") as file:
        file.truncate(files.MOST_BYTES + 1)

    assert refused(files.read_text, path) == "it has more than 256 MiB"
    assert refused(files.read_toml, path) == "it has more than 4 MiB"


def test_a_name_with_a_nul_is_refused():
    with pytest.raises(files.Unreadable, match=r"^cannot read a\\x00b: its name contains a NUL"):
        files.read_bytes(Path("a\0b"))


def test_names_are_shown_as_text_that_can_be_printed_and_steers_no_terminal():
    assert files.shown(Path(os.fsdecode(b"caf\xe9.csv"))) == r"caf\udce9.csv"
    assert files.shown("résumé \x1b[31m\u202e.csv") == r"résumé \x1b[31m\u202e.csv"


@pytest.mark.parametrize(("content", "reason"), [
    (b"a,b\n1,caf\xe9\n", "it is not text in UTF-8 (byte 10, in line 2, is 0xe9)"),
    ("a,b\n".encode("utf-16"), "it is text in UTF-16; save it as UTF-8"),
])
def test_what_is_not_utf_8_is_reported_with_its_place(content: bytes, reason: str, path: Path):
    path.write_bytes(content)

    assert refused(files.read_text, path) == reason


def test_a_log_may_hold_anything(path: Path):
    path.write_bytes(b"\xef\xbb\xbfcaf\xe9 12")

    assert files.read_text(path, errors="replace") == "caf\N{REPLACEMENT CHARACTER} 12"


@pytest.mark.parametrize(("content", "reason"), [
    ("[" * DEEP + "]" * DEEP, files.NESTED), ('{"a":' * DEEP + "1" + "}" * DEEP, files.NESTED),
    ("9" * 5000, files.TOO_LONG), ("9" * 400, files.TOO_LONG),
    ("{", "it is not valid JSON (Expecting property name enclosed in double quotes: line 1 column 2 (char 1))"),
])
def test_json_that_cannot_be_read(content: str, reason: str, path: Path):
    path.write_text(content)

    assert refused(files.read_json, path) == reason


@pytest.mark.parametrize(("content", "reason"), [
    ("a = " + "[" * DEEP + "]" * DEEP, files.NESTED), ("a = " + "{a=" * DEEP + "1" + "}" * DEEP, files.NESTED),
    ("a" + ".a" * DEEP + " = 1", files.NESTED), ("['a'" + " . 'a'" * DEEP + "]", files.NESTED),
    ("a = " + "9" * 5000, files.TOO_LONG), ("[b]\na = [{c = 1" + "0" * 301 + "}]", files.TOO_LONG),
    ("a = ", "it is not valid TOML (Invalid value (at end of document))"),
])
def test_toml_that_cannot_be_read(content: str, reason: str, path: Path):
    path.write_text(content)

    assert refused(files.read_toml, path) == reason


def test_toml_may_hold_long_lists_and_long_texts(path: Path):
    path.write_text("a.b.c = [" + "1.5, " * 1000 + "]\nd = '" + "One sentence. And another. " * 1000 + "'")

    assert len(files.read_toml(path)["a"]["b"]["c"]) == 1000


@pytest.mark.parametrize(("content", "reason"), [
    ("a,b\n1," + "x" * 200_000, "line 2 is not valid CSV (a cell has more than 131,072 characters, or its quotation "
                                "mark has no end)"),
    ('a,b\n1,"x\n2,y\n', "line 3 is not valid CSV (unexpected end of data)"),
    (",".join("abc" for _ in range(100_000)), "line 1 has 100,000 cells; at most 1,000 columns are read"),
])
def test_csv_that_cannot_be_read(content: str, reason: str, path: Path):
    path.write_text(content)

    assert refused(files.read_csv, path) == reason


def test_rows_of_csv_have_the_number_of_their_line_and_keep_what_stands_in_quotes(path: Path):
    path.write_bytes(b'\xef\xbb\xbfa;b\r\n"x\r\ny";2\r\n')

    assert list(files.read_csv(path, ";")) == [(1, ["a", "b"]), (3, ["x\r\ny", "2"])]
