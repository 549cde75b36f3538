"""Checks of space: the results folder, the disk, and the limits of memory and CPU time."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from rigmark.bench.doctor.checks import Check, Severity

SPACE_BYTES = 2**30          # of disk space, for results and compiled programs


def space_checks(results: Path, described: Mapping[str, Any]) -> Iterator[Check]:
    """Whether there is space for records and compiled programs, and what the control group limits."""
    folder = next(place for place in (results, *results.absolute().parents) if place.is_dir())
    if not os.access(folder, os.W_OK | os.X_OK):
        yield Check(
            topic="space", severity=Severity.PREVENTS, text=f"no permission to write results to {results}",
            fix="choose another folder with --results",
        )
    for place in dict.fromkeys((folder, Path(tempfile.gettempdir()))):
        free = shutil.disk_usage(place).free
        if free < SPACE_BYTES:
            yield Check(
                topic="space", severity=Severity.PROBLEM, text=f"{free / 2**20:.0f} MiB are free in {place}",
                fix="free some space, or choose another place (--results, TMPDIR)",
            )
    facts = described["facts"]
    quota, cores = facts["limits"]["cpu_quota_cores"], len(facts["limits"]["cpus"])
    if quota is not None and quota < cores:
        yield Check(
            topic="space", severity=Severity.NOISE,
            text=f"the control group allows the time of {quota:g} cores on {cores} cores: a worker gets "
                 f"{max(1, int(quota))} of them; with more threads it would be stopped now and then",
            fix="raise the limit (docker --cpus, or the cpu limit of a pod) to measure with all cores",
        )
    limit, total = facts["limits"]["memory_bytes"], facts["memory"]["bytes"]
    if limit is not None and limit < total:
        yield Check(
            topic="space", severity=Severity.OK,
            text=f"the control group allows {limit / 2**30:.1f} of {total / 2**30:.0f} GiB of memory",
            fix="a trial that needs more is killed by the kernel; for large models raise the limit (docker --memory)",
        )
