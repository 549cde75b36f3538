"""TensorFlow: raw ``tf.nn`` operations, on NHWC images; a family of them per file.

A lowering is a function (tf, layer) -> function of a Pass, the inputs, and the parameters by name, which gives an
output or a tuple of them. What need not be decided at each step is decided before. Beside the graph's own entries a
layer has "is_image" (it gives images as they are kept), "is_shared" (its weight is another layer's too, in canonical
order), "is_xla", "is_eager", "is_cuda" and "is_fp64".
"""

from .... import registry
from ._base import Pass
from ._layouts import TO_NCHW, TO_NHWC, UNCHANGED, layouts

__all__ = ["LOWERINGS", "TO_NCHW", "TO_NHWC", "UNCHANGED", "Pass", "layouts"]

LOWERINGS = registry.tables(__name__, __path__, "LOWERINGS")
