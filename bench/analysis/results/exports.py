"""Exports tables as text for other programs."""

from __future__ import annotations

import json
import math
import re
from typing import Any

import pandas as pd

from rigmark.bench.analysis.results.summary import is_nothing, rows_of
from rigmark.bench.host.plain import plain_lines

FORMULA = frozenset("=+-@＝＋－＠")
NUMBER = re.compile(r"^[+\-][\d.,]+(e[+\-]?\d+)?( ?%)?$", re.IGNORECASE)


def csv(frame: pd.DataFrame, *, digits: int | None = None) -> str:
    """A table as CSV with a head; floats have ``digits`` significant digits, or all digits.

    Names and messages come from records, and people look at tables in terminals, so control sequences are replaced by a
    mark, see bench.host.plain. Spreadsheets run a text that begins with =, +, - or @ as a formula (OWASP, "CSV
    Injection"): such a text is preceded by an apostrophe. Numbers are not changed, and JSON and Parquet contain every
    text unchanged.
    """
    def shown(cell: Any) -> Any:
        if digits is not None and isinstance(cell, float):
            return float(f"{cell:.{digits}g}")
        return [shown(item) for item in cell] if isinstance(cell, list) else inert(cell)

    return frame.map(shown).rename(columns=inert).to_csv(index=False, lineterminator="\n")


def records(frame: pd.DataFrame) -> str:
    """A table as JSON, one object per row, with all digits of numbers; what is not known is null."""
    def known(cell: Any) -> Any:
        if isinstance(cell, list):
            return [known(item) for item in cell]
        return None if is_nothing(cell) or cell in (math.inf, -math.inf) else cell

    # DataFrame.to_json writes at most ten decimals, which would turn an error of 1e-14 into 0.
    rows = [{name: known(cell) for name, cell in row.items()} for row in rows_of(frame)]
    return json.dumps(rows, indent=1, allow_nan=False) + "\n"


def inert(cell: Any) -> Any:
    """The cell; a text without control sequences, and with an apostrophe before what a spreadsheet would run."""
    if not isinstance(cell, str):
        return cell
    text = plain_lines(cell)
    return f"'{text}" if text.lstrip()[:1] in FORMULA and not NUMBER.match(text) else text
