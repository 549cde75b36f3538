"""Whether a batch fits: a line through measured peaks, else an estimate that says so."""

from __future__ import annotations

import pytest

from rigmark.bench import models
from rigmark.bench.buying import fitting
from rigmark.bench.buying.fitting import Answer, estimate, fit, line_of

GB = 2**30
PEAKS = {8: 2.8 * GB, 16: 3.6 * GB, 32: 5.2 * GB}        # 2 GB and 0.1 GB a sample


def test_the_largest_batch_follows_from_the_line():
    line = line_of(PEAKS)
    assert not isinstance(line, str)
    fitted = fit(line, 8 * GB, context_bytes=0.5 * GB, batch=48)

    assert 2.0 == pytest.approx(line.fixed_bytes / GB)
    assert 0.1 == pytest.approx(line.bytes_per_sample / GB)
    assert 49 == fitted.largest_batch                     # (0.93 x 8 - 0.5 - 2) / 0.1 = 49.4
    assert Answer.TIGHT == fitted.answer                  # 6.8 of 6.94


@pytest.mark.parametrize(("batch", "answer"), [(40, Answer.FITS), (49, Answer.TIGHT), (50, Answer.NO)])
def test_answers_in_words(batch: int, answer: Answer):
    line = line_of(PEAKS)
    assert not isinstance(line, str)

    assert answer == fit(line, 8 * GB, context_bytes=0.5 * GB, batch=batch).answer


@pytest.mark.parametrize(
    ("peaks", "reason"),
    [
        ({8: 1.0, 16: 2.0}, "needs 3 measured batches, but there are: 8, 16"),
        ({8: 3.0, 16: 3.0, 32: 2.9}, "do not grow with the batch"),
        ({8: 1.0, 16: 9.0, 32: 9.5}, "from a line"),
    ],
)
def test_peak_memory_that_is_not_linear_in_the_batch_gives_no_answer(peaks: dict[int, float], reason: str):
    assert reason in str(line_of(peaks))


def test_an_estimate_is_the_largest_of_the_moments_of_a_step():
    ratio = estimate(models.build("mlp"), is_training=True, precision="fp32")
    numbers = 784 * 800 + 800 + 800 * 10 + 10

    assert 12 * numbers + 4 * (784 + 800) == ratio.peak_bytes(1)                # all gradients are there
    assert 8 * numbers + 4 * 8010 + 12736 * 1000 == ratio.peak_bytes(1000)      # the way back through relu
    assert 1000 == ratio.largest_batch(ratio.peak_bytes(1000))
    assert 999 == ratio.largest_batch(ratio.peak_bytes(1000) - 1)
    assert 0 == ratio.largest_batch(12 * numbers)                               # not even one sample


@pytest.mark.parametrize(("precision", "weight"), [("fp32", 4), ("fp64", 8), ("bf16", 4 + 2), ("bf16_pure", 2),
                                                   ("tf32", 4), ("int8", 1)])
def test_an_estimate_knows_the_formats(precision: str, weight: int):
    ratio = estimate(models.build("vgg16"), is_training=False, precision=precision)

    assert weight * 138_357_544 == pytest.approx(ratio.peak_bytes(0))


def test_an_estimate_near_the_edge_is_no_answer():
    line = fitting.Estimate(moments=((0, 1), (5, 0)))

    assert [Answer.FITS, Answer.UNCERTAIN, Answer.UNCERTAIN, Answer.NO] == [
        fit(line, 1000 / fitting.USABLE, batch=batch).answer for batch in (666, 667, 1_111, 1_112)]
