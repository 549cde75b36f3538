"""PyTorch: one nn.Module a layer, run in order by a small network module.

Needs PyTorch 1.9 (Python 3.6) or newer, the compiled mode 2.1.
"""

import contextlib
import functools
import itertools
import os
import re
import shutil
import sys
import warnings
from types import SimpleNamespace

import numpy as np

from ..tracing import GRADIENT_ADD, LOSS, OPTIMIZER
from ..tracing.timeline import Timeline
from . import WITHOUT_TRAINING, Prepared, Unsupported, refusals, refuse_unknown

DISTRIBUTIONS = ("torch",)
IMPORTS = "torch"
PRELOADS = ("torch._dynamo",)        # what the first optimizer imports, for a second or more
COMPILE_MODES = ("eager", "compiled")
LAYOUTS = ("nchw", "channels_last")
PRECISIONS = ("fp32", "tf32", "fp64", "bf16", "fp16", "bf16_pure", "fp16_pure", "int8")
DEVICES = ("cpu", "cuda")

# torch.compile is faster still in inference on a CPU (0.8 of eager's time for ResNet-18, training equal), but every
# process pays 10 to 30 s of compilation for it, so it is a choice of the user's and not the headline.
BEST = {"inference": ("eager", "channels_last"), "training": ("eager", "channels_last")}


def prepare(graph, weights, settings, kind=None):
    """The network on its device with these weights; raises Unsupported where PyTorch cannot do what is asked."""
    import torch

    refuse_unknown("torch", graph, settings)
    torch.manual_seed(settings["seed"])
    torch.set_num_threads(settings["threads"])
    if torch.get_num_interop_threads() != 1:
        with contextlib.suppress(RuntimeError):          # too late once the pool runs; facts() tells what is in force
            torch.set_num_interop_threads(1)
    if settings["device"] != "cpu":
        start_cuda(torch, settings["device"], settings["precision"])
    return (kind or TorchPrepared)(torch, graph, weights, settings)


def facts():
    """Version, threads in force, and what the CPU and CUDA libraries say of themselves; None where there is none."""
    import torch

    return {
        "version": torch.__version__,
        "threads": torch.get_num_threads(),
        "interop_threads": torch.get_num_interop_threads(),
        "cpu_capability": torch.backends.cpu.get_cpu_capability() if hasattr(torch.backends, "cpu") else None,
        "onednn": torch.backends.mkldnn.is_available(),
        "mkl": torch.backends.mkl.is_available(),
        "cuda": torch.version.cuda,
        "cudnn": torch.backends.cudnn.version(),
    }


def start_cuda(torch, device, precision):
    """Make ``device`` the current one, with TF32 only where asked for; raises Unsupported where it lacks something."""
    if not device.startswith("cuda"):
        raise Unsupported(f"the torch adapter has no device '{device}'; it has {', '.join(DEVICES)}")
    if not torch.cuda.is_available():
        built = "built without CUDA" if torch.version.cuda is None else "which finds no usable GPU or driver"
        raise Unsupported(f"no device '{device}': this is PyTorch {torch.__version__}, {built}")
    index = torch.device(device).index or 0              # plain "cuda" has none
    if index >= torch.cuda.device_count():
        raise Unsupported(f"no device '{device}': PyTorch sees {torch.cuda.device_count()} CUDA device(s)")
    torch.cuda.set_device(index)
    torch.backends.cudnn.benchmark = True                # the tuning guide's advice for inputs of one size
    is_tf32 = precision == "tf32"
    if is_tf32 and torch.cuda.get_device_capability(index) < (8, 0):
        raise Unsupported(f"no tf32 on {torch.cuda.get_device_name(index)}: it begins with compute capability 8.0")
    torch.backends.cuda.matmul.allow_tf32 = is_tf32
    torch.backends.cudnn.allow_tf32 = is_tf32            # convolutions would use TF32 unasked


# What PyTorch says where it has no kernel for a format, on the first line that says so.
_MISSING_KERNEL = (
    r".*not implemented for '\w+'.*|.*could not create a primitive.*|Expected tensor for argument.*"
    r"|Unsupported dtype.*|.*does not support automatic mixed precision.*"
)


def _autocast(torch, device, precision):
    """What enters mixed precision; raises Unsupported where this PyTorch or device has none for the format."""
    if precision not in ("bf16", "fp16"):
        return contextlib.ExitStack                      # enters nothing
    dtype = getattr(torch, _HALVES[precision])
    if not hasattr(torch, "autocast"):
        raise Unsupported(f"mixed precision is used with PyTorch 1.10 or newer, this is {torch.__version__}")
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)      # it would go on in fp32 with no more than a warning
        try:
            torch.autocast(device.type, dtype=dtype)
        except (RuntimeError, UserWarning) as error:
            raise Unsupported(str(error).strip().splitlines()[0]) from error
    return functools.partial(torch.autocast, device.type, dtype=dtype)


