"""A stored series is read back, its flags each as a field of their own."""

from __future__ import annotations

from pathlib import Path

import duckdb
import numpy as np
import pytest

from rigmark.bench.telemetry import series
from rigmark.bench.telemetry.series import Described
from rigmark.bench.telemetry.sources import Device, load

FIELDS = {field.name: field for field in load("nvml").FIELDS}
GPU = Described(
    name="nvml", rate_hz=20.0, fields=(FIELDS["power_w"], FIELDS["clock_events"]),
    devices=(Device(id="GPU-a", kind="gpu", name="H100"),),
)


def readings(*events: int) -> np.ndarray:
    """Of 300 W, and these words of flags, a millisecond apart."""
    content = b"".join(
        series.RECORD.pack(1_000_000 * i, 1_000_000 * i, value, 0, 0, 0, field)
        for i, word in enumerate(events) for field, value in ((0, 300.0), (1, float(word)))
    )
    return series.read_bytes(content)


def test_each_flag_that_was_ever_set_is_a_field(tmp_path: Path) -> None:
    thermal, idle = (1 << FIELDS["clock_events"].flags.index(flag) for flag in ("thermal", "idle"))
    path = tmp_path / "trial.parquet"
    series.write_parquet(path, readings(idle, 0, thermal, thermal), [GPU])
    frame = series.read_parquet(path)
    values = {field: list(rows.value) for field, rows in frame.groupby("field")}

    assert values["power_w"] == [300.0] * 4
    assert values["clock_events.thermal"] == [0.0, 0.0, 1.0, 1.0]
    assert values["clock_events.idle"] == [1.0, 0.0, 0.0, 0.0]
    assert "clock_events.hw_thermal" not in values


def test_a_file_that_is_none_is_an_error_in_a_sentence(tmp_path: Path) -> None:
    path = tmp_path / "trial.parquet"
    path.write_bytes(b"no parquet")

    with pytest.raises(OSError, match=r"trial\.parquet"):
        series.read_parquet(path)


SPOILT = {
    "no times": "SELECT * EXCLUDE (begin_ns) FROM good",
    "times that are texts": "SELECT * REPLACE (begin_ns::VARCHAR AS begin_ns) FROM good",
    "values that are texts": "SELECT * REPLACE ('1_0' AS value) FROM good",
    "values that are truths": "SELECT * REPLACE (true AS value) FROM good",
    "an unknown time": "SELECT * REPLACE (NULL::BIGINT AS end_ns) FROM good",
    "an end before its beginning": "SELECT * REPLACE (begin_ns - 1 AS end_ns) FROM good",
    "a field that is a number": "SELECT * REPLACE (1 AS field) FROM good",
    "no device": "SELECT * REPLACE (NULL::VARCHAR AS device) FROM good",
    "an infinite value": "SELECT * REPLACE ('infinity'::DOUBLE AS value) FROM good",
    "flags below 0": "SELECT * REPLACE (-1.0 AS value) FROM good",
    "flags above all": "SELECT * REPLACE (1e17 AS value) FROM good",
}


@pytest.mark.parametrize("query", SPOILT.values(), ids=SPOILT)
def test_a_file_of_something_else_is_an_error_in_a_sentence(tmp_path: Path, query: str) -> None:
    path = tmp_path / "series.parquet"
    clock_events = (
        "SELECT 'nvml' AS source, 'GPU-1' AS device, 'clock_events' AS field, 1::BIGINT AS begin_ns, "
        "2::BIGINT AS end_ns, 4.0::DOUBLE AS value, NULL::VARCHAR AS reason"
    )
    with duckdb.connect() as connection:
        connection.execute(f"CREATE VIEW good AS {clock_events}")
        connection.execute("COPY good TO $1 (FORMAT parquet)", [str(path)])
        assert 2 == len(series.read_parquet(path))      # the word, and its one flag
        connection.execute(f"COPY ({query}) TO $1 (FORMAT parquet)", [str(path)])

    with pytest.raises(OSError, match=r"columns|reading|flags|begin_ns"):
        series.read_parquet(path)
