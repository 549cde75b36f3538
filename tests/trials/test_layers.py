"""Layer trials: where they stand in a sweep, what they store, and what a result shows of them."""

from __future__ import annotations

import math
import statistics
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import typer

from rigmark.bench.analysis.results.summary import results
from rigmark.bench.cli import run as cli
from rigmark.bench.enums import Mode, Outcome, Precision, StartMethod, TrialKind
from rigmark.bench.models import build
from rigmark.bench.runner.tally import Tally
from rigmark.bench.trials.kinds import layers
from tests.fakes import SHORT, Answering, lend_framework, measure, went_well
from tests.records import layer_answer, layer_times, make_record, timing_records, trials_of

SILENT = """
from . import Unsupported
from .numpy.adapter import Network

def silent(network, steps):
    raise Unsupported("the silent framework times no layers")

def prepare(graph, weights, settings):
    Network.layer_times = silent
    return Network(graph, weights, settings)
"""

WITH_VARIABLES = """
import os

LAYER_VARIABLES = {("cpu", "eager", "inference"): {"XLA_FLAGS": "--apart"}}

def facts():
    return {"XLA_FLAGS": os.environ.get("XLA_FLAGS")}
"""

REFUSING = """
from . import Unsupported

def prepare(graph, weights, settings):
    raise Unsupported("not today")
"""


@pytest.mark.parametrize("start_method", StartMethod)
def test_a_layer_trial_comes_last_and_tells_where_the_time_goes(tmp_path: Path, start_method: StartMethod):
    timing = replace(SHORT, start_method=start_method)
    tally = measure(tmp_path, modes=(Mode.TRAINING,), layers=True, repetitions=2, timing=timing)
    proof, *timed, record = tally.stored

    assert [TrialKind.TIMING] * 2 == [each.identity.kind for each in timed]
    assert (TrialKind.LAYERS, Outcome.OK) == (record.identity.kind, record.outcome)
    assert record.certificate == proof.key
    assert record.measurement is None
    assert record.layers is not None
    rows = {(row["layer"], row["direction"]): row for row in record.layers["rows"]}
    assert {layer.name for layer in build("mlp").layers} <= {layer for layer, _ in rows}
    assert 1 == pytest.approx(math.fsum(row["share"] for row in rows.values()))
    assert {"in_place"} == {row["method"] for row in rows.values()}
    hidden = build("mlp")["hidden"]
    assert "dense" == rows["hidden", "forward"]["op"]
    assert 2 * hidden.op.flops((784,)) == rows["hidden", "forward"]["flops"]
    assert rows["hidden", "backward"]["bytes_moved"] > 4 * 784 * 800
    assert (None, None) == (rows["(optimizer)", "update"]["op"], rows["(optimizer)", "update"]["flops"])
    attributed = math.fsum(row["time_s"] for row in rows.values()) - rows["(unattributed)", None]["time_s"]
    assert record.layers["attributed_time_s"] == pytest.approx(attributed)
    assert record.layers["cover"] == pytest.approx(attributed / statistics.fmean(record.layers["step_times_s"]))
    for row in rows.values():
        assert row["time_s"] == pytest.approx(statistics.fmean(row["turn_times_s"]))     # turns are equally long


@pytest.mark.parametrize("start_method", StartMethod)
def test_only_layer_trials_have_a_frameworks_layer_variables_beside_the_users(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, start_method: StartMethod
):
    monkeypatch.setenv("XLA_FLAGS", "--mine")
    lend_framework(monkeypatch, "flagged", WITH_VARIABLES)
    timing = replace(SHORT, start_method=start_method)
    stored = measure(tmp_path, frameworks=("flagged",), modes=tuple(Mode), layers=True, timing=timing).stored
    timed, profiled = (
        {each.identity.case["mode"]: getattr(each, part) for each in stored if each.identity.kind is kind}
        for kind, part in ((TrialKind.TIMING, "measurement"), (TrialKind.LAYERS, "layers"))
    )

    assert {"XLA_FLAGS": "--mine"} == timed["inference"]["facts"] == timed["training"]["facts"]
    assert {"XLA_FLAGS": "--mine --apart"} == profiled["inference"]["facts"]
    assert {"XLA_FLAGS": "--apart"} == profiled["inference"]["variables"]
    assert {"XLA_FLAGS": "--mine"} == profiled["training"]["facts"]
    assert {} == profiled["training"]["variables"]


def described(
    *rows: dict[str, Any], resolution_s: float | None = None, mode: Mode = Mode.TRAINING, model: str = "mlp"
) -> dict[tuple[str, str], dict[str, Any]]:
    residual = {"layer": "(unattributed)", "direction": None, "time_s": 0.5}
    every = [{"time_s": 0.5, **row} for row in (*rows, residual)]
    answer = {
        "rows": [{"turn_times_s": [row["time_s"]] * 5, **row} for row in every],
        "step_times_s": [1.0, 1.0], "plain_step_times_s": [1.0, 1.0], "resolution_s": resolution_s,
    }
    result = layers.described(answer, build(model), mode=mode, batch=1, precision=Precision.FP32)
    return {(row["layer"], row["direction"]): row for row in result["rows"]}


def test_the_work_of_a_layer_that_has_no_row_counts_where_it_is_a_member_and_only_once():
    net = build("mlp")
    relu, hidden, classes = (
        net.cost(net[name], batch=1, itemsize=4, training=True).flops for name in ("relu", "hidden", "classes")
    )
    rows = described(
        {"layer": "hidden", "direction": "forward", "members": ["hidden", "relu"]},
        {"layer": "classes", "direction": "forward", "members": ["relu", "classes"]},
    )

    assert hidden + relu == rows["hidden", "forward"]["flops"]
    assert classes == rows["classes", "forward"]["flops"]