def _scaler(torch, device):
    """PyTorch's own loss scaling, which doubles its scale after 2000 steps without overflow; or raises Unsupported."""
    if hasattr(getattr(torch, "amp", None), "GradScaler"):
        return torch.amp.GradScaler(device.type)
    if device.type == "cuda":
        return torch.cuda.amp.GradScaler()
    raise Unsupported(f"loss scaling on a CPU needs PyTorch 2.3 or newer, this is {torch.__version__}")


def _quantized(torch, network):
    """The network with dense and LSTM layers that quantise what they take; raises Unsupported where it has none."""
    quantization = getattr(getattr(torch, "ao", torch), "quantization", None)
    engines = [name for name in torch.backends.quantized.supported_engines if name != "none"]
    if not hasattr(quantization, "quantize_dynamic") or not engines:
        raise Unsupported(f"PyTorch {torch.__version__} has no dynamic quantisation: {engines or 'no'} engines")
    kinds = (torch.nn.Linear, torch.nn.LSTM)
    if not any(isinstance(module, kinds) for module in network.modules()):
        raise Unsupported("PyTorch quantises dense and LSTM layers dynamically, and this network has none")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")                  # that it is deprecated
        return quantization.quantize_dynamic(network, set(kinds), dtype=torch.qint8)


_HALVES = {"bf16": "bfloat16", "fp16": "float16"}
_STORED = {"fp64": "float64", "bf16_pure": "bfloat16", "fp16_pure": "float16"}       # others: float32


def _compiled(torch, network):
    """The network under torch.compile; raises Unsupported where there is no compiler for it."""
    if not hasattr(getattr(torch, "compiler", None), "reset"):
        raise Unsupported(f"the compiled mode needs PyTorch 2.1 or newer, this is {torch.__version__}")
    # The same choice as torch._inductor.config.cpp.cxx.
    compiler = os.environ.get("CXX") or {"darwin": "clang++", "win32": "cl"}.get(sys.platform, "g++")
    if shutil.which(compiler) is None:
        raise Unsupported(f"torch.compile needs a C++ compiler and there is no '{compiler}'; install one or set CXX")
    # Asked here, since Dynamo says so in the first step only, and without fullgraph goes on in eager mode.
    if any(isinstance(module, torch.nn.RNNBase) for module in network.modules()):
        raise Unsupported("torch.compile: Dynamo does not support RNN, GRU, or LSTM")
    # Networks share the code of one forward, whose compilations are counted together against a limit of 8.
    torch.compiler.reset()
    try:
        # Not dynamic: a second batch size would otherwise exchange the kernels for slower ones of any size.
        # Full graph: at the limit it raises, where it would otherwise go on in eager mode without a word.
        return torch.compile(network, dynamic=False, fullgraph=True)
    except RuntimeError as error:                        # "Dynamo is not supported on Python 3.x"
        raise Unsupported(str(error)) from error


@functools.lru_cache(maxsize=1)
def _modules():
    """The modules that torch.nn lacks. Made on demand, since torch is imported on demand."""
    from torch import nn

    class Apply(nn.Module):
        """A function of tensors as a layer."""

        def __init__(self, function):
            super().__init__()
            self.function = function

        def forward(self, *inputs):
            return self.function(*inputs)

    class Dropout(nn.Dropout):
        """PyTorch's own dropout, unless a proof gives a ``mask`` to multiply with."""

        def __init__(self, rate):
            super().__init__(rate)
            # Of the instance, not the class: its first appearance would make torch.compile compile again.
            self.mask = None

        def forward(self, x):
            return super().forward(x) if self.mask is None else x * self.mask.to(x.dtype)

    class Lstm(nn.Module):
        """Every hidden state of an nn.LSTM with one bias: its second one is 0 and not trained.

        Both would get the same gradient, so that their sum learned twice as fast.
        """

        def __init__(self, features, hidden):
            super().__init__()
            self.lstm = nn.LSTM(features, hidden, batch_first=True)
            nn.init.zeros_(self.lstm.bias_hh_l0).requires_grad_(False)

        def forward(self, x):
            return self.lstm(x)[0]

        @property
        def weight_input(self):
            return self.lstm.weight_ih_l0

        @property
        def weight_hidden(self):
            return self.lstm.weight_hh_l0

        @property
        def bias(self):
            return self.lstm.bias_ih_l0

    class Network(nn.Module):
        """Runs layers by ``wiring``, a (name, names of inputs, names read for the last time) for each layer."""

        def __init__(self, layers, wiring):
            super().__init__()
            self.layers = nn.ModuleList(layers)
            self.wiring = wiring

        def forward(self, x):
            values = {"input": x}
            for layer, (name, inputs, finished) in zip(self.layers, self.wiring):
                values[name] = layer(*[values[i] for i in inputs])
                for i in finished:
                    del values[i]
            return values[name]

    return SimpleNamespace(Apply=Apply, Dropout=Dropout, Lstm=Lstm, Network=Network)


