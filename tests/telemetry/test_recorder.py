"""A real sampler in a process of its own, with sources that misbehave: what is said of it, and that no trial waits."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from rigmark.bench.telemetry import recorder as recorder_module
from rigmark.bench.telemetry import series
from rigmark.bench.telemetry.recorder import MOST_FAILURES, Recorder, Recording
from tests.fakes import TOKEN, alive, eventually
from tests.telemetry.conftest import Lend


@pytest.fixture
def recorder(tmp_path: Path) -> Iterator[Recorder]:
    with_settings = Recorder(tmp_path)
    yield with_settings
    with_settings.close()


def record(recorder: Recorder, during: Callable[[], Any] = lambda: None, *, seconds: float = 0.3) -> Recording:
    """A trial of this process that lasts a while."""
    recorder.begin(cpus=())
    recorder.started(os.getpid())
    marks = {}
    for name in ("warm_up", "steady", "timed"):
        marks[name] = time.perf_counter()
        recorder.marked(name, marks[name])
        if name == "steady":
            during()
        time.sleep(seconds if name == "steady" else 0.05)
    return recorder.end(marks)


def timed(recording: Recording) -> dict[str, Any]:
    """{device: its part of the timed region}."""
    devices = [device["source"] for device in recording.block["devices"]]
    region = next(region for region in recording.block["regions"] if region["name"] == "timed")
    return {devices[part["device"]]: part for part in region["devices"]}


def test_every_tier_of_a_trial_is_read_and_told(lend: Lend, recorder: Recorder):
    lend("steady")

    recording = record(recorder, seconds=1.0)

    assert (None, {}) == (recording.block["problem"], recording.block["unavailable"])
    result = timed(recording)["steady"]
    assert {"power_w", "watched", "temperature_c", "fan_ratio"} == set(result["values"])
    assert {"mean": 100.0, "min": 100.0, "max": 100.0} == result["values"]["power_w"]
    assert (os.getpid(), {}) == (result["values"]["watched"]["max"], result["unknown"])
    assert result["energy_j"] == pytest.approx(100.0 * recording.block["regions"][1]["duration_s"])


def test_slower_tiers_are_read_less_often(lend: Lend, recorder: Recorder):
    lend("steady")

    counts = series.table(*_readings(record(recorder, seconds=2.5))).groupby("field", observed=True).size()

    assert counts.power_w > 2 * counts.temperature_c > 2 * counts.fan_ratio


def _readings(recording: Recording) -> tuple[Any, Any]:
    return recording.readings, recording.sources


def test_a_mark_is_read_at_once(lend: Lend, tmp_path: Path):
    lend("steady")
    rarely = Recorder(tmp_path, rate_hz=0.1)
    try:
        recording = record(rarely)
    finally:
        rarely.close()

    power = series.table(*_readings(recording)).query("field == 'power_w'")
    assert 1 + 3 == len(power)
    assert 0.1 == recording.block["rate_hz"]


def test_one_sampler_serves_many_trials_and_mixes_none(lend: Lend, recorder: Recorder):
    lend("steady")

    first, second = record(recorder), record(recorder)

    assert second.readings["begin_ns"].min() > first.readings["end_ns"].max()
    assert (None, None) == (first.block["problem"], second.block["problem"])


# Sources that misbehave -------------------------------------------------------------------------------------------


def test_a_source_that_hangs_delays_neither_the_others_nor_the_next_trial(lend: Lend, recorder: Recorder):
    lend("steady")
    lend("hung", "if self.reads > 5: time.sleep(1000)")

    recording = record(recorder)

    assert "hung no longer answered at the end of the trial" == recording.block["problem"]
    assert timed(recording)["steady"]["coverage"] > 0.5
    assert timed(recording)["hung"]["energy_j"] is None
    lend("hung")
    assert record(recorder).block["problem"] is None


def test_a_source_that_fails_is_named_and_costs_only_itself(lend: Lend, recorder: Recorder):
    lend("steady")
    lend("broken", "if self.reads > 3: raise RuntimeError('no more')")

    recording = record(recorder, seconds=0.8)

    assert recording.block["problem"].startswith("broken gave no readings in the last")
    assert timed(recording)["broken"]["coverage"] < 0.5
    assert timed(recording)["steady"]["coverage"] > 0.5


@pytest.mark.parametrize(
    ("at_last", "sentence"),
    [
        ("def open_source(wanted): raise Unavailable('no such thing here')", "no such thing here"),
        ("def open_source(wanted): raise ValueError('odd')", "could not be opened: ValueError: odd"),
        ("raise ImportError('no binding')", "could not be opened: ImportError: no binding"),
        (
            "Source.devices = (Device(id='x', kind='package', name='x', facts={'odd': {1}}),)",
            "could not be opened: TypeError: Object of type set is not JSON serializable",
        ),
    ],
)
def test_a_source_that_does_not_open_is_unavailable_in_a_sentence(
    lend: Lend, recorder: Recorder, at_last: str, sentence: str
):
    lend("absent", at_last=at_last)
    lend("steady")

    recording = record(recorder)

    assert (None, {"absent": sentence}) == (recording.block["problem"], recording.block["unavailable"])
    assert ["steady"] == [device["source"] for device in recording.block["devices"]]


SLOW = """
import pathlib
def open_source(wanted):
    while not pathlib.Path({0!r}).exists(): time.sleep(0.01)
    return Source()
