"""Base against new: who gets more pairs, when it ends, and that nothing measured is lost."""

from __future__ import annotations

import json
import random
import shutil
import signal
import sys
import uuid
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from rigmark.bench.ab import contest as ab
from rigmark.bench.ab.contest import Contest, Side
from rigmark.bench.analysis.comparison.pairs import log_speed_up
from rigmark.bench.analysis.comparison.verdicts import Verdicts
from rigmark.bench.analysis.results import startup
from rigmark.bench.analysis.statistics.decision import LOOKS, Verdict
from rigmark.bench.builds import build as builds
from rigmark.bench.builds import revisions
from rigmark.bench.builds.build import Build
from rigmark.bench.enums import Clock, Mode, Outcome, TrialKind
from rigmark.bench.errors import UserError
from rigmark.bench.plan.schedule import Trial
from rigmark.bench.plan.sweep import Sweep
from rigmark.bench.runner.progress import TerminalProgress
from rigmark.bench.runner.tally import Silent, Tally
from rigmark.bench.store.record import Record
from rigmark.bench.store.store import Store
from tests.builds.test_revisions import commit, git, make_project
from tests.fakes import SHORT, TOKEN, alive, eventually, lend_framework, oracle_answers, rigmark, start_rigmark
from tests.records import as_pair, as_stored, make_record, pair
from tests.store.test_record import complaints

ROOT = Path(__file__).parents[2]
HERE = Side(name="stable", build=Build(name="default", interpreter=sys.executable))
SMALL = ("--model", "mlp", "--framework", "numpy", "--mode", "training", "--batch", "2", "--threads", "1")
Ratio = Callable[[Trial], float]


def contest(
    store: Store, *, base: Side = HERE, new: Side = HERE, budget_s: float = 600.0, deadline_s: float = 60.0,
    clock: Clock = Clock.WALL, **axes: Any,
) -> Contest:
    sweep = Sweep(**{
        "models": ("mlp",), "frameworks": ("numpy",), "modes": (Mode.INFERENCE,), "local_batches": (2,),
        "threads": (1,), "timing": SHORT, **axes,
    })
    return Contest(
        store, base, new, [sweep], suite="test", command="rigmark ab", session="1", budget_s=budget_s, clock=clock,
        deadline_s=deadline_s,
    )


class Machine:
    """Measures pairs as it is told: each costs 10 s of its clock, and new takes ``ratio`` times as long as base."""

    store: Store

    def __init__(self, ratio: Ratio, outcomes: Sequence[Outcome] = ()):
        self.now_s = 0.0
        self.measured: list[Trial] = []
        self._ratio, self._outcomes = ratio, list(outcomes)

    def key(self, trial: Trial) -> str:
        return make_record(TrialKind.PAIR, case=trial.case, repetition=trial.repetition).key

    def run(self, trials: Sequence[Trial], progress: object) -> Tally:
        (trial,) = trials
        self.measured.append(trial)
        self.now_s += 10.0
        outcome = self._outcomes.pop(0) if self._outcomes else Outcome.OK
        record: Record = make_record(
            TrialKind.PAIR, outcome, case=trial.case, repetition=trial.repetition, wall_time_s=10.0,
            **({"pair": pair([0.01] * 10, [0.01 * self._ratio(trial)] * 10)} if outcome is Outcome.OK else {}),
        )
        self.store.put(record)
        return Tally(stored=[record])

    def pairs_of(self, batch: int) -> int:
        return sum(trial.case.local_batch == batch for trial in self.measured)

    def judge(self, store: Store, budget_s: float = 3600.0, batches: tuple[int, ...] = (2,)) -> Verdicts:
        self.store = store
        contested = contest(store, budget_s=budget_s, local_batches=batches)
        contested._measure(self, Silent(), budget_s, lambda: self.now_s)   # type: ignore[arg-type]
        return contested.verdicts()


@pytest.fixture
def store(tmp_path: Path) -> Store:
    shutil.copytree(oracle_answers(), tmp_path / "results" / "oracle")
    return Store(tmp_path / "results").create()