def _network(graph, weights):
    """The graph as an nn.Module that holds copies of the weights, and {layer name: its nn.Module}."""
    import torch

    layers = {}
    overwriting = _overwriting(graph["layers"])
    for layer in graph["layers"]:
        lower = LOWERINGS[layer["op"]]
        layers[layer["name"]] = lower(torch.nn, dict(layer, in_place=layer["name"] in overwriting))
    network = _modules().Network(list(layers.values()), _wiring(graph["layers"]))
    with torch.no_grad():
        for key, tensor in _tensors(graph, layers).items():
            tensor.copy_(torch.tensor(np.ascontiguousarray(weights[key])))
    return network, layers


def _wiring(layers):
    """(name, inputs, names that no later layer reads) of each layer."""
    last_reader = {name: layer["name"] for layer in layers for name in layer["inputs"]}
    return [
        (layer["name"], layer["inputs"], [i for i in sorted(set(layer["inputs"])) if last_reader[i] == layer["name"]])
        for layer in layers
    ]


# Their results are fresh memory, which they do not keep for their own backward pass.
_GIVES_AWAY = {"conv2d", "dense", "batch_norm", "add", "concat"}


def _overwriting(layers):
    """Names of the relu and add layers that may write into their first input, as networks written by hand do."""
    by_name = {layer["name"]: layer for layer in layers}
    reads = [name for layer in layers for name in layer["inputs"]]

    def is_free(name):
        producer = by_name.get(name)
        if producer is None or producer["op"] not in _GIVES_AWAY or reads.count(name) > 1:
            return False
        # The dense result of a sequence is a view, and autograd would copy around a write into it.
        return producer["op"] != "dense" or len(producer["output_shape"]) == 1

    return {layer["name"] for layer in layers if layer["op"] in ("relu", "add") and is_free(layer["inputs"][0])}


_ATTRIBUTES = {"gamma": "weight", "beta": "bias", "mean": "running_mean", "variance": "running_var"}


def _tensors(graph, layers, trainable_only=False):
    """{key: the module's own tensor} of all parameters and running statistics, or of the trainable ones."""
    return {
        layer["name"] + "/" + p["name"]: getattr(layers[layer["name"]], _ATTRIBUTES.get(p["name"], p["name"]))
        for layer in graph["layers"]
        for p in layer["parameters"]
        if p["is_trainable"] or not trainable_only
    }


# The lowerings: (torch.nn, layer) -> nn.Module. "in_place" says that the first input's memory may be written.


def _conv2d(nn, layer):
    a = layer["attributes"]
    return nn.Conv2d(
        layer["input_shapes"][0][0], a["out_channels"], tuple(a["kernel"]), stride=tuple(a["stride"]),
        padding=tuple(a["padding"]), dilation=tuple(a["dilation"]), groups=a["groups"], bias=a["bias"],
    )


def _dense(nn, layer):
    a = layer["attributes"]
    return nn.Linear(layer["input_shapes"][0][-1], a["out_features"], bias=a["bias"])


def _max_pool(nn, layer):
    a = layer["attributes"]
    return nn.MaxPool2d(tuple(a["kernel"]), stride=tuple(a["stride"]), padding=tuple(a["padding"]))


def _avg_pool(nn, layer):
    a = layer["attributes"]
    return nn.AvgPool2d(
        tuple(a["kernel"]), stride=tuple(a["stride"]), padding=tuple(a["padding"]),
        count_include_pad=a["count_include_pad"],
    )


def _global_avg_pool(nn, layer):
    return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())


def _batch_norm(nn, layer):
    a, shape = layer["attributes"], layer["input_shapes"][0]
    kind = nn.BatchNorm2d if len(shape) == 3 else nn.BatchNorm1d
    return kind(shape[0], eps=a["epsilon"], momentum=a["momentum"])


def _relu(nn, layer):
    return nn.ReLU(inplace=layer["in_place"])


