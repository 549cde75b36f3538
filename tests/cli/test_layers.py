"""``rigmark layers`` as people and scripts meet it."""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from rigmark.bench.cli import main
from rigmark.bench.enums import Outcome, TrialKind
from rigmark.bench.store.record import Record
from tests.reports import records

TORCH, NUMPY = records.case("torch"), records.case("numpy")


@dataclass(frozen=True)
class Ended:
    code: int
    output: str
    errors: str


Command = Callable[..., Ended]


@pytest.fixture(name="layers")
def _layers(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Command:
    """The verb in a folder of its own."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str) -> Ended:
        monkeypatch.setattr(sys, "argv", ["rigmark", "layers", *arguments])
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            sys.exit(main())     # as the console script does
        shown = capsys.readouterr()
        return Ended(int(ended.value.code or 0), shown.out, shown.err)

    return run


def store(*each: Record) -> None:
    records.stored(Path("results"), list(each))


def sweep() -> None:
    store(*records.sweep())


def in_sessions(*each: Record) -> list[Record]:
    """One record a session, a day apart."""
    return [
        dataclasses.replace(
            record, identity=dataclasses.replace(record.identity, session=str(number)),
            recorded_at=f"2026-11-2{number}T00:00:00+00:00",
        )
        for number, record in enumerate(each, 1)
    ]


def names(ended: Ended) -> list[str]:
    cases = [content["case"] for content in json.loads(ended.output)]
    return sorted(f"{case['framework']}/{case['mode']}" for case in cases)


# Which cases --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("cases", "expected"), [
    ((), ["jax/training", "torch/inference", "torch/training"]),
    (("mnist_cnn",), ["jax/training", "torch/inference", "torch/training"]),
    (("mnist_cnn/torch",), ["torch/inference", "torch/training"]),
    (("training/torch/mnist_cnn",), ["torch/training"]),
    (("xla",), ["jax/training"]),
    (("framework=jax/batch=32/threads=2",), ["jax/training"]),
    (("jax", "torch/inference"), ["jax/training", "torch/inference"]),
    (("fp32/cpu/digits/inference",), ["torch/inference"]),
])
def test_a_case_is_words_that_must_all_match(layers: Command, cases: tuple[str, ...], expected: list[str]):
    sweep()

    assert expected == names(layers(*cases, "--json"))


@pytest.mark.parametrize("case", ["mnist_cnn/tortch", "batch=64", "jax/inference", "colour=red", "/"])
def test_an_unknown_case_is_answered_with_what_is_stored_and_how_to_measure(layers: Command, case: str):
    sweep()
    ended = layers(case)

    assert (ended.code, ended.output) == (2, "")
    assert 1 == len(ended.errors.splitlines())
    assert f"no layer times of '{case}'" in ended.errors
    assert "mnist_cnn/training/torch/compiled/fp32/batch=32" in ended.errors
    assert "rigmark run --model MODEL --framework FRAMEWORK --layers" in ended.errors


def test_a_word_that_is_nearly_known_is_answered_with_the_nearest(layers: Command):
    sweep()

    assert "did you mean 'torch'?" in layers("mnist_cnn/tortch").errors


def test_no_layer_trial_is_nothing_measured_with_the_reason(layers: Command):
    store(records.record(TrialKind.LAYERS, TORCH, outcome=Outcome.UNSUPPORTED, reason="torch times no layers so"))
    ended = layers()

    assert (ended.code, ended.output) == (3, "")
    assert "torch times no layers so" in ended.errors
    assert "measure some with rigmark run quick --layers --results results" in ended.errors


def test_a_case_that_failed_is_reported_with_its_reason_beside_those_that_have_times(layers: Command):
    sweep()
    store(records.record(TrialKind.LAYERS, NUMPY, outcome=Outcome.TIMEOUT, reason="killed after 600 s"))
    every, alone, other = (layers(*cases, "--json") for cases in ((), ("numpy",), ("jax",)))

    told = "rigmark: mnist_cnn/training/numpy/eager/fp32/batch=32: timeout: killed after 600 s"
    assert (0, 3, [told]) == (every.code, len(names(every)), every.errors.splitlines())
    assert (3, "") == (alone.code, alone.output)
    assert [told, "no layer times of 'numpy' in results"] == [line.split(";")[0] for line in alone.errors.splitlines()]
    assert (0, "") == (other.code, other.errors)


def test_a_failure_that_a_later_trial_made_good_is_history(layers: Command):
    failed = records.record(TrialKind.LAYERS, TORCH, outcome=Outcome.TIMEOUT, reason="killed after 600 s")
    store(*in_sessions(failed, records.layer_trial(TORCH, records.step_by_work(TORCH, 0.01))))

    assert (0, "") == (layers("--json").code, layers("--json").errors)
    assert "timeout: killed after 600 s" in layers("session=1").errors


def test_no_folder_is_a_mistake(layers: Command):
    ended = layers("--results", "nowhere")

    assert (ended.code, ended.output) == (2, "")
    assert "no results in nowhere" in ended.errors


def test_the_latest_session_wins(layers: Command):
    store(*in_sessions(*(records.layer_trial(TORCH, records.step_by_work(TORCH, time_s)) for time_s in (0.01, 0.02))))
    (case,) = json.loads(layers("--json").output)

    assert ("2", pytest.approx(0.0201)) == (case["session"], case["step_time_s"])


def test_an_earlier_session_is_shown_to_whom_names_it(layers: Command):
    store(*in_sessions(*(records.layer_trial(TORCH, records.step_by_work(TORCH, time_s)) for time_s in (0.01, 0.02))))
    first, both = (json.loads(layers(*cases, "--json").output) for cases in (
        ("torch/session=1",), ("session=1", "session=2"),
    ))

    assert [("1", pytest.approx(0.0101))] == [(case["session"], case["step_time_s"]) for case in first]
    assert ["1", "2"] == sorted(case["session"] for case in both)


# What is shown ------------------------------------------------------------------------------------------------------


def test_a_case_has_its_figures_its_words_and_its_longest_rows(layers: Command):
    sweep()
    ended = layers("torch/training", "--top", "4")
    lines = ended.output.splitlines()

    assert 0 == ended.code
    assert "mnist_cnn training, torch 2.13.0+cpu compiled channels_last, batch 32" in ended.output
    assert "Instrumented step 10.2 ms" in ended.output
    assert "cover 0.99, closure 1.00, overhead 1.02" in ended.output
    assert "- conv2d layers account for 79 % of the training step" in ended.output
    assert ended.output.index("account for") < ended.output.index("time / limit")
    start = next(index for index, line in enumerate(lines) if line.startswith("layer "))
    assert ["stage1.conv2", "stage2.conv2", "stage3.conv2", "(optimizer)", "(37", "(unattributed)"] == [
        line.split()[0] for line in lines[start + 1:start + 7]
    ]


def test_findings_stand_below_what_they_weaken(layers: Command):
    sweep()
    output = layers("torch/inference").output

    assert "- layer_cover: its layers add up to 36% of the step" in output
    assert "- layer_trace: its trace of layers is incomplete: the trace was cut short." in output


def test_top_must_be_a_count(layers: Command):
    sweep()

    assert 2 == layers("--top", "0").code


# For scripts --------------------------------------------------------------------------------------------------------


CASE_FIELDS = {
    "trial", "case", "framework_version", "machine", "session", "recorded_at", "step_time_s", "plain_step_time_s",
    "timed_step_time_s", "layer_cover", "layer_closure", "layer_overhead", "mfu", "problem", "variables",
    "without_kernel", "peaks", "findings", "layers",
}
LAYER_FIELDS = {
    "layer", "members", "op", "direction", "method", "time_s", "share", "flops", "bytes_moved", "flops_per_s",
    "bytes_per_s", "intensity", "bound", "limit_s", "gap",
}


def test_json_has_the_same_fields_whatever_is_known(layers: Command):
    sweep()
    store(records.layer_trial(records.case("numpy"), {}, rest_s=0.1, problem="the trace holds no kernel"))
    cases = json.loads(layers("--json").output)

    assert 4 == len(cases)
    for case in cases:
        assert CASE_FIELDS == case.keys()
        assert {"flops_per_s", "bytes_per_s", "launch_s"} == case["peaks"].keys()
        assert all({"id", "kind", "text"} == finding.keys() for finding in case["findings"])
        assert all(LAYER_FIELDS == row.keys() for row in case["layers"])


def test_json_has_every_row_and_they_add_up_to_the_step(layers: Command):
    sweep()
    (case,) = json.loads(layers("jax", "--json").output)
    rows = {(row["layer"], row["direction"]): row for row in case["layers"]}

    assert case["step_time_s"] == pytest.approx(sum(row["time_s"] for row in case["layers"]))
    assert 1 == pytest.approx(sum(row["share"] for row in case["layers"]))
    fused = rows["stage1.conv1", "forward"]
    assert ["stage1.conv1", "stage1.relu1"] == fused["members"]
    assert fused["gap"] == pytest.approx(fused["time_s"] / fused["limit_s"])
    assert ("conv2d", "memory", "in_place") == (fused["op"], fused["bound"], fused["method"])
    rest = rows["(unattributed)", None]
    assert {None} == {rest[name] for name in ("op", "flops", "bytes_moved", "flops_per_s", "bound", "gap")}


def test_top_limits_the_layers_in_json_too(layers: Command):
    sweep()
    (case,) = json.loads(layers("jax", "--json", "--top", "3").output)

    assert 3 == len(case["layers"])


def test_a_damaged_record_is_reported_beside_the_others(layers: Command):
    sweep()
    (Path("results") / "records" / "half.json").write_text('{"schema": 1,', encoding="utf-8")
    ended = layers("--json")

    assert 2 == ended.code
    assert 3 == len(json.loads(ended.output))
    assert "half.json" in ended.errors
