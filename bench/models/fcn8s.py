"""FCN-8s, which names the class of each pixel: VGG-16 without its dense layers, seen again at three sizes.

Source: Long, Shelhamer and Darrell 2015 (arXiv 1411.4038), figure 3 and section 4, on the sixteen layers of VGG-16
(arXiv 1409.1556): the dense layers become convolutions, the 21 classes of PASCAL VOC are scored behind the third,
fourth and fifth pooling, and transposed convolutions of kernels 4, 4 and 16 enlarge and add these. 134,489,759
parameters; the paper's table 1 has 134 M.

Images are 224 x 224, and convolutions padded so that sizes fit; the paper's first one is padded by 100 and the scores
are cropped. The paper starts enlargements as bilinear ones and keeps the last so; here all start at random and are
trained, which computes the same. The loss is the mean over pixels.
"""

from __future__ import annotations

from rigmark.bench.ir.building import Builder
from rigmark.bench.ir.graph import Graph
from rigmark.bench.ir.training import Sgd
from rigmark.bench.models.vgg16 import STAGES


def build(size: int = 224, classes: int = 21, narrower: int = 1) -> Graph:
    net = Builder("fcn8s", (3, size, size))
    pooled = []
    for stage, (channels, convolutions) in enumerate(STAGES, start=1):
        for index in range(1, convolutions + 1):
            net.conv2d(f"conv{stage}_{index}", channels // narrower, kernel=3, padding=1)
            net.relu(f"relu{stage}_{index}")
        pooled.append(net.max_pool(f"pool{stage}", kernel=2, stride=2))
    for index, kernel in ((6, 7), (7, 1)):
        net.conv2d(f"fc{index}", 4096 // narrower, kernel=kernel, padding=kernel // 2)
        net.relu(f"relu{index}")
        net.dropout(f"drop{index}", 0.5)
    scores = net.conv2d("score5", classes, kernel=1)
    for stage in (4, 3):
        larger = net.conv_transpose2d(f"larger{stage + 1}", classes, kernel=4, stride=2, padding=1, bias=False,
                                      of=scores)
        own = net.conv2d(f"score{stage}", classes, kernel=1, of=pooled[stage - 1])
        scores = net.add(f"fuse{stage}", of=(larger, own))
    net.conv_transpose2d("larger3", classes, kernel=16, stride=8, padding=4, bias=False)
    net.transpose("classes_last", (1, 2, 0))
    net.reshape("pixels", (size * size, classes))
    return net.build(loss="softmax_cross_entropy", optimizer=Sgd(learning_rate=1e-4, momentum=0.9))
