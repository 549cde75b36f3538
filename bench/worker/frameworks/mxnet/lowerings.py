"""MXNet: one function per operation, of NDArrays or of symbols.

A lowering is a function (layer, dtype) -> function (F, weights, *inputs) -> output, or a tuple of them. F is mxnet.nd
or mxnet.sym, weights are by the name of the parameter. Comparisons give 0 and 1 in the format of the network's weights.
"""

from .. import Unsupported
from .._arrangement import regrouped

FAR = 3.4e38                 # a bound of clip that no float32 exceeds; MXNet wants both


def _convolution(kind, more=()):
    def lower(layer, dtype):
        a = layer["attributes"]
        settings = {
            "kernel": tuple(a["kernel"]), "stride": tuple(a["stride"]), "pad": tuple(a["padding"]),
            "dilate": tuple(a["dilation"]), "num_filter": a["out_channels"], "num_group": a["groups"],
            "no_bias": not a["bias"], **{theirs: tuple(a[ours]) for theirs, ours in more},
        }

        def run(F, weights, x):
            bias = (weights["bias"],) if a["bias"] else ()
            return getattr(F, kind)(x, weights["weight"], *bias, **settings)

        return run

    return lower


def _dense(layer, dtype):
    a = layer["attributes"]

    def run(F, weights, x):
        bias = (weights["bias"],) if a["bias"] else ()
        return F.FullyConnected(
            x, weights["weight"], *bias, num_hidden=a["out_features"], no_bias=not a["bias"], flatten=False)

    return run


def _matmul(layer, dtype):
    first, second = layer["input_shapes"]
    if len(second) == 2 < len(first):
        return lambda F, weights, x, y: F.dot(x, y)
    if len(first) != len(second) or first[:-2] != second[:-2] or len(first) < 2:
        raise Unsupported("the mxnet adapter multiplies no matrices of shapes %s and %s, since MXNet's products do not "
                          "broadcast" % (first, second))
    return lambda F, weights, x, y: F.linalg_gemm2(x, y)


def _plain(function, **settings):
    """The lowering that is F's function of this name, of the inputs in their order."""
    return lambda layer, dtype: lambda F, weights, *inputs: getattr(F, function)(*inputs, **settings)


def _of(function):
    """The lowering that is ``function(F, a, *inputs)``, where ``a`` are the attributes of the layer."""
    return lambda layer, dtype: lambda F, weights, *inputs: function(F, layer["attributes"], *inputs)


def _add(layer, dtype):
    def run(F, weights, first, *others):
        for other in others:
            first = F.broadcast_add(first, other)
        return first

    return run


def _dropout(layer, dtype):
    """``weights`` has "mask" in a proof."""
    rate = layer["attributes"]["rate"]
    return lambda F, weights, x: x * weights["mask"] if "mask" in weights else F.Dropout(x, p=rate)


def _clip(F, a, x):
    low, high = (a.get(bound) for bound in ("low", "high"))
    return F.clip(x, -FAR if low is None else low, FAR if high is None else high)


def _gelu(F, a, x):
    if a["tanh"]:
        return 0.5 * x * (1 + F.tanh(0.7978845608028654 * (x + 0.044715 * x * x * x)))
    return F.LeakyReLU(x, act_type="gelu")


def _selu(F, a, x):
    """By its definition: the gradient of MXNet's own is 8 % off."""
    return 1.0507009873554805 * F.LeakyReLU(x, act_type="elu", slope=1.6732632423543772)


def _prelu(layer, dtype):
    """From two ReLUs: hybridized, the gradient of the slopes of MXNet's own is 0.4 % off."""
    shape = (1, -1) + (1,) * (len(layer["input_shapes"][0]) - 1)
    return lambda F, weights, x: F.relu(x) - F.broadcast_mul(F.reshape(weights["slope"], shape=shape), F.relu(-x))


def _compared(function):
    """Zeros and ones in the format of the weights: MXNet gives them in that of what it compares."""
    def lower(layer, dtype):
        return lambda F, weights, *inputs: F.cast(getattr(F, function)(*inputs), dtype)

    return lower


