"""Readings on disk: what was written is read back, also after a kill in the middle of a write."""

from __future__ import annotations

from pathlib import Path

import duckdb
import pytest

from rigmark.bench.telemetry import series
from rigmark.bench.telemetry.series import Described, Writer
from rigmark.bench.telemetry.sources import Device, Field, Meaning, Reading, Reason, Tier

SOURCES = (
    Described(name=series.SAMPLER, rate_hz=10.0, fields=series.OWN_FIELDS, devices=(
        Device(id="gpus", kind="sampler", name="gpus"),
    )),
    Described(
        name="gpus", rate_hz=10.0,
        fields=(
            Field(name="power_w", meaning=Meaning.GAUGE, tier=Tier.FAST),
            Field(name="events", meaning=Meaning.BITS, tier=Tier.SLOW, flags=("hot",)),
        ),
        devices=(Device(id="A", kind="gpu", name="first"), Device(id="B", kind="gpu", name="second", unknown={
            "power_limit_w": Reason.NO_PERMISSION,
        })),
    ),
)
READINGS = [
    Reading(1, 0, 10**15, 10**15 + 7, 123.456, None), Reading(0, 1, 10**15 + 8, 10**15 + 9, None, Reason.LOST),
    Reading(0, 0, 10**15 + 10, 10**15 + 11, 0.0, None),
]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    writer = Writer(tmp_path / "readings.bin")
    writer.append(1, READINGS[:2])
    writer.append(1, READINGS[2:])
    writer.close()
    return tmp_path / "readings.bin"


def test_a_table_has_every_reading_with_its_names_and_reason(path: Path):
    frame = series.table(series.read(path), SOURCES)

    assert [("gpus", "B", "power_w"), ("gpus", "A", "events"), ("gpus", "A", "power_w")] == list(
        zip(frame.source, frame.device, frame.field, strict=True)
    )
    assert [(10**15, 10**15 + 7), (10**15 + 8, 10**15 + 9), (10**15 + 10, 10**15 + 11)] == list(
        zip(frame.begin_ns, frame.end_ns, strict=True)
    )
    assert [False, True, False] == list(frame.value.isna())
    assert "lost" == frame.reason[1]


def test_unknown_is_null_and_zero_is_zero_in_parquet(path: Path, tmp_path: Path):
    series.write_parquet(tmp_path / "x.parquet", series.read(path), SOURCES)

    result = duckdb.sql(f"SELECT value, reason FROM '{tmp_path}/x.parquet' ORDER BY begin_ns").fetchall()
    assert [(123.456, None), (None, "lost"), (0.0, None)] == result


@pytest.mark.parametrize("torn", [1, series.RECORD.size - 1])
def test_a_torn_last_record_is_left_out(path: Path, torn: int):
    path.write_bytes(path.read_bytes() + b"\1" * torn)

    assert 3 == len(series.read(path))


def test_no_reading_makes_an_empty_table(tmp_path: Path):
    series.write_parquet(tmp_path / "x.parquet", series.read_bytes(b""), SOURCES)

    assert [(0,)] == duckdb.sql(f"SELECT count(*) FROM '{tmp_path}/x.parquet'").fetchall()


def test_after_a_write_that_was_cut_short_nothing_more_is_appended(path: Path, monkeypatch: pytest.MonkeyPatch):
    writer = Writer(path.with_name("other.bin"))
    with monkeypatch.context() as disk:
        disk.setattr(series.os, "write", lambda descriptor, content: len(content) - 1)
        with pytest.raises(OSError, match="full"):
            writer.append(0, READINGS)
    with pytest.raises(OSError, match="full"):
        writer.append(0, READINGS)
    writer.close()

    assert 0 == len(series.read(path.with_name("other.bin")))


def test_a_described_source_is_the_same_after_json():
    assert SOURCES == tuple(series.described(source.plain()) for source in SOURCES)
