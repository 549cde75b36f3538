"""A report is made from parts that are computed once, whichever of its sections, claims and sentences ask for them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rigmark.bench.analysis import scaling
from rigmark.bench.analysis.layers import layers
from rigmark.bench.analysis.results import proofs, quoted
from rigmark.bench.reporting import gather
from rigmark.bench.sections import inputs, timeline
from rigmark.bench.store.quoted_tables import QuotedTables
from rigmark.bench.store.store import Store
from tests.reports import gathered, records


def test_each_part_of_a_report_is_computed_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = gathered.store(tmp_path)
    for record in records.layer_profiles():
        store.put(record)
    calls: Counter[tuple[str, str]] = Counter()

    def counted(of: Callable[..., Any], name: str) -> Callable[..., Any]:
        def call(*arguments: Any, **named: Any) -> Any:
            about = arguments[-1]
            calls[name, str(about) if isinstance(about, str | Path) else ""] += 1
            return of(*arguments, **named)
        return call

    parts = [
        (layers, "chosen"), (layers, "read"), (proofs, "read"), (scaling, "read"), (quoted, "rows"),
        (timeline, "chosen"), (inputs, "results"), (inputs, "by_repetition"), (inputs, "groups"), (inputs, "latest"),
        (inputs, "together"), (inputs, "read_parquet"), (Store, "trials"), (QuotedTables, "all"), (Store, "get"),
    ]
    for where, name in parts:
        monkeypatch.setattr(where, name, counted(getattr(where, name), f"{where.__name__}.{name}"))
    result = gather.report(store)

    assert {"claims", "quoted", "telemetry", "layers"} <= {section.id for section in result.document.sections}
    assert {f"{where.__name__}.{name}" for where, name in parts} == {name for name, _ in calls}
    assert not {call: count for call, count in calls.items() if count > 1}
