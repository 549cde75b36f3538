"""Faster R-CNN: a network proposes regions of a picture, and another tells what each holds and where it ends.

Source: Ren et al. 2015 (arXiv 1506.01497) with the feature pyramid of Lin et al. 2017 (arXiv 1612.03144) on ResNet-50,
for the 91 classes of COCO as torchvision's ``fasterrcnn_resnet50_fpn``: 41,755,286 parameters, of which 41,532,886 are
trained, since the first two stages of the backbone and all its batch normalisation are frozen, as there. Pictures have
256 x 256 pixels, where the usual ones have 800 on the shorter side, so that the oracle answers in minutes.

What is left out, since it depends on data and so is not the same in every framework: suppression of regions that
overlap, matching, and the sampling of anchors and regions that libraries do at random. A fixed number of regions, those
of the best scores at each level of the pyramid, goes to the second network, aligned to 7 x 7 at the level that proposes
them. What anchors and regions are to be, and which of them count, are inputs. As in the libraries, no gradient
goes through the places of regions. The loss is the sum of the four of the paper: of anchors, their boxes, classes and
boxes of regions.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from rigmark.bench.ir.building import Builder
from rigmark.bench.ir.graph import Graph, Input, tokens
from rigmark.bench.ir.ops import Shape
from rigmark.bench.ir.ops.arrangement import Expand, Join, Regroup, Tile
from rigmark.bench.ir.ops.comparison import Cast
from rigmark.bench.ir.ops.elementwise import Add, Clip, Exp, Multiply, Subtract
from rigmark.bench.ir.ops.lookup import GatherElements
from rigmark.bench.ir.ops.reduction import CumulativeSum, TopK
from rigmark.bench.ir.ops.resampling import Resize, RoiAlign
from rigmark.bench.ir.training import Sgd
from rigmark.bench.models._detection import (
    binary_cross_entropy,
    constant,
    cross_entropy,
    joined,
    mean,
    mean_of_counted,
    rows,
    smooth_l1,
)

STAGES = ((64, 3), (128, 4), (256, 6), (512, 3))     # channels, blocks
EXPANSION = 4
SHAPES = (0.5, 1.0, 2.0)                             # height by width of the anchors of a place
POOLED_FROM = (0, 0, 1, 2, 3)                        # the level that equation 1 of the pyramid gives anchors of each
TRAINED = ("backbone.stage2.", "backbone.stage3.", "backbone.stage4.", "pyramid.", "proposals.", "regions.")


@dataclass(frozen=True, kw_only=True)
class Found:
    """The values of a network that proposes regions and tells what they hold."""

    maps: tuple[str, ...]
    regions: tuple[str, ...]         # of each level: (count, 4) of left, top, right and bottom in pixels
    classes: str                     # what each region is to hold: an input, (regions, 1)
    outputs: tuple[str, ...]         # scores of the classes, offsets of the boxes of each class, and regions
    loss: str                        # (1, 1)


def build(size: int = 256, classes: int = 91, count: int = 16, narrower: int = 1) -> Graph:
    net = Builder("faster_rcnn", (3, size, size))
    found = network(net, size, classes, count, narrower)
    return finished(net, found.loss, found.outputs)


def finished(net: Builder, loss: str, outputs: tuple[str, ...]) -> Graph:
    return net.build(loss="value", optimizer=Sgd(learning_rate=1e-3, momentum=0.9), outputs=(loss, *outputs),
                     trains=TRAINED)


def network(net: Builder, size: int, classes: int, count: int, narrower: int) -> Found:
    width = 256 // narrower
    with net.scope("backbone"):
        stages = _backbone(net, narrower)
    with net.scope("pyramid"):
        maps = _pyramid(net, stages, width, size)
    with net.scope("proposals"):
        scores, offsets, regions = _proposals(net, maps, width, size, count)
        proposing = _loss_of_proposals(net, scores, offsets, maps, size)
    number = count * len(maps)
    with net.scope("regions"):
        aligned = joined(net, "aligned", aligned_regions(net, maps, regions, size, side=7))
        net.reshape("flat", (number, width * 49), of=aligned)
        for index in (6, 7):
            net.dense(f"fc{index}", 1024 // narrower)
            net.relu(f"relu{index}")
        features = net.last
        scored = net.dense("scores", classes, of=features)
        net.dense("boxes", 4 * classes, of=features)
        placed = net.reshape("boxes_of_classes", (number, classes, 4))
    wanted = net.add_input(tokens((number, 1), classes, "classes"))
    with net.scope("regions"):
        telling = _loss_of_regions(net, scored, placed, wanted, number)
        places = joined(net, "places", regions)
    loss = net.add("loss", of=(*proposing, *telling))
    return Found(maps=maps, regions=regions, classes=wanted, outputs=(scored, placed, places), loss=loss)


def _normalised(net: Builder, name: str, channels: int, *, scale: float = 1.0) -> str:
    """The last layer with frozen batch normalisation: a scale and a shift of each channel."""
    given = net.last
    with net.scope(name):
        factor = net.parameter("scale", (1, channels, 1, 1), init=repr(scale), is_trainable=False)
        scaled = net.add_layer("scaled", Multiply(), (given, factor))
        shift = net.parameter("shift", (1, channels, 1, 1), init="0.0", is_trainable=False)
        return net.add("shifted", of=(scaled, shift))


def _backbone(net: Builder, narrower: int) -> tuple[str, ...]:
    """The results of the four stages of ResNet-50."""
    net.conv2d("conv1", 64 // narrower, kernel=7, stride=2, padding=3, bias=False)
    _normalised(net, "norm1", 64 // narrower)
    net.relu("relu1")
    net.max_pool("pool1", kernel=3, stride=2, padding=1)
    results = []
    for stage, (channels, blocks) in enumerate(STAGES, start=1):
        for index in range(1, blocks + 1):
            with net.scope(f"stage{stage}.block{index}"):
                _bottleneck(net, channels // narrower, stride=2 if stage > 1 and index == 1 else 1, projects=index == 1)
        results.append(net.last)
    return tuple(results)


def _bottleneck(net: Builder, channels: int, *, stride: int, projects: bool) -> None:
    entry, wide = net.last, EXPANSION * channels
    net.conv2d("conv1", channels, kernel=1, bias=False)
    _normalised(net, "norm1", channels)
    net.relu("relu1")
    net.conv2d("conv2", channels, kernel=3, stride=stride, padding=1, bias=False)
    _normalised(net, "norm2", channels)
    net.relu("relu2")
    net.conv2d("conv3", wide, kernel=1, bias=False)
    # Weights that begin at random would make sums grow from block to block, where trained ones have statistics.
    branch = _normalised(net, "norm3", wide, scale=0.25)
    if projects:
        net.conv2d("shortcut", wide, kernel=1, stride=stride, bias=False, of=entry)
        entry = _normalised(net, "shortcut_norm", wide)
    net.add("add", of=(branch, entry))
    net.relu("relu3")


def _pyramid(net: Builder, stages: tuple[str, ...], width: int, size: int) -> tuple[str, ...]:
    """Maps of ``width`` channels at strides of 4, 8, 16, 32 and 64 pixels."""
    maps: list[str] = []
    above = ""
    for level in reversed(range(2, 6)):
        own = net.conv2d(f"inner{level}", width, kernel=1, of=stages[level - 2])
        if above:
            side = size >> level
            larger = net.add_layer(f"larger{level}", Resize(size=(side, side)), above)
            own = net.add(f"sum{level}", of=(own, larger))
        maps.insert(0, net.conv2d(f"map{level}", width, kernel=3, padding=1, of=own))
        above = own
    return (*maps, net.max_pool("map6", kernel=1, stride=2, of=maps[-1]))


def _proposals(
    net: Builder, maps: tuple[str, ...], width: int, size: int, count: int
) -> tuple[str, str, tuple[str, ...]]:
    """Scores (anchors, 1) and offsets (anchors, 4) of all levels, and the regions of each."""
    scores, offsets, regions = [], [], []
    for index, features in enumerate(maps):
        level, side, number = index + 2, size >> (index + 2), len(SHAPES)
        with net.scope(f"level{level}", like="proposals.level2" if index else None):
            hidden = net.relu("relu", of=net.conv2d("conv", width, kernel=3, padding=1, of=features))
            found = net.conv2d("scores", number, kernel=1, of=hidden)
            scores.append(rows(net, "scores", found, anchors=number, side=side, values=1))
            found = net.conv2d("offsets", 4 * number, kernel=1, of=hidden)
            offsets.append(rows(net, "offsets", found, anchors=number, side=side, values=4))
        with net.scope(f"chosen{level}"):
            regions.append(_chosen(net, scores[-1], offsets[-1], side, size, count))
    return joined(net, "scores", scores), joined(net, "offsets", offsets), tuple(regions)


def _chosen(net: Builder, scores: str, offsets: str, side: int, size: int, count: int) -> str:
    """The boxes of the anchors with the best scores, moved as their offsets say."""
    net.add_layer("best", TopK(axis=1, count=count), scores)
    indices = net.add_layer("indices", Tile(times=(1, 1, 4)), f"{net.last}:1")
    anchors = net.add_layer("anchors", Expand(), (_anchors(net, side, size), scores))
    own = net.add_layer("own_anchors", GatherElements(axis=1), (anchors, indices))
    moves = net.add_layer("own_offsets", GatherElements(axis=1), (offsets, indices))

    def part(name: str, of: str, start: int) -> str:
        return net.slice(name, axis=2, start=start, stop=start + 2, of=of)

    extent = part("extent", own, 2)
    way = net.add_layer("way", Multiply(), (part("shift", moves, 0), extent))
    centre = net.add("centre", of=(part("middle", own, 0), way))
    bounded = net.add_layer("bounded", Clip(high=math.log(1000 / 16)), part("growth", moves, 2))
    grown = net.add_layer("grown", Multiply(), (extent, net.add_layer("factor", Exp(), bounded)))
    half = net.add_layer("half", Multiply(), (grown, constant(net, "one_half", 0.5)))
    ends = net.add_layer("start", Subtract(), (centre, half)), net.add_layer("end", Add(), (centre, half))
    net.last = net.add_layer("ends", Join(axis=2), ends)
    return net.add_layer("regions", Clip(low=0.0, high=float(size)))


def _anchors(net: Builder, side: int, size: int) -> str:
    """(anchors, 4), for all samples: columns and rows of the middles, widths and heights, in pixels."""
    stride = size // side
    ones = net.parameter("ones", (1, side, side, len(SHAPES), 1), init="1.0", is_trainable=False)
    step = constant(net, "stride", float(stride))
    values = []
    for name, axis in (("column", 2), ("row", 1)):
        net.add_layer(f"{name}_from_1", CumulativeSum(axis=axis), ones)
        net.add_layer(f"{name}_from_0", Subtract(), (net.last, ones))
        values.append(net.add_layer(name, Multiply(), (net.last, step)))
    for name, power in (("width", -0.5), ("height", 0.5)):
        each = [constant(net, f"{name}{index}", 8 * stride * shape**power) for index, shape in enumerate(SHAPES)]
        net.add_layer(f"{name}s", Join(axis=0), each)
        net.add_layer(f"{name}s_of_shapes", Regroup(shape=(len(SHAPES), 1)))
        values.append(net.add_layer(name, Multiply(), (ones, net.last)))
    net.add_layer("boxes", Join(axis=4), values)
    return net.add_layer("all", Regroup(shape=(side * side * len(SHAPES), 4)))


def aligned_regions(
    net: Builder, maps: tuple[str, ...], regions: tuple[str, ...], size: int, *, side: int
) -> list[str]:
    """Of each level (regions, channels, side, side), out of the map that its anchors' size gives."""
    return [
        net.add_layer(f"aligned{side}_{level}", RoiAlign(
            size=(side, side), samples=2, scale=1 / (4 << place), aligned=False), (maps[place], boxes))
        for level, (place, boxes) in enumerate(zip(POOLED_FROM, regions, strict=True), start=2)
    ]


