"""JAX: pure functions of jax.lax, one an operation; a family of them per file.

A lowering is a function (pass, layer, its weights by name, inputs) -> output, or a tuple of outputs.
"""

from .... import registry
from ._base import Layout, Pass

__all__ = ["IN_FP32", "LOWERINGS", "Layout", "Pass"]

LOWERINGS = registry.tables(__name__, __path__, "LOWERINGS")

# Whatever their input is, unless that is wider. Attention sees to its softmax itself.
IN_FP32 = ("batch_norm", "group_norm", "layer_norm", "local_response_norm", "rms_norm", "softmax")
