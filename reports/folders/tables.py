"""Every table of a document as CSV and as Parquet, all of them as JSON, and the files that the document holds."""

from __future__ import annotations

import json
import math
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd
from pandas.api.types import is_numeric_dtype

from rigmark.bench.analysis.results.exports import csv
from rigmark.bench.document.document import Attachment, Document, Table
from rigmark.reports.folders import File, Folder, blocks, file_names

VALUE = "[value]"            # behind the title of a column that holds numbers in their base unit, as stored


def files(document: Document) -> Folder:
    """NAME.csv and NAME.parquet for each table, tables.json, and each attachment.

    A column of numbers stands twice: as the report says it, in the unit of its title, and as it is stored, in full and
    in the base unit (seconds, bytes, samples/s, a ratio). Where two columns of a table have one title, the second is
    NAME_2 in Parquet, which has each name once, whatever the case of its letters.
    """
    every = list(blocks(document))
    tables = [block for block in every if isinstance(block, Table)]
    names = list(file_names(table.id.removeprefix("table.") for table in tables))
    plain = [{"file": f"{name}.csv", **_plain(table)} for name, table in zip(names, tables, strict=True)]
    frames = [_frame(table) for table in tables]
    files = [File(name=f"{name}.csv", content=csv(frame).encode()) for name, frame in zip(names, frames, strict=True)]
    files += [
        File(name=f"{name}.parquet", content=_parquet(frame))
        for name, frame in zip(names, frames, strict=True) if frame.shape[1]
    ]
    content = json.dumps(plain, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
    files.append(File(name="tables.json", content=content.encode()))
    attached = [block for block in every if isinstance(block, Attachment)]
    files += [File(name=each.name, content=each.content.encode()) for each in attached]
    return Folder(files=tuple(files))


def _frame(table: Table) -> pd.DataFrame:
    columns: list[tuple[str, list[Any]]] = []
    for index, column in enumerate(table.columns):
        title = f"{column.title} ({column.unit})" if column.unit else column.title
        cells = [row.cells[index] for row in table.rows]
        columns.append((title, [cell.text for cell in cells]))
        if any(cell.value is not None for cell in cells):
            columns.append((f"{column.title} {VALUE}", [cell.value for cell in cells]))
    frame = pd.DataFrame(dict(enumerate(values for _, values in columns)))
    return frame.set_axis([title for title, _ in columns], axis=1)       # two columns may have one title


def _parquet(frame: pd.DataFrame) -> bytes:
    """Texts as VARCHAR and values as DOUBLE, also where there is none."""
    from rigmark.bench.host.database import connected

    plain = frame.set_axis([str(index) for index in range(frame.shape[1])], axis=1)
    types = ["DOUBLE" if is_numeric_dtype(kind) else "VARCHAR" for kind in plain.dtypes]
    titles = [title.replace('"', '""') for title in _once(frame.columns)]
    columns = ", ".join(
        f'"{name}"::{kind} AS "{title}"' for name, kind, title in zip(plain, types, titles, strict=True)
    )
    with tempfile.TemporaryDirectory() as scratch, connected() as connection:
        path = Path(scratch) / "table.parquet"
        connection.register("rows", plain)
        connection.execute(f"COPY (SELECT {columns} FROM rows) TO $1 (FORMAT parquet)", [str(path)])
        return path.read_bytes()


def _once(titles: Iterable[str]) -> Iterator[str]:
    """The titles, with a number behind one that was there before, whatever the case of its letters."""
    taken: set[str] = set()
    for title in titles:
        name, number = title, 1
        while name.lower() in taken:
            number += 1
            name = f"{title}_{number}"
        taken.add(name.lower())
        yield name


def _plain(table: Table) -> dict[str, Any]:
    return {
        "id": table.id, "caption": table.caption,
        "columns": [{"title": column.title, "unit": column.unit} for column in table.columns],
        "rows": [
            {"id": row.id, "cells": [{"text": cell.text, "value": _finite(cell.value)} for cell in row.cells]}
            for row in table.rows
        ],
        "notes": list(table.notes),
    }


def _finite(value: float | None) -> float | None:
    """JSON has no infinity; the text says what it was."""
    return value if value is not None and math.isfinite(value) else None
