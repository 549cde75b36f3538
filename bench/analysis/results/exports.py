"""Tables as text for other programs."""

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
    """A table as CSV, a line a row, with a head; floats with so many significant digits, or all that they have.

    Names and messages come from records, and people look at tables in terminals: what those could obey becomes a mark,
    see bench.host.plain. A spreadsheet runs a text as a formula that begins with =, +, - or @ (OWASP, "CSV
    Injection"): such a text gets an apostrophe before it. Numbers stay as they are, and JSON and Parquet hold every
    text as it was.
    """
    def shown(cell: Any) -> Any:
        if digits is not None and isinstance(cell, float):
            return float(f"{cell:.{digits}g}")
        return [shown(item) for item in cell] if isinstance(cell, list) else inert(cell)

    return frame.map(shown).rename(columns=inert).to_csv(index=False, lineterminator="\n")


def records(frame: pd.DataFrame) -> str:
    """A table as JSON, a record a row, with all digits that a number has; what is not known is null."""
    def known(cell: Any) -> Any:
        if isinstance(cell, list):
            return [known(item) for item in cell]
        return None if is_nothing(cell) or cell in (math.inf, -math.inf) else cell

    # DataFrame.to_json keeps ten decimals at most, and an error of 1e-14 is no 0.
    rows = [{name: known(cell) for name, cell in row.items()} for row in rows_of(frame)]
    return json.dumps(rows, indent=1, allow_nan=False) + "\n"


def inert(cell: Any) -> Any:
    """The cell; a text without what a terminal obeys, and with an apostrophe before what a spreadsheet would run."""
    if not isinstance(cell, str):
        return cell
    text = plain_lines(cell)
    return f"'{text}" if text.lstrip()[:1] in FORMULA and not NUMBER.match(text) else text
