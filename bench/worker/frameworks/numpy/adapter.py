"""NumPy: the oracle with which every other framework must agree; it can be timed like them.

Each operation is a forward and a backward formula written out by hand. Images are NCHW. Nothing here is shared with
the frameworks that are proven against it. In float64 this is the reference; it runs from Python 3.6, NumPy 1.19.
"""

import ctypes
import os

import numpy as np

from ...carried import State
from ...devices import is_host
from ...graphs import (
    copies,
    ends_of_training,
    for_inference,
    inputs_of,
    last_readers,
    layer_of,
    layers_for_loss,
    objectives,
    output_names,
    outputs_of,
    with_gradient,
    without_objectives,
)
from ...samples import count, first, mapped, packed, part_of, unpacked
from ...tracing import GRADIENT_ADD, LOSS, OPTIMIZER
from ...tracing.timeline import Timeline
from .. import Prepared, Unsupported
from .._objectives import Objectives, merged
from .lowerings import LOWERINGS

DISTRIBUTIONS = ("numpy",)
IMPORTS = "numpy"
COMPILE_MODES = ("eager",)
LAYOUTS = ("nchw",)
PRECISIONS = ("fp32", "fp64")
DEVICES = ("cpu",)
ACCUMULATES = True
OBJECTIVES = True
CARRIES = True
BEST = {"inference": ("eager", "nchw"), "training": ("eager", "nchw")}

DTYPES = {"fp32": np.float32, "fp64": np.float64}


def softmax_cross_entropy(output, target):
    shifted = output - output.max(axis=-1, keepdims=True)
    log_probabilities = shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
    chosen = np.asarray(target)[..., None] == np.arange(output.shape[-1])
    loss = -log_probabilities[chosen].mean()
    return loss, (np.exp(log_probabilities) - chosen) / output.dtype.type(chosen[..., 0].size)


def mean_squared_error(output, target):
    difference = output - np.asarray(target, dtype=output.dtype)
    return np.mean(difference ** 2), 2 * difference / output.dtype.type(difference.size)


def binary_cross_entropy(output, target):
    target = np.asarray(target, dtype=output.dtype)
    shrunk = np.exp(-np.abs(output))
    loss = np.mean(np.maximum(output, 0) - output * target + np.log1p(shrunk))
    return loss, (np.where(output > 0, 1, shrunk) / (1 + shrunk) - target) / output.dtype.type(output.size)


def value(output, target):
    return np.mean(output), np.full_like(output, 1 / output.size)


LOSSES = {
    "softmax_cross_entropy": softmax_cross_entropy, "mean_squared_error": mean_squared_error,
    "binary_cross_entropy": binary_cross_entropy, "value": value,
}


def loss_and_gradient(kind, output, target):
    """(loss as a float, its gradient for the output) of a loss by its name.

    ``output`` is (samples, classes) or (samples, steps, classes) with ``target`` int (samples,) or (samples, steps)
    for softmax_cross_entropy; for value there is no target, and for the others both have one shape.
    """
    loss, gradient = LOSSES[kind](output, target)
    return float(loss), gradient


class Sgd:
    """Changes weights in place, both by key."""

    def __init__(self, settings):
        self.settings = settings
        self.velocity = {}

    def update(self, weights, gradients):
        for key, gradient in gradients.items():
            if key in self.velocity:
                self.velocity[key] *= self.settings["momentum"]
                self.velocity[key] += gradient
            else:
                self.velocity[key] = gradient.copy()
            weights[key] -= self.settings["learning_rate"] * self.velocity[key]


class Adam:
    """Changes weights in place, both by key."""

    def __init__(self, settings):
        self.settings = settings
        self.moments = {}
        self.steps = 0

    def update(self, weights, gradients):
        s = self.settings
        self.steps += 1
        first_bias, second_bias = 1 - s["beta1"] ** self.steps, 1 - s["beta2"] ** self.steps
        for key, gradient in gradients.items():
            if key not in self.moments:
                self.moments[key] = np.zeros_like(gradient), np.zeros_like(gradient)
            first, second = self.moments[key]
            first *= s["beta1"]
            first += (1 - s["beta1"]) * gradient
            second *= s["beta2"]
            second += (1 - s["beta2"]) * gradient ** 2
            root = np.sqrt(second / second_bias) + s["epsilon"]
            weights[key] -= s["learning_rate"] / first_bias * first / root


class AdamW(Adam):
    def update(self, weights, gradients):
        for key in gradients:
            weights[key] *= 1 - self.settings["learning_rate"] * self.settings["weight_decay"]
        super().update(weights, gradients)


