"""Result formats of other programs: one file per format, found by its name, each with ``read(path) -> Read``."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import math
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from types import ModuleType
from typing import Any

from rigmark.bench import added
from rigmark.bench.enums import Mode, Outcome, Precision
from rigmark.bench.errors import UserError, unknown
from rigmark.bench.host import files
from rigmark.bench.host import limits as host
from rigmark.bench.store.quoted import FACTS, WHOLE, Quoted, QuotedTable, Source, has_figure, impossible
from rigmark.bench.worker import registry

NAMES: tuple[str, ...] = registry.names(__path__)

WANTED = ("mode", "precision", "local_batch", "device_name")
"""Facts without which a figure of a network is compared with nothing."""

DEVICES = ("cpu", "gpu")

MOST_NAMED = 4               # lines that a sentence lists
MOST_QUOTED = 1000             # characters of a sentence that quotes a file

DECIMALS = (".", ",")

ABOUT_THE_FILE = (KeyError, TypeError, ValueError, AttributeError, IndexError, OverflowError)
"""Errors that an importer raises for a file that is not of its format."""


@dataclass(frozen=True, kw_only=True)
class Read:
    """The lines of a file, with one sentence for everything that was left out or assumed.

    If the file does not name the network of a line, its ``model`` is empty.
    """

    rows: tuple[Quoted, ...]
    notes: tuple[str, ...] = ()
    refused: tuple[str, ...] = ()


class NotThisFormat(ValueError):
    """A file is not of the stated format; the message is the second half of a sentence."""


class BadFigure(ValueError):
    """A value is not a valid figure: ``name`` is the name of the figure, ``why`` continues the sentence: "is ..."."""

    def __init__(self, name: str, why: str):
        super().__init__(f"{name} {why}")
        self.name = name
        self.why = why


@dataclass
class Refused:
    """Collects the lines that have an invalid figure."""

    sentences: list[str] = field(default_factory=list)

    @contextlib.contextmanager
    def line(self, name: str) -> Iterator[None]:
        """A context in which an invalid figure refuses only the line ``name``, not the whole file."""
        try:
            yield
        except BadFigure as error:
            self.sentences.append(_one_line(f"{error.name} in {name} {error.why}"))


def importer(name: str) -> ModuleType:
    """The module of a format; raises UnknownName with the nearest name."""
    if name not in NAMES:
        raise unknown("format", name, NAMES)
    return added.load(__name__, name, "format")


def read(
    format: str, path: Path, *, stated: Mapping[str, str] | None = None, columns: Mapping[str, str] | None = None,
    decimal: str | None = None, title: str | None = None, url: str | None = None, licence: str | None = None,
    published: str | None = None,
) -> QuotedTable:
    """The table in a file. ``stated`` are facts of all its lines that the file does not hold, by their names in Quoted;
    ``columns`` are our names of columns, by those in the file; ``decimal`` is the decimal sign.

    Lines with impossible values are refused; lines without a figure are left out, with a note. A network without a
    name gets one that no other file uses, so that it is compared with nothing. Raises UserError for a file that cannot
    be read, is not of this format or has no line left, and for facts that are unknown or invalid.
    """
    module = importer(format)
    facts = _facts(stated or {})
    options = _options(format, module, columns or {}, decimal)
    shown = files.shown(path)
    try:
        digest = _sha256(path)
        _refuse_what_is_no_text(path)
        parsed: Read = _read(module, path, options)
    except OSError as error:
        raise files.Unreadable(path, error.strerror or str(error)) from None
    except NotThisFormat as error:
        raise UserError(f"{shown} is not {module.TITLE}: {_one_line(str(error))}") from None
    except ABOUT_THE_FILE as error:
        sentence = f"it has no {error}" if isinstance(error, KeyError) else str(error) or type(error).__name__
        raise UserError(f"{shown} is not {module.TITLE}: {_one_line(sentence)}") from None
    rows = tuple(dataclasses.replace(row, **facts) for row in parsed.rows)
    _refuse_unknown_words(shown, rows)
    rows, refused = _possible(rows)
    rows, without = _with_figures(rows)
    refused = (*parsed.refused, *refused)
    if not rows:
        why = "".join(f"; {each}" for each in (*parsed.notes, *without, *refused))
        raise UserError(f"{shown} contains no result that can be imported{why}")
    file = files.shown(path.resolve().name)
    unnamed = f"unnamed ({file}, {digest[:8]})"
    return QuotedTable(
        source=Source(
            format=format, file=file, sha256=digest, title=title, url=url, licence=licence,
            published=published, stated_by_user=dict(stated or {}),
            imported_at=host.now().isoformat(timespec="seconds"),
        ),
        rows=tuple(row if row.model else dataclasses.replace(row, model=unnamed) for row in rows),
        notes=(*parsed.notes, *without, *_unstated(rows)), refused=refused,
    )


def _read(module: ModuleType, path: Path, options: Mapping[str, Any]) -> Read:
    """What the module of a format reads; raises UserError for a mistake in the module itself."""
    try:
        parsed: Read = module.read(path, **options)
    except (*ABOUT_THE_FILE, OSError, UserError):
        raise
    except Exception as error:
        name = module.__name__.rpartition(".")[2]
        raise added.mistake(error, __name__, name, "format") from error
    return parsed


def _options(format: str, module: ModuleType, columns: Mapping[str, str], decimal: str | None) -> dict[str, Any]:
    """The options of the user for columns and numbers; raises UserError if the format does not take them."""
    if decimal not in (None, *DECIMALS):
        raise UserError(f"--decimal takes a point or a comma, the decimal sign of the table, not '{decimal}'")
    options = {name: value for name, value in (("columns", columns), ("decimal", decimal)) if value}
    if options and not getattr(module, "HAS_COLUMNS", False):
        named = [name for name in NAMES if getattr(importer(name), "HAS_COLUMNS", False)]
        option = "--column" if columns else "--decimal"
        raise UserError(f"format '{format}' does not take {option}; formats that do: {', '.join(named)}")
    return options


def _possible(rows: Sequence[Quoted]) -> tuple[tuple[Quoted, ...], tuple[str, ...]]:
    """(the possible lines, one sentence for each impossible line)."""
    wrong = [(row, "; ".join(impossible(row))) for row in rows]
    return (
        tuple(row for row, why in wrong if not why),
        tuple(f"{_named(row)}: {_one_line(why)}" for row, why in wrong if why),
    )


def _with_figures(rows: Sequence[Quoted]) -> tuple[tuple[Quoted, ...], tuple[str, ...]]:
    """The lines with a figure or with a reason why there is none, and a note about the others."""
    empty = [row for row in rows if row.outcome == Outcome.OK and not has_figure(row)]
    if not empty:
        return tuple(rows), ()
    more = f" and {len(empty) - MOST_NAMED:,} more" if len(empty) > MOST_NAMED else ""
    named = ", ".join(map(_named, empty[:MOST_NAMED]))
    note = f"{counted(len(empty), 'line')} without a figure left out: {named}{more}"
    left = {id(row) for row in empty}
    return tuple(row for row in rows if id(row) not in left), (note,)


def _named(row: Quoted) -> str:
    return _one_line(f"{row.line} ({row.model})" if row.model else row.line)


def _one_line(text: str) -> str:
    """Text that quotes a file, as one line of bounded length."""
    line = files.shown(text)
    return line if len(line) <= MOST_QUOTED else f"{line[:MOST_QUOTED]}..."


def _refuse_what_is_no_text(path: Path) -> None:
    if path.is_dir():
        return
    content = files.read_bytes(path)
    if not content.strip():
        raise NotThisFormat("it is empty")
    if b"\0" in content and not content.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise NotThisFormat("it is no text")


def _refuse_unknown_words(path: str, rows: Sequence[Quoted]) -> None:
    """Raises UserError for an unknown value of an axis: misspelled, it would silently be compared with nothing."""
    for what, known in (
        ("mode", tuple(Mode)), ("device", DEVICES), ("precision", tuple(Precision)), ("outcome", tuple(Outcome)),
    ):
        for row in rows:
            word = getattr(row, what)
            if word is not None and word not in known:
                raise UserError(f"{path}, {row.line}: {_one_line(str(unknown(what, str(word), known)))}")


def _unstated(rows: Sequence[Quoted]) -> Iterator[str]:
    """A note for each kind of fact of networks that is not stated."""
    if not all(row.model for row in rows):
        yield "does not name its network, so it is compared with no other result; add --set model=NAME"
    of_networks = [row for row in rows if row.mode or row.local_batch or row.throughput_samples_per_s is not None]
    lacking = [name for name in WANTED if all(getattr(row, name) is None for row in of_networks)]
    if of_networks and lacking:
        yield f"does not state {', '.join(lacking)}, so it is compared with few other results; add --set NAME=VALUE"


def _facts(stated: Mapping[str, str]) -> dict[str, Any]:
    """The facts of the command line, converted to their types."""
    for name in stated:
        if name not in FACTS:
            raise unknown("fact of a result", name, FACTS)
    try:
        return {name: whole_cell(value, name, ".") if name in WHOLE else value for name, value in stated.items()}
    except BadFigure as error:
        raise UserError(f"--set: {error}") from None


def _sha256(path: Path) -> str:
    if not path.is_dir():
        return hashlib.sha256(files.read_bytes(path)).hexdigest()
    digest = hashlib.sha256()
    for file in sorted(each for each in path.rglob("*") if each.is_file()):
        content = hashlib.sha256(files.read_bytes(file)).hexdigest()
        digest.update(f"{file.relative_to(path)}\0{content}\n".encode("utf-8", "surrogateescape"))
    return digest.hexdigest()


# Shared by importers ----------------------------------------------------------------------------------------


def text(path: Path) -> str:
    """The content of a log; bytes that are not UTF-8, which occur in logs, are replaced."""
    return files.read_text(path, errors="replace")


def json_object(path: Path) -> dict[str, Any]:
    """The content of a JSON file; raises NotThisFormat if it is not a JSON object."""
    try:
        content = files.read_json(path)
    except files.Unreadable as error:
        raise NotThisFormat(error.reason) from None
    if not isinstance(content, dict):
        raise NotThisFormat("it is not a JSON object")
    return content


def table(path: Path, decimal: str | None = None) -> Iterator[tuple[int, dict[str, str]]]:
    """(line number, cells by column) of each line of a CSV file; raises NotThisFormat if it is not one.

    Cells may be separated by another sign than a comma only if ``decimal`` states how numbers are written.
    """
    rows = files.read_csv(path)
    head = [name.strip() for name in next(rows, (0, []))[1]]
    other = next((separator for separator in ";\t|" if len(head) == 1 and separator in head[0]), None)
    if other is not None:
        if decimal is None:
            raise NotThisFormat(f"its cells are separated by {other!r}; save it with commas, or state its decimal sign "
                                "with --decimal")
        rows = files.read_csv(path, other)
        head = [name.strip() for name in next(rows)[1]]
    twice = [name for name, count in Counter(head).items() if count > 1]
    if twice:
        raise NotThisFormat(f"two columns have the name '{twice[0]}'")
    for line, cells in rows:
        if not any(cell.strip() for cell in cells):
            continue
        if len(cells) != len(head):
            is_last = not any(any(cell.strip() for cell in more) for _, more in rows)
            cut = "; the file seems to be cut off there: get it again, or delete that line" if is_last else ""
            raise NotThisFormat(f"line {line} has {counted(len(cells), 'cell')}, but the head has {len(head)}{cut}")
        yield line, dict(zip(head, (cell.strip() for cell in cells), strict=True))


def counted(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'s' * (count != 1)}"


def without_end(path: Path) -> tuple[str, ...]:
    """A note if the last line of a table has no line break: it may be cut off in the middle of a number."""
    if files.read_bytes(path).endswith((b"\n", b"\r")):
        return ()
    return ("its last line has no line break: if the file was cut off there, the last figure is wrong",)


def number(stated: Any, name: str = "a figure", scale: float = 1.0) -> float | None:
    """A number of JSON times ``scale``; None if nothing is stated; raises BadFigure if it is not a number."""
    if stated is None:
        return None
    if isinstance(stated, bool) or not isinstance(stated, int | float):
        raise BadFigure(name, f"is {stated!r}, which is not a number")
    if not math.isfinite(stated):
        raise BadFigure(name, f"is {stated}, which is impossible")
    return stated * scale


def numbers(stated: Any, name: str = "timings", scale: float = 1.0) -> tuple[float, ...]:
    """A list of numbers; empty if none is stated. Raises BadFigure if one of them is missing."""
    values = tuple(number(item, name, scale) for item in stated or ())
    if None in values:
        raise BadFigure(name, f"has no number in place {values.index(None) + 1}")
    return tuple(each for each in values if each is not None)


def whole(stated: Any, name: str) -> int | None:
    """A whole number of JSON, at least 1; None if nothing is stated; raises BadFigure for anything else."""
    return _whole(number(stated, name), name, stated)


# Numbers in text ------------------------------------------------------------------------------------------------------

UNSTATED = frozenset({"", "-", "–", "n/a", "na", "nan", "none", "null", "?"})
"""Texts that state nothing. 0 is not one of them; whether it means nothing is for an audit to find out."""

NUMBER = re.compile(r"[+-]?(?P<digits>\d[\d.,]*|[.,]\d+)([eE][+-]?\d{1,3})?", re.ASCII)
FEW_DIGITS = 1e-3            # share of a figure from which on its rounding matters


@dataclass(frozen=True)
class Cell:
    """A number as a table states it, in SI units."""

    value: float
    half_unit: float             # of its last digit

    @property
    def rounding(self) -> float | None:
        """The largest rounding error; None if it is negligible."""
        return self.half_unit if self.half_unit > FEW_DIGITS * abs(self.value) > 0 else None


def cell(stated: str, name: str, scale: float = 1.0, decimal: str | None = None) -> Cell | None:
    """The number in a cell times ``scale``; None if the cell states nothing.

    ``decimal`` is the decimal sign; the other sign then separates thousands. If it is None, the decimal sign is a
    point, and a number that could also be read otherwise is refused. Raises BadFigure for anything else than a number.
    """
    written = stated.strip()
    if written.lower() in UNSTATED:
        return None
    if written.lower().lstrip("+-") in ("inf", "infinity"):
        raise BadFigure(name, "is infinite")
    match = NUMBER.fullmatch(written)
    readings = {} if match is None else {
        sign: written.replace(match["digits"], plain, 1) for sign in DECIMALS
        if (plain := _plain_digits(match["digits"], sign)) is not None
    }
    if not readings:
        raise BadFigure(name, f"is '{stated}', which is not a number")
    if decimal is None and "," in written:
        if set(readings) == {","}:
            raise BadFigure(name, f"is '{stated}', which has a decimal comma; state it with --decimal ,")
        if len(readings) == 2:
            raise BadFigure(name, f"is '{stated}', which may be {readings['.']} or {readings[',']}; state the "
                            "decimal sign with --decimal")
    exact = readings.get(decimal or ".")
    if exact is None:
        raise BadFigure(name, f"is '{stated}', which is not a number with the decimal sign '{decimal or '.'}'")
    as_decimal = Decimal(exact)
    unit = Decimal((0, (1,), int(as_decimal.as_tuple().exponent)))
    return Cell(float(as_decimal) * scale, 0.5 * float(unit) * scale)


def _plain_digits(digits: str, decimal: str) -> str | None:
    """The number with a decimal point and without separators of thousands; None if it is invalid with that sign."""
    other = re.escape(DECIMALS[decimal == "."])
    match = re.fullmatch(rf"(\d+|[1-9]\d?\d?(?:{other}\d\d\d)+)?(?:{re.escape(decimal)}(\d*))?", digits)
    return None if match is None else f"{re.sub(other, '', match[1] or '0')}.{match[2] or ''}".rstrip(".")


def whole_cell(stated: str, name: str, decimal: str | None = None) -> int | None:
    """The whole number in a cell, at least 1; None if it states nothing; raises BadFigure for anything else."""
    figure = cell(stated, name, decimal=decimal)
    return _whole(None if figure is None else figure.value, name, stated)


def _whole(value: float | None, name: str, stated: Any) -> int | None:
    if value is None:
        return None
    if value < 1 or value != int(value):
        raise BadFigure(name, f"is '{stated}', which is not a whole number of at least 1")
    return int(value)
