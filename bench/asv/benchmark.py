"""All glue to asv: a suite as one benchmark, and the environment type "rigmark" that installs nothing.

asv keeps commits, discovery, result files and history; Rigmark measures. One *round* of asv is one repetition: a fresh
process of asv's starts a fresh worker, and gives asv the median of its timings as one sample. So asv takes the cases
of a suite in turns, and ``asv continuous`` the commits too. The records go to a results folder of Rigmark's beside.

A trial that is invalid by what telemetry saw is no sample, and asv hears why; where no round has one the case is nan,
which asv shows as n/a. Suspect trials are samples: asv has the median of them.
"""

from __future__ import annotations

import itertools
import math
import os
import shlex
import statistics
import sys
from collections.abc import Callable, Sequence
from dataclasses import fields, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rigmark.bench.builds import build as builds
from rigmark.bench.builds import revisions
from rigmark.bench.enums import PLANNED_GAPS, Outcome, TrialKind
from rigmark.bench.errors import UserError
from rigmark.bench.machine import hardware
from rigmark.bench.plan.case import DEFAULT_BUILD, Case
from rigmark.bench.plan.schedule import Trial, proof_case
from rigmark.bench.plan.sweep import Sweep
from rigmark.bench.runner.runner import Runner
from rigmark.bench.runner.workers import DEFAULT_DEADLINE_S
from rigmark.bench.store.store import Store

VERSION = "1"                # results of another version are not compared: raise it when the figure changes its meaning
WORKERS_AT_MOST = 5          # in one round: probe, proof, the oracle for it, the oracle's loss, timing
START = datetime.now(UTC).isoformat(timespec="seconds")

NAMED_FIRST = ("model", "mode", "framework", "compile_mode", "layout", "precision", "device")
DEFAULTS = {axis.name: axis.default for axis in fields(Case)}


def benchmark(sweeps: Sequence[Sweep], module: str) -> Callable[[str], dict[str, Any] | float]:
    """What the suite in ``module`` shows to asv: seconds per step of every case, lower is better.

    It has as many rounds as the sweeps' repetitions; ``--quick`` makes it one, ``-a rounds=N`` makes it N.
    """
    suite = module.rpartition(".")[2]
    home = _home(module)
    cases = named_cases(sweeps, home)

    def track_step_time(case: str) -> dict[str, Any] | float:
        try:
            return measure(*cases[case], suite=suite, name=case, home=home)
        except UserError as error:
            sys.exit(f"rigmark: {error}")    # asv shows it and calls the case failed

    vars(track_step_time).update(
        params=[[*cases]], param_names=["case"], unit="seconds", version=VERSION,
        rounds=max(sweep.repetitions for sweep in sweeps), timeout=WORKERS_AT_MOST * DEFAULT_DEADLINE_S + 60,
    )
    return track_step_time


def named_cases(sweeps: Sequence[Sweep], home: Path | None = None) -> dict[str, tuple[Sweep, Case]]:
    """Every case by its name, in the build that asv's matrix asks for by RIGMARK_BUILD.

    The name is the same for all builds, also for one that holds the case to an instruction set. ``home`` is the folder
    of builds.toml; None: that of Rigmark's own suites.
    """
    build = os.environ.get("RIGMARK_BUILD", DEFAULT_BUILD)
    known = builds.load(home or _home("suites"))
    builds.find(build, known)
    named: dict[str, tuple[Sweep, Case]] = {}
    for sweep in sweeps:
        for case in replace(sweep, builds=(build,)).cases(len(hardware.usable_cpus())):
            name = _name(case, is_threads_declared=bool(sweep.threads))
            named.setdefault(name, (sweep, builds.held(case, known)))
    return named


def _name(case: Case, *, is_threads_declared: bool) -> str:
    """One word an axis: "mlp inference numpy eager nchw fp32 cpu local_batch=8".

    asv joins the history of a case by this name. So it is the same on every machine, and an axis that Rigmark gains
    later leaves it alone while it has its default.
    """
    axes = case.plain()
    del axes["build"]
    if not is_threads_declared:
        del axes["threads"]
    words = [axes.pop(axis) for axis in NAMED_FIRST]
    return " ".join([*words, *(f"{axis}={value}" for axis, value in axes.items() if value != DEFAULTS[axis])])


def measure(sweep: Sweep, case: Case, *, suite: str, name: str, home: Path) -> dict[str, Any] | float:
    """What asv adds to its samples: seconds per step, the median of one fresh worker.

    That worker makes one more repetition in this run of asv. An invalid trial adds no sample; nan where the rounds
    before have none either. Raises asv's SkipNotImplemented for a planned gap (asv shows n/a) and UserError for a trial
    that failed.
    """
    from asv_runner.benchmarks.mark import SkipNotImplemented

    *earlier, record = _rounds(sweep, case, suite=suite, name=name, home=home)
    sentence = f"{record['outcome']}: {record['reason']}"
    if record["outcome"] in PLANNED_GAPS:
        print(f"rigmark: {sentence}", file=sys.stderr)   # asv says n/a and not why
        raise SkipNotImplemented(sentence)
    if record["outcome"] != Outcome.OK:
        print(record["last_words"], file=sys.stderr)
        raise UserError(sentence)
    if reasons := _why_invalid(record):
        print(f"rigmark: invalid, and left out: {'; '.join(reasons)}", file=sys.stderr)
        # asv joins lists of samples, and forgets those of the rounds before a nan.
        return math.nan if all(map(_why_invalid, earlier)) else {"samples": [], "number": 1}
    timings_s: list[float] = record["measurement"]["timings_s"]
    return {"samples": [statistics.median(timings_s) / case.steps_per_timing], "number": 1}


