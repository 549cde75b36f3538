"""A fixed table of tiny graphs that meets every operation and every attribute that can be lowered wrongly.

Most begin with a layer that has weights, so that the operation under test must pass a gradient on. Heights and widths
differ, and channels are few but more than one: a transposed axis shows.
"""

from __future__ import annotations

from collections.abc import Callable

from rigmark.bench.ir.building import Builder
from rigmark.bench.ir.graph import Copy, Graph, Input, Shape, tokens
from rigmark.bench.ir.ops.arrangement import Expand, Join, Pad, Permute, Regroup, Slice, Split, Tile
from rigmark.bench.ir.ops.attention import Attention, LogSoftmax, Rotary
from rigmark.bench.ir.ops.comparison import And, Cast, Equal, Greater, GreaterEqual, Less, LessEqual, Not, Or, Where
from rigmark.bench.ir.ops.convolution import ConvTranspose2d
from rigmark.bench.ir.ops.elementwise import (
    Abs,
    Clip,
    Cos,
    Divide,
    Elu,
    Erf,
    Exp,
    HardSigmoid,
    HardSwish,
    LeakyRelu,
    Log,
    Maximum,
    Minimum,
    Multiply,
    Negative,
    Power,
    PRelu,
    Reciprocal,
    Selu,
    Silu,
    Sin,
    Softplus,
    Sqrt,
    Subtract,
)
from rigmark.bench.ir.ops.lookup import EmbeddingBag, Gather, GatherElements, OneHot, ScatterAdd
from rigmark.bench.ir.ops.normalisation import GroupNorm, RmsNorm
from rigmark.bench.ir.ops.pooling import MaxPool, MaxUnpool
from rigmark.bench.ir.ops.products import Matmul
from rigmark.bench.ir.ops.recurrent import Gru, Lstm, Rnn
from rigmark.bench.ir.ops.reduction import ArgMax, CumulativeSum, ReduceMax, ReduceMean, ReduceMin, ReduceSum, TopK
from rigmark.bench.ir.ops.resampling import Resize, RoiAlign
from rigmark.bench.ir.training import Adam, AdamW, Objective, Optimizer, Sgd

SGD = Sgd(learning_rate=0.05, momentum=0.9)

_CASES: dict[str, Callable[[], Graph]] = {}


def _case(build: Callable[[], Graph]) -> Callable[[], Graph]:
    _CASES[build.__name__] = build
    return build


def cases() -> dict[str, Graph]:
    """Every graph of the table by its name."""
    return {name: build() for name, build in _CASES.items()}


def covered_ops() -> set[str]:
    """Kinds of the operations that the table meets."""
    return {layer.op.kind for graph in cases().values() for layer in graph.layers}


def _image(shape: Shape, channels: int = 4) -> Builder:
    """A builder whose first layer, a 1 x 1 convolution, gives an image of so many channels."""
    net = Builder("case", shape)
    net.conv2d("first", channels, kernel=1)
    return net


def _scores(net: Builder, optimizer: Optimizer = SGD) -> Graph:
    """Three classes from whatever the builder ends with."""
    net.flatten("to_vector")
    net.dense("scores", 3)
    return net.build(loss="softmax_cross_entropy", optimizer=optimizer)


def _values(net: Builder) -> Graph:
    """The builder's last layer is the output, compared value by value."""
    return net.build(loss="mean_squared_error", optimizer=SGD)


# Convolution -----------------------------------------------------------------------------------------------------


@_case
def conv_of_the_input() -> Graph:
    net = Builder("case", (3, 6, 5))
    net.conv2d("conv", 4, kernel=3, padding=1)
    return _values(net)


@_case
def conv_same() -> Graph:
    net = _image((2, 5, 7))
    net.conv2d("conv", 3, kernel=3, padding=1)
    return _values(net)


@_case
def conv_without_bias() -> Graph:
    net = _image((2, 5, 4))
    net.conv2d("conv", 3, kernel=2, bias=False)
    return _values(net)


@_case
def conv_stride_2_even_size() -> Graph:              # SAME would pad the other side
    net = _image((2, 8, 6))
    net.conv2d("conv", 3, kernel=3, stride=2, padding=1)
    return _values(net)


@_case
def conv_stride_2_odd_size() -> Graph:
    net = _image((2, 7, 9))
    net.conv2d("conv", 3, kernel=3, stride=2, padding=1)
    return _values(net)


@_case
def conv_pixels_left_over() -> Graph:                # the last row and column are never seen
    net = _image((2, 7, 10))
    net.conv2d("conv", 3, kernel=3, stride=3)
    return _values(net)


@_case
def conv_stride_beyond_kernel() -> Graph:
    net = _image((2, 6, 9))
    net.conv2d("conv", 5, kernel=1, stride=2, bias=False)
    return _values(net)


@_case
def conv_large_kernel_and_padding() -> Graph:
    net = _image((2, 6, 5))
    net.conv2d("conv", 3, kernel=7, stride=2, padding=3)
    return _values(net)


@_case
def conv_padding_beyond_kernel() -> Graph:
    net = _image((2, 4, 3))
    net.conv2d("conv", 3, kernel=2, padding=(2, 3))
    return _values(net)


@_case
def conv_unequal_sides() -> Graph:
    net = _image((2, 8, 7))
    net.conv2d("conv", 3, kernel=(2, 5), stride=(3, 1), padding=(0, 2))
    return _values(net)


@_case
def conv_dilated() -> Graph:
    net = _image((2, 9, 8))
    net.conv2d("conv", 3, kernel=3, padding=(2, 1), dilation=(2, 3))
    return _values(net)


