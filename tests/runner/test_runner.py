"""What makes a trial the same trial, and that what is stored is never measured again."""

from __future__ import annotations

import json
import shutil
import uuid
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from rigmark.bench import datasets, models
from rigmark.bench.builds import build as builds
from rigmark.bench.enums import TIMED, Layout, Mode, Outcome, Precision, StartMethod, TrialKind
from rigmark.bench.errors import UserError
from rigmark.bench.ir.building import Builder
from rigmark.bench.ir.graph import INPUT, Input, tokens
from rigmark.bench.ir.ops.comparison import Where
from rigmark.bench.ir.training import Sgd
from rigmark.bench.ir.weights import synthetic_batch
from rigmark.bench.launch.here import Here
from rigmark.bench.launch.launcher import Launcher
from rigmark.bench.plan.schedule import Trial
from rigmark.bench.processes.spawn import not_run
from rigmark.bench.runner.runner import Runner
from rigmark.bench.runner.tally import Tally
from rigmark.bench.store.record import Record
from rigmark.bench.store.store import Store
from tests.fakes import (
    SHORT,
    TOKEN,
    Answering,
    add_numpy,
    add_package,
    alive,
    bare_environment,
    lend_framework,
    lend_limits,
    make_case,
    measure,
    oracle_answers,
    proof_record,
    timing_record,
    write_builds,
)

SCHEMA = json.loads((Path(__file__).parents[2] / "docs/record.schema.json").read_text(encoding="utf-8"))


def ids(tally: Tally) -> list[str]:
    return [record.id for record in tally.stored]


def seen_before(tally: Tally) -> list[str]:
    return [record.id for record in tally.already_there]


# A sweep that goes well ----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Tally]:
    folder = tmp_path_factory.mktemp("sweep")
    return folder, measure(folder, modes=(Mode.INFERENCE, Mode.TRAINING), repetitions=2)


def test_proofs_come_first_and_every_timing_carries_its_certificate(measured: tuple[Path, Tally]):
    proof, *timings = measured[1].stored

    assert TrialKind.PROOF == proof.identity.kind
    assert 4 == len(timings)
    assert {proof.key} == {record.certificate for record in timings}
    assert all(record.outcome is Outcome.OK and record.reason is None for record in (proof, *timings))


def test_a_timing_says_what_its_first_loss_was_and_should_have_been(measured: tuple[Path, Tally]):
    for record in measured[1].stored[1:]:
        assert record.measurement is not None
        assert record.measurement["first_loss"] == pytest.approx(record.measurement["expected_loss"], rel=1e-5)
        assert record.measurement["first_loss"] != record.measurement["expected_loss"]      # fp32 against fp64


def test_moments_of_a_trial_are_in_order_on_one_clock(measured: tuple[Path, Tally]):
    for record in measured[1].stored[1:]:
        assert record.measurement is not None
        marks = record.measurement["marks"]
        assert sorted(marks.values()) == list(marks.values())
        start_up = ["launched", "started", "imported", "prepared", "loaded", "stepped"]
        assert [*start_up, "warm_up", "steady", "timed"] == list(marks)


# What is stored is not measured again ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def looped(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Tally]:
    """The same, by workers that are never started."""
    folder = tmp_path_factory.mktemp("loop")
    return folder, measure(folder, launcher=Answering(), modes=(Mode.INFERENCE, Mode.TRAINING), repetitions=2)


def test_the_same_sweep_again_measures_nothing(looped: tuple[Path, Tally]):
    folder, before = looped

    after = measure(folder, launcher=Answering(), modes=(Mode.INFERENCE, Mode.TRAINING), repetitions=2)

    assert [] == after.stored
    assert ids(before) == seen_before(after)


def test_a_larger_sweep_measures_only_what_is_new(looped: tuple[Path, Tally]):
    folder, before = looped

    after = measure(folder, launcher=Answering(), modes=(Mode.INFERENCE, Mode.TRAINING), repetitions=3)

    assert set(ids(before)) == set(seen_before(after))
    assert [2, 2] == [record.identity.repetition for record in after.stored]


