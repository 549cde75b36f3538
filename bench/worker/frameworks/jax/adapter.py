"""JAX: pure functions of jax.lax, one per layer, traced into one program per step and compiled by XLA.

Runs with JAX 0.10.
"""

import glob
import itertools
import math
import os
import tempfile
import time

import numpy as np

from ...carried import State
from ...devices import index as device_index
from ...devices import is_host
from ...devices import kind as device_kind
from ...graphs import (
    canonical_keys,
    carried,
    copies,
    ends_of_training,
    for_inference,
    inputs_of,
    layers_for_loss,
    output_names,
    outputs_of,
    parameters_of,
)
from ...precisions import WITHOUT_TRAINING
from ...samples import first, mapped, packed, parts_of, unpacked
from ...tracing import LOSS, OPTIMIZER, hlo, trace
from .. import Prepared, Unsupported, refusals, refuse_unknown, widened
from .._image_layouts import Plan, channels_first, channels_last, inverse
from . import layer_owners as traced
from . import lowerings

DISTRIBUTIONS = ("jax", "jaxlib")
IMPORTS = "jax"
COMPILE_MODES = ("xla",)         # jax.jit; users do not run networks operation by operation
LAYOUTS = ("channels_last", "nchw")
PRECISIONS = ("fp32", "tf32", "fp64", "bf16", "fp16", "bf16_pure", "fp16_pure")      # JAX itself has no quantisation
DEVICES = ("cpu", "cuda")
LOWERINGS = lowerings.LOWERINGS

# NCHW takes 1.21 of the time in inference and 1.10 in training (ResNet-18, batch 8, one core of a Zen 5 CPU).
ACCUMULATES = True
OBJECTIVES = True
CARRIES = True
BEST = {"inference": ("xla", "channels_last"), "training": ("xla", "channels_last")}

# XLA may put many convolutions of a CPU program into one call of a library (the last six of ResNet-18's inference),
# whose time no trace can divide. This option makes one call per convolution. In training they are not merged, and the
# option would slow the step. A jaxlib that does not know the option ends the process with a message.
LAYER_VARIABLES = {
    ("cuda", "xla", "inference"): hlo.KERNELS_APART, ("cuda", "xla", "training"): hlo.KERNELS_APART,
    ("cpu", "xla", "inference"): {
        "XLA_FLAGS": "--xla_cpu_experimental_ynn_fusion_type=individual_convolution,individual_dot",
    },
}


def prepare(graph, weights, settings, kind=None):
    """The network on its device with these weights; raises Unsupported for settings that JAX lacks.

    XLA compiles in the first step of each batch shape. Its CPU threads are as many as the cores that this process
    might use when JAX started, so "threads" has no effect here: set the affinity before.
    """
    import jax

    refuse_unknown("jax", graph, settings)
    if jax.config.jax_disable_jit:
        raise Unsupported("JAX_DISABLE_JIT is set, so JAX would run one operation after the other; unset it")
    # Not in other precisions, in which random numbers would become float64 too.
    jax.config.update("jax_enable_x64", settings["precision"] == "fp64")
    is_cpu = is_host(settings["device"])
    device = cpu_device(jax) if is_cpu else cuda_device(jax, settings["device"], settings["precision"])
    if settings["mode"] != "training":
        graph = for_inference(graph)
    if "objectives" in graph:
        from . import objectives

        kind = objectives.JaxObjectives
    return (kind or JaxPrepared)(jax, graph, weights, settings, device)


def facts():
    """Versions, the platform with its own version, devices, and available cores (None if they are not known)."""
    import jax
    import jaxlib

    device = jax.devices()[0]
    return {
        "version": jax.__version__,
        "jaxlib": jaxlib.__version__,
        "platform": device.platform,
        "platform_version": device.client.platform_version,
        "device_count": jax.device_count(),
        "threads": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None,
    }


def cpu_device(jax):
    # Otherwise JAX would start all its platforms, and that of a GPU takes most of the GPU's memory.
    jax.config.update("jax_platforms", "cpu")
    return jax.devices("cpu")[0]