@_case
def conv_two_groups() -> Graph:
    net = _image((2, 5, 6), channels=4)
    net.conv2d("conv", 6, kernel=3, padding=1, groups=2)
    return _values(net)


@_case
def conv_depthwise() -> Graph:
    net = _image((2, 6, 5), channels=3)
    net.conv2d("conv", 3, kernel=3, stride=2, padding=1, groups=3, bias=False)
    return _values(net)


@_case
def conv_depthwise_with_multiplier() -> Graph:
    net = _image((2, 6, 5), channels=3)
    net.conv2d("conv", 6, kernel=3, padding=1, groups=3)
    return _values(net)


@_case
def conv_of_everything() -> Graph:
    net = _image((2, 11, 9), channels=6)
    net.conv2d("conv", 4, kernel=(3, 2), stride=(2, 3), padding=(2, 1), dilation=(2, 1), groups=2)
    return _values(net)


# Pooling ---------------------------------------------------------------------------------------------------------


@_case
def max_pool_halves() -> Graph:
    net = _image((2, 6, 8))
    net.max_pool("pool", kernel=2, stride=2)
    return _values(net)


@_case
def max_pool_overlapping_padded() -> Graph:          # padding of zero would win over negative values
    net = _image((2, 8, 7))
    net.max_pool("pool", kernel=3, stride=2, padding=1)
    return _values(net)


@_case
def max_pool_rounds_down() -> Graph:
    net = _image((2, 8, 7))
    net.max_pool("pool", kernel=3, stride=2)
    return _values(net)


@_case
def max_pool_unequal_sides() -> Graph:
    net = _image((2, 7, 8))
    net.max_pool("pool", kernel=(3, 2), stride=(1, 3), padding=(1, 0))
    return _values(net)


@_case
def avg_pool_halves() -> Graph:
    net = _image((2, 6, 9))
    net.avg_pool("pool", kernel=2, stride=2)
    return _values(net)


@_case
def avg_pool_counts_padding() -> Graph:
    net = _image((2, 8, 7))
    net.avg_pool("pool", kernel=3, stride=2, padding=1, count_include_pad=True)
    return _values(net)


@_case
def avg_pool_leaves_padding_out() -> Graph:
    net = _image((2, 8, 7))
    net.avg_pool("pool", kernel=3, stride=2, padding=1, count_include_pad=False)
    return _values(net)


@_case
def avg_pool_unequal_sides() -> Graph:
    net = _image((2, 7, 8))
    net.avg_pool("pool", kernel=(2, 3), stride=(3, 1), padding=(0, 1), count_include_pad=False)
    return _values(net)


@_case
def global_avg_pool() -> Graph:
    net = _image((2, 5, 3))
    net.global_avg_pool("pool")
    net.dense("scores", 3)
    return net.build(loss="softmax_cross_entropy", optimizer=SGD)


# Normalisation ---------------------------------------------------------------------------------------------------


@_case
def batch_norm_of_an_image() -> Graph:
    net = _image((2, 4, 3))
    net.batch_norm("norm")
    return _values(net)


@_case
def batch_norm_of_the_input() -> Graph:
    net = Builder("case", (3, 4, 5))
    net.batch_norm("norm", epsilon=1e-3, momentum=0.01)
    return _values(net)


@_case
def batch_norm_of_a_vector() -> Graph:
    net = Builder("case", (5,))
    net.dense("first", 6)
    net.batch_norm("norm", epsilon=0.1, momentum=0.4)
    return _values(net)


@_case
def local_response_norm() -> Graph:
    net = _image((2, 3, 4), channels=7)
    net.local_response_norm("norm", size=5, alpha=0.5, beta=0.75, k=2.0)
    return _values(net)


@_case
def local_response_norm_over_few_channels() -> Graph:    # the window is wider than the image is deep
    net = _image((2, 3, 4), channels=3)
    net.local_response_norm("norm", size=7, alpha=1.5, beta=0.5, k=1.0)
    return _values(net)


# Element by element ----------------------------------------------------------------------------------------------


@_case
def relu_of_an_image() -> Graph:
    net = _image((2, 4, 3))
    net.relu("relu")
    return _values(net)


@_case
def tanh_of_an_image() -> Graph:
    net = _image((2, 4, 3))
    net.tanh("tanh")
    return _values(net)


@_case
def sigmoid_of_an_image() -> Graph:
    net = _image((2, 4, 3))
    net.sigmoid("sigmoid")
    return _values(net)


@_case
def softmax_of_a_vector() -> Graph:
    net = Builder("case", (5,))
    net.dense("first", 4)
    net.softmax("softmax")
    return _values(net)


@_case
def dropout_of_an_image() -> Graph:
    net = _image((2, 4, 3))
    net.dropout("dropout", 0.3)
    return _values(net)


@_case
def dropout_of_the_input() -> Graph:
    net = Builder("case", (6,))
    net.dropout("dropout", 0.25)
    net.dense("scores", 3)
    return net.build(loss="softmax_cross_entropy", optimizer=SGD)


# Branches: what one layer reads another may not overwrite ----------------------------------------------------------


@_case
def residual() -> Graph:
    net = _image((3, 5, 4))
    entry = net.relu("relu1")
    net.conv2d("conv", 4, kernel=3, padding=1, bias=False)
    branch = net.batch_norm("norm")
    net.add("add", of=(branch, entry))
    net.relu("relu2")
    net.global_avg_pool("pool")
    return _scores(net)


