"""A kind of trial is one file, found by its name."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path

import pytest

from rigmark.bench.builds import build as builds
from rigmark.bench.enums import Outcome, TrialKind
from rigmark.bench.plan.schedule import Trial
from rigmark.bench.runner.runner import Runner
from rigmark.bench.store.store import Store
from rigmark.bench.trials import kinds
from tests.fakes import make_case


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
        Store(tmp_path / "results").create(), builds.load(tmp_path), suite="test", command="rigmark", telemetry=False
    ) as runner:
        (record,) = runner.run([trial]).stored

    assert ("greeting", Outcome.OK) == (record.identity.kind, record.outcome)
    assert record.parity is not None
    assert {"numpy"} == record.parity["greeted"].keys()
    assert (tmp_path / "results" / "records" / f"{record.key}.json").exists()
