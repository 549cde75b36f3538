"""Shared by the kinds that run steps of a network: they need its proof, and check the first step."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from rigmark.bench.enums import Outcome, TrialKind
from rigmark.bench.launch import ranks
from rigmark.bench.plan.case import Case
from rigmark.bench.plan.schedule import Trial, proof_case
from rigmark.bench.processes.spawn import Answer, not_run
from rigmark.bench.trials import jobs
from rigmark.bench.trials.context import Context
from rigmark.bench.trials.kind import Kind
from rigmark.bench.trials.kinds.proof import Proof


class Steps(Kind):
    """A kind that runs steps of a network."""

    def __init__(self, context: Context):
        super().__init__(context)
        self._proof = Proof(context)

    def fields(self, trial: Trial, answer: Answer) -> dict[str, Any]:
        return {**super().fields(trial, answer), "certificate": self.certificate(trial.case)}

    def certificate(self, case: Case) -> str:
        """The key of the proof of a case."""
        proven = proof_case(case, len(self.context.workers.cpus))
        return self._proof.key(Trial(kind=TrialKind.PROOF, case=proven))

    def unproven(self, case: Case) -> Answer | None:
        """The answer of the proof of a case if it failed; None if the case is proven."""
        certificate = self.context.store.get(self.certificate(case))
        if certificate.outcome is Outcome.OK:
            return None
        return not_run(certificate.outcome, f"its proof: {certificate.reason}")

    def stepped(self, trial: Trial, variables: Mapping[str, str] = MappingProxyType({})) -> Answer:
        """The worker's answer for a trial, or that of all ranks together; ``variables`` are set in addition.
        """
        if unproven := self.unproven(trial.case):
            return unproven
        if trial.case.world_size > 1:
            return self._stepped_together(trial, variables)
        job = jobs.steps(trial, self.context.inputs, self.context.oracle)
        return job if isinstance(job, Answer) else self.context.workers.ask(trial, job, variables=variables)[0]

    def _stepped_together(self, trial: Trial, variables: Mapping[str, str]) -> Answer:
        case, workers = trial.case, self.context.workers
        asked = jobs.steps_of_ranks(trial, self.context.inputs, self.context.oracle)
        if isinstance(asked, Answer):
            return asked
        answer = ranks.joined(case, [answer for answer, _ in workers.ask_world(trial, asked, variables=variables)])
        if answer.outcome is Outcome.OK:
            answer.result["world"]["nodes"] = workers.nodes(case)
            parameters = self.context.inputs.graph(case).parameter_count
            answer.result["world"]["sent_bytes"] = ranks.sent_bytes(case, parameters)
        return answer
