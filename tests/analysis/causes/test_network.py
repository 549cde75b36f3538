"""The cause of a verdict on a network, from the records of its pairs and of the layers of both sides."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from rigmark.bench.analysis.causes import machine
from rigmark.bench.analysis.causes.cause import Cause, Kind, Located
from rigmark.bench.analysis.causes.layers import PAIRS
from rigmark.bench.analysis.comparison.stored_pairs import compare_pairs
from rigmark.bench.analysis.comparison.verdicts import CaseVerdict, Verdicts, document
from rigmark.bench.enums import Outcome, TrialKind
from rigmark.bench.store.record import Record
from rigmark.reports.junit import junit
from rigmark.reports.media import terminal
from tests.records import CASE, as_stored, build_facts, layer_times, make_record, pair

STEP_S = 0.01                # of the base, in its pairs and its profiles


def pairs(ratio: float, *, cpu_share: float = 0.99, build: dict[str, Any] | None = None) -> Iterator[Record]:
    """16 pairs in which a step of new takes ``ratio`` times as long, and all that it takes more is waiting if
    ``cpu_share`` is below 0.99."""
    noise = np.random.default_rng(1)
    for repetition in range(16):
        own = ratio * float(np.exp(noise.normal(0, 0.003)))
        measured = pair([STEP_S] * 10, [STEP_S * own] * 10)
        measured["new"]["cpu_times_s"] = [cpu_share * time_s for time_s in measured["new"]["times_s"]]
        yield make_record(TrialKind.PAIR, repetition=repetition, pair=measured, build=build or build_facts("2.12.0"))


def profiles(factors: Mapping[str, float], *, build: dict[str, Any] | None = None, **facts: Any) -> Iterator[Record]:
    """Layer trials of both sides; those of new take ``factors`` times as long per layer."""
    noise = np.random.default_rng(2)
    for repetition in range(PAIRS):
        for name, installed, of_side in (
            ("stable", build_facts("2.12.0"), {}), (CASE.build, build or build_facts("2.12.0"), factors),
        ):
            profile = layer_times()
            for row in profile["rows"]:
                factor = of_side.get(row["layer"], 1.0) * float(np.exp(noise.normal(0, 0.005)))
                row["turn_times_s"] = [factor * time_s for time_s in row["turn_times_s"]]
            yield make_record(
                TrialKind.LAYERS, case=replace(CASE, build=name), repetition=repetition, build=installed,
                layers=profile, **facts,
            )


def verdicts(measured: Iterator[Record], taken_apart: Iterator[Record] | tuple[()] = ()) -> Verdicts:
    return compare_pairs(
        [as_stored(record) for record in measured], names=("stable", "nightly"),
        profiles=[as_stored(record) for record in taken_apart],
    )


def cause(measured: Iterator[Record], taken_apart: Iterator[Record] | tuple[()] = ()) -> Cause:
    (case,) = verdicts(measured, taken_apart).cases
    assert case.cause is not None
    return case.cause


def test_the_layer_is_named_in_words_as_plain_data_and_in_junit():
    judged = verdicts(pairs(1.36), profiles({"hidden": 1.4}))

    (case,) = judged.cases
    assert case.cause is not None
    assert case.cause.kind is Kind.LAYER
    assert case.cause.text.startswith("hidden backward, +40.0 %; hidden forward, +39.8 %: all of the difference.")
    assert case.plain()["cause"]["located"][0]["layer"] == "hidden"
    assert "hidden backward, +40" in junit(judged)
    assert "hidden backward, +40" in terminal.render(document(judged))


def test_a_layer_that_took_nothing_before_is_told_by_its_times():
    located = Located(layer="flatten", direction="forward", base_time_s=2e-6, new_time_s=0.075)

    assert located.text == "flatten forward, 75.0 ms instead of 2.00 µs"


def test_a_difference_that_layers_do_not_have_is_not_located():
    found = cause(pairs(1.36), profiles({}))

    assert found.kind is Kind.NOT_LOCATED
    assert "without by 3.61 ms" in found.text


def test_without_profiles_it_is_not_located_and_the_reason_is_told():
    assert "no per-layer profiles" in cause(pairs(1.2)).text
    failed = [replace(record, outcome=Outcome.UNSUPPORTED, reason="no layers here", layers=None)
              for record in profiles({})]
    assert "unsupported: no layers here" in cause(pairs(1.2), iter(failed)).text


def test_a_slowdown_of_all_layers_is_spread():
    every = dict.fromkeys(("hidden", "optimizer", "(unattributed)"), 1.3)

    assert cause(pairs(1.3), profiles(every)).kind is Kind.SPREAD


def test_the_only_thing_that_differs_is_the_cause_and_of_two_none_is():
    one = build_facts("2.12.0", OPENBLAS_CORETYPE="Prescott")
    two = build_facts("2.13.0", OPENBLAS_CORETYPE="Prescott")

    found = cause(pairs(1.3, build=one))
    assert found.kind is Kind.SIDES
    assert found.text.startswith(
        "Of all that is known, the sides differ only in OPENBLAS_CORETYPE not set against Prescott.")
    found = cause(pairs(1.3, build=two))
    assert found.kind is Kind.NOT_LOCATED
    assert "The sides differ in torch 2.12.0 against 2.13.0; OPENBLAS_CORETYPE not set against Prescott." in found.text


def test_a_variable_of_the_compiler_is_compilation():
    found = cause(pairs(1.3, build=build_facts("2.12.0", XLA_FLAGS="--xla_backend_optimization_level=0")))

    assert found.kind is Kind.COMPILATION


def test_a_side_that_waited_is_told_from_one_that_worked():
    waiting = cause(pairs(1.4, cpu_share=0.99 / 1.4))

    assert waiting.kind is Kind.MACHINE
    assert "waited for all of the difference" in waiting.text
    assert cause(pairs(1.4)).kind is Kind.NOT_LOCATED


def with_clock(records: Iterator[Record], base_hz: float, new_hz: float) -> Iterator[Record]:
    """The same, as telemetry saw them: simulated."""
    for record in records:
        is_base = record.identity.case["build"] == "stable"
        values = {"cpu_clock_hz": {"mean": base_hz if is_base else new_hz}}
        layers = record.layers or {}
        factor = base_hz / new_hz if not is_base else 1.0
        yield replace(record, layers={
            **layers, "plain_step_times_s": [time_s * factor * (1 + 0.001 * record.identity.repetition)
                                             for time_s in layers["plain_step_times_s"]],
        }, telemetry={
            "devices": [{"kind": "host", "name": "CPU", "source": "host", "id": "cpu"}],
            "regions": [{"name": "timed", "duration_s": 1.0, "devices": [{"device": 0, "values": values}]}],
        })


def test_another_clock_is_told_from_simulated_telemetry():
    every = dict.fromkeys(("hidden", "optimizer", "(unattributed)"), 1.5)

    found = cause(pairs(1.5), with_clock(profiles(every), 3e9, 2e9))

    assert found.kind is Kind.MACHINE
    assert found.facts == ("The clock was 3.00 GHz on the side of the base, and 2.00 GHz on the other.",)


def test_a_small_part_of_waiting_is_no_cause():
    assert machine.waited([(1.0, 1.5)] * 8, [(1.0, 1.4)] * 8) is None


def test_what_is_not_slower_has_no_cause():
    (case,) = verdicts(pairs(1.0)).cases

    assert case.cause is None
    assert isinstance(case, CaseVerdict)
