"""What a GPU's driver may do, when, and to which of two cards: each with what a trial's record is to say of it.

A simulated driver whose clock stands still between reads plays each case to NVIDIA's own binding, the source and the
sampler's reader; what they read is described and judged as that of a real trial. What hangs needs real time: see
evidence/telemetry_faults.py.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from rigmark.bench.analysis.results.validity import Judged, Validity, judge
from rigmark.bench.store import stored
from rigmark.bench.telemetry import cuda, regions, series
from rigmark.bench.telemetry.series import Described
from rigmark.bench.telemetry.sources import nvml
from tests.telemetry.simulator import Driver

MARKS = {"warm_up": 1.013, "steady": 2.013, "timed": 8.013}
END_S = 9.0
MARK_S = 0.002               # after which the sampler hears of a mark
WHEN = {
    "before the warm-up": 0.52, "in the warm-up": 1.52, "in the first quarter": 2.62, "in the middle": 4.62,
    "in the last quarter": 7.22, "in the last step": 7.97, "after the last step": 8.32,
}
TIMED = ("in the first quarter", "in the middle", "in the last quarter", "in the last step")
BEFORE = ("before the warm-up", "in the warm-up")
WORK = "gpus 2\nset * power_w training 70 300 0.237\nset * busy_ratio constant 0.9\n"
STEPS_S = [0.1] * 60

Expected = tuple[Validity, str]          # and the doubts about the GPU, the one that says so first; "" for none
NOTHING: Expected = (Validity.VALID, "")


@dataclass(frozen=True, kw_only=True)
class Fault:
    """One kind of fault of the first card."""

    scenario: Callable[[float], str]             # from when on
    expected: Mapping[str, Expected]             # by when; NOTHING elsewhere
    says: str = ""                               # in the doubt


def _for_all(when: tuple[str, ...], expected: Expected) -> dict[str, Expected]:
    return dict.fromkeys(when, expected)


def _event(bits: str, length_s: float) -> Callable[[float], str]:
    return lambda at_s: f"event 0 {bits} {at_s} {at_s + length_s}"


def _lie(quantity: str, value: float) -> Fault:
    return Fault(
        scenario=lambda at_s: f"lie 0 {quantity} {at_s} {at_s + 0.4} {value}",
        expected=_for_all(TIMED, (Validity.VALID, "implausible_sensor")),
        says=f"{quantity} of Simulated A100 (GPU 0) was",
    )


INVALID, SUSPECT, VALID = Validity.INVALID, Validity.SUSPECT, Validity.VALID
FAULTS = {
    "lost": Fault(
        scenario=lambda at_s: f"fault 0 * {at_s} 1e9 error 15",
        expected=_for_all((*BEFORE, *TIMED), (INVALID, "gpu_lost")), says="while steps were timed; look for Xid",
    ),
    "lost, and back": Fault(
        scenario=lambda at_s: f"fault 0 * {at_s} {at_s + 0.3} error 15",
        expected={**_for_all(TIMED, (INVALID, "gpu_lost")), "in the warm-up": (SUSPECT, "gpu_lost")},
        says="the driver lost contact with",
    ),
    "in need of a reset": Fault(
        scenario=lambda at_s: f"fault 0 * {at_s} 1e9 error 16",
        expected=_for_all((*BEFORE, *TIMED), (INVALID, "gpu_lost")), says="reset the GPU or reboot",
    ),
    "not found any more": Fault(
        scenario=lambda at_s: f"fault 0 * {at_s} 1e9 error 28",
        expected=_for_all((*BEFORE, *TIMED), (INVALID, "gpu_lost")), says="while steps were timed; look for Xid",
    ),
    "one memory error": Fault(
        scenario=lambda at_s: f"errors 0 ecc_uncorrected_per_s {at_s} 1",
        expected=_for_all(TIMED, (INVALID, "ecc_uncorrected")), says="1 memory errors of Simulated A100 (GPU 0)",
    ),
    "two memory errors": Fault(
        scenario=lambda at_s: "\n".join(f"errors 0 ecc_uncorrected_per_s {each} 1" for each in (at_s, at_s + 0.02)),
        expected=_for_all(TIMED, (INVALID, "ecc_uncorrected")), says="2 memory errors of Simulated A100 (GPU 0)",
    ),
    "corrected memory errors": Fault(
        scenario=lambda at_s: f"errors 0 ecc_corrected_per_s {at_s} 3",
        expected=_for_all(TIMED, (VALID, "ecc_corrected")), says="3 memory errors of Simulated A100 (GPU 0)",
    ),
    "hot from then on": Fault(
        scenario=lambda at_s: f"event 0 0x40 {at_s} 1e9",
        expected={
            **_for_all((*BEFORE, "in the first quarter", "in the middle"), (INVALID, "throttled")),
            "in the last quarter": (SUSPECT, "throttled"),
        },
        says="of the timed steps by heat",
    ),
    "hot for a tenth": Fault(
        scenario=_event("0x40", 0.6), expected=_for_all(TIMED[:3], (SUSPECT, "throttled")), says="were reduced for 1",
    ),
    "power brake for a tenth": Fault(
        scenario=_event("0x80", 0.6), expected=_for_all(TIMED[:3], (SUSPECT, "throttled")), says="brake signal",
    ),
    "at its power cap for a tenth": Fault(
        scenario=_event("0x4", 0.6), expected=_for_all(TIMED[:3], (VALID, "power_capped")), says="at its power limit",
    ),
    "255 degrees": _lie("temperature_c", 255.0),
    "0 degrees": _lie("temperature_c", 0.0),
    "4 MW": _lie("power_w", 4e6),
    "0 W": _lie("power_w", 0.0),
    "a clock that stands still": _lie("sm_clock_hz", 0.0),
    "a clock of 30 GHz": _lie("sm_clock_hz", 30e9),
    "more memory than it has": _lie("memory_used_bytes", 200.0 * 2**30),
    "no watts at all": Fault(
        scenario=lambda at_s: f"lie 0 power_w {at_s} 1e9 0",
        expected=_for_all((*BEFORE, *TIMED), (VALID, "implausible_sensor")), says="power_w of Simulated A100",
    ),
    "calls that time out": Fault(
        scenario=lambda at_s: f"fault 0 * {at_s} {at_s + 0.3} error 10", expected={},
    ),
    # Then energy is by power alone, whose sensor is slow for such steps.
    "counters that begin anew": Fault(
        scenario=lambda at_s: f"reset 0 {at_s}", expected=_for_all(TIMED, (VALID, "energy_uncertain")),
        says="(power_integral_instant over 6.0 s)",
    ),
    "all sensors stand still": Fault(
        scenario=lambda at_s: f"fault 0 * {at_s} 1e9 frozen",
        expected={
            **_for_all(BEFORE, (VALID, "frozen_sensor implausible_sensor")),
            **_for_all(TIMED[:3], (VALID, "energy_uncertain")),
        },
    ),
}


@dataclass(frozen=True, kw_only=True)
class Case:
    """A fault at a time, and of which card the trial is."""

    fault: str
    when: str
    is_on_faulty: bool

    @property
    def expected(self) -> Expected:
        return FAULTS[self.fault].expected.get(self.when, NOTHING) if self.is_on_faulty else NOTHING

    def __str__(self) -> str:
        return f"{self.fault}, {self.when}, {'its own' if self.is_on_faulty else 'the other'} card"


def played(driver: Driver, folder: Path, fault: str, *, more: str = "") -> Iterator[tuple[Case, Judged]]:
    """A kind of fault at each time, judged as a trial on the card that has it, and as one on the other."""
    for when, at_s in WHEN.items():
        file = folder / f"{fault} {when}".replace(" ", "_")
        devices, described = _recorded(driver, file, WORK + more + FAULTS[fault].scenario(at_s))
        for is_on_faulty in (True, False):
            yield Case(fault=fault, when=when, is_on_faulty=is_on_faulty), judge({
                "device": "cuda:0", "timings_s": STEPS_S, "host_times_s": STEPS_S, "local_batch": 1,
                "steps_per_timing": 1, "telemetry": stored.TELEMETRY.decode(json.dumps({
                    "devices": [{**each, "used": number == (0 if is_on_faulty else 1)} for number, each in devices],
                    "regions": described, "problem": None,
                })),
            })


def _recorded(driver: Driver, file: Path, scenario: str) -> tuple[list[tuple[int, dict[str, object]]], list[object]]:
    """([CUDA's number of a device, and the device], regions) of a trial that plays a scenario."""
    look = driver.play(scenario, at=(), opened_at=0.01, trial={
        "file": str(file), "marks_s": list(MARKS.values()), "mark_s": MARK_S, "end_s": END_S,
    })
    plain = {"name": "nvml", "rate_hz": nvml.RATE_HZ, "fields": nvml.FIELDS, "devices": ()}
    told = json.loads(json.dumps(Described(**plain).plain() | {"devices": look.devices}))     # as the sampler's are
    itself = Described(name=series.SAMPLER, rate_hz=1.0, fields=series.OWN_FIELDS, devices=())
    sources = [itself, series.described(told)]
    readings = series.read(file)
    of_source = series.sifted(readings[readings["source"] == 1], sources)
    devices, described = regions.described(of_source, sources, MARKS)
    numbers = cuda.visible_gpus({"CUDA_DEVICE_ORDER": "PCI_BUS_ID"}, sources[1].devices) or ()
    return [(numbers.index(str(each["id"])), each) for each in devices], described


def is_right(case: Case, judged: Judged) -> bool:
    """Whether the trial's validity and doubts are those that the fault asks for, and say so."""
    validity, names = case.expected
    result = {finding.id: finding.text for finding in judged.findings}
    if set(result) != set(names.split()) or judged.validity is not validity:
        return False
    return not result or FAULTS[case.fault].says in result[names.split()[0]]


def in_words(judged: Judged) -> str:
    doubts = sorted({finding.id for finding in judged.findings})
    return f"{judged.validity}{': ' if doubts else ''}{', '.join(doubts)}"

