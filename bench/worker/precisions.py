"""The facts of each precision: what is stored, multiplied and summed in which format, what is rounded, what trains.

Python 3.6; read by both halves. How a framework calls a format stands with its adapter, and what a proof allows beside
rounding in bench.trials.parity.
"""

FORMAT_BYTES = {"fp64": 8, "fp32": 4, "tf32": 4, "int32": 4, "bf16": 2, "fp16": 2, "int8": 1}
"""Bytes of a number in memory; tf32 is how products read numbers that are stored in fp32."""

ROUNDOFF = {"tf32": 2.0 ** -11, "fp16": 2.0 ** -11, "bf16": 2.0 ** -8}
"""Largest relative error of one rounding to a format that is narrower than fp32."""


def _policy(weights, activations, products, sums, is_loss_scaled=False):
    return {
        "weights": weights, "activations": activations, "products": products, "sums": sums,
        "is_loss_scaled": is_loss_scaled,
    }


POLICIES = {
    "fp32": _policy("fp32", "fp32", "fp32", "fp32"),
    "tf32": _policy("fp32", "fp32", "tf32", "fp32"),
    "fp64": _policy("fp64", "fp64", "fp64", "fp64"),
    "bf16": _policy("fp32", "bf16", "bf16", "fp32"),
    "fp16": _policy("fp32", "fp16", "fp16", "fp32", is_loss_scaled=True),
    "bf16_pure": _policy("bf16", "bf16", "bf16", "fp32"),
    "fp16_pure": _policy("fp16", "fp16", "fp16", "fp32"),
    "int8": _policy("int8", "fp32", "int8", "int32"),
}
"""The formats of each precision: of stored weights and activations, and of the operands and sums of products.

Batch normalisation and the loss are computed in fp32 if activations are narrower; in training, gradients of weights are
fp32 when they reach the optimizer. In int8, the operations of ``PRODUCTS_ONLY`` quantise their input when they read it,
and all other layers stay in fp32, their weights too. Sums are those that the hardware specifies for products; it is not
proven that kernels which emulate a format have the same.
"""

PRODUCTS_ONLY = {
    "tf32": ("conv2d", "conv_transpose2d", "dense", "matmul", "attention", "lstm", "gru", "rnn"),
    "int8": ("dense", "lstm"),
}
"""Operations whose products are in the narrow format, of precisions that leave all other numbers in fp32."""

WITHOUT_TRAINING = {
    "bf16_pure": "an update smaller than 2**-9 of a weight would round away, so that it would learn something else; "
                 "train in bf16, which keeps fp32 weights",
    "fp16_pure": "an update smaller than 2**-12 of a weight would round away, so that it would learn something else; "
                 "train in fp16, which keeps fp32 weights",
    "int8": "rounded weights have no gradient; it is for inference",
}
"""Precisions that are for inference only, and why."""


def activation_bytes(precision):
    """Of an element that one layer writes and the next reads."""
    return FORMAT_BYTES[POLICIES[precision]["activations"]]


def weight_bytes(precision, op):
    """Of a weight as the products of an operation take it; where they do not, as activations are stored."""
    if op in PRODUCTS_ONLY.get(precision, (op,)):
        return FORMAT_BYTES[POLICIES[precision]["products"]]
    return activation_bytes(precision)


def gradient_bytes(precision):
    """Of the gradient of a weight, which is as wide as the weight that it changes."""
    return FORMAT_BYTES[POLICIES[precision]["weights"]]
