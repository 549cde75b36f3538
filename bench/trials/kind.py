"""The interface between the runner and a kind of trial, with what most kinds have in common."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import replace
from typing import Any, ClassVar

from rigmark.bench.enums import OF_SAMPLES, Mode, Outcome
from rigmark.bench.ir.graph import Graph
from rigmark.bench.machine import hardware
from rigmark.bench.plan.case import Case
from rigmark.bench.plan.schedule import Trial
from rigmark.bench.processes.spawn import Answer, not_run
from rigmark.bench.store.record import Identity, Record, key_of
from rigmark.bench.trials.context import Context
from rigmark.bench.trials.inputs import SEED
from rigmark.bench.worker import frameworks


class Kind(ABC):
    """One kind of trial, for the trials of one runner.

    A kind defines how it measures (``ask``) and in which field of a record its result is stored (``fields``), and
    overrides everything else that it does differently.
    """

    ends_its_case: ClassVar[bool] = False
    """Whether a failure that would only occur again in the next trial of the same case ends the case."""

    ends_with_its_case: ClassVar[bool] = True
    """Whether it is not started after such a failure has ended its case."""

    def __init__(self, context: Context):
        self.context = context

    def resolved(self, trial: Trial) -> Trial:
        """The trial with the instruction set of its build; raises UserError if its case asks for another one."""
        return replace(trial, case=self.context.workers.resolved(trial.case))

    def identity(self, trial: Trial) -> Identity:
        """The identity of a trial on this machine, with the build as it is installed now."""
        case = self.context.workers.resolved(trial.case)
        timing = {} if trial.timing is None else trial.timing.plain()
        return Identity(
            kind=trial.kind, case=case.plain(), repetition=trial.repetition, session=self.context.session,
            graph_fingerprint=self.fingerprint(case), build=self._build_facts(case),
            machine=hardware.machine().id, settings={"seed": SEED, **self.weights(case), **timing},
            code_version=self.context.workers.code_version(),
        )

    def key(self, trial: Trial) -> str:
        """The key of the record in which this machine stores a trial."""
        return key_of(self.identity(trial).id, self.context.node)

    def measure(self, trial: Trial) -> Answer:
        """The answer of a trial whose case has the instruction set of its build; every failure is an outcome."""
        return self.context.workers.obstacle(trial.case) or self._no_original(trial.case) or self.ask(trial)

    def _no_original(self, case: Case) -> Answer | None:
        refusal = None if case.is_limit else self.context.inputs.original_refusal(case)
        return None if refusal is None else not_run(Outcome.UNSUPPORTED, refusal)

    @abstractmethod
    def ask(self, trial: Trial) -> Answer:
        """The result of the trial, from workers that may be able to measure it."""

    def fields(self, trial: Trial, answer: Answer) -> dict[str, Any]:
        """The fields of a record that this kind fills: that of the result, and those that belong to it."""
        return {}

    def stepping_time_s(self, record: Record) -> float:
        """Seconds that the worker spent in warm-up and timed steps; 0 if it has none."""
        return 0.0

    def subject(self, case: Case) -> dict[str, Any]:
        """The fields of a record that describe what runs: ``graph`` of a network, or ``work`` of a micro-benchmark."""
        described = _described(self.context.inputs.graph(case))
        if case.mode is Mode.DECODE:
            described["flops_per_sample"][case.mode.value] = self.context.inputs.decoding_flops(case)
        return {"graph": described, "work": None}

    def fingerprint(self, case: Case) -> str:
        """The fingerprint of what runs; if it changes, it is another trial."""
        return self.context.inputs.graph(case).fingerprint

    def weights(self, case: Case) -> dict[str, str]:
        """The weights that were brought, and the original if that runs, by their hashes; empty if all follows from the
        seed."""
        digest = self.context.inputs.digest(case.model)
        original = self.context.inputs.original(case).get("original", {}).get("digest")
        return {
            **({} if digest is None else {"weights": digest}),
            **({} if original is None else {"original": original}),
        }

    def distributions(self, case: Case) -> set[str]:
        """The packages whose versions are part of the identity of a trial."""
        return {*frameworks.packages(case.framework), "numpy"}

    def _build_facts(self, case: Case) -> dict[str, Any]:
        workers = self.context.workers
        probed = workers.probe(case.build)
        versions = probed.facts.get("packages", {})
        of_framework = frameworks.load(case.framework).DISTRIBUTIONS
        return {
            "python": probed.facts.get("python"),
            "framework_version": next((v for name in of_framework if (v := versions.get(name))), None),
            "packages": {name: versions.get(name) for name in sorted(self.distributions(case))},
            "variables": workers.variables(case),
            "adapter": workers.adapter_version(case),
        }


class Timed(Kind):
    """A kind whose steps give a figure: repeated, stored as ``measurement``, with the instruction set that ran."""

    ends_its_case = True

    def fields(self, trial: Trial, answer: Answer) -> dict[str, Any]:
        usual = super().fields(trial, answer)
        return {**usual, "measurement": with_marks(answer), "isa": self.context.instruction_sets.seen(trial, answer)}

    def stepping_time_s(self, record: Record) -> float:
        if record.measurement is None:
            return 0.0
        return math.fsum([*record.measurement["warm_up_timings_s"], *record.measurement["host_times_s"]])


def with_marks(answer: Answer) -> dict[str, Any] | None:
    """The result of steps in the form of a record, with the times of the worker's marks; None if there is none."""
    return {**answer.result, "marks": answer.marks} if answer.result else None


def _described(graph: Graph) -> dict[str, Any]:
    """The sizes of a network, for its record."""
    return {
        "name": graph.name, "parameters": graph.parameter_count, "multiply_adds": graph.multiply_adds,
        "flops_per_sample": {
            mode.value: graph.flops_per_sample(training=mode is Mode.TRAINING)
            for mode in OF_SAMPLES
        },
        "optimizer": graph.optimizer.kind, "loss": graph.loss,
    }