OPTIMIZERS = {"sgd": Sgd, "adam": Adam, "adamw": AdamW}


DECIDING = ("relu", "clip", "leaky_relu", "prelu", "hard_sigmoid", "hard_swish", "max_pool")


class Network(Prepared):
    def __init__(self, graph, weights, settings):
        self._graph = graph
        self._is_training = settings["mode"] == "training"
        self._dtype = DTYPES[settings["precision"]]
        self._weights = {key: np.array(value, dtype=self._dtype) for key, value in weights.items()}
        self._optimizer = OPTIMIZERS[graph["optimizer"]["kind"]](graph["optimizer"])
        self._random = np.random.default_rng(settings["seed"])
        self._with_gradient = with_gradient(graph)
        self._copies, self._updates = copies(graph), 0
        self._inputs, self._outputs = [each["name"] for each in inputs_of(graph)], output_names(graph)
        self._ends = ends_of_training(graph)
        self._for_loss = layers_for_loss(graph)
        self._state, self._left = State(graph), ()       # what a step takes over, and what the last pass left for it
        self._last_read = last_readers(graph["layers"], self._outputs)
        self._steps = 0
        self._shards = settings.get("shards", 1)             # equal parts of a batch, each with statistics of its own
        self._accumulate = settings.get("accumulate", 1)     # equal parts of a batch, one after the other
        self._sent_as = settings.get("gradients_sent_as")    # dtype in which their gradients are summed, if another
        self._tie_margins = settings.get("tie_margins", {})      # by layer; see Operation.tie_width
        tie_seed = settings.get("tie_seed")
        self._tie_random = None if tie_seed is None else np.random.RandomState(tie_seed)

    def load(self, batches):
        self._batches = [(self._input(x), y) for x, y in batches]
        self._steps = 0
        self._state.forget()

    def next_batch(self):
        self._steps += 1
        return self._batches[(self._steps - 1) % len(self._batches)]

    def step(self):
        x, y = self.next_batch()
        if self._is_training:
            self._result = self.descend(x, y, self._draw_masks(count(x)))[0]
        else:
            self._result = self._forward(self._state.into(x))[0]
            self._state.keep(self._state.of_outputs(self._result))

    def synchronize(self):
        pass                             # NumPy returns when it has finished

    def result(self):
        return self._result

    def forward(self, x):
        return self._forward(self._input(x))[0]

    def output(self, x, is_training):
        """The network's output in either mode, without dropout; in training what the loss takes."""
        output = self._forward(self._input(x), {} if is_training else None)[0]
        return first(output) if is_training else output

    def gradients(self, x, y, masks):
        loss, gradients, _ = self._gradients(self._input(x), y, masks)
        return loss, gradients

    def train(self, x, y, masks):
        return self.descend(x, y, masks)[0]

    def weights(self):
        return {key: value.copy() for key, value in self._weights.items()}

    def state(self):
        return dict(zip(self._state.inputs, map(np.array, self._state.arrays)))

    def _input(self, x):
        return mapped(lambda each: np.asarray(each, self._dtype if np.asarray(each).dtype.kind == "f" else None), x)

    def layer_times(self, steps):
        timeline = Timeline()
        watched = WatchedNetwork(self, timeline)
        for _ in range(steps):
            timeline.step(watched.step, watched.synchronize)
        self._steps, self._result = watched._steps, watched._result
        return timeline.plain()

    def _draw_masks(self, samples):
        """A fresh mask for each dropout layer, 0 or 1/(1-rate)."""
        layers = (layer for layer in self._for_loss if layer["op"] == "dropout")
        return {layer["name"]: self._draw_mask(layer, samples) for layer in layers}

    def _draw_mask(self, layer, samples):
        rate = layer["attributes"]["rate"]
        kept = self._random.random([samples, *layer["output_shape"]], dtype=np.float32) >= rate
        return kept * self._dtype(1 / (1 - rate))

    def _operation(self, layer, masks, statistics):
        # Layers that share running statistics move them one after the other.
        weights = {p["name"]: statistics.get(p["key"], self._weights[p["key"]]) for p in layer["parameters"]}
        mask = masks.get(layer["name"]) if masks else None
        return LOWERINGS[layer["op"]](
            layer["attributes"], weights,
            training=masks is not None,
            mask=None if mask is None else np.asarray(mask, dtype=self._dtype),
            needs_input_gradient=any(layer_of(value) in self._with_gradient for value in layer["inputs"]),
            tie_margin=self._tie_margins.get(layer["name"], 0), random=self._tie_random,
            dtype=self._dtype,
        )

    def decided(self, x, masks):
        """{layer: its input} of the layers that decide by it which gradients pass, in a training-mode forward pass."""
        shards = []
        for part in self._parts(count(x), self._shards * self._accumulate):
            shards.append({})
            own_masks = {name: mask[part] for name, mask in masks.items()}
            self._forward(self._input(part_of(x, part)), own_masks, seen=shards[-1])
        return {name: np.concatenate([shard[name] for shard in shards]) for name in shards[0]}

    def _forward(self, x, masks=None, statistics=None, seen=None):
        """(output, operations that can run backward); inference, and no operations, without masks.

        ``statistics`` receives the new running statistics by key, ``seen`` what ``decided`` answers.
        """
        is_training = masks is not None
        statistics = {} if statistics is None else statistics
        values = dict(zip(self._inputs, unpacked(x)))
        operations = []
        for layer in self._for_loss if is_training else self._graph["layers"]:
            operation = self._operation(layer, masks, statistics)
            if seen is not None and layer["op"] in DECIDING:
                seen[layer["name"]] = values[layer["inputs"][0]]
            output = operation.forward(*[values[name] for name in layer["inputs"]])
            values.update(zip(outputs_of(layer), output if isinstance(output, tuple) else (output,)))
            if is_training:
                operations.append(operation)
                statistics.update(
                    (p["key"], operation.statistics[p["name"]]) for p in layer["parameters"]
                    if p["name"] in operation.statistics
                )
            for name in set(layer["inputs"]):
                if self._last_read.get(name) == layer["name"]:
                    del values[name]
        return packed([values[name] for name in (self._ends if is_training else self._outputs)]), operations

    def _parts(self, samples, number):
        size = samples // number
        return [slice(start, start + size) for start in range(0, size * number, size)]

    def _gradients(self, x, y, masks):
        """(loss, {key: gradient}, {key: new running statistic}); the mean over the parts of the batch, and over the
        shards, where there are many. A part begins with the statistics that the one before it left."""
        if self._accumulate == 1:
            return self._gradients_of_part(x, y, masks)
        of_parts, kept = [], self._weights
        try:
            for part in self._parts(count(x), self._accumulate):
                own_masks = {name: mask[part] for name, mask in masks.items()}
                of_parts.append(self._gradients_of_part(part_of(x, part), y[part], own_masks))
                self._weights = dict(self._weights, **of_parts[-1][2])
        finally:
            self._weights = kept
        losses, gradients, statistics = zip(*of_parts)
        mean = {key: sum(part[key] for part in gradients) / self._accumulate for key in gradients[0]}
        return sum(losses) / self._accumulate, mean, statistics[-1]

    def _gradients_of_part(self, x, y, masks):
        of_shards = []
        for part in self._parts(count(x), self._shards):
            own_masks = {name: mask[part] for name, mask in masks.items()}
            of_shards.append(self._gradients_of_shard(part_of(x, part), y[part], own_masks))
        if len(of_shards) == 1:
            return of_shards[0]
        losses, gradients, statistics = zip(*of_shards)
        mean = {key: self._mean_gradient([shard[key] for shard in gradients]) for key in gradients[0]}
        mean_statistics = {key: sum(shard[key] for shard in statistics) / self._shards for key in statistics[0]}
        return sum(losses) / self._shards, mean, mean_statistics

    def _mean_gradient(self, shards):
        if self._sent_as is None:
            return sum(shards) / self._shards
        # As PyTorch's fp16_compress_hook: divided before the sum, in the narrower format.
        sent_as = np.dtype(self._sent_as).type
        return sum(each.astype(sent_as) / sent_as(self._shards) for each in shards).astype(self._dtype)

    def _gradients_of_shard(self, x, y, masks):
        gradients, statistics = {}, {}
        ends, operations = self._forward(x, masks, statistics)
        output, *self._left = unpacked(ends)
        loss, gradient = self._loss_and_gradient(output, y)
        arriving = {self._outputs[0]: gradient}
        for layer in reversed(self._for_loss):
            operation = operations.pop()             # which also frees the arrays that it kept
            if layer["name"] not in self._with_gradient:
                continue
            passed_on = operation.backward(*[arriving.pop(value, None) for value in outputs_of(layer)])
            for name, part in zip(layer["inputs"], passed_on):
                if layer_of(name) in self._with_gradient and part is not None:
                    arriving[name] = self._sum(arriving[name], part) if name in arriving else part
            for p in layer["parameters"]:
                key = p["key"]
                if p["is_trainable"] and p["name"] in operation.gradients:
                    part = operation.gradients[p["name"]]
                    gradients[key] = self._sum(gradients[key], part) if key in gradients else part
        return loss, gradients, statistics

    def descend(self, x, y, masks):
        """One training step with given dropout masks: (loss before its update, {key: gradient})."""
        loss, gradients, statistics = self._gradients(self._state.into(self._input(x)), y, masks)
        self._state.keep(self._left)
        self._update(gradients, statistics)
        return loss, gradients

    def _loss_and_gradient(self, output, y):
        return loss_and_gradient(self._graph["loss"], output, y)

    def _sum(self, gradient, other):
        return gradient + other

    def _update(self, gradients, statistics):
        self._optimizer.update(self._weights, gradients)
        self._weights.update(statistics)
        self._updates += 1
        for every, keys in self._copies:
            if self._updates % every == 0:
                self._weights.update((key, self._weights[source].copy()) for key, source in keys.items())


