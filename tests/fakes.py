"""What tests stand on: a clock and a network that do as told, workers that misbehave, builds that lack something."""

from __future__ import annotations

import atexit
import importlib.machinery
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import psutil
import pytest

from rigmark.bench.builds import build, worker_package
from rigmark.bench.enums import TIMED, CompileMode, Layout, Mode, Outcome, TrialKind
from rigmark.bench.launch.launcher import Launcher
from rigmark.bench.launch.ranks import LOOPBACK, Place
from rigmark.bench.machine import hardware
from rigmark.bench.plan.case import Case, Timing
from rigmark.bench.plan.schedule import plan
from rigmark.bench.plan.sweep import Sweep
from rigmark.bench.processes.launch import Launch
from rigmark.bench.processes.spawn import ARRAYS, Answer
from rigmark.bench.runner.runner import Runner
from rigmark.bench.runner.tally import Tally
from rigmark.bench.store.record import Identity, Record
from rigmark.bench.store.store import Store
from rigmark.bench.worker import frameworks

RIGMARK = str(Path(sys.executable).with_name("rigmark"))
SHORT = Timing(min_timings=2, min_time_s=0.001, max_time_s=0.1, warm_up_max_s=0.01)
TOKEN = "RIGMARK_TEST_TOKEN"     # a variable that every process below a test inherits, however it detaches itself


# Time and steps --------------------------------------------------------------------------------------------------


class Clock:
    """A clock that advances by what the network's steps are said to take."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


class Network:
    """A prepared network whose steps take the given seconds, the last of them for ever after.

    ``calls`` holds what was done with it, in order; ``watched`` clocks write into the same list.
    """

    def __init__(self, clock: Clock, step_times_s: Iterable[float] = (0.0,), *, has_device_timer: bool = False):
        self.calls: list[str] = []
        self._clock = clock
        self._step_times_s = list(step_times_s)
        self._timer = DeviceTimer(self) if has_device_timer else None

    def step(self) -> None:
        self.calls.append("step")
        self._clock.now_s += self._step_times_s[0]
        if len(self._step_times_s) > 1:
            del self._step_times_s[0]

    def synchronize(self) -> None:
        self.calls.append("synchronize")

    def forget_peak_memory(self) -> None:
        self.calls.append("forget_peak_memory")

    def device_timer(self) -> DeviceTimer | None:
        return self._timer

    def watched(self, name: str, clock: Callable[[], float]) -> Callable[[], float]:
        """The same clock; each reading of it is one more call in the list."""
        def read() -> float:
            self.calls.append(name)
            return clock()

        return read


class DeviceTimer:
    """A device that always says 0.25 s, whatever the host's clock says."""

    def __init__(self, network: Network):
        self._network = network

    def start(self) -> None:
        self._network.calls.append("device start")

    def stop(self) -> None:
        self._network.calls.append("device stop")

    def elapsed_s(self) -> float:
        self._network.calls.append("device elapsed")
        return 0.25


# Records ---------------------------------------------------------------------------------------------------------


def make_case(**changes: Any) -> Case:
    facts: dict[str, Any] = {
        "model": "mlp", "framework": "numpy", "compile_mode": CompileMode.EAGER, "layout": Layout.NCHW,
        "mode": Mode.INFERENCE, "local_batch": 2, "threads": 1,
    }
    return Case(**{**facts, **changes})


def make_record(
    *, repetition: int = 0, outcome: Outcome = Outcome.OK, timings_s: Iterable[float] = (0.001, 0.001), **case: Any
) -> Record:
    """A record of a timing trial, as a runner would make it."""
    timings = list(timings_s)
    is_ok = outcome is Outcome.OK
    return Record(
        identity=Identity(
            kind=TrialKind.TIMING, case=make_case(**case).plain(), repetition=repetition, session="1",
            graph_fingerprint="0" * 16, build={
                "python": "3.11.0", "framework_version": "2.0", "packages": {"numpy": "2.0"}, "variables": {},
                "adapter": "0" * 12,
            },
            machine=hardware.machine().id, code_version="0" * 12, settings={"seed": 1},
        ),
        suite="test", run_id="0" * 12, command="rigmark run", recorded_at="2026-01-01T00:00:00+00:00",
        outcome=outcome, reason=None if is_ok else "it failed",
        graph={
            "name": "mlp", "parameters": 1, "multiply_adds": 1, "optimizer": "sgd", "loss": "softmax_cross_entropy",
            "flops_per_sample": {"inference": 1, "training": 3},
        },
        interpreter=sys.executable, machine=hardware.machine().plain(), load_before=0.0, wall_time_s=0.1,
        measurement={
            "timings_s": timings, "host_times_s": timings, "cpu_times_s": timings, "warm_up_timings_s": timings,
            "steps_per_timing": 1, "clock": "host", "stopped_by": "enough", "prepare_time_s": 0.01,
            "first_step_s": 0.01, "peak_memory_bytes": 1 << 20, "peak_memory_method": "process_resident",
            "first_loss": 2.3, "expected_loss": 2.3, "result_error": None, "last_loss": None, "batches": 2,
            "last_check": None, "policy": None, "overflow_steps": None,
            "host": {"allocator": None, "numa_nodes": None, "huge_pages": None},
            "other_cpu_time_s": 0.0, "facts": {}, "marks": {},
        } if is_ok else None,
        certificate="0" * 16,
    )


