"""Tables as text for other programs."""

from __future__ import annotations

import re
from typing import Any

import pandas as pd

FORMULA = frozenset("=+-@\t\r＝＋－＠")
NUMBER = re.compile(r"^[+\-][\d.,]+(e[+\-]?\d+)?( ?%)?$", re.IGNORECASE)


def csv(frame: pd.DataFrame, *, digits: int | None = None) -> str:
    """A table as CSV, a line a row, with a head; floats with so many significant digits, or all that they have.

    Names and messages come from records, and a spreadsheet runs a text as a formula that begins with =, +, - or @
    (OWASP, "CSV Injection"): such a text gets an apostrophe before it. Numbers stay as they are, and JSON and Parquet
    hold every text as it was.
    """
    def shown(cell: Any) -> Any:
        if digits is not None and isinstance(cell, float):
            return float(f"{cell:.{digits}g}")
        return [shown(item) for item in cell] if isinstance(cell, list) else inert(cell)

    return frame.map(shown).rename(columns=inert).to_csv(index=False, lineterminator="\n")


def inert(cell: Any) -> Any:
    """The cell; where it is a text that a spreadsheet would run, with an apostrophe before it."""
    if isinstance(cell, str) and cell[:1] in FORMULA and not NUMBER.match(cell):
        return f"'{cell}"
    return cell
