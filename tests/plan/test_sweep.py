"""A sweep declares cases: every combination once, and a wrong word is answered with the right one."""

from __future__ import annotations

import re
from itertools import product
from typing import Any

import pytest

from rigmark.bench import devices
from rigmark.bench.cli import _options as options
from rigmark.bench.enums import CompileMode, Implementation, Isa, Layout, Mode, Precision, Setting, TrialKind
from rigmark.bench.errors import UnknownName, UserError
from rigmark.bench.plan.axes import SWEPT
from rigmark.bench.plan.case import Case
from rigmark.bench.plan.sweep import Sweep
from rigmark.bench.worker import frameworks


def cases(**axes: Any) -> list[Case]:
    return list(Sweep(**{"models": ("mlp",), "frameworks": ("torch",), **axes}).cases(cores=2))


def of_operations(*names: str, **axes: Any) -> list[Case]:
    return cases(models=(), microbenchmarks=names, **axes)


def test_the_cases_are_the_product_of_the_axes_in_declared_order():
    result = cases(
        models=("mlp", "resnet18"), frameworks=("numpy", "torch"), modes=(Mode.INFERENCE,), local_batches=(1, 8),
        threads=(1, 2),
    )

    assert [(c.model, c.framework, c.local_batch, c.threads) for c in result] == list(
        product(("mlp", "resnet18"), ("numpy", "torch"), (1, 8), (1, 2))
    )


def test_a_sweep_without_threads_uses_every_core():
    assert {case.threads for case in cases()} == {2}


def test_losses_and_optimizers_are_of_training_alone():
    swept = cases(losses=("own", "mean_squared_error"), optimizers=("own", "adamw:weight_decay=0.1"))

    assert [(c.mode, c.loss_asked, c.optimizer_asked) for c in swept] == [
        (Mode.INFERENCE, "own", "own"),
        *((Mode.TRAINING, *each) for each in product(
            ("own", "mean_squared_error"), ("own", "adamw:weight_decay=0.1"))),
    ]
    with pytest.raises(UserError, match="no optimizer 'lion'"):
        cases(optimizers=("lion",))
    with pytest.raises(UnknownName, match="no loss 'mean_squared'; did you mean 'mean_squared_error'"):
        cases(losses=("mean_squared",))


@pytest.mark.parametrize("name", frameworks.NAMES)
@pytest.mark.parametrize("mode", Mode)
def test_best_and_default_are_what_the_adapter_says(name: str, mode: Mode):
    adapter = frameworks.load(name)

    best, = cases(frameworks=(name,), modes=(mode,))
    default, = cases(frameworks=(name,), modes=(mode,), compile_modes=(Setting.DEFAULT,), layouts=(Setting.DEFAULT,))

    assert (best.compile_mode, best.layout) == adapter.BEST.get(mode, adapter.BEST[Mode.INFERENCE])
    assert (default.compile_mode, default.layout) == (adapter.COMPILE_MODES[0], adapter.LAYOUTS[0])


def test_a_setting_named_twice_is_one_case():
    best, = cases(modes=(Mode.TRAINING,))

    again = cases(modes=(Mode.TRAINING,), compile_modes=(Setting.BEST, best.compile_mode),
                  layouts=(Setting.BEST, best.layout))

    assert again == [best]


@pytest.mark.parametrize(("axis", "wrong", "sentence"), [
    ("precisions", ("bf16",), "'bf16' in precisions of a sweep is not of type Precision; known: .*, Precision.BF16, "),
    ("modes", ("training",), "'training' in modes of a sweep is not of type Mode; known: Mode.INFERENCE, Mode"),
    ("layouts", ("best",), "'best' in layouts of a sweep is not of type Setting or Layout; known: Setting.BEST, "),
    ("isas", (Isa.AVX2, "native"), "'native' in isas of a sweep is not of type Isa; known: Isa.SSE41"),
    ("local_batches", ("8",), "'8' in local_batches of a sweep is not of type int"),
    ("threads", (True,), "True in threads of a sweep is not of type int"),
    ("models", "mlp", r"models of a sweep are a tuple; write models=\('mlp',\)"),
    ("precisions", Precision.BF16, r"write precisions=\(Precision.BF16,\)"),
    ("models", ["mlp", "lstm"], r"write models=\('mlp', 'lstm',\)"),
])
def test_what_is_not_of_the_type_of_its_axis_is_refused_where_it_is_declared(axis: str, wrong: Any, sentence: str):
    with pytest.raises(UserError, match=sentence):
        Sweep(**{"models": ("mlp",), "frameworks": ("torch",), axis: wrong})


