"""The classic networks against what is published of them: parameters, multiply-adds, shapes, names, sources."""

from __future__ import annotations

import importlib
import math

import pytest

from rigmark.bench import models
from rigmark.bench.ir.graph import Graph
from rigmark.bench.ir.ops.convolution import Conv2d
from rigmark.bench.ir.ops.elementwise import Dropout
from rigmark.bench.ir.ops.normalisation import LocalResponseNorm

PARAMETERS = {
    "alexnet": 60_965_224,               # Caffe's bvlc_alexnet
    "alexnet_one_tower": 61_100_840,     # torchvision
    "vgg16": 138_357_544,                # torchvision
    "resnet18": 11_689_512,              # torchvision
    "resnet50": 25_557_032,              # torchvision
    "resnet152": 60_192_808,             # torchvision
    "vgg19": 143_667_240,                # torchvision
    "se_resnet50": 28_088_024,           # timm's seresnet50
    "shufflenet_v2": 2_278_604,          # torchvision
    "googlenet": 13_378_280,             # Caffe's bvlc_googlenet, of both auxiliary classifiers too
    "lenet5": 61_706,                    # 156 + 2,416 + 48,120 + 10,164 + 850
    "cifar10_cnn": 122_570,              # as the tutorial prints
    "softmax_regression": 7_850,
    "logistic_regression": 31,
    "linear_regression": 11,
}
GIGA_MULTIPLY_ADDS = {
    "alexnet": "0.724",                  # Sze et al. 2017, "Efficient processing of deep neural networks", table II
    "alexnet_one_tower": "0.714",        # this and the next ones: torchvision's GFLOPS
    "vgg16": "15.470",
    "resnet18": "1.814",
    "resnet50": "4.089",
    "resnet152": "11.514",
    "vgg19": "19.632",
    "shufflenet_v2": "0.145",
    "googlenet": "1.583",                # table 1 of the paper: 1.586 with 118 M in place of 34 M for the first layer
}
PARAMETERS |= {
    "rnn": 128 * 128 + 512 * (128 + 512 + 1) + 513 * 128,
    # Of a table of tokens; six blocks of query and projection, key and value, three matrices and two scales; a scale.
    "llama": 32_000 * 288 + 6 * (2 * 288 * 288 + 2 * 288 * 144 + 3 * 288 * 768 + 2 * 288) + 288,
    # ResNet-18 without its classes, a dense layer, a table of words, an LSTM, and scores.
    "captioning": 11_176_512 + 513 * 512 + 8791 * 512 + 4 * 512 * (512 + 512 + 1) + 513 * 8791,
}
CLASSIC = [*PARAMETERS, "lstm"]


def kinds(graph: Graph) -> list[str]:
    return [layer.op.kind for layer in graph.layers]


def names(graph: Graph, kind: str) -> list[str]:
    return [layer.name for layer in graph.layers if layer.op.kind == kind]


@pytest.mark.parametrize("model", PARAMETERS)
def test_has_the_published_parameters(model):
    assert PARAMETERS[model] == models.build(model).parameter_count


@pytest.mark.parametrize("model", GIGA_MULTIPLY_ADDS)
def test_needs_the_published_multiply_adds(model):
    assert GIGA_MULTIPLY_ADDS[model] == f"{models.build(model).multiply_adds / 1e9:.3f}"


def test_the_character_model_has_the_parameters_of_its_formula():
    vocabulary, steps, features, hidden = 30, 7, 5, 11
    lstm = importlib.import_module("rigmark.bench.models.lstm")
    graph = lstm.build(vocabulary=vocabulary, steps=steps, features=features, hidden=hidden)
    embedding = vocabulary * features
    layers = 4 * hidden * (features + hidden + 1) + 4 * hidden * (hidden + hidden + 1)
    scores = vocabulary * (hidden + 1)

    assert embedding + layers + scores == graph.parameter_count
    assert models.build("lstm").parameter_count == 3_494_016     # "about 3.5 million", Karpathy 2015


@pytest.mark.parametrize("model", CLASSIC)
def test_names_its_source(model):
    said = importlib.import_module(f"rigmark.bench.models.{model}").__doc__

    assert "Source: " in said
    assert f"{models.build(model).parameter_count:,} " in said.replace("\n", " ")


