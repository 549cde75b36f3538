"""Which layer trials a CASE of ``rigmark layers`` names, and how a case is named in messages."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rigmark.bench.enums import Outcome
from rigmark.bench.errors import UserError
from rigmark.bench.plan import axes

if TYPE_CHECKING:
    import pandas as pd

AXES = {**{axis.swept.word: axis.name for axis in axes.AXES}, "session": "session"}
"""The names that a CASE may use, with their columns."""

NEED_NAMES = frozenset({axis.name for axis in axes.AXES if axis.type in (int, bool)} | {"session"})
"""Columns whose values must be written with a name: batch=32."""

LISTED = 12                  # cases that the message about an unknown CASE lists


def meant(tried: pd.DataFrame, cases: Sequence[str], results: Path) -> list[pd.DataFrame]:
    """The layer trials that match each CASE, or all of them without a CASE; raises UserError if none match."""
    if tried.empty or not cases:
        return [tried]
    rows = tried.to_dict("records")
    matching = []
    for case in cases:
        words = [word for word in case.split("/") if word]
        these = [row["id"] for row in rows if words and all(_matches(row, word) for word in words)]
        if not these:
            raise UserError(_nothing(case, words, rows, results))
        matching.append(tried[tried.id.isin(these)])
    return matching


def _matches(row: dict[Any, Any], word: str) -> bool:
    axis, is_named, value = word.partition("=")
    if is_named:
        return axis in AXES and str(row[AXES[axis]]) == value
    return any(str(row[column]) == word for column in AXES.values() if column not in NEED_NAMES)


def _nothing(case: str, words: Sequence[str], rows: Sequence[dict[Any, Any]], results: Path) -> str:
    """The message about a CASE that matches nothing: the nearest name, the stored cases, how to measure others."""
    known = {str(row[column]) for row in rows for column in AXES.values() if column not in NEED_NAMES}
    strange = [word for word in words if not any(_matches(row, word) for row in rows)]
    near = [match for word in strange for match in difflib.get_close_matches(word, known, n=1)]
    hint = f"; did you mean '{near[0]}'?" if near else ";"
    names = list(dict.fromkeys(_name(row) for row in rows if row["outcome"] == Outcome.OK)) or ["none"]
    more = f" and {len(names) - LISTED} more" if len(names) > LISTED else ""
    return (f"no layer times of '{case}'{hint} stored: {', '.join(names[:LISTED])}{more}. To measure others: "
            f"rigmark run --model MODEL --framework FRAMEWORK --layers --results {results}")


def _name(row: dict[Any, Any]) -> str:
    words = (row[column] for column in axes.named_but("layout", "device"))
    return f"{'/'.join(map(str, words))}/batch={row['local_batch']}"


def sentences(refused: pd.DataFrame) -> list[str]:
    """The reasons why layer trials have no times, one sentence per trial."""
    return [f"{_name(row)}: {row['outcome']}: {row['reason']}" for row in refused.to_dict("records")]