def _tanh(nn, layer):
    return nn.Tanh()


def _sigmoid(nn, layer):
    return nn.Sigmoid()


def _softmax(nn, layer):
    return nn.Softmax(dim=-1)


def _dropout(nn, layer):
    return _modules().Dropout(layer["attributes"]["rate"])


def _local_response_norm(nn, layer):
    a = layer["attributes"]
    return nn.LocalResponseNorm(a["size"], alpha=a["alpha"], beta=a["beta"], k=a["k"])


def _sum(first, *others):
    for other in others:
        first = first + other
    return first


def _sum_in_place(first, *others):
    for other in others:
        first += other
    return first


def _add(nn, layer):
    return _modules().Apply(_sum_in_place if layer["in_place"] else _sum)


def _join(*inputs):
    import torch

    return torch.cat(inputs, 1)


def _concat(nn, layer):
    return _modules().Apply(_join)


def _flatten(nn, layer):
    return nn.Flatten()


def _embedding(nn, layer):
    a = layer["attributes"]
    return nn.Embedding(a["vocabulary"], a["features"])


def _lstm(nn, layer):
    return _modules().Lstm(layer["input_shapes"][0][-1], layer["attributes"]["hidden"])


# Both follow the order of the axes, NCHW, and not that of the memory, which may be channels_last.


def _reshape(nn, layer):
    shape = layer["attributes"]["shape"]
    return _modules().Apply(lambda x: x.reshape(-1, *shape))


def _transpose(nn, layer):
    axes = [1 + axis for axis in layer["attributes"]["axes"]]
    return _modules().Apply(lambda x: x.permute(0, *axes))


LOWERINGS = {
    "conv2d": _conv2d,
    "dense": _dense,
    "max_pool": _max_pool,
    "avg_pool": _avg_pool,
    "global_avg_pool": _global_avg_pool,
    "batch_norm": _batch_norm,
    "relu": _relu,
    "tanh": _tanh,
    "sigmoid": _sigmoid,
    "softmax": _softmax,
    "dropout": _dropout,
    "local_response_norm": _local_response_norm,
    "add": _add,
    "concat": _concat,
    "flatten": _flatten,
    "embedding": _embedding,
    "lstm": _lstm,
    "reshape": _reshape,
    "transpose": _transpose,
}


def _softmax_cross_entropy(functional, output, y):
    return functional.cross_entropy(_widened(output).flatten(0, -2), y.flatten())


def _mean_squared_error(functional, output, y):
    return functional.mse_loss(_widened(output), y)


LOSSES = {"softmax_cross_entropy": _softmax_cross_entropy, "mean_squared_error": _mean_squared_error}


def _sgd(optim, parameters, o):
    return optim.SGD(parameters, lr=o["learning_rate"], momentum=o["momentum"])


def _adam(optim, parameters, o):
    return optim.Adam(parameters, lr=o["learning_rate"], betas=(o["beta1"], o["beta2"]), eps=o["epsilon"])


OPTIMIZERS = {"sgd": _sgd, "adam": _adam}


