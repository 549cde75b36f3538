"""Result formats of others: one file a format, found by its name, each with ``read(path) -> Read``."""

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
"""Facts without which a figure of a network is held against nothing."""

DEVICES = ("cpu", "gpu")

MOST_NAMED = 4               # lines in a sentence
MOST_SAID = 1000             # characters of one that quotes a file

DECIMALS = (".", ",")

ABOUT_THE_FILE = (KeyError, TypeError, ValueError, AttributeError, IndexError, OverflowError)
"""What an importer meets in a file that is not of its format."""


@dataclass(frozen=True, kw_only=True)
class Read:
    """The lines of a file, and what was left out of it or assumed, a sentence each.

    Where the file does not name the network of a line, its ``model`` is empty.
    """

    rows: tuple[Quoted, ...]
    notes: tuple[str, ...] = ()
    refused: tuple[str, ...] = ()


class NotThisFormat(ValueError):
    """A file is not what it was said to be; the message is a part of a sentence."""


class BadFigure(ValueError):
    """What stands in the place of a figure is none: ``name`` is the figure's, ``why`` goes on with "is"."""

    def __init__(self, name: str, why: str):
        super().__init__(f"{name} {why}")
        self.name = name
        self.why = why


@dataclass
class Refused:
    """Lines with something in the place of a figure that is none."""

    told: list[str] = field(default_factory=list)

    @contextlib.contextmanager
    def line(self, name: str) -> Iterator[None]:
        """What is read in this context is refused alone, and not the whole file with it."""
        try:
            yield
        except BadFigure as error:
            self.told.append(_told(f"{error.name} in {name} {error.why}"))


def importer(name: str) -> ModuleType:
    """The module of a format; raises UnknownName with the nearest names."""
    if name not in NAMES:
        raise unknown("format", name, NAMES)
    return added.load(__name__, name, "format")


def read(
    format: str, path: Path, *, stated: Mapping[str, str] | None = None, columns: Mapping[str, str] | None = None,
    decimal: str | None = None, title: str | None = None, url: str | None = None, licence: str | None = None,
    published: str | None = None,
) -> QuotedTable:
    """A file as a table. ``stated`` are facts of all its lines that it does not hold, by their names in Quoted;
    ``columns`` are our names of its columns, by theirs; ``decimal`` is the sign before its decimals.

    Lines that cannot be are refused, and lines without a figure left out with a note. A network that is not named has
    a name that no other file's has, so that nothing is compared with it. Raises UserError for a file that cannot be
    read, is not of this format or has no line left, and for facts that are none.
    """
    module = importer(format)
    facts = _facts(stated or {})
    options = _options(format, module, columns or {}, decimal)
    shown = files.shown(path)
    try:
        digest = _sha256(path)
        _refuse_what_is_no_text(path)
        found: Read = _read(module, path, options)
    except OSError as error:
        raise files.Unreadable(path, error.strerror or str(error)) from None
    except NotThisFormat as error:
        raise UserError(f"{shown} is not {module.TITLE}: {_told(str(error))}") from None
    except ABOUT_THE_FILE as error:
        said = f"it has no {error}" if isinstance(error, KeyError) else str(error) or type(error).__name__
        raise UserError(f"{shown} is not {module.TITLE}: {_told(said)}") from None
    rows = tuple(dataclasses.replace(row, **facts) for row in found.rows)
    _refuse_unknown_words(shown, rows)
    rows, refused = _possible(rows)
    rows, without = _with_figures(rows)
    refused = (*found.refused, *refused)
    if not rows:
        why = "".join(f"; {each}" for each in (*found.notes, *without, *refused))
        raise UserError(f"{shown} has no result in it that could be imported{why}")
    file = files.shown(path.resolve().name)
    unnamed = f"unnamed ({file}, {digest[:8]})"
    return QuotedTable(
        source=Source(
            format=format, file=file, sha256=digest, title=title, url=url, licence=licence,
            published=published, stated_by_user=dict(stated or {}),
            imported_at=host.now().isoformat(timespec="seconds"),
        ),
        rows=tuple(row if row.model else dataclasses.replace(row, model=unnamed) for row in rows),
        notes=(*found.notes, *without, *_unstated(rows)), refused=refused,
    )


def _read(module: ModuleType, path: Path, options: Mapping[str, Any]) -> Read:
    """What the module of a format reads; raises UserError for a mistake in it that no file can bring about."""
    try:
        found: Read = module.read(path, **options)
    except (*ABOUT_THE_FILE, OSError, UserError):
        raise
    except Exception as error:
        name = module.__name__.rpartition(".")[2]
        raise added.mistake(error, __name__, name, "format") from error
    return found


