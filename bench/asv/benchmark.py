"""A suite as one asv benchmark.

asv manages commits, discovery, result files and history; Rigmark measures. One *round* of asv is one repetition: a new
process of asv starts a new worker, and the median of its timings is one sample of asv. So asv interleaves the cases of
a suite, and ``asv continuous`` the commits too. The records are stored in a results folder of Rigmark as well.

A trial that is invalid according to telemetry gives no sample, and asv is told why; a case without any sample is nan,
which asv shows as n/a. Suspect trials give samples, of which asv takes the median.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from rigmark.bench.builds import build as builds
from rigmark.bench.errors import UserError
from rigmark.bench.launch.workers import DEFAULT_DEADLINE_S
from rigmark.bench.machine import hardware
from rigmark.bench.plan import axes
from rigmark.bench.plan.case import DEFAULT_BUILD, Case
from rigmark.bench.plan.sweep import Sweep

VERSION = "1"                # asv does not compare versions: increase it when the meaning of the figure changes
WORKERS_AT_MOST = 5          # in one round: probe, proof, the oracle for it, the oracle's loss, timing



def benchmark(sweeps: Sequence[Sweep], module: str) -> Callable[[str], dict[str, Any] | float]:
    """The suite in ``module`` as an asv benchmark: seconds per step of every case, lower is better.

    It has as many rounds as the sweeps have repetitions; one with ``--quick``, N with ``-a rounds=N``.
    """
    suite = module.rpartition(".")[2]
    home = _home(module)
    cases = named_cases(sweeps, home)

    def track_step_time(case: str) -> dict[str, Any] | float:
        from rigmark.bench.asv.rounds import measured  # imports the runner, which readers of a suite do not need

        try:
            return measured(*cases[case], suite=suite, name=case, home=home)
        except UserError as error:
            sys.exit(f"rigmark: {error}")    # asv shows the message, and the case as failed

    vars(track_step_time).update(
        params=[[*cases]], param_names=["case"], unit="seconds", version=VERSION,
        rounds=max(sweep.repetitions for sweep in sweeps), timeout=WORKERS_AT_MOST * DEFAULT_DEADLINE_S + 60,
    )
    return track_step_time


def named_cases(sweeps: Sequence[Sweep], home: Path | None = None) -> dict[str, tuple[Sweep, Case]]:
    """Every case by its name, in the build that the matrix of asv names in RIGMARK_BUILD.

    The name is the same for all builds, even for one that limits the case to an instruction set. ``home`` is the folder
    of builds.toml; None for that of Rigmark's own suites.
    """
    build = os.environ.get("RIGMARK_BUILD", DEFAULT_BUILD)
    known = builds.load(home or _home("rigmark"))
    builds.find(build, known)
    named: dict[str, tuple[Sweep, Case]] = {}
    for sweep in sweeps:
        for case in replace(sweep.shortened, builds=(build,)).cases(len(hardware.usable_cpus())):
            name = _name(case, is_threads_declared=bool(sweep.threads))
            named.setdefault(name, (sweep, builds.with_isa_of_build(case, known)))
    return named


def _name(case: Case, *, is_threads_declared: bool) -> str:
    """The name of a case, with one word per axis: "mlp inference numpy eager nchw fp32 cpu local_batch=8".

    asv identifies the history of a case by this name. Therefore it is the same on every machine, and does not change
    when Rigmark gets a new axis, as long as that has its default value.
    """
    values = case.plain()
    del values["build"]
    if not is_threads_declared:
        del values["threads"]
    named = [values.pop(name) for name in axes.NAMED]
    return " ".join([*named, *(f"{name}={value}" for name, value in values.items() if value != axes.DEFAULTS[name])])


def _home(module: str) -> Path:
    """The folder of asv.conf.json, which contains builds.toml too; ``module`` is one of its suites."""
    # A benchmark runs in a folder that asv deletes; with environment type "existing" the folder of asv is not known.
    suites = sys.modules[module.partition(".")[0]]
    return Path(os.environ.get("ASV_CONF_DIR") or Path(suites.__path__[0]).parent)
