"""A sweep declares cases: every combination once, and a wrong word is answered with the right one."""

from __future__ import annotations

from itertools import product
from typing import Any

import pytest

from bench import frameworks
from bench.spec import Case, Sweep
from bench.words import CompileMode, Layout, Mode, Precision, UnknownName, UserError


def cases(**axes: Any) -> list[Case]:
    return list(Sweep(**{"models": ("mlp",), "frameworks": ("torch",), **axes}).cases(cores=2))


def test_the_cases_are_the_product_of_the_axes_in_declared_order():
    found = cases(
        models=("mlp", "resnet18"), frameworks=("numpy", "torch"), modes=(Mode.INFERENCE,), local_batches=(1, 8),
        threads=(1, 2),
    )

    assert [(c.model, c.framework, c.local_batch, c.threads) for c in found] == list(
        product(("mlp", "resnet18"), ("numpy", "torch"), (1, 8), (1, 2))
    )


def test_a_sweep_without_threads_uses_every_core():
    assert {case.threads for case in cases()} == {2}


@pytest.mark.parametrize("name", frameworks.NAMES)
@pytest.mark.parametrize("mode", Mode)
def test_best_and_default_are_what_the_adapter_says(name: str, mode: Mode):
    adapter = frameworks.load(name)

    best, = cases(frameworks=(name,), modes=(mode,))
    default, = cases(frameworks=(name,), modes=(mode,), compile_modes=("default",), layouts=("default",))

    assert (best.compile_mode, best.layout) == adapter.BEST[mode]
    assert (default.compile_mode, default.layout) == (adapter.COMPILE_MODES[0], adapter.LAYOUTS[0])


def test_a_setting_named_twice_is_one_case():
    best, = cases(modes=(Mode.TRAINING,))

    again = cases(modes=(Mode.TRAINING,), compile_modes=("best", str(best.compile_mode)), layouts=("best", best.layout))

    assert again == [best]


def test_words_and_their_texts_declare_the_same_cases():
    texts = cases(modes=("training",), precisions=("fp32",), compile_modes=("eager",), layouts=("nchw",))
    words = cases(modes=(Mode.TRAINING,), precisions=(Precision.FP32,), compile_modes=(CompileMode.EAGER,),
                  layouts=(Layout.NCHW,))

    assert texts == words
    assert set(texts) == set(words)
    assert texts[0].plain() == words[0].plain()


def test_a_plain_case_is_text_and_whole_numbers():
    plain = cases()[0].plain()

    assert {type(value) for value in plain.values()} == {str, int}
    assert Case(**plain) == cases()[0]


def test_a_limit_has_no_mode_no_batch_and_no_data():
    launch, convolution = cases(
        models=("launch", "conv2d_wide"), local_batches=(1, 99), data=("synthetic", "digits"), precisions=("bf16",)
    )

    assert (launch.is_limit, launch.mode, launch.local_batch, launch.data) == (True, "inference", 1, "synthetic")
    assert (convolution.local_batch, convolution.precision) == (8, "bf16")      # images of one execution
    assert not cases()[0].is_limit


def test_a_short_limit_is_executed_often_between_two_clock_reads():
    steps = {case.model: case.steps_per_timing for case in cases(models=("launch", "copy_32KiB", "matmul_1024"))}
    more, = cases(models=("matmul_1024",), steps_per_timing=7)

    assert steps["launch"] > steps["copy_32KiB"] > steps["matmul_1024"] == 1
    assert more.steps_per_timing == 7


@pytest.mark.parametrize(
    ("axis", "wrong", "sentence"),
    [
        ("models", "resnet81", "no model 'resnet81'; did you mean 'resnet18'"),
        ("models", "matmul_1023", "no model 'matmul_1023'; did you mean 'matmul_1024'"),
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
        cases(**{axis: (wrong,)})


def test_a_word_that_is_near_none_is_answered_with_all():
    with pytest.raises(UnknownName, match="no mode 'xyz'; known: inference, training"):
        cases(modes=("xyz",))


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
    label = cases(modes=("training",), compile_modes=("eager",), layouts=("nchw",), local_batches=(8,))[0].label

    assert label == "mlp training, torch eager nchw fp32, cpu, batch 8"


def test_a_label_names_an_instruction_set_only_where_one_was_asked_for():
    native, held = cases(modes=("training",), isas=("native", "sse41"))

    assert "native" not in native.label
    assert held.label == native.label.replace(", batch", ", held to sse41, batch")


def test_a_label_of_a_limit_says_its_threads():
    label = cases(models=("matmul_1024",), frameworks=("numpy",))[0].label

    assert label == "matmul_1024, numpy eager nchw fp32, cpu, 2 threads"
