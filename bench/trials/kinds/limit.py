"""A micro-benchmark: one timed operation, which shows what the machine can do at best.

It has no proof, since the worker checks its first result itself. Records and jobs call it a limit.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from rigmark.bench.enums import Precision
from rigmark.bench.plan.case import Case
from rigmark.bench.plan.schedule import Trial
from rigmark.bench.processes.spawn import Answer
from rigmark.bench.trials import jobs
from rigmark.bench.trials.kind import Timed
from rigmark.bench.worker import microbenchmarks


class Microbenchmark(Timed):
    def ask(self, trial: Trial) -> Answer:
        return self.context.workers.ask(trial, job(trial, self.context.store.root))[0]

    def subject(self, case: Case) -> dict[str, Any]:
        return {"graph": None, "work": microbenchmarks.work(case.model, case.precision)}

    def fingerprint(self, case: Case) -> str:
        """The fingerprint of its work, which is equal for all precisions, as that of a graph."""
        work = microbenchmarks.work(case.model, Precision.FP32)
        return hashlib.sha256(json.dumps(work, sort_keys=True).encode()).hexdigest()[:16]

    def weights(self, case: Case) -> dict[str, str]:
        return {}

    def distributions(self, case: Case) -> set[str]:
        return super().distributions(case) | {*microbenchmarks.distributions(case.framework, case.model)}


def job(trial: Trial, folder: Path) -> dict[str, Any]:
    """The job of the worker; if it measures a disk, that is the disk of ``folder``."""
    asked = jobs.job(trial.kind, trial.case, limit=trial.case.model, timing=jobs.timing(trial))
    asked["settings"]["folder"] = str(folder.absolute())
    return asked


KIND = Microbenchmark