"""


def test_no_trial_waits_for_a_source_that_opens_slowly_and_the_next_one_has_it(
    lend: Lend, recorder: Recorder, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    monkeypatch.setattr(recorder_module, "OPEN_S", 0.5)
    released = tmp_path / "released"
    lend("slow", at_last=SLOW.format(str(released)))
    lend("steady")

    first = record(recorder)
    released.touch()
    second = record(recorder, lambda: time.sleep(0.3))       # it joins this one, perhaps after its beginning
    third = record(recorder)

    assert first.block["unavailable"]["slow"].startswith("was still being opened at the end of the trial, after ")
    assert first.block["sampler"]["open_s"]["slow"] is None
    assert timed(first)["steady"]["coverage"] > 0.5
    assert [None, None, None] == [each.block["problem"] for each in (first, second, third)]
    assert {} == third.block["unavailable"]
    assert timed(third)["slow"]["energy_j"] is not None
    assert third.block["sampler"]["open_s"]["slow"] > 0.5 > third.block["sampler"]["open_s"]["steady"]


PARTS = """
class Part(Source):
    def __init__(self, position):
        self.position = position

    def read(self, tier):
        for reading in super().read(tier):
            if self.position == 1 and self.reads > 5: time.sleep(1000)
            yield reading._replace(device=self.position)

class Whole(Source):
    devices = tuple(Device(id=f"x{position}", kind="package", name="x") for position in range(3))

    def __init__(self):
        self.parts = [Part(position) for position in range(3)]
        for part, device in zip(self.parts, self.devices):
            part.devices = (device,)

def open_source(wanted):
    return Whole()