def noisy(spread: float, centre: float = 1.0, seed: int = 1) -> Ratio:
    coin = random.Random(seed)
    return lambda trial: centre * (1 + spread * coin.uniform(-1, 1))


# When it ends --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("centre", "verdict"), [(1.0, Verdict.SAME), (1.05, Verdict.SLOWER), (0.95, Verdict.FASTER)]
)
def test_a_clear_case_ends_at_the_first_look(store: Store, centre: float, verdict: Verdict):
    machine = Machine(noisy(0.003, centre))

    (case,) = machine.judge(store).cases

    assert verdict is case.verdict
    assert LOOKS[0] == len(machine.measured)
    assert list(range(LOOKS[0])) == [trial.repetition for trial in machine.measured]


def test_only_cases_that_are_still_open_get_more_pairs(store: Store):
    quiet, loud = noisy(0.003), noisy(0.06)
    machine = Machine(lambda trial: quiet(trial) if trial.case.local_batch == 2 else loud(trial))

    clear, _ = machine.judge(store, batches=(2, 4)).cases

    assert Verdict.SAME is clear.verdict
    assert LOOKS[0] == machine.pairs_of(2) < machine.pairs_of(4)


def test_cases_take_turns_in_an_order_that_no_case_can_foresee(store: Store):
    machine = Machine(noisy(0.003))
    machine.judge(store, batches=(2, 4))

    rounds = [machine.measured[i:i + 2] for i in range(0, len(machine.measured), 2)]
    assert all({2, 4} == {trial.case.local_batch for trial in each} for each in rounds)
    assert {2, 4} == {each[0].case.local_batch for each in rounds}


def test_no_pair_is_started_that_would_end_beyond_the_budget(store: Store):
    machine = Machine(noisy(0.05))

    (case,) = machine.judge(store, budget_s=65.0).cases

    assert 60.0 == machine.now_s
    assert Verdict.INCONCLUSIVE is case.verdict


def test_what_the_budget_cannot_tell_is_given_up_early_with_what_could_be_seen(store: Store):
    machine = Machine(noisy(0.5))

    (case,) = machine.judge(store, budget_s=400.0).cases

    assert len(machine.measured) < 40
    assert Verdict.TOO_NOISY is case.verdict
    assert case.decision is not None
    assert case.decision.visible is not None
    assert case.decision.visible > 0.1


def test_an_open_case_says_how_many_more_pairs_it_needs_and_how_long_they_take(store: Store):
    (case,) = Machine(noisy(0.01)).judge(store, budget_s=95.0).cases

    assert Verdict.INCONCLUSIVE is case.verdict
    assert case.decision is not None
    assert case.decision.about_more_pairs is not None
    assert 10.0 * case.decision.about_more_pairs == case.about_more_s


# Failures ------------------------------------------------------------------------------------------------------------


def test_a_hopeless_failure_is_met_once_and_is_no_verdict(store: Store):
    machine = Machine(noisy(0.003), [Outcome.OUT_OF_MEMORY])

    verdicts = machine.judge(store)

    assert 1 == len(machine.measured)
    assert (None, True) == (verdicts.cases[0].verdict, verdicts.has_failed)
    assert "out_of_memory: it was out_of_memory" == verdicts.cases[0].reason


def test_a_crash_costs_its_pair_only_and_stays_visible(store: Store):
    machine = Machine(noisy(0.003), [Outcome.OK, Outcome.CRASHED])

    verdicts = machine.judge(store)

    assert Verdict.SAME is verdicts.cases[0].verdict
    assert LOOKS[0] + 1 == len(machine.measured)
    assert verdicts.has_failed
    assert "1 of 13 pairs failed, crashed: it was crashed" in verdicts.cases[0].doubts


def test_a_case_that_crashes_again_and_again_is_given_up(store: Store):
    machine = Machine(noisy(0.003), [Outcome.CRASHED] * 64)

    machine.judge(store)

    assert ab.FAILURES_AT_MOST == len(machine.measured)


