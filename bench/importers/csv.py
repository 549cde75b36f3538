"""Plain CSV with our own names of facts and figures as column heads; another head is named with --column THEIRS=OURS.

Figures may be in ms or us: "step_time_ms" is taken for "step_time_s". A column that is none of ours tells lines apart.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rigmark.bench.errors import unknown
from rigmark.bench.importers import NotThisFormat, Read, has_figure, number, table, whole, without_end
from rigmark.bench.store.quoted import FACTS, FIGURES, WHOLE, Quoted

TITLE = "a CSV table of results"
HAS_COLUMNS = True
SCALES = {"_ms": 1e-3, "_us": 1e-6, "_ns": 1e-9}
WORDS = ("statistic", "unit", "outcome", "reason")
KNOWN = (*FACTS, *FIGURES, *WORDS)
NEAR = 0.85                  # likeness of names from which a head is taken for a slip of the pen
LESS_NEAR = 0.75             # from which another name is offered beside the nearest


def read(path: Path, columns: Mapping[str, str] | None = None) -> Read:
    renamed = columns or {}
    for name in renamed.values():
        if _known(name) is None:
            raise unknown("column", name, KNOWN)
    rows = []
    for line, cells in table(path):
        missing = [name for name in renamed if name not in cells]
        if missing:
            raise NotThisFormat(f"it has no column '{missing[0]}'; it has {', '.join(cells)}")
        rows.append(_row(line, {renamed.get(name, name): cell for name, cell in cells.items()}))
    if rows and not any(map(has_figure, rows)):
        raise NotThisFormat(
            "no column of it is a figure; name one with --column THEIRS=OURS, where OURS is one of "
            + ", ".join(FIGURES)
        )
    return Read(rows=tuple(rows), notes=without_end(path))


def _row(line: int, cells: Mapping[str, str]) -> Quoted:
    facts: dict[str, Any] = {}
    conditions: dict[str, str] = {}
    for head, cell in cells.items():
        known = _known(head)
        if known is None:
            _refuse_slips(head)
            if cell:
                conditions[head] = cell
        else:
            name, scale = known
            where = f"{head} in line {line}"
            facts[name] = whole(cell, where) if name in WHOLE else \
                number(cell, where, scale) if name in FIGURES else cell or None
    if not facts.get("model"):
        raise NotThisFormat(f"line {line} names no model; say which of its columns does with --column THEIRS=model: "
                            + ", ".join(cells))
    facts["outcome"] = facts.get("outcome") or "ok"
    return Quoted(line=f"line {line}", conditions=conditions, **facts)


def _known(head: str) -> tuple[str, float] | None:
    """Our name of a column and what its numbers are times; None for a column of none of our names."""
    if head in KNOWN:
        return head, 1.0
    for ending, scale in SCALES.items():
        name = f"{head.removesuffix(ending)}_s"
        if head.endswith(ending) and name in FIGURES:
            return name, scale
    return None


def _refuse_slips(head: str) -> None:
    if difflib.get_close_matches(head.lower(), KNOWN, n=1, cutoff=NEAR):
        near = difflib.get_close_matches(head.lower(), KNOWN, n=2, cutoff=LESS_NEAR)
        raise NotThisFormat(f"it has a column '{head}', which is not known; did you mean "
                            f"{' or '.join(map(repr, near))}? Say so with --column {head}={near[0]}")
