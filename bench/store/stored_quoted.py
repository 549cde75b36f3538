"""The one door through which a stored table of others is read; as bench.store.stored is for records."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Literal

import msgspec

from rigmark.bench.host import files
from rigmark.bench.store import quoted, reading, sealing, stored
from rigmark.bench.store.quoted import Quoted, QuotedTable, Source
from rigmark.bench.store.reading import LeftOut
from rigmark.bench.store.stored import Part


class StoredTable(Part, frozen=True, kw_only=True):
    schema: stored.Number
    id: str
    origin: Literal["quoted"]
    source: Source
    rows: list[Quoted]
    notes: tuple[str, ...] = ()
    content: stored.Checksum | None = None


TABLE = msgspec.json.Decoder(StoredTable)


def read_all(paths: Iterable[Path]) -> tuple[list[QuotedTable], list[str]]:
    """Tables, first imported first, and a sentence for each that was left out."""
    tables, problems = [], []
    for path in sorted(paths):
        try:
            tables.append(_read(path))
        except files.NotThere:
            continue
        except LeftOut as error:
            problems.append(str(error))
    return sorted(tables, key=lambda table: (table.source.imported_at, table.id)), problems


def _read(path: Path) -> QuotedTable:
    try:
        content = files.read_bytes(path)
    except files.NotThere:
        raise
    except files.Unreadable as error:
        raise _damaged(path, error.reason) from None
    try:
        table = TABLE.decode(content)
        if table.schema > quoted.SCHEMA:
            raise reading.too_new("table", path, table.schema, quoted.SCHEMA)
        if why := next(_wrong(table), None):
            raise ValueError(why)
    except (ValueError, RecursionError) as error:
        reading.check_schema("table", content, path, quoted.SCHEMA)
        raise _damaged(path, reading.reason(error, content)) from None
    computed_id = quoted.id_of(table.source)
    if computed_id != table.id:
        raise _damaged(path, f"its id is {table.id}, and {computed_id} by its source")
    if table.content is not None and not sealing.fits(content, table.content):
        raise _damaged(path, sealing.EDITED)
    reading.check_name("table", path, computed_id)
    return QuotedTable(source=table.source, rows=tuple(table.rows), notes=table.notes)


def _wrong(table: StoredTable) -> Iterator[str]:
    """What no table of others can hold, a clause each."""
    if not table.rows:
        yield "it has no rows"
    for row in table.rows:
        yield from (f"{row.line}: {why}" for why in quoted.impossible(row))


def _damaged(path: Path, why: str) -> LeftOut:
    return LeftOut(
        f"table {files.shown(path)} is damaged and was left out ({files.shown(why)})",
        "rigmark import reads its file anew",
    )
