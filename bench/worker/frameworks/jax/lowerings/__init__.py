"""JAX: pure functions of jax.lax, one per operation; one file per family.

A lowering is a function (pass, layer, its weights by name, inputs) -> output, or a tuple of outputs.
"""

from .... import registry
from ._base import Layout, Pass

__all__ = ["IN_FP32", "LOWERINGS", "Layout", "Pass"]

LOWERINGS = registry.tables(__name__, __path__, "LOWERINGS")

# Computed in fp32 for all narrower inputs. Attention does so for its softmax itself.
IN_FP32 = ("batch_norm", "group_norm", "layer_norm", "local_response_norm", "rms_norm", "softmax", "log_softmax")
