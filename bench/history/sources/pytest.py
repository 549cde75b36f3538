"""JSON of pytest-benchmark (--benchmark-json, or its storage): the median time per call."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rigmark.bench.history.sources import Measured, each_of, known, number

TITLE = "a result of pytest-benchmark"
FILES = "*.json"


def measured(content: Mapping[str, Any], path: Path) -> Measured:
    machine, commit = content["machine_info"], content.get("commit_info") or {}
    times_s = {
        str(each.get("fullname") or each["name"]): number(each["stats"]["median"])
        for each in each_of(content["benchmarks"])
    }
    date = content.get("datetime")
    return Measured(
        times_s=times_s, facts=known(
            machine=machine.get("node"), python=machine.get("python_version"),
            processor=(machine.get("cpu") or {}).get("brand_raw") or machine.get("processor"),
        ), commit=commit.get("id"), date_s=None if date is None else _date_s(str(date)),
        is_changed=bool(commit.get("dirty")),
    )


def _date_s(text: str) -> float:
    """It is written in UTC, by old versions without saying so."""
    date = datetime.fromisoformat(text)
    return (date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp()
