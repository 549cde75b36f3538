"""Finds out what a build contains, by a worker in it."""

from __future__ import annotations

from typing import Any

from rigmark.bench.builds import worker_package
from rigmark.bench.builds.build import Build
from rigmark.bench.enums import Outcome
from rigmark.bench.host.workfolder import working_folder
from rigmark.bench.machine import hardware
from rigmark.bench.processes.launch import Launch
from rigmark.bench.processes.spawn import Answer, run_worker
from rigmark.bench.worker import frameworks, microbenchmarks

DEADLINE_S = 60.0


def job() -> dict[str, Any]:
    """The job of a probe: Python, and the versions of all packages that frameworks and micro-benchmarks may use."""
    of_frameworks = {d for n in frameworks.NAMES for d in frameworks.packages(n)}
    of_limits = {
        d for n in frameworks.NAMES for limit in microbenchmarks.NAMES for d in microbenchmarks.distributions(n, limit)
    }
    return {
        "kind": "probe", "distributions": sorted({*of_frameworks, *of_limits, "numpy"}),
    }


def failure(answer: Answer) -> tuple[Outcome, str] | None:
    """Why no worker can run in the build that gave this answer; None if one can."""
    if answer.outcome is Outcome.OK:
        return None
    # The build cannot even answer a probe.
    is_broken = answer.outcome is Outcome.CRASHED
    return (Outcome.BUILD_BROKEN if is_broken else answer.outcome), answer.reason or ""


def facts(build: Build) -> tuple[dict[str, Any], str | None]:
    """(Python and package versions, None), or ({}, why no worker can run in this build)."""
    with working_folder() as directory:
        launch = Launch.of(
            build, worker_package.write(directory), cpus=hardware.usable_cpus()[:1], threads=1, deadline_s=DEADLINE_S
        )
        answer = run_worker(launch, job(), directory)
    broken = failure(answer)
    return answer.result, broken[1] if broken else None
