"""One convolution of 5 x 5 pixels, against filters_3x3_twice.

Source: Simonyan and Zisserman 2014 (arXiv 1409.1556), section 2.3, which counts the weights of such stacks for C
channels: 25 C^2 weights, where two of 3 x 3 have 18 C^2. Here C is 64, of images of 56 x 56.
"""

from __future__ import annotations

from rigmark.bench.ir.graph import Graph
from rigmark.bench.models._filters import network


def build() -> Graph:
    return network("filter_5x5", kernel=5, count=1)