def test_a_plain_case_is_text_and_whole_numbers():
    plain = cases()[0].plain()

    assert {type(value) for value in plain.values()} <= {str, int, bool}
    assert Case(**{**plain, "device": devices.parsed(plain["device"])}) == cases()[0]


def test_a_limit_has_no_mode_no_batch_and_no_data():
    launch, convolution = of_operations(
        "launch", "conv2d_wide", local_batches=(1, 99), data=("synthetic", "digits"),
        precisions=(Precision.BF16,),
    )

    assert (launch.is_limit, launch.mode, launch.local_batch, launch.data) == (True, "inference", 1, "synthetic")
    assert (convolution.local_batch, convolution.precision) == (8, "bf16")      # images of one execution
    assert not cases()[0].is_limit


def test_a_short_limit_is_executed_often_between_two_clock_reads():
    steps = {case.model: case.steps_per_timing for case in of_operations("launch", "copy_32KiB", "matmul_1024")}
    more, = of_operations("matmul_1024", steps_per_timing=7)

    assert steps["launch"] > steps["copy_32KiB"] > steps["matmul_1024"] == 1
    assert more.steps_per_timing == 7


def test_operations_and_networks_of_one_sweep_are_each_expanded_by_their_own_axes():
    modes = (Mode.INFERENCE, Mode.TRAINING)
    declared = cases(models=("mlp",), microbenchmarks=("launch",), modes=modes, local_batches=(1, 2))

    assert [(case.timed_as, case.model) for case in declared] == [
        *4 * [(TrialKind.TIMING, "mlp")], (TrialKind.LIMIT, "launch"),
    ]


@pytest.mark.parametrize(("axis", "name", "sentence"), [
    ("models", "matmul_1024", "'matmul_1024' is no model but a micro-benchmark; name it with --microbenchmark"),
    ("frameworks", "mlp", "'mlp' is no framework but a model; name it with --model"),
])
def test_a_name_of_another_axis_is_answered_with_that_axis(axis: str, name: str, sentence: str):
    with pytest.raises(UserError, match=sentence):
        cases(**{axis: (name,)})


def test_an_empty_sweep_is_refused():
    with pytest.raises(UserError, match="a sweep needs models or microbenchmarks"):
        cases(models=())


@pytest.mark.parametrize(
    ("axis", "wrong", "sentence"),
    [
        ("models", "resnet81", "no model 'resnet81'; did you mean 'resnet18'"),
        ("microbenchmarks", "matmul_1023", "no micro-benchmark 'matmul_1023'; did you mean 'matmul_1024'"),
        ("frameworks", "pytroch", "no framework 'pytroch'; did you mean 'torch'"),
        ("data", "digit", "no data 'digit'; did you mean 'digits'"),
        ("compile_modes", "compile", "no compile mode 'compile'; did you mean 'compiled'"),
        ("layouts", "nhcw", "no layout 'nhcw'; did you mean 'nchw'"),
        ("precisions", "f32", "no precision 'f32'; did you mean '"),
        ("modes", "train", "no mode 'train'; did you mean 'training'"),
        ("isas", "avx", "no instruction set 'avx'; did you mean 'avx2'"),
    ],
)
def test_an_unknown_word_is_answered_with_the_nearest_one(axis: str, wrong: str, sentence: str):
    with pytest.raises(UnknownName, match=sentence):
        cases(**{axis: options.values(SWEPT[axis], wrong)})


def test_a_word_that_is_near_none_is_answered_with_all():
    with pytest.raises(UnknownName, match="no mode 'xyz'; known: decode, inference, training"):
        options.values(SWEPT["modes"], "xyz")


@pytest.mark.parametrize(
    ("axis", "value", "sentence"),
    [
        ("local_batches", (8, 0), "batch must be at least 1, not 0"),
        ("threads", (-1,), "threads must be at least 1, not -1"),
        ("repetitions", 0, "repetitions must be at least 1, not 0"),
        ("steps_per_timing", 0, "steps per timing must be at least 1, not 0"),
    ],
)
def test_a_count_below_one_is_refused(axis: str, value: Any, sentence: str):
    with pytest.raises(UserError, match=sentence):
        cases(**{axis: value})


def test_a_label_says_what_tells_cases_apart():
    declared = cases(
        modes=(Mode.TRAINING,), compile_modes=(CompileMode.EAGER,), layouts=(Layout.NCHW,), local_batches=(8,),
    )

    label = declared[0].label

    assert label == "mlp training, torch eager nchw fp32, cpu, batch 8"