class TorchPrepared(Prepared):
    """A network of nn.Modules with its loss and optimizer."""

    def __init__(self, torch, graph, weights, settings):
        self._torch = torch
        self._device = torch.device(settings["device"])
        self._is_cuda = self._device.type == "cuda"
        self._memory_format = (
            torch.channels_last if settings["layout"] == "channels_last" else torch.contiguous_format
        )
        self._is_training = settings["mode"] == "training"

        precision = settings["precision"]
        self.can_train = precision not in WITHOUT_TRAINING
        self._dtype = getattr(torch, _STORED.get(precision, "float32"))
        self._autocast = _autocast(torch, self._device, precision)
        self._scaler = _scaler(torch, self._device) if precision == "fp16" and self._is_training else None
        self._steps = self._updates = 0

        network, layers = _network(graph, weights)
        self._layers = layers
        self._is_eager = settings["compile_mode"] == "eager"
        network = network.to(device=self._device, dtype=self._dtype, memory_format=self._memory_format)
        self._tensors = _tensors(graph, layers)          # which quantised layers have no more
        if precision == "int8":
            if self._is_cuda:
                raise Unsupported("PyTorch has no dynamically quantised layers on CUDA")
            network = _quantized(torch, network)
            self._layers = dict(zip(layers, network.layers))
        self._network = network.train(self._is_training)
        self._trainable = _tensors(graph, layers, trainable_only=True)
        self._dropouts = {x["name"]: layers[x["name"]] for x in graph["layers"] if x["op"] == "dropout"}
        self._run = network if self._is_eager else _compiled(torch, network)
        self._marked = None      # the compiled network with marks in it, for layer times

        self._loss_function = LOSSES[graph["loss"]]
        optimizer = graph["optimizer"]
        self._optimizer = OPTIMIZERS[optimizer["kind"]](torch.optim, self._trainable.values(), optimizer)
        if self._scaler is not None:
            self._optimizer.register_step_post_hook(self._count_update)
        self._advance = self._update if self._is_training else self._infer
        self._batches = None
        self._last = None

    # The timed way.

    def load(self, batches):
        self._batches = itertools.cycle([(self._values(x), self._values(y)) for x, y in batches])
        if self._is_cuda:
            self._torch.cuda.reset_peak_memory_stats(self._device)

    def step(self):
        x, y = next(self._batches)
        self._last = self._advance(x, y)

    def synchronize(self):
        if self._is_cuda:
            self._torch.cuda.synchronize(self._device)

    def result(self):
        return self._last.item() if self._is_training else _array(self._last)

    def peak_memory_bytes(self):
        """Peak bytes allocated by tensors since the batches were loaded; the allocator reserves more."""
        return self._torch.cuda.max_memory_allocated(self._device) if self._is_cuda else None

    def overflow_steps(self):
        return None if self._scaler is None else self._steps - self._updates

    def device_timer(self):
        return CudaTimer(self._torch) if self._is_cuda else None

    def layer_times(self, steps):
        """As the contract says; on CUDA a row includes the time that the device waits for the host to launch it.

        The first call in compiled mode compiles the network once more, for some seconds: see MarkedInductor.
        """
        node = self._torch.ones(1, requires_grad=True).sum().grad_fn
        if self._is_training and not hasattr(node, "register_prehook"):
            raise Unsupported(f"layer times of training need PyTorch 2.0 or newer, this is {self._torch.__version__}")
        timeline = _cuda_timeline(self._torch) if self._is_cuda else Timeline()
        if self._is_eager:
            self._book_steps(timeline, steps, self._layers)
            return timeline.plain()
        if self._marked is None:
            self._compile_marked()
        with self._running(self._marked.bound(timeline)):
            self._book_steps(timeline, steps, {})
        return self._marked.told(timeline.plain())

    def _book_steps(self, timeline, steps, layers):
        """So many steps with the time of these nn.Modules, of the loss and of the optimizer booked."""
        loss_function = self._loss_function
        with LayerHooks(timeline, layers, self._optimizer) as hooks:
            self._loss_function = hooks.watched_loss(loss_function)
            try:
                for _ in range(steps):
                    timeline.step(self.step, self.synchronize)
                    hooks.forget_step()
            finally:
                self._loss_function = loss_function

    def _compile_marked(self):
        """Compile the network with marks, by a pass that leaves batches, weights, statistics and random numbers be."""
        marked = MarkedInductor(self._torch, self._network, list(self._layers))
        x, y = next(self._batches)
        self._batches = itertools.chain([(x, y)], self._batches)
        devices = [self._device] if self._is_cuda else []
        with self._running(marked.bound(Timeline())), self._kept_statistics(), self._torch.random.fork_rng(devices):
            if self._is_training:
                self._torch.autograd.grad(self._scaled(self._loss(x, y)), list(self._trainable.values()))
            else:
                self._infer(x)
        self._marked = marked

    @contextlib.contextmanager
    def _running(self, network):
        """Steps run this one."""
        plain, self._run = self._run, network
        try:
            yield
        finally:
            self._run = plain

    # The proof way.

    def forward(self, x):
        with self._proof(is_training=False):
            return _array(self._infer(self._values(x)))

    def gradients(self, x, y, masks):
        with self._proof(is_training=True, masks=masks), self._kept_statistics():
            while True:
                loss = self._loss(self._values(x), self._values(y))
                gradients = self._torch.autograd.grad(self._scaled(loss), list(self._trainable.values()))
                scale = 1 if self._scaler is None else self._scaler.get_scale()
                if scale <= 1 or all(gradient.isfinite().all() for gradient in gradients):
                    break
                self._scaler.update(scale / 2)           # as a step with an overflow would
        return loss.item(), {key: _array(gradient) / scale for key, gradient in zip(self._trainable, gradients)}

    def train(self, x, y, masks):
        with self._proof(is_training=True, masks=masks):
            return self._update(self._values(x), self._values(y)).item()

    def weights(self):
        return {key: _array(tensor) for key, tensor in self._tensors.items()}

    # What both share.

    def _infer(self, x, y=None):
        with self._torch.inference_mode(), self._autocast():
            return self._run(x)

    def _loss(self, x, y):
        with self._autocast():
            return self._loss_function(self._torch.nn.functional, self._run(x), y)

    def _scaled(self, loss):
        return loss if self._scaler is None else self._scaler.scale(loss)

    def _update(self, x, y):
        """One training step; the loss before its update, on the device."""
        self._optimizer.zero_grad(set_to_none=True)
        loss = self._loss(x, y)
        self._scaled(loss).backward()
        if self._scaler is None:
            self._optimizer.step()
        else:
            self._steps += 1
            self._scaler.step(self._optimizer)           # leaves the update out where a gradient is not finite
            self._scaler.update()
        return loss.detach()

    def _count_update(self, *step):
        self._updates += 1

    def _values(self, array):
        """A batch of inputs, targets or masks, in the format that activations have at first."""
        tensor = self._tensor(array)
        return tensor.to(self._dtype) if tensor.is_floating_point() else tensor

    def _tensor(self, array):
        # A copy: NumPy's memory may be read-only, and is not aligned as torch aligns its own.
        tensor = self._torch.tensor(np.ascontiguousarray(array), device=self._device)
        return tensor.contiguous(memory_format=self._memory_format) if tensor.dim() == 4 else tensor

    @contextlib.contextmanager
    def _proof(self, is_training, masks=None):
        """The network in a mode, with dropout masks; afterwards as the timed way needs it."""
        self._network.train(is_training)
        for name, mask in (masks or {}).items():
            self._dropouts[name].mask = self._values(mask)
        try:
            with refusals(_MISSING_KERNEL):
                yield
        finally:
            for dropout in self._dropouts.values():
                dropout.mask = None
            self._network.train(self._is_training)

    @contextlib.contextmanager
    def _kept_statistics(self):
        buffers = list(self._network.buffers())
        before = [buffer.clone() for buffer in buffers]
        try:
            yield
        finally:
            for buffer, old in zip(buffers, before):
                buffer.copy_(old)


