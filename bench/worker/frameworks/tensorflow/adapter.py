"""TensorFlow: raw ``tf.nn`` operations on NHWC images, in a ``tf.function`` unless eager.

Needs TensorFlow 2.5 (Python 3.6) or newer, on CUDA 2.12.
"""

import contextlib
import itertools
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
    parameters_of,
)
from ...precisions import WITHOUT_TRAINING
from ...samples import first, packed, parts_of, unpacked
from ...tracing import hlo, trace, xplane
from ...tracing.timeline import Timeline
from .. import Prepared, Unsupported, refusals, refuse_unknown, widened
from .._image_layouts import Plan, channels_last
from . import lowerings, optimizers
from .layers import formats, lowered, named
from .watched_steps import WatchedSteps

DISTRIBUTIONS = ("tensorflow", "tensorflow-cpu", "tensorflow-intel", "tensorflow-rocm", "tensorflow-macos")
IMPORTS = "tensorflow"
COMPILE_MODES = ("compiled", "xla", "eager")     # Keras compiles by default
LAYOUTS = ("channels_last",)                     # convolutions of NCHW images have no kernel on a CPU
PRECISIONS = ("fp32", "tf32", "fp64", "bf16", "fp16", "bf16_pure", "fp16_pure")      # int8 needs another runtime
DEVICES = ("cpu", "cuda")
LOWERINGS = lowerings.LOWERINGS

ACCUMULATES = True
OBJECTIVES = True
CARRIES = True
# XLA is slower on a CPU: 1.2 of the time of tf.function for ResNet-18 in inference, 1.4 in training.
BEST = {"inference": ("compiled", "channels_last"), "training": ("compiled", "channels_last")}

LAYER_VARIABLES = {("cuda", "xla", "inference"): hlo.KERNELS_APART, ("cuda", "xla", "training"): hlo.KERNELS_APART}


def prepare(graph, weights, settings, kind=None):
    """The network on its device with these weights; raises Unsupported for settings that TensorFlow lacks."""
    import tensorflow as tf

    refuse_unknown("tensorflow", graph, settings)
    with contextlib.suppress(RuntimeError):      # has no effect once TensorFlow runs; facts() states the number in use
        tf.config.threading.set_intra_op_parallelism_threads(settings["threads"])
        tf.config.threading.set_inter_op_parallelism_threads(1)
    is_cpu = is_host(settings["device"])
    device = cpu_device(tf) if is_cpu else cuda_device(tf, settings["device"], settings["precision"])
    tf.random.set_seed(settings["seed"])
    if settings["mode"] != "training":
        graph = for_inference(graph)
    if "objectives" in graph:
        from . import objectives

        kind = objectives.TensorflowObjectives
    return (kind or TensorflowPrepared)(tf, graph, weights, settings, device)


def facts():
    """Version, threads in use (0: one per core), and options of the build; None if it does not state them."""
    import tensorflow as tf

    build = tf.sysconfig.get_build_info()
    return {
        "version": tf.__version__,
        "threads": tf.config.threading.get_intra_op_parallelism_threads(),
        "interop_threads": tf.config.threading.get_inter_op_parallelism_threads(),
        "onednn_variable": os.environ.get("TF_ENABLE_ONEDNN_OPTS"),
        "cuda": build.get("cuda_version"),
        "cudnn": build.get("cudnn_version"),
    }


def cpu_device(tf):
    """TensorFlow's name of the CPU; it will not look for a GPU."""
    with contextlib.suppress(RuntimeError):      # too late once it runs
        tf.config.set_visible_devices([], "GPU")
    return "CPU:0"