def _loss_of_proposals(
    net: Builder, scores: str, offsets: str, maps: tuple[str, ...], size: int
) -> tuple[str, str]:
    anchors = sum(len(SHAPES) * (size >> (index + 2)) ** 2 for index in range(len(maps)))
    is_thing = net.add_input(Input(name="is_thing", shape=(anchors, 1), draw="bits"))
    counts = net.add_input(Input(name="counts", shape=(anchors, 1), draw="bits"))
    wanted = net.add_input(Input(name="anchor_offsets", shape=(anchors, 4)))
    each = binary_cross_entropy(net, "of_scores", scores, is_thing)
    of_boxes = smooth_l1(net, "of_offsets", offsets, wanted, beta=1 / 9)
    return mean_of_counted(net, "score_loss", each, counts), mean_of_counted(net, "offset_loss", of_boxes, is_thing)


def is_foreground(net: Builder, classes: str) -> str:
    """1 for each class but the first, which is the background."""
    return net.add_layer("is_foreground", Clip(high=1.0), net.add_layer("number", Cast(to="float"), classes))


def of_class(net: Builder, name: str, values: str, classes: str, shape: Shape) -> str:
    """Of values (regions, classes, n), those of a class each: (regions, n), which is ``shape``."""
    net.reshape(f"{name}_index", (shape[0], 1, 1), of=classes)
    net.add_layer(f"{name}_indices", Tile(times=(1, 1, 1, shape[1])))
    net.add_layer(f"{name}_chosen", GatherElements(axis=2), (values, net.last))
    return net.reshape(f"{name}_of_class", shape)


def _loss_of_regions(net: Builder, scores: str, boxes: str, classes: str, number: int) -> tuple[str, str]:
    wanted = net.add_input(Input(name="region_offsets", shape=(number, 4)))
    each = mean(net, "class_loss", cross_entropy(net, "of_classes", scores, classes))
    chosen = of_class(net, "boxes", boxes, classes, (number, 4))
    of_boxes = smooth_l1(net, "of_boxes", chosen, wanted, beta=1 / 9)
    return each, mean_of_counted(net, "box_loss", of_boxes, is_foreground(net, classes))