@_case
def relu_beside_its_input() -> Graph:
    net = _image((2, 4, 3))
    entry = net.last
    positive = net.relu("relu")
    net.add("add", of=(entry, positive))
    return _values(net)


@_case
def dropout_beside_its_input() -> Graph:
    net = Builder("case", (5,))
    entry = net.dense("first", 6)
    dropped = net.dropout("dropout", 0.5)
    bent = net.tanh("tanh", of=entry)
    net.add("add", of=(entry, dropped, bent))
    return _values(net)


@_case
def add_to_itself() -> Graph:
    net = _image((2, 4, 3))
    net.add("add", of=("first", "first"))
    return _values(net)


@_case
def add_the_input() -> Graph:
    net = Builder("case", (3, 4, 5))
    net.conv2d("conv", 3, kernel=3, padding=1)
    net.add("add", of=("input", "conv"))
    return _values(net)


@_case
def concat_of_images() -> Graph:
    net = _image((2, 4, 3))
    left = net.conv2d("left", 2, kernel=1)
    right = net.conv2d("right", 3, kernel=3, padding=1, of="first")
    net.concat("concat", of=(left, "first", right))
    net.conv2d("last", 2, kernel=1)
    return _values(net)


@_case
def concat_of_vectors() -> Graph:
    net = Builder("case", (5,))
    left = net.dense("left", 2)
    right = net.dense("right", 3, of="input")
    net.concat("concat", of=(left, right, "input"))
    return _scores(net)


# Flatten: the order of a vector that was an image ------------------------------------------------------------------


@_case
def flatten_of_the_input() -> Graph:
    net = Builder("case", (2, 4, 3))
    net.flatten("flatten")
    net.dense("hidden", 5)
    net.relu("relu")
    return _scores(net)


@_case
def flatten_is_the_output() -> Graph:
    net = _image((2, 4, 3))
    net.flatten("flatten")
    return _values(net)


@_case
def flatten_then_channelwise_layers() -> Graph:
    net = _image((2, 4, 3))
    net.flatten("flatten")
    net.relu("relu")
    net.dropout("dropout", 0.4)
    net.batch_norm("norm")
    net.dense("scores", 3)
    return net.build(loss="softmax_cross_entropy", optimizer=SGD)


@_case
def concat_of_flattened_images() -> Graph:
    net = _image((2, 4, 3), channels=3)
    left = net.flatten("flatten1")
    net.max_pool("pool", kernel=2, stride=2, of="first")
    right = net.flatten("flatten2")
    mean = net.global_avg_pool("mean", of="first")
    net.concat("concat", of=(left, mean, right))
    net.dense("scores", 4)
    return net.build(loss="softmax_cross_entropy", optimizer=SGD)


@_case
def add_of_flattened_image_and_dense() -> Graph:
    net = _image((2, 3, 2), channels=2)
    entry = net.flatten("flatten")
    net.dense("dense", 12)
    net.add("add", of=("dense", entry))
    net.softmax("softmax")
    return _values(net)


@_case
def flatten_of_a_flattened_image() -> Graph:
    net = _image((2, 4, 3), channels=3)
    net.flatten("flatten1")
    net.tanh("tanh")
    net.flatten("flatten2")
    net.dense("hidden", 5)
    return _scores(net)


@_case
def flatten_feeds_two_layers() -> Graph:
    net = _image((2, 3, 2), channels=3)
    entry = net.flatten("flatten")
    left = net.dense("left", 4)
    right = net.dense("right", 4, of=entry)
    net.add("add", of=(left, right))
    return _values(net)


# Sequences -------------------------------------------------------------------------------------------------------


@_case
def sequence_scores_each_step() -> Graph:
    net = Builder("case", (4, 5))
    net.dense("hidden", 6)
    net.tanh("tanh")
    net.dropout("dropout", 0.2)
    net.dense("scores", 3)
    return net.build(loss="softmax_cross_entropy", optimizer=SGD)


@_case
def sequence_softmax() -> Graph:
    net = Builder("case", (4, 5))
    net.dense("hidden", 6, bias=False)
    net.softmax("softmax")
    return _values(net)


@_case
def sequence_flattened() -> Graph:
    net = Builder("case", (4, 5))
    net.dense("hidden", 3)
    net.relu("relu")
    return _scores(net)


@_case
def lstm_of_the_input() -> Graph:
    net = Builder("case", (5, 4))
    net.lstm("lstm", 3)
    return _values(net)


@_case
def lstm_after_dense() -> Graph:                     # more features than hidden units, and the gradient goes on
    net = Builder("case", (4, 5))
    net.dense("first", 6)
    net.lstm("lstm", 2)
    net.tanh("tanh")
    return _scores(net)


@_case
def tokens_through_two_lstms() -> Graph:             # 30 tokens of 7: rows of the table repeat
    net = Builder("case", (5,), vocabulary=7)
    net.embedding("embedding", 4)
    net.lstm("lstm1", 3)
    net.dropout("dropout", 0.3)
    net.lstm("lstm2", 5)
    net.dense("scores", 7)
    return net.build(loss="softmax_cross_entropy", optimizer=SGD)


@_case
def embedding_of_few_of_many_tokens() -> Graph:      # most rows have no gradient
    net = Builder("case", (2,), vocabulary=50)
    net.embedding("embedding", 3)
    return _scores(net, Adam(learning_rate=0.01))