def test_a_damaged_record_is_measured_again_and_no_other(looped: tuple[Path, Tally]):
    folder, before = looped
    victim = before.stored[-1]
    (folder / "results" / "records" / f"{victim.key}.json").write_bytes(b"{")

    after = measure(folder, launcher=Answering(), modes=(Mode.INFERENCE, Mode.TRAINING), repetitions=2)

    assert [victim.id] == ids(after)
    assert () == Store(folder / "results").trials().problems


SPOILT: dict[str, Callable[[dict[str, Any]], Any]] = {
    "a kind that is a list": lambda plain: plain["identity"].update(kind=["timing"]),
    "no outcome": lambda plain: plain.update(outcome=None),
    "a failure without a reason": lambda plain: (plain.update(outcome="parity_failed"), plain.pop("reason")),
    "an infinite schema": lambda plain: plain.update(schema=float("inf")),
    "a missing fact": lambda plain: plain["identity"]["case"].pop("threads"),
    "the facts of another trial": lambda plain: plain["identity"]["case"].update(framework="torch"),
    "nothing at all": lambda plain: plain.clear(),
}


@pytest.mark.parametrize("spoil", SPOILT.values(), ids=SPOILT)
@pytest.mark.parametrize("kind", [TrialKind.PROOF, TrialKind.TIMING])
def test_a_spoilt_record_is_reported_once_and_measured_anew(
    looped: tuple[Path, Tally], kind: TrialKind, spoil: Callable[[dict[str, Any]], Any]
):
    folder, before = looped
    victim = next(record for record in before.stored if record.identity.kind is kind)
    path = folder / "results" / "records" / f"{victim.key}.json"
    plain = json.loads(path.read_text())
    spoil(plain)
    path.write_text(json.dumps(plain))

    after = measure(folder, launcher=Answering(), modes=(Mode.INFERENCE, Mode.TRAINING), repetitions=2)

    assert [victim.id] == ids(after)
    (told,) = after.damaged
    assert str(path) in told
    assert () == Store(folder / "results").trials().problems


@pytest.mark.parametrize("kind", [TrialKind.PROOF, TrialKind.TIMING])
def test_what_a_later_rigmark_measured_ends_the_sweep_before_it_begins(
    looped: tuple[Path, Tally], tmp_path: Path, kind: TrialKind
):
    folder, before = looped
    shutil.copytree(folder / "results", tmp_path / "results")
    records = tmp_path / "results" / "records"
    newer = records / f"{[record for record in before.stored if record.identity.kind is kind][-1].key}.json"
    newer.write_text(newer.read_text().replace('"schema": 1', '"schema": 2'))
    lost = records / f"{before.stored[0].key}.json"
    if lost != newer:
        lost.unlink()
    content = newer.read_bytes()

    with pytest.raises(UserError, match="has schema 2, newer than this Rigmark reads"):
        measure(tmp_path, launcher=Answering(), modes=(Mode.INFERENCE, Mode.TRAINING), repetitions=2)

    assert content == newer.read_bytes()
    assert lost == newer or not lost.exists()        # nothing was measured


def test_what_was_stored_while_a_build_did_not_answer_goes_when_it_does(tmp_path: Path):
    killed = not_run(Outcome.CRASHED, "killed by signal 9")
    broken = measure(tmp_path, launcher=Answering(probe=killed))
    assert {Outcome.BUILD_BROKEN} == {record.outcome for record in broken.stored}

    healed = measure(tmp_path, launcher=Answering())
    table = Store(tmp_path / "results").trials().table

    assert ["ok", "ok"] == list(table.outcome)
    assert set(table.id) == {record.key for record in healed.stored}


def test_another_session_times_anew_and_keeps_the_old(looped: tuple[Path, Tally]):
    folder, before = looped

    after = measure(folder, launcher=Answering(), session="tuesday")

    assert {TrialKind.TIMING} == {record.identity.kind for record in after.stored}
    assert not set(ids(before)) & set(ids(after))


@pytest.mark.parametrize(
    ("outcome", "asked"),
    [(Outcome.TIMEOUT, 1), (Outcome.PARITY_FAILED, 1), (Outcome.CRASHED, 3)],
)
def test_repetitions_that_would_only_fail_again_are_not_started(tmp_path: Path, outcome: Outcome, asked: int):
    launcher = Answering(timing=not_run(outcome, "it failed"))

    tally = measure(tmp_path, launcher=launcher, repetitions=3)

    assert (asked, 3 - asked) == (launcher.asked.count("timing"), tally.not_started)


