"""Instruction-set levels of x86-64 that a framework can be limited to.

A level is an upper limit: no instructions beyond it are used. ``native`` means no limit: nothing is set, and every
library chooses by itself. The file ``instruction_sets.py`` in the folder of a framework has

``VARIABLES``   {level: {environment variable: value}}, set before the worker's interpreter starts. Levels that the
                framework cannot be limited to are missing.

A variable may act on some libraries of a framework only, or on processors of one vendor only. The instructions that
really run are therefore observed; see bench.trials.instruction_sets.
"""

from __future__ import annotations

from collections.abc import Mapping, Set
from types import MappingProxyType

from rigmark.bench.devices import Device
from rigmark.bench.enums import LEVELS, Isa
from rigmark.bench.worker import frameworks

FEATURES = MappingProxyType({
    Isa.SSE41: {"sse4_1"}, Isa.AVX2: {"avx2", "fma"}, Isa.AVX512: {"avx512f", "avx512bw", "avx512dq", "avx512vl"},
    Isa.NATIVE: set[str](),
})
"""The features that a processor needs for each level, by their names in archspec, which are those of Linux."""


def variables(framework: str, isa: str) -> dict[str, str]:
    """The variables that limit a framework to a level; empty for native, and if ``refusal`` gives a reason."""
    return dict(_of(framework).get(isa, {}))


def refusal(framework: str, isa: str, device: Device, features: Set[str]) -> str | None:
    """Why a framework cannot be limited to a level on a processor with these features; None if it can."""
    if isa == Isa.NATIVE:
        return None
    if not device.is_host:
        return f"an instruction set is one of the CPU, and this runs on {device}; leave --isa out for it"
    if missing := sorted(FEATURES[Isa(isa)] - features):
        return f"this processor cannot run {isa}: it lacks {', '.join(missing)}"
    if isa not in _of(framework):
        known = ", ".join([level for level in LEVELS if level in _of(framework)]) or "none"
        return f"no variable is known that limits {framework} to {isa}; it can be limited to: {known}"
    return None


def _of(framework: str) -> Mapping[str, Mapping[str, str]]:
    module = frameworks.part(framework, "instruction_sets")
    levels: Mapping[str, Mapping[str, str]] = {} if module is None else module.VARIABLES
    return levels