# Frameworks that misbehave ---------------------------------------------------------------------------------------

HONEST = """
from .numpy.adapter import BEST, COMPILE_MODES, DEVICES, DISTRIBUTIONS, IMPORTS, LAYOUTS, LOWERINGS, PRECISIONS
from .numpy.adapter import facts, prepare
"""


def lend_framework(monkeypatch: pytest.MonkeyPatch, name: str, changes: str) -> None:
    """Make a framework known: NumPy's adapter with some of its names changed by Python source."""
    source = HONEST + changes
    shipped = {**worker_package.files(), f"frameworks/{name}.py": source.encode()}
    monkeypatch.setattr(worker_package, "files", lambda: shipped)
    module = ModuleType(f"rigmark.bench.worker.frameworks.{name}")
    module.__package__ = "rigmark.bench.worker.frameworks"
    module.__spec__ = importlib.machinery.ModuleSpec(module.__name__, None)
    exec(source, module.__dict__)
    monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setattr(frameworks, "NAMES", (*frameworks.NAMES, name))


def lend_limits(monkeypatch: pytest.MonkeyPatch, name: str, changes: str) -> None:
    """Make a framework known whose limits are NumPy's with some names changed by Python source."""
    lend_framework(monkeypatch, name, "")
    source = "from ..numpy.microbenchmarks import *\nfrom ..numpy.microbenchmarks import prepare\n" + changes
    shipped = dict(worker_package.files())
    shipped[f"frameworks/{name}/adapter.py"] = shipped.pop(f"frameworks/{name}.py").replace(b"from .", b"from ..")
    shipped |= {f"frameworks/{name}/__init__.py": b"", f"frameworks/{name}/microbenchmarks.py": source.encode()}
    monkeypatch.setattr(worker_package, "files", lambda: shipped)


class Answering:
    """A launcher that starts nothing and answers every job from data, as bench.launch.launcher.Launcher.

    ``instead`` are answers of its own to some kinds of job. ``asked`` holds the kinds of all jobs, in order.
    """

    address = LOOPBACK

    def __init__(self, **instead: Answer):
        self.asked: list[str] = []
        self._instead = instead

    def refusal(self, case: Case) -> str | None:
        return None

    def places(self, case: Case) -> list[Place]:
        return [
            Place(host="here", cpus=tuple(hardware.usable_cpus()[:case.threads]), local_rank=rank)
            for rank in range(case.processes)
        ]

    def start(
        self, launch: Launch, job: Mapping[str, Any], directory: Path, *, listener: object = None, stop: object = None
    ) -> Answer:
        self.asked.append(job["kind"])
        if job["kind"] in self._instead:
            return self._instead[job["kind"]]
        if job["kind"] == "proof":       # what the oracle says too, since it is asked here
            np.savez(directory / ARRAYS, **{"output": [1.0], "losses": [2.3, 2.2, 2.1], "gradient:w": [1.0]})
        return went_well(_result(job))

    def release(self) -> None:
        pass


def went_well(result: dict[str, Any]) -> Answer:
    return Answer(
        outcome=Outcome.OK, reason=None, result=result, marks={"started": 0.0}, last_words="", wall_time_s=0.1
    )


def _result(job: Mapping[str, Any]) -> dict[str, Any]:
    match job["kind"]:
        case "probe":
            return {"python": "3.11.0", "packages": dict.fromkeys(job["distributions"], "1.0")}
        case "oracle":
            return {"loss": 2.3, "output_rounding": 0.0}
        case "proof":
            return {"facts": {}, "prepare_time_s": 0.01}
        case kind:
            assert kind in TIMED
            return {name: value for name, value in (make_record().measurement or {}).items() if name != "marks"}


