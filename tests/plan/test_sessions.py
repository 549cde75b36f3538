"""Sessions of one command: named alike each time, apart in time, and not waited for where that time has passed."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pandas as pd
import pytest

from rigmark.bench.plan import sessions
from tests.fakes import rigmark

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


def trials(**begun: datetime) -> pd.DataFrame:
    """Two trials of each session, a minute apart."""
    return pd.DataFrame(
        [(name[1:].replace("_", "."), (at + timedelta(minutes=later)).isoformat())
         for name, at in begun.items() for later in (1, 0)],
        columns=["session", "recorded_at"],
    )


def test_a_session_alone_keeps_its_name():
    assert ("1",) == sessions.names("1", 1)
    assert ("1.1", "1.2", "1.3") == sessions.names("1", 3)


def test_a_new_session_has_a_number_that_no_sessions_share():
    assert "1" == sessions.unused(trials())
    assert "3" == sessions.unused(trials(_1_1=NOON, _1_2=NOON, _2=NOON))


@pytest.mark.parametrize(("minutes_later", "wait_s"), [(10, 1200.0), (30, 0.0), (500, 0.0), (-60, 1800.0)])
def test_a_session_waits_from_the_beginning_of_the_one_before(minutes_later: int, wait_s: float):
    now = NOON + timedelta(minutes=minutes_later)

    assert wait_s == sessions.wait_s(trials(_1_1=NOON), "1.1", 1800.0, now)
    assert 0.0 == sessions.wait_s(trials(_1_1=NOON), "1.2", 1800.0, now)


def test_a_command_measures_its_sessions_apart(tmp_path: Path):
    sweep = ("--model", "mlp", "--framework", "numpy", "--mode", "inference", "--batch", "1", "--repetitions", "1",
             "--min-time", "0.01", "--telemetry", "off", "--sessions", "2", "--spread", "3s")
    first, again = (rigmark("run", *sweep, cwd=tmp_path) for _ in range(2))
    records = [json.loads(path.read_text()) for path in (tmp_path / "results/records").glob("*.json")]
    begun = {
        record["identity"]["session"]: datetime.fromisoformat(record["recorded_at"]) for record in records
        if record["identity"]["kind"] == "timing"
    }

    assert (0, 0) == (first.returncode, again.returncode), first.stderr + again.stderr
    assert {"1.1", "1.2"} == begun.keys()
    assert begun["1.2"] - begun["1.1"] >= timedelta(seconds=2)       # times are kept in whole seconds
    assert "0 trials measured" in again.stderr


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (("--sessions", "0"), "--sessions must be at least 1, not 0"),
        (("--spread", "2h"), "--spread needs several sessions; name their number, for example --sessions 5"),
        (("--sessions", "2", "--spread", "soon"), "--spread takes a time such as 90s, 10m or 1h, not 'soon'"),
    ],
)
def test_sessions_that_cannot_be_are_bad_input(tmp_path: Path, options: tuple[str, ...], sentence: str):
    result = rigmark("run", "--model", "mlp", "--framework", "numpy", *options, cwd=tmp_path)

    assert (2, f"rigmark: {sentence}\n") == (result.returncode, result.stderr)
