"""Reads files that a user or another program wrote; all such files are read here.

Whatever is wrong with a file raises Unreadable: one sentence that states which file and why. Only regular files are
opened, since a named pipe or a device can block or never end, and no file is read beyond a stated size.
"""

from __future__ import annotations

import contextlib
import csv
import io
import json
import os
import re
import stat
import tempfile
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rigmark.bench.errors import UserError

MIB = 2**20
MOST_BYTES = 256 * MIB           # larger than any table of results; a wrong file must not fill the memory
MOST_TOML_BYTES = 4 * MIB        # such files are written by hand; tomllib takes about a second per MiB
MOST_COLUMNS = 1000              # of a CSV table
KINDS = {
    stat.S_IFDIR: "a folder", stat.S_IFIFO: "a named pipe", stat.S_IFCHR: "a device", stat.S_IFBLK: "a device",
    stat.S_IFSOCK: "a socket",
}
MOST_DIGITS = 300                # of an integer, so that it fits a float; no figure is longer
LONG_KEY = re.compile(r"(?:\.[ \t]*[^.,\s]{1,80}[ \t]*){200}")
"""A dotted key of TOML that is refused: for n parts tomllib stores n^2/2, so that a key of 200 kB fills the memory."""
NESTED = "its lists and tables are nested too deeply to be read"
TOO_LONG = f"it contains an integer of more than {MOST_DIGITS} digits"


class Unreadable(UserError):
    """A file cannot be read; ``reason`` is a clause without the name of the file: "it is a folder, not a file"."""

    def __init__(self, name: Path | str, reason: str):
        super().__init__(f"cannot read {shown(name)}: {reason}")
        self.reason = reason


class NotThere(Unreadable):
    """There is no such file."""


def shown(name: Path | str) -> str:
    """The name of a file as text that is safe to print and store: bytes that are not UTF-8, and control characters, are
    escaped."""
    return "".join(each if each.isprintable() else each.encode("unicode_escape").decode() for each in os.fspath(name))


def read_bytes(path: Path, most_bytes: int = MOST_BYTES) -> bytes:
    """The content of a regular file."""
    try:
        status = os.stat(path)
        mode = status.st_mode
        if not stat.S_ISREG(mode):
            raise Unreadable(path, f"it is {KINDS.get(stat.S_IFMT(mode), 'something else')}, not a file")
        # If the file has been replaced by a pipe since then, this does not block. Unbuffered, it takes half the time.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            content = _read(descriptor, status.st_size, most_bytes + 1)
        finally:
            os.close(descriptor)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise NotThere(path, f"{error.strerror}") from None
    except OSError as error:
        raise Unreadable(path, error.strerror or str(error)) from None
    except ValueError:           # of os.stat
        raise Unreadable(path, "its name contains a NUL, which is not allowed") from None
    if len(content) > most_bytes:
        raise Unreadable(path, f"it has more than {most_bytes // MIB} MiB")
    return content


def _read(descriptor: int, size: int, most_bytes: int) -> bytes:
    """A file that had this size just now, so many bytes at most."""
    content = os.read(descriptor, min(size + 1, most_bytes))
    if len(content) == size:
        return content
    parts = [content]                # it grew or shrank, or its system gives it in pieces
    while parts[-1] and (left := most_bytes - sum(map(len, parts))) > 0:
        parts.append(os.read(descriptor, min(left, MIB)))
    return b"".join(parts)


def once(path: Path, first: str) -> str:
    """The word in a file, which is created with ``first`` if it does not exist. Concurrent callers get the same word.

    Raises UserError if the file can be neither read nor written, or does not contain one word.
    """
    try:
        return read_word(path)
    except NotThere:
        _write_first(path, first)
        return read_word(path)


def read_word(path: Path) -> str:
    """The word in a file that Rigmark wrote."""
    text = read_text(path)
    if not re.fullmatch(r"[0-9a-zA-Z-]+\s*", text):
        raise Unreadable(path, "it should contain one word of letters and digits; delete it, and it is created again")
    return text.strip()