def cuda_device(jax, name, precision):
    """The device of that name, with TF32 only if requested; raises Unsupported if there is none."""
    if device_kind(name) != "cuda":
        raise Unsupported(f"the jax adapter has no device '{name}'; it has {', '.join(DEVICES)}")
    # JAX would take most of the memory of every visible GPU, including those that other processes use.
    jax.config.update("jax_cuda_visible_devices", str(device_index(name)))
    try:
        device, *_ = jax.devices("cuda")
    except RuntimeError as error:                        # "Unknown backend cuda", or no such card
        reason = str(error).splitlines()[0]
        raise Unsupported(f"no device '{name}': JAX {jax.__version__} has no usable CUDA here ({reason})") from error
    if precision == "tf32" and float(device.compute_capability) < 8:
        raise Unsupported(f"no tf32 on {device.device_kind}: it begins with compute capability 8.0")
    # Otherwise products and convolutions use TF32 by default.
    jax.config.update("jax_default_matmul_precision", "tensorfloat32" if precision == "tf32" else "highest")
    return device


# Messages of XLA about formats for which it has no kernel.
_MISSING_KERNEL = r"UNIMPLEMENTED: .*|NOT_FOUND: .*|.*[Uu]nsupported (?:element )?type.*"


def _at_least_fp32(jax, array):
    return array.astype(np.float32) if array.dtype.itemsize < 4 else array


def _all_finite(jax, arrays):
    """Whether every number in every array is finite; a JAX value, which may be traced."""
    return jax.numpy.stack([jax.numpy.isfinite(array).all() for array in jax.tree.leaves(arrays)]).all()


def _softmax_cross_entropy(jax, output, y):
    # As optax has it. Of scores less their maximum XLA on a CPU makes one loop with the product that gives the scores,
    # which takes 1.3 of the time of the scores of BERT's 30,522 tokens, their loss and gradients.
    chosen = jax.numpy.take_along_axis(output, y[..., None], -1)[..., 0]
    return (jax.nn.logsumexp(output, -1) - chosen).mean()


def _mean_squared_error(jax, output, y):
    return ((output - y) ** 2).mean()


def _binary_cross_entropy(jax, output, y):
    return (jax.nn.softplus(output) - output * y).mean()


def _value(jax, output, y):
    return output.mean()


LOSSES = {
    "softmax_cross_entropy": _softmax_cross_entropy, "mean_squared_error": _mean_squared_error,
    "binary_cross_entropy": _binary_cross_entropy, "value": _value,
}


# Mixed precision. Defaults of Keras' LossScaleOptimizer, and of Flax's DynamicScale but for the first scale.
FIRST_SCALE = 2.0 ** 15
GROWTH_STEPS = 2000              # without an overflow; then the scale doubles

STORED = {"fp64": np.float64, "bf16_pure": "bfloat16", "fp16_pure": np.float16}          # others: fp32
COMPUTED = {"bf16": "bfloat16", "fp16": np.float16}                                      # others: as stored


def _rescaled(jax, scaling, is_finite):
    """The (scale, steps since it changed, overflows) after a step whose gradients were finite or not."""
    scale, steps, overflows = scaling
    grows = steps + 1 >= GROWTH_STEPS
    where = jax.numpy.where
    finite = where(grows, scale * 2, scale), where(grows, 0, steps + 1), overflows
    overflow = jax.numpy.maximum(scale / 2, 1), 0, overflows + 1
    return jax.tree.map(lambda one, other: where(is_finite, one, other), finite, overflow)


# The optimizers: (jax, settings, step from 1, weight, gradient, moments) -> (weight, moments), for each parameter.


def _sgd(jax, o, step, weight, gradient, moments):
    velocity = gradient
    if moments:
        velocity = o["momentum"] * moments[0] + gradient
        moments = (velocity,)
    return weight - o["learning_rate"] * velocity, moments


def _adam(jax, o, step, weight, gradient, moments):
    first = o["beta1"] * moments[0] + (1 - o["beta1"]) * gradient
    second = o["beta2"] * moments[1] + (1 - o["beta2"]) * gradient ** 2
    root = jax.numpy.sqrt(second / _bias(jax, o["beta2"], step)) + o["epsilon"]
    return weight - o["learning_rate"] * (first / _bias(jax, o["beta1"], step)) / root, (first, second)


def _bias(jax, beta, step):
    """1 - beta ** step, without the rounding of 0.999 to fp32, of which 1 - 0.999 would keep 1e-5."""
    return -jax.numpy.expm1(step * math.log(beta)) if beta else 1.0


def _adamw(jax, o, step, weight, gradient, moments):
    return _adam(jax, o, step, weight * (1 - o["learning_rate"] * o["weight_decay"]), gradient, moments)


OPTIMIZERS = {"sgd": _sgd, "adam": _adam, "adamw": _adamw}


