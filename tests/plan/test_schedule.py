"""The order of trials: proofs first, then repetitions in which every case comes once."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from itertools import product

from hypothesis import given, settings
from hypothesis import strategies as st

from rigmark import suites
from rigmark.bench.analysis.statistics.decision import fewest_pairs
from rigmark.bench.enums import TIMED, Isa, Layout, Mode, Setting, StartMethod, TrialKind
from rigmark.bench.plan.case import Timing
from rigmark.bench.plan.schedule import PROOF_BATCH, Trial, plan, proof_case
from rigmark.bench.plan.sweep import Sweep

SWEEP = Sweep(
    models=("mlp", "resnet18"), frameworks=("numpy", "torch"), local_batches=(1, 8), steps_per_timing=5, repetitions=3,
)
LONG = Timing(min_time_s=9.0)

sweeps = st.lists(
    st.builds(
        Sweep,
        models=st.sampled_from([("mlp",), ("mlp", "resnet18")]),
        microbenchmarks=st.sampled_from([(), ("matmul_256",), ("launch", "matmul_256")]),
        frameworks=st.sampled_from([("torch",), ("numpy", "torch")]),
        local_batches=st.sampled_from([(1,), (1, 8), (32,)]),
        data=st.sampled_from([("synthetic",), ("synthetic", "digits")]),
        repetitions=st.integers(1, 4),
        timing=st.sampled_from([Timing(), LONG]),
    ),
    max_size=3,
)


def timings(trials: list[Trial]) -> list[Trial]:
    return [trial for trial in trials if trial.kind in TIMED]


@given(sweeps=sweeps, seed=st.integers(0, 99))
@settings(derandomize=True, max_examples=60)
def test_every_repetition_contains_each_case_once(sweeps: list[Sweep], seed: int):
    wanted: Counter[object] = Counter()
    for sweep in sweeps:
        for case in sweep.cases(cores=2):
            wanted[case] = max(wanted[case], sweep.repetitions)

    trials = timings(plan(sweeps, cores=2, seed=seed))

    assert Counter(trial.case for trial in trials) == wanted
    assert len({(trial.case, trial.repetition) for trial in trials}) == len(trials)
    assert [trial.repetition for trial in trials] == sorted(trial.repetition for trial in trials)
    assert all({t.repetition for t in trials if t.case == case} == set(range(n)) for case, n in wanted.items())


@given(sweeps=sweeps)
@settings(derandomize=True, max_examples=60)
def test_proofs_come_first_and_once_for_all_that_they_cover(sweeps: list[Sweep]):
    trials = plan(sweeps, cores=2, seed=1)
    are_proofs = [trial.kind == TrialKind.PROOF for trial in trials]
    proofs = [trial.case for trial in trials if trial.kind == TrialKind.PROOF]

    assert are_proofs == sorted(are_proofs, reverse=True)
    assert len(set(proofs)) == len(proofs)
    assert set(proofs) == {proof_case(trial.case, 2) for trial in trials if trial.kind == TrialKind.TIMING}


def test_a_proof_covers_every_batch_mode_and_thread_count():
    trials = plan([replace(SWEEP, threads=(1, 2))], cores=2, seed=1)
    proofs = [trial for trial in trials if trial.kind == TrialKind.PROOF]

    assert Counter((p.case.model, p.case.framework) for p in proofs) == dict.fromkeys(
        ((m, f) for m in SWEEP.models for f in SWEEP.frameworks), 1
    )
    assert {(p.case.mode, p.case.local_batch, p.case.threads, p.case.steps_per_timing, p.timing) for p in proofs} == {
        (Mode.TRAINING, PROOF_BATCH, 2, 1, None)
    }


def test_another_setting_or_other_data_needs_another_proof():
    sweep = replace(SWEEP, models=("mlp",), frameworks=("torch",), layouts=(Layout.NCHW, Layout.CHANNELS_LAST),
                    data=("synthetic", "digits"))

    proofs = [trial for trial in plan([sweep], cores=2, seed=1) if trial.kind == TrialKind.PROOF]

    assert len(proofs) == 4


def test_another_instruction_set_needs_another_proof():
    """Other kernels may compute another thing."""
    sweep = replace(SWEEP, models=("mlp",), frameworks=("torch",), isas=(Isa.NATIVE, Isa.AVX2))

    proofs = [trial.case.isa for trial in plan([sweep], cores=2, seed=1) if trial.kind == TrialKind.PROOF]

    assert proofs == ["native", "avx2"]


def test_the_order_depends_on_the_seed_alone():
    first, second = plan([SWEEP], cores=2, seed="1"), plan([SWEEP], cores=2, seed="1")
    other = plan([SWEEP], cores=2, seed="2")

    assert first == second
    assert first != other
    assert set(first) == set(other)


def test_more_repetitions_leave_the_first_ones_as_they_were():
    few, many = (timings(plan([replace(SWEEP, repetitions=n)], cores=2, seed=1)) for n in (2, 5))

    assert many[:len(few)] == few


def test_the_order_differs_between_repetitions():
    trials = timings(plan([SWEEP], cores=2, seed=1))

    orders = {tuple(t.case for t in trials if t.repetition == r) for r in range(SWEEP.repetitions)}

    assert len(orders) == SWEEP.repetitions


def test_a_case_in_two_sweeps_is_timed_as_the_first_says_and_as_often_as_any_says():
    trials = timings(plan([SWEEP, replace(SWEEP, timing=LONG, repetitions=5)], cores=2, seed=1))

    assert {trial.timing for trial in trials} == {SWEEP.timing}
    assert set(Counter(trial.case for trial in trials).values()) == {5}


def test_both_start_methods_of_a_case_may_be_measured_side_by_side():
    forked = replace(SWEEP, timing=Timing(start_method=StartMethod.FORKSERVER))

    trials = timings(plan([SWEEP, forked], cores=2, seed=1))

    methods = Counter(t.timing.start_method for t in trials if t.timing)
    assert methods == dict.fromkeys(StartMethod, len(trials) // 2)
    assert len(trials) == 2 * len(timings(plan([SWEEP], cores=2, seed=1)))


def test_limits_are_timed_among_the_networks_and_neither_proven_nor_taken_apart():
    sweep = replace(SWEEP, models=("mlp",), microbenchmarks=("matmul_1024", "launch"), layers=True)

    trials = plan([sweep], cores=2, seed=1)

    limits = [trial for trial in trials if trial.case.is_limit]
    assert {trial.kind for trial in limits} == {TrialKind.LIMIT}
    assert Counter((t.case.model, t.case.framework) for t in limits) == dict.fromkeys(
        ((m, f) for m in ("matmul_1024", "launch") for f in SWEEP.frameworks), SWEEP.repetitions
    )
    of_first = [trial.kind for trial in timings(trials) if trial.repetition == 0]
    assert of_first != sorted(of_first)
    assert of_first != sorted(of_first, reverse=True)


def test_layer_trials_come_last_and_once_for_each_case_that_wants_them():
    trials = plan([replace(SWEEP, models=("mlp",), layers=True), SWEEP], cores=2, seed=1)
    kinds = [trial.kind for trial in trials]
    cases = [trial.case for trial in trials if trial.kind == TrialKind.LAYERS]

    assert kinds == sorted(kinds, key=[TrialKind.PROOF, TrialKind.TIMING, TrialKind.LAYERS].index)
    assert cases == list(replace(SWEEP, models=("mlp",)).cases(cores=2))


def test_a_plan_of_no_sweeps_has_no_trials():
    assert plan([], cores=2, seed=1) == []


def test_labels_tell_trials_apart():
    microbenchmarks = ("conv2d_1x1", "launch")
    trials = plan([replace(SWEEP, microbenchmarks=microbenchmarks, layouts=(Setting.DEFAULT,))], cores=2, seed=1)

    assert len({trial.label for trial in trials}) == len(trials)


def test_the_suite_of_make_bench_can_give_verdicts_and_times_the_layers_of_a_network_in_every_framework():
    trials = plan(suites.sweeps("quick"), cores=2, seed=1)
    repetitions = Counter(trial.case for trial in timings(trials))
    profiled = {(trial.case.framework, trial.case.mode) for trial in trials if trial.kind == TrialKind.LAYERS}
    compared = Counter((case.model, case.mode) for case in repetitions)


    assert {fewest_pairs(1, len(compared))} == set(repetitions.values())      # two frameworks meet in so many cases
    assert {"mnist_cnn", "resnet18", "lstm"} == {model for model, _ in compared}
    assert {3} == set(compared.values())
    assert set(product(("torch", "tensorflow", "jax"), (Mode.INFERENCE, Mode.TRAINING))) == profiled
