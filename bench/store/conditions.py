"""Conditions on results, in SQL, as users write them."""

from __future__ import annotations

import difflib
import re
from typing import TYPE_CHECKING

from rigmark.bench.errors import UserError
from rigmark.bench.host.database import connected

if TYPE_CHECKING:
    import pandas as pd

NO_COLUMN = re.compile(r'Referenced column "(.*?)" (?:was )?not found')
PLACE = re.compile(r'syntax error at or near "(.*?)"')


def filtered(table: pd.DataFrame, where: str | None) -> pd.DataFrame:
    """The rows of results that meet an SQL condition; raises UserError for an invalid condition."""
    import duckdb

    if where is None or table.empty:
        return table
    with connected(enable_external_access="false") as connection:
        connection.register("results", table.assign(row_number=range(len(table))))
        try:
            rows = connection.execute(f"SELECT row_number FROM results WHERE {where}").fetchall()
        except duckdb.Error as error:
            raise UserError(f"--where is not a valid condition on results: {_said(error, table)}") from None
    return table.iloc[sorted(row for (row,) in rows)]


def _said(error: Exception, table: pd.DataFrame) -> str:
    """The database's complaint about a condition, in the words of the user."""
    text = str(error)
    if match := NO_COLUMN.search(text):
        near = difflib.get_close_matches(match[1], [str(name) for name in table], n=1)
        hint = f"did you mean {near[0]}?" if near else f"write a text in single quotes: '{match[1]}'"
        return f"there is no column {match[1]}; {hint}"
    example = "an example: framework = 'torch' AND local_batch > 8"
    if match := PLACE.search(text):
        return f"it is not valid at '{match[1]}'; {example}"
    return f"{text.splitlines()[0].partition(': ')[2].rstrip('!.')}; {example}"