def _moments_per_parameter(optimizer):
    return int(optimizer["momentum"] != 0) if optimizer["kind"] == "sgd" else 2


class JaxPrepared(Prepared):
    """A network as jitted functions, and the arrays that they read or, in training, take and give back."""

    def __init__(self, jax, graph, weights, settings, device):
        self._jax = jax
        self._graph = graph
        self._device = device
        self._layout = lowerings.Layout(settings["layout"])
        self._is_training = settings["mode"] == "training"
        self._seed = settings["seed"]
        self._accumulate = settings.get("accumulate", 1)
        precision = settings["precision"]
        self.can_train = precision not in WITHOUT_TRAINING
        self._stored = jax.numpy.dtype(STORED.get(precision, np.float32))
        self._computed = jax.numpy.dtype(COMPUTED.get(precision, self._stored))
        self._is_scaled = precision == "fp16" and self._is_training

        self._inputs, self._outputs = [each["name"] for each in inputs_of(graph)], output_names(graph)
        self._plan = Plan(graph, has_images=self._layout.is_channels_last)
        self._layers = self._with_turns(graph)
        self._ends, self._state = ends_of_training(graph), State(graph)
        for_loss = {layer["name"] for layer in layers_for_loss(graph)}
        self._for_loss = [each for each in self._layers if each[0]["name"] in for_loss]
        self._flattened = {                              # by key of a parameter, which may bear another layer's name
            layer["parameters"][0]["key"]: self._plan.dense[layer["name"]]
            for layer in graph["layers"] if layer["name"] in self._plan.dense
        }
        self._shared = canonical_keys(graph)
        self._copies = copies(graph)
        for _, keys in self._copies:
            self._plan.refuse_copies(keys)
        self._axes = {
            p["key"]: self._layout.parameter_axes(layer["op"], len(p["shape"]))
            for layer in graph["layers"] for p in layer["parameters"]
        }
        self._axes.update((key, tuple(range(len(self._axes[key])))) for key in self._shared)
        trainable = {key for key, p in parameters_of(graph).items() if p["is_trainable"]}
        kept = {key: self._array(self._kept(key, np.asarray(weights[key], self._stored))) for key in self._axes}
        self._parameters = {key: array for key, array in kept.items() if key in trainable}
        self._statistics = {key: array for key, array in kept.items() if key not in trainable}
        self._moments = None                             # at the first update; inference does not allocate them
        self._steps = None
        self._scaling = ()                               # where there is one: see _rescaled
        if self._is_scaled:
            self._scaling = tuple(self._array(start) for start in (np.float32(FIRST_SCALE), np.int32(0), np.int32(0)))

        self._infer = jax.jit(self._output)
        self._differentiate = jax.jit(self._accumulated)
        # Donated: the update overwrites the old weights, statistics and moments.
        self._train = jax.jit(self._updated, donate_argnums=(0, 1, 2, 3, 4))
        self._advance = self._update if self._is_training else self._continue
        self._loaded = self._batches = None
        self._last = None
        self._programs = {}                              # what layer_times knows about them, by shape of a batch

    def _with_turns(self, graph):
        """(layer, its outputs, the orders in which it takes its inputs) of each layer of a graph."""
        return [
            (dict(layer, is_image=layer["name"] in self._plan.images), outputs_of(layer), self._plan.turns(layer))
            for layer in graph["layers"]
        ]

    # The timed way.

    def load(self, batches):
        self._loaded = [(self._input(x), self._target(y)) for x, y in batches]
        self._batches = itertools.cycle(self._loaded)
        self._state.forget()

    def step(self):
        x, y = next(self._batches)
        self._last = self._advance(x, y)

    def synchronize(self):
        self._jax.block_until_ready((self._last, self._parameters, self._statistics, self._moments))

    def result(self):
        return self._number(self._last) if self._is_training else self._canonical(self._last)

    def overflow_steps(self):
        return int(self._scaling[2]) if self._is_scaled else None

    peak_memory_method = "device_allocator_since_start"

    def peak_memory_bytes(self):
        """Peak bytes in use by arrays and programs since the process started; the allocator reserves more."""
        return None if self._device.platform == "cpu" else self._device.memory_stats()["peak_bytes_in_use"]

    def layer_times(self, steps):
        """See the contract; from JAX's own trace of the steps, and the names in the program that XLA made of them."""
        module, owners, kernels = self._program()
        options = self._jax.profiler.ProfileOptions()
        options.python_tracer_level = 0
        options.host_tracer_level = 1                    # includes the operations of a CPU; more slows them down
        options.enable_hlo_proto = False
        step_times_s = []
        with tempfile.TemporaryDirectory(prefix="rigmark-trace-") as folder:
            self._jax.profiler.start_trace(folder, profiler_options=options)
            try:
                for _ in range(steps):
                    begin_s = time.perf_counter()
                    self.step()
                    self.synchronize()
                    step_times_s.append(time.perf_counter() - begin_s)
            finally:
                self._jax.profiler.stop_trace()
            lines = self._lines(folder)
        lack = hlo.lack(lines, {module}, steps, owners, kernels)
        problem = lack and f"JAX's trace {lack}, so there are no layer times"
        spans = [] if problem else hlo.spans(lines, module)
        ran = [trace.Kernel(begin_s, end_s, *owners[name]) for begin_s, end_s, name in spans]
        rows = trace.rows(ran, steps, [layer["name"] for layer in self._graph["layers"]])
        return {"step_times_s": step_times_s, "layers": rows, "problem": problem}

    def _program(self):
        """The program of a step: its name, {instruction: (row, members)}, and the instructions that each run shows."""
        x, y = self._loaded[0]
        shapes = mapped(lambda each: each.shape, x)
        if shapes not in self._programs:
            if self._is_training:
                self._set_off()
                arguments = (
                    self._parameters, self._statistics, self._moments, self._steps, self._scaling, x, y, None
                )
                lowered = self._train.lower(*arguments)
            else:
                lowered = self._infer.lower(self._parameters, self._statistics, x)
            text, scopes = lowered.compile().as_text(), traced.Scopes(self._graph)
            module = text.split(None, 2)[1].rstrip(",")  # "HloModule jit__updated, is_scheduled=true, ..."
            owners = hlo.layers_of(text, scopes.row_of, scopes.gradient_of)
            self._programs[shapes] = module, owners, hlo.kernels(text)
        return self._programs[shapes]

    def _lines(self, folder):
        """The events, (begin_s, end_s, name, stats), of each thread or stream that the trace has of the device."""
        is_cpu = self._device.platform == "cpu"
        device = "/host:CPU" if is_cpu else f"/device:GPU:{self._device.local_hardware_id}"
        return [
            [(event.start_ns / 1e9, event.end_ns / 1e9, event.name, dict(event.stats)) for event in line.events]
            for path in glob.glob(os.path.join(folder, "**", "*.xplane.pb"), recursive=True)
            for plane in self._jax.profiler.ProfileData.from_file(path).planes if plane.name == device
            for line in plane.lines
        ]

    # The proof way.

    def forward(self, x):
        with refusals(_MISSING_KERNEL):
            return self._canonical(self._answer(self._input(x)))

    def gradients(self, x, y, masks):
        arrays = self._input(x), self._target(y), self._masks(masks)
        with refusals(_MISSING_KERNEL):
            (loss, _), gradients = self._differentiate(self._parameters, self._statistics, self._scaling, *arrays)
            while self._is_scaled and self._scaling[0] > 1 and not _all_finite(self._jax, gradients):
                self._scaling = (self._scaling[0] / 2, *self._scaling[1:])       # as a step with an overflow would
                (loss, _), gradients = self._differentiate(self._parameters, self._statistics, self._scaling, *arrays)
        return self._number(first(loss)), {
            key: self._canonical_parameter(key, array) for key, array in gradients.items()
        }

    def train(self, x, y, masks):
        with refusals(_MISSING_KERNEL):
            return self._number(self._update(self._input(x), self._target(y), self._masks(masks)))

    def state(self):
        return {name: widened(self._gathered(each)) for name, each in zip(self._state.inputs, self._state.arrays)}

    def weights(self):
        arrays = {**self._parameters, **self._statistics}
        return {key: self._canonical_parameter(key, arrays[key]) for key in self._axes}

    # What both share.

    def _answer(self, x, y=None):
        return self._infer(self._parameters, self._statistics, x)

    def _continue(self, x, y=None):
        """The outputs of a step, which carries state to the next one."""
        outputs = self._answer(self._state.into(x))
        self._state.keep(self._state.of_outputs(outputs))
        return outputs

    def _update(self, x, y, masks=None):
        """One training step; the loss before its update, on the device."""
        self._set_off()
        self._parameters, self._statistics, self._moments, self._steps, self._scaling, ends = self._train(
            self._parameters, self._statistics, self._moments, self._steps, self._scaling, self._state.into(x), y, masks
        )
        loss, *left = unpacked(ends)
        self._state.keep(left)
        return loss

    def _set_off(self):
        if self._moments is None:
            self._moments, self._steps = self._first_moments()

    def _first_moments(self):
        count = _moments_per_parameter(self._graph["optimizer"])
        moments = {
            key: tuple(self._array(np.zeros(array.shape, array.dtype)) for _ in range(count))
            for key, array in self._parameters.items()
        }
        return moments, self._array(np.zeros((), np.int32))

    # What JAX traces.

    def _output(self, parameters, statistics, x):
        return self._run({**parameters, **statistics}, x, lowerings.Pass(self._jax, self._layout, self._shared))

    def _loss_and_gradients(self, parameters, statistics, scaling, x, y, masks, step=None):
        """((loss with what is carried, new statistics), gradients); with loss scaling those of the scaled loss, divided
        by the scale."""
        def loss(parameters):
            run = lowerings.Pass(
                self._jax, self._layout, self._shared, is_training=True, masks=masks, seed=self._seed, step=step
            )
            output, *left = unpacked(self._run({**parameters, **statistics}, x, run))
            with self._jax.named_scope(LOSS):
                value = LOSSES[self._graph["loss"]](self._jax, _at_least_fp32(self._jax, output), y)
                ends = packed([value, *left])
                return value * scaling[0] if scaling else value, (ends, {**statistics, **run.statistics})

        (_, value), gradients = self._jax.value_and_grad(loss, has_aux=True)(parameters)
        if scaling:
            with self._jax.named_scope(OPTIMIZER):
                gradients = {key: gradient / scaling[0] for key, gradient in gradients.items()}
        return value, gradients

    def _accumulated(self, parameters, statistics, scaling, x, y, masks, step=None):
        """As ``_loss_and_gradients``, with the means of the equal parts of the batch."""
        number = self._accumulate
        if number == 1:
            return self._loss_and_gradients(parameters, statistics, scaling, x, y, masks, step)
        losses, of_parts = [], []
        for index, part in enumerate(parts_of(x, number)):
            own = masks and {name: parts_of(mask, number)[index] for name, mask in masks.items()}
            (loss, statistics), gradients = self._loss_and_gradients(
                parameters, statistics, scaling, part, parts_of(y, number)[index], own,
                None if step is None else step * number + index,
            )
            losses.append(loss)
            of_parts.append(gradients)
        with self._jax.named_scope(OPTIMIZER):
            gradients = {key: sum(part[key] for part in of_parts) / number for key in parameters}
        return (sum(losses) / number, statistics), gradients

    def _updated(self, parameters, statistics, moments, steps, scaling, x, y, masks):
        """The new values of the first five arguments after a step, and the loss before it with what is carried."""
        # Counted and drawn inside the program, so that the host has no work in a step.
        (loss, statistics), gradients = self._accumulated(parameters, statistics, scaling, x, y, masks, steps)
        before = parameters, moments, steps
        optimizer = self._graph["optimizer"]
        changed = {}
        with self._jax.named_scope(OPTIMIZER):
            steps = steps + 1
            for name, weight in parameters.items():
                with self._jax.named_scope(name):        # tells whose gradient it takes, see Scopes.gradient_of
                    changed[name] = OPTIMIZERS[optimizer["kind"]](
                        self._jax, optimizer, steps, weight, gradients[name], moments[name]
                    )
        parameters = {name: weight for name, (weight, _) in changed.items()}
        moments = {name: own for name, (_, own) in changed.items()}
        if scaling:
            with self._jax.named_scope(OPTIMIZER):
                is_finite = _all_finite(self._jax, gradients)
                parameters, moments, steps = self._jax.tree.map(
                    lambda new, old: self._jax.numpy.where(is_finite, new, old), (parameters, moments, steps), before
                )
                scaling = _rescaled(self._jax, scaling, is_finite)
        for every, keys in self._copies:
            statistics = self._copied(steps % every == 0, keys, parameters, statistics)
        return parameters, statistics, moments, steps, scaling, loss

    def _copied(self, is_due, keys, parameters, statistics):
        """The statistics after a copy by {key: key of what it becomes}, if it is due."""
        def copied(parameters, statistics):
            found = {**parameters, **statistics}
            return {key: found[keys.get(key, key)] for key in statistics}

        with self._jax.named_scope(OPTIMIZER):
            return self._jax.lax.cond(is_due, copied, lambda _, kept: kept, parameters, statistics)

    def _run(self, weights, x, run, layers=None):
        values = dict(zip(self._inputs, unpacked(x)))
        for layer, outputs, turns in layers or (self._for_loss if run.is_training else self._layers):
            # Layers that share running statistics move them one after the other.
            own = {p["name"]: run.statistics.get(p["key"], weights[p["key"]]) for p in layer["parameters"]}
            with self._jax.named_scope(layer["name"]):
                inputs = [self._turned(values[name], turn) for name, turn in zip(layer["inputs"], turns)]
                result = self._lowered(layer["op"])(run, layer, own, *inputs)
            values.update(zip(outputs, result if isinstance(result, tuple) else (result,)))
        given = dict(zip(self._inputs, unpacked(x)))
        for taker, name in carried(self._graph):             # so that the next step is the same program
            values[name] = values[name].astype(given[taker].dtype)
        return packed([values[name] for name in (self._ends if run.is_training else self._outputs)])

    def _turned(self, value, turn):
        """A value in the order that a layer takes; see Plan.turns."""
        return value if turn is None else getattr(self._layout, turn)(value)

    def _lowered(self, op):
        """The lowering of an operation, with its floating-point operands in the format of this precision."""
        lower, jax = self._lowering(op), self._jax
        if self._computed == self._stored and self._computed.itemsize >= 4:
            return lower

        def cast(value, dtype):
            return value.astype(dtype) if jax.numpy.issubdtype(value.dtype, jax.numpy.floating) else value

        def forward(run, layer, weights, *inputs):
            dtype = np.float32 if op in lowerings.IN_FP32 else self._computed
            weights, inputs = jax.tree.map(lambda value: cast(value, dtype), (weights, inputs))
            return jax.tree.map(lambda value: cast(value, self._computed), lower(run, layer, weights, *inputs))

        return forward

    def _lowering(self, op):
        return LOWERINGS[op]

    # Arrays in and out.

    def _array(self, array):
        # A copy first: device_put may keep NumPy's own memory, and the update overwrites its arguments.
        return self._jax.device_put(np.array(array, order="C"), self._device)

    def _samples(self, array):
        """An array with an axis of samples in front."""
        return self._array(array)

    def _number(self, loss):
        return float(loss)

    def _input(self, x):
        return packed([self._input_named(name, np.asarray(each)) for name, each in zip(self._inputs, unpacked(x))])

    def _input_named(self, name, array):
        if array.dtype.kind == "b":
            return self._samples(array)
        if array.dtype.kind != "f":
            return self._samples(array.astype(np.int32))
        return self._samples(self._as_value(name, array.astype(self._stored)))

    def _target(self, y):
        if self._graph["loss"] == "softmax_cross_entropy":
            return self._samples(np.asarray(y, np.int32))
        y = np.asarray(y, np.float64 if self._stored.itemsize == 8 else np.float32)
        return self._samples(y if self._graph["loss"] == "value" else self._as_value(self._outputs[0], y))

    def _masks(self, masks):
        """None if there is no mask, so that a network without dropout has one program for proofs and timed steps."""
        return {name: self._samples(self._as_value(name, mask)) for name, mask in masks.items()} or None

    def _as_value(self, name, array):
        """An array from canonical order to that in which the value of this name is kept."""
        if name in self._plan.vectors:
            return channels_last(array, self._plan.vectors[name])
        return self._layout.kept(array) if name in self._plan.images else array

    def _canonical(self, answer):
        """The outputs as NumPy, in canonical order."""
        return packed([self._output_named(*each) for each in zip(self._outputs, unpacked(answer))])

    def _output_named(self, name, output):
        array = widened(self._gathered(output))
        return np.array(self._layout.canonical(array) if name in self._plan.images else array, order="C")

    def _gathered(self, array):
        """An array with an axis of samples as NumPy."""
        return np.asarray(array)

    def _kept(self, key, array):
        """A parameter from canonical order to that of its lowering."""
        if key in self._flattened:
            array = channels_last(array, self._flattened[key])
        return array.transpose(self._axes[key])

    def _canonical_parameter(self, key, array):
        """A NumPy copy of the argument of ``_kept``."""
        array = widened(np.asarray(array)).transpose(inverse(self._axes[key]))
        if key in self._flattened:
            array = channels_first(array, self._flattened[key])
        return np.array(array, order="C")