@pytest.mark.parametrize("model", CLASSIC)
def test_is_called_like_its_file(model):
    assert model == models.build(model).name


@pytest.mark.parametrize(
    ("model", "shapes"),
    [
        ("alexnet", {"conv1": (96, 55, 55), "pool1": (96, 27, 27), "conv2": (256, 27, 27), "pool2": (256, 13, 13),
                     "conv3": (384, 13, 13), "conv4": (384, 13, 13), "pool5": (256, 6, 6), "fc7": (4096,),
                     "fc8": (1000,)}),
        ("alexnet_one_tower", {"conv1": (64, 55, 55), "conv2": (192, 27, 27), "conv3": (384, 13, 13),
                               "conv4": (256, 13, 13), "pool5": (256, 6, 6), "fc6": (4096,), "fc8": (1000,)}),
        ("vgg16", {"conv1_2": (64, 224, 224), "pool1": (64, 112, 112), "conv3_3": (256, 56, 56),
                   "pool5": (512, 7, 7), "fc6": (4096,), "fc8": (1000,)}),
        ("resnet18", {"conv1": (64, 112, 112), "pool1": (64, 56, 56), "stage1.block2.relu2": (64, 56, 56),
                      "stage4.block2.relu2": (512, 7, 7), "pool2": (512,), "classes": (1000,)}),
        ("resnet50", {"conv1": (64, 112, 112), "stage1.block1.conv3": (256, 56, 56),
                      "stage2.block1.conv1": (128, 56, 56), "stage2.block1.conv2": (128, 28, 28),
                      "stage4.block3.relu3": (2048, 7, 7), "pool2": (2048,), "classes": (1000,)}),
        ("lstm", {"embedding": (100, 128), "lstm1": (100, 512), "lstm2": (100, 512), "characters": (100, 128)}),
    ],
)
def test_layers_have_the_published_shapes(model, shapes):
    graph = models.build(model)

    assert shapes == {name: graph[name].output_shape for name in shapes}
    assert graph.output_shape == graph.layers[-1].output_shape == shapes[graph.layers[-1].name]


def test_alexnet_splits_what_its_two_cards_did_not_share():
    graph = models.build("alexnet")
    groups = {layer.name: layer.op.groups for layer in graph.layers if isinstance(layer.op, Conv2d)}

    assert groups == {"conv1": 1, "conv2": 2, "conv3": 1, "conv4": 2, "conv5": 2}
    assert all(layer.op.groups == 1 for layer in models.build("alexnet_one_tower").layers
               if isinstance(layer.op, Conv2d))


def test_alexnet_normalises_by_the_papers_constants():
    """b = a / (k + alpha * sum of squares) ** beta; the operation divides its alpha by the size."""
    graph = models.build("alexnet")
    norms = [layer.op for layer in graph.layers if isinstance(layer.op, LocalResponseNorm)]

    assert [(n.size, n.k, n.beta) for n in norms] == [(5, 2.0, 0.75)] * 2
    assert [n.alpha / n.size for n in norms] == pytest.approx([1e-4] * 2)
    assert graph["norm1"].inputs == ("relu1",)
    assert graph["pool1"].inputs == ("norm1",)
    assert "local_response_norm" not in kinds(models.build("alexnet_one_tower"))


@pytest.mark.parametrize(("model", "before"), [("alexnet", "relu6"), ("alexnet_one_tower", "flatten")])
def test_half_of_the_dense_layers_is_dropped(model, before):
    graph = models.build(model)

    assert [layer.op.rate for layer in graph.layers if isinstance(layer.op, Dropout)] == [0.5, 0.5]
    assert graph["drop6"].inputs == (before,)


def test_vgg16_has_thirteen_convolutions_and_three_dense_layers():
    graph = models.build("vgg16")

    assert names(graph, "conv2d") == [
        "conv1_1", "conv1_2", "conv2_1", "conv2_2", "conv3_1", "conv3_2", "conv3_3", "conv4_1", "conv4_2", "conv4_3",
        "conv5_1", "conv5_2", "conv5_3",
    ]
    assert names(graph, "dense") == ["fc6", "fc7", "fc8"]
    assert {(layer.op.kernel, layer.op.padding) for layer in graph.layers if isinstance(layer.op, Conv2d)} == {
        ((3, 3), (1, 1))
    }


