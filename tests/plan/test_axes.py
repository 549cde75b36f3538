"""An axis is one row of a table, from which everything that lists axes is made."""

from __future__ import annotations

import ast
import inspect
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any, get_type_hints

import pytest

from rigmark.bench.cli import run
from rigmark.bench.devices import Device
from rigmark.bench.plan import axes
from rigmark.bench.plan.case import Case
from rigmark.bench.plan.sweep import Sweep
from rigmark.bench.sections.cases import command
from rigmark.bench.store import stored
from rigmark.bench.store.trial_table import TRIAL_COLUMNS

ROOT = Path(__file__).parents[2]
TABLE = ROOT / "bench/plan/axes.py"
MOST_NAMED = 3               # axes in one literal elsewhere: a fourth is a list of the axes


def test_every_field_of_a_case_has_its_row():
    assert sorted(axes.BY_NAME) == sorted(field.name for field in fields(Case))
    assert len(axes.AXES) == len(axes.BY_NAME)


def test_a_record_holds_every_axis_with_the_same_default():
    of_record = stored.Case.__struct_fields__
    hints = get_type_hints(stored.Case)

    assert of_record == axes.NAMES
    assert {**{name: hints[name] for name in axes.NAMES}, "device": Device} == axes.TYPES
    later = dict(zip(axes.NAMES[::-1], stored.Case.__struct_defaults__[::-1], strict=False))
    assert later == {name: axes.DEFAULTS[name] for name in later}    # of axes that older records lack


def test_every_axis_is_a_column_a_field_of_a_sweep_and_an_option():
    options = inspect.signature(run.command).parameters
    of_sweep = {field.name for field in fields(Sweep)}

    assert set(axes.NAMES) <= TRIAL_COLUMNS.keys()
    for swept in axes.SWEPT.values():
        assert swept.name in of_sweep
        assert swept.word in options


def test_what_is_declared_by_default_has_the_types_of_its_axes():
    values = {field.name: field.default for field in fields(Sweep) if field.default is not MISSING}

    for name, swept in axes.SWEPT.items():
        if name in values:
            swept.check_types(values[name])


ROW: dict[str, Any] = {
    "model": "mlp", "framework": "torch", "build": "default", "compile_mode": "eager", "layout": "nchw",
    "precision": "bf16", "mode": "training", "device": "cpu", "local_batch": 8, "threads": 1, "data": "synthetic",
    "steps_per_timing": 1, "isa": "native", "world_size": 1, "devices_per_process": 1, "strategy": "single",
    "oversubscribed": False, "loss_asked": "own", "optimizer_asked": "own", "prompt_length": 0, "generated_length": 0,
    "accumulate": 1, "implementation": "lowered",
    "trials": 6,
}


@pytest.mark.parametrize(("changed", "more"), [
    ({}, ""),
    ({"isa": "avx2", "build": "own", "steps_per_timing": 4}, " --build own --isa avx2 --steps-per-timing 4"),
    ({"loss_asked": "mean_squared_error", "optimizer_asked": "adamw:weight_decay=0.1"},
     " --loss mean_squared_error --optimizer adamw:weight_decay=0.1"),
    ({"prompt_length": 16, "generated_length": 4}, " --prompt-length 16 --generated-length 4"),
    ({"world_size": 2, "strategy": "ddp", "oversubscribed": True, "devices_per_process": 2},
     " --strategy ddp --devices-per-process 2 --world-size 2 --oversubscribe"),
])
def test_the_command_that_measures_again_names_every_axis_that_does_not_go_without_saying(
    changed: dict[str, Any], more: str,
):
    said = command({**ROW, **changed}).split()

    assert set(said[2:]) == set(f"--model mlp --mode training --framework torch --compile-mode eager --layout nchw "
                                f"--batch 8 --data synthetic --precision bf16 --device cpu --threads 1 "
                                f"--repetitions 6{more}".split())


def test_what_goes_without_saying_is_not_said():
    assert ["bf16", "cpu", "1 thread"] == list(axes.said(ROW, ("precision", "isa", "device", "threads")).values())
    assert ["limited to avx2", "2 devices"] == list(axes.said(
        {**ROW, "isa": "avx2", "world_size": 2}, ("isa", "world_size", "oversubscribed"),
    ).values())


def literals(source: str) -> list[tuple[int, set[str]]]:
    """Names in each tuple, list, set and dictionary that is written out."""
    result = []
    is_parsed = sum(f'"{name}"' in source or f"'{name}'" in source for name in axes.NAMES) > MOST_NAMED
    for node in ast.walk(ast.parse(source)) if is_parsed else ():
        parts = node.keys if isinstance(node, ast.Dict) else getattr(node, "elts", [])
        names = {part.value for part in parts if isinstance(part, ast.Constant) and isinstance(part.value, str)}
        result.append((getattr(node, "lineno", 0), names & set(axes.NAMES)))
    return [(line, names) for line, names in result if len(names) > MOST_NAMED]


def test_no_other_list_of_axes_is_written_out():
    others = [
        f"{path.relative_to(ROOT)}:{line}: {', '.join(sorted(names))}"
        for folder in ("bench", "reports", "suites") for path in sorted((ROOT / folder).rglob("*.py")) if path != TABLE
        for line, names in literals(path.read_text(encoding="utf-8"))
    ]

    assert not others


def test_a_list_of_axes_is_seen_wherever_it_is_written():
    for text in ('("mode", "device", "layout", "data")', '{"mode": 1, "device": 2, "layout": 3, "data": 4}'):
        assert literals(f"def f():\n    return [each for each in {text}]")