def _options(format: str, module: ModuleType, columns: Mapping[str, str], decimal: str | None) -> dict[str, Any]:
    """What the user says of a table's heads and numbers; raises UserError where the format leaves nothing to say."""
    if decimal not in (None, *DECIMALS):
        raise UserError(f"--decimal takes the sign before decimals, . or a comma, not '{decimal}'")
    options = {name: value for name, value in (("columns", columns), ("decimal", decimal)) if value}
    if options and not getattr(module, "HAS_COLUMNS", False):
        named = [name for name in NAMES if getattr(importer(name), "HAS_COLUMNS", False)]
        what = "columns to name" if columns else "decimals of the user's"
        raise UserError(f"format '{format}' has no {what}; those that have: {', '.join(named)}")
    return options


def _possible(rows: Sequence[Quoted]) -> tuple[tuple[Quoted, ...], tuple[str, ...]]:
    """(lines that can be, a sentence for each that cannot)."""
    wrong = [(row, "; ".join(impossible(row))) for row in rows]
    return (
        tuple(row for row, why in wrong if not why),
        tuple(f"{_named(row)}: {_told(why)}" for row, why in wrong if why),
    )


def _with_figures(rows: Sequence[Quoted]) -> tuple[tuple[Quoted, ...], tuple[str, ...]]:
    """Lines with a figure or a reason why they have none, and a note on the others."""
    empty = [row for row in rows if row.outcome == Outcome.OK and not has_figure(row)]
    if not empty:
        return tuple(rows), ()
    more = f" and {len(empty) - MOST_NAMED:,} more" if len(empty) > MOST_NAMED else ""
    named = ", ".join(map(_named, empty[:MOST_NAMED]))
    note = f"{counted(len(empty), 'line')} without a figure left out: {named}{more}"
    left = {id(row) for row in empty}
    return tuple(row for row in rows if id(row) not in left), (note,)


def _named(row: Quoted) -> str:
    return _told(f"{row.line} ({row.model})" if row.model else row.line)


def _told(text: str) -> str:
    """What quotes a file, in one line of bounded length."""
    said = files.shown(text)
    return said if len(said) <= MOST_SAID else f"{said[:MOST_SAID]}..."


def _refuse_what_is_no_text(path: Path) -> None:
    if path.is_dir():
        return
    content = files.read_bytes(path)
    if not content.strip():
        raise NotThisFormat("it is empty")
    if b"\0" in content and not content.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise NotThisFormat("it is no text")


def _refuse_unknown_words(path: str, rows: Sequence[Quoted]) -> None:
    """Words that results are grouped by: one that is spelled otherwise would stand beside nothing, and not say why."""
    for what, known in (
        ("mode", tuple(Mode)), ("device", DEVICES), ("precision", tuple(Precision)), ("outcome", tuple(Outcome)),
    ):
        for row in rows:
            word = getattr(row, what)
            if word is not None and word not in known:
                raise UserError(f"{path}, {row.line}: {_told(str(unknown(what, str(word), known)))}")


def _unstated(rows: Sequence[Quoted]) -> Iterator[str]:
    """Which facts of networks are not stated."""
    if not all(row.model for row in rows):
        yield "does not say which network it is of, so that it stands beside no other result; add --set model=NAME"
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


# What importers have in common ----------------------------------------------------------------------------------------


def text(path: Path) -> str:
    """The content of a log; bytes that are not UTF-8 are replaced, as logs have some."""
    return files.read_text(path, errors="replace")


def json_object(path: Path) -> dict[str, Any]:
    """The content of a JSON file; raises NotThisFormat for another."""
    try:
        found = files.read_json(path)
    except files.Unreadable as error:
        raise NotThisFormat(error.reason) from None
    if not isinstance(found, dict):
        raise NotThisFormat("it is no JSON object")
    return found


def table(path: Path, decimal: str | None = None) -> Iterator[tuple[int, dict[str, str]]]:
    """(number of the line, cells by column) of a CSV file; raises NotThisFormat where it is none.

    Cells may be separated by another sign than a comma where ``decimal`` tells how numbers are written.
    """
    rows = files.read_csv(path)
    head = [name.strip() for name in next(rows, (0, []))[1]]
    other = next((separator for separator in ";\t|" if len(head) == 1 and separator in head[0]), None)
    if other is not None:
        if decimal is None:
            raise NotThisFormat(f"its cells are separated by {other!r}; save it with commas, or say with --decimal "
                                "which sign its decimals have")
        rows = files.read_csv(path, other)
        head = [name.strip() for name in next(rows)[1]]
    twice = [name for name, count in Counter(head).items() if count > 1]
    if twice:
        raise NotThisFormat(f"two columns are called '{twice[0]}'")
    for line, cells in rows:
        if not any(cell.strip() for cell in cells):
            continue
        if len(cells) != len(head):
            is_last = not any(any(cell.strip() for cell in more) for _, more in rows)
            cut = "; the file seems to be cut off there: get it anew, or delete that line" if is_last else ""
            raise NotThisFormat(f"line {line} has {counted(len(cells), 'cell')} and the head {len(head)}{cut}")
        yield line, dict(zip(head, (cell.strip() for cell in cells), strict=True))