@pytest.mark.parametrize(("mode", "elements"), [(Mode.INFERENCE, 0), (Mode.TRAINING, 100 * 512)])
def test_dropout_is_work_in_training_alone(mode: Mode, elements: int):
    row = described({"layer": "dropout1", "direction": "forward"}, mode=mode, model="lstm")["dropout1", "forward"]

    assert (elements, 4 * 2 * elements) == (row["flops"], row["bytes_moved"])


def test_a_weights_gradient_that_is_computed_in_the_update_is_backward_work():
    net = build("mlp")
    rows = described({"layer": "(optimizer)", "direction": "update", "members": ["hidden", "(optimizer)"]})
    beside = described(
        {"layer": "(optimizer)", "direction": "update", "members": ["hidden", "(optimizer)"]},
        {"layer": "hidden", "direction": "backward"},
    )

    backward = net.cost(net["hidden"], batch=1, itemsize=4, training=True, backward=True).flops
    assert backward == rows["(optimizer)", "update"]["flops"]
    assert (None, backward) == (beside["(optimizer)", "update"]["flops"], beside["hidden", "backward"]["flops"])


def test_layers_that_the_clock_cannot_tell_from_none_are_one_row_that_names_them():
    short = {"direction": "forward", "time_s": 1e-7}
    rows = described(
        {"layer": "hidden", "direction": "forward"}, {"layer": "flatten", **short}, {"layer": "relu", **short},
        resolution_s=1e-6,
    )

    together = rows["(too short to time)", "forward"]
    assert ["flatten", "relu"] == together["members"]
    assert 2e-7 == pytest.approx(together["time_s"])
    assert ("relu", "forward") not in rows
    assert list(rows)[-1] == ("(unattributed)", None)


def test_a_share_is_not_that_of_one_long_step():
    """A turn with such a step makes the mean 45 % of the step, and is one of five."""
    rows = described({"layer": "hidden", "direction": "forward", "time_s": 2.4, "turn_times_s": [0.5] * 4 + [10.0]})

    assert 0.5 == rows["hidden", "forward"]["share"] == rows["(unattributed)", None]["share"]
    assert 2.4 == rows["hidden", "forward"]["time_s"]         # which cover and closure are of


def test_layer_trials_are_off_unless_asked_for_and_resumed_like_others(tmp_path: Path):
    launcher = Answering(layers=went_well(layer_answer()))
    without = measure(tmp_path, launcher=launcher)
    with_layers = measure(tmp_path, launcher=launcher, layers=True)
    again = measure(tmp_path, launcher=launcher, layers=True)
    another_session = measure(tmp_path, launcher=launcher, layers=True, session="2")

    assert TrialKind.LAYERS not in {each.identity.kind for each in without.stored}
    assert [TrialKind.LAYERS] == [each.identity.kind for each in with_layers.stored]
    assert [] == again.stored
    assert {TrialKind.TIMING, TrialKind.LAYERS} == {each.identity.kind for each in another_session.stored}


def test_a_framework_that_times_no_layers_is_a_planned_gap(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    lend_framework(monkeypatch, "silent", SILENT)
    tally = measure(tmp_path, frameworks=("silent",), layers=True)
    *others, record = tally.stored

    assert (TrialKind.LAYERS, Outcome.UNSUPPORTED) == (record.identity.kind, record.outcome)
    assert record.reason == "the silent framework times no layers"
    assert {Outcome.OK} == {each.outcome for each in others}
    cli._conclude(tally, {})     # ends without an exit code


def test_a_layer_trial_that_fails_fails_the_sweep(tmp_path: Path):
    timed = make_record()
    crashed = make_record(TrialKind.LAYERS, Outcome.CRASHED)

    with pytest.raises(typer.Exit):
        cli._conclude(Tally(stored=[timed, crashed], wall_time_s=1.0), {})


def test_a_case_that_cannot_be_timed_is_not_taken_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    lend_framework(monkeypatch, "refusing", REFUSING)
    tally = measure(tmp_path, frameworks=("refusing",), layers=True)

    assert TrialKind.LAYERS not in {each.identity.kind for each in tally.stored}
    assert 1 == tally.not_started


# In results ------------------------------------------------------------------------------------------------------


def test_closure_is_against_the_timed_steps_and_cover_and_overhead_are_of_the_layer_trial(tmp_path: Path):
    layers = layer_times()
    timed = timing_records([0.02, 0.02, 0.02])
    (row,) = results(trials_of(tmp_path, [*timed, make_record(TrialKind.LAYERS)])).to_dict("records")

    assert row["layer_closure"] == pytest.approx(layers["attributed_time_s"] / 0.02, rel=0.01)
    assert row["layer_cover"] == pytest.approx(layers["cover"])
    assert row["layer_overhead"] == pytest.approx(layers["overhead"])
    assert 3 == row["trials"]


def test_a_layer_trial_of_another_session_or_without_timed_steps_shows_nowhere(tmp_path: Path):
    alone = results(trials_of(tmp_path / "alone", [make_record(TrialKind.LAYERS)]))
    elsewhere = make_record(TrialKind.LAYERS, session="2")
    (row,) = results(trials_of(tmp_path / "other", [make_record(), elsewhere])).to_dict("records")

    assert alone.empty
    assert (None, None, None) == (row["layer_cover"], row["layer_closure"], row["layer_overhead"])
