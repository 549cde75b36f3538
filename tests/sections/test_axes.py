"""What the report says of instruction sets and precisions, from records whose truth is known."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from rigmark.bench.claims.load import shipped
from rigmark.bench.document.document import Document, Items, Section
from rigmark.bench.enums import Outcome
from rigmark.bench.sections.groups import Group
from rigmark.bench.store.record import Record
from rigmark.bench.worker.precisions import POLICIES
from tests.records import watched
from tests.reports import records
from tests.sections.test_report import column, table, timings

EVEN = [0.0100, 0.0101, 0.0099, 0.0102, 0.0098, 0.0100, 0.0101, 0.0099]


@pytest.fixture(name="say")
def _say(tmp_path: Path) -> Any:
    return lambda each, **more: records.report(records.stored(tmp_path, each), **more)


def slower(times: float) -> list[float]:
    return [times * step_time_s for step_time_s in EVEN]


def section(document: Document, name: str) -> Section:
    return next(section for section in document.sections if section.id == name)


def sentences(document: Document, name: str) -> tuple[str, ...]:
    return next((block.texts for block in section(document, name).blocks if isinstance(block, Items)), ())


def held(isa: str, step_times_s: Sequence[float], proof: str | None = None, mode: str = "inference") -> list[Record]:
    result = timings("torch", step_times_s, isa=isa, mode=mode)
    return [dataclasses.replace(each, isa=watched(isa, summary=proof)) for each in result]


def in_precision(precision: str, step_times_s: Sequence[float], error: float, **measured: Any) -> list[Record]:
    result = timings("torch", step_times_s, precision=precision)
    proof = records.proof(records.case("torch", precision=precision))
    assert proof.parity is not None
    proof = dataclasses.replace(proof, parity={**proof.parity, "output_error": error})
    measured = {"policy": POLICIES[precision], **measured}
    return [proof] + [
        dataclasses.replace(each, measurement={**(each.measurement or {}), **measured}, certificate=proof.key)
        for each in result
    ]


def test_without_another_instruction_set_or_precision_there_is_no_such_section(say: Any):
    names = {section.id for section in say(timings("torch", EVEN)).sections}

    assert names.isdisjoint({"isa", "precision"})


def test_instruction_sets_are_held_against_the_lowest_and_against_the_old_claim(say: Any):
    scattered = [1.3 * s * f for s, f in zip(EVEN, [0.97, 1.03, 1, 0.98, 1.02, 1.01, 0.99, 1], strict=True)]
    document = say(
        held("native", EVEN) + held("avx2", slower(1.5)) + held("sse41", slower(3))
        + held("native", EVEN, mode="training") + held("sse41", scattered, mode="training"), claims=shipped(),
    )
    inference, training = sentences(document, "isa")

    assert inference.startswith("torch, mnist_cnn inference: with all instruction sets of this processor, 3.0")
    assert "of the same limited to sse41. It is said: " in inference
    assert 'FMA infers about 2x as fast on a CPU." Here that is refuted.' in inference
    assert 'FMA trains about 30 % faster on a CPU." Here that is confirmed.' in training
    shown = table(document, "table.isa")
    assert ["sse41", "avx2", "native"] == column(shown, "asked")[:3]
    assert "baseline" == column(shown, "speed-up against the first")[0]


def test_what_is_not_proven_is_not_called_that_instruction_set(say: Any):
    document = say(held("native", EVEN) + held("sse41", slower(3), "not proven"), claims=shipped())
    (sentence,) = sentences(document, "isa")

    assert "limited to sse41 (it is not proven that it kept to that limit)" in sentence
    assert "Here that is open." in sentence
    assert ["not proven", "native"] == column(table(document, "table.isa"), "ran")


def test_what_is_held_to_an_instruction_set_has_no_say_in_which_framework_is_fastest(say: Any):
    document = say(timings("torch", EVEN, isa="native") + timings("torch", slower(3), isa="sse41"))
    (verdicts,) = document.sections[0].blocks

    assert 1 == len(verdicts.verdicts)
    assert "limited to" not in verdicts.verdicts[0].conditions


def test_a_precision_has_its_error_beside_its_speed(say: Any):
    document = say(
        in_precision("fp32", EVEN, 4e-7) + in_precision("bf16", slower(0.5), 4e-3)
        + in_precision("fp16", slower(5), 5e-4, overflow_steps=3)
    )
    (sentence,) = sentences(document, "precision")
    shown = table(document, "table.precision")

    assert sentence.startswith("torch, mnist_cnn training, throughput against fp32: bf16 2.00")
    assert "output off by 4.0e-03" in sentence
    assert ["fp32", "bf16", "fp16"] == column(shown, "precision")
    assert ["–", "–", "3"] == column(shown, "steps skipped")
    assert any(note.startswith("bf16: weights are stored in fp32 and activations in bf16") for note in shown.notes)


def test_what_was_measured_at_two_times_is_a_ratio_that_decides_nothing(say: Any):
    def late(records: list[Record]) -> list[Record]:
        return [dataclasses.replace(record, run_id="another") for record in records]

    of_precision = say([*in_precision("fp32", EVEN, 4e-7), *late(in_precision("bf16", slower(0.5), 4e-3))])
    of_isa = say([*held("native", EVEN), *late(held("sse41", slower(3)))], claims=shipped())

    assert "bf16 2.00x (not measured in the same run, so there is no verdict), output off" in \
        sentences(of_precision, "precision")[0]
    (sentence,) = sentences(of_isa, "isa")
    assert "3.00x (not measured in the same run, so there is no verdict) the throughput of the same" in sentence
    assert "Here that is open." in sentence


def test_a_precision_that_a_framework_refuses_stands_in_the_table(say: Any):
    refused = records.failed(
        records.case("torch", precision="fp64"), Outcome.UNSUPPORTED, "no kernel for float64", repetition=0
    )
    shown = table(say([*in_precision("fp32", EVEN, 4e-7), refused]), "table.precision")

    assert ["fp32", "fp64"] == column(shown, "precision")
    assert "unsupported" == column(shown, "throughput")[1]


def test_only_what_differs_in_nothing_else_is_held_against_another(say: Any):
    document = say(
        in_precision("fp32", EVEN, 4e-7) + timings("torch", slower(0.5), precision="bf16", local_batch=8)
    )

    assert "precision" not in {section.id for section in document.sections}


def test_the_old_claim_is_about_generic_builds_and_no_others(say: Any):
    (sentence,) = sentences(say(held("native", EVEN) + held("avx2", slower(1.2)), claims=shipped()), "isa")

    assert "of the same limited to avx2." in sentence
    assert "It is said" not in sentence


def test_sentences_about_one_network_say_what_tells_them_apart(say: Any):
    small, large = sentences(say([
        *timings("torch", EVEN, local_batch=4), *timings("torch", slower(0.5), local_batch=4, precision="bf16"),
        *timings("torch", EVEN, local_batch=8), *timings("torch", slower(0.5), local_batch=8, precision="bf16"),
    ]), "precision")

    assert small.startswith("torch, mnist_cnn training (batch 4), throughput against fp32: bf16 2.00")
    assert large.startswith("torch, mnist_cnn training (batch 8), throughput")


def test_the_conditions_without_the_axis_are_whole_whatever_words_they_have():
    """A name that holds a comma is one condition, and a name that is a value of the axis is not the axis."""
    group = Group(id="one", facts={}, entries=(), conditions_by_column={
        "local_batch": "batch 2", "precision": "bf16", "isa": "limited to avx2", "device_name": "Xeon, 2 sockets",
        "machine": "bf16",
    })

    assert ["batch 2", "limited to avx2", "Xeon, 2 sockets", "bf16"] == group.conditions_without("precision")
    assert ["batch 2", "bf16", "Xeon, 2 sockets", "bf16"] == group.conditions_without("isa")
    assert "batch 2, bf16, limited to avx2, Xeon, 2 sockets, bf16" == group.conditions
