"""What a report says, in words, from records whose truth is known."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from bench.analysis.document import Block, Document, Fold, Section, Standing, Table, Verdict, Verdicts
from bench.record import Record
from bench.words import Outcome
from tests.reports import records


@pytest.fixture(name="say")
def _say(tmp_path: Path) -> Any:
    """The document on some records."""
    return lambda each: records.report(records.stored(tmp_path, each))


def timings(framework: str, step_times_s: Sequence[float], **changes: Any) -> list[Record]:
    """Trials of exactly these step times."""
    case = records.case(framework, **changes)
    found = []
    for repetition, step_time_s in enumerate(step_times_s):
        record = records.timing(case, repetition, step_time_s)
        assert record.measurement is not None
        times_s = {name: [step_time_s] * 100 for name in ("timings_s", "host_times_s", "cpu_times_s")}
        found.append(dataclasses.replace(record, measurement={**record.measurement, **times_s}))
    return found


def verdicts(document: Document) -> tuple[Verdict, ...]:
    (block,) = document.sections[0].blocks
    assert isinstance(block, Verdicts)
    return block.verdicts


def blocks_of(section: Document | Section) -> list[Block]:
    own = [] if isinstance(section, Document) else list(section.blocks)
    own += [inner for block in own if isinstance(block, Fold) for inner in block.blocks]
    return own + [block for inner in section.sections for block in blocks_of(inner)]


def table(document: Document, start: str) -> Table:
    return next(b for b in blocks_of(document) if isinstance(b, Table) and b.id.startswith(start))


def column(found: Table, title: str) -> list[str]:
    index = [head.title for head in found.columns].index(title)
    return [row.cells[index].text for row in found.rows]


SLOW = [0.048, 0.047, 0.049, 0.048, 0.0485, 0.0475, 0.048, 0.0482]


def test_a_clear_winner_is_named_with_size_doubt_and_count(say: Any) -> None:
    fast = [0.0100, 0.0098, 0.0103, 0.0101, 0.0099, 0.0100, 0.0097, 0.0102]
    (verdict,) = verdicts(say(timings("numpy", SLOW) + timings("torch", fast)))

    assert Standing.CLEAR is verdict.standing
    assert ("torch is fastest: 4.79x (4.74 to 4.87) the throughput of numpy, n = 8 pairs.",) == verdict.sentences
    assert "mnist_cnn training" == verdict.subject
    assert "batch 32, digits data, fp32, cpu, 2 threads" == verdict.conditions


def test_what_scatters_around_one_is_too_close_to_call(say: Any) -> None:
    other = [s * f for s, f in zip(SLOW, [0.9, 1.1, 0.95, 1.04, 0.9, 1.08, 0.97, 1.02], strict=True)]
    (verdict,) = verdicts(say(timings("numpy", SLOW) + timings("torch", other)))

    assert Standing.OPEN is verdict.standing
    assert verdict.sentences[0].startswith("Too close to call: torch is 1.0")
    assert "n = 8 pairs" in verdict.sentences[0]


def test_a_difference_that_does_not_matter_is_the_same(say: Any) -> None:
    other = [s * f for s, f in zip(SLOW, [1.001, 0.998, 1.002, 0.999, 1.0, 1.001, 0.999, 0.998], strict=True)]
    (verdict,) = verdicts(say(timings("numpy", SLOW) + timings("torch", other)))

    assert Standing.SAME is verdict.standing
    assert "the same to within 3%" in verdict.sentences[0]


def test_a_small_but_certain_difference_is_said_not_to_matter(say: Any) -> None:
    (verdict,) = verdicts(say(timings("numpy", SLOW) + timings("torch", [s / 1.02 for s in SLOW])))

    assert Standing.CLEAR is verdict.standing
    assert "less than the 3% that matter in practice" in verdict.sentences[0]


def test_two_pairs_give_values_and_no_verdict(say: Any) -> None:
    document = say(timings("numpy", SLOW[:2]) + timings("torch", [0.01, 0.01]))
    (verdict,) = verdicts(document)

    assert Standing.FEW is verdict.standing
    assert verdict.sentences[0].startswith(
        "torch had 4.80x and 4.70x the throughput of numpy in the single pairs, n = 2 pairs; below 6 pairs there is no "
        "interval and no verdict"
    )
    assert ["3,200; 3,200", "666.7; 680.9"] == column(table(document, "table.mnist_cnn"), "throughput")


def test_one_alone_is_not_called_fastest(say: Any) -> None:
    (verdict,) = verdicts(say(timings("numpy", SLOW)))

    assert Standing.ALONE is verdict.standing
    assert "n = 8 trials; there is nothing to compare it with" in verdict.sentences[0]


def test_who_failed_is_named_beside_the_winner_and_does_not_win(say: Any) -> None:
    failed = records.failed(records.case("jax"), Outcome.PARITY_FAILED, "first loss 2, the oracle's is 1")
    document = say([*timings("numpy", SLOW), *timings("torch", [0.01] * 8), failed])
    (verdict,) = verdicts(document)

    assert "Not measured: jax (parity failed)." in verdict.sentences
    assert ["● torch", "● numpy", "● jax"] == column(table(document, "table.mnist_cnn"), "framework")
    assert ["first loss 2, the oracle's is 1"] == column(table(document, "table.failures"), "reason")


def test_a_quoted_figure_never_wins(say: Any) -> None:
    quoted = [dataclasses.replace(record, origin="quoted") for record in timings("jax", [0.001] * 8)]
    document = say([*timings("numpy", SLOW), *timings("torch", [0.01] * 8), *quoted])
    (verdict,) = verdicts(document)

    assert verdict.sentences[0].startswith("torch is fastest")
    assert "Not measured on this machine, and so without a say: jax." in verdict.sentences
    assert "❝ jax" in column(table(document, "table.mnist_cnn"), "framework")


def test_the_baseline_is_the_slowest_and_named(say: Any) -> None:
    document = say([*timings("numpy", SLOW), *timings("torch", [0.01] * 8), *timings("jax", [0.012] * 8)])
    found = table(document, "table.mnist_cnn")

    assert "baseline" == column(found, "speed-up against numpy")[-1]
    assert all("x (" in text for text in column(found, "speed-up against numpy")[:-1])


def test_other_batches_modes_and_precisions_are_not_compared(say: Any) -> None:
    each = [
        *timings("numpy", SLOW), *timings("torch", [0.01] * 8, local_batch=64),
        *timings("torch", [0.01] * 8, mode="inference"), *timings("torch", [0.01] * 8, precision="bf16"),
    ]

    assert [Standing.ALONE] * 4 == [verdict.standing for verdict in verdicts(say(each))]


def test_settings_of_one_framework_are_told_apart_by_what_differs(say: Any) -> None:
    each = [*timings("torch", SLOW, compile_mode="eager"), *timings("torch", [0.01] * 8), *timings("numpy", [0.1] * 8)]
    (verdict,) = verdicts(say(each))

    assert verdict.sentences[0].startswith("torch compiled is fastest: ")
    assert "the throughput of torch eager and " in verdict.sentences[0]
    assert "the throughput of numpy, n = 8 pairs." in verdict.sentences[0]


def test_repetitions_without_a_partner_are_not_compared(say: Any) -> None:
    late = [r for r in timings("torch", [0.01] * 16) if r.identity.repetition >= 8]
    (verdict,) = verdicts(say(timings("numpy", SLOW) + late))

    assert Standing.FEW is verdict.standing
    assert "torch and numpy have no repetition in common, so they cannot be compared." == verdict.sentences[0]


def test_a_finding_is_said_once_with_all_that_it_is_about(say: Any) -> None:
    document = say(timings("numpy", SLOW[:2]) + timings("torch", [0.01, 0.01]))
    findings = next(section for section in document.sections if section.id == "findings")

    (block,) = findings.blocks
    (text,) = block.texts
    assert text.startswith("[1] 2 trials allow no interval")
    assert "torch mnist_cnn training" in text
    assert "numpy mnist_cnn training" in text


def test_learning_shows_every_framework_beside_the_oracle(say: Any) -> None:
    document = say([records.proof(records.case(name)) for name in ("numpy", "torch")])

    assert ["numpy fp32", "torch fp32", "float64 oracle"] == column(table(document, "table.accuracy"), "framework")
    assert ["94.3 %"] * 3 == column(table(document, "table.accuracy"), "accuracy on held-out samples")
    assert ["4.1e-07 ≤ 1e-05"] * 2 == column(table(document, "table.parity"), "output error")


def test_synthetic_data_has_no_learning_section(say: Any) -> None:
    document = say([records.proof(records.case("torch", data="synthetic"))])

    assert "learning" not in [section.id for section in document.sections]


def test_a_wrong_answer_is_above_what_is_allowed(say: Any) -> None:
    right = records.proof(records.case("torch"))
    parity = {**(right.parity or {}), "output_error": float("inf"), "gradient_error": float("nan")}
    document = say([dataclasses.replace(right, parity=parity, outcome=Outcome.PARITY_FAILED, reason="wrong")])

    assert ["infinite > 1e-05"] == column(table(document, "table.parity"), "output error")
    assert ["not a number > 1e-04"] == column(table(document, "table.parity"), "gradients error")


def test_a_proof_that_is_not_one_is_a_problem_and_not_an_end(say: Any) -> None:
    document = say([dataclasses.replace(records.proof(records.case("torch")), parity={"tolerance": 3})])

    assert "does not hold what a proof should" in column(table(document, "table.problems"), "problem")[0]


def test_only_what_differs_is_listed_as_different(say: Any) -> None:
    build = {"python": "3.12.1", "framework_version": "2.13.0", "packages": {}, "variables": {"KMP_BLOCKTIME": "0"}}
    changed = [
        dataclasses.replace(record, identity=dataclasses.replace(record.identity, build=build))
        for record in timings("torch", [0.01] * 8)
    ]
    different = table(say(timings("numpy", SLOW) + changed), "table.differences")

    facts = list(zip(*(column(different, title) for title in ("fact", "value", "where")), strict=True))
    assert [
        ("Python", "3.11.7", "numpy (default)"), ("Python", "3.12.1", "torch (default)"),
        ("variable KMP_BLOCKTIME", "0", "torch (default)"), ("variable KMP_BLOCKTIME", "not set", "numpy (default)"),
        ("variable OMP_NUM_THREADS", "2", "numpy (default)"),
        ("variable OMP_NUM_THREADS", "not set", "torch (default)"),
    ] == sorted(facts)


def test_the_command_that_repeats_it_is_there(say: Any) -> None:
    assert records.COMMAND in [getattr(block, "text", "") for block in blocks_of(say(timings("numpy", SLOW)))]
