"""Every table of a document as CSV, all of them as JSON, and the files that the document holds."""

from __future__ import annotations

import json
import math
from typing import Any

import pandas as pd

from bench.analysis.document import Attachment, Document, Table
from bench.analysis.exports import csv
from reports.folders import File, Folder, blocks, file_names

VALUE = "[value]"            # behind the title of a column that holds numbers in their base unit, as stored


def files(document: Document) -> Folder:
    """NAME.csv for each table, tables.json, and each attachment.

    A column of numbers stands twice: as the report says it, in the unit of its title, and as it is stored, in full and
    in the base unit (seconds, bytes, samples/s, a ratio).
    """
    found = list(blocks(document))
    tables = [block for block in found if isinstance(block, Table)]
    names = list(file_names(table.id.removeprefix("table.") for table in tables))
    plain = [{"file": f"{name}.csv", **_plain(table)} for name, table in zip(names, tables, strict=True)]
    files = [
        File(name=f"{name}.csv", content=csv(_frame(table)).encode())
        for name, table in zip(names, tables, strict=True)
    ]
    content = json.dumps(plain, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
    files.append(File(name="tables.json", content=content.encode()))
    attached = [block for block in found if isinstance(block, Attachment)]
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
