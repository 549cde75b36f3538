"""Trials with telemetry: two GPUs, one of them held back by heat for a while."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd

from rigmark.bench.store.record import Record
from tests.reports import records

MARKS = {"started": 10.0, "prepared": 12.0, "warm_up": 13.0, "steady": 14.0, "timed": 20.0}
BEGIN_S, END_S, HOT_S = 10.0, 20.0, (15.0, 17.0)
DEVICES = ("GPU-a", "GPU-b")


def trial(repetition: int = 0, **changes: Any) -> Record:
    """A timing trial that names a series."""
    result = records.timing({**records.case("torch"), "device": "cuda:0"}, repetition, 0.01, **changes)
    assert result.measurement is not None
    return dataclasses.replace(result, measurement={**result.measurement, "marks": MARKS}, telemetry=block())


def block(**changes: Any) -> dict[str, Any]:
    return {
        "rate_hz": 20.0, "series": "telemetry/some.parquet", "problem": None, "unavailable": {}, "sampler": {},
        "devices": [
            {"source": "nvml", "rate_hz": 20.0, "id": name, "kind": "gpu", "name": "NVIDIA H100",
             "facts": {"index": index}, "unknown": {}, "used": True}
            for index, name in enumerate(DEVICES)
        ],
        "regions": [], **changes,
    }


def readings(points: int = 200) -> pd.DataFrame:
    """As bench.telemetry.series.read_parquet has them; the clock falls while it is hot."""
    times_s = np.linspace(BEGIN_S, END_S, points)
    is_hot = (times_s >= HOT_S[0]) & (times_s < HOT_S[1])
    parts = list(_fields(times_s, is_hot))
    return pd.concat(parts, ignore_index=True)


def _fields(times_s: np.ndarray[Any, Any], is_hot: np.ndarray[Any, Any]) -> Iterator[pd.DataFrame]:
    for index, device in enumerate(DEVICES):
        fields = {
            "power_w": 300.0 + 100 * index + 20 * np.sin(3 * times_s),
            "sm_clock_hz": np.where(is_hot & (index == 0), 1.2e9, 1.9e9 + 1e7 * np.sin(times_s)),
            "pcie_sent_bytes": 1e9 * (times_s - BEGIN_S),
            "clock_events.thermal": np.where(is_hot & (index == 0), 1.0, 0.0),
        }
        for name, values in fields.items():
            at_ns = (times_s * 1e9).astype(np.int64)
            yield pd.DataFrame({
                "source": "nvml", "device": device, "field": name, "begin_ns": at_ns, "end_ns": at_ns,
                "value": pd.array(values, dtype="Float64"), "reason": None,
            })