def test_a_side_that_could_not_be_made_is_build_broken_with_its_last_words(store: Store):
    broken = replace(HERE, name="HEAD", problem="build 'tiny@0' could not be created; its last words:\n    no compiler")

    verdicts = contest(store, new=broken).run(TerminalProgress())

    assert verdicts.has_failed
    assert str(verdicts.cases[0].reason).startswith("build_broken: new: ")
    assert "no compiler" in str(verdicts.cases[0].reason)


@pytest.mark.parametrize("side", ["base", "new"])
def test_a_build_that_lacks_the_framework_is_the_outcome_of_its_side(store: Store, side: str):
    gone = Side(name="gone", build=Build(name="gone", interpreter="/nowhere/python"))

    verdicts = contest(store, **{side: gone}).run(TerminalProgress())   # type: ignore[arg-type]

    assert verdicts.has_failed
    assert str(verdicts.cases[0].reason).startswith("build_broken: ")
    assert "/nowhere/python" in str(verdicts.cases[0].reason)


def test_cpu_time_is_refused_for_more_threads_than_one(store: Store):
    with pytest.raises(UserError, match="one thread"):
        contest(store, clock=Clock.CPU, threads=(2,))


def test_a_cpu_clock_that_sees_nothing_costs_no_verdict_by_wall_time(store: Store):
    def judged(clock: Clock) -> Verdicts:
        contested = contest(store, clock=clock)
        contested.attempts[0].records = [
            as_stored(make_record(
                TrialKind.PAIR, repetition=n, pair=pair([0.01] * 10, [0.0105] * 10, cpu_share=0.0)
            )) for n in range(12)
        ]
        return contested.verdicts()

    by_wall, by_cpu = (judged(clock).cases[0] for clock in (Clock.WALL, Clock.CPU))

    assert by_wall.verdict is Verdict.SLOWER
    assert (by_cpu.verdict, by_cpu.has_failed) == (None, True)
    assert "leave --clock cpu out" in str(by_cpu.reason)


def test_a_suite_of_limits_has_nothing_to_pair(store: Store):
    with pytest.raises(UserError, match="has only micro-benchmarks"):
        contest(store, models=(), microbenchmarks=("matmul_1024",))


TWICE = """

prepare_once = prepare


def prepare(graph, weights, settings):
    prepared = prepare_once(graph, weights, settings)
    step = prepared.step

    def twice():
        step()
        prepared._steps -= 1         # on the same batch, whose answer is held to the oracle
        step()

    prepared.step = twice
    return prepared
"""


# Real pairs ----------------------------------------------------------------------------------------------------------


def measured_pairs(store: Store) -> list[dict[str, Any]]:
    records = [json.loads(path.read_text()) for path in (store.root / "records").glob("*.json")]
    return [record for record in records if record["identity"]["kind"] == "pair"]


@pytest.mark.parametrize("framework", ["numpy", "torch"])
def test_a_real_pair_is_proven_on_both_sides_and_waits_passively(store: Store, framework: str):
    contest(store, frameworks=(framework,), budget_s=0.1).run(TerminalProgress())

    measured = measured_pairs(store)
    assert measured
    for record in measured:
        assert ("ok", None) == (record["outcome"], record["reason"])
        assert [] == complaints(record)
        assert "PASSIVE" == record["identity"]["build"]["variables"]["OMP_WAIT_POLICY"]
        assert record["identity"]["base"]["variables"] == record["identity"]["build"]["variables"]
        for side in ("base", "new"):
            told = record["pair"][side]
            assert "ok" == store.get(told["certificate"]).outcome
            assert told["first_loss"] == pytest.approx(told["expected_loss"], rel=1e-5)
            assert max(told["idle_cpu_times_s"][1:]) < 0.05