class WatchedNetwork(Network):
    """A network with the weights and batches of another one that records its time in a timeline."""

    def __init__(self, network, timeline):
        vars(self).update(vars(network))
        self._timeline = timeline
        for layer in self._for_loss if self._is_training else self._graph["layers"]:
            timeline.add_row((layer["name"], "forward"))
        # One formula gives the loss with its gradient, so all of it counts as forward.
        self._loss_and_gradient = timeline.booked((LOSS, "forward"), self._loss_and_gradient)
        self._sum = timeline.booked((GRADIENT_ADD, "backward"), self._sum)
        self._update = timeline.booked((OPTIMIZER, "update"), self._update)

    def _draw_mask(self, layer, samples):
        return self._timeline.booked((layer["name"], "forward"), super()._draw_mask)(layer, samples)

    def _operation(self, layer, masks, statistics):
        return WatchedOperation(super()._operation(layer, masks, statistics), layer["name"], self._timeline)


class WatchedOperation:
    """An operation whose time is recorded for its layer."""

    def __init__(self, operation, name, timeline):
        self._operation, self._name, self._timeline = operation, name, timeline
        self.gradients, self.statistics = {}, {}

    def forward(self, *inputs):
        output = self._timeline.booked((self._name, "forward"), self._operation.forward)(*inputs)
        self.statistics = self._operation.statistics
        return output

    def backward(self, *gradients):
        return self._timeline.booked((self._name, "backward"), self._backward)(*gradients)

    def _backward(self, *gradients):
        operation, self._operation = self._operation, None       # its time includes freeing the arrays that it kept
        passed_on = operation.backward(*gradients)
        self.gradients = operation.gradients
        return passed_on