@_case
def embeddings_in_bags() -> Graph:
    net = Builder("case", (2, 4), vocabulary=7)
    total = net.add_layer("sum", EmbeddingBag(vocabulary=7, features=3))
    mean = net.add_layer("mean", EmbeddingBag(vocabulary=7, features=3, mean=True), of="input")
    net.add("add", of=(total, mean))
    return _scores(net)


@_case
def max_pool_and_back() -> Graph:                    # where it was, in an image of another size too
    net = _image((2, 5, 6), channels=3)
    net.add_layer("pool1", MaxPool(kernel=(2, 2), stride=(2, 3), padding=(1, 0), indices=True))
    net.conv2d("between", 3, kernel=1, of="pool1")
    net.add_layer("unpool", MaxUnpool(size=(6, 7)), of=("between", "pool1:1"))
    net.conv2d("conv", 2, kernel=3)
    return _values(net)


@_case
def embedding_feeds_two_layers() -> Graph:
    net = Builder("case", (4,), vocabulary=6)
    entry = net.embedding("embedding", 3)
    net.lstm("lstm", 3)
    net.relu("relu", of=entry)
    net.add("add", of=("lstm", "relu"))
    return _values(net)


# Reshape and transpose: the order of the axes, whatever that of the memory ------------------------------------------


@_case
def rows_of_an_image_through_an_lstm() -> Graph:
    net = _image((2, 4, 3), channels=3)
    net.transpose("rows_first", (1, 0, 2))
    net.reshape("rows", (4, 9))
    net.lstm("lstm", 3)
    return _values(net)


@_case
def reshape_of_an_image_to_a_sequence() -> Graph:
    net = _image((2, 4, 3))
    net.reshape("sequence", (6, 8))
    net.lstm("lstm", 3)
    return _values(net)


@_case
def reshape_of_an_image_and_back() -> Graph:
    net = _image((2, 4, 3))
    net.reshape("image", (3, 2, 8))
    net.conv2d("conv", 2, kernel=(2, 3), padding=(0, 1))
    return _values(net)


@_case
def reshape_of_a_vector_to_an_image() -> Graph:
    net = Builder("case", (5,))
    net.dense("first", 24)
    net.reshape("image", (2, 3, 4))
    net.max_pool("pool", kernel=2, stride=1)
    return _values(net)


@_case
def reshape_beside_its_input() -> Graph:
    net = _image((2, 4, 3), channels=2)
    entry = net.last
    net.reshape("vector", (24,))
    net.tanh("tanh")
    net.reshape("image", (2, 4, 3))
    net.add("add", of=(entry, "image"))
    return _values(net)


@_case
def reshape_of_the_input_to_a_vector() -> Graph:
    net = Builder("case", (2, 4, 3))
    net.reshape("vector", (24,))
    return _scores(net)


@_case
def transpose_of_a_sequence() -> Graph:
    net = Builder("case", (4, 5))
    net.dense("first", 3)
    net.transpose("features_first", (1, 0))
    net.dense("mixed", 2)
    return _values(net)


@_case
def transpose_of_the_input() -> Graph:
    net = Builder("case", (2, 4, 3))
    net.transpose("turned", (2, 0, 1))
    net.conv2d("conv", 2, kernel=2)
    return _values(net)


@_case
def transpose_of_an_image() -> Graph:                # a turn by three axes is not its own inverse
    net = _image((2, 3, 5))
    net.transpose("turned", (1, 2, 0))
    net.conv2d("conv", 2, kernel=(3, 2))
    return _scores(net)


@_case
def transpose_of_an_image_and_back() -> Graph:
    net = _image((2, 3, 5))
    net.transpose("turned", (2, 0, 1))
    net.batch_norm("norm")
    net.relu("relu")
    net.transpose("back", (1, 2, 0))
    net.conv2d("conv", 2, kernel=3, padding=1)
    net.global_avg_pool("pool")
    return _values(net)


# Families of operations, many of them in one network: each compiles for long -----------------------------------------


@_case
def functions_of_each_element() -> Graph:
    net = Builder("case", (6,))
    entry = net.dense("first", 7)
    positive = net.sigmoid("positive")
    branches = [
        net.add_layer(op.kind, op, of=positive if isinstance(op, Log | Sqrt) else entry)
        for op in (
            Clip(low=-0.5, high=0.75), Silu(), Exp(), Log(), Sqrt(), Abs(), Negative(), Sin(), Cos(), Erf(), PRelu(),
            LeakyRelu(slope=0.2), Elu(alpha=0.7), Selu(), Softplus(), HardSigmoid(alpha=0.3), HardSwish(),
            Power(exponent=3.0),
        )
    ]
    further = [
        net.add_layer(f"further{index}", op, of=positive if isinstance(op, Power | Reciprocal) else entry)
        for index, op in enumerate((
            Clip(low=0.1), Clip(high=0.3), Elu(), HardSigmoid(), Power(exponent=-0.5), Reciprocal(), LogSoftmax(),
            PRelu(is_shared=True),
        ))
    ]
    net.add("add", of=(*branches, *further, net.gelu("gelu", of=entry), net.gelu("gelu_tanh", tanh=True, of=entry)))
    return _scores(net, Sgd(learning_rate=1e-3))     # powers explode after long steps