@pytest.mark.parametrize(
    ("model", "blocks", "layers"), [("resnet18", (2, 2, 2, 2), 18), ("resnet50", (3, 4, 6, 3), 50)]
)
def test_residual_networks_have_the_layers_of_their_name(model, blocks, layers):
    """Projection shortcuts are not counted."""
    graph = models.build(model)
    weighted = [name for name in (*names(graph, "conv2d"), *names(graph, "dense")) if not name.endswith("shortcut")]

    assert layers == len(weighted)
    assert names(graph, "add") == [
        f"stage{stage}.block{block}.add" for stage, count in enumerate(blocks, 1) for block in range(1, count + 1)
    ]


@pytest.mark.parametrize(("model", "stages"), [("resnet18", (2, 3, 4)), ("resnet50", (1, 2, 3, 4))])
def test_shortcuts_are_projected_only_where_the_shape_changes(model, stages):
    assert [f"stage{stage}.block1.shortcut" for stage in stages] == [
        name for name in names(models.build(model), "conv2d") if name.endswith("shortcut")
    ]


def test_resnet50_strides_in_its_3_x_3_convolutions():
    graph = models.build("resnet50")
    strided = [layer.name for layer in graph.layers
               if isinstance(layer.op, Conv2d) and layer.op.stride == (2, 2) and "shortcut" not in layer.name]

    assert strided == ["conv1", "stage2.block1.conv2", "stage3.block1.conv2", "stage4.block1.conv2"]


def test_the_character_model_predicts_the_next_character_at_every_step():
    graph = models.build("lstm")

    assert graph.input.vocabulary == 128
    assert graph.loss == "softmax_cross_entropy"
    assert graph.output_shape == (*graph.input.shape, graph.input.vocabulary)
    assert names(graph, "lstm") == ["lstm1", "lstm2"]


@pytest.mark.parametrize(
    ("model", "size"), [("alexnet", 67), ("alexnet_one_tower", 63), ("vgg16", 32), ("resnet18", 32), ("resnet50", 32)]
)
def test_networks_for_photographs_can_be_built_small(model, size):
    graph = importlib.import_module(f"rigmark.bench.models.{model}").build(classes=3, size=size)

    assert (3, size, size) == graph.input.shape
    assert graph.output_shape == (3,)


def test_googlenet_trains_three_classifiers_and_answers_by_one():
    graph = models.build("googlenet")
    (update,) = graph.updates
    of_auxiliary = [layer.name for layer in graph.layers if layer.name.startswith("auxiliary")]

    assert [graph.runs("auxiliary1.classes", training=training) for training in (True, False)] == [True, False]
    assert sum(math.prod(p.shape) for key, p in graph.parameters.items()
               if key.startswith("auxiliary") and p.is_trainable) == 3_188_840 + 3_190_888
    assert not any(graph.runs(name, training=False) for name in of_auxiliary)
    assert all(map(update.needs_gradient, ("auxiliary2.fc", "conv1")))
    assert {layer.op.init for layer in graph.layers if layer.name.endswith(".weight")} == {"0.3"}


def test_a_shuffled_block_takes_the_channels_of_its_branches_in_turns():
    graph = models.build("shufflenet_v2")
    block = "stage2.block2"

    assert graph[f"{block}.concat"].inputs == (f"{block}.split", f"{block}.project_relu")
    assert [graph[f"{block}.{name}"].output_shape for name in ("branches", "in_turns", "shuffled")] == [
        (2, 58, 28, 28), (58, 2, 28, 28), (116, 28, 28)]


def test_an_excitation_multiplies_the_branch_before_the_shortcut():
    graph = models.build("se_resnet50")

    assert graph["stage1.block1.weighed"].inputs == ("stage1.block1.norm3", "stage1.block1.excitation")
    assert graph["stage1.block1.add"].inputs == ("stage1.block1.weighed", "stage1.block1.shortcut_norm")
    assert graph["stage4.block3.reduce"].output_shape == (2048 // 16,)