def counted(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'s' * (count != 1)}"


def without_end(path: Path) -> tuple[str, ...]:
    """A note where the last line of a table has no end: it may be cut off within a number, which then is another."""
    if files.read_bytes(path).endswith((b"\n", b"\r")):
        return ()
    return ("its last line has no line break: if the file was cut off there, the last figure is wrong",)


def number(stated: Any, name: str = "a figure", scale: float = 1.0) -> float | None:
    """A number of JSON times ``scale``; None where nothing is stated; raises BadFigure for what is no number."""
    if stated is None:
        return None
    if isinstance(stated, bool) or not isinstance(stated, int | float):
        raise BadFigure(name, f"is {stated!r}, which is no number")
    if not math.isfinite(stated):
        raise BadFigure(name, f"is {stated}, which no figure can be")
    return stated * scale


def numbers(stated: Any, name: str = "timings", scale: float = 1.0) -> tuple[float, ...]:
    """A list of numbers; empty where none is stated. Raises BadFigure where one of them is missing."""
    found = tuple(number(item, name, scale) for item in stated or ())
    if None in found:
        raise BadFigure(name, f"has no number in place {found.index(None) + 1}")
    return tuple(each for each in found if each is not None)


def whole(stated: Any, name: str) -> int | None:
    """A whole number of JSON from 1; None where nothing is stated; raises BadFigure for another."""
    return _whole(number(stated, name), name, stated)


# Numbers in text ------------------------------------------------------------------------------------------------------

UNSTATED = frozenset({"", "-", "–", "n/a", "na", "nan", "none", "null", "?"})
"""Ways to state nothing. A 0 is none of them: that it may mean nothing is for an audit to say."""

NUMBER = re.compile(r"[+-]?(?P<digits>\d[\d.,]*|[.,]\d+)([eE][+-]?\d{1,3})?", re.ASCII)
FEW_DIGITS = 1e-3            # of a figure, from which on its rounding is worth knowing


@dataclass(frozen=True)
class Cell:
    """A number as a table states it, in SI units."""

    value: float
    half_unit: float             # of its last digit

    @property
    def rounding(self) -> float | None:
        """What rounding may have taken or given; None where that is next to nothing."""
        return self.half_unit if self.half_unit > FEW_DIGITS * abs(self.value) > 0 else None


def cell(stated: str, name: str, scale: float = 1.0, decimal: str | None = None) -> Cell | None:
    """The number in a cell times ``scale``; None where it states nothing.

    ``decimal`` is the sign before decimals, and the other one then groups thousands. Where it is None that is a point,
    unless the number can be read otherwise too. Raises BadFigure for what is no number, or could be two.
    """
    written = stated.strip()
    if written.lower() in UNSTATED:
        return None
    if written.lower().lstrip("+-") in ("inf", "infinity"):
        raise BadFigure(name, "is infinite")
    found = NUMBER.fullmatch(written)
    readings = {} if found is None else {
        sign: written.replace(found["digits"], plain, 1) for sign in DECIMALS
        if (plain := _plain_digits(found["digits"], sign)) is not None
    }
    if not readings:
        raise BadFigure(name, f"is '{stated}', which is no number")
    if decimal is None and "," in written:
        if set(readings) == {","}:
            raise BadFigure(name, f"is '{stated}', which has a decimal comma; say so with --decimal ,")
        if len(readings) == 2:
            raise BadFigure(name, f"is '{stated}', which may be {readings['.']} or {readings[',']}; say with "
                            "--decimal which sign decimals have")
    exact = readings.get(decimal or ".")
    if exact is None:
        raise BadFigure(name, f"is '{stated}', which is no number with '{decimal or '.'}' before its decimals")
    as_decimal = Decimal(exact)
    unit = Decimal((0, (1,), int(as_decimal.as_tuple().exponent)))
    return Cell(float(as_decimal) * scale, 0.5 * float(unit) * scale)


def _plain_digits(digits: str, decimal: str) -> str | None:
    """Digits with a point before decimals and no thousands grouped; None where they cannot be meant with that sign."""
    other = re.escape(DECIMALS[decimal == "."])
    found = re.fullmatch(rf"(\d+|[1-9]\d?\d?(?:{other}\d\d\d)+)?(?:{re.escape(decimal)}(\d*))?", digits)
    return None if found is None else f"{re.sub(other, '', found[1] or '0')}.{found[2] or ''}".rstrip(".")


def whole_cell(stated: str, name: str, decimal: str | None = None) -> int | None:
    """The whole number from 1 in a cell; None where it states nothing; raises BadFigure for another."""
    found = cell(stated, name, decimal=decimal)
    return _whole(None if found is None else found.value, name, stated)


def _whole(found: float | None, name: str, stated: Any) -> int | None:
    if found is None:
        return None
    if found < 1 or found != int(found):
        raise BadFigure(name, f"is '{stated}', which is no whole number from 1")
    return int(found)
