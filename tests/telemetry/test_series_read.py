"""A stored series is read back, its flags each as a field of their own."""

from __future__ import annotations

from pathlib import Path

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
    found = series.read_parquet(path)
    values = {field: list(rows.value) for field, rows in found.groupby("field")}

    assert values["power_w"] == [300.0] * 4
    assert values["clock_events.thermal"] == [0.0, 0.0, 1.0, 1.0]
    assert values["clock_events.idle"] == [1.0, 0.0, 0.0, 0.0]
    assert "clock_events.hw_thermal" not in values


def test_a_file_that_is_none_is_an_error_in_a_sentence(tmp_path: Path) -> None:
    path = tmp_path / "trial.parquet"
    path.write_bytes(b"no parquet")

    with pytest.raises(OSError, match=r"trial\.parquet"):
        series.read_parquet(path)