class CudaTimer:
    """Time on the device's own clock, between two events of the current stream."""

    def __init__(self, torch):
        self._begin = torch.cuda.Event(enable_timing=True)
        self._end = torch.cuda.Event(enable_timing=True)

    def start(self):
        self._begin.record()

    def stop(self):
        self._end.record()

    def elapsed_s(self):
        return self._begin.elapsed_time(self._end) / 1000     # CUDA says milliseconds


def _cuda_timeline(torch):
    """A timeline on the device's own clock: its marks are events of the current stream."""
    def mark():
        event = torch.cuda.Event(enable_timing=True)
        event.record()
        return event

    # CUDA says milliseconds; "resolution of approximately 0.5 microseconds", cudaEventElapsedTime.
    return Timeline(mark, lambda begin, end: begin.elapsed_time(end) / 1000, resolution_s=0.5e-6)


class LayerHooks:
    """Hooks that book the time of modules, of the autograd nodes they leave behind, and of the optimizer.

    The nodes of a layer lie between its output and its inputs. Module.register_full_backward_hook would see no time in
    the first layer, whose input has no gradient, and breaks in-place operations.
    """

    def __init__(self, timeline, layers, optimizer):
        self._timeline, self._layers, self._optimizer = timeline, layers, optimizer
        self._lasting = []       # handles of hooks on modules and optimizer
        self.forget_step()

    def __enter__(self):
        for name, module in self._layers.items():
            self._timeline.add_row((name, "forward"))
            self._lasting += self._watch_module(name, module)
        step, zero_grad = self._optimizer.step, self._optimizer.zero_grad
        self._optimizer.step = self._timeline.booked((OPTIMIZER, "update"), step)
        self._optimizer.zero_grad = self._timeline.booked((OPTIMIZER, "update"), zero_grad)
        return self

    def __exit__(self, *error):
        del self._optimizer.step, self._optimizer.zero_grad      # the class has them still
        for handle in self._lasting:
            handle.remove()

    def forget_step(self):
        """Let go of the nodes of a step; between steps."""
        self._nodes = []         # which keeps their ids their own
        self._readers = {}       # how many nodes send a gradient to each (node id, input)
        self._reached = set()    # the ones of these, with more than one sender, that have had a gradient

    def watched_loss(self, function):
        """The loss function, with its forward and backward time booked."""
        forward = self._timeline.booked((LOSS, "forward"), function)

        def call(functional, output, y):
            sources = [output.grad_fn]
            loss = forward(functional, output, y)
            self._watch_nodes(LOSS, loss.grad_fn, sources)
            return loss

        return call

    def _watch_module(self, name, module):
        sources = []

        def before(module, inputs):
            # Now and not after: a module that works in place turns its input into its output, grad_fn included.
            sources[:] = [tensor.grad_fn for tensor in inputs]
            self._timeline.switch((name, "forward"))

        def after(module, inputs, output):
            if output.requires_grad:
                self._timeline.switch(None)
                self._timeline.add_row((name, "backward"))
                self._watch_nodes(name, output.grad_fn, sources)
            # Else its row stays open until the next layer begins: what it was the last to read is freed in between, and
            # given back to the system where it is large, which took 7 % of ResNet-50's inference at batch 32.
            sources.clear()      # or the graph of this step, with its hooks on the weights, would outlive it

        return module.register_forward_pre_hook(before), module.register_forward_hook(after)

    def _watch_nodes(self, name, last, sources):
        """Book the backward time of the nodes from ``last`` back to, and without, ``sources``."""
        known = {id(node) for node in sources}
        waiting = [last]
        while waiting:
            node = waiting.pop()
            if node is None or id(node) in known:
                continue
            known.add(id(node))
            self._nodes.append(node)
            edges = [(id(following), slot) for following, slot in node.next_functions if following is not None]
            for edge in edges:
                self._readers[edge] = self._readers.get(edge, 0) + 1
            waiting += [following for following, _ in node.next_functions]
            self._watch_node((name, "backward"), node, edges)

    def _watch_node(self, row, node, edges):
        sends_twice = len(set(edges)) < len(edges)

        def before(gradients):
            self._timeline.switch(row)

        def after(passed_on, gradients):
            # The engine now hands the gradients on, and adds each that is not the first to reach its place.
            is_added = sends_twice or not self._reached.isdisjoint(edges)
            self._timeline.switch((GRADIENT_ADD, "backward") if is_added else None)
            self._reached.update(edge for edge in edges if self._readers[edge] > 1)

        node.register_prehook(before)
        node.register_hook(after)


