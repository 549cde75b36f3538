"""Across frameworks: which layers make the difference between two steps."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rigmark.bench.analysis.gap import gap
from rigmark.bench.analysis.layers import layers
from rigmark.bench.analysis.layers.layers import LayerProfile
from rigmark.bench.analysis.results.summary import results
from rigmark.bench.sections.gaps import sentences
from rigmark.bench.sections.layer_groups import together
from rigmark.bench.store.record import Record
from tests.records import as_stored
from tests.reports import records

INFERENCE = {name: records.case(name, "inference") for name in ("torch", "tensorflow")}
STEP = records.step_by_work(INFERENCE["torch"], 0.002)
CONV = ("stage2.conv2", "forward")

Said = Callable[..., list[str]]


def trial(framework: str, times_s: Mapping[tuple[str, str], float], **changes: Any) -> Record:
    return records.layer_trial(INFERENCE[framework], times_s, **changes)


def timed(framework: str, step_time_s: float) -> list[Record]:
    return [records.timing(INFERENCE[framework], repetition, step_time_s) for repetition in range(2)]


def read(root: Path, *each: Record) -> tuple[list[LayerProfile], Any]:
    store = records.stored(root, list(each))
    trials = store.trials().table
    chosen = layers.chosen(trials)
    profiles = layers.read(chosen, results(trials), [store.get(name) for name in chosen.id])
    return profiles, trials


@pytest.fixture(name="said")
def _said(tmp_path: Path) -> Said:
    def said(*each: Record) -> list[str]:
        profiles, trials = read(tmp_path, *each)
        return [text for one in together(profiles, trials) for text in sentences(one)]

    return said


def slower(by_s: float, *rows: tuple[str, str]) -> dict[tuple[str, str], float]:
    return {row: time_s + (by_s if row in rows else 0.0) for row, time_s in STEP.items()}


def test_the_layer_that_makes_the_difference_is_named_with_both_rates(said: Said) -> None:
    (sentence,) = said(trial("torch", slower(0.01, CONV)), trial("tensorflow", STEP))

    assert "torch takes 10 ms longer for inference than tensorflow; of that 100 % in stage2.conv2 " \
           "(10 ms at 11 GFLOP/s against 0.41 ms at 280 GFLOP/s)." == sentence


def test_a_difference_that_many_layers_share_is_said_to_be_spread(said: Said) -> None:
    convolutions = [row for row in STEP if row[0].startswith("stage")]

    (sentence,) = said(trial("torch", slower(0.001, *convolutions)), trial("tensorflow", STEP))

    assert "spread over many layers: no 3 of them make up half of it" in sentence


def test_time_between_layers_is_named_as_such(said: Said) -> None:
    (sentence,) = said(trial("torch", STEP, rest_s=0.01), trial("tensorflow", STEP))

    assert "in the time between layers (10 ms against 0.10 ms)" in sentence


def test_steps_that_are_as_long_are_not_explained(said: Said) -> None:
    assert [] == said(trial("torch", STEP), trial("tensorflow", slower(0.00002, CONV)))
    assert [] == said(trial("torch", STEP))


def test_layers_that_differ_otherwise_than_the_timed_steps_explain_nothing(said: Said) -> None:
    (sentence,) = said(
        trial("torch", slower(0.01, CONV)), trial("tensorflow", STEP),
        *timed("torch", 0.002), *timed("tensorflow", 0.02),
    )

    assert "tensorflow takes 18 ms longer" in sentence
    assert "which its layers do not explain: in the instrumented steps the difference was -10 ms" in sentence


def test_what_one_framework_fuses_is_matched_with_its_parts(tmp_path: Path) -> None:
    fused = dict(STEP)
    fused[CONV] += fused.pop(("stage2.relu2", "forward")) + 0.004
    profiles, _ = read(
        tmp_path, trial("torch", fused, fused={"stage2.conv2": ["stage2.conv2", "stage2.relu2"]}),
        trial("tensorflow", STEP),
    )
    slow, fast = sorted(profiles, key=lambda case: -case.step_time_s)

    first, *_ = gap(slow, fast).parts

    assert {"stage2.conv2", "stage2.relu2"} == set(first.layers)
    assert 0.004 == pytest.approx(first.lost_s)


@given(st.lists(st.floats(min_value=1e-6, max_value=1e-2), min_size=2 * len(STEP), max_size=2 * len(STEP)))
def test_the_parts_add_up_to_the_difference(times_s: list[float]) -> None:
    slow, fast = (
        of_rows(dict(zip(STEP, half, strict=True))) for half in (times_s[:len(STEP)], times_s[len(STEP):])
    )

    difference = gap(slow, fast)

    assert sum(part.lost_s for part in difference.parts) == pytest.approx(difference.lost_s, abs=1e-12)


def of_rows(times_s: Mapping[tuple[str, str], float]) -> LayerProfile:
    """A case as ``layers.read`` has it, without a store."""
    record = as_stored(trial("torch", times_s))
    assert record.layers is not None
    return layers._profile(record, record.layers, None, layers.Peaks())
