"""One convolution of 7 x 7 pixels, against filters_3x3_thrice.

Source: Simonyan and Zisserman 2014 (arXiv 1409.1556), section 2.3, which counts the weights of such stacks for C
channels: 49 C^2 weights, where three of 3 x 3 have 27 C^2. Here C is 64, of images of 56 x 56.
"""

from __future__ import annotations

from rigmark.bench.ir.graph import Graph
from rigmark.bench.models._filters import network


def build() -> Graph:
    return network("filter_7x7", kernel=7, count=1)
