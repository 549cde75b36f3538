"""A kind of trial is one file, found by its name."""

from __future__ import annotations

import sys
from enum import StrEnum
from pathlib import Path
from types import SimpleNamespace

import pytest

from rigmark.bench.builds import build as builds
from rigmark.bench.builds.build import Build
from rigmark.bench.enums import Outcome, TrialKind
from rigmark.bench.launch.workers import Workers
from rigmark.bench.machine import hardware
from rigmark.bench.plan.schedule import Trial
from rigmark.bench.runner.runner import Runner
from rigmark.bench.store.store import Store
from rigmark.bench.trials import kinds
from rigmark.bench.trials.context import Base
from tests.fakes import SHORT, Answering, make_case


class More(StrEnum):
    GREETING = "greeting"


GREETING = """
from rigmark.bench.trials.kind import Kind

class Greeting(Kind):
    def ask(self, trial):
        return self.context.workers.ask(trial, {"kind": "probe", "distributions": ["numpy"]}, is_recorded=False)[0]

    def fields(self, trial, answer):
        return {**super().fields(trial, answer), "parity": {"greeted": answer.result["packages"]}}

KIND = Greeting
"""


def test_every_word_for_a_kind_has_its_file():
    assert {*TrialKind} == {*kinds.NAMES}


def test_a_file_adds_a_kind_that_runs_and_is_stored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "greeting.py").write_text(GREETING)
    monkeypatch.setattr(kinds, "__path__", [*kinds.__path__, str(tmp_path)])
    trial = Trial(kind=More.GREETING, case=make_case())     # type: ignore[arg-type]

    with Runner(
        Store(tmp_path / "results").create(), builds.load(tmp_path), suite="test", command="rigmark", telemetry=False,
        launcher=Answering(),
    ) as runner:
        (record,) = runner.run([trial]).stored

    assert ("greeting", Outcome.OK) == (record.identity.kind, record.outcome)
    assert record.parity is not None
    assert {"numpy": "1.0"} == record.parity["greeted"]
    assert (tmp_path / "results" / "records" / f"{record.key}.json").exists()


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
