"""Result folders of asv, of any project: one line per measured commit; see bench.history.asv_results."""

from __future__ import annotations

import re
from pathlib import Path

from rigmark.bench.errors import UserError
from rigmark.bench.history import asv_results
from rigmark.bench.importers import NotThisFormat, Read
from rigmark.bench.store.quoted import Quoted

TITLE = "a result folder of asv"
SECONDS, RATE = ("s", "sec", "seconds"), re.compile(r"(images|samples)\s*/\s*s(ec|econd)?\b")


def read(path: Path) -> Read:
    try:
        history = asv_results.read(path)
    except UserError as error:
        raise NotThisFormat(str(error)) from None
    rows = []
    for series in history.series:
        conditions = {name: fact for name, fact in series.facts.items() if fact}
        unit = series.unit.strip().lower()
        for revision, value in zip(series.revisions, series.values, strict=True):
            is_time, is_rate = unit in SECONDS, bool(RATE.fullmatch(unit))
            rows.append(Quoted(
                line=f"{series.label} at {revision[:10]}", model=series.label,
                conditions={**conditions, "revision": revision},
                step_time_s=float(value) if is_time else None, statistic="median" if is_time else None,
                throughput_samples_per_s=float(value) if is_rate else None,
                value=None if is_time or is_rate else float(value),
                unit=None if is_time or is_rate else series.unit or None,
            ))
    return Read(rows=tuple(rows), notes=(*history.problems, *history.notes))
