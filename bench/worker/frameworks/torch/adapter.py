"""PyTorch: one nn.Module per layer, which a small network module runs in order.

Needs PyTorch 1.9 (Python 3.6) or newer, the compiled mode 2.1.
"""

import contextlib
import functools
import itertools
import os
import shutil
import sys
import warnings

import numpy as np

from ...carried import State
from ...devices import index as device_index
from ...devices import is_host
from ...devices import kind as device_kind
from ...graphs import copies, for_inference, layers_for_loss, with_gradient
from ...precisions import WITHOUT_TRAINING
from ...samples import first, mapped, parts_of, unpacked
from ...tracing.timeline import Timeline
from .. import Prepared, Unsupported, refusals, refuse_unknown
from . import inductor, lowerings
from .layer_hooks import LayerHooks

DISTRIBUTIONS = ("torch",)
IMPORTS = "torch"
PRELOADS = ("torch._dynamo",)        # what the first optimizer imports, for a second or more
COMPILE_MODES = ("eager", "compiled")
LAYOUTS = ("nchw", "channels_last")
PRECISIONS = ("fp32", "tf32", "fp64", "bf16", "fp16", "bf16_pure", "fp16_pure", "int8")
DEVICES = ("cpu", "cuda")
LOWERINGS = lowerings.LOWERINGS

# torch.compile is faster still in inference on a CPU (0.8 of eager's time for ResNet-18, training equal), but every
# process pays 10 to 30 s of compilation for it, so users must choose it; it is not the default.
ACCUMULATES = True
OBJECTIVES = True
CARRIES = True
BEST = {"inference": ("eager", "channels_last"), "training": ("eager", "channels_last")}


def prepare(graph, weights, settings, kind=None):
    """The network on its device with these weights; raises Unsupported for settings that PyTorch lacks."""
    import torch

    refuse_unknown("torch", graph, settings)
    torch.manual_seed(settings["seed"])
    torch.set_num_threads(settings["threads"])
    if torch.get_num_interop_threads() != 1:
        with contextlib.suppress(RuntimeError):          # no effect once the pool runs; facts() states the number
            torch.set_num_interop_threads(1)
    if not is_host(settings["device"]):
        start_cuda(torch, settings["device"], settings["precision"])
    if settings["mode"] != "training":
        graph = for_inference(graph)
    if "objectives" in graph:
        from . import objectives

        kind = objectives.TorchObjectives
    return (kind or TorchPrepared)(torch, graph, weights, settings)


def facts():
    """Version, threads in use, and facts of the CPU and CUDA libraries; None for a missing one."""
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
    """Makes ``device`` the current one, with TF32 only if requested; raises Unsupported if it lacks something."""
    if device_kind(device) != "cuda":
        raise Unsupported(f"the torch adapter has no device '{device}'; it has {', '.join(DEVICES)}")
    if not torch.cuda.is_available():
        built = "built without CUDA" if torch.version.cuda is None else "which finds no usable GPU or driver"
        raise Unsupported(f"no device '{device}': this is PyTorch {torch.__version__}, {built}")
    index = device_index(device)
    if index >= torch.cuda.device_count():
        raise Unsupported(f"no device '{device}': PyTorch sees {torch.cuda.device_count()} CUDA device(s)")
    torch.cuda.set_device(index)
    torch.backends.cudnn.benchmark = True                # the tuning guide's advice for inputs of one size
    is_tf32 = precision == "tf32"
    if is_tf32 and not _has_tf32(torch, index):
        raise Unsupported(f"no tf32 on {torch.cuda.get_device_name(index)}: it begins with compute capability 8.0")
    torch.backends.cuda.matmul.allow_tf32 = is_tf32
    torch.backends.cudnn.allow_tf32 = is_tf32            # convolutions use TF32 by default


def _has_tf32(torch, index):
    """Whether the current device, of that number, has TF32. AMD's capabilities are numbered differently."""
    if hasattr(torch.cuda, "is_tf32_supported"):
        return torch.cuda.is_tf32_supported()
    return torch.version.hip is None and torch.cuda.get_device_capability(index) >= (8, 0)


# Messages of PyTorch about formats for which it has no kernel: the line that states it.
_MISSING_KERNEL = (
    r".*not implemented for '\w+'.*|.*could not create a primitive.*|Expected tensor for argument.*"
    r"|Unsupported dtype.*|.*does not support automatic mixed precision.*"
)