def cuda_device(tf, device, precision):
    """TensorFlow's name of a CUDA device, with TF32 only if requested; raises Unsupported if there is none."""
    if device_kind(device) != "cuda":
        raise Unsupported(f"the tensorflow adapter has no device '{device}'; it has {', '.join(DEVICES)}")
    if not tf.test.is_built_with_cuda():
        raise Unsupported(f"no device '{device}': this is TensorFlow {tf.__version__}, built without CUDA")
    if not hasattr(tf.test.experimental, "sync_devices"):
        raise Unsupported(f"CUDA is timed with TensorFlow 2.12 or newer, this is {tf.__version__}")
    gpus = tf.config.list_physical_devices("GPU")
    index = device_index(device)
    if index >= len(gpus):
        raise Unsupported(f"no device '{device}': TensorFlow {tf.__version__} sees {len(gpus)} CUDA device(s)")
    with contextlib.suppress(RuntimeError):      # too late once it runs
        for gpu in gpus:                        # TensorFlow requires the same setting for all GPUs
            tf.config.experimental.set_memory_growth(gpu, True)
    is_tf32 = precision == "tf32"
    if is_tf32 and tf.config.experimental.get_device_details(gpus[index])["compute_capability"] < (8, 0):
        raise Unsupported(f"no tf32 on '{device}': it begins with compute capability 8.0")
    tf.config.experimental.enable_tensor_float_32_execution(is_tf32)     # matrix products use it by default
    return f"GPU:{index}"


# Messages of TensorFlow about formats, and operations under XLA, for which it has no kernel.
_MISSING_KERNEL = (
    r"Could not find device for node: .*|No OpKernel was registered.*"
    r"|Value for attr 'T' of \w+ is not in the list of .*|.*not in list of allowed values.*"
    r"|.*[Uu]nsupported (?:data |element )?type.*|No registered '\w+' OpKernel for XLA\w*"
)


def _softmax_cross_entropy(tf, output, y):
    return tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(labels=y, logits=output))


def _mean_squared_error(tf, output, y):
    return tf.reduce_mean(tf.math.squared_difference(output, y))


def _binary_cross_entropy(tf, output, y):
    return tf.reduce_mean(tf.nn.sigmoid_cross_entropy_with_logits(labels=tf.cast(y, output.dtype), logits=output))


def _value(tf, output, y):
    return tf.reduce_mean(output)


LOSSES = {
    "softmax_cross_entropy": _softmax_cross_entropy, "mean_squared_error": _mean_squared_error,
    "binary_cross_entropy": _binary_cross_entropy, "value": _value,
}


def _scope_of(key):
    """The name scope of the layer of a "layer/parameter"."""
    return xplane.LAYER_SCOPE % key.partition("/")[0]


