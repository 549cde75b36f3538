"""Which cases of a suite an option leaves: those that match, and never one that the suite has not."""

from __future__ import annotations

from typing import Any

import pytest

from rigmark.bench.enums import Mode
from rigmark.bench.errors import UserError
from rigmark.bench.plan.selection import limited
from rigmark.bench.plan.sweep import Sweep

SUITE = (
    Sweep(models=("mnist_cnn",), frameworks=("numpy", "torch"), local_batches=(32,)),
    Sweep(models=("resnet18", "lstm"), frameworks=("torch",), local_batches=(2, 4), global_batches=(8,)),
    Sweep(models=("mlp",), microbenchmarks=("launch", "matmul_256"), frameworks=("jax",), local_batches=(64,)),
)


def cases(**wanted: Any) -> set[tuple[str, str, str, int]]:
    return {
        (case.model, case.framework, case.mode, case.local_batch)
        for sweep in limited("quick", SUITE, wanted) for case in sweep.cases(2)
    }


@pytest.mark.parametrize(("wanted", "is_left"), [
    ({"models": ("lstm",)}, lambda case: case[0] == "lstm"),
    ({"frameworks": ("numpy",)}, lambda case: case[1] == "numpy"),
    ({"models": ("lstm", "mnist_cnn"), "modes": (Mode.TRAINING,)}, lambda case: case[0] in ("lstm", "mnist_cnn")
     and case[2] == "training"),
    ({"local_batches": (2, 32)}, lambda case: case[3] in (2, 32)),
    ({"global_batches": (8,)}, lambda case: case[3] == 8),
    ({"global_batches": (8,), "local_batches": (4,)}, lambda case: case[3] in (4, 8)),
    ({"models": ("mlp",)}, lambda case: case[0] == "mlp"),
    ({"microbenchmarks": ("launch",)}, lambda case: case[0] == "launch"),
    ({"models": ("mlp",), "microbenchmarks": ("launch",)}, lambda case: case[0] in ("mlp", "launch")),
    ({}, lambda case: True),
])
def test_what_is_named_limits_a_suite_to_its_own_cases_that_match(wanted: dict[str, Any], is_left: Any):
    assert {case for case in cases() if is_left(case)} == cases(**wanted)


@pytest.mark.parametrize(("wanted", "sentence"), [
    ({"models": ("vgg16",)}, "suite 'quick' has no model vgg16; it has mnist_cnn, resnet18, lstm, mlp"),
    ({"models": ("lsmt",)}, "no model 'lsmt'; did you mean 'lstm'?"),
    ({"models": ("lstm",), "frameworks": ("numpy",)}, "has no case with model lstm and framework numpy together"),
    ({"buckets_mb": (25.0,)}, "has no bucket of gradients 25.0; it has the usual"),
])
def test_what_a_suite_has_not_is_reported(wanted: dict[str, Any], sentence: str):
    with pytest.raises(UserError) as told:
        limited("quick", SUITE, wanted)
    assert sentence in str(told.value)
