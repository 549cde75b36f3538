"""Tables as text for other programs."""

from __future__ import annotations

import re
from typing import Any

import pandas as pd

FORMULA = re.compile(r"^[=+\-@\t\r＝＋－＠]")
NUMBER = re.compile(r"^[+\-][\d.,]+(e[+\-]?\d+)?( ?%)?$", re.IGNORECASE)


def csv(frame: pd.DataFrame, *, float_format: str | None = None) -> str:
    """A table as CSV, a line a row, with a head.

    Names and messages come from records, and a spreadsheet runs a text as a formula that begins with =, +, - or @
    (OWASP, "CSV Injection"): such a text gets an apostrophe before it. Numbers stay as they are, and JSON and Parquet
    hold every text as it was.
    """
    return frame.map(inert).rename(columns=inert).to_csv(index=False, lineterminator="\n", float_format=float_format)


def inert(cell: Any) -> Any:
    """The cell; where it is a text that a spreadsheet would run, with an apostrophe before it."""
    if isinstance(cell, str) and FORMULA.match(cell) and not NUMBER.match(cell):
        return f"'{cell}"
    return cell