def _keep_as(network, memory_format):
    """Puts filters in that order, as Module.to does, which would refuse a network with an array of 5 axes.

    Tensor.contiguous will not do: it leaves filters of one channel as they are, whose strides then say that the
    order is the other one, and the convolution takes a slower kernel.
    """
    for tensor in itertools.chain(network.parameters(), network.buffers()):
        if tensor.dim() == 4:
            tensor.data = tensor.data.to(memory_format=memory_format)


def _autocast(torch, device, precision):
    """A context of mixed precision; raises Unsupported if this PyTorch or device has none for the format."""
    if precision not in ("bf16", "fp16"):
        return contextlib.ExitStack                      # enters nothing
    dtype = getattr(torch, _HALVES[precision])
    if not hasattr(torch, "autocast"):
        raise Unsupported(f"mixed precision is used with PyTorch 1.10 or newer, this is {torch.__version__}")
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)      # PyTorch would continue in fp32 with only a warning
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
    """The network with dense and LSTM layers that quantise their inputs; raises Unsupported if it has none."""
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


def _compiled(torch, network, is_first=True):
    """The network under torch.compile; raises Unsupported if the compiler is missing."""
    if not hasattr(getattr(torch, "compiler", None), "reset"):
        raise Unsupported(f"the compiled mode needs PyTorch 2.1 or newer, this is {torch.__version__}")
    # The same choice as torch._inductor.config.cpp.cxx.
    compiler = os.environ.get("CXX") or {"darwin": "clang++", "win32": "cl"}.get(sys.platform, "g++")
    if shutil.which(compiler) is None:
        raise Unsupported(f"torch.compile needs a C++ compiler and there is no '{compiler}'; install one or set CXX")
    if torch._dynamo.config.disable:
        raise Unsupported("TORCH_COMPILE_DISABLE is set, so PyTorch would compile nothing; unset it")
    # Checked here, since Dynamo reports it only in the first step, and without fullgraph continues in eager mode.
    if any(isinstance(module, torch.nn.RNNBase) for module in network.modules()):
        raise Unsupported("torch.compile: Dynamo does not support RNN, GRU, or LSTM")
    # Networks share the code of one forward, whose compilations are counted together against a limit of 8.
    if is_first:
        torch.compiler.reset()
    try:
        # Not dynamic: otherwise a second batch size replaces the kernels by slower ones for any size.
        # Full graph: at the limit it raises; otherwise it would continue in eager mode without a message.
        return torch.compile(network, dynamic=False, fullgraph=True)
    except RuntimeError as error:                        # "Dynamo is not supported on Python 3.x"
        raise Unsupported(str(error)) from error


def _softmax_cross_entropy(functional, output, y):
    return functional.cross_entropy(_widened(output).flatten(0, -2), y.flatten())


def _mean_squared_error(functional, output, y):
    return functional.mse_loss(_widened(output), y)


def _binary_cross_entropy(functional, output, y):
    return functional.binary_cross_entropy_with_logits(_widened(output), y)


def _value(functional, output, y):
    return _widened(output).mean()


LOSSES = {
    "softmax_cross_entropy": _softmax_cross_entropy, "mean_squared_error": _mean_squared_error,
    "binary_cross_entropy": _binary_cross_entropy, "value": _value,
}


def _sgd(optim, parameters, o):
    return optim.SGD(parameters, lr=o["learning_rate"], momentum=o["momentum"])


def _adam(optim, parameters, o):
    return optim.Adam(parameters, lr=o["learning_rate"], betas=(o["beta1"], o["beta2"]), eps=o["epsilon"])


def _adamw(optim, parameters, o):
    return optim.AdamW(parameters, lr=o["learning_rate"], betas=(o["beta1"], o["beta2"]), eps=o["epsilon"],
                       weight_decay=o["weight_decay"])


