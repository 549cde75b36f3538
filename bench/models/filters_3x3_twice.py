"""Two convolutions of 3 x 3 pixels in a row, which see 5 x 5, against filter_5x5.

Source: Simonyan and Zisserman 2014 (arXiv 1409.1556), section 2.3, which counts the weights of such stacks for C
channels: 18 C^2 weights, where one of 5 x 5 has 25 C^2. Here C is 64, of images of 56 x 56.
"""

from __future__ import annotations

from rigmark.bench.ir.graph import Graph
from rigmark.bench.models._filters import network


def build() -> Graph:
    return network("filters_3x3_twice", kernel=3, count=2)
