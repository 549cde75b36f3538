"""Instruction-set levels of x86-64 that a framework can be limited to.

A level is a ceiling: no instructions above it. ``native`` is none: every library chooses by itself, and nothing is set.
The file ``instruction_sets.py`` of a framework's folder has

``VARIABLES``   {level: {environment variable: value}}; there before the worker's interpreter starts. A level that the
                framework cannot be held to at all is left out.

A variable may act on one of a framework's libraries and not on another, and on one vendor's processors only. What
really ran is therefore watched; see bench.trials.instruction_sets.
"""

from __future__ import annotations

from collections.abc import Mapping, Set
from types import MappingProxyType

from rigmark.bench.enums import LEVELS, Isa
from rigmark.bench.worker import frameworks

FEATURES = MappingProxyType({
    Isa.SSE41: {"sse4_1"}, Isa.AVX2: {"avx2", "fma"}, Isa.AVX512: {"avx512f", "avx512bw", "avx512dq", "avx512vl"},
    Isa.NATIVE: set[str](),
})
"""What a processor must have, in the words of archspec, which are those of Linux."""


def variables(framework: str, isa: str) -> dict[str, str]:
    """What holds a framework to a level; empty for native, and where ``refusal`` has a sentence."""
    return dict(_of(framework).get(isa, {}))


def refusal(framework: str, isa: str, device: str, features: Set[str]) -> str | None:
    """Why a framework cannot be held to a level on a processor with these features; None where it can."""
    if isa == Isa.NATIVE:
        return None
    if not device.startswith("cpu"):
        return f"an instruction set is one of the CPU, and this runs on {device}; leave --isa out for it"
    if missing := sorted(FEATURES[Isa(isa)] - features):
        return f"this processor cannot run {isa}: it lacks {', '.join(missing)}"
    if isa not in _of(framework):
        known = ", ".join([level for level in LEVELS if level in _of(framework)]) or "none"
        return f"no switch is known that holds {framework} to {isa}; levels it can be held to: {known}"
    return None


def _of(framework: str) -> Mapping[str, Mapping[str, str]]:
    found = frameworks.part(framework, "instruction_sets")
    levels: Mapping[str, Mapping[str, str]] = {} if found is None else found.VARIABLES
    return levels
