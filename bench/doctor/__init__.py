"""Checks of a machine: what it can measure, and what would disturb measurements, with a fix for each problem."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rigmark.bench.doctor.builds import Usable, build_checks, compilers, framework_version, usable_builds, usable_levels
from rigmark.bench.doctor.checks import Check, Severity
from rigmark.bench.doctor.gpus import Gpus, Look, device_checks, gpu_checks, telemetry_checks
from rigmark.bench.doctor.noise import noise_checks, other_work
from rigmark.bench.doctor.space import space_checks
from rigmark.bench.enums import LEVELS
from rigmark.bench.machine import hardware, isa, system


@dataclass(frozen=True, kw_only=True)
class Examination:
    """The facts of this machine and the results of all checks."""

    system: Mapping[str, Any]
    instruction_sets: Mapping[str, bool]         # level -> whether this processor has it
    builds: tuple[Usable, ...]
    gpus: Gpus
    checks: tuple[Check, ...] = field(default=())

    @property
    def can_measure(self) -> bool:
        return not any(check.severity is Severity.PREVENTS for check in self.checks)


def examine(results: Path, tell: Callable[[str], None] = lambda _: None) -> Examination:
    """Runs all checks, which takes some seconds. ``results`` is the folder that records would be written to.

    ``tell`` is called with a sentence if it takes longer. Raises UserError for an invalid builds.toml.
    """
    look = Look()
    usable = usable_builds()
    gpus, work, described = look.end(tell), other_work(), system.described()
    features = hardware.cpu_features()
    levels = {level.value: not isa.FEATURES[level] - features for level in LEVELS}
    checks = [
        *build_checks(usable, gpus.driver, compilers()), *gpu_checks(gpus, usable), *space_checks(results, described),
        *device_checks(gpus), *telemetry_checks(gpus), *noise_checks(described, work),
    ]
    return Examination(
        system=described, instruction_sets=levels, builds=tuple(usable), gpus=gpus, checks=tuple(checks)
    )


def plain(of: Examination) -> dict[str, Any]:
    """The examination for scripts. Names are never changed, more may be added; None is what is not known."""
    features = hardware.cpu_features()
    return {
        "can_measure": of.can_measure, "machine": hardware.machine().plain(), "system": dict(of.system),
        "instruction_sets": dict(of.instruction_sets),
        "gpus": {
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