def test_a_revision_of_rigmark_is_measured_with_its_own_adapters(store: Store, tmp_path: Path):
    """Its own working tree is a project like any other; what is committed there does each step twice."""
    project = tmp_path / "rigmark"
    shutil.copytree(ROOT / "bench" / "worker", project / "bench" / "worker")
    (project / "pyproject.toml").write_text('[project]\nname = "rigmark"\n')
    git(project, "init", "--quiet")
    commit(project)
    with open(project / "bench/worker/frameworks/numpy/adapter.py", "a", encoding="utf-8") as adapter:
        adapter.write(TWICE)
    commit(project)
    base, new = (side_of(revision, project) for revision in ("HEAD~1", "HEAD"))

    contest(store, base=base, new=new, budget_s=0.1).run(TerminalProgress())

    (record,) = measured_pairs(store)
    assert record["identity"]["base"]["adapter"] != record["identity"]["build"]["adapter"]
    assert base.build.name == record["identity"]["base"]["name"]
    assert new.build.name == record["identity"]["case"]["build"] == f"rigmark@{git(project, 'rev-parse', 'HEAD')[:12]}"
    assert -0.9 < log_speed_up(as_pair(record["pair"]), Clock.CPU) < -0.5      # ln(1/2)


def test_pairs_are_no_timing_trials(store: Store):
    contest(store, budget_s=0.1).run(TerminalProgress())

    kinds = set(store.trials().table.kind)
    assert {"proof", "pair"} == kinds


def test_a_worker_that_computes_another_thing_has_no_pair(store: Store, monkeypatch: pytest.MonkeyPatch):
    lend_framework(monkeypatch, "numpy_wrong", """
from .numpy import adapter as honest

def prepare(graph, weights, settings):
    prepared = honest.prepare(graph, weights, settings)
    forward, step = prepared.forward, prepared.step
    prepared.forward = lambda x: 1.01 * forward(x)
    return prepared
""")

    verdicts = contest(store, frameworks=("numpy_wrong",), budget_s=5.0).run(TerminalProgress())

    assert verdicts.cases[0].verdict is None
    assert "parity_failed" in str(verdicts.cases[0].reason)


def test_a_worker_that_hangs_in_its_turn_is_a_timeout_and_leaves_no_process(
    store: Store, monkeypatch: pytest.MonkeyPatch
):
    token = uuid.uuid4().hex
    monkeypatch.setenv(TOKEN, token)
    lend_framework(monkeypatch, "numpy_stuck", """
import time
from .numpy import adapter as honest

def prepare(graph, weights, settings):
    prepared = honest.prepare(graph, weights, settings)
    step, count = prepared.step, []

    def stuck():
        count.append(1)
        if len(count) > 30:
            time.sleep(100)
        step()

    prepared.step = stuck
    return prepared
""")

    verdicts = contest(store, frameworks=("numpy_stuck",), budget_s=12.0, deadline_s=6.0).run(TerminalProgress())

    assert "no answer within 6 s; killed after 'steady'" in str(verdicts.cases[0].reason)
    assert not alive(token)


def test_an_interrupted_command_goes_on_where_it_was(tmp_path: Path):
    shutil.copytree(oracle_answers(), tmp_path / "results" / "oracle")
    command = ("ab", "fast", *SMALL, "--base", "default", "--new", "default", "--budget", "15s", "--json")

    def pairs_there() -> dict[str, bytes]:
        return {
            path.name: content for path in tmp_path.glob("results/records/*.json")
            if b'"kind": "pair"' in (content := path.read_bytes())
        }

    with start_rigmark(*command, cwd=tmp_path) as first:
        assert eventually(lambda: len(pairs_there()) >= 1, within_s=30.0)
        first.send_signal(signal.SIGINT)
        _, errors = first.communicate(timeout=30)
    finished = pairs_there()

    assert 130 == first.returncode
    assert "rigmark: interrupted; finished pairs are stored; the same command continues from there\n" == errors

    (proof,) = (path for path in tmp_path.glob("results/records/*.json") if path.name not in finished)
    proof.write_text(proof.read_text().replace('"gradient_error": ', '"gradient_error": 1'))

    again = rigmark(*command, cwd=tmp_path)

    assert again.returncode in (0, 4), again.stderr
    assert f"rigmark: record results/records/{proof.name} was left out: a value in it was edited" in again.stderr
    assert "does not fit; it was measured again\n" in again.stderr
    assert finished.items() <= pairs_there().items()
    assert len(pairs_there()) > len(finished)
    (case,) = json.loads(again.stdout)["cases"]
    assert case["pairs"] == len(pairs_there()) or case["pairs"] in LOOKS