@_case
def functions_of_two_values() -> Graph:              # one with a batch, one that all samples share
    net = Builder("case", (3, 5))
    x = net.dense("first", 4)
    row, table = net.parameter("row", (4,), init="standard_normal"), net.parameter("table", (3, 1), init="ones")
    product = net.add_layer("multiply", Multiply(), of=(x, row))
    ratio = net.add_layer("divide", Divide(), of=(product, table))
    difference = net.add_layer("subtract", Subtract(), of=(row, ratio))
    larger = net.add_layer("maximum", Maximum(), of=(difference, table))
    smaller = net.add_layer("minimum", Minimum(), of=(x, larger))
    conditions = [net.add_layer(op.kind, op, of=(x, smaller)) for op in (Greater(), Less(), Equal())]
    conditions += [net.add_layer(op.kind, op, of=conditions[:2]) for op in (And(), Or())]
    conditions += [net.add_layer(op.kind, op, of=(x, row)) for op in (GreaterEqual(), LessEqual())]
    conditions.append(net.add_layer("not", Not(), of=conditions[-1]))
    values = [net.add_layer(f"where_{name}", Where(), of=(name, smaller, row)) for name in conditions]
    values.append(net.add_layer("as_float", Cast(to="float"), of=conditions[0]))
    values.append(net.add_layer("whole", Cast(to="float"), of=net.add_layer("as_int", Cast(to="int64"), of=x)))
    cube = net.reshape("cube", (3, 2, 1, 2), of=smaller)         # and one of five axes
    net.add("raised", of=(cube, net.parameter("shift", (1, 3, 1, 1, 2), init="standard_normal")))
    values.append(net.reshape("plain", (3, 4)))
    net.add("add", of=(net.parameter("constant", (4,), init="ones", is_trainable=False), *values))
    return _scores(net)


@_case
def reductions_and_parts() -> Graph:
    net = Builder("case", (4, 5))
    entry = net.dense("first", 6)
    left, _, right = net.split("split", 3, axis=-1)              # the middle is never read
    total = net.add_layer("sum", ReduceSum(axes=(1,)), of=left)
    mean = net.add_layer("mean", ReduceMean(axes=(2, 1), keep=True), of=right)
    most = net.add_layer("max", ReduceMax(axes=(-1,)), of=entry)
    chosen = net.add_layer("gather", Gather(axis=1, indices=(3, 0, 3)), of=entry)
    part = net.slice("slice", axis=1, start=1, stop=3, of=entry)
    token = net.add_layer("token", Expand(), of=(net.parameter("value", (1, 6), init="standard_normal"), "input"))
    joined = net.concat("joined", of=(token, chosen))
    least = net.add_layer("min", ReduceMin(axes=(1, 2), keep=True), of=entry)
    sums = net.add_layer("sums", CumulativeSum(axis=1), of=net.add_layer("sums2", CumulativeSum(axis=-1), of=entry))
    places = net.add_layer("places", ArgMax(axis=1, keep=True), of=entry)
    largest = net.add_layer("largest", GatherElements(axis=1), of=(sums, places))
    sums = net.add_layer("scattered", ScatterAdd(axis=1), of=(sums, places, largest))
    most_of = net.add_layer("most", TopK(axis=1, count=3), of=entry)
    net.add_layer("last", TopK(axis=-1, count=2), of="sums2")
    ranked = net.add_layer("ranked", GatherElements(axis=-1), of=("sums2", "last:1"))
    place = net.add_layer("place", OneHot(depth=4), of=net.add_layer("argmax", ArgMax(axis=1), of="sums2"))
    count = net.add_layer("running", CumulativeSum(axis=2), of=net.add("doubled", of=(places, places)))
    count = net.add_layer("product", Multiply(), of=(places, net.add_layer("less", Subtract(), of=(count, places))))
    count = net.add_layer("count", ReduceSum(axes=(1,)), of=net.add_layer("limited", Maximum(), of=(count, places)))
    count = net.add_layer("counted", Cast(to="float"), of=count)         # whole numbers until here
    number = net.add_layer("number", ReduceSum(axes=(1, 2)), of=left)
    found = (mean, joined, part, least, sums, largest, place, count, number, most_of, "last", ranked)
    vectors = [net.flatten(f"flat{index}", of=value) for index, value in enumerate(found)]
    net.concat("concat", of=(total, most, *vectors))
    return _scores(net)


@_case
def other_shapes() -> Graph:                         # the batch behind, of rows, and back; joined, tiled and padded
    net = Builder("case", (4, 5))
    entry = net.dense("first", 6)
    turned = net.add_layer("steps_first", Permute(axes=(1, 0, 2)), of=entry)
    net.add_layer("windows", Regroup(shape=(2, 2, 6), batch=0), of=entry)
    net.dense("of_windows", 3)
    net.softmax("softmax")
    rows = net.add_layer("rows", Regroup(shape=(1, 4, 3), batch=0))
    net.add_layer("heads", Regroup(shape=(4, 1, 3, 2), batch=1), of=turned)
    net.add_layer("tiled", Tile(times=(2, 1, 1, 2)))
    net.add_layer("edged", Pad(before=(1, 0, 0, 2), after=(2, 0, 1, 0), mode="edge"))
    net.add_layer("mirrored", Pad(before=(3, 0, 0, 0), after=(2, 0, 0, 0), mode="reflect"))
    back = net.add_layer("back", Permute(axes=(1, 0, 3, 2)))
    net.add_layer("parts", Split(axis=2, parts=3, sizes=(1, 3, 2)))
    stepped = net.add_layer("stepped", Slice(axis=1, start=1, stop=12, step=3), of="parts:1")
    long = net.add_layer("long", Join(axis=3), of=(stepped, stepped))
    vectors = [net.flatten(f"flat{index}", of=value) for index, value in enumerate((back, long, rows))]
    net.concat("concat", of=vectors)
    return _scores(net)