# Inductor's comment before the call of a kernel: its name and the number of the call. "stream0 = ..." may lie between.
_KERNEL_CALL = re.compile(
    r"^( *)# \[Provenance debug handles\] ((\S+):\d+)\n((?:.*\n){0,2}?.*\b\3(?:\.run)?\(.*)$", re.MULTILINE
)


class MarkedInductor:
    """The network compiled by Inductor, with marks around the calls of its kernels.

    A compilation of its own, in which Inductor is to tell the nodes of the graph that each kernel does the work of. The
    kernels are those of the plain program, and mostly from Inductor's cache; only the Python code that calls one after
    the other has marks. Raises Unsupported where Inductor cannot tell.
    """

    def __init__(self, torch, network, names):
        from torch._inductor import config

        if not hasattr(config.trace, "provenance_tracking_level"):
            raise Unsupported(f"layer times in compiled mode need PyTorch 2.9 or newer, this is {torch.__version__}")
        self._names = names              # of the layers, as the network has them
        self._members = {}               # row -> names of all layers whose work its kernels do
        self._unmarked = []              # names of kernels
        self._timeline = None
        self._network = torch.compile(network, dynamic=False, fullgraph=True, backend=self._compile)

    def bound(self, timeline):
        """The network, whose kernels book their time here from now on."""
        self._timeline = timeline
        return self._network

    def told(self, found):
        """What ``layer_times`` returns, from what the timeline found."""
        for row in found["layers"]:
            members = self._members.get((row["layer"], row["direction"]), ())
            if len(members) > 1:
                row["members"] = sorted(members, key=self._names.index)
        if self._unmarked:
            found["problem"] = (
                f"kernels of Inductor's program that could not be timed: {len(self._unmarked)}, '{self._unmarked[0]}' "
                "among them; what they do is in no row"
            )
        return found

    def _compile(self, module, inputs):
        from torch._inductor.compile_fx import compile_fx

        # A program from the cache comes without the graph that it was made of.
        options = {"trace.provenance_tracking_level": 1, "fx_graph_cache": False}
        return compile_fx(module, inputs, inner_compile=self._compile_pass, config_patches=options)

    def _compile_pass(self, module, inputs, **settings):
        """Inductor's program of the forward or of the backward pass, with marks."""
        from torch._inductor import debug
        from torch._inductor.compile_fx import compile_fx_inner

        with debug.reset_provenance_globals():
            program = compile_fx_inner(module, inputs, **settings)
            kernels = dict(debug._inductor_triton_kernel_to_post_grad_node_info)
        _, end_of_kernels, calls = getattr(program, "source_code", "").partition("del async_compile\n")
        self._unmarked += sorted(kernels.keys() - {match.group(2) for match in _KERNEL_CALL.finditer(calls)})
        if not end_of_kernels:
            return program               # nothing is to be done in it, or its calls are C++ code
        rows = {}
        direction = "backward" if settings.get("is_backward") else "forward"
        for kernel, (layer, members) in booked(kernels, list(module.graph.nodes), self._names).items():
            rows[kernel] = None if layer is None else (layer, direction)
            self._members.setdefault(rows[kernel], set()).update(members)
        namespace = dict(program.current_callable.__globals__)
        namespace["_switch"] = lambda kernel: self._timeline.switch(rows.get(kernel))
        exec(_KERNEL_CALL.sub(r"\1_switch('\2')\n\4\n\1_switch(None)", calls), namespace)
        program.current_callable = namespace["call"]
        return program


