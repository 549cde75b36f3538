"""TensorFlow: raw ``tf.nn`` operations, on NHWC images; one file per family.

A lowering is a function (tf, layer) -> function of a Pass, the inputs, and the parameters by name, which returns
the output or a tuple of outputs. Decisions that are the same in each step are made before. Besides the entries of the
graph a layer has "is_image" (its output is an image in the kept order), "is_shared" (its weight is shared with another
layer, in canonical order), "is_xla", "is_eager", "is_cuda" and "is_fp64".
"""

from .... import registry
from ._base import Pass
from ._layouts import TO_NCHW, TO_NHWC, UNCHANGED, layouts

__all__ = ["LOWERINGS", "TO_NCHW", "TO_NHWC", "UNCHANGED", "Pass", "layouts"]

LOWERINGS = registry.tables(__name__, __path__, "LOWERINGS")