def test_a_label_names_an_instruction_set_only_where_one_was_asked_for():
    native, held = cases(modes=(Mode.TRAINING,), isas=(Isa.NATIVE, Isa.SSE41))

    assert "native" not in native.label
    assert held.label == native.label.replace(", batch", ", limited to sse41, batch")


def test_a_label_of_a_limit_says_its_threads():
    label = of_operations("matmul_1024", frameworks=("numpy",))[0].label

    assert label == "matmul_1024, numpy eager nchw fp32, cpu, 2 threads"


# Worlds --------------------------------------------------------------------------------------------------------------


def sizes(**axes: Any) -> list[tuple[int, int, str, int]]:
    """(devices, local batch, strategy, threads of each) of a training sweep on four cores."""
    sweep = Sweep(**{"models": ("mlp",), "frameworks": ("torch",), "modes": (Mode.TRAINING,), **axes})
    return [(c.world_size, c.local_batch, c.strategy, c.threads) for c in sweep.cases(cores=4)]


def test_equal_local_batches_are_weak_scaling_and_equal_global_batches_strong():
    assert [(1, 8, "single", 2), (2, 8, "ddp", 2)] == sizes(world_sizes=(1, 2), local_batches=(8,))
    assert [(1, 8, "single", 2), (2, 4, "ddp", 2)] == sizes(world_sizes=(1, 2), local_batches=(), global_batches=(8,))


def test_both_kinds_of_scaling_share_the_single_device():
    assert [(1, 8, "single", 2), (2, 8, "ddp", 2), (2, 4, "ddp", 2)] == sizes(
        world_sizes=(1, 2), local_batches=(8,), global_batches=(8,)
    )


def test_a_device_has_as_many_threads_alone_as_among_others():
    assert {1} == {threads for *_, threads in sizes(world_sizes=(1, 2, 4))}


def test_a_mode_without_a_strategy_is_left_out_and_replicas_answer_requests():
    both = sizes(world_sizes=(1, 2), modes=(Mode.INFERENCE, Mode.TRAINING))
    named = sizes(world_sizes=(1, 2), modes=(Mode.INFERENCE, Mode.TRAINING), strategies=("ddp",))

    assert ["single", "replicas", "single", "ddp"] == [strategy for _, _, strategy, _ in both]
    assert ["single", "ddp"] == [strategy for _, _, strategy, _ in named]


def test_what_is_asked_of_gradients_is_part_of_the_strategies_that_sum_them():
    asked = Sweep(
        models=("mlp",), frameworks=("torch",), world_sizes=(1, 2), buckets_mb=(None, 5),
        gradient_compressions=("fp16",),
    )

    assert {
        ("inference", "single"), ("inference", "replicas"), ("training", "single"),
        ("training", "ddp gradient_compression=fp16"), ("training", "ddp bucket_mb=5 gradient_compression=fp16"),
    } == {(case.mode, case.strategy) for case in asked.cases(cores=2)}


def test_strategies_go_to_the_frameworks_that_have_them():
    result = cases(
        frameworks=("torch", "jax"), strategies=("ddp", "shard_map"), world_sizes=(2,), modes=(Mode.TRAINING,),
        threads=(1,),
    )

    assert [("torch", "ddp", 1), ("jax", "shard_map", 2)] == [
        (case.framework, case.strategy, case.devices_per_process) for case in result
    ]


@pytest.mark.parametrize(
    ("axes", "sentence"),
    [
        ({"world_sizes": (8,)}, "8 devices of 1 thread each need 8 cores, but 4 may be used; ask for fewer, or "
                                "allow threads to share cores with --oversubscribe"),
        ({"world_sizes": (4,), "threads": (2,)}, "4 devices of 2 threads each need 8 cores, but 4 may be used"),
        ({"world_sizes": (1,), "threads": (99,)}, "99 threads need 99 cores, but 4 may be used; ask for fewer"),
        ({"world_sizes": (2,), "global_batches": (3,)}, "a global batch of 3 cannot be divided equally among"),
        ({"world_sizes": (2,), "strategies": ("shard_map",)}, "torch has no strategy 'shard_map'; it has: ddp"),
        ({"world_sizes": (2,), "strategies": ("dpp",)}, "no strategy 'dpp'; did you mean 'ddp'?"),
        ({"world_sizes": (2,), "buckets_mb": (0.0,)}, "--bucket-mb must be above 0 MB"),
        ({"world_sizes": (2,), "gradient_compressions": ("fp8",)}, "no gradient compression 'fp8'"),
        ({"buckets_mb": (5.0,)}, "buckets and compression need gradients that devices share; add --world-size 2"),
        ({"world_sizes": (2,), "devices_per_process": 2}, "strategy 'ddp' has 1 of 2 devices in a process, not 2"),
        ({"world_sizes": (0,)}, "world size must be at least 1, not 0"),
        ({"local_batches": ()}, "a sweep needs a batch, local or global"),
    ],
)
def test_a_world_that_cannot_be_is_answered_in_a_sentence(axes: dict[str, Any], sentence: str):
    with pytest.raises(UserError, match=re.escape(sentence)):
        sizes(**axes)