def test_stored_results_as_the_base_are_not_paired_and_it_is_stated(tmp_path: Path):
    shutil.copytree(oracle_answers(), tmp_path / "results" / "oracle")
    sweep = (*SMALL, "--repetitions", "2", "--min-time", "0.01")
    assert 0 == rigmark("run", *sweep, "--results", "old", cwd=tmp_path).returncode

    done = rigmark(
        "ab", "fast", *SMALL, "--base", "old", "--new", "default", "--budget", "3s", "--format", "markdown",
        cwd=tmp_path,
    )

    assert done.returncode in (2, 4), done.stderr
    assert "nothing is paired" in done.stdout


# What a word stands for ----------------------------------------------------------------------------------------------


def side_of(word: str, folder: Path, **known: Build) -> Any:
    side, _ = ab.sides(
        (word, "build:default"), {**builds.load(folder), **known}, folder=folder, beneath=HERE.build, packages=(),
        sweeps=(), suite="fast", tell=lambda line: None,
    )
    return side


def test_a_side_is_named_by_its_build_or_results_folder(tmp_path: Path, store: Store):
    assert "default" == side_of("default", tmp_path).build.name
    assert store.root == side_of("results", tmp_path).root


def test_a_side_that_does_not_exist_is_answered_with_the_nearest_name(tmp_path: Path):
    with pytest.raises(UserError, match="no build, results folder or git revision 'defualt'; did you mean 'default'"):
        side_of("defualt", tmp_path)


def test_a_side_whose_name_is_ambiguous_is_not_guessed(tmp_path: Path, store: Store):
    known = {"results": HERE.build}

    with pytest.raises(UserError, match="'results' is a build and a results; write build:results or results:results"):
        side_of("results", tmp_path, **known)
    assert HERE.build is side_of("build:results", tmp_path, **known).build


def test_a_budget_is_a_time(tmp_path: Path):
    refused = rigmark("ab", "fast", *SMALL, "--base", "default", "--new", "default", "--budget", "soon", cwd=tmp_path)

    assert 2 == refused.returncode
    assert "rigmark: --budget takes a time such as 90s, 10m or 1h, not 'soon'\n" == refused.stderr


def test_a_revision_that_does_not_build_ends_the_command_with_its_last_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    project = make_project(tmp_path, monkeypatch)
    arguments = ("ab", "fast", *SMALL, "--base", "default", "--new", "HEAD~1", "--budget", "1s")

    done = rigmark(*arguments, "--json", cwd=project)

    (case,) = json.loads(done.stdout)["cases"]
    assert (2, None) == (done.returncode, case["verdict"])
    assert case["reason"].startswith("build_broken: new: build 'tiny@")
    assert "no compiler today" in case["reason"]


def test_commits_that_cannot_change_what_is_measured_are_not_called_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    project = make_project(tmp_path, monkeypatch)

    done = rigmark("ab", "fast", *SMALL, "--base", "HEAD~2", "--new", "HEAD", "--budget", "1s", cwd=project)

    assert 2 == done.returncode
    assert "nothing that suite fast measures depends on tiny, which is not used by numpy" in done.stderr
    assert "" == done.stdout
    assert 1 == done.stderr.count("checking out tiny@")          # the first tells that of both
    assert not (project / "results").exists()


def test_only_cases_that_a_project_can_change_are_compared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(revisions, "users", lambda build, imports: frozenset(imports) & {"jax"})
    made = Side(name="HEAD", build=Build(name="tiny@0123", interpreter="python"), is_installed=True)
    sweeps = [
        Sweep(models=("mlp",), frameworks=("numpy", "jax")), Sweep(models=("mlp",), frameworks=("numpy",))
    ]

    kept, notes = ab.depending(sweeps, (HERE, made), "fast")

    assert [("jax",)] == [sweep.frameworks for sweep in kept]
    assert ("tiny is not used by numpy, whose cases were left out: no commit of it can change them.",) == notes
    assert (tuple(sweeps), ()) == ab.depending(sweeps, (HERE, HERE), "fast")
    assert (tuple(sweeps), ()) == ab.depending(sweeps, (HERE, replace(made, problem="no compiler")), "fast")