@_case
def recurrent_cells() -> Graph:                      # both ways, from given states and to the last ones
    net = Builder("case", (3, 5))
    entry = net.dense("first", 6)
    relu = net.add_layer("relu", Rnn(hidden=3, relu=True, directions=2, final=True), of=entry)
    gru = net.add_layer("gru", Gru(hidden=3, directions=2, final=True), of=(relu, "relu:1"))
    lstm = net.add_layer("lstm", Lstm(hidden=3, directions=2, final=True), of=(gru, "gru:1", "relu:1"))
    before = net.add_layer("before", Gru(hidden=2, reset_after=False, directions=2, final=True), of=lstm)
    net.add_layer("tanh", Rnn(hidden=2), of=before)
    vectors = [net.flatten(f"flat{i}", of=name) for i, name in enumerate(("tanh", "before:1", "lstm:2"))]
    net.concat("concat", of=vectors)
    return _scores(net)


@_case
def transposed_convolutions() -> Graph:
    net = _image((2, 4, 3), channels=4)
    settings = (
        {"kernel": (2, 2), "stride": (2, 2)}, {"kernel": (4, 4), "stride": (2, 2), "padding": (1, 1)},
        {"kernel": (3, 2), "stride": (2, 3), "padding": (1, 0), "output_padding": (1, 2), "groups": 2},
        {"kernel": (2, 3), "stride": (1, 2), "padding": (2, 1), "dilation": (3, 2), "bias": False},
        {"kernel": (1, 1), "stride": (2, 2), "output_padding": (1, 0)},
    )
    for index, each in enumerate(settings):
        net.add_layer(f"conv{index}", ConvTranspose2d(out_channels=4, **each))  # type: ignore[arg-type]
        net.max_pool(f"pool{index}", kernel=1, stride=2)
    return _values(net)


@_case
def resized_images() -> Graph:
    net = _image((2, 4, 6), channels=2)
    entry = net.last
    ways = [("nearest", "half_pixel"), ("nearest", "asymmetric")]
    ways += [(mode, way) for mode in ("bilinear", "bicubic") for way in ("half_pixel", "align_corners", "asymmetric")]
    for index, (mode, coordinates) in enumerate(ways):
        larger = net.add_layer(f"larger{index}", Resize(size=(7, 12), mode=mode, coordinates=coordinates), of=entry)
        net.add_layer(f"smaller{index}", Resize(size=(3, 5), mode=mode, coordinates=coordinates), of=larger)
    net.concat("concat", of=[f"smaller{index}" for index in range(len(ways))])
    return _values(net)


@_case
def regions_of_an_image() -> Graph:                  # some lie outside
    net = Builder("case")
    net.add_input(Input(name="image", shape=(2, 5, 6)))
    net.add_input(Input(name="boxes", shape=(3, 4)))
    image = net.conv2d("first", 3, kernel=1, of="image")
    aligned = net.add_layer("aligned", RoiAlign(size=(2, 3), samples=2, scale=2.5), of=(image, "boxes"))
    other = net.add_layer("other", RoiAlign(size=(3, 1), samples=3, scale=1.5, aligned=False), of=(image, "boxes"))
    net.concat("concat", of=[net.flatten(f"flat_{name}", of=name) for name in (aligned, other)])
    return _scores(net)


@_case
def grouped_queries() -> Graph:                      # four heads of the query, two of key and value
    net = Builder("case", (4, 3, 4))
    weights = [net.parameter(f"weight{i}", (4, 4), init="standard_normal") for i in range(2)]
    query = net.add_layer("query", Matmul(), of=("input", weights[0]))
    net.add_layer("keys", Matmul(), of=("input", weights[1]))
    key = net.add_layer("key", Slice(axis=1, start=1, stop=3))
    turned = net.add_layer("turned", Rotary(base=100.0), of=query)
    key = net.add_layer("turned_keys", Rotary(base=100.0, interleaved=True), of=key)
    plain = net.add_layer("plain", Attention(causal=True), of=(turned, key, key))
    net.add_layer("scaled", Attention(scale=0.3), of=(plain, key, key))
    return _scores(net)


@_case
def padded_images() -> Graph:                        # whose channels are last where images are kept so
    net = _image((2, 5, 6), channels=3)
    net.add_layer("zeros", Pad(before=(0, 1, 2, 0), after=(0, 0, 1, 3), value=-0.5))
    net.add_layer("prelu", PRelu())
    net.conv2d("conv1", 3, kernel=2)
    net.add_layer("mirrored", Pad(before=(0, 2, 1, 3), after=(0, 0, 2, 1), mode="reflect"))
    net.conv2d("conv2", 3, kernel=3)
    net.add_layer("edged", Pad(before=(0, 0, 3, 1), after=(0, 1, 0, 2), mode="edge"))
    net.conv2d("conv3", 2, kernel=3)
    return _values(net)


@_case
def normalised_features() -> Graph:
    net = Builder("case", (4, 5))
    net.dense("first", 6)
    net.layer_norm("layer_norm", epsilon=0.01)
    net.add_layer("rms_norm", RmsNorm(epsilon=0.1))
    return _scores(net)


@_case
def image_in_turns() -> Graph:                       # as it is kept, and in the order of its axes, back and forth
    net = _image((2, 4, 6), channels=4)
    net.add_layer("group_norm", GroupNorm(groups=2, epsilon=0.01))
    kept = net.gelu("gelu")
    net.layer_norm("rows")
    net.add("add", of=(kept, "rows"))
    net.conv2d("conv", 3, kernel=3, padding=1)
    net.reshape("other", (3, 6, 4))
    net.concat("concat", of=("other", "other"))
    net.reshape("image", (6, 4, 6))
    net.max_pool("pool", kernel=2, stride=2)
    return _scores(net)