def measure(
    folder: Path, *, deadline_s: float = 60.0, session: str = "1", telemetry: bool = False,
    launcher: Launcher | None = None, **axes: Any,
) -> Tally:
    """Run a small sweep of the network mlp into ``folder``/results, with the builds of ``folder``/builds.toml."""
    store = Store(folder / "results").create()
    if launcher is None:
        shutil.copytree(oracle_answers(), folder / "results" / "oracle", dirs_exist_ok=True)
    return _measure(store, build.load(folder), deadline_s, session, axes, telemetry=telemetry, launcher=launcher)


def _measure(
    store: Store, known_builds: dict[str, build.Build], deadline_s: float, session: str, axes: dict[str, Any],
    *, telemetry: bool = False, launcher: Launcher | None = None,
) -> Tally:
    declared: dict[str, Any] = {
        "models": ("mlp",), "frameworks": ("numpy",), "modes": (Mode.INFERENCE,), "local_batches": (2,),
        "threads": (1,), "repetitions": 1, "timing": SHORT,
    }
    trials = plan([Sweep(**{**declared, **axes})], cores=len(hardware.usable_cpus()), seed=1)
    with Runner(
        store, known_builds, suite="test", command="rigmark run", deadline_s=deadline_s, session=session,
        telemetry=telemetry, launcher=launcher,
    ) as runner:
        return runner.run(trials)


@cache
def oracle_answers() -> Path:
    """What the oracle says of these small sweeps, asked once for all tests."""
    folder = Path(tempfile.mkdtemp(prefix="rigmark-test-"))
    atexit.register(shutil.rmtree, folder)
    _measure(Store(folder).create(), build.load(folder), 60.0, "1", {"modes": tuple(Mode)})
    return folder / "oracle"


def timing_record(tally: Tally) -> Record:
    """The one record of a timing trial."""
    (record,) = (r for r in tally.stored if r.identity.kind == TrialKind.TIMING)
    return record


def proof_record(tally: Tally) -> Record:
    """The one record of a proof."""
    (record,) = (r for r in tally.stored if r.identity.kind == TrialKind.PROOF)
    return record


# Builds ----------------------------------------------------------------------------------------------------------


def bare_environment(folder: Path) -> Path:
    """The interpreter of a fresh virtual environment that holds no package at all."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    return folder / "bin" / "python"


def site_packages(interpreter: Path) -> Path:
    (folder,) = (interpreter.parent.parent / "lib").glob("python*/site-packages")
    return folder


def add_numpy(interpreter: Path) -> None:
    """Lend the NumPy of this environment to another one, and nothing else."""
    ours = Path(np.__file__).parent.parent
    for path in (ours / "numpy", *ours.glob("numpy.libs"), *ours.glob("numpy-*.dist-info")):
        (site_packages(interpreter) / path.name).symlink_to(path)


def add_package(interpreter: Path, name: str, version: str, source: str = "") -> None:
    """Put a package of one file into an environment; an older version of it goes."""
    site = site_packages(interpreter)
    for old in site.glob(f"{name}-*.dist-info"):
        shutil.rmtree(old)
    (site / name).mkdir(exist_ok=True)
    (site / name / "__init__.py").write_text(source)
    facts = site / f"{name}-{version}.dist-info"
    facts.mkdir()
    (facts / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")


def write_builds(folder: Path, **interpreters: Path | str) -> None:
    """A builds.toml that gives each interpreter a name."""
    tables = [f'[build.{name}]\ninterpreter = "{path}"\n' for name, path in interpreters.items()]
    (folder / "builds.toml").write_text("\n".join(tables))


# Processes -------------------------------------------------------------------------------------------------------


def start_rigmark(*arguments: str, cwd: Path, **variables: str) -> subprocess.Popen[str]:
    """The real command in a process of its own; its stderr is no terminal."""
    return subprocess.Popen(
        [RIGMARK, *arguments], cwd=cwd, env={**os.environ, **variables}, stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )


def rigmark(*arguments: str, cwd: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """The real command, to its end."""
    with start_rigmark(*arguments, cwd=cwd, **variables) as command:
        output, errors = command.communicate(timeout=60)
    return subprocess.CompletedProcess(command.args, command.returncode, output, errors)


def alive(token: str) -> list[psutil.Process]:
    """Processes, this one aside, that inherited this token and have not ended."""
    return list(_alive(token))


def _alive(token: str) -> Iterator[psutil.Process]:
    for result in psutil.process_iter():
        try:
            if result.pid != os.getpid() and result.status() != psutil.STATUS_ZOMBIE \
                    and result.environ().get(TOKEN) == token:
                yield result
        except psutil.Error:
            continue


def eventually(holds: Callable[[], bool], *, within_s: float) -> bool:
    """Whether something comes true in time."""
    until = time.monotonic() + within_s
    while not (result := holds()) and time.monotonic() < until:
        time.sleep(0.01)
    return result
