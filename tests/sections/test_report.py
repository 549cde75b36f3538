"""What a report says, in words, from records whose truth is known."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from rigmark.bench.document import formatting
from rigmark.bench.document.document import (
    Block,
    Document,
    Fold,
    Items,
    Roofline,
    Section,
    StackedBars,
    Standing,
    Table,
    Verdict,
    Verdicts,
)
from rigmark.bench.enums import Outcome, TrialKind
from rigmark.bench.store.record import Record
from tests.reports import records


@pytest.fixture(name="say")
def _say(tmp_path: Path) -> Any:
    """The document on some records."""
    return lambda each: records.report(records.stored(tmp_path, each))


def timings(framework: str, step_times_s: Sequence[float], **changes: Any) -> list[Record]:
    """Trials of exactly these step times."""
    case = records.case(framework, **changes)
    result = []
    for repetition, step_time_s in enumerate(step_times_s):
        record = records.timing(case, repetition, step_time_s)
        assert record.measurement is not None
        times_s = {name: [step_time_s] * 100 for name in ("timings_s", "host_times_s", "cpu_times_s")}
        result.append(dataclasses.replace(record, measurement={**record.measurement, **times_s}))
    return result


def verdicts(document: Document) -> tuple[Verdict, ...]:
    (block,) = (block for block in document.sections[0].blocks if isinstance(block, Verdicts))
    return block.verdicts


def blocks_of(section: Document | Section) -> list[Block]:
    own = [] if isinstance(section, Document) else list(section.blocks)
    own += [inner for block in own if isinstance(block, Fold) for inner in block.blocks]
    return own + [block for inner in section.sections for block in blocks_of(inner)]


def table(document: Document, start: str) -> Table:
    return next(b for b in blocks_of(document) if isinstance(b, Table) and b.id.startswith(start))


def column(result: Table, title: str) -> list[str]:
    index = [head.title for head in result.columns].index(title)
    return [row.cells[index].text for row in result.rows]


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


def test_a_large_difference_that_more_pairs_would_settle_is_not_called_too_close(say: Any) -> None:
    other = [s * f for s, f in zip(SLOW, [0.9, 1.1, 0.95, 1.04, 0.9, 1.08, 0.97, 1.02], strict=True)]
    close = timings("numpy", SLOW, mode="inference") + timings("torch", other, mode="inference")
    far = timings("numpy", SLOW) + timings("torch", [s / 1.3 for s in SLOW])
    result = {verdict.subject: verdict for verdict in verdicts(say(close + far))}

    # Eight pairs are enough for one case alone, and not for one of two.
    assert Standing.OPEN is result["mnist_cnn inference"].standing
    assert Standing.FEW is result["mnist_cnn training"].standing
    assert "torch is 1.300x" in result["mnist_cnn training"].sentences[0]
    assert "too few for a verdict: needs about 1 more repetition" in result["mnist_cnn training"].sentences[0]


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
        "interval, and below 8 no verdict: repeat at least 8 times"
    )
    assert ["3,200; 3,200", "666.7; 680.9"] == column(table(document, "table.mnist_cnn"), "throughput")


def test_one_alone_is_not_called_fastest(say: Any) -> None:
    (verdict,) = verdicts(say(timings("numpy", SLOW)))

    assert Standing.ALONE is verdict.standing
    assert "n = 8 trials; there is nothing to compare it with" in verdict.sentences[0]


def test_single_trials_of_a_world_count_the_samples_of_all_devices(say: Any) -> None:
    document = say(timings("torch", [0.01, 0.016], world_size=2, strategy="ddp"))

    assert ["6,400; 4,000"] == column(table(document, "table.mnist_cnn"), "throughput")      # 2 x 32 in 10 ms, in 16 ms


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
    assert "Not measured on this machine, and so not compared: jax." in verdict.sentences
    assert "❝ jax" in column(table(document, "table.mnist_cnn"), "framework")


def test_the_baseline_is_the_slowest_and_named(say: Any) -> None:
    document = say([*timings("numpy", SLOW), *timings("torch", [0.01] * 8), *timings("jax", [0.012] * 8)])
    shown = table(document, "table.mnist_cnn")

    assert "baseline" == column(shown, "speed-up against numpy")[-1]
    assert all("x (" in text for text in column(shown, "speed-up against numpy")[:-1])


def test_other_batches_modes_and_precisions_are_not_compared(say: Any) -> None:
    each = [
        *timings("numpy", SLOW), *timings("torch", [0.01] * 8, local_batch=64),
        *timings("torch", [0.01] * 8, mode="inference"), *timings("torch", [0.01] * 8, precision="bf16"),
    ]

    assert [Standing.ALONE] * 4 == [verdict.standing for verdict in verdicts(say(each))]


def test_settings_of_one_framework_are_distinguished_by_what_differs(say: Any) -> None:
    each = [*timings("torch", SLOW, compile_mode="eager"), *timings("torch", [0.01] * 8), *timings("numpy", [0.1] * 8)]
    (verdict,) = verdicts(say(each))

    assert verdict.sentences[0].startswith("torch compiled is fastest: ")
    assert "the throughput of torch eager and " in verdict.sentences[0]
    assert "the throughput of numpy, n = 8 pairs." in verdict.sentences[0]


def test_repetitions_without_a_partner_are_not_compared(say: Any) -> None:
    late = [r for r in timings("torch", [0.01] * 16) if r.identity.repetition >= 8]
    (verdict,) = verdicts(say(timings("numpy", SLOW) + late))

    assert Standing.FEW is verdict.standing
    assert verdict.sentences[0].startswith("torch had 4.8")
    assert "but no run measured a repetition of both" in verdict.sentences[0]


def test_what_was_measured_at_two_times_gets_a_ratio_and_no_verdict(say: Any) -> None:
    late = [dataclasses.replace(record, run_id="another") for record in timings("torch", [0.024] * 8)]
    document = say(timings("numpy", [0.048] * 8) + late)
    (verdict,) = verdicts(document)

    assert Standing.FEW is verdict.standing
    assert verdict.sentences[0].startswith(
        "torch had 2.00x the throughput of numpy, but no run measured a repetition of both, and trials measured at "
        "two times get no verdict: measure both in one run"
    )
    shown = table(document, "table.mnist_cnn")
    assert ["2.00x, not in the same run", "baseline"] == column(shown, "speed-up against numpy")


def test_a_finding_is_stated_once_with_all_that_it_is_about(say: Any) -> None:
    document = say(timings("numpy", SLOW[:2]) + timings("torch", [0.01, 0.01]))
    findings = next(section for section in document.sections if section.id == "findings")

    (block,) = findings.blocks
    (text,) = block.texts
    assert text.startswith("[1] 2 trials: too few for an interval")
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
    parity = {**(right.parity or {}), "output_error": None, "gradient_error": 2e-4}
    document = say([dataclasses.replace(right, parity=parity, outcome=Outcome.PARITY_FAILED, reason="wrong")])

    assert ["infinite > 1e-05"] == column(table(document, "table.parity"), "output error")
    assert ["2.0e-04 > 1e-04"] == column(table(document, "table.parity"), "gradients error")


def test_a_proof_that_is_not_one_is_a_problem_and_not_an_end(say: Any) -> None:
    proof = records.proof(records.case("torch"))
    bad = dataclasses.replace(proof, parity={**(proof.parity or {}), "tolerance": 3})
    document = say([bad, *timings("torch", SLOW)])

    assert "parity.tolerance is 3" in column(table(document, "table.problems"), "problem")[0]


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


# Layers and limits --------------------------------------------------------------------------------------------------


def section(document: Document, name: str) -> Section:
    return next(each for each in document.sections if each.id == name)


def titles(document: Document) -> list[str]:
    return [each.title for each in document.sections]


def test_a_report_without_layer_trials_and_limits_has_no_section_on_them(say: Any) -> None:
    assert not {"Where the time goes", "What this machine can do"} & set(titles(say(timings("torch", SLOW))))


def test_layers_stand_behind_throughput_and_limits_behind_layers(say: Any) -> None:
    document = say(list(records.sweep()))

    wanted = ["Verdict", "Throughput", "Every result", "Latency", "Where the time goes", "What this machine can do"]
    assert wanted == titles(document)[: len(wanted)]


def test_limits_are_no_networks(say: Any) -> None:
    document = say([*records.limits(), *timings("torch", SLOW)])

    assert ["mnist_cnn training"] == [verdict.subject for verdict in verdicts(document)]
    assert ["mnist_cnn"] == [each.title for each in section(document, "throughput").sections]


def test_frameworks_stand_side_by_side_with_equal_layers_in_one_line(say: Any) -> None:
    document = say(list(records.sweep()))
    (bars,) = [b for b in blocks_of(section(document, "layers")) if isinstance(b, StackedBars) and len(b.bars) == 2]
    side = next(t for t in blocks_of(document) if isinstance(t, Table) and t.id == bars.table and "jax" in str(t))
    cells = {row.cells[0].text: [cell.text for cell in row.cells[1:]] for row in side.rows}

    assert ["torch", "jax"] == [bar.label for bar in bars.bars]
    assert ["torch", "jax"] == [head.title for head in side.columns[1:]]
    assert "in stage1.conv1" == cells["stage1.relu1"][1]
    assert cells["stage1.conv2"][0] == "2.1"
    assert "stage1.conv1 + stage1.relu1" in [segment.label for segment in bars.bars[1].segments]
    assert 10.2 == pytest.approx(sum(segment.value for segment in bars.bars[0].segments))


def test_what_is_said_of_every_framework_is_stated_once_and_without_limits_there_is_no_roofline(say: Any) -> None:
    cases = [records.case(framework, "inference") for framework in ("torch", "jax")]
    document = say([records.layer_trial(case, records.step_by_work(case, 0.01)) for case in cases])
    blocks = blocks_of(section(document, "layers"))
    texts = [text for block in blocks if isinstance(block, Items) for text in block.texts]

    assert texts[-1].startswith("How near the layers come to this machine's limits is not known")
    assert 1 == sum("How near the layers" in text for text in texts)
    assert not any(isinstance(block, Roofline) for block in blocks)


def test_each_framework_has_a_roofline_below_what_was_measured(say: Any) -> None:
    document = say(list(records.sweep()))
    plots = [block for block in blocks_of(document) if isinstance(block, Roofline)]

    assert 3 == len(plots)
    assert {"353 GFLOP/s"} == {plot.peak_flops_text for plot in plots}
    assert {"20.4 GB/s"} == {plot.peak_bytes_text for plot in plots}


def test_doubts_about_layers_are_numbered_beside_their_figures(say: Any) -> None:
    document = say(list(records.sweep()))
    block = next(b for b in blocks_of(document) if isinstance(b, Table) and b.id.startswith("table.figures.layers")
                 and "training" in b.caption)
    by_label = {row.cells[0].text: row.cells[-1] for row in block.rows}

    assert ("none", ()) == (by_label["torch"].text, by_label["torch"].notes)
    (note,) = by_label["jax"].notes
    (items,) = [b for b in section(document, "findings").blocks if isinstance(b, Items)]
    (text,) = [text for name, text in zip(items.ids, items.texts, strict=True) if name == note.id]
    assert text.startswith(f"[{note.number}] its layers were timed in another program")
    assert "jax mnist_cnn training" in text


def test_small_shares_are_below_a_per_cent_and_not_nothing(say: Any) -> None:
    document = say(list(records.sweep()))
    block = next(b for b in blocks_of(document) if isinstance(b, Table) and b.id.startswith("table.ops")
                 and "training" in b.caption)

    assert "<1 %" == {row.cells[0].text: row.cells[1].text for row in block.rows}["M flatten"]


def test_the_best_framework_of_a_limit_is_named_and_all_are_in_the_fold(say: Any) -> None:
    document = say(list(records.sweep()))
    arithmetic, every = table(document, "table.arithmetic"), table(document, "table.limits.hardware.f3c561a3631c.cpu.2")

    assert ["353 (345 to 359) jax 0.10.2"] == column(arithmetic, "fp32")
    assert ["399 torch 2.13.0+cpu"] == column(arithmetic, "bf16")
    assert {"torch 2.13.0+cpu", "jax 0.10.2", "numpy 2.4.6"} == set(column(every, "framework"))
    memory = table(document, "table.memory")
    assert ["2MiB", "256MiB"] == column(memory, "limit")
    assert formatting.UNKNOWN == column(memory, "triad")[0]


def test_copies_stand_before_triads_whatever_was_measured_first(say: Any) -> None:
    triad, copy = (
        list(records.limit(f"{kind}_256MiB", "numpy", 0.0162, bytes=256 * 2**20, threads=1))
        for kind in ("triad", "copy")
    )
    memory = table(say([*triad, *copy]), "table.memory")

    assert ["limit", "copy", "triad"] == [column.title for column in memory.columns]


def test_launches_decoding_and_communication_have_units_of_their_own(say: Any) -> None:
    trials = [*records.limits(), *records.limit("all_reduce_2", "torch", 0.01, bytes=25 * 2**20, repetitions=1)]
    others = [b for b in blocks_of(say(trials)) if isinstance(b, Table) and b.id.startswith("table.others")]
    figures = {row.cells[0].text: row.cells[1].text for each in others for row in each.rows}

    assert figures["launch of the smallest operation"].endswith("µs")
    assert figures["JPEG photographs decoded"].endswith("samples/s")
    assert figures["all-reduce over 2 processes"].endswith("GB/s")


def test_a_limit_that_failed_is_a_failure_and_no_figure(say: Any) -> None:
    of = {**records.case("jax", "inference"), "model": "disk_read", "threads": 1}
    failed = records.record(TrialKind.LIMIT, of, outcome=Outcome.CRASHED, reason="no such file", graph=None,
                            work={"name": "disk_read", "flops": None, "bytes": 1, "samples": None})
    document = say([failed, *timings("torch", SLOW)])

    assert "What this machine can do" not in titles(document)
    assert ["disk_read"] == column(table(document, "table.failures"), "model")
