"""The simulated NVIDIA driver of nvml_simulator.c: built, and played to the real binding in a process of its own."""

from __future__ import annotations

import atexit
import ctypes
import json
import os
import shutil
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, ClassVar, Self
from unittest import mock

from rigmark.bench.telemetry.sources import Tier, nvml

ROOT = Path(__file__).parents[2]
SOURCE = Path(__file__).with_name("nvml_simulator.c")
ENERGY, POWER = "energy_j", "power_w"
ALL_TIERS = tuple(Tier)


MISSING = "the simulated NVIDIA driver needs Linux and a C compiler: install gcc"


def compiler() -> str | None:
    """The C compiler that builds the simulated driver; None where that cannot be."""
    result = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    return result if sys.platform == "linux" else None


def build(folder: Path, *, is_old: bool = False) -> Path:
    """Compiles the library into the folder, which is to be in LD_LIBRARY_PATH; an old driver lacks newer functions."""
    library = folder / "libnvidia-ml.so.1"
    command = [str(compiler()), "-O2", "-std=gnu11", "-Wall", "-Wextra", "-shared", "-fPIC", str(SOURCE)]
    subprocess.run([*command, *(["-DOLD_DRIVER"] if is_old else []), "-o", str(library), "-lm"], check=True)
    return library


@cache
def library(*, is_old: bool = False) -> Path:
    """The library, built once for this process."""
    folder = Path(tempfile.mkdtemp(prefix="nvml-simulator-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return build(folder, is_old=is_old)


def environment(scenario: Path, *, is_old: bool = False) -> dict[str, str]:
    """Variables for a process that shall find the simulated driver; it must be started with them."""
    return dict(os.environ) | {
        "LD_LIBRARY_PATH": str(library(is_old=is_old).parent), "NVML_SCENARIO": str(scenario), "PYTHONPATH": str(ROOT),
    }


class Installed:
    """A simulated driver that every process finds which is started within; its time is far below 0 until ``start``."""

    _simulated: ClassVar[Path | None] = None

    def __init__(self, scenario: str, folder: Path, *, is_old: bool = False) -> None:
        self._epoch = folder / "epoch"
        self._scenario = folder / "scenario"
        self._scenario.write_text(f"epoch {self._epoch}\n{scenario}\n")
        self._set_epoch(time.perf_counter() + 1e6)
        self._variables = mock.patch.dict(os.environ, environment(self._scenario, is_old=is_old))

    def __enter__(self) -> Self:
        self._variables.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._variables.stop()

    def start(self) -> None:
        """Now is time zero of the scenario."""
        self._set_epoch(time.perf_counter())

    def energy_j(self, gpu: int, begin_s: float, end_s: float) -> float:
        """The truth: the integral of the power between two moments of time.perf_counter, in closed form."""
        simulated = ctypes.CDLL(str(library()))
        simulated.simulated_energy_j.restype = ctypes.c_double
        simulated.simulated_energy_j.argtypes = [ctypes.c_int, ctypes.c_double, ctypes.c_double]
        if Installed._simulated != self._scenario:       # the library holds one at a time
            simulated.simulated_open(str(self._scenario).encode())
            Installed._simulated = self._scenario
        return float(simulated.simulated_energy_j(gpu, begin_s - self._epoch_s, end_s - self._epoch_s))

    def _set_epoch(self, seconds: float) -> None:
        self._epoch_s = seconds
        with self._epoch.open("r+b" if self._epoch.exists() else "wb") as file:      # mapped: must not be replaced
            file.write(struct.pack("d", seconds))


class Look:
    """What the source answered: its devices, and the readings at each asked time."""

    def __init__(self, answer: Mapping[str, Any]) -> None:
        self.unavailable: str | None = answer.get("unavailable")
        self.devices: list[dict[str, Any]] = answer.get("devices", [])
        self.calls: list[str] = answer.get("calls", [])
        self.values: dict[tuple[int, str], list[Any]] = {}
        for readings in answer.get("readings", []):
            for device, field, value, reason in readings:
                self.values.setdefault((device, field), []).append(value if reason is None else reason)

    def __getitem__(self, key: tuple[int, str]) -> list[Any]:
        """A device's field at each of the times: the number, or the reason why it is unknown, as text."""
        return self.values[key]

    def unknown(self, device: int) -> dict[str, str]:
        """{field: reason} of what that device never told."""
        return {
            field: values[0] for (number, field), values in self.values.items()
            if number == device and all(isinstance(value, str) for value in values)
        }


class Driver:
    """A process that has loaded the simulated driver, and plays one scenario after the other to the source."""

    def __init__(self, folder: Path, *, is_old: bool = False) -> None:
        self._clock = folder / "clock"
        self._clock.write_bytes(bytes(8))
        self._scenario = folder / "scenario"
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.telemetry.nvml_client"], cwd=ROOT, text=True,
            env=environment(self._scenario, is_old=is_old), stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        )

    def play(
        self, scenario: str = "", *, at: Sequence[float] = (1.0,), tiers: Sequence[str] = ALL_TIERS,
        gpus: Sequence[str] = (), processes: Sequence[int] = (), opened_at: float = 0.5,
        silent_s: float = nvml.SILENT_S, trial: Mapping[str, Any] | None = None,
    ) -> Look:
        """Opens the source over the scenario, reads it at each of those seconds (no one waits for them), closes it.

        ``trial`` is one to record besides: {"file" to write, "marks_s", "mark_s" after which each is heard, "end_s"}.

        ``processes`` are the trial's; "own" in the scenario is the number of the process that reads.
        """
        log = self._scenario.with_name("calls")
        log.write_text("")
        text = f"clock {self._clock}\nlog {log}\n{scenario.replace('own', str(self._process.pid))}\n"
        self._scenario.write_text(text)
        request = {
            "clock": str(self._clock), "at": list(at), "tiers": list(tiers), "gpus": list(gpus),
            "processes": list(processes), "opened_at": opened_at, "silent_s": silent_s,
            "trial": trial,
        }
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        assert answer, f"the process with the simulated driver ended with {self._process.wait()}"
        calls = [line.split()[2] for line in log.read_text().splitlines() if float(line.split()[0]) > opened_at]
        return Look(json.loads(answer) | {"calls": calls})

    @property
    def pid(self) -> int:
        return self._process.pid

    def close(self) -> None:
        self._process.communicate()
