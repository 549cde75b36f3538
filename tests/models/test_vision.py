"""Networks that find things, name pixels or take noise out of pictures: their published counts, and that they learn."""

from __future__ import annotations

import importlib
import math
from typing import Any

import pytest

from rigmark.bench import models
from rigmark.bench.ir.graph import Graph
from rigmark.bench.ir.weights import initial_weights, synthetic_batch
from rigmark.bench.worker.frameworks.numpy import adapter
from rigmark.bench.worker.graphs import with_gradient

FROZEN = 7 * 7 * 3 * 64 + 212_992        # the first two stages of torchvision's ResNet-50, without normalisation


def every_weight(graph: Graph) -> int:
    """Numbers of all parameters, frozen ones too, but without constants."""
    return sum(math.prod(p.shape) for key, p in graph.parameters.items() if not key.endswith("/value"))


def small(name: str, **sizes: Any) -> Graph:
    graph: Graph = importlib.import_module(f"rigmark.bench.models.{name}").build(**sizes)
    return graph


@pytest.mark.parametrize(("name", "parameters", "multiply_adds"), [
    ("ssd300", 35_641_826, 34_858_153_472),          # torchvision's ssd300_vgg16, whose page says 34.86 GFLOPS
    ("ddpm_unet", 35_746_307, None),                 # the released weights for CIFAR-10; the paper says 35.7 M
    ("faster_rcnn", 41_755_286 - FROZEN, None),      # torchvision's fasterrcnn_resnet50_fpn
    ("mask_rcnn", 44_401_393 - FROZEN, None),        # torchvision's maskrcnn_resnet50_fpn
])
def test_they_have_their_published_counts(name: str, parameters: int, multiply_adds: int | None):
    graph = models.build(name)

    assert graph.parameter_count == parameters
    assert multiply_adds is None or graph.multiply_adds == multiply_adds


def test_the_frozen_stages_of_detectors_are_there_though_nothing_trains_them():
    assert every_weight(models.build("faster_rcnn")) == 41_755_286


def test_networks_that_name_pixels_have_the_convolutions_of_vgg16():
    vgg = models.build("vgg16")
    convolutions = sum(math.prod(p.shape) for key, p in vgg.parameters.items() if key.startswith("conv"))
    fcn, segnet = models.build("fcn8s"), models.build("segnet")
    # The dense layers without the last, scores of three maps, and three enlargements of 21 classes.
    dense = 512 * 4096 * 49 + 4096 + 4096 * 4096 + 4096
    scores = (4096 + 512 + 256) * 21 + 3 * 21
    encoder = {key: p for key, p in segnet.parameters.items() if key.startswith("encoder") and ".conv" in key}

    assert fcn.parameter_count == convolutions + dense + scores + 21 * 21 * (16 + 16 + 256)
    assert round(fcn.parameter_count / 1e6) == 134                           # table 1 of its paper
    assert sum(math.prod(p.shape) for p in encoder.values()) == convolutions == 14_714_688   # "14.7 M"
    assert fcn.output_shape == (224 * 224, 21)
    assert segnet.output_shape == (128 * 128, 11)


SMALL = {
    "fcn8s": {"size": 32, "narrower": 16}, "segnet": {"size": 32, "narrower": 16},
    "ssd300": {"narrower": 32, "classes": 5}, "ddpm_unet": {"size": 16, "channels": 8, "groups": 4},
    "faster_rcnn": {"size": 128, "narrower": 8, "classes": 5, "count": 4},
    "mask_rcnn": {"size": 128, "narrower": 8, "classes": 5, "count": 4},
}


@pytest.mark.parametrize("name", SMALL)
def test_the_loss_falls_where_a_batch_is_learnt(name: str):
    graph = small(name, **SMALL[name])
    settings = {
        "mode": "training", "precision": "fp32", "compile_mode": "eager", "layout": adapter.LAYOUTS[-1],
        "device": "cpu", "threads": 1, "seed": 1,
    }
    prepared = adapter.prepare(graph.plain(), initial_weights(graph, seed=1), settings)
    x, y = synthetic_batch(graph, 2, seed=2)
    masks = prepared._draw_masks(2)

    losses = [prepared.descend(x, y, masks)[0] for _ in range(6)]

    assert losses[-1] < losses[0]


@pytest.mark.parametrize("name", models.NAMES)
def test_a_worker_computes_the_gradients_that_the_graph_counts(name: str):
    """Whether a gradient reaches a layer is told twice: by the graph, and by its plain form."""
    for update in models.build(name).updates:
        counted = {each.name for each in update.layers if update.needs_gradient(each.name)}
        assert with_gradient(update.plain()) == counted
