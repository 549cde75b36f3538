"""Telemetry of real trials: in the record, in a file beside it, and never in their way."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import duckdb
import jsonschema
import pytest

from rigmark.bench.enums import Outcome, StartMethod, TrialKind
from rigmark.bench.store.record import Record
from rigmark.bench.store.store import Store
from rigmark.bench.telemetry import recorder
from tests.fakes import SHORT, Answering, lend_framework, measure, rigmark, timing_record

SCHEMA = json.loads((Path(__file__).parents[2] / "docs/record.schema.json").read_text(encoding="utf-8"))
LONGER = replace(SHORT, min_time_s=0.3, max_time_s=0.5)


def telemetry(record: Record) -> dict[str, Any]:
    assert record.telemetry is not None
    return record.telemetry


def part_of(record: Record, device: str, region: str = "timed") -> dict[str, Any]:
    block = telemetry(record)
    number = [each["id"] for each in block["devices"]].index(device)
    (result,) = (each for each in block["regions"] if each["name"] == region)
    return next(part for part in result["devices"] if part["device"] == number)


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Record]]:
    folder = tmp_path_factory.mktemp("sweep")
    timing = replace(LONGER, start_method=StartMethod.SPAWN)
    return folder / "results", measure(folder, telemetry=True, layers=True, repetitions=2, timing=timing).stored


def test_records_with_telemetry_hold_to_the_schema(measured: tuple[Path, list[Record]]):
    for record in measured[1]:
        jsonschema.validate(json.loads(json.dumps(record.plain(), allow_nan=False)), SCHEMA)


def test_every_timed_trial_has_telemetry_and_a_proof_has_none(measured: tuple[Path, list[Record]]):
    proof, *others = measured[1]

    assert proof.telemetry is None
    assert [TrialKind.TIMING, TrialKind.TIMING, TrialKind.LAYERS] == [record.identity.kind for record in others]
    for record in others:
        assert telemetry(record)["problem"] is None
        assert ["warm_up", "timed"] == [region["name"] for region in telemetry(record)["regions"]]


def test_the_trials_own_cpu_time_is_that_which_it_saw_itself(measured: tuple[Path, list[Record]]):
    for record in measured[1][1:3]:
        assert record.measurement is not None
        seen_s = part_of(record, "trial")["values"]["cpu_time_s"]["difference"]
        # The regions' marks lie around the timings, and on a busy machine the worker does more between the two.
        assert seen_s == pytest.approx(sum(record.measurement["cpu_times_s"]), rel=0.2, abs=0.1)


def test_the_region_is_as_long_as_the_timed_steps(measured: tuple[Path, list[Record]]):
    for record in measured[1][1:3]:
        assert record.measurement is not None
        (timed,) = (region for region in telemetry(record)["regions"] if region["name"] == "timed")
        assert timed["duration_s"] >= sum(record.measurement["host_times_s"])
        marks = record.measurement["marks"]
        assert timed["duration_s"] == pytest.approx(marks["timed"] - marks["steady"])


def test_the_series_stands_beside_the_record(measured: tuple[Path, list[Record]]):
    folder, records = measured
    for record in records[1:]:
        path = folder / telemetry(record)["series"]
        (row,) = duckdb.sql(
            f"SELECT count(*), min(begin_ns), max(end_ns) FROM '{path}' WHERE field = 'cpu_busy_s'"
        ).fetchall()
        assert path.name == f"{record.key}.parquet"
        assert row[0] >= 3
        marks = (record.measurement or record.layers or {})["marks"]
        assert row[1] < marks["warm_up"] * 1e9 < marks["timed"] * 1e9 <= row[2]


def test_without_telemetry_there_is_none(tmp_path: Path):
    record = timing_record(measure(tmp_path, telemetry=False, launcher=Answering()))

    assert record.telemetry is None
    assert not (tmp_path / "results" / "telemetry").exists()


def test_the_trial_is_the_same_with_and_without(tmp_path: Path):
    without = timing_record(measure(tmp_path, telemetry=False, launcher=Answering()))

    assert [] == measure(tmp_path, telemetry=True, launcher=Answering()).stored
    assert without.key in Store(tmp_path / "results")


def test_a_trial_that_fails_keeps_what_was_seen_of_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    lend_framework(monkeypatch, "sleepy", """
def prepare(*arguments):
    from .numpy import adapter as numpy
    import time
    prepared = numpy.prepare(*arguments)
    if arguments[2]["mode"] == "inference" and arguments[2]["precision"] == "fp32":
        prepared.step = lambda: time.sleep(1000)
    return prepared
""")
    record = timing_record(measure(tmp_path, telemetry=True, frameworks=("sleepy",), deadline_s=3.0))

    assert Outcome.TIMEOUT is record.outcome
    assert (None, []) == (telemetry(record)["problem"], telemetry(record)["regions"])
    assert (tmp_path / "results" / telemetry(record)["series"]).exists()


def test_telemetry_that_fails_fails_no_trial(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def impossible(*arguments: Any) -> Any:
        raise ValueError("odd")

    monkeypatch.setattr(recorder.regions, "described", impossible)
    record = timing_record(measure(tmp_path, telemetry=True))

    assert Outcome.OK is record.outcome
    assert "its readings are inconsistent: ValueError: odd" == telemetry(record)["problem"]


def test_a_series_that_cannot_be_stored_is_a_problem_and_no_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def full(*arguments: Any) -> str:
        raise OSError("No space left on device")

    monkeypatch.setattr(Store, "put_series", full)
    record = timing_record(measure(tmp_path, telemetry=True))

    assert (Outcome.OK, None) == (record.outcome, telemetry(record)["series"])
    assert "its series could not be stored: No space left on device" == telemetry(record)["problem"]


@pytest.mark.parametrize("rate", ["often", "0", "-1", "1000", "nan"])
def test_a_rate_that_cannot_be_is_bad_input(tmp_path: Path, rate: str):
    result = rigmark("run", "--model", "mlp", "--framework", "numpy", "--telemetry", rate, cwd=tmp_path)

    assert 2 == result.returncode
    assert f"rigmark: --telemetry takes off, or up to 100 reads per second, not '{rate}'\n" == result.stderr
