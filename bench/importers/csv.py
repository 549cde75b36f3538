"""Plain CSV with our names of facts and figures as column heads; other heads are renamed with --column THEIRS=OURS.

Figures may be in ms or us: "step_time_ms" is read as "step_time_s". A column with an unknown name only distinguishes
lines. The decimal sign is a point, or what --decimal states.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rigmark.bench.errors import unknown
from rigmark.bench.importers import BadFigure, NotThisFormat, Read, Refused, cell, table, whole_cell, without_end
from rigmark.bench.store.quoted import FACTS, FIGURES, OF_NETWORKS, WHOLE, Quoted

TITLE = "a CSV table of results"
HAS_COLUMNS = True
SCALES = {"_ms": 1e-3, "_us": 1e-6, "_ns": 1e-9}
WORDS = ("statistic", "unit", "outcome", "reason", "measured_at")
KNOWN = (*FACTS, *FIGURES, *WORDS)
NEAR = 0.85                  # similarity of names from which on a head is taken for a misspelling
LESS_NEAR = 0.75             # similarity from which on another name is suggested beside the nearest


def read(path: Path, columns: Mapping[str, str] | None = None, decimal: str | None = None) -> Read:
    renamed = columns or {}
    for name in renamed.values():
        if _known(name) is None:
            raise unknown("column", name, KNOWN)
    rows, refused = [], Refused()
    heads = None
    for line, cells in table(path, decimal):
        heads = heads or _heads(tuple(cells), renamed)
        with refused.line(f"line {line}"):
            rows.append(_row(line, cells, heads, decimal))
    return Read(rows=tuple(rows), notes=without_end(path), refused=tuple(refused.sentences))


def _heads(heads: Sequence[str], renamed: Mapping[str, str]) -> dict[str, tuple[str, float] | None]:
    """Our name and the scale of each column; None for a column with an unknown name. Raises NotThisFormat for a head
    that looks misspelled, and if no column is a figure or names the model."""
    missing = [name for name in renamed if name not in heads]
    if missing:
        raise NotThisFormat(f"it has no column '{missing[0]}'; it has {', '.join(heads)}")
    known_heads = {head: _known(renamed.get(head, head)) for head in heads}
    for head, known in known_heads.items():
        if known is None:
            _refuse_slips(head)
    ours = [known[0] for known in known_heads.values() if known is not None]
    if twice := [name for name in ours if ours.count(name) > 1]:
        raise NotThisFormat(f"two of its columns mean {twice[0]}")
    if "model" not in ours:
        raise NotThisFormat("no column has the name model; state which one names it with --column THEIRS=model: "
                            + ", ".join(heads))
    if not any(name in FIGURES and name not in OF_NETWORKS for name in ours):
        raise NotThisFormat(
            "no column of it is a figure; name one with --column THEIRS=OURS, where OURS is one of "
            + ", ".join(name for name in FIGURES if name not in OF_NETWORKS)
        )
    return known_heads


def _row(line: int, cells: Mapping[str, str], heads: Mapping[str, tuple[str, float] | None],
         decimal: str | None) -> Quoted:
    facts: dict[str, Any] = {}
    conditions: dict[str, str] = {}
    rounding: dict[str, float] = {}
    for head, text in cells.items():
        known = heads[head]
        if known is None:
            if text:
                conditions[head] = text
            continue
        name, scale = known
        if name in WHOLE:
            facts[name] = whole_cell(text, head, decimal)
        elif name not in FIGURES:
            facts[name] = text or None
        elif figure := cell(text, head, scale, decimal):
            facts[name] = figure.value
            if figure.rounding is not None:
                rounding[name] = figure.rounding
    if not facts.get("model"):
        raise BadFigure("the model", "is not named")
    facts["outcome"] = facts.get("outcome") or "ok"
    return Quoted(line=f"line {line}", conditions=conditions, rounding=rounding, **facts)


def _known(head: str) -> tuple[str, float] | None:
    """Our name of a column and the factor of its unit; None for an unknown name."""
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