class Rounding:
    """Rounds as a narrower format does: each value to the nearest of its values, with an error of up to ``roundoff``.

    That is relative to the value itself or, for integers, to the largest of its array (Higham, "Accuracy and stability
    of numerical algorithms", section 2.2). The grid of the format's values is shifted at random for each array: so
    nearly equal values have equal errors, as in the format, and the error of their sum is as large as theirs. A format
    in which values are stored rounds the outputs of layers, the gradients that they pass back, and weights. A format
    that is not stored rounds only the operands of ``takers``, names of operations.
    """

    def __init__(self, roundoff, of_largest, takers, seed):
        self.roundoff, self.of_largest, self.takers = roundoff, of_largest, takers
        self.is_stored = takers is None
        self.random = np.random.default_rng(seed)

    def rounded(self, array):
        """The array, or the tuple of arrays, rounded; None, integers and booleans as they are."""
        if isinstance(array, tuple):
            return tuple(map(self.rounded, array))
        if array is None or array.dtype.kind != "f":
            return array
        real, shift = array.dtype.type, self.random.random()
        if self.of_largest:
            step = real(2 * self.roundoff * np.abs(array).max())
            return (np.rint(array / step + real(shift)) - real(shift)) * step if step else array
        scale = real(2 ** shift)
        fraction, exponent = np.frexp(array * scale)         # the fraction lies from 1/2 to 1
        return np.ldexp(np.rint(fraction / real(self.roundoff)) * real(self.roundoff), exponent) / scale

    def stored(self, array):
        return self.rounded(array) if self.is_stored else array