def test_more_devices_than_cores_are_labelled_wherever_they_were_asked_for():
    few, many = (
        Sweep(models=("mlp",), frameworks=("torch",), modes=(Mode.TRAINING,), world_sizes=(size,), oversubscribe=True,
              threads=(1,)).cases(cores=4)
        for size in (4, 8)
    )

    assert [False] == [case.oversubscribed for case in few]
    (case,) = many
    assert case.oversubscribed
    assert case.label.endswith("batch 32 on each of 8 devices (ddp), oversubscribed")


@pytest.mark.parametrize(
    ("axis", "name", "device"),
    [("models", "mlp", "cpu"), ("microbenchmarks", "launch", "cpu"), ("models", "mlp", "cuda:0")],
)
def test_more_threads_than_cores_are_labelled_on_one_cpu_too(axis: str, name: str, device: str):
    sweep = Sweep(**{axis: (name,)}, frameworks=("numpy",), modes=(Mode.INFERENCE,), threads=(4, 8),
                  devices=(devices.parsed(device),), oversubscribe=True)

    assert [False, device == "cpu"] == [case.oversubscribed for case in sweep.cases(cores=4)]
    assert [False, device == "cpu"] == [case.label.endswith(", oversubscribed") for case in sweep.cases(cores=4)]


def test_lengths_of_text_are_axes_of_decoding_alone():
    sweep = Sweep(
        models=("gpt2",), frameworks=("torch",), modes=(Mode.INFERENCE, Mode.DECODE), prompt_lengths=(8, 16),
        generated_lengths=(4,),
    )

    assert [(Mode.INFERENCE, 0, 0), (Mode.DECODE, 8, 4), (Mode.DECODE, 16, 4)] == [
        (case.mode, case.prompt_length, case.generated_length) for case in sweep.cases(cores=2)
    ]
    inference = next(sweep.cases(cores=2))
    assert {"prompt_length", "generated_length"}.isdisjoint(inference.plain())       # as it was stored before


def test_text_is_generated_on_one_device():
    with pytest.raises(UserError, match="text is generated on one device so far; leave --world-size out"):
        list(Sweep(models=("gpt2",), frameworks=("torch",), modes=(Mode.DECODE,), world_sizes=(1, 2)).cases(cores=2))


def test_gradients_are_added_up_in_training_of_equal_parts_on_one_device():
    found = cases(accumulations=(1, 4), local_batches=(8,))

    assert [(Mode.INFERENCE, 1), (Mode.TRAINING, 1), (Mode.TRAINING, 4)] == [(c.mode, c.accumulate) for c in found]
    for axes, why in (
        ({"local_batches": (6,)}, "a batch of 6 cannot be divided into 4 equal parts"),
        ({"world_sizes": (2,), "threads": (1,)}, "gradients are added up on one device alone"),
        ({"data": ("digits",)}, "gradients are added up of synthetic data alone"),
    ):
        with pytest.raises(UserError, match=why):
            cases(**{"accumulations": (4,), "local_batches": (8,), **axes})


def test_what_the_user_wrote_runs_beside_what_is_made_of_it_where_a_framework_can():
    def found(**more: Any) -> list[tuple[str, str, str]]:
        sweep = Sweep(models=("net.py:make",), frameworks=("torch", "jax"), modes=(Mode.TRAINING,), **more)
        cases = sweep.cases(2, originals={"net.py:make": "a PyTorch module"})
        return [(case.framework, case.implementation, case.layout) for case in cases]

    both = [("torch", "lowered", "channels_last"), ("torch", "as_written", "nchw"), ("jax", "lowered", "nchw")]
    assert found()[:2] == both[:2]
    assert [each[:2] for each in found()] == [each[:2] for each in both]
    assert [each[1] for each in found(precisions=(Precision.FP16,))] == ["lowered", "as_written", "lowered"]
    assert {each[1] for each in found(implementations=(Implementation.LOWERED,))} == {"lowered"}
