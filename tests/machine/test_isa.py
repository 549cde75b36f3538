"""Instruction-set levels: every one is a ceiling, and what cannot be is refused in a sentence."""

from __future__ import annotations

import pytest

from rigmark.bench.devices import CPU, Device
from rigmark.bench.enums import LEVELS, Isa
from rigmark.bench.machine import hardware, isa
from rigmark.bench.worker import frameworks

LIMITED = [name for name in frameworks.NAMES if frameworks.part(name, "instruction_sets") is not None]
WHOLE = {feature for level in LEVELS for feature in isa.FEATURES[level]}


@pytest.mark.parametrize("framework", LIMITED)
def test_native_sets_nothing_and_every_level_that_is_not_refused_sets_something(framework: str):
    assert isa.variables(framework, Isa.NATIVE) == {}
    sets = [isa.variables(framework, level) for level in LEVELS if not isa.refusal(framework, level, CPU, WHOLE)]

    assert sets
    assert all(sets)
    assert all(one != other for one in sets for other in sets if one is not other)
    assert all(isinstance(v, str) for one in sets for v in one.values())


@pytest.mark.parametrize("framework", LIMITED)
def test_every_variable_that_holds_a_framework_is_part_of_a_trials_identity(framework: str):
    for level in LEVELS:
        own = isa.variables(framework, level)

        assert hardware.variables(own) == own


@pytest.mark.parametrize("level", LEVELS)
def test_a_level_that_the_processor_lacks_is_refused(level: Isa):
    one = min(isa.FEATURES[level])

    assert isa.refusal("torch", level, CPU, WHOLE) is None
    assert f"this processor cannot run {level}: it lacks {one}" in str(
        isa.refusal("torch", level, CPU, WHOLE - {one}))
    assert isa.refusal("torch", level, CPU, {"asimd"}) is not None
    assert isa.refusal("torch", Isa.NATIVE, CPU, {"asimd"}) is None


def test_a_device_that_is_no_cpu_and_a_framework_without_switches_are_refused():
    assert "this runs on cuda:0" in str(isa.refusal("torch", Isa.AVX2, Device("cuda", 0), WHOLE))
    assert isa.refusal("torch", Isa.NATIVE, Device("cuda", 0), WHOLE) is None
    assert "no variable is known that limits abacus to avx2; it can be limited to: none" in str(
        isa.refusal("abacus", Isa.AVX2, CPU, WHOLE))
