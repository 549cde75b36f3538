"""JSON of hyperfine (--export-json): the median time of each command. It states neither commit nor machine nor date."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rigmark.bench.history.sources import Measured, each_of, number

TITLE = "a result of hyperfine"
FILES = "*.json"


def measured(content: Mapping[str, Any], path: Path) -> Measured:
    times_s: dict[str, float | None] = {}
    for each in each_of(content["results"]):
        has_failed = any(code != 0 for code in each.get("exit_codes") or ())
        times_s[str(each["command"])] = None if has_failed else number(each["median"])
    return Measured(times_s=times_s, failures="the command ended with another exit code than 0")