@_case
def transformer() -> Graph:                          # causal, with the table of tokens for the scores too
    net = Builder("case", (5,), vocabulary=7)
    net.embedding("embedding", 6)
    net.add("positions", of=("embedding", net.parameter("position", (5, 6), init="standard_normal")))
    heads = [
        net.transpose(f"{name}_heads", (1, 0, 2), of=net.reshape(f"{name}_rows", (5, 2, 3), of=part))
        for name, part in zip(("query", "key", "value"), net.split("split", 3, axis=2, of=net.dense("qkv", 18)),
                              strict=True)
    ]
    net.attention("attention", of=heads, causal=True)
    net.transpose("rows", (1, 0, 2))
    net.reshape("joined", (5, 6))
    net.dropout("dropout", 0.2)
    net.dense("scores", 7, bias=False, weight="embedding/weight")
    # Not by Adam: the keys' bias has no gradient but rounding, of which Adam makes updates like any other.
    return net.build(loss="softmax_cross_entropy", optimizer=SGD)


@_case
def attention_with_masks() -> Graph:                 # of other keys and values than queries, added and chosen
    net = Builder("case", (2, 4, 3))
    query = net.add_layer("query", Matmul(), of=(
        "input", net.parameter("weight", (3, 3), init="standard_normal")))
    key = net.slice("key", axis=2, start=0, stop=3, of=query)
    added = net.attention("added", of=(query, key, key, net.parameter("bias", (4, 3), init="standard_normal")))
    scores = net.add_layer("scores_of_pairs", Matmul(), of=(query, net.transpose("turned", (0, 2, 1), of=key)))
    mean = net.add_layer("mean", ReduceMean(axes=(3,), keep=True), of=scores)
    seen = net.add_layer("seen", Less(), of=(scores, mean))      # so that each query sees a key
    chosen = net.attention("chosen", of=(query, key, net.dense("value", 2, of=key), seen))
    net.add("add", of=(added, net.dense("widened", 3, of=chosen)))
    return _scores(net)


@_case
def several_inputs_and_outputs() -> Graph:           # the step of training needs but the first output
    net = Builder("case")
    net.add_input(Input(name="picture", shape=(2, 4, 6)))
    net.add_input(tokens((5,), 7, "words"))
    net.add_input(Input(name="seen", shape=(5,), dtype="bool", draw="lengths"))
    net.add_input(Input(name="places", shape=(5,), draw="positions"))
    net.conv2d("conv", 4, kernel=3, padding=1, of="picture")     # an output, over which nothing may write
    net.relu("relu")
    net.batch_norm("norm")
    net.flatten("unread")
    net.flatten("flat", of="relu")                   # in canonical order, since it is an output too
    of_picture = net.dense("of_picture", 3)
    net.embedding("table", 4, of="words")
    net.add_layer("chosen", Where(), of=(
        net.reshape("rows", (5, 1), of="seen"), "table", net.parameter("blank", (4,), init="standard_normal")))
    net.add("placed", of=("chosen", net.reshape("columns", (5, 1), of="places")))
    net.flatten("vector")
    net.add("scores", of=(net.dense("of_words", 3), of_picture))
    net.dense("others", 2)
    return net.build(
        loss="softmax_cross_entropy", optimizer=SGD, outputs=("scores", "others", "conv", "unread", "flat", "norm")
    )


@_case
def a_target_network() -> Graph:                     # that becomes the trained one after the second step
    net = Builder("case", (2, 4, 6))
    values = []
    for name in ("online", "target"):
        with net.scope(name):
            net.conv2d("conv", 3, kernel=3, of="input")
            net.batch_norm("norm")
            net.flatten("flat")
            values.append(net.dense("values", 4))
    net.add_layer("difference", Subtract(), of=values)
    return net.build(
        loss="mean_squared_error", optimizer=SGD, copies=(Copy(source="online.", target="target.", every=2),)
    )


@_case
def two_objectives() -> Graph:                       # each trains one of two networks, whose layers stand there again
    return adversaries()


def adversaries(rate: float = 0.0) -> Graph:
    """A small generative adversarial network, with dropout if there is a rate."""
    net = Builder("case", init="glorot_uniform")
    net.add_input(Input(name="noise", shape=(5,)))
    net.add_input(Input(name="again", shape=(5,)))
    net.add_input(Input(name="picture", shape=(2, 4, 3)))
    made, scores = {}, {}
    for noise, like in (("noise", None), ("again", "makes.noise")):
        with net.scope("makes"), net.scope(noise, like=like):
            net.dense("spread", 24, of=noise)
            net.reshape("image", (2, 4, 3))
            net.batch_norm("normal")
            made[noise] = net.tanh("tanh")
            if rate:
                made[noise] = net.dropout("dropout", rate)
    for name, of, like in (
        ("real", "picture", None), ("made", made["noise"], "judges.real"), ("again", made["again"], "judges.real"),
    ):
        with net.scope("judges"), net.scope(name, like=like):
            net.conv2d("conv", 3, kernel=3, of=of)
            net.batch_norm("normal")
            net.add_layer("relu", LeakyRelu(slope=0.2))
            net.flatten("flat")
            scores[name] = net.dense("score", 1)
    real = net.add_layer("real", Softplus(), net.add_layer("less", Negative(), scores["real"]))
    judging = net.add("judging", of=(real, net.add_layer("false", Softplus(), scores["made"])))
    making = net.add_layer("making", Softplus(), net.add_layer("less_again", Negative(), scores["again"]))
    return net.build(
        loss="value", optimizer=Adam(learning_rate=0.01, beta1=0.5), outputs=(made["noise"], scores["made"]),
        objectives=(
            Objective(name="judge", output=judging, trains=("judges.",), optimizer=SGD),
            Objective(name="maker", output=making, trains=("makes.",)),
        ),
    )


