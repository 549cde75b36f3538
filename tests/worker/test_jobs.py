"""Jobs as a worker does them: which there are, and what stands between the marks of timed steps."""

from __future__ import annotations

import sys
from typing import Any

import pytest

from rigmark.bench.enums import TrialKind
from rigmark.bench.worker import frameworks, jobs, registry
from rigmark.bench.worker.jobs import _common, _steps
from tests.fakes import Clock, Network

PLAN = {"steps_per_timing": 1, "warm_up_max_s": 0.0, "min_timings": 2, "min_time_s": 0.0, "max_time_s": 1.0}


class Answers:
    """Notes each mark among the calls of a network."""

    def __init__(self, network: Network):
        self._network = network

    def mark(self, name: str) -> None:
        self._network.calls.append(name)


def test_peak_memory_is_that_of_the_timed_steps_and_not_of_what_was_tried_out_before_them():
    network = Network(Clock(), [0.25])
    _steps.timed_steps(network, PLAN, Answers(network))

    step = ["step", "synchronize"]
    assert ["warm_up", *step * 2, "forget_peak_memory", "steady", *step * 2, "timed"] == network.calls


@pytest.mark.parametrize(("name", "is_imported"), [("onnxruntime", False), ("openvino", False), ("numpy", True)])
def test_no_fork_comes_from_a_process_that_imported_what_starts_threads(
    name: str, is_imported: bool, monkeypatch: pytest.MonkeyPatch
):
    """A fork of such a process waited for its lost threads for ever."""
    monkeypatch.setattr(frameworks.load(name), "IMPORTS", "tabnanny")    # which nothing else imports
    monkeypatch.delitem(sys.modules, "tabnanny", raising=False)

    jobs.preload(name)

    assert is_imported is ("tabnanny" in sys.modules)


def test_each_kind_of_trial_is_a_kind_of_job_and_each_kind_of_job_can_be_run():
    assert {*TrialKind} < {*jobs.NAMES}
    assert all(callable(registry.load(jobs.__name__, name).run) for name in jobs.NAMES)


@pytest.mark.parametrize(("has", "refusal"), [
    ({"copies": [{"every": 2}]}, "learner has parameters that are copied after"),
    ({"objectives": [{"name": "critic"}]}, "learner trains for several objectives, which no strategy of several"),
])
def test_copies_and_objectives_are_refused_on_several_devices(has: dict[str, Any], refusal: str):
    job = {
        "framework": "numpy", "graph": {"name": "learner", **has}, "world": {"strategy": "ddp"},
        "settings": {"mode": "training", "compile_mode": "eager", "layout": "nchw", "precision": "fp32",
                     "device": "cpu"},
    }

    with pytest.raises(jobs.Failed, match=refusal):
        _common.prepare(job, {}, Answers(Network(Clock(), [])))