# Causes and start-up -------------------------------------------------------------------------------------------------


class Profiler:
    """Times layers as it is told: each trial costs 2 s of the clock of a machine."""

    def __init__(self, machine: Machine, measured: list[Trial], outcome: Outcome = Outcome.OK):
        self._machine, self._measured, self._outcome = machine, measured, outcome

    def key(self, trial: Trial) -> str:
        return make_record(trial.kind, case=trial.case, repetition=trial.repetition).key

    def is_settled(self, trial: Trial) -> bool:
        return self.key(trial) in self._machine.store

    def run(self, trials: Sequence[Trial], progress: object) -> Tally:
        (trial,) = trials
        record = make_record(trial.kind, self._outcome, case=trial.case, repetition=trial.repetition)
        if self.is_settled(trial):
            return Tally(already_there=[as_stored(record)])
        self._measured.append(trial)
        self._machine.now_s += 2.0
        self._machine.store.put(record)
        return Tally(stored=[record])


def profiled(store: Store, ratio: float, *, more_s: float = 100.0, outcome: Outcome = Outcome.OK) -> list[Trial]:
    """The layer trials of a contest whose new side takes ``ratio`` times as long."""
    machine, measured = Machine(noisy(0.003, ratio)), list[Trial]()
    machine.store = store
    contested = contest(store, new=Side(name="nightly", build=Build(name="nightly", interpreter=sys.executable)))
    contested._measure(machine, Silent(), 3600.0, lambda: machine.now_s)   # type: ignore[arg-type]
    runners = {side: Profiler(machine, measured, outcome) for side in ("base", "new")}
    until = machine.now_s + more_s
    contested._profile(runners, Silent(), until, lambda: machine.now_s)   # type: ignore[arg-type]
    return measured


def test_layers_of_both_sides_are_timed_in_pairs_where_a_case_became_slower(store: Store):
    trials = profiled(store, 1.1)

    pairs = [trials[i:i + 2] for i in range(0, len(trials), 2)]
    assert [*range(ab.PROFILES)] == [base.repetition for base, _ in pairs]
    assert all({"default", "nightly"} == {trial.case.build for trial in each} for each in pairs)
    assert {"default", "nightly"} == {each[0].case.build for each in pairs}      # the order is a coin's
    assert {TrialKind.LAYERS} == {trial.kind for trial in trials}


def test_what_is_the_same_has_no_layers_timed(store: Store):
    assert [] == profiled(store, 1.0)


def test_profiles_end_with_the_time_that_there_is_for_them(store: Store):
    assert 2 * 3 == len(profiled(store, 1.1, more_s=13.0))


def test_layers_that_cannot_be_timed_are_tried_once(store: Store):
    assert 2 == len(profiled(store, 1.1, outcome=Outcome.UNSUPPORTED))


def test_start_up_is_judged_without_cache_and_from_cache_and_its_phases_are_all_of_it(tmp_path: Path):
    shutil.copytree(oracle_answers(), tmp_path / "results" / "oracle")
    (tmp_path / "builds.toml").write_text(f'[build.other]\ninterpreter = "{sys.executable}"\n')

    ended = rigmark("ab", "fast", "--framework", "numpy", "--what", "start", "--base", "default", "--new", "other",
                    "--budget", "1s", "--json", cwd=tmp_path)

    assert 4 == ended.returncode, ended.stderr
    cases = [case["label"] for case in json.loads(ended.stdout)["cases"]]
    assert ["without cache", "from cache"] == [label.rpartition(", ")[2] for label in cases]
    (file,) = (tmp_path / "results" / "contests").iterdir()
    turns = [turn for pair in json.loads(file.read_text())["pairs"] for side in ("base", "new") for turn in pair[side]]
    assert turns
    for turn in turns:
        for label in cases:
            phases = turn["phases"][label.rpartition(", ")[2]]
            assert [*startup.PHASES] == [*phases]
            assert min(phases.values()) > 0
            assert sum(phases.values()) == pytest.approx(turn["numbers"][label], rel=0.02)
