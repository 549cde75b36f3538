"""A trial on a simulated GPU, recorded as a real one is: in real time, by the sampler's process."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rigmark.bench import devices
from rigmark.bench.telemetry.recorder import Recorder, Recording
from tests.telemetry import simulator

ALWAYS = "-1e9 1e9"
NO_COUNTER = f"fault {{0}} field:83 {ALWAYS} error 3\nfault {{0}} GetTotalEnergyConsumption {ALWAYS} error 3\n"
NO_INSTANT_POWER = f"fault {{0}} field:186 {ALWAYS} error 3\nfault {{0}} field:186:1 {ALWAYS} error 3\n"
NO_POWER = NO_INSTANT_POWER + f"fault {{0}} GetPowerUsage {ALWAYS} error 3\n"


@dataclass(frozen=True, kw_only=True)
class Trial:
    recording: Recording
    marks: dict[str, float]              # on time.perf_counter
    longest_mark_s: float                # how long the trial was held up by one
    end_s: float                         # how long the recorder took when the trial was over
    true_energy_j: tuple[float, ...]     # of the first GPUs, in the timed steps

    def gpu(self, number: int, region: str = "timed") -> dict[str, Any]:
        """What the record says of a GPU in a region."""
        block = self.recording.block
        index = next(i for i, device in enumerate(block["devices"]) if device["facts"].get("index") == number)
        devices = next(each["devices"] for each in block["regions"] if each["name"] == region)
        return next(device for device in devices if device["device"] == index)


def recorded(
    scenario: str, folder: Path, *, warm_up_s: float = 1.0, timed_s: float = 1.5,
    meanwhile: Callable[[], None] = lambda: None, is_old: bool = False, **variables: str,
) -> Trial:
    """A trial of a warm-up and timed steps on the first GPU; something may happen as the steps begin.

    Its process is this one, whose number is "own" in the scenario; it has these environment variables besides.
    """
    directory = folder / "sampler"
    directory.mkdir()
    marks, took_s = {}, []
    with simulator.Installed(scenario.replace("own", str(os.getpid())), folder, is_old=is_old) as driver:
        recorder = Recorder(directory)
        recorder.begin((), devices.parsed("cuda:0"), {"CUDA_DEVICE_ORDER": "PCI_BUS_ID", **variables})
        recorder.started(os.getpid())
        driver.start()
        for name, length_s in (("warm_up", warm_up_s), ("steady", timed_s), ("timed", 0.0)):
            marks[name] = time.perf_counter()
            recorder.marked(name, marks[name])
            took_s.append(time.perf_counter() - marks[name])
            if name == "steady":
                meanwhile()
            time.sleep(max(0.0, marks[name] + length_s - time.perf_counter()))
        over_s = time.perf_counter()
        recording = recorder.end(marks)
        end_s = time.perf_counter() - over_s
        recorder.close()
    return Trial(
        recording=recording, marks=marks, longest_mark_s=max(took_s), end_s=end_s,
        true_energy_j=tuple(driver.energy_j(gpu, marks["steady"], marks["timed"]) for gpu in range(8)),
    )
