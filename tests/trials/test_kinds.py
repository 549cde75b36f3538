"""A kind of trial is one file, found by its name."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from rigmark.bench.builds import build as builds
from rigmark.bench.builds import worker_package
from rigmark.bench.builds.build import Build
from rigmark.bench.enums import TrialKind
from rigmark.bench.launch.workers import Workers
from rigmark.bench.machine import hardware
from rigmark.bench.plan.schedule import Trial
from rigmark.bench.reporting.gather import report
from rigmark.bench.runner.runner import Runner
from rigmark.bench.store.store import Store
from rigmark.bench.trials import kinds
from rigmark.bench.trials.context import Base
from tests.fakes import SHORT, Answering, make_case

HASHING = """
from rigmark.bench.trials.kind import Timed

class Hashing(Timed):
    def ask(self, trial):
        return self.context.workers.ask(trial, {"kind": "hashing", "bytes": 1000})[0]

KIND = Hashing
"""

JOB = """
import hashlib
import time

def run(job, directory, answers):
    begin_s = time.perf_counter()
    hashlib.sha256(bytes(job["bytes"])).hexdigest()
    times_s = [max(time.perf_counter() - begin_s, 1e-9)]
    return {
        "timings_s": times_s, "host_times_s": times_s, "cpu_times_s": times_s, "warm_up_timings_s": [],
        "prepare_time_s": 0.0, "facts": {"hash": "sha256"},
    }
"""


def test_every_kind_that_the_code_tells_apart_has_its_file():
    assert {*TrialKind} <= {*kinds.NAMES}


def test_one_file_on_each_side_adds_a_kind_that_is_measured_stored_and_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    (tmp_path / "hashing.py").write_text(HASHING)
    monkeypatch.setattr(kinds, "__path__", [*kinds.__path__, str(tmp_path)])
    shipped = {**worker_package.files(), "jobs/hashing.py": JOB.encode()}
    monkeypatch.setattr(worker_package, "files", lambda: shipped)
    store = Store(tmp_path / "results").create()

    with Runner(store, builds.load(tmp_path), suite="test", command="rigmark", telemetry=False) as runner:
        (measured,) = runner.run([Trial(kind="hashing", case=make_case())]).stored
        again = runner.run([Trial(kind="hashing", case=make_case())])

    trials = store.trials()
    (row,) = trials.table.to_dict("records")
    assert ((), "hashing", "ok") == (trials.problems, row["kind"], row["outcome"])
    assert measured.measurement is not None
    assert measured.measurement["timings_s"] == row["timings_s"].tolist()
    assert [] == again.stored            # since its record is read
    assert () == report(store).problems


DDP = make_case(framework="torch", world_size=4, devices_per_process=2, strategy="ddp")
STORED = {
    "ab19c1b9408e85f0": Trial(kind=TrialKind.PROOF, case=make_case()),
    "ced1b5b8db0dc0a0": Trial(kind=TrialKind.TIMING, case=make_case(), timing=SHORT, repetition=3),
    "53dd0843fe3add67": Trial(kind=TrialKind.TIMING, case=DDP, timing=SHORT),
    "6e0d5b5ecec2bd32": Trial(kind=TrialKind.LAYERS, case=make_case(build="held"), timing=SHORT),
    "da43234643cc6f94": Trial(
        kind=TrialKind.LIMIT, case=make_case(model="jpeg_decode", framework="torch", local_batch=1), timing=SHORT
    ),
    "7eb3ab5e68c1e8dc": Trial(kind=TrialKind.PAIR, case=make_case(build="held"), timing=SHORT),
}
"""Trials by the ids under which an earlier Rigmark stored them, but for what the machine and the code were."""


def test_a_trial_keeps_the_id_that_it_is_stored_under(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """With another id, all that users have stored would be measured once more."""
    monkeypatch.setattr(Workers, "code_version", lambda _: "c" * 12)
    monkeypatch.setattr(Workers, "adapter_version", lambda *_: "a" * 12)
    monkeypatch.setattr(hardware, "machine", lambda: SimpleNamespace(id="m" * 12))
    monkeypatch.setattr(
        hardware, "variables", lambda variables, device: {"OMP_NUM_THREADS": variables["OMP_NUM_THREADS"]}
    )
    known = {
        "default": Build(name="default", interpreter=sys.executable),
        "held": Build(name="held", interpreter=sys.executable, isa="sse41"),
    }
    store = Store(tmp_path / "results").create()

    with (
        Runner(store, known, suite="test", command="rigmark", telemetry=False, launcher=Answering()) as base,
        Runner(
            store, known, suite="test", command="rigmark", telemetry=False, launcher=Answering(),
            base=Base(context=base.context, build="default"),
        ) as runner,
    ):
        result = [runner.identity(trial).id for trial in STORED.values()]

    assert [*STORED] == result
