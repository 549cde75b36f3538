"""Checks of a machine: what it can measure, and what would disturb measurements, with a fix for each problem."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from rigmark.bench.doctor.builds import Usable, build_checks, compilers, framework_version, usable_builds, usable_levels
from rigmark.bench.doctor.checks import Check, Severity
from rigmark.bench.doctor.gpus import Gpus, Look, device_checks, gpu_checks, telemetry_checks
from rigmark.bench.doctor.noise import OtherWork, noise_checks, other_work
from rigmark.bench.doctor.space import space_checks
from rigmark.bench.enums import LEVELS
from rigmark.bench.machine import hardware, isa, system


@dataclass(frozen=True, kw_only=True)
class Examination:
    """The facts of this machine and the results of all checks."""

    system: Mapping[str, Any]
    instruction_sets: Mapping[str, bool]         # level -> whether this processor has it
    builds: tuple[Usable, ...]
    gpus: Gpus | None                            # None while they are waited for
    checks: tuple[Check, ...] = field(default=())

    @property
    def can_measure(self) -> bool:
        return not any(check.severity is Severity.PREVENTS for check in self.checks)


Waiting = Callable[[Examination, str], None]


def examine(results: Path, waiting: Waiting = lambda _examination, _why: None) -> Examination:
    """Runs all checks, which takes some seconds. ``results`` is the folder that records would be written to.

    If GPUs do not answer soon, ``waiting`` is called once: with all that does not depend on them, and with a sentence
    on what is waited for. Raises UserError for an invalid builds.toml.
    """
    look = Look()
    usable, has_compiler = usable_builds(), compilers()
    features = hardware.cpu_features()
    levels = {level.value: not isa.FEATURES[level] - features for level in LEVELS}

    @cache
    def around() -> tuple[OtherWork, dict[str, Any]]:
        return other_work(), system.described()

    def examined(gpus: Gpus | None) -> Examination:
        work, described = around()
        driver = hardware.nvidia_driver() if gpus is None else gpus.driver
        of_gpus = () if gpus is None else (*gpu_checks(gpus, usable), *device_checks(gpus), *telemetry_checks(gpus))
        checks = (
            *build_checks(usable, driver, has_compiler), *of_gpus, *space_checks(results, described),
            *noise_checks(described, work),
        )
        return Examination(
            system=described, instruction_sets=levels, builds=tuple(usable), gpus=gpus, checks=checks
        )

    return examined(look.end(lambda why: waiting(examined(None), why)))


def plain(of: Examination) -> dict[str, Any]:
    """The examination for scripts. Names are never changed, more may be added; None is what is not known."""
    features = hardware.cpu_features()
    return {
        "can_measure": of.can_measure, "machine": hardware.machine().plain(), "system": dict(of.system),
        "instruction_sets": dict(of.instruction_sets),
        "gpus": None if of.gpus is None else {
            "on_bus": of.gpus.on_bus, "driver": of.gpus.driver, "unavailable": dict(of.gpus.unavailable),
            "devices": [
                {
                    "id": gpu.id, "name": gpu.name, "facts": gpu.facts, "unknown": gpu.unknown,
                    "silent": of.gpus.silent.get(gpu.id),
                }
                for gpu in of.gpus.devices
            ],
        },
        "builds": [
            {
                "name": usable.build.name, "interpreter": usable.build.interpreter, "python": usable.python,
                "frameworks": {name: framework_version(usable, name) for name in usable.frameworks},
                "instruction_sets": {
                    name: usable_levels(name, usable.build.isa, features) for name in usable.frameworks
                },
                "cuda": usable.cuda, "cudnn": usable.cudnn, "problem": usable.problem,
            }
            for usable in of.builds
        ],
        "checks": [
            {"topic": check.topic, "severity": check.severity, "text": check.text, "fix": check.fix}
            for check in of.checks
        ],
    }