class TensorflowPrepared(Prepared):
    """Functions of tensors, compiled or not, over variables that both ways share."""

    def __init__(self, tf, graph, weights, settings, device):
        self._tf = tf
        self._graph = graph
        self._device = device
        self._is_cuda = device.startswith("GPU")
        self._is_training = settings["mode"] == "training"
        self._accumulate = settings.get("accumulate", 1)
        self.can_train = settings["precision"] not in WITHOUT_TRAINING
        self._stored = formats(tf, settings["precision"])[0]
        self._inputs, self._outputs = [each["name"] for each in inputs_of(graph)], output_names(graph)
        self._plan = Plan(graph)
        self._layouts = self._layouts_of(graph)
        self._variables, self._trainable = {}, {}
        for key, p in parameters_of(graph).items():
            start = self._tensor(self._layouts[key][0](weights[key]))
            with tf.device(device):
                self._variables[key] = tf.Variable(start, trainable=p["is_trainable"])
            if p["is_trainable"]:
                self._trainable[key] = self._variables[key]

        self._copies = copies(graph) if self._is_training else []
        for _, keys in self._copies:
            self._plan.refuse_copies(keys)
        if self._copies:
            with tf.device(device):
                self._trained = tf.Variable(0, dtype=tf.int64, trainable=False)
        self._layers = self._lowered(graph, settings)
        self._ends, self._state = ends_of_training(graph), State(graph)
        for_loss = {layer["name"] for layer in layers_for_loss(graph)}
        self._for_loss = [layer for layer in self._layers if layer.name in for_loss]
        self._loss_function = LOSSES[graph["loss"]]
        self._optimizer = self._scaling = None
        if self._is_training and settings["precision"] == "fp16":
            with tf.device(device):
                self._scaling = optimizers.LossScaling(tf)
        if self._is_training:
            self._make_optimizer()
        self._compile_mode = settings["compile_mode"]
        self._infer = self._compiled(self._infer)
        self._differentiate = self._compiled(self._differentiate)
        self._update = self._compiled(self._update)
        self._loaded = self._batches = None
        self._last = None
        self._traced = self._program = None      # the function that layer_times runs, and what its kernels are

    def _lowered(self, graph, settings):
        return lowered(self._tf, graph, self._plan, self._variables, settings, self._device)

    def _layouts_of(self, graph):
        """{key: (canonical to TensorFlow's, back)}; a shared parameter is kept as it is."""
        layouts = {
            p["key"]: lowerings.layouts(layer, p["name"], self._plan.dense.get(layer["name"]))
            for layer in graph["layers"] for p in layer["parameters"]
        }
        layouts.update((key, lowerings.UNCHANGED) for key in canonical_keys(graph))
        return layouts

    def _compiled(self, function):
        if self._compile_mode == "eager":
            return function
        # Traced once for each shape of a batch, which is then a constant of the program.
        return self._tf.function(function, autograph=False, jit_compile=self._compile_mode == "xla" or None)

    # The timed way.

    def load(self, batches):
        self._loaded = [(self._input(x), self._target(y)) for x, y in batches]
        self._batches = itertools.cycle(self._loaded)
        self._state.forget()

    def step(self):
        self._last = self._stepped(self._update if self._is_training else self._infer, *next(self._batches))

    def _stepped(self, function, x, y, masks=None):
        """The result of a step on a batch by this function, which carries state to the next one."""
        answer = function(*self._arguments(self._state.into(x), y, masks or {}))
        if not self._is_training:
            self._state.keep(self._state.of_outputs(answer))
            return answer
        loss, *left = unpacked(answer)
        self._state.keep(left)
        return loss

    def _arguments(self, x, y, masks):
        return (x, y, masks) if self._is_training else (x,)

    def synchronize(self):
        # On a CPU a step returns when it has finished.
        if self._is_cuda:
            self._tf.test.experimental.sync_devices()

    def result(self):
        return self._number(self._last) if self._is_training else self._output(self._last)

    def peak_memory_bytes(self):
        """Peak bytes that the device's allocator had given out."""
        return self._tf.config.experimental.get_memory_info(self._device)["peak"] if self._is_cuda else None

    def forget_peak_memory(self):
        if self._is_cuda:
            self._tf.config.experimental.reset_memory_stats(self._device)

    def overflow_steps(self):
        return None if self._scaling is None else int(self._scaling.overflows.numpy())

    def layer_times(self, steps):
        """See the contract; by marks between the layers if the host runs them, otherwise by TensorFlow's own trace."""
        if self._compile_mode == "eager":
            return self._layer_times_by_marks(steps)
        space = xplane.empty_space()
        if space is None:
            raise Unsupported(f"TensorFlow {self._tf.__version__} brings nothing to read its own trace with")
        if self._traced is None:
            self._traced, self._program = self._make_traced()
        step_times_s = []
        with tempfile.TemporaryDirectory(prefix="rigmark-trace-") as folder:
            with xplane.written(self._tf, folder, self._is_cuda):
                for _ in range(steps):
                    with self._tf.profiler.experimental.Trace(xplane.STEP):
                        begin_s = time.perf_counter()
                        self._last = self._stepped(self._traced, *next(self._batches))
                        self.synchronize()
                        step_times_s.append(time.perf_counter() - begin_s)
            xplane.read(space, folder)
        try:
            kernels, problem = xplane.kernels(space, self._program, steps, self._device), None
        except xplane.Unusable as unusable:
            kernels, problem = [], f"TensorFlow's trace {unusable}, so there are no layer times"
        rows = trace.rows(kernels, steps, [layer.name for layer in self._layers])
        return {"step_times_s": step_times_s, "layers": rows, "problem": problem}

    def _make_traced(self):
        """The function of a step that runs with traces, written but not run yet, and what its kernels are."""
        function = self._update if self._is_training else self._infer
        if self._compile_mode == "compiled":
            # The executor estimates the cost of each kernel, at first very high, then lower after each untraced run.
            # From 8000 cycles on, after some ninety runs or within a loop's first, traces leave the kernel out:
            # host_tracer_level=3 should keep it, but TensorFlow 2.21 takes no option ("expects an i value"). A function
            # that only runs with traces loses none.
            function = self._compiled(function.python_function)
        arguments = self._arguments(*self._loaded[0], {})
        program = xplane.Operations({
            each.name: xplane.Operation(each.type, [tensor.op.name for tensor in each.inputs])
            for each in function.get_concrete_function(*arguments).graph.get_operations()
        }, self._graph["layers"])
        if self._compile_mode == "xla":
            if not hasattr(function, "experimental_get_compiler_ir"):
                raise Unsupported(f"TensorFlow {self._tf.__version__} does not tell what XLA made of a function")
            text = function.experimental_get_compiler_ir(*arguments)(stage="optimized_hlo")
            program = xplane.XlaProgram(text, program)
        return function, program

    def _layer_times_by_marks(self, steps):
        if self._is_cuda:
            raise Unsupported("layers on CUDA are timed in compile mode compiled or xla; eager is run by the host")
        if self._accumulate > 1:
            raise Unsupported("layers of a batch in parts are timed in compile mode compiled or xla")
        watched = WatchedSteps(self._tf, self, Timeline())
        for _ in range(steps):
            self._last = self._stepped(watched.step, *next(self._batches))
        return watched.timeline.plain()

    # The proof way.

    def forward(self, x):
        with refusals(_MISSING_KERNEL):
            return self._output(self._infer(self._input(x)))

    def gradients(self, x, y, masks):
        arrays = self._input(x), self._target(y), self._masks(masks)
        with refusals(_MISSING_KERNEL):
            loss, gradients = self._differentiate(*arrays)
        scaling = self._scaling
        while scaling is not None and scaling.scale > 1 and not scaling.are_finite(gradients):
            scaling.shrink()                     # as a step with an overflow would
            loss, gradients = self._differentiate(*arrays)
        return self._number(loss), {key: self._canonical(key, g) for key, g in zip(self._trainable, gradients)}

    def train(self, x, y, masks):
        self._make_optimizer()
        with refusals(_MISSING_KERNEL):
            return self._number(self._stepped(self._update, self._input(x), self._target(y), self._masks(masks)))

    def state(self):
        return {name: widened(tensor.numpy()) for name, tensor in zip(self._state.inputs, self._state.arrays)}

    def weights(self):
        return {key: self._canonical(key, variable) for key, variable in self._variables.items()}

    # What both share: functions of tensors, which see variables and shapes, and are run as they are or compiled.

    def _infer(self, x):
        with self._tf.device(self._device):
            return self._output_of(self._layers, lowerings.Pass(is_training=False), x)

    def _output_of(self, layers, run, x):
        values = dict(zip(self._inputs, unpacked(x)))
        for layer in layers:
            with self._tf.name_scope(layer.scope):
                result = layer.function(run, *[values[i] for i in layer.inputs], **layer.parameters)
                values.update(named(layer.outputs, result))
            for i in layer.finished:             # eager memory
                del values[i]
        return packed(self._ends_of(values, run, x))

    def _ends_of(self, values, run, x):
        """What a pass on x gives: carried values in the format of the inputs that they become, so that nothing is
        traced again."""
        names = self._ends if run.is_training else self._outputs
        if not self._state.inputs:
            return [values[name] for name in names]
        given = dict(zip(self._inputs, unpacked(x)))
        formats_of = {name: given[taker].dtype for taker, name in carried(self._graph)}
        return [self._tf.cast(values[name], formats_of.get(name, values[name].dtype)) for name in names]

    def _differentiate(self, x, y, masks):
        ends, gradients = self._accumulated(x, y, masks, lambda statistics: None)
        return first(ends), gradients if self._scaling is None else self._scaling.unscaled(gradients)

    def _update(self, x, y, masks):
        """One training step; the loss before its update, with what is carried to the next one."""
        with self._tf.device(self._device):
            if self._accumulate == 1:
                loss, gradients, statistics = self._pass(x, y, masks)
                self._update_parameters(gradients)
                self._assign(statistics)
            else:
                loss, gradients = self._accumulated(x, y, masks, self._assign)
                self._update_parameters(gradients)
            self._copy()
            return loss

    def _accumulated(self, x, y, masks, assign):
        """(loss, gradients of the scaled one), the means over equal parts of the batch; ``assign`` takes statistics."""
        number = self._accumulate
        losses, of_parts = [], []
        for index, part in enumerate(parts_of(x, number)):
            own = {name: parts_of(mask, number)[index] for name, mask in masks.items()}
            loss, gradients, statistics = self._pass(part, parts_of(y, number)[index], own)
            assign(statistics)
            losses.append(loss)
            of_parts.append(gradients)
        if number == 1:
            return losses[0], of_parts[0]
        with self._tf.name_scope(xplane.OPTIMIZER_SCOPE):
            return sum(losses) / number, [sum(parts) / number for parts in zip(*of_parts)]

    def _copy(self):
        """What is due after this step."""
        tf = self._tf
        if not self._copies:
            return
        with tf.name_scope(xplane.OPTIMIZER_SCOPE):
            trained = self._trained.assign_add(1)
            for every, keys in self._copies:
                def copy(keys=keys):
                    for key, source in keys.items():
                        self._variables[key].assign(self._variables[source])
                    return True

                tf.cond(trained % every == 0, copy, lambda: False)

    def _update_parameters(self, gradients):
        with self._tf.name_scope(xplane.OPTIMIZER_SCOPE):
            if self._scaling is None:
                self._optimizer.update(gradients)
            else:
                self._scaling.update(gradients, self._optimizer.update)

    def _assign(self, statistics):
        for key, value in statistics.items():
            with self._tf.name_scope(_scope_of(key)):
                self._variables[key].assign(value)

    def _loss(self, output, y):
        with self._tf.name_scope(xplane.LOSS_SCOPE):
            output = self._tf.cast(output, self._tf.float32) if output.dtype.size < 4 else output
            return self._loss_function(self._tf, output, y)

    def _scaled(self, loss):
        return loss if self._scaling is None else loss * self._scaling.scale

    def _as_tensor(self, key, gradient):
        """A parameter's gradient as a tensor; an embedding's is a list of rows, but every row moves by momentum."""
        if not isinstance(gradient, self._tf.IndexedSlices):
            return gradient
        with self._tf.name_scope(xplane.GRADIENT_SCOPE + _scope_of(key)):
            return self._tf.convert_to_tensor(gradient)

    def _pass(self, x, y, masks):
        """(loss with what is carried, gradients of the scaled loss in the order of the parameters, {key: new running
        statistic})."""
        tf, run = self._tf, lowerings.Pass(is_training=True, masks=masks)
        with tf.device(self._device):
            with tf.GradientTape() as tape:
                output, *left = unpacked(self._output_of(self._for_loss, run, x))
                loss = self._loss(output, y)
                scaled = self._scaled(loss)
            gradients = tape.gradient(scaled, list(self._trainable.values()))
            gradients = [self._as_tensor(*each) for each in zip(self._trainable, gradients)]
            return packed([loss, *left]), gradients, run.statistics

    def _make_optimizer(self):
        """Its variables, which a compiled function cannot make."""
        if self._optimizer is None:
            o = self._graph["optimizer"]
            with self._tf.device(self._device):
                self._optimizer = optimizers.OPTIMIZERS[o["kind"]](self._tf, o, self._trainable)

    # Arrays to tensors and back.

    def _number(self, loss):
        return float(loss.numpy())

    def _tensor(self, array):
        # A copy: the tensor may otherwise share NumPy's memory.
        dtype = self._stored.as_numpy_dtype if np.issubdtype(array.dtype, np.floating) else None
        with self._tf.device(self._device):
            return self._tf.constant(np.array(array, dtype, order="C"))

    def _input(self, x):
        return packed([self._value(name, each) for name, each in zip(self._inputs, unpacked(x))])

    def _target(self, y):
        return self._tensor(y) if self._graph["loss"] == "value" else self._value(self._outputs[0], y)

    def _masks(self, masks):
        return {name: self._value(name, mask) for name, mask in masks.items()}

    def _value(self, name, array):
        """A tensor of an array in canonical order, in that in which the value of this name is kept."""
        if name in self._plan.vectors:
            array = channels_last(array, self._plan.vectors[name])
        return self._tensor(np.transpose(array, lowerings.TO_NHWC) if name in self._plan.images else array)

    def _output(self, answer):
        return packed([self._output_named(*each) for each in zip(self._outputs, unpacked(answer))])

    def _output_named(self, name, tensor):
        array = widened(tensor.numpy())
        is_image = name in self._plan.images
        return np.ascontiguousarray(array.transpose(lowerings.TO_NCHW)) if is_image else array

    def _canonical(self, key, tensor):
        return np.ascontiguousarray(self._layouts[key][1](widened(tensor.numpy())))