OPTIMIZERS = {"sgd": _sgd, "adam": _adam, "adamw": _adamw}


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
        self._steps = self._updates = self._trained = 0
        self._accumulate = settings.get("accumulate", 1)

        network, layers = self._lowered(graph, weights)
        self._layers = layers
        in_a_step = layers_for_loss(graph) if self._is_training else graph["layers"]
        self._running_layers = [layer["name"] for layer in in_a_step]
        self._is_eager = settings["compile_mode"] == "eager"
        network = network.to(device=self._device, dtype=self._dtype)
        _keep_as(network, self._memory_format)
        self._tensors = self._by_key(graph, layers)          # which quantised layers no longer have
        if precision == "int8":
            if self._is_cuda:
                raise Unsupported("PyTorch has no dynamically quantised layers on CUDA")
            network = _quantized(torch, network)
            self._layers = dict(zip(layers, network.layers))
        self._network = network.train(self._is_training)
        self._with_gradient = with_gradient(graph)
        self._trainable = self._by_key(graph, layers, trainable_only=True)
        self._copies = [
            (every, [self._tensors[key] for key in keys], [self._tensors[source] for source in keys.values()])
            for every, keys in copies(graph)
        ]
        self._dropouts = {x["name"]: layers[x["name"]] for x in graph["layers"] if x["op"] == "dropout" and layers}
        self._run = network if self._is_eager else _compiled(torch, network)
        self._marked = None      # the compiled network with marks in it, for layer times

        self._loss_function = LOSSES[graph["loss"]]
        optimizer = graph["optimizer"]
        self._optimizer = OPTIMIZERS[optimizer["kind"]](torch.optim, self._trainable.values(), optimizer)
        if self._scaler is not None:
            self._optimizer.register_step_post_hook(self._count_update)
        self._advance = self._update if self._is_training else self._continue
        self._state, self._left = State(graph), ()       # what a step takes over, and what the last pass left for it
        self._batches = None
        self._last = None

    def _lowered(self, graph, weights):
        """(the network, {layer: its nn.Module}; none where they cannot be told apart)."""
        return lowerings.lowered(graph, weights)

    def _by_key(self, graph, layers, trainable_only=False):
        """{key: the network's own tensor}."""
        return lowerings.tensors(graph, layers, trainable_only)

    # The timed way.

    def load(self, batches):
        self._batches = itertools.cycle([(self._inputs(x), self._values(y)) for x, y in batches])
        self._state.forget()

    def step(self):
        x, y = next(self._batches)
        self._last = self._advance(x, y)

    def synchronize(self):
        if self._is_cuda:
            self._torch.cuda.synchronize(self._device)

    def result(self):
        return self._last.item() if self._is_training else mapped(_array, self._last)

    def peak_memory_bytes(self):
        """Peak bytes allocated by tensors; the allocator reserves more."""
        return self._torch.cuda.max_memory_allocated(self._device) if self._is_cuda else None

    def forget_peak_memory(self):
        if self._is_cuda:
            self._torch.cuda.reset_peak_memory_stats(self._device)

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
        timeline = cuda_timeline(self._torch) if self._is_cuda else Timeline()
        if self._is_eager:
            self._book_steps(timeline, steps, {name: self._layers[name] for name in self._running_layers})
            return timeline.plain()
        if self._marked is None:
            self._compile_marked()
        with self._running(self._marked.bound(timeline)):
            self._book_steps(timeline, steps, {})
        return self._marked.told(timeline.plain())

    def _book_steps(self, timeline, steps, layers):
        """Runs this many steps and records the time of these nn.Modules, of the loss and of the optimizer."""
        loss_function = self._loss_function
        with LayerHooks(timeline, layers, self._optimizer, self._with_gradient) as hooks:
            self._loss_function = hooks.watched_loss(loss_function)
            try:
                for _ in range(steps):
                    timeline.step(self.step, self.synchronize)
                    hooks.forget_step()
            finally:
                self._loss_function = loss_function

    def _compile_marked(self):
        """Compiles the network with marks, by a pass that keeps batches, weights, statistics and random state."""
        if not inductor.tells_kernels_apart():
            version = self._torch.__version__
            raise Unsupported(f"layer times in compiled mode need PyTorch 2.9 or newer, this is {version}")
        marked = inductor.MarkedInductor(self._torch, self._network, self._running_layers)
        x, y = next(self._batches)
        self._batches = itertools.chain([(x, y)], self._batches)
        devices = [self._device] if self._is_cuda else []
        with self._running(marked.bound(Timeline())), self._kept_statistics(), self._torch.random.fork_rng(devices):
            if self._is_training:
                self._torch.autograd.grad(self._scaled(next(self._losses(x, y))), list(self._trainable.values()))
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
            return mapped(_array, self._infer(self._inputs(x)))

    def gradients(self, x, y, masks):
        with self._proof(is_training=True, masks=masks), self._kept_statistics():
            while True:
                losses, of_parts = [], []
                for loss in self._losses(self._inputs(x), self._values(y)):
                    of_parts.append(self._torch.autograd.grad(self._scaled(loss), list(self._trainable.values())))
                    losses.append(loss.item())
                gradients = [sum(parts) for parts in zip(*of_parts)]
                scale = 1 if self._scaler is None else self._scaler.get_scale()
                if scale <= 1 or all(gradient.isfinite().all() for gradient in gradients):
                    break
                self._scaler.update(scale / 2)           # as a step with an overflow would
        return sum(losses), {key: _array(gradient) / scale for key, gradient in zip(self._trainable, gradients)}

    def train(self, x, y, masks):
        with self._proof(is_training=True, masks=masks):
            return self._update(self._inputs(x), self._values(y)).item()

    def state(self):
        return {name: _array(tensor) for name, tensor in zip(self._state.inputs, self._state.arrays)}

    def weights(self):
        return {key: _array(tensor) for key, tensor in self._tensors.items()}

    # What both share.

    def _infer(self, x, y=None):
        with self._torch.inference_mode(), self._autocast():
            return self._run(x)

    def _continue(self, x, y=None):
        """The outputs of a step, which carries state to the next one."""
        outputs = self._infer(self._state.into(x))
        self._keep(self._state.of_outputs(outputs))
        return outputs

    def _keep(self, tensors):
        """Keeps what is carried, in the format in which batches come."""
        self._state.keep([each.to(self._dtype) if each.is_floating_point() else each for each in tensors])

    def _loss(self, x, y):
        with self._autocast():
            ends = self._run(x)
            self._left = unpacked(ends)[1:]
            return self._loss_function(self._torch.nn.functional, first(ends), y)

    def _losses(self, x, y):
        """The losses of the equal parts of a batch, whose sum is that of the batch."""
        if self._accumulate == 1:
            yield self._loss(x, y)
            return
        masks = {name: dropout.mask for name, dropout in self._dropouts.items() if dropout.mask is not None}
        for index, part in enumerate(parts_of(x, self._accumulate)):
            for name, mask in masks.items():
                self._dropouts[name].mask = parts_of(mask, self._accumulate)[index]
            yield self._loss(part, parts_of(y, self._accumulate)[index]) / self._accumulate

    def _scaled(self, loss):
        return loss if self._scaler is None else self._scaler.scale(loss)

    def _update(self, x, y):
        """One training step; the loss before its update, on the device."""
        self._optimizer.zero_grad(set_to_none=True)
        whole = None
        for loss in self._losses(self._state.into(x), y):
            self._scaled(loss).backward()
            whole = loss.detach() if whole is None else whole + loss.detach()
        if self._scaler is None:
            self._optimizer.step()
        else:
            self._steps += 1
            self._scaler.step(self._optimizer)           # skips the update if a gradient is not finite
            self._scaler.update()
        if self._copies:
            self._copy()
        self._keep(self._left)
        return whole

    def _copy(self):
        """What is due after this step."""
        self._trained += 1
        with self._torch.no_grad():
            for every, targets, sources in self._copies:
                if self._trained % every == 0:
                    self._torch._foreach_copy_(targets, sources)

    def _count_update(self, *step):
        self._updates += 1

    def _inputs(self, x):
        return mapped(self._values, x)

    def _values(self, array):
        """A batch of inputs, targets or masks, in the format of the first activations."""
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


def cuda_timeline(torch):
    """A timeline on the device's own clock: its marks are events of the current stream."""
    def mark():
        event = torch.cuda.Event(enable_timing=True)
        event.record()
        return event

    # CUDA says milliseconds; "resolution of approximately 0.5 microseconds", cudaEventElapsedTime.
    return Timeline(mark, lambda begin, end: begin.elapsed_time(end) / 1000, resolution_s=0.5e-6)


def _widened(tensor):
    """The tensor, in fp32 if it is narrower; NumPy has no bf16."""
    return tensor.float() if tensor.element_size() < 4 else tensor


def _array(tensor):
    """A copy as NumPy, in C order."""
    return np.array(_widened(tensor.detach()).cpu().numpy(), order="C")