def _cast(layer, dtype):
    to = {"float": dtype, "int64": "int64", "bool": dtype}[layer["attributes"]["to"]]
    is_bool = layer["attributes"]["to"] == "bool"
    return lambda F, weights, x: F.cast(x != 0 if is_bool else x, to)


# Pooling and normalisation ----------------------------------------------------------------------------------------


def _pool(kind):
    def lower(layer, dtype):
        a = layer["attributes"]
        if a.get("indices"):
            raise Unsupported("the mxnet adapter has no max pooling that tells where the largest elements were")
        settings = {
            "pool_type": kind, "kernel": tuple(a["kernel"]), "stride": tuple(a["stride"]), "pad": tuple(a["padding"]),
            "pooling_convention": "valid",
        }
        if kind == "avg":
            settings["count_include_pad"] = a["count_include_pad"]
        return lambda F, weights, x: F.Pooling(x, **settings)

    return lower


def _global_avg_pool(layer, dtype):
    return lambda F, weights, x: F.flatten(F.Pooling(x, pool_type="avg", global_pool=True, kernel=(1, 1)))


def _batch_norm(layer, dtype):
    """In training a triple: the output, the mean and the inverse deviation of the batch.

    MXNet would move the running variance towards the biased one of the batch, so it is told to leave both statistics
    as they are (momentum 1), and the network moves them.
    """
    a = layer["attributes"]

    def run(F, weights, x):
        settings = {
            "eps": a["epsilon"], "momentum": 1.0, "fix_gamma": False, "output_mean_var": weights["is_training"],
        }
        return F.BatchNorm(x, *(weights[name] for name in ("gamma", "beta", "mean", "variance")), **settings)

    return run


def _local_response_norm(F, a, x):
    return F.LRN(x, alpha=a["alpha"], beta=a["beta"], knorm=a["k"], nsize=a["size"])


def _layer_norm(layer, dtype):
    epsilon = layer["attributes"]["epsilon"]
    return lambda F, weights, x: F.LayerNorm(x, weights["gamma"], weights["beta"], axis=-1, eps=epsilon)


def _rms_norm(layer, dtype):
    epsilon = layer["attributes"]["epsilon"]

    def run(F, weights, x):
        scale = F.rsqrt(F.mean(F.square(x), axis=-1, keepdims=True) + epsilon)
        return F.broadcast_mul(F.broadcast_mul(x, scale), weights["gamma"])

    return run


def _group_norm(layer, dtype):
    a, shape = layer["attributes"], layer["input_shapes"][0]

    def run(F, weights, x):
        groups = F.reshape(x, shape=(0, a["groups"], -1))
        centred = F.broadcast_sub(groups, F.mean(groups, axis=-1, keepdims=True))
        scale = F.rsqrt(F.mean(F.square(centred), axis=-1, keepdims=True) + a["epsilon"])
        normal = F.reshape(F.broadcast_mul(centred, scale), shape=(-1, *shape))
        gamma, beta = (F.reshape(weights[name], shape=(1, -1, 1, 1)) for name in ("gamma", "beta"))
        return F.broadcast_add(F.broadcast_mul(normal, gamma), beta)

    return run


# Arrangement ------------------------------------------------------------------------------------------------------


def _reshape(layer, dtype):
    shape = (-1, *layer["attributes"]["shape"])
    return lambda F, weights, x: F.reshape(x, shape=shape)


def _regroup(layer, dtype):
    shape = tuple(regrouped(layer))
    if not shape:
        raise Unsupported("MXNet has no arrays without axes, which layer '%s' gives" % layer["name"])
    return lambda F, weights, x: F.reshape(x, shape=shape)


def _split(layer, dtype):
    a = layer["attributes"]
    if "sizes" in a:
        ends = [sum(a["sizes"][:place + 1]) for place in range(len(a["sizes"]))]
        parts = list(zip([0, *ends], ends))
        return lambda F, weights, x: tuple([
            F.slice_axis(x, axis=a["axis"], begin=begin, end=end) for begin, end in parts])
    return lambda F, weights, x: tuple(F.SliceChannel(x, num_outputs=a["parts"], axis=a["axis"]))


def _slice(layer, dtype):
    a = layer["attributes"]
    if "step" in a:
        raise Unsupported("the mxnet adapter takes no slices with a step")
    return lambda F, weights, x: F.slice_axis(x, axis=a["axis"], begin=a["start"], end=a["stop"])


