"""TensorFlow: optimizers as fused updates of variables, and the scaling of a loss in fp16."""

import numpy as np

from ...tracing import xplane


def _name_of_update(key):
    """The name of the operation that updates a parameter: by which traces find the layer of its gradient."""
    return xplane.LAYER_SCOPE % key.partition("/")[0] + key.partition("/")[2]


def _dtype(variables):
    """Of all of them."""
    return next(iter(variables.values())).dtype


class Sgd:
    """Updates variables, by "layer/parameter", with fused operations."""

    def __init__(self, tf, settings, variables):
        self._tf, self._settings, self._variables = tf, settings, variables
        moving = variables.values() if settings["momentum"] else []
        self._velocities = [tf.Variable(tf.zeros_like(v), trainable=False) for v in moving]

    def update(self, gradients):
        ops, dtype = self._tf.raw_ops, _dtype(self._variables)
        rate, momentum = (self._tf.constant(self._settings[name], dtype) for name in ("learning_rate", "momentum"))
        if not self._velocities:
            for (key, variable), gradient in zip(self._variables.items(), gradients):
                ops.ResourceApplyGradientDescent(
                    var=variable.handle, alpha=rate, delta=gradient, name=_name_of_update(key)
                )
        for (key, variable), velocity, gradient in zip(self._variables.items(), self._velocities, gradients):
            ops.ResourceApplyMomentum(
                var=variable.handle, accum=velocity.handle, lr=rate, grad=gradient, momentum=momentum,
                name=_name_of_update(key),
            )


class Adam:
    """Updates variables, by "layer/parameter", with fused operations whose epsilon stands before the bias correction.

    With c1 = 1 - beta1**t and c2 = 1 - beta2**t,
    m / c1 / (sqrt(v / c2) + epsilon) = sqrt(c2) / c1 * m / (sqrt(v) + epsilon * sqrt(c2)),
    so learning rate and epsilon are corrected here, in float64, and the operation applies no further correction.
    """

    def __init__(self, tf, settings, variables):
        self._tf, self._settings, self._variables = tf, settings, variables
        self._moments = [
            [tf.Variable(tf.zeros_like(v), trainable=False) for _ in range(2)] for v in variables.values()
        ]
        self._steps = tf.Variable(0, dtype=tf.int64, trainable=False)

    def update(self, gradients):
        tf, o = self._tf, self._settings
        steps = tf.cast(self._steps.assign_add(1), tf.float64)
        dtype = _dtype(self._variables)
        # The betas as the operation rounds them, since 1 - beta2 must cancel in the first steps.
        betas = [np.float64(dtype.as_numpy_dtype(o[beta])) for beta in ("beta1", "beta2")]
        first, second = (1 - tf.pow(beta, steps) for beta in betas)
        rate = tf.cast(o["learning_rate"] * tf.sqrt(second) / first, dtype)
        epsilon = tf.cast(o["epsilon"] * tf.sqrt(second), dtype)
        none, beta1, beta2 = (tf.constant(number, dtype) for number in (0.0, o["beta1"], o["beta2"]))
        for (key, variable), (m, v), gradient in zip(self._variables.items(), self._moments, gradients):
            tf.raw_ops.ResourceApplyAdam(
                var=variable.handle, m=m.handle, v=v.handle, beta1_power=none, beta2_power=none, lr=rate,
                beta1=beta1, beta2=beta2, epsilon=epsilon, grad=gradient, name=_name_of_update(key),
            )


class AdamW(Adam):
    def update(self, gradients):
        decay = self._settings["learning_rate"] * self._settings["weight_decay"]
        for variable in self._variables.values():
            variable.assign_sub(variable * decay)
        super().update(gradients)


OPTIMIZERS = {"sgd": Sgd, "adam": Adam, "adamw": AdamW}


class LossScaling:
    """Dynamic scaling of the loss, with the defaults of Keras' LossScaleOptimizer."""

    FIRST_SCALE = 2.0 ** 15
    GROWTH_STEPS = 2000          # without an overflow; then the scale doubles

    def __init__(self, tf):
        self._tf = tf
        self.scale = tf.Variable(self.FIRST_SCALE, trainable=False)
        self.overflows = tf.Variable(0, dtype=tf.int64, trainable=False)
        self._steps = tf.Variable(0, dtype=tf.int64, trainable=False)        # since the scale changed

    def unscaled(self, gradients):
        return [gradient / self.scale for gradient in gradients]

    def shrink(self):
        self.scale.assign(self._tf.maximum(self.scale / 2, 1.0))

    def update(self, gradients, update):
        """Calls ``update`` with the gradients divided by the scale, unless one is not finite; then adapts the scale."""
        tf = self._tf
        gradients = self.unscaled(gradients)

        def finite():
            update(gradients)
            grows = self._steps.assign_add(1) >= self.GROWTH_STEPS
            self.scale.assign(tf.where(grows, self.scale * 2, self.scale))
            self._steps.assign(tf.where(grows, tf.zeros_like(self._steps), self._steps))
            return True

        def overflow():
            self.shrink()
            self._steps.assign(0)
            self.overflows.assign_add(1)
            return False

        tf.cond(self.are_finite(gradients), finite, overflow)

    def are_finite(self, gradients):
        return self._tf.reduce_all([self._tf.reduce_all(self._tf.math.is_finite(each)) for each in gradients])
