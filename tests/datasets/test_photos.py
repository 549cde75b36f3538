"""Crops of two real photographs as samples for models that classify colour images."""

from __future__ import annotations

import importlib
import importlib.util

import numpy as np
import pytest

from rigmark.bench import datasets, models
from rigmark.bench.datasets import photos
from rigmark.bench.errors import UserError

resnet18 = importlib.import_module("rigmark.bench.models.resnet18")
needs_photos = pytest.mark.skipif(
    importlib.util.find_spec("sklearn") is None or importlib.util.find_spec("PIL") is None,
    reason="scikit-learn and pillow are not installed",
)


@pytest.fixture
def _fresh():
    photos._crops.cache_clear()


@needs_photos
def test_samples_have_the_size_of_the_graphs_input():
    dataset = datasets.load("photos", resnet18.build(size=40))

    assert dataset.x.shape == (96, 3, 40, 40)
    assert dataset.test_x.shape == (32, 3, 40, 40)
    assert dataset.x.dtype == np.float32
    assert dataset.y.dtype == np.int64


@needs_photos
def test_every_batch_has_equally_many_of_each_photograph():
    dataset = datasets.load("photos", resnet18.build(size=40))

    assert dataset.y.reshape(-1, 32).mean(axis=1).tolist() == [0.5] * 3
    assert dataset.test_y.mean() == 0.5


@needs_photos
def test_pixels_are_normalised_as_for_imagenet():
    """Black is -mean / deviation, white (1 - mean) / deviation; the flower is darker than the sky over the temple."""
    dataset = datasets.load("photos", resnet18.build(size=40))
    black, white = (((value - np.array(photos.MEAN)) / photos.DEVIATION).reshape(3, 1, 1) for value in (0, 1))

    assert (dataset.x >= black - 1e-5).all()
    assert (dataset.x <= white + 1e-5).all()
    assert 1 < dataset.x.std() < 2
    assert dataset.x[dataset.y == 0].mean() > 0.5 > dataset.x[dataset.y == 1].mean()


@needs_photos
@pytest.mark.usefixtures("_fresh")
def test_crops_differ_but_are_the_same_every_time():
    first = datasets.load("photos", resnet18.build(size=40))
    photos._crops.cache_clear()
    second = datasets.load("photos", resnet18.build(size=40))

    np.testing.assert_array_equal(first.x, second.x)
    every = np.concatenate([first.x, first.test_x]).reshape(photos.SAMPLES, -1)
    assert len(np.unique(every, axis=0)) == photos.SAMPLES


@pytest.mark.parametrize("model", ["mlp", "lstm"])
def test_a_model_for_other_input_is_refused_with_the_reason(model):
    with pytest.raises(UserError, match=f"images of 3 channels, but {model} turns"):
        datasets.load("photos", models.build(model))


@pytest.mark.usefixtures("_fresh")
@pytest.mark.parametrize("missing", ["sklearn", "PIL"])
def test_a_missing_package_is_named_with_the_extra_that_brings_it(monkeypatch, missing):
    result = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == missing else result(name))

    with pytest.raises(UserError, match="scikit-learn and pillow; pip install scikit-learn pillow"):
        datasets.load("photos", resnet18.build(size=40))