def booked(kernels, nodes, names):
    """{kernel: (layer, members)}: what its time is booked to and the names of all layers whose work it does.

    The layer may be GRADIENT_ADD, and None for what is nobody's; of both there are no members. ``kernels`` are
    Inductor's, in order: {"name:call": names of nodes}. ``nodes`` are those of the graph that they were made of, in
    order, and ``names`` the layers as the network has them.
    """
    place = {node.name: index for index, node in enumerate(nodes)}
    listed = {kernel: sorted(place[name] for name in of if name in place) for kernel, of in kernels.items()}
    # The kernels of a library have a dotted name, "extern_kernels.mm". Each does the last of its nodes; in the others
    # its operands were computed. The kernels that did so list that node as well, whose layout they gave to it.
    of_libraries = {kernel: of[-1:] for kernel, of in listed.items() if "." in kernel}
    not_fused = {index for of in of_libraries.values() for index in of}
    found, seen = {}, set()
    for kernel, of in listed.items():
        work = {}
        for index in of_libraries.get(kernel) or [index for index in of if index not in not_fused]:
            # What an earlier kernel lists may only be read here, if this one lists more than that.
            count = _work(nodes[index])
            if count is not None:
                layer = _layer_of(nodes[index], names)
                work.setdefault(layer, []).append((0, 0, 0) if index in seen else count)
        seen.update(of)
        members = [layer for layer in work if layer in names]
        # Of equals the last, into which the others were fused.
        most = max(reversed(members), key=lambda layer: tuple(map(sum, zip(*work[layer]))), default=None)
        found[kernel] = most or (GRADIENT_ADD if GRADIENT_ADD in work else None), members
    return found


def _layer_of(node, names):
    """The layer that a node of the forward or backward graph belongs to, GRADIENT_ADD, or None."""
    if node.meta.get("is_gradient_acc"):
        return GRADIENT_ADD
    for key in ("nn_module_stack", "fwd_nn_module_stack"):
        for path, _ in (node.meta.get(key) or {}).values():
            index = re.search(r"\blayers\W+(\d+)", path)
            if index:
                return names[int(index.group(1))]
    # A weight, or what a pass of Inductor put in, is there for the one that reads it.
    return next((layer for layer in (_layer_of(user, names) for user in node.users) if layer is not None), None)


_HEAVY = re.compile("mm|conv|pool|scatter|sort")             # many operations for each value
_MOVES = ("cat", "clone", "constant_pad_nd", "permute")      # a layer's work, but no arithmetic


def _work(node):
    """(values that heavy operations take, values that any take, values moved); None where nothing is done."""
    moved = max(_elements(node), sum(map(_elements, node.all_input_nodes)))
    name = getattr(node.target, "__name__", "").partition(".")[0]
    if name in _MOVES or node.op == "placeholder":           # as such one is listed where its layout is changed
        return 0, 0, moved
    # Scalars are constants, shared by all that use them, and batch_norm's count of batches. "getitem" has no is_view.
    if getattr(node.target, "is_view", True) or not _elements(node):
        return None
    return moved if _HEAVY.search(name) else 0, moved, moved


def _elements(node):
    """How many values a node gives, all its results together; 0 for a scalar."""
    value = node.meta.get("val")
    results = value if isinstance(value, (list, tuple)) else [value]
    return sum(result.numel() for result in results if getattr(result, "ndim", 0))


def _widened(tensor):
    """The tensor in fp32 where it is narrower; NumPy has no bf16."""
    return tensor.float() if tensor.element_size() < 4 else tensor


def _array(tensor):
    """A copy as NumPy, in C order."""
    return np.array(_widened(tensor.detach()).cpu().numpy(), order="C")