def _why_invalid(record: dict[str, Any]) -> list[str]:
    """Why the time of a trial that is ok is not that of the thing it is booked under; empty where it is."""
    # Not above, since asv and the command line import every suite, and with it this module.
    from rigmark.bench.analysis.results.findings import FindingKind
    from rigmark.bench.analysis.results.validity import judge_record

    judged = judge_record(record)
    return [
        finding.text for finding in (*judged.findings, *judged.of_timings) if finding.kind is FindingKind.INVALID
    ]


def _rounds(sweep: Sweep, case: Case, *, suite: str, name: str, home: Path) -> list[dict[str, Any]]:
    """Records of this run of asv, repetition by repetition, the last of them measured now or the one that failed.

    A failure stays one in all later rounds, since asv keeps what it hears in the last.
    """
    commit = os.environ.get("ASV_COMMIT", "")
    session = f"asv {os.environ.get('RIGMARK_SESSION', START)} {commit[:8]}".strip()
    only = ["--bench", rf"^{suite}\..*{name}.\)"]     # asv's own name ends with the case, a quote and a bracket
    command = shlex.join(["asv", "run", *([f"{commit}^!"] if commit else []), *only])
    store = Store(home / os.environ.get("RIGMARK_RESULTS", ".asv/rigmark-results")).create()
    known = builds.load(home)
    if checkout := os.environ.get("RIGMARK_CHECKOUT"):
        build = revisions.checked_out(Path(checkout), builds.find(case.build, known))
        known, case = known | {build.name: build}, replace(case, build=build.name)
    kind = TrialKind.LIMIT if case.is_limit else TrialKind.TIMING
    proof = Trial(kind=TrialKind.PROOF, case=proof_case(case, len(hardware.usable_cpus())))
    with Runner(store, known, suite=suite, command=command, session=session) as runner:
        records = []
        for repetition in itertools.count():
            trial = Trial(kind=kind, case=case, repetition=repetition, timing=sweep.timing)
            trial_id = runner.identity(trial).id
            if trial_id not in store or store.get(trial_id)["outcome"] != Outcome.OK:
                break
            records.append(store.get(trial_id))
        runner.run([trial] if case.is_limit else [proof, trial])
    return [*records, store.get(trial_id)]


def _home(module: str) -> Path:
    """The folder of asv.conf.json, where builds.toml stands too; ``module`` is one of its suites."""
    # A benchmark runs in a folder that asv deletes, and asv's environment type "existing" does not say where asv was.
    suites = sys.modules[module.partition(".")[0]]
    return Path(os.environ.get("ASV_CONF_DIR") or Path(suites.__path__[0]).parent)


if "asv" in sys.modules:     # asv's own process; a benchmark's and the command line do not wait for this import
    from asv import util
    from asv.environment import Environment, EnvironmentUnavailable

    class ThisInterpreter(Environment):  # type: ignore[misc]
        """The interpreter that runs asv, with a checkout of the measured commit first on its path.

        Of Rigmark ``bench`` is that of the commit and ``suites`` that of the working tree, as asv has it for every
        project. Of another project the workers import what the commit holds; they run in a build of its name.
        """

        tool_name = "rigmark"

        def __init__(self, conf: Any, python: str, requirements: dict[str, str], variables: dict[tuple[str, str], str]):
            this = f"{sys.version_info.major}.{sys.version_info.minor}"
            if python != this:
                raise EnvironmentUnavailable(
                    f"'{self.tool_name}' measures with the Python that runs asv, {this}, not {python}; name other "
                    f"interpreters in {builds.FILE} and list them under RIGMARK_BUILD in asv.conf.json"
                )
            self._requirements = requirements    # asv's own constructor reads it before it sets it
            super().__init__(conf, python, requirements, variables)

        def check_presence(self) -> bool:
            return True

        def install_project(self, conf: Any, repo: Any, commit_hash: str) -> None:
            if self.installed_commit_hash != commit_hash:
                self._set_installed_commit_hash(None)
                self.checkout_project(repo, commit_hash)
                self._set_installed_commit_hash(commit_hash)

        def run(self, args: list[str], **options: Any) -> Any:
            # Environments that differ in RIGMARK_BUILD only share a checkout; asv tells the commit to the first alone.
            self._set_commit_hash(self.installed_commit_hash)
            # Both paths: asv's own run_executable sets PYTHONPATH only, and benchmark.py then takes it away again.
            paths = dict.fromkeys(("PYTHONPATH", "ASV_PYTHONPATH"), self._build_root)
            own = {"RIGMARK_SESSION": START, "RIGMARK_CHECKOUT": self._build_root}
            env = {**options.pop("env", os.environ), **self._global_env_vars, **paths, **own}
            return util.check_output([sys.executable, *args], env=env, **options)
