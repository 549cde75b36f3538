"""SSD, which scores 8,732 boxes of a picture of 300 x 300 in one pass: VGG-16, with heads on six maps of its features.

Source: Liu et al. 2016 (arXiv 1512.02325), figure 2 and section 3.1, for the 91 classes of COCO as torchvision's
``ssd300_vgg16``: 35,641,826 parameters and 34.86 G multiply-adds. The third pooling rounds its size up, the fifth keeps
it, the sixth convolution is dilated by 6, and the features of the fourth block are scaled to a learned length.

Which anchors are things, of which class and where, and which of the others count against the classes, are inputs:
matching, and mining of negatives, depend on data. The loss is that of section 2.2: the softmax cross-entropy of the
classes, and the smoothed absolute error of the boxes of things, each a mean. Inference scores and places all boxes;
suppression of those that overlap is no part of it.
"""

from __future__ import annotations

from rigmark.bench.ir.building import Builder
from rigmark.bench.ir.graph import Graph, Input, tokens
from rigmark.bench.ir.ops.arrangement import Pad
from rigmark.bench.ir.ops.elementwise import Clip, Divide, Multiply, Sqrt
from rigmark.bench.ir.ops.reduction import ReduceSum
from rigmark.bench.ir.training import Sgd
from rigmark.bench.models._detection import cross_entropy, joined, mean_of_counted, rows, smooth_l1
from rigmark.bench.models.vgg16 import STAGES

ANCHORS = (4, 6, 6, 6, 4, 4)             # at each place of each map
EXTRA = ((256, 512, 2, 1), (128, 256, 2, 1), (128, 256, 1, 0), (128, 256, 1, 0))   # channels, stride, padding


def build(size: int = 300, classes: int = 91, narrower: int = 1) -> Graph:
    net = Builder("ssd300", (3, size, size), init="he_normal")
    maps, sides = _features(net, size, narrower)
    scores, places = [], []
    for index, (features, side, anchors) in enumerate(zip(maps, sides, ANCHORS, strict=True), start=1):
        with net.scope(f"head{index}"):
            found = net.conv2d("scores", anchors * classes, kernel=3, padding=1, of=features)
            scores.append(rows(net, "scores", found, anchors=anchors, side=side, values=classes))
            found = net.conv2d("boxes", anchors * 4, kernel=3, padding=1, of=features)
            places.append(rows(net, "boxes", found, anchors=anchors, side=side, values=4))
    scored, placed = joined(net, "scores", scores), joined(net, "boxes", places)
    loss = _loss(net, scored, placed, sum(side**2 * each for side, each in zip(sides, ANCHORS, strict=True)), classes)
    return net.build(
        loss="value", optimizer=Sgd(learning_rate=1e-3, momentum=0.9), outputs=(loss, scored, placed),
    )


def _features(net: Builder, size: int, narrower: int) -> tuple[list[str], list[int]]:
    """The six maps that have heads, and their sides."""
    side, maps, sides = size, [], []
    for stage, (channels, convolutions) in enumerate(STAGES, start=1):
        for index in range(1, convolutions + 1):
            _convolution(net, f"conv{stage}_{index}", channels // narrower)
        if stage == 4:
            before = net.last
            maps, sides = [_of_learned_length(net, before, channels // narrower)], [side]
            net.last = before
        if stage == 5:
            net.max_pool("pool5", kernel=3, stride=1, padding=1)
        else:
            if side % 2 and stage == 3:              # no feature is below 0, so a 0 more changes no maximum
                net.add_layer("rounded_up", Pad(before=(0, 0, 0, 0), after=(0, 0, 1, 1)))
                side += 1
            net.max_pool(f"pool{stage}", kernel=2, stride=2)
            side //= 2
    net.conv2d("fc6", 1024 // narrower, kernel=3, padding=6, dilation=6)
    net.relu("fc6_relu")
    _convolution(net, "fc7", 1024 // narrower, kernel=1, padding=0)
    maps.append(net.last)
    sides.append(side)
    for index, (reduced, channels, stride, padding) in enumerate(EXTRA, start=8):
        _convolution(net, f"conv{index}_1", reduced // narrower, kernel=1, padding=0)
        maps.append(_convolution(net, f"conv{index}_2", channels // narrower, stride=stride, padding=padding))
        side = (side + 2 * padding - 3) // stride + 1
        sides.append(side)
    return maps, sides


def _convolution(
    net: Builder, name: str, channels: int, *, kernel: int = 3, stride: int = 1, padding: int = 1
) -> str:
    net.conv2d(name, channels, kernel=kernel, stride=stride, padding=padding)
    return net.relu(f"{name}_relu")


def _of_learned_length(net: Builder, features: str, channels: int) -> str:
    """The channels of each place as a vector of length 1, times a scale of each that begins at 20 (section 3.1)."""
    with net.scope("length"):
        squares = net.add_layer("squares", Multiply(), (features, features))
        total = net.add_layer("total", ReduceSum(axes=(1,), keep=True), squares)
        length = net.add_layer("root", Sqrt(), net.add_layer("above_0", Clip(low=1e-12), total))
        unit = net.add_layer("unit", Divide(), (features, length))
        return net.add_layer("scaled", Multiply(), (unit, net.parameter("scale", (1, channels, 1, 1), init="20")))


def _loss(net: Builder, scores: str, boxes: str, anchors: int, classes: int) -> str:
    """Of a sample, of what is matched to its anchors: (1, 1)."""
    wanted = net.add_input(tokens((anchors, 1), classes, "classes"))
    wanted_boxes = net.add_input(Input(name="offsets", shape=(anchors, 4)))
    is_thing = net.add_input(Input(name="is_thing", shape=(anchors, 1), draw="bits"))
    counts = net.add_input(Input(name="counts", shape=(anchors, 1), draw="bits"))
    of_classes = cross_entropy(net, "of_classes", scores, wanted)
    of_boxes = smooth_l1(net, "of_boxes", boxes, wanted_boxes, beta=1.0)
    return net.add("loss", of=(
        mean_of_counted(net, "class_loss", of_classes, counts), mean_of_counted(net, "box_loss", of_boxes, is_thing)))