class RoundedNetwork(Network):
    """A network that computes as if in a narrower format; its errors are the tolerance for frameworks."""

    def __init__(self, graph, weights, settings):
        super().__init__(graph, weights, settings)
        self._rounding = Rounding(**settings["rounding"])

    def _operation(self, layer, masks, statistics):
        operation = super()._operation(layer, masks, statistics)
        if not self._rounding.is_stored and layer["op"] not in self._rounding.takers:
            return operation
        operation.rounding = self._rounding
        operation.weights = {name: self._rounding.rounded(weight) for name, weight in operation.weights.items()}
        return RoundedOperation(operation, self._rounding)

    def _loss_and_gradient(self, output, y):
        loss, gradient = super()._loss_and_gradient(output, y)
        return loss, self._rounding.stored(gradient)


class RoundedOperation:
    """An operation whose results are stored in a narrower format, or whose operands are rounded to it."""

    def __init__(self, operation, rounding):
        self._operation, self._rounding = operation, rounding
        self.gradients, self.statistics = {}, {}

    def forward(self, *inputs):
        if self._rounding.is_stored:
            output = self._rounding.rounded(self._operation.forward(*inputs))
        else:
            output = self._operation.forward(*map(self._rounding.rounded, inputs))
        self.statistics = self._operation.statistics
        return output

    def backward(self, *gradients):
        rounding = self._rounding
        passed_on = self._operation.backward(*(gradients if rounding.is_stored else rounding.rounded(gradients)))
        self.gradients = {name: rounding.stored(each) for name, each in self._operation.gradients.items()}
        return rounding.stored(passed_on)


class NetworkOfObjectives(Objectives):
    def __init__(self, kind, graph, weights, settings):
        whole = kind(without_objectives(graph), weights, settings)
        super().__init__(whole, [kind(each, weights, settings) for each in objectives(graph)])
        for part in self._parts:
            part._weights = whole._weights

    def _next_batch(self):
        return self._whole.next_batch()

    def _take_turn(self, part, x, y):
        return part.descend(x, y, part._draw_masks(count(x)))[0]

    def output(self, x, is_training):
        """As of a Network, but in inference only: in training each objective has an output of its own."""
        return self._whole.output(x, is_training)

    def descend(self, x, y, masks):
        """One training step: (losses, each before the update of its objective, {key: gradient})."""
        answers = [part.descend(x, y, masks) for part in self._parts]
        return np.array([loss for loss, _ in answers]), merged([gradients for _, gradients in answers])

    def decided(self, x, masks):
        return merged([part.decided(x, masks) for part in self._parts])

    def layer_times(self, steps):
        timeline, parts = Timeline(), self._parts
        self._parts = [WatchedNetwork(part, timeline) for part in parts]
        try:
            for _ in range(steps):
                timeline.step(self.step, self.synchronize)
        finally:
            self._parts = parts
        return timeline.plain()


def prepare(graph, weights, settings):
    if settings["precision"] not in DTYPES:
        raise Unsupported("NumPy's matrix products run in fp32 or fp64, not " + settings["precision"])
    if not is_host(settings["device"]):
        raise Unsupported("NumPy runs on the CPU, not on " + settings["device"])
    if settings["compile_mode"] != "eager":
        raise Unsupported("NumPy has no compiler, so compile mode is eager, not " + settings["compile_mode"])
    if settings["layout"] != "nchw":
        raise Unsupported("the NumPy operations are written for layout nchw, not " + settings["layout"])
    set_threads = openblas_function("set_num_threads")
    if set_threads is not None:
        set_threads(settings["threads"])
    if settings["mode"] != "training":
        graph = for_inference(graph)
    kind = RoundedNetwork if "rounding" in settings else Network
    if "objectives" in graph:
        return NetworkOfObjectives(kind, graph, weights, settings)
    return kind(graph, weights, settings)


def openblas_function(name):
    """A function of the OpenBLAS in NumPy's wheel; None if NumPy uses another library."""
    folder = os.path.join(os.path.dirname(os.path.dirname(np.__file__)), "numpy.libs")
    files = os.listdir(folder) if os.path.isdir(folder) else []
    for file in files:
        if "openblas" in file:
            library = ctypes.CDLL(os.path.join(folder, file))        # loaded by NumPy already, so the same one
            for spelling in ("scipy_openblas_{}64_", "scipy_openblas_{}", "openblas_{}64_", "openblas_{}"):
                if hasattr(library, spelling.format(name)):
                    return getattr(library, spelling.format(name))
    return None


def facts():
    """Version, linear algebra library with its kernel, and number of threads; None if not known."""
    config, threads = openblas_function("get_config"), openblas_function("get_num_threads")
    if config is not None:
        config.restype = ctypes.c_char_p
    return {
        "version": np.__version__,
        "blas": None if config is None else config().decode(),
        "threads": None if threads is None else threads(),
    }
