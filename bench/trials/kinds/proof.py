"""A proof: whether a network in a framework computes the same as the float64 oracle; see bench.trials.parity."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from rigmark.bench import datasets
from rigmark.bench.enums import Mode, Outcome
from rigmark.bench.ir.ops import BadGraph
from rigmark.bench.launch import ranks
from rigmark.bench.plan.case import Case
from rigmark.bench.plan.schedule import Trial
from rigmark.bench.processes.spawn import Answer, not_run
from rigmark.bench.store.record import Identity
from rigmark.bench.trials import jobs, parity
from rigmark.bench.trials.inputs import Inputs
from rigmark.bench.trials.kind import Kind

ANY_SESSION = "any"          # agreement with the oracle does not depend on the time
LEARNING_BATCH = 32

Arrays = dict[str, Any]


class Proof(Kind):
    ends_with_its_case = False       # its case may be equal to a timed one

    def identity(self, trial: Trial) -> Identity:
        return replace(super().identity(trial), session=ANY_SESSION)

    def ask(self, trial: Trial) -> Answer:
        case = trial.case
        if case.precision not in parity.TOLERANCES:
            return not_run(Outcome.UNSUPPORTED, f"no tolerance is derived for precision {case.precision} yet")
        worst: parity.Parity | None = None
        for weights in self.context.inputs.weights_of_proof(case):
            compared = self._of_text(trial, weights) if case.mode is Mode.DECODE else self._of_outputs(trial, weights)
            if isinstance(compared, Answer):
                return compared
            answer, agreement = compared
            worst = agreement if worst is None else parity.worse(worst, agreement)
            if worst.failures():
                break
        assert worst is not None
        if (proven := self.context.inputs.proven_with(case)) is not None:
            answer = replace(answer, result={**answer.result, "facts": {**answer.result["facts"], "weights": proven}})
        failures = worst.failures()
        return replace(
            answer, result={**worst.plain(), **answer.result},
            outcome=Outcome.PARITY_FAILED if failures else Outcome.OK,
            reason="did not compute the same as the oracle: " + "; ".join(failures) if failures else None,
        )

    def _of_outputs(self, trial: Trial, weights: Path) -> tuple[Answer, parity.Parity] | Answer:
        """The answer of the workers and how it agrees; the Answer alone of what failed before there was any."""
        case = trial.case
        asked = {**job(case, self.context.inputs), "weights": str(weights)}
        answer, arrays = self._shown(trial, asked)
        if answer.outcome is not Outcome.OK:
            return answer
        oracle = self.context.oracle.proof(case, asked)
        return oracle if isinstance(oracle, Answer) else (answer, parity.compare(arrays, oracle, case.precision))

    def _of_text(self, trial: Trial, weights: Path) -> tuple[Answer, parity.Parity] | Answer:
        """The same of generated text."""
        case, inputs = trial.case, self.context.inputs
        try:
            asked = jobs.job("decoding_proof", case, weights=str(weights), **jobs.decoding(case, inputs))
        except BadGraph as refusal:
            return not_run(Outcome.UNSUPPORTED, str(refusal))
        prompts = inputs.of_proof(case)
        oracle = self.context.oracle.text(case, {**asked, "inputs": str(prompts)})
        if isinstance(oracle, Answer):
            return oracle
        known = inputs.known_text(prompts, weights, oracle["tokens"])
        answer, arrays = self.context.workers.ask(trial, {**asked, "inputs": str(known)}, is_recorded=False)
        if answer.outcome is not Outcome.OK:
            return answer
        return answer, parity.compare_text(arrays, oracle, case.precision)

    def fields(self, trial: Trial, answer: Answer) -> dict[str, Any]:
        return {**super().fields(trial, answer), "parity": answer.result or None}

    def _shown(self, trial: Trial, asked: dict[str, Any]) -> tuple[Answer, Arrays]:
        """The answer with the arrays, of one process or of all ranks together."""
        case, workers = trial.case, self.context.workers
        if case.world_size == 1:
            return workers.ask(trial, asked, is_recorded=False)
        ran = workers.ask_world(trial, [asked] * case.processes, is_recorded=False)
        answer = ranks.joined(case, [answer for answer, _ in ran])
        return answer, ranks.proof_arrays([arrays for _, arrays in ran]) if answer.outcome is Outcome.OK else {}


def job(case: Case, inputs: Inputs) -> dict[str, Any]:
    """The job of a worker for the comparison with the oracle; the same for each rank of a world."""
    learning = None
    if case.data != datasets.SYNTHETIC and case.world_size == 1:
        learning = {"weights": str(inputs.weights(case.model)), "local_batch": LEARNING_BATCH}
    return jobs.job(
        "proof", case, graph=inputs.graph(case).plain(), inputs=str(inputs.of_proof(case)), learning=learning,
        **inputs.original(case),
        weights=str(inputs.perturbed_weights(case.model)),
    )


KIND = Proof
