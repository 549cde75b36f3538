"""Result formats of others: one file a format, found by its name, each with ``read(path) -> Read``."""

from __future__ import annotations

import dataclasses
import datetime
import hashlib
import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from csv import reader  # a format is called csv too
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from rigmark.bench.enums import Mode, Precision
from rigmark.bench.errors import UserError, unknown
from rigmark.bench.store.quoted import FACTS, PASSES, WHOLE, Quoted, QuotedTable, Source
from rigmark.bench.worker import registry

NAMES: tuple[str, ...] = registry.names(__path__)

WANTED = ("mode", "precision", "local_batch", "device_name")
"""Facts without which a figure of a network is held against nothing."""

DEVICES = ("cpu", "gpu")

FIRST_BYTES = 4096           # of a file, by which it is told from what is no text
MOST_BYTES = 256 * 2**20     # of a file: no result table is larger, and a wrong one should not fill the memory


@dataclass(frozen=True, kw_only=True)
class Read:
    """The lines of a file, and what was left out of it or assumed, a sentence each."""

    rows: tuple[Quoted, ...]
    notes: tuple[str, ...] = ()


class NotThisFormat(ValueError):
    """A file is not what it was said to be; the message is a part of a sentence."""


def importer(name: str) -> ModuleType:
    """The module of a format; raises UnknownName with the nearest names."""
    if name not in NAMES:
        raise unknown("format", name, NAMES)
    module: ModuleType = registry.load(__name__, name)
    return module


def read(
    format: str, path: Path, *, stated: Mapping[str, str] | None = None, columns: Mapping[str, str] | None = None,
    title: str | None = None, url: str | None = None, licence: str | None = None, published: str | None = None,
) -> QuotedTable:
    """A file as a table. ``stated`` are facts of all its lines that it does not hold, by their names in Quoted;
    ``columns`` are our names of its columns, by theirs.

    Raises UserError for a file that cannot be read or is not of this format, and for facts that are none.
    """
    module = importer(format)
    facts = _facts(stated or {})
    if columns and not getattr(module, "HAS_COLUMNS", False):
        named = [name for name in NAMES if getattr(importer(name), "HAS_COLUMNS", False)]
        raise UserError(f"format '{format}' has no columns to name; those that have: {', '.join(named)}")
    try:
        digest = _sha256(path)
        _refuse_what_is_no_text(path)
        found: Read = module.read(path, columns or {}) if columns else module.read(path)
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror or error}") from None
    except NotThisFormat as error:
        raise UserError(f"{path} is not {module.TITLE}: {error}") from None
    except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
        said = f"it has no {error}" if isinstance(error, KeyError) else str(error) or type(error).__name__
        raise UserError(f"{path} is not {module.TITLE}: {said}") from None
    if not found.rows:
        raise UserError(f"{path} has no result in it that could be imported{''.join(f'; {n}' for n in found.notes)}")
    rows = tuple(dataclasses.replace(row, **facts) for row in found.rows)
    _refuse_unknown_words(path, rows)
    return QuotedTable(
        source=Source(
            format=format, file=path.resolve().name, sha256=digest, title=title, url=url, licence=licence,
            published=published, stated_by_user=dict(stated or {}),
            imported_at=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        ),
        rows=rows, notes=(*found.notes, *_unstated(rows)),
    )


def _refuse_what_is_no_text(path: Path) -> None:
    if not path.is_file():
        return
    with path.open("rb") as file:
        begin = file.read(FIRST_BYTES)
    if not begin.strip():
        raise NotThisFormat("it is empty")
    if b"\0" in begin:
        raise NotThisFormat("it is no text")


def _refuse_unknown_words(path: Path, rows: Sequence[Quoted]) -> None:
    """Words that results are grouped by: one that is spelled otherwise would stand beside nothing, and not say why."""
    for what, known in (("mode", tuple(Mode)), ("device", DEVICES), ("precision", tuple(Precision))):
        for row in rows:
            word = getattr(row, what)
            if word is not None and word not in known:
                raise UserError(f"{path}, {row.line}: {unknown(what, word, known)}")


def _unstated(rows: Sequence[Quoted]) -> Iterator[str]:
    """Which facts of networks no line states."""
    of_networks = [row for row in rows if row.mode or row.local_batch or row.throughput_samples_per_s is not None]
    lacking = [name for name in WANTED if all(getattr(row, name) is None for row in of_networks)]
    if of_networks and lacking:
        yield f"states no {', '.join(lacking)}, without which it stands beside few others; add --set NAME=VALUE"


