"""Each operation as nodes of ONNX: a function (network, layer) that adds them; one file per family.

The families are imported by name, so that a change in one of them makes other trials of the engines that run it.
"""

from . import (
    arrangement,
    attention,
    comparison,
    convolution,
    elementwise,
    lookup,
    normalisation,
    parameters,
    pooling,
    products,
    recurrent,
    reduction,
    resampling,
)

FAMILIES = (
    arrangement, attention, comparison, convolution, elementwise, lookup, normalisation, parameters, pooling, products,
    recurrent, reduction, resampling,
)

NODES = {kind: write for family in FAMILIES for kind, write in family.NODES.items()}
