"""Folders of criterion.rs, of each commit a copy of target/criterion: the median time of one iteration.

It states neither commit nor machine nor date. Folders "base" and "change", and named baselines, are of earlier runs.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rigmark.bench.history.sources import Measured, number
from rigmark.bench.host import files

TITLE = "a result of criterion"
FILES = "new/estimates.json"


def measured(content: Mapping[str, Any], path: Path) -> Measured:
    time_s = 1e-9 * number(content["median"]["point_estimate"])
    return Measured(times_s={_name(path): time_s})


def _name(path: Path) -> str:
    """The name of a benchmark, as the file beside its estimates states it."""
    described = files.read_json(path.with_name("benchmark.json"))
    return str(described["full_id"])