def _join(F, a, *inputs):
    return F.concat(*inputs, dim=a["axis"])


def _embedding(layer, dtype):
    a = layer["attributes"]
    return lambda F, weights, tokens: F.Embedding(
        tokens, weights["weight"], input_dim=a["vocabulary"], output_dim=a["features"], dtype=dtype)


def _one_hot(layer, dtype):
    depth = layer["attributes"]["depth"]
    return lambda F, weights, tokens: F.one_hot(tokens, depth=depth, dtype=dtype)


def _reduced(function):
    def lower(layer, dtype):
        a = layer["attributes"]
        if not a["keep"] and len(layer["outputs"][0]["shape"]) == 0 and layer["outputs"][0]["batch"] is None:
            raise Unsupported("MXNet has no arrays without axes, which layer '%s' gives" % layer["name"])
        return lambda F, weights, x: getattr(F, function)(x, axis=tuple(a["axes"]), keepdims=a["keep"])

    return lower


# Attention and states ----------------------------------------------------------------------------------------------


def _attention(layer, dtype):
    """Products of all heads at once; MXNet has no kernel that joins them with the softmax."""
    a = layer["attributes"]
    (_, heads, steps, features), (_, key_heads, key_steps, _) = layer["input_shapes"][:2]
    if len(layer["inputs"]) > 3:
        raise Unsupported("the mxnet adapter has no attention with a mask")
    scale = a.get("scale") or features ** -0.5

    def run(F, weights, query, key, value):
        if key_heads != heads:
            key, value = (F.repeat(each, repeats=heads // key_heads, axis=1) for each in (key, value))
        query, key, value = (F.reshape(each, shape=(-3, 0, 0)) for each in (query * scale, key, value))
        scores = F.reshape(F.batch_dot(query, key, transpose_b=True), shape=(-4, -1, heads, 0, 0))
        if a["causal"]:
            rows = F.reshape(F.arange(steps, dtype=dtype), shape=(1, 1, -1, 1))
            columns = F.reshape(F.arange(key_steps, dtype=dtype), shape=(1, 1, 1, -1))
            scores = F.broadcast_add(scores, -FAR / 2 * F.broadcast_greater(columns, rows))
        shares = F.reshape(F.softmax(scores, axis=-1), shape=(-3, 0, 0))
        return F.reshape(F.batch_dot(shares, value), shape=(-4, -1, heads, 0, 0))

    return run


def _recurrent(kind):
    """MXNet's own fused kernel of a whole sequence, as gluon.rnn calls it."""
    def lower(layer, dtype):
        a = layer["attributes"]
        if kind == "gru" and not a["reset_after"]:
            raise Unsupported("MXNet's GRU resets after its product only")
        directions, hidden = a.get("directions", 1), a["hidden"]
        gates = {"lstm": 4, "gru": 3, "rnn": 1}[kind]
        mode = kind if kind != "rnn" else "rnn_relu" if a["relu"] else "rnn_tanh"
        suffixes = ("", "_reverse")[:directions]
        has_final = bool(a.get("final"))

        def vector(F, weights):
            """All parameters in one, in the order of the kernel: the matrices of each direction, then the biases."""
            parts = [F.reshape(weights[name + suffix], shape=(-1,)) for suffix in suffixes
                     for name in ("weight_input", "weight_hidden")]
            for suffix in suffixes:
                second = weights.get("bias_hidden" + suffix)
                second = F.zeros((gates * hidden,), dtype=dtype) if second is None else second
                parts += [weights["bias" + suffix], second]
            return F.concat(*parts, dim=0)

        def run(F, weights, x, *first):
            steps = F.swapaxes(x, 0, 1)
            if first:
                states = [F.swapaxes(state, 0, 1) for state in first]
            else:
                one = F.zeros_like(F.slice(steps, begin=(0, None, 0), end=(1, None, 1)))
                none = F.broadcast_axis(one, axis=(0, 2), size=(directions, hidden))
                states = [none, none] if kind == "lstm" else [none]
            result = F.RNN(steps, vector(F, weights), *states, state_size=hidden, num_layers=1, mode=mode,
                           bidirectional=directions == 2, state_outputs=has_final)
            if not has_final:
                return F.swapaxes(result, 0, 1)
            return tuple([F.swapaxes(each, 0, 1) for each in result])

        return run

    return lower


def _parameter(layer, dtype):
    (parameter,) = layer["parameters"]
    if not parameter["shape"]:
        raise Unsupported("MXNet has no arrays without axes, which layer '%s' gives" % layer["name"])
    return lambda F, weights: F.identity(weights[parameter["name"]])


LOWERINGS = {
    "conv2d": _convolution("Convolution"),
    "conv_transpose2d": _convolution("Deconvolution", [("adj", "output_padding")]),
    "dense": _dense,
    "matmul": _matmul,
    "relu": _plain("Activation", act_type="relu"),      # of oneDNN, in whose layout images stay; F.relu copies them
    "tanh": _plain("Activation", act_type="tanh"),
    "sigmoid": _plain("Activation", act_type="sigmoid"),
    "dropout": _dropout,
    "add": _add,
    "clip": _of(_clip),
    "gelu": _of(_gelu),
    "silu": _of(lambda F, a, x: x * F.sigmoid(x)),
    "leaky_relu": _of(lambda F, a, x: F.LeakyReLU(x, act_type="leaky", slope=a["slope"])),
    "prelu": _prelu,
    "elu": _of(lambda F, a, x: F.LeakyReLU(x, act_type="elu", slope=a["alpha"])),
    "selu": _of(_selu),
    "softplus": _plain("Activation", act_type="softrelu"),
    "hard_sigmoid": _of(lambda F, a, x: F.hard_sigmoid(x, alpha=a["alpha"], beta=a["beta"])),
    "hard_swish": _of(lambda F, a, x: x * F.clip(x + 3, 0, 6) / 6),
    "power": _of(lambda F, a, x: x ** a["exponent"]),
    "reciprocal": _plain("reciprocal"),
    "erf": _plain("erf"),
    "exp": _plain("exp"),
    "log": _plain("log"),
    "sqrt": _plain("sqrt"),
    "abs": _plain("abs"),
    "negative": _plain("negative"),
    "sin": _plain("sin"),
    "cos": _plain("cos"),
    "subtract": _plain("broadcast_sub"),
    "multiply": _plain("broadcast_mul"),
    "divide": _plain("broadcast_div"),
    "maximum": _plain("broadcast_maximum"),
    "minimum": _plain("broadcast_minimum"),
    "greater": _compared("broadcast_greater"),
    "less": _compared("broadcast_lesser"),
    "greater_equal": _compared("broadcast_greater_equal"),
    "less_equal": _compared("broadcast_lesser_equal"),
    "equal": _compared("broadcast_equal"),
    "and": _compared("broadcast_logical_and"),
    "or": _compared("broadcast_logical_or"),
    "not": _compared("logical_not"),
    "cast": _cast,
    "max_pool": _pool("max"),
    "avg_pool": _pool("avg"),
    "global_avg_pool": _global_avg_pool,
    "batch_norm": _batch_norm,
    "local_response_norm": _of(_local_response_norm),
    "layer_norm": _layer_norm,
    "rms_norm": _rms_norm,
    "group_norm": _group_norm,
    "concat": _of(lambda F, a, *inputs: F.concat(*inputs, dim=1)),
    "flatten": _plain("flatten"),
    "reshape": _reshape,
    "transpose": _of(lambda F, a, x: F.transpose(x, axes=(0, *(1 + axis for axis in a["axes"])))),
    "slice": _slice,
    "split": _split,
    "join": _of(_join),
    "permute": _of(lambda F, a, x: F.transpose(x, axes=tuple(a["axes"]))),
    "regroup": _regroup,
    "embedding": _embedding,
    "one_hot": _one_hot,
    "reduce_sum": _reduced("sum"),
    "reduce_mean": _reduced("mean"),
    "reduce_max": _reduced("max"),
    "reduce_min": _reduced("min"),
    "softmax": _plain("softmax", axis=-1),
    "log_softmax": _plain("log_softmax", axis=-1),
    "attention": _attention,
    "lstm": _recurrent("lstm"),
    "gru": _recurrent("gru"),
    "rnn": _recurrent("rnn"),
    "parameter": _parameter,
}