def _facts(stated: Mapping[str, str]) -> dict[str, Any]:
    """Facts from a command line in their types."""
    for name in stated:
        if name not in FACTS:
            raise unknown("fact of a result", name, FACTS)
    try:
        return {name: whole(value, name) if name in WHOLE else value for name, value in stated.items()}
    except NotThisFormat as error:
        raise UserError(f"--set: {error}") from None


def _sha256(path: Path) -> str:
    if path.is_file():
        if path.stat().st_size > MOST_BYTES:
            raise NotThisFormat(f"it has more than {MOST_BYTES // 2**20} MiB")
        return hashlib.sha256(path.read_bytes()).hexdigest()
    digest = hashlib.sha256()
    for file in sorted(each for each in path.rglob("*") if each.is_file()):
        digest.update(f"{file.relative_to(path)}\0{hashlib.sha256(file.read_bytes()).hexdigest()}\n".encode())
    return digest.hexdigest()


# What importers have in common ----------------------------------------------------------------------------------------


def text(path: Path) -> str:
    """The content of a file; bytes that are no UTF-8 are replaced, as logs have some."""
    return path.read_text(encoding="utf-8-sig", errors="replace")


def json_object(path: Path) -> dict[str, Any]:
    """The content of a JSON file; raises NotThisFormat for another."""
    try:
        found = json.loads(path.read_text(encoding="utf-8-sig"))
    except ValueError as error:
        raise NotThisFormat(f"it is no JSON ({error})") from None
    if not isinstance(found, dict):
        raise NotThisFormat("it is no JSON object")
    return found


def table(path: Path) -> Iterator[tuple[int, dict[str, str]]]:
    """(number of the line, cells by column) of a CSV file; raises NotThisFormat where it is none."""
    with path.open(encoding="utf-8-sig", errors="replace", newline="") as file:
        rows = reader(file)
        head = [name.strip() for name in next(rows, [])]
        other = next((separator for separator in ";\t|" if len(head) == 1 and separator in head[0]), None)
        if other is not None:
            raise NotThisFormat(f"its cells are separated by {other!r}; save it with commas, and decimal points")
        twice = [name for name in head if head.count(name) > 1]
        if twice:
            raise NotThisFormat(f"two columns are called '{twice[0]}'")
        for cells in rows:
            line = rows.line_num
            if not any(cell.strip() for cell in cells):
                continue
            if len(cells) != len(head):
                is_last = not any(any(cell.strip() for cell in more) for more in rows)
                cut = "; the file seems to be cut off there: get it anew, or delete that line" if is_last else ""
                raise NotThisFormat(f"line {line} has {counted(len(cells), 'cell')} and the head {len(head)}{cut}")
            yield line, dict(zip(head, (cell.strip() for cell in cells), strict=True))


def counted(count: int, noun: str) -> str:
    return f"{count} {noun}{'s' * (count != 1)}"


def without_end(path: Path) -> tuple[str, ...]:
    """A note where the last line of a table has no end: it may be cut off within a number, which then is another."""
    if path.read_bytes().endswith((b"\n", b"\r")):
        return ()
    return ("its last line has no line break: if the file was cut off there, the last figure is wrong",)


UNSTATED = frozenset({"", "-", "–", "n/a", "na", "nan", "none", "null", "?"})
"""Ways to state nothing. A 0 is none of them: that it may mean nothing is for an audit to say."""


def number(stated: Any, name: str = "a figure", scale: float = 1.0) -> float | None:
    """A number times ``scale``; None where nothing is stated; raises NotThisFormat for what is no number."""
    if stated is None or (isinstance(stated, str) and stated.strip().lower() in UNSTATED):
        return None
    if isinstance(stated, bool):
        raise NotThisFormat(f"{name} is '{stated}', which is no number")
    try:
        found = float(re.sub(r"(?<=\d),(?=\d{3}\b)", "", stated) if isinstance(stated, str) else stated)
    except (TypeError, ValueError):
        raise NotThisFormat(f"{name} is '{stated}', which is no number") from None
    if math.isnan(found):
        return None
    if math.isinf(found):
        raise NotThisFormat(f"{name} is infinite")
    return found * scale


def numbers(stated: Any, name: str = "timings", scale: float = 1.0) -> tuple[float, ...]:
    """A list of numbers; empty where none is stated."""
    if stated is None:
        return ()
    return tuple(each for item in stated if (each := number(item, name, scale)) is not None)


def whole(stated: Any, name: str) -> int | None:
    """A whole number from 1; None where nothing is stated; raises NotThisFormat for another."""
    found = number(stated, name)
    if found is None:
        return None
    if found < 1 or found != int(found):
        raise NotThisFormat(f"{name} is '{stated}', which is no whole number from 1")
    return int(found)


def has_figure(row: Quoted) -> bool:
    return bool(row.timings_s) or any(getattr(row, name) is not None for name in PASSES)