@_case
def a_frozen_network() -> Graph:                     # of which no gradient is asked, but one into what it is given
    net = Builder("case", (2, 4, 3))
    change = net.parameter("change", (2, 4, 3), init="standard_normal")
    net.add_layer("everywhere", Expand(), (change, "input"))
    net.conv2d("conv", 4, kernel=3, of=net.add("picture", of=("input", "everywhere")))
    net.batch_norm("norm")
    net.add_layer("relu", LeakyRelu(slope=0.3))
    net.flatten("flat")
    scores = net.dense("scores", 5)
    net.add_layer("square", Multiply(), (scores, scores))
    return net.build(loss="value", optimizer=SGD, trains=("change",))


@_case
def targets_of_0_and_1() -> Graph:
    net = Builder("case", (5,))
    net.dense("hidden", 4)
    net.tanh("tanh")
    net.dense("scores", 3)
    return net.build(loss="binary_cross_entropy", optimizer=SGD)


# Losses and optimisers -------------------------------------------------------------------------------------------


@_case
def sgd_without_momentum() -> Graph:
    net = Builder("case", (5,))
    net.dense("hidden", 4, bias=False)
    net.sigmoid("sigmoid")
    return _scores(net, Sgd(learning_rate=0.1))


@_case
def adam() -> Graph:
    net = Builder("case", (5,))
    net.dense("hidden", 6)
    net.tanh("tanh")
    return _scores(net, Adam(learning_rate=0.01))


@_case
def adam_with_large_epsilon() -> Graph:              # inside the root, or before the bias correction, it shows
    net = _image((2, 3, 4))
    net.tanh("tanh")
    return _scores(net, Adam(learning_rate=0.02, beta1=0.7, beta2=0.9, epsilon=0.1))


@_case
def adamw() -> Graph:
    net = Builder("case", (5,))
    net.dense("hidden", 6)
    net.tanh("tanh")
    return _scores(net, AdamW(learning_rate=0.05, weight_decay=0.7))


@_case
def image_times_its_channels() -> Graph:
    """As squeeze-and-excite blocks of published files: values of every channel, for all samples, and single numbers."""
    net = Builder("case", (3, 4, 3))
    image = net.conv2d("conv1", 4, kernel=1)
    net.global_avg_pool("pool")
    net.dense("gates", 4)
    gates = net.reshape("column", (4, 1, 1))
    shift = net.parameter("shift", (1, 4, 1, 1), init="standard_normal")
    net.add("shifted", of=(gates, shift))
    net.add_layer("gated", Multiply(), (image, "shifted"))
    scale = net.parameter("scale", (1,), init="standard_normal")
    net.add_layer("scaled", Multiply(), ("gated", scale))
    net.add("same_shape", of=("scaled", net.parameter("image", (1, 4, 4, 3), init="standard_normal")))
    net.conv2d("conv2", 2, kernel=1)
    net.flatten("flatten")
    return _scores(net)


# For modes in which compiling is slow ----------------------------------------------------------------------------


@_case
def small_network() -> Graph:
    """What a compiler may get wrong in training: a branch, statistics, groups, a mask, the order of a vector."""
    net = Builder("small_network", (3, 6, 5))
    net.conv2d("conv1", 4, kernel=3, stride=2, padding=1, bias=False)
    net.batch_norm("norm")
    entry = net.relu("relu")
    branch = net.conv2d("conv2", 4, kernel=3, padding=1, groups=2)
    net.add("add", of=(branch, entry))
    net.max_pool("pool", kernel=2, stride=1)
    net.flatten("flatten")
    net.dropout("dropout", 0.5)
    net.dense("scores", 3)
    return net.build(loss="softmax_cross_entropy", optimizer=SGD)


@_case
def everything() -> Graph:
    """Every operation but those of sequences in one graph."""
    net = Builder("everything", (3, 12, 10))
    net.conv2d("conv1", 8, kernel=3, stride=2, padding=1, bias=False)
    net.batch_norm("norm1")
    entry = net.relu("relu1")
    net.conv2d("conv2", 8, kernel=3, padding=1, groups=2)
    net.local_response_norm("norm2", size=5, alpha=0.5, beta=0.75, k=1.0)
    branch = net.dropout("dropout1", 0.25)
    net.add("add", of=(entry, branch))
    merged = net.relu("relu2")
    left = net.max_pool("left", kernel=3, stride=2, padding=1)
    right = net.avg_pool("right", kernel=3, stride=2, padding=1, count_include_pad=False, of=merged)
    net.concat("images", of=(left, right))
    pooled = net.sigmoid("sigmoid")
    net.transpose("turned", (1, 2, 0))
    net.reshape("halves", (9, 2, 8))
    flat = net.flatten("flatten")
    mean = net.global_avg_pool("mean", of=pooled)
    net.concat("vectors", of=(flat, mean))
    net.dense("hidden", 6)
    net.tanh("tanh")
    net.dropout("dropout2", 0.5)
    net.dense("classes", 4)
    net.softmax("softmax")
    return _values(net)
