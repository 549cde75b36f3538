"""Whether a batch fits: a line through measured peaks, else an estimate that says so."""

from __future__ import annotations

import pytest

from rigmark.bench.buying import fitting
from rigmark.bench.buying.fitting import Answer, estimated_line, fit, line_of

GB = 2**30
PEAKS = {8: 2.8 * GB, 16: 3.6 * GB, 32: 5.2 * GB}        # 2 GB and 0.1 GB a sample


def test_the_largest_batch_follows_from_the_line():
    line = line_of(PEAKS)
    assert not isinstance(line, str)
    found = fit(line, 8 * GB, context_bytes=0.5 * GB, batch=48)

    assert 2.0 == pytest.approx(line.fixed_bytes / GB)
    assert 0.1 == pytest.approx(line.bytes_per_sample / GB)
    assert 49 == found.largest_batch                     # (0.93 x 8 - 0.5 - 2) / 0.1 = 49.4
    assert Answer.TIGHT == found.answer                  # 6.8 of 6.94
    assert not line.is_estimate


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
def test_what_is_no_line_gives_no_answer(peaks: dict[int, float], reason: str):
    assert reason in str(line_of(peaks))


def test_an_estimate_counts_what_is_kept():
    training = estimated_line(parameters=1_000, activations=50, largest_pair=20, is_training=True, optimizer_states=1,
                              itemsize=4)
    inference = estimated_line(parameters=1_000, activations=50, largest_pair=20, is_training=False,
                               optimizer_states=1, itemsize=3)

    assert (12_000, 200) == (training.fixed_bytes, training.bytes_per_sample)     # SGD with momentum: 12 bytes each
    assert (4_000, 60) == (inference.fixed_bytes, inference.bytes_per_sample)
    assert training.is_estimate


def test_an_estimate_near_the_edge_is_no_answer():
    line = fitting.Line(fixed_bytes=0, bytes_per_sample=1, batches=(), largest_error=None)

    assert [Answer.FITS, Answer.OPEN, Answer.OPEN, Answer.NO] == [
        fit(line, 1000 / fitting.USABLE, batch=batch).answer for batch in (600, 700, 1_400, 1_600)]
