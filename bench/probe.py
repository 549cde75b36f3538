"""What a build turns out to be, asked of a worker in it."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from bench import frameworks, hardware
from bench.builds import Build
from bench.process import run_worker, write_child
from bench.words import Outcome

DEADLINE_S = 60.0


def job() -> dict[str, Any]:
    """What a worker is asked: its Python, and the versions of every framework's packages and of NumPy."""
    wanted = sorted({d for name in frameworks.NAMES for d in frameworks.load(name).DISTRIBUTIONS} | {"numpy"})
    return {"kind": "probe", "distributions": wanted, "cpus": list(hardware.usable_cpus()[:1])}


def facts(build: Build) -> tuple[dict[str, Any], str | None]:
    """(Python and package versions, None), or ({}, why no worker can run in this build)."""
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        answer = run_worker(build, write_child(directory), job(), directory, threads=1, deadline_s=DEADLINE_S)
    if answer.outcome is not Outcome.OK:
        return {}, answer.reason
    return answer.result, None
