"""A results folder in which much has come together: sessions over weeks, watched trials, what others published."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator
from pathlib import Path

import duckdb

from rigmark.bench.store.quoted import Quoted, QuotedTable, Source
from rigmark.bench.store.record import Record
from rigmark.bench.store.store import Store
from tests.reports import records, watched

SESSIONS, SLOWER_FROM, BY = 24, 15, 1.12
QUOTED = QuotedTable(
    source=Source(
        format="convnet_benchmarks", file="README.md", sha256="5" * 64, imported_at="2026-11-22T01:00:00+00:00",
        title="convnet-benchmarks", url="https://github.com/soumith/convnet-benchmarks", published="2016",
    ),
    rows=tuple(
        Quoted(
            line=f"line {number}", model="AlexNet", mode="training", framework=framework, device="gpu",
            device_name="TITAN X", local_batch=128, step_time_s=forward_s + backward_s, statistic="mean",
            forward_time_s=forward_s, backward_time_s=backward_s, conditions={"library": "cuDNN R4"},
        )
        for number, (framework, forward_s, backward_s) in enumerate(
            [("torch7", 0.025, 0.046), ("tensorflow", 0.026, 0.055), ("caffe", 0.121, 0.203)], start=17
        )
    ),
    notes=("line 21: 'n/a' is no time",),
)


def sessions() -> Iterator[Record]:
    """One case on as many days; it got slower on one of them."""
    for day in range(SESSIONS):
        step_time_s = 0.0021 * (BY if day >= SLOWER_FROM else 1.0) * (1 + 0.01 * math.sin(day * day))
        result = records.timing(records.case("torch", "inference"), 0, step_time_s)
        yield dataclasses.replace(
            result, identity=dataclasses.replace(result.identity, session=str(day + 1)),
            recorded_at=f"2026-10-{day + 1:02d}T02:00:00+00:00",
        )


def store(root: Path) -> Store:
    """The folder, with the readings of its watched trials."""
    trials = [watched.trial(repetition) for repetition in range(2)]
    proofs = [records.proof(records.case("torch")), records.proof({**records.case("torch"), "device": "cuda:0"})]
    result = records.stored(root, [*proofs, *sessions(), *trials])
    for trial in trials:
        result.put_series(trial.id, write_readings)
    result.quoted.put(QUOTED)
    return result


def write_readings(path: Path) -> None:
    with duckdb.connect() as connection:
        connection.register("readings", watched.readings())
        connection.execute("COPY readings TO $1 (FORMAT parquet)", [str(path)])
