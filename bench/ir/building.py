"""Writes a graph layer by layer, and refuses what is no graph."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace

from rigmark.bench.ir.graph import INPUT, NAME, Carried, Copy, Graph, Input, Layer, layer_of, refuse_wrong_loss, tokens
from rigmark.bench.ir.ops import BadGraph, Op, Pair, Parameter, Shape, Tensor
from rigmark.bench.ir.ops.arrangement import Concat, Flatten, Reshape, Slice, Split, Transpose
from rigmark.bench.ir.ops.attention import Attention, Softmax
from rigmark.bench.ir.ops.convolution import Conv2d, ConvTranspose2d
from rigmark.bench.ir.ops.elementwise import Add, Dropout, Gelu, Relu, Sigmoid, Tanh
from rigmark.bench.ir.ops.lookup import Embedding
from rigmark.bench.ir.ops.normalisation import NORMAL_EPSILON, NORMAL_MOMENTUM, BatchNorm, LayerNorm, LocalResponseNorm
from rigmark.bench.ir.ops.parameters import ParameterValue
from rigmark.bench.ir.ops.pooling import AvgPool, GlobalAvgPool, MaxPool
from rigmark.bench.ir.ops.products import Dense
from rigmark.bench.ir.ops.recurrent import Gru, Lstm
from rigmark.bench.ir.training import WITHOUT_TARGET, Loss, Objective, Optimizer

MOST_AXES_OF_STATE = 2       # images are kept in orders that differ from layer to layer


def _pair(value: int | Pair) -> Pair:
    return (value, value) if isinstance(value, int) else value


class Builder:
    """Writes a graph layer by layer, so that a model reads like its paper.

    Each method adds a layer and returns its name. A layer takes the one before it, or what ``of`` names.
    ``input`` is the shape of an input named "input"; it has tokens if there is a ``vocabulary``. A network of several
    inputs, or of one with another name, has those that ``add_input`` adds. ``init`` is the initialiser of all weights.
    """

    def __init__(
        self, name: str, input: Shape | None = None, *, vocabulary: int | None = None, init: str = "he_normal"
    ):
        self._name = name
        self._init = init
        self._inputs: list[Input] = []
        self._layers: list[Layer] = []
        self._values: dict[str, Tensor] = {}
        self._parameters: dict[str, Parameter] = {}
        self._prefix = ""
        self._like: tuple[str, str] | None = None        # what names begin with, and those whose parameters they share
        self.last = INPUT
        if input is not None:
            self.add_input(Input(shape=input) if vocabulary is None else tokens(input, vocabulary))

    def add_input(self, given: Input) -> str:
        """Its name. Raises BadGraph for a name that is used twice, and as ``Input.refuse_mistakes``."""
        try:
            given.refuse_mistakes()
        except BadGraph as error:
            raise BadGraph(f"{self._name}: {error}") from None
        if given.name in self._values:
            raise BadGraph(f"{self._name} has two inputs or layers named '{given.name}'")
        self._inputs.append(given)
        self._values[given.name] = given.tensor
        self.last = given.name
        return given.name

    @contextmanager
    def scope(self, name: str, *, like: str | None = None) -> Iterator[None]:
        """Names inside begin with ``name.``; scopes nest.

        ``like`` is the full name of an earlier scope: each layer inside shares the parameters of that in it whose name
        ends as its own, so that a network runs again on other values.
        """
        outer, self._prefix = self._prefix, f"{self._prefix}{name}."
        outer_like = self._like
        if like is not None:
            self._like = (self._prefix, f"{like}.")
        yield
        self._prefix, self._like = outer, outer_like

    def add_layer(
        self, name: str, op: Op, of: str | Sequence[str] | None = None, *, shares: Mapping[str, str] | None = None
    ) -> str:
        """Append any operation; its first output is what the next layer takes. ``shares`` are parameters, by their own
        name, that are those of an earlier layer, by key: {"weight": "embedding/weight"}.

        Raises BadGraph for a name that is used twice or that traces cannot carry, an unknown input, shapes that do not
        fit, or a shared parameter of another shape.
        """
        name = self._prefix + name
        if not NAME.fullmatch(name):
            raise BadGraph(f"{self._name}: a layer cannot be named '{name}'; use letters, digits, '_', '-' and '.'")
        inputs = (self.last,) if of is None else (of,) if isinstance(of, str) else tuple(of)
        if name in self._values:
            raise BadGraph(f"{self._name} has two layers named '{name}'")
        missing = [i for i in inputs if i not in self._values]
        if missing:
            raise BadGraph(f"{self._name}: '{name}' reads '{missing[0]}', which no earlier layer is named")
        tensors = tuple(self._values[i] for i in inputs)
        try:
            outputs = op.outputs(*tensors)
        except BadGraph as error:
            raise BadGraph(f"{self._name}: layer '{name}': {error}") from None
        layer = Layer(
            name=name, op=op, inputs=inputs, input_tensors=tensors, outputs=outputs,
            shares=tuple({**self._shared_with(name), **(shares or {})}.items()),
        )
        self._refuse_wrong_shares(layer)
        self._layers.append(layer)
        self._values.update(layer.values())
        self._parameters = {**layer.keyed_parameters, **self._parameters}
        self.last = name
        return name

    def _shared_with(self, name: str) -> dict[str, str]:
        """The parameters that a layer of this name has from one in an earlier scope."""
        if self._like is None:
            return {}
        own, earlier = self._like
        found = next((each for each in self._layers if each.name == earlier + name[len(own):]), None)
        if found is None:
            raise BadGraph(f"{self._name}: '{name}' has the parameters of '{earlier + name[len(own):]}', which no "
                           "earlier layer is named")
        return {p.name: key for key, p in found.keyed_parameters.items()}

    def _refuse_wrong_shares(self, layer: Layer) -> None:
        own = {p.name: p for p in layer.parameters}
        for name, key in layer.shares:
            if key not in self._parameters:
                raise BadGraph(f"{self._name}: layer '{layer.name}' shares '{key}', which no earlier layer has")
            if name not in own or own[name].shape != self._parameters[key].shape:
                shape = own[name].shape if name in own else "none"
                raise BadGraph(f"{self._name}: layer '{layer.name}' shares '{key}' of "
                               f"{self._parameters[key].shape} as its '{name}' of {shape}")

    def conv2d(
        self, name: str, channels: int, *, kernel: int | Pair, stride: int | Pair = 1, padding: int | Pair = 0,
        dilation: int | Pair = 1, groups: int = 1, bias: bool = True, of: str | None = None,
    ) -> str:
        op = Conv2d(
            out_channels=channels, kernel=_pair(kernel), stride=_pair(stride), padding=_pair(padding),
            dilation=_pair(dilation), groups=groups, bias=bias, init=self._init,
        )
        return self.add_layer(name, op, of)

    def dense(
        self, name: str, features: int, *, bias: bool = True, of: str | None = None, weight: str | None = None
    ) -> str:
        """``weight`` is the key of an earlier parameter that serves as its own, "embedding/weight"."""
        op = Dense(out_features=features, bias=bias, init=self._init)
        return self.add_layer(name, op, of, shares=None if weight is None else {"weight": weight})

    def max_pool(
        self, name: str, *, kernel: int | Pair, stride: int | Pair, padding: int | Pair = 0, of: str | None = None
    ) -> str:
        return self.add_layer(
            name, MaxPool(kernel=_pair(kernel), stride=_pair(stride), padding=_pair(padding)), of
        )

    def avg_pool(
        self, name: str, *, kernel: int | Pair, stride: int | Pair, padding: int | Pair = 0,
        count_include_pad: bool = True, of: str | None = None,
    ) -> str:
        op = AvgPool(
            kernel=_pair(kernel), stride=_pair(stride), padding=_pair(padding), count_include_pad=count_include_pad
        )
        return self.add_layer(name, op, of)

    def global_avg_pool(self, name: str, *, of: str | None = None) -> str:
        return self.add_layer(name, GlobalAvgPool(), of)

    def batch_norm(
        self, name: str, *, epsilon: float = NORMAL_EPSILON, momentum: float = NORMAL_MOMENTUM,
        of: str | None = None,
    ) -> str:
        return self.add_layer(name, BatchNorm(epsilon=epsilon, momentum=momentum), of)

    def relu(self, name: str, *, of: str | None = None) -> str:
        return self.add_layer(name, Relu(), of)

    def tanh(self, name: str, *, of: str | None = None) -> str:
        return self.add_layer(name, Tanh(), of)

    def sigmoid(self, name: str, *, of: str | None = None) -> str:
        return self.add_layer(name, Sigmoid(), of)

    def softmax(self, name: str, *, of: str | None = None) -> str:
        return self.add_layer(name, Softmax(), of)

    def dropout(self, name: str, rate: float, *, of: str | None = None) -> str:
        return self.add_layer(name, Dropout(rate=rate), of)

    def local_response_norm(
        self, name: str, *, size: int, alpha: float, beta: float, k: float, of: str | None = None
    ) -> str:
        return self.add_layer(name, LocalResponseNorm(size=size, alpha=alpha, beta=beta, k=k), of)

    def add(self, name: str, *, of: Sequence[str]) -> str:
        return self.add_layer(name, Add(), of)

    def concat(self, name: str, *, of: Sequence[str]) -> str:
        return self.add_layer(name, Concat(), of)

    def flatten(self, name: str, *, of: str | None = None) -> str:
        return self.add_layer(name, Flatten(), of)

    def embedding(
        self, name: str, features: int, *, init: str = "standard_normal", of: str | None = None
    ) -> str:
        """Rows for the tokens of an input; raises BadGraph where that has no vocabulary."""
        read = self.last if of is None else of
        vocabulary = next((each.vocabulary for each in self._inputs if each.name == read), None)
        if vocabulary is None:
            raise BadGraph(f"{self._name}: layer '{name}' needs an input of tokens; give the Builder a vocabulary")
        op = Embedding(vocabulary=vocabulary, features=features, init=init)
        return self.add_layer(name, op, of)

    def lstm(self, name: str, hidden: int, *, of: str | None = None) -> str:
        return self.add_layer(name, Lstm(hidden=hidden), of)

    def gru(self, name: str, hidden: int, *, of: str | None = None) -> str:
        return self.add_layer(name, Gru(hidden=hidden), of)

    def conv_transpose2d(
        self, name: str, channels: int, *, kernel: int | Pair, stride: int | Pair = 1, padding: int | Pair = 0,
        bias: bool = True, of: str | None = None,
    ) -> str:
        op = ConvTranspose2d(
            out_channels=channels, kernel=_pair(kernel), stride=_pair(stride), padding=_pair(padding), bias=bias,
            init=self._init,
        )
        return self.add_layer(name, op, of)

    def reshape(self, name: str, shape: Shape, *, of: str | None = None) -> str:
        return self.add_layer(name, Reshape(shape=shape), of)

    def transpose(self, name: str, axes: tuple[int, ...], *, of: str | None = None) -> str:
        return self.add_layer(name, Transpose(axes=axes), of)

    def slice(self, name: str, *, axis: int, start: int, stop: int, of: str | None = None) -> str:
        """Axes of this and of those below count the batch's."""
        return self.add_layer(name, Slice(axis=axis, start=start, stop=stop), of)

    def split(self, name: str, parts: int, *, axis: int, of: str | None = None) -> tuple[str, ...]:
        """The names of the parts."""
        self.add_layer(name, Split(axis=axis, parts=parts), of)
        return tuple(self._layers[-1].values())

    def gelu(self, name: str, *, tanh: bool = False, of: str | None = None) -> str:
        return self.add_layer(name, Gelu(tanh=tanh), of)

    def layer_norm(self, name: str, *, epsilon: float = NORMAL_EPSILON, of: str | None = None) -> str:
        return self.add_layer(name, LayerNorm(epsilon=epsilon), of)

    def attention(self, name: str, *, of: Sequence[str], causal: bool = False) -> str:
        """Of query, key, value and perhaps a mask."""
        return self.add_layer(name, Attention(causal=causal), of)

    def parameter(self, name: str, shape: Shape, *, init: str, is_trainable: bool = True) -> str:
        """A value that all samples share."""
        return self.add_layer(name, ParameterValue(shape=shape, init=init, is_trainable=is_trainable), ())

    def build(
        self, *, loss: Loss, optimizer: Optimizer, outputs: Sequence[str] = (),
        copies: Sequence[Copy] = (), trains: Sequence[str] = ("",), objectives: Sequence[Objective] = (),
        carried: Sequence[Carried] = (),
    ) -> Graph:
        """The finished graph; its only output is the last layer's first value, unless ``outputs`` names others.

        What is carried to the next step becomes an output behind them. Raises BadGraph where it has no input or layer,
        where nothing uses one of them, or where an output, a copy, an objective or what is carried does not fit.
        """
        if not self._layers:
            raise BadGraph(f"{self._name} has no layers")
        outputs = tuple(outputs) or (self._layers[-1].name,)
        outputs += tuple(dict.fromkeys(each.value for each in carried if each.value not in outputs))
        self._refuse_wrong_outputs(outputs, loss)
        self._refuse_wrong_carried(carried, objectives)
        self._refuse_wrong_objectives(objectives, outputs, loss, copies)
        ends = (*outputs, *(each.output for each in objectives))
        used = {layer_of(name) for name in ends}.union(
            layer_of(name) for layer in self._layers for name in layer.inputs)
        for what, names in (
            ("layer", [layer.name for layer in self._layers]), ("input", [each.name for each in self._inputs]),
        ):
            unused = [name for name in names if name not in used]
            if unused:
                raise BadGraph(f"{self._name}: nothing reads {what} '{unused[0]}' and it is not the output")
        graph = Graph(
            name=self._name, inputs=tuple(self._inputs), layers=tuple(self._layers), outputs=outputs, loss=loss,
            optimizer=optimizer, copies=tuple(copies), carried=tuple(carried),
            objectives=tuple(replace(each, optimizer=each.optimizer or optimizer) for each in objectives),
            trains=tuple(name for each in objectives for name in each.trains) or tuple(trains),
        )
        self._refuse_wrong_copies(graph)
        for update in graph.updates:
            self._refuse_what_no_gradient_reaches(update)
        self._refuse_trained_twice(graph)
        return graph

    def _refuse_what_no_gradient_reaches(self, update: Graph) -> None:
        for layer in update.layers:
            is_asked = bool(update.trainable(layer)) and update.leads_to_loss(layer.name)
            if is_asked and not update.needs_gradient(layer.name):
                raise BadGraph(f"{self._name}: layer '{layer.name}' has trainable parameters, but no gradient reaches "
                               "it from the output; only comparisons, or the places of regions, read what it gives")
        if update.trains == ("",):
            return
        trained = [
            key for layer in update.layers if update.leads_to_loss(layer.name) for key in update.trainable(layer)
        ]
        for name in update.trains:
            if not any(key.startswith(name) for key in trained):
                raise BadGraph(f"{self._name}: '{name}' is to be trained, but {update.outputs[0]} depends on no "
                               "parameter of a layer whose name begins so")

    def _refuse_trained_twice(self, graph: Graph) -> None:
        counts = Counter(
            key for update in graph.updates
            for key in {key for layer in update.layers for key in update.trainable(layer)}
        )
        twice = [key for key, count in counts.items() if count > 1]
        if twice:
            raise BadGraph(f"{self._name}: '{twice[0]}' is trained by several objectives; each parameter has one "
                           "optimizer, so let one objective train it")

    def _refuse_wrong_objectives(
        self, objectives: Sequence[Objective], outputs: Sequence[str], loss: Loss, copies: Sequence[Copy]
    ) -> None:
        if not objectives:
            return
        names = [each.name for each in objectives]
        if len(set(names)) < len(names) or loss != WITHOUT_TARGET or copies:
            raise BadGraph(f"{self._name}: a graph has objectives of different names, with no other loss and without "
                           f"copies; not {', '.join(names)} with {loss} and {len(copies)} copies")
        if len(names) == 1 and objectives[0].output in outputs:
            raise BadGraph(f"{self._name}: the only objective is an output, '{objectives[0].output}', too; leave the "
                           f"objective out, and let the loss be {WITHOUT_TARGET}")
        for each in objectives:
            if not NAME.fullmatch(each.name) or not each.trains:
                raise BadGraph(f"{self._name}: an objective has a name of letters, digits, '_', '-' and '.', and "
                               f"trains some layers; not {each}")
            self._refuse_wrong_outputs((each.output,), loss)

    def _refuse_wrong_carried(self, carried: Sequence[Carried], objectives: Sequence[Objective]) -> None:
        inputs = {each.name: each.tensor for each in self._inputs if each.vocabulary is None}
        for each in carried:
            taken = [other.input for other in carried].count(each.input)
            if each.input not in inputs or taken > 1 or objectives:
                why = ("takes several values" if taken > 1 else "is carried beside several objectives" if objectives
                       else "is no input, or one of tokens")
                raise BadGraph(f"{self._name}: '{each.value}' is carried into '{each.input}', which {why}")
            if len(carried) == len(self._inputs):
                raise BadGraph(f"{self._name}: every input is carried from the step before, so no samples are read")
            given, becomes = inputs[each.input], self._values[each.value]
            if given != becomes or len(given.sample) > MOST_AXES_OF_STATE:
                raise BadGraph(f"{self._name}: '{each.value}' is carried into '{each.input}'; both must be of one "
                               f"shape and dtype, with at most {MOST_AXES_OF_STATE} axes beside the batch; they are "
                               f"{becomes} and {given}")

    def _refuse_wrong_copies(self, graph: Graph) -> None:
        counts = Counter(key for layer in graph.layers for key in layer.keyed_parameters)
        for copy in graph.copies:
            targets = [layer for layer in graph.layers if layer.parameters and layer.name.startswith(copy.target)]
            if not targets or copy.every < 1 or copy.source.startswith(copy.target):
                raise BadGraph(f"{self._name}: a copy needs layers with parameters that begin with '{copy.target}', "
                               f"others to copy from, and a number of steps of at least 1, not {copy}")
            for target in targets:
                name = copy.source + target.name[len(copy.target):]
                if name not in graph or graph[name].op != target.op or graph[name].parameters != target.parameters:
                    raise BadGraph(f"{self._name}: layer '{target.name}' is to become '{name}', which is no layer of "
                                   "the same kind and size")
                shared = [key for each in (target, graph[name]) for key in each.keyed_parameters if counts[key] > 1]
                if shared:
                    raise BadGraph(f"{self._name}: '{shared[0]}' is copied, so layers cannot share it")

    def _refuse_wrong_outputs(self, outputs: tuple[str, ...], loss: Loss) -> None:
        inputs = {each.name for each in self._inputs}
        for name in outputs:
            if name not in self._values or name in inputs or outputs.count(name) > 1:
                what = "is named twice" if outputs.count(name) > 1 else "no layer gives"
                raise BadGraph(f"{self._name}: output '{name}' {what}")
            if self._values[name].batch != 0:
                raise BadGraph(f"{self._name}: the output '{name}' needs the batch as its first axis, not "
                               f"{self._values[name]}")
        first = self._values[outputs[0]]
        if first.dtype != "float":
            raise BadGraph(f"{self._name}: the output needs floats with the batch as their first axis, not {first}")
        refuse_wrong_loss(self._name, loss, first)