def _write_first(path: Path, word: str) -> None:
    """Writes a new file atomically; an existing file is not changed."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, beside = tempfile.mkstemp(dir=path.parent, prefix=".", suffix=".tmp")
        try:
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                os.fchmod(descriptor, 0o644)         # mkstemp makes files that only their owner can read
                file.write(f"{word}\n")
            with contextlib.suppress(FileExistsError):
                os.link(beside, path)
        finally:
            os.unlink(beside)
    except OSError as error:
        raise Unreadable(path, f"it does not exist and cannot be written ({error.strerror})") from None


def read_text(path: Path, most_bytes: int = MOST_BYTES, *, errors: str = "strict") -> str:
    """The text of a UTF-8 file without byte order mark. ``errors`` is as in bytes.decode; use "replace" for logs, which
    may contain anything."""
    content = read_bytes(path, most_bytes)
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise Unreadable(path, "it is text in UTF-16; save it as UTF-8")
    try:
        return content.decode("utf-8-sig", errors)
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise Unreadable(
            path, f"it is not text in UTF-8 (byte {error.start + 1}, in line {line}, is 0x{content[error.start]:02x})"
        ) from None


def read_json(path: Path) -> Any:
    return parsed_json(read_text(path), path)


def parsed_json(text: str, name: Path | str) -> Any:
    """The content of a JSON text; ``name`` is its name in error messages."""
    try:
        return json.loads(text, parse_int=_integer)
    except RecursionError:
        raise Unreadable(name, NESTED) from None
    except ValueError as error:
        raise Unreadable(name, str(error) if str(error) == TOO_LONG else f"it is not valid JSON ({error})") from None


def _integer(digits: str) -> int:
    if len(digits) > MOST_DIGITS:
        raise ValueError(TOO_LONG)
    return int(digits)


def read_toml(path: Path) -> dict[str, Any]:
    return parsed_toml(read_text(path, MOST_TOML_BYTES), path)


def parsed_toml(text: str, name: Path | str) -> dict[str, Any]:
    """The content of a TOML text; ``name`` is its name in error messages."""
    if LONG_KEY.search(text):
        raise Unreadable(name, NESTED)
    try:
        content = tomllib.loads(text)
    except RecursionError:
        raise Unreadable(name, NESTED) from None
    except tomllib.TOMLDecodeError as error:
        raise Unreadable(name, f"it is not valid TOML ({error})") from None
    except ValueError:           # of int(), for thousands of digits
        raise Unreadable(name, TOO_LONG) from None
    if any(isinstance(each, int) and abs(each) >= 10**MOST_DIGITS for each in _leaves(content)):
        raise Unreadable(name, TOO_LONG)
    return content


def _leaves(content: dict[str, Any]) -> Iterator[Any]:
    """All values that are neither lists nor tables; not recursive, since dotted keys may be nested without limit."""
    waiting: list[Any] = [content]
    while waiting:
        each = waiting.pop()
        if isinstance(each, dict | list):
            waiting += each.values() if isinstance(each, dict) else each
        else:
            yield each


def read_csv(path: Path, separator: str = ",") -> Iterator[tuple[int, list[str]]]:
    """(number of its last line, cells) of each row of a CSV file, including its head."""
    # newline="" keeps line breaks as they are, since a quoted cell may contain some.
    rows = csv.reader(io.StringIO(read_text(path), newline=""), delimiter=separator, strict=True)
    while True:
        try:
            cells = next(rows)
        except StopIteration:
            return
        except csv.Error as error:
            if "field limit" in str(error):
                why = f"a cell has more than {csv.field_size_limit():,} characters, or its quotation mark has no end"
            else:
                why = str(error)
            raise Unreadable(path, f"line {rows.line_num} is not valid CSV ({why})") from None
        if len(cells) > MOST_COLUMNS:
            raise Unreadable(path, f"line {rows.line_num} has {len(cells):,} cells; at most {MOST_COLUMNS:,} "
                                   "columns are read")
        yield rows.line_num, cells


def write_atomically(path: Path, content: bytes) -> None:
    """Writes the whole content under the final name, or nothing, even after a power cut."""
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=".", suffix=".tmp")
    try:
        with os.fdopen(descriptor, "wb") as file:
            os.fchmod(descriptor, 0o644)     # mkstemp makes files that only their owner can read
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(name, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(name)
        raise
