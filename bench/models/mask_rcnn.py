"""Mask R-CNN: Faster R-CNN that also draws the outline of what each region holds.

Source: He et al. 2017 (arXiv 1703.06870), figure 4 on the right, for the 91 classes of COCO as torchvision's
``maskrcnn_resnet50_fpn``: 44,401,393 parameters, of which 44,178,993 are trained. All but the masks is as in
``faster_rcnn``, with what that leaves out. Masks of 28 x 28 are made for the best quarter of each level's regions, as
libraries train those of the quarter that holds things; what each is to be is an input, and the loss adds the binary
cross-entropy of the mask of the right class.
"""

from __future__ import annotations

from rigmark.bench.ir.building import Builder
from rigmark.bench.ir.graph import Graph, Input
from rigmark.bench.ir.ops.arrangement import Regroup
from rigmark.bench.ir.ops.reduction import ReduceMean
from rigmark.bench.models._detection import binary_cross_entropy, joined, mean_of_counted
from rigmark.bench.models.faster_rcnn import Found, aligned_regions, finished, is_foreground, network, of_class

SIDE = 14                            # of a region; the mask has twice as many pixels on a side


def build(size: int = 256, classes: int = 91, count: int = 16, narrower: int = 1) -> Graph:
    net = Builder("mask_rcnn", (3, size, size))
    found = network(net, size, classes, count, narrower)
    masked, width = count // 4, 256 // narrower
    with net.scope("regions.masks"):
        masks = _masks(net, found, size, masked, width, classes)
        loss = _loss(net, masks, found, count, masked)
    return finished(net, net.add("whole_loss", of=(found.loss, loss)), (*found.outputs, masks))


def _masks(net: Builder, found: Found, size: int, masked: int, width: int, classes: int) -> str:
    """Scores of every pixel for every class: (regions, classes, pixels)."""
    best = tuple(net.slice(f"best{level}", axis=1, start=0, stop=masked, of=each)
                 for level, each in enumerate(found.regions, start=2))
    number = masked * len(best)
    joined(net, "aligned", aligned_regions(net, found.maps, best, size, side=SIDE))
    net.add_layer("images", Regroup(shape=(number, width, SIDE, SIDE), batch=0))
    for index in range(1, 5):
        net.conv2d(f"conv{index}", width, kernel=3, padding=1)
        net.relu(f"relu{index}")
    net.conv_transpose2d("larger", width, kernel=2, stride=2)
    net.relu("relu5")
    net.conv2d("scores", classes, kernel=1)
    return net.add_layer("masks", Regroup(shape=(1, number, classes, 4 * SIDE**2), batch=0))


def _loss(net: Builder, masks: str, found: Found, count: int, masked: int) -> str:
    number = masked * len(found.regions)
    wanted = net.add_input(Input(name="masks", shape=(number, 4 * SIDE**2), draw="bits"))
    classes = joined(net, "classes", [
        net.slice(f"classes{level}", axis=1, start=level * count, stop=level * count + masked, of=found.classes)
        for level in range(len(found.regions))
    ])
    chosen = of_class(net, "masks", masks, classes, (number, 4 * SIDE**2))
    pixels = binary_cross_entropy(net, "of_pixels", chosen, wanted)
    each = net.add_layer("of_masks", ReduceMean(axes=(2,), keep=True), pixels)
    return mean_of_counted(net, "mask_loss", each, is_foreground(net, classes))