"""


def test_a_device_that_hangs_delays_no_other_of_its_source(lend: Lend, recorder: Recorder):
    lend("many", at_last=PARTS)

    recording = record(recorder, seconds=0.8)

    assert "many of x1 no longer answered at the end of the trial" == recording.block["problem"]
    devices = recording.block["regions"][1]["devices"]
    assert [True, False, True] == [device["energy_j"] is not None for device in devices]
    assert devices[1]["coverage"] < 0.5 < min(devices[0]["coverage"], devices[2]["coverage"])


def test_what_a_library_prints_is_no_answer(lend: Lend, recorder: Recorder):
    lend("loud", "print('ended', flush=True)", at_last="print('ready or not', flush=True)")

    assert record(recorder).block["problem"] is None


# Samplers that end ------------------------------------------------------------------------------------------------


def sampler_process(recorder: Recorder) -> psutil.Process:
    assert recorder._sampler is not None
    return psutil.Process(recorder._sampler._process.pid)


def test_a_sampler_that_is_killed_leaves_what_it_read_and_is_followed_by_another(lend: Lend, recorder: Recorder):
    lend("steady")

    recording = record(recorder, lambda: sampler_process(recorder).kill())

    assert "the sampler ended with exit code -9" == recording.block["problem"]
    assert len(recording.readings) > 0
    assert timed(recording)["steady"]["energy_j"] is None
    assert record(recorder).block["problem"] is None


def test_a_sampler_that_stands_still_is_killed_at_the_end(
    lend: Lend, recorder: Recorder, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(recorder_module, "STOP_S", 0.5)
    lend("steady")
    stopped = []

    def stop() -> None:
        stopped.append(sampler_process(recorder))
        stopped[0].suspend()

    recording = record(recorder, stop)

    assert "the sampler did not answer 'ended' within 0.5 s" == recording.block["problem"]
    assert not stopped[0].is_running() or stopped[0].status() == psutil.STATUS_ZOMBIE


def test_a_sampler_that_cannot_start_is_tried_a_few_times_only(
    recorder: Recorder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    script = tmp_path / "python"
    script.write_text("#!/bin/sh\necho started >> $(dirname $0)/starts\necho no such interpreter >&2\nexit 3\n")
    script.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(script))

    blocks = [record(recorder, seconds=0).block for _ in range(MOST_FAILURES + 2)]

    assert {"the sampler ended with exit code 3: no such interpreter"} == {b["problem"] for b in blocks[:MOST_FAILURES]}
    assert {f"telemetry was given up, because it failed in {MOST_FAILURES} consecutive trials"} == {
        block["problem"] for block in blocks[MOST_FAILURES:]
    }
    assert MOST_FAILURES == len((tmp_path / "starts").read_text().split())
    assert ([], None) == (blocks[0]["devices"], blocks[0]["sampler"]["cpu_time_s"])


@pytest.mark.parametrize("is_stopped", [False, True], ids=["running", "stopped"])
def test_no_sampler_outlives_its_parent(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, is_stopped: bool):
    if is_stopped and not sys.platform.startswith("linux"):
        pytest.skip("only Linux kills a process that is stopped when its parent ends")
    token = uuid.uuid4().hex
    monkeypatch.setenv(TOKEN, token)
    code = (
        "import pathlib, time, sys\nfrom rigmark.bench.telemetry.recorder import Recorder\n"
        "recorder = Recorder(pathlib.Path(sys.argv[1]))\nrecorder.begin(cpus=())\n"
        "print('on', flush=True)\ntime.sleep(99)"
    )
    parent = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE,
                              env={**os.environ, "PYTHONPATH": str(recorder_module.ROOT)})
    assert parent.stdout is not None
    assert b"on\n" == parent.stdout.readline()
    result = alive(token)
    assert 2 == len(result)
    if is_stopped:
        next(each for each in result if each.pid != parent.pid).suspend()

    parent.send_signal(signal.SIGKILL)
    parent.wait()
    parent.stdout.close()

    assert eventually(lambda: not alive(token), within_s=10)


# What it costs ----------------------------------------------------------------------------------------------------


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity") or len(os.sched_getaffinity(0)) < 2, reason="needs two cores")
def cores_of_threads(recorder: Recorder) -> set[tuple[int, ...]]:
    threads = [thread.id for thread in sampler_process(recorder).threads()]
    return {tuple(sorted(os.sched_getaffinity(thread))) for thread in threads}


def test_the_sampler_keeps_to_the_cores_that_the_trial_leaves(lend: Lend, recorder: Recorder):
    lend("steady")
    ours, *others = sorted(os.sched_getaffinity(0))

    recorder.begin(cpus=(ours,))
    patience_ends_s = time.monotonic() + 10
    while (held := cores_of_threads(recorder)) != {tuple(others)} and time.monotonic() < patience_ends_s:
        time.sleep(0.05)
    block = recorder.end({}).block

    assert {tuple(others)} == held
    assert (others, 5) == (block["sampler"]["cpus"], block["sampler"]["niceness"])


def test_a_read_that_takes_longer_than_its_period_is_counted_and_keeps_its_true_time(lend: Lend, recorder: Recorder):
    lend("lazy", "time.sleep(0.07)")     # 40 ms are between reads

    recording = record(recorder, seconds=1.0)

    power = series.table(*_readings(recording)).query("field == 'power_w'")
    assert recording.block["sampler"]["overruns"] > 0
    assert power.begin_ns.diff().min() >= 70e6