@pytest.mark.parametrize(
    ("outcome", "is_tried_again"),
    [(Outcome.TIMEOUT, True), (Outcome.CRASHED, True), (Outcome.UNSUPPORTED, False), (Outcome.PARITY_FAILED, False)],
)
def test_a_failure_that_may_pass_is_tried_again_by_the_next_command(
    tmp_path: Path, outcome: Outcome, is_tried_again: bool
):
    measure(tmp_path, launcher=Answering(timing=not_run(outcome, "it failed")))

    again = measure(tmp_path, launcher=Answering())

    assert [TrialKind.TIMING] * is_tried_again == [record.identity.kind for record in again.stored]
    assert 2 - is_tried_again == len(again.already_there)


# Real workers -----------------------------------------------------------------------------------------------------


def test_a_batch_beyond_the_real_data_repeats_samples_on_both_sides(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    x, y = synthetic_batch(models.build("mlp"), 70, seed=1)
    few = datasets.Dataset(x=x[:60], y=y[:60], test_x=x[60:], test_y=y[60:])
    monkeypatch.setattr(datasets, "load", lambda name, graph: few)

    tally = measure(tmp_path, modes=(Mode.INFERENCE, Mode.TRAINING), data=("digits",), local_batches=(99,))

    for record in tally.stored[1:]:
        assert (Outcome.OK, None) == (record.outcome, record.reason)
        assert record.measurement is not None
        assert 2 == record.measurement["batches"]


def test_a_network_of_several_inputs_and_outputs_is_proven_and_timed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    net = Builder("mlp")
    net.add_input(tokens((6,), 9))
    seen = net.add_input(Input(name="seen", shape=(6, 1), dtype="bool", draw="lengths"))
    net.embedding("words", 4, of=INPUT)
    net.add_layer("shown", Where(), of=(seen, "words", net.parameter("blank", (4,), init="standard_normal")))
    net.flatten("flat")
    net.dense("others", 3)
    net.dense("scores", 5, of="flat")
    graph = net.build(
        loss="softmax_cross_entropy", optimizer=Sgd(learning_rate=0.1), outputs=("scores", "others", "shown")
    )
    oracle_answers()                     # to the networks that others measure
    monkeypatch.setattr(models, "build", lambda name: graph)

    tally = measure(tmp_path, modes=(Mode.INFERENCE, Mode.TRAINING), local_batches=(3,), layers=True)

    assert [None] * 5 == [record.reason for record in tally.stored]


@pytest.mark.parametrize("start_method", StartMethod)
def test_both_start_methods_measure_the_same_network(tmp_path: Path, start_method: StartMethod):
    timing = replace(SHORT, start_method=start_method)

    record = timing_record(measure(tmp_path, timing=timing))

    assert Outcome.OK is record.outcome
    assert start_method == record.identity.settings["start_method"]


# Identity ------------------------------------------------------------------------------------------------------------

TIMING = Trial(kind=TrialKind.TIMING, case=make_case(), timing=SHORT)


def identity(
    folder: Path, trial: Trial = TIMING, session: str = "1", *, launcher: Launcher | None = None
) -> str:
    """The id that a trial has for a runner that starts now; without a launcher, no build is asked what it is."""
    with Runner(
        Store(folder / "results"), builds.load(folder), suite="test", command="rigmark run", session=session,
        launcher=launcher or Answering(),
    ) as runner:
        return runner.identity(trial).id


def test_an_unchanged_trial_keeps_its_id(tmp_path: Path):
    assert identity(tmp_path) == identity(tmp_path)


@pytest.mark.parametrize(
    "changed",
    [
        replace(TIMING, repetition=1),
        replace(TIMING, timing=replace(SHORT, min_time_s=0.002)),
        replace(TIMING, timing=replace(SHORT, start_method=StartMethod.FORKSERVER)),
        replace(TIMING, case=make_case(local_batch=3)),
        replace(TIMING, case=make_case(mode=Mode.TRAINING)),
        replace(TIMING, case=make_case(model="mnist_cnn")),
    ],
    ids=["repetition", "timing", "start method", "batch", "mode", "model"],
)
def test_another_trial_has_another_id(tmp_path: Path, changed: Trial):
    assert identity(tmp_path) != identity(tmp_path, changed)


def test_another_session_is_another_trial(tmp_path: Path):
    assert identity(tmp_path) != identity(tmp_path, session="2")


@pytest.mark.parametrize("name", ["OPENBLAS_CORETYPE", "ONEDNN_MAX_CPU_ISA", "NPY_DISABLE_CPU_FEATURES", "LD_PRELOAD"])
def test_a_variable_that_changes_results_makes_another_trial(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
):
    monkeypatch.delenv(name, raising=False)
    before = identity(tmp_path)

    monkeypatch.setenv(name, "" if name == "LD_PRELOAD" else "Haswell")

    assert before != identity(tmp_path)


def test_a_variable_that_changes_nothing_makes_no_other_trial(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    before = identity(tmp_path)

    monkeypatch.setenv("SSH_TTY", "/dev/pts/7")

    assert before == identity(tmp_path)


@pytest.fixture
def own_build(tmp_path: Path) -> Iterator[Path]:
    """An interpreter with NumPy that builds.toml names "own"."""
    interpreter = bare_environment(tmp_path / "own")
    add_numpy(interpreter)
    write_builds(tmp_path, own=interpreter)
    return interpreter


def test_an_upgraded_framework_makes_another_trial_and_another_package_does_not(tmp_path: Path, own_build: Path):
    trial = replace(TIMING, case=make_case(framework="torch", build="own"))
    add_package(own_build, "torch", "2.0.0")
    before = identity(tmp_path, trial, launcher=Here())

    add_package(own_build, "leftpad", "1.0.0")
    assert before == identity(tmp_path, trial, launcher=Here())

    add_package(own_build, "torch", "2.0.1")
    assert before != identity(tmp_path, trial, launcher=Here())


def test_a_variable_of_the_build_makes_another_trial(tmp_path: Path, own_build: Path):
    trial = replace(TIMING, case=make_case(build="own"))
    before = identity(tmp_path, trial, launcher=Here())

    with open(tmp_path / "builds.toml", "a") as file:
        file.write('variables = { OPENBLAS_CORETYPE = "Haswell" }\n')

    assert before != identity(tmp_path, trial, launcher=Here())


# Builds that lack something ------------------------------------------------------------------------------------------


def test_another_interpreter_with_numpy_measures(tmp_path: Path, own_build: Path):
    record = timing_record(measure(tmp_path, builds=("own",)))

    assert Outcome.OK is record.outcome
    assert str(own_build) == record.interpreter


def test_a_framework_that_a_build_lacks_is_not_installed(tmp_path: Path, own_build: Path):
    tally = measure(tmp_path, builds=("own",), frameworks=("torch",), repetitions=3)

    proof, timing = proof_record(tally), timing_record(tally)
    assert (Outcome.NOT_INSTALLED, Outcome.NOT_INSTALLED) == (proof.outcome, timing.outcome)
    assert f"no package 'torch' in {own_build}; install torch there" == proof.reason
    assert f"its proof: {proof.reason}" == timing.reason
    assert 2 == tally.not_started        # repetitions that could only meet the same


def test_a_framework_that_does_not_import_is_a_broken_build(tmp_path: Path, own_build: Path):
    add_package(own_build, "torch", "2.0.0", source="raise ImportError('libgomp.so.1: no such file')")

    proof = proof_record(measure(tmp_path, builds=("own",), frameworks=("torch",)))

    assert Outcome.BUILD_BROKEN is proof.outcome
    assert "importing torch failed: ImportError: libgomp.so.1: no such file" == proof.reason


def test_a_framework_whose_import_kills_the_process_is_a_typed_outcome(tmp_path: Path, own_build: Path):
    add_package(own_build, "torch", "2.0.0", source="import os, signal; os.kill(os.getpid(), signal.SIGILL)")

    proof = proof_record(measure(tmp_path, builds=("own",), frameworks=("torch",)))

    assert Outcome.CRASHED is proof.outcome
    assert proof.reason is not None
    assert "killed by SIGILL" in proof.reason


def test_a_build_without_numpy_is_broken_and_installing_it_is_enough(tmp_path: Path):
    interpreter = bare_environment(tmp_path / "bare")
    write_builds(tmp_path, bare=interpreter)

    proof = proof_record(measure(tmp_path, builds=("bare",)))

    assert Outcome.BUILD_BROKEN is proof.outcome
    assert proof.reason is not None
    assert f"a worker needs NumPy, but {interpreter} cannot import it" in proof.reason

    add_numpy(interpreter)
    assert Outcome.OK is timing_record(measure(tmp_path, builds=("bare",))).outcome


def test_a_build_whose_interpreter_is_gone_fails_its_own_cells_only(tmp_path: Path):
    write_builds(tmp_path, gone="/nowhere/python")

    tally = measure(tmp_path, builds=("gone", "default"))

    outcomes = {
        record.identity.case["build"]: record.outcome
        for record in tally.stored if record.identity.kind == TrialKind.TIMING
    }
    assert {"gone": Outcome.BUILD_BROKEN, "default": Outcome.OK} == outcomes


# Frameworks that do not compute the same -----------------------------------------------------------------------------

WRONG = """
from .numpy import adapter as honest

class Wrong(honest.Network):
    {method}

def prepare(graph, weights, settings):
    return Wrong(graph, weights, settings)
"""
FORGETS_A_BIAS = WRONG.format(method="""def __init__(self, graph, weights, settings):
        forgotten = dict(weights)
        forgotten["classes/bias"] = 0 * weights["classes/bias"]
        honest.Network.__init__(self, graph, forgotten, settings)
""")


def assert_no_number(record: Record, outcome: Outcome) -> None:
    assert outcome is record.outcome
    assert record.measurement is None


def test_a_forgotten_bias_fails_the_proof_and_no_time_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    lend_framework(monkeypatch, "forgetful", FORGETS_A_BIAS)

    tally = measure(tmp_path, frameworks=("forgetful",), repetitions=3)

    proof = proof_record(tally)
    assert Outcome.PARITY_FAILED is proof.outcome
    assert proof.reason is not None
    assert "did not compute the same as the oracle: output off by" in proof.reason
    assert proof.parity is not None      # the evidence
    assert proof.parity["output_error"] > proof.parity["tolerance"]["output"]
    assert_no_number(timing_record(tally), Outcome.PARITY_FAILED)
    assert 2 == tally.not_started


def test_a_network_that_is_only_wrong_when_timed_is_caught_by_its_first_loss(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    lend_framework(monkeypatch, "cheating", WRONG.format(method="""def step(self):
        honest.Network.step(self)
        self._result = self._result * 1.001
"""))

    tally = measure(tmp_path, frameworks=("cheating",))

    timing = timing_record(tally)
    assert Outcome.OK is proof_record(tally).outcome
    assert_no_number(timing, Outcome.PARITY_FAILED)
    assert timing.reason is not None
    assert "the oracle's is" in timing.reason


ENDS = {
    "one output for all": (Mode.INFERENCE, "the last output is off by", """def step(self):
        if self._steps == 0:
            honest.Network.step(self)
        else:
            self._steps += 1
"""),
    "one output of each batch, a step late": (Mode.INFERENCE, "the last output is off by", """def step(self):
        before = getattr(self, "_result", None)
        honest.Network.step(self)
        if before is not None:
            self._result, self._late = getattr(self, "_late", before), self._result
"""),
    "the first loss for all": (Mode.TRAINING, "last loss", """def step(self):
        before = getattr(self, "_result", None)
        honest.Network.step(self)
        self._result = self._result if before is None else before
"""),
    "no update": (Mode.TRAINING, "left every parameter as it was", """def _update(self, gradients, statistics):
        pass

    def train(self, x, y, masks):
        loss, gradients, statistics = self._gradients(self._input(x), y, masks)
        honest.Network._update(self, gradients, statistics)
        return loss
"""),
    "an update at first": (Mode.TRAINING, "left every parameter as it was", """def step(self):
        if self._steps == 0:
            return honest.Network.step(self)
        x, y = self._batches[self._steps % len(self._batches)]
        self._steps += 1
        self._result = self.gradients(x, y, {})[0]
"""),
    "a slow clock": (Mode.INFERENCE, "time.perf_counter was replaced", """def step(self):
        import time
        if time.perf_counter is CLOCK:
            time.perf_counter = lambda: CLOCK() / 2
        honest.Network.step(self)

import time
CLOCK = time.perf_counter
"""),
}


@pytest.mark.parametrize("way", ENDS)
def test_a_network_that_is_only_right_at_first_is_caught_at_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, way: str
):
    mode, said, method = ENDS[way]
    lend_framework(monkeypatch, "cheating", WRONG.format(method=method))

    tally = measure(tmp_path, frameworks=("cheating",), modes=(mode,))

    timing = timing_record(tally)
    assert Outcome.OK is proof_record(tally).outcome
    assert_no_number(timing, Outcome.PARITY_FAILED)
    assert timing.reason is not None
    assert said in timing.reason


def test_a_timing_says_what_was_held_to_the_oracle_at_its_end(measured: tuple[Path, Tally]):
    for record in measured[1].stored[1:]:
        assert record.measurement is not None
        held = record.measurement["last_check"]
        assert 2 == record.measurement["batches"]
        assert 0 < abs(held["loss"] - held["expected_loss"]) <= held["allowed_difference"]       # fp32 against fp64
        assert held["allowed_difference"] < 1e-3 * record.measurement["first_loss"]
        if record.identity.case["mode"] == Mode.TRAINING:
            assert held["are_parameters_moved"]
            assert held["output_error"] is None
        else:
            assert held["are_parameters_moved"] is None
            assert 0 < held["output_error"] <= held["allowed_output_error"] < 0.1 * held["output_distance"]


@pytest.mark.parametrize("wrong", ["learning_rate=0.011", "momentum=0.0"])
def test_a_wrong_update_rule_is_caught_though_the_gradients_are_right(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, wrong: str
):
    lend_framework(monkeypatch, "hasty", WRONG.format(method=f"""def __init__(self, graph, weights, settings):
        honest.Network.__init__(self, graph, weights, settings)
        self._optimizer = honest.OPTIMIZERS["sgd"](dict(graph["optimizer"], {wrong}))
"""))

    assert Outcome.PARITY_FAILED is proof_record(measure(tmp_path, frameworks=("hasty",))).outcome


def test_not_a_number_is_never_stored_as_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    lend_framework(monkeypatch, "divided_by_zero", WRONG.format(method="""def forward(self, x):
        return honest.Network.forward(self, x) * float("nan")
"""))

    proof = proof_record(measure(tmp_path, frameworks=("divided_by_zero",)))

    assert Outcome.PARITY_FAILED is proof.outcome
    text = (tmp_path / "results" / "records" / f"{proof.key}.json").read_text()
    assert "NaN" not in text
    assert "Infinity" not in text


def test_weights_that_diverge_while_timed_give_no_number(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    lend_framework(monkeypatch, "diverging", WRONG.format(method="""def step(self):
        honest.Network.step(self)
        if self._steps > 2:
            self._result = self._result * float("inf")
"""))

    timing = timing_record(measure(tmp_path, frameworks=("diverging",)))

    assert_no_number(timing, Outcome.PARITY_FAILED)
    assert "the result is no longer finite after the timed steps" == timing.reason


# Planned gaps --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("local_batch", [2, 4])      # 4 is the batch of proofs, whose case then equals the timed one
def test_every_planned_gap_has_a_record_of_its_own(tmp_path: Path, local_batch: int):
    tally = measure(
        tmp_path, layouts=(Layout.CHANNELS_LAST,), modes=(Mode.TRAINING,), local_batches=(local_batch,), threads=(2,),
        repetitions=3,
    )

    assert Outcome.UNSUPPORTED is timing_record(tally).outcome
    assert "numpy has no layout 'channels_last'; it has: nchw" == proof_record(tally).reason
    assert 2 == tally.not_started


# Limits of the machine -----------------------------------------------------------------------------------------------

LIMIT = Trial(kind=TrialKind.LIMIT, case=make_case(model="matmul_256", local_batch=1), timing=SHORT)


def limit_records(tally: Tally) -> list[Record]:
    return [record for record in tally.stored if record.identity.kind == TrialKind.LIMIT]


@pytest.mark.parametrize("start_method", StartMethod)
def test_limits_are_measured_beside_networks_and_not_again(tmp_path: Path, start_method: StartMethod):
    sweep = {"microbenchmarks": ("matmul_256", "launch"), "timing": replace(SHORT, start_method=start_method)}

    tally = measure(tmp_path, repetitions=2, **sweep)
    again = measure(tmp_path, repetitions=2, **sweep)

    result = limit_records(tally)
    assert [TrialKind.PROOF] == [r.identity.kind for r in tally.stored if r.identity.kind not in TIMED]
    assert 7 * [Outcome.OK] == [record.outcome for record in tally.stored]
    assert {"matmul_256": 2 * 256**3, "launch": None} == {r.work["name"]: r.work["flops"] for r in result if r.work}
    assert {(None, None, None)} == {(r.graph, r.certificate, r.layers) for r in result}
    assert all(r.measurement and r.measurement["result_error"] < 1e-5 for r in result)
    assert 4 == len(result)
    assert [] == again.stored


def test_a_record_of_a_limit_holds_to_the_schema(tmp_path: Path):
    (record,) = measure(tmp_path, models=(), microbenchmarks=("disk_read",), timing=SHORT).stored
    if record.reason and "is in memory" in record.reason:
        pytest.skip(record.reason)

    assert (Outcome.OK, None) == (record.outcome, record.reason)
    assert record.measurement is not None
    assert record.measurement["facts"]["filesystem"]
    jsonschema.validate(json.loads(json.dumps(record.plain())), SCHEMA)
    assert {"cache", "lock", "oracle", "records", "salt"} >= {path.name for path in (tmp_path / "results").iterdir()}


@pytest.mark.parametrize(
    "changed",
    [
        replace(LIMIT, repetition=1),
        replace(LIMIT, case=replace(LIMIT.case, model="matmul_512")),
        replace(LIMIT, case=replace(LIMIT.case, precision=Precision.FP64)),
        replace(LIMIT, case=replace(LIMIT.case, threads=2)),
        replace(LIMIT, case=replace(LIMIT.case, steps_per_timing=2)),
        TIMING,
    ],
    ids=["repetition", "limit", "precision", "threads", "steps per timing", "network"],
)
def test_another_limit_has_another_id(tmp_path: Path, changed: Trial):
    assert identity(tmp_path, LIMIT) == identity(tmp_path, LIMIT) != identity(tmp_path, changed)


def test_an_upgraded_decoder_makes_another_trial(tmp_path: Path, own_build: Path):
    decode, launch = (replace(LIMIT, case=make_case(model=m, build="own")) for m in ("jpeg_decode", "launch"))
    before = [identity(tmp_path, trial, launcher=Here()) for trial in (decode, launch)]

    add_package(own_build, "pillow", "13.0.0")

    after = [identity(tmp_path, trial, launcher=Here()) for trial in (decode, launch)]
    assert (True, False) == (before[0] != after[0], before[1] != after[1])


def test_a_wrong_product_gives_no_number(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    lend_limits(monkeypatch, "sloppy", """
class Sloppy(Matmul):
    def error(self):
        self._product[0, 0] += 0.1
        return Matmul.error(self)

def prepare(name, settings):
    return Sloppy(name, settings)
""")

    tally = measure(tmp_path, models=(), microbenchmarks=("matmul_256",), frameworks=("sloppy",), repetitions=3)

    (record,) = limit_records(tally)
    assert_no_number(record, Outcome.PARITY_FAILED)
    assert record.reason is not None
    assert "the first result of matmul_256 is off by" in record.reason
    assert 2 == tally.not_started


def test_a_framework_without_limits_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    lend_framework(monkeypatch, "plain", "")

    (record,) = measure(tmp_path, models=(), microbenchmarks=("matmul_256",), frameworks=("plain",)).stored

    assert Outcome.UNSUPPORTED is record.outcome
    assert "there are no micro-benchmarks for plain; there are some for: jax, numpy, tensorflow, torch" == record.reason


def test_the_processes_of_an_all_reduce_end_with_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    pytest.importorskip("torch.distributed")
    token = uuid.uuid4().hex
    monkeypatch.setenv(TOKEN, token)

    (record,) = measure(tmp_path, models=(), microbenchmarks=("all_reduce_2",), frameworks=("torch",)).stored

    assert (Outcome.OK, None) == (record.outcome, record.reason)
    assert record.measurement is not None
    assert 0.0 == record.measurement["result_error"]
    assert record.measurement["other_cpu_time_s"] is None       # its ranks are no strangers
    assert [] == alive(token)
