"""MXNet 1.9.1: a HybridBlock that runs the graph, operation by operation or, hybridized, as one cached graph.

The last release of a project that has ended; CPU builds. Needs Python 3.11 or older, since its NumPy is below 1.24.
"""

import itertools
import os

import numpy as np

from ...devices import is_host
from ...graphs import copies, inputs_of, last_readers, layers_for_loss, output_names, outputs_of, parameters_of
from ...samples import mapped, packed, unpacked
from .. import Prepared, Unsupported, refuse_unknown
from . import lowerings

DISTRIBUTIONS = ("mxnet",)
IMPORTS = "mxnet"
PRELOADS = None              # importing it starts threads of its engine
COMPILE_MODES = ("eager", "compiled")        # imperative, and hybridized with static memory
LAYOUTS = ("nchw",)
PRECISIONS = ("fp32", "fp64")
DEVICES = ("cpu",)
BEST = {"inference": ("compiled", "nchw"), "training": ("compiled", "nchw")}
RECIPE = {
    "packages": ("mxnet==1.9.1", "numpy==1.23.5"),       # import mxnet reads np.bool, which NumPy 1.24 removed
    "pythons": ("3.11", "3.10", "3.9", "3.8"),           # those for which that NumPy has wheels
}

LOWERINGS = lowerings.LOWERINGS
DTYPES = {"fp32": "float32", "fp64": "float64"}


def prepare(graph, weights, settings):
    """The network with these weights; raises Unsupported where MXNet cannot do what is asked."""
    # Hybridized with static memory, the gradient of a value with more readers than this is wrong: above the default,
    # 8, it becomes a chain of sums in place. MXNet reads it once, before the first backward pass.
    os.environ["MXNET_EXEC_INPLACE_GRAD_SUM_CAP"] = str(10 ** 6)
    import mxnet

    refuse_unknown("mxnet", graph, settings)
    if not is_host(settings["device"]):
        raise Unsupported("the mxnet adapter has no device '%s'; it has %s" % (settings["device"], ", ".join(DEVICES)))
    mxnet.random.seed(settings["seed"])
    return MxnetPrepared(mxnet, graph, weights, settings)


def facts():
    """Version, and the features that the library was built with."""
    import mxnet

    return {
        "version": mxnet.__version__,
        "features": sorted(name for name, feature in mxnet.runtime.Features().items() if feature.enabled),
    }


def _softmax_cross_entropy(F, output, y):
    return -F.mean(F.pick(F.log_softmax(output, axis=-1), y, axis=-1))


def _mean_squared_error(F, output, y):
    return F.mean(F.square(output - y))


def _binary_cross_entropy(F, output, y):
    return F.mean(F.relu(output) - output * y + F.Activation(-F.abs(output), act_type="softrelu"))


def _value(F, output, y):
    return F.mean(output)


LOSSES = {
    "softmax_cross_entropy": _softmax_cross_entropy, "mean_squared_error": _mean_squared_error,
    "binary_cross_entropy": _binary_cross_entropy, "value": _value,
}


def _optimizer(mxnet, settings):
    """MXNet's own SGD; its Adam and AdamW with the bias correction of epsilon that every definition of them has."""
    if settings["kind"] == "sgd":
        return mxnet.optimizer.SGD(
            learning_rate=settings["learning_rate"], momentum=settings["momentum"], wd=0.0, rescale_grad=1.0)

    class Adam(mxnet.optimizer.Adam):
        """m / c1 / (sqrt(v / c2) + epsilon) = sqrt(c2) / c1 * m / (sqrt(v) + epsilon * sqrt(c2)).

        MXNet corrects the learning rate so, but not epsilon.
        """

        def update(self, index, weight, grad, state):
            self._update_count(index)
            steps, (mean, variance) = self._index_update_count[index], state
            c1, c2 = 1 - self.beta1 ** steps, 1 - self.beta2 ** steps
            rate = self.lr * c2 ** 0.5 / c1
            common = {"beta1": self.beta1, "beta2": self.beta2, "epsilon": self.epsilon * c2 ** 0.5}
            if settings["kind"] == "adam":
                mxnet.nd.adam_update(weight, grad, mean, variance, out=weight, lr=rate, wd=0.0, rescale_grad=1.0,
                                     **common)
            else:
                mxnet.nd.contrib.adamw_update(
                    weight, grad, mean, variance, out=weight, rescale_grad=1.0, lr=rate, eta=1.0,
                    wd=self.lr * settings["weight_decay"], **common)

    return Adam(learning_rate=settings["learning_rate"], beta1=settings["beta1"], beta2=settings["beta2"],
                epsilon=settings["epsilon"], wd=0.0)


def network(mxnet, graph, layers, results, parameters, dtype, is_training, masked=()):
    """A HybridBlock of these layers, whose inputs are those of the graph, and then the masks of the layers ``masked``.

    It gives what ``results`` names; in training then the mean and the inverse deviation that each batch_norm observed.
    """
    inputs = [each["name"] for each in inputs_of(graph)]
    lowered = [(layer, LOWERINGS[layer["op"]](layer, dtype)) for layer in layers]
    last_reader = last_readers(layers, results)

    class Network(mxnet.gluon.HybridBlock):
        def hybrid_forward(self, F, *arrays, **weights):
            values, seen = dict(zip(inputs, arrays)), []
            masks = dict(zip(masked, arrays[len(inputs):]))
            for layer, run in lowered:
                own = {p["name"]: weights[names[p["key"]]] for p in layer["parameters"]}
                if layer["name"] in masks:
                    own["mask"] = masks[layer["name"]]
                if layer["op"] == "batch_norm":
                    own["is_training"] = is_training
                result = run(F, own, *[values[name] for name in layer["inputs"]])
                if layer["op"] == "batch_norm" and is_training:
                    result, *observed = result
                    seen += observed
                values.update(zip(outputs_of(layer), result if isinstance(result, tuple) else (result,)))
                for name in set(layer["inputs"]):
                    if last_reader.get(name) == layer["name"]:
                        del values[name]
            outputs = [values[name] for name in results] + seen
            return outputs[0] if len(outputs) == 1 else tuple(outputs)

    block = Network()
    names = {}
    for layer in layers:
        for p in layer["parameters"]:
            if p["key"] not in names:
                names[p["key"]] = "parameter%d" % len(names)
                setattr(block, names[p["key"]], parameters[p["key"]])
                block.params.update({parameters[p["key"]].name: parameters[p["key"]]})       # for the cached graph
    return block


class MxnetPrepared(Prepared):
    """Two networks, for outputs and for the loss, that share their parameters; each is hybridized if asked."""

    def __init__(self, mxnet, graph, weights, settings):
        self._mxnet, self._graph, self._dtype = mxnet, graph, DTYPES[settings["precision"]]
        self._context = mxnet.cpu()
        self._is_training = settings["mode"] == "training"
        self._is_compiled = settings["compile_mode"] == "compiled"
        self._parameters = {
            key: self._parameter(key, told, weights[key]) for key, told in parameters_of(graph).items()}
        self._for_loss = layers_for_loss(graph)
        self._infer = self._network(graph["layers"], output_names(graph), is_training=False)
        self._trained = {
            p["key"]: self._parameters[p["key"]] for layer in self._for_loss for p in layer["parameters"]
            if p["is_trainable"]}
        if self._is_training:
            first = output_names(graph)[:1]
            self._learn = self._network(self._for_loss, first, is_training=True)
            self._dropouts = [layer["name"] for layer in self._for_loss if layer["op"] == "dropout"]
            self._prove = self._network(self._for_loss, first, is_training=True, masked=self._dropouts)
            self._trainer = mxnet.gluon.Trainer(
                list(self._trained.values()), _optimizer(mxnet, graph["optimizer"]), kvstore=None)
        self._statistics = [self._observing(layer) for layer in self._for_loss if layer["op"] == "batch_norm"]
        self._copies, self._updates = copies(graph), 0
        self._batches = self._last = None

    def _parameter(self, key, told, array):
        parameter = self._mxnet.gluon.Parameter(
            key, shape=tuple(told["shape"]), dtype=self._dtype,
            grad_req="write" if told["is_trainable"] and self._is_training else "null")
        parameter.initialize(self._mxnet.init.Zero(), ctx=self._context)
        parameter.set_data(self._array(array))
        return parameter

    def _network(self, layers, results, is_training, masked=()):
        block = network(
            self._mxnet, self._graph, layers, results, self._parameters, self._dtype, is_training, masked)
        if self._is_compiled:
            block.hybridize(static_alloc=True, static_shape=True)
        return block

    def _observing(self, layer):
        """(momentum, epsilon, running mean, running variance, elements of a channel in one sample) of a batch_norm."""
        keys = {p["name"]: p["key"] for p in layer["parameters"]}
        mean, variance = (self._parameters[keys[name]].data() for name in ("mean", "variance"))
        a = layer["attributes"]
        return a["momentum"], a["epsilon"], mean, variance, int(np.prod(layer["input_shapes"][0][1:]))

    # The timed way.

    def load(self, batches):
        self._batches = itertools.cycle([(self._inputs(x), self._array(y)) for x, y in batches])

    def step(self):
        x, y = next(self._batches)
        self._last = self._update(self._learn, x, y) if self._is_training else self._infer(*x)

    def synchronize(self):
        self._mxnet.nd.waitall()

    def result(self):
        return float(self._last.asscalar()) if self._is_training else self._outputs(self._last)

    # The proof way.

    def forward(self, x):
        return self._outputs(self._infer(*self._inputs(x)))

    def gradients(self, x, y, masks):
        loss, _ = self._backward(self._prove, [*self._inputs(x), *self._masks(masks)], self._array(y))
        return float(loss.asscalar()), {key: each.grad().asnumpy() for key, each in self._trained.items()}

    def train(self, x, y, masks):
        loss = self._update(self._prove, [*self._inputs(x), *self._masks(masks)], self._array(y))
        return float(loss.asscalar())

    def weights(self):
        return {key: each.data().asnumpy() for key, each in self._parameters.items()}

    # What both share.

    def _backward(self, block, x, y):
        """(loss, what batch normalisation observed); gradients are in the parameters."""
        with self._mxnet.autograd.record():
            answer = block(*x)
            output, *seen = answer if isinstance(answer, (tuple, list)) else (answer,)
            loss = LOSSES[self._graph["loss"]](self._mxnet.nd, output, y)
        loss.backward()
        return loss, seen

    def _update(self, block, x, y):
        loss, seen = self._backward(block, x, y)
        self._trainer.step(1)                            # the loss is a mean already
        if self._statistics:
            self._move_statistics(seen, len(x[0]))
        self._updates += 1
        for every, keys in self._copies:
            if self._updates % every == 0:
                for key, source in keys.items():
                    self._parameters[source].data().copyto(self._parameters[key].data())
        return loss

    def _move_statistics(self, seen, samples):
        """Towards the mean and the unbiased variance of the batch."""
        seen = iter(seen)
        for momentum, epsilon, mean, variance, elements in self._statistics:
            count = samples * elements
            of_batch, inverse = next(seen), next(seen)
            unbiased = (1 / (inverse * inverse) - epsilon) * (count / max(count - 1, 1))
            mean[:] = (1 - momentum) * mean + momentum * of_batch
            variance[:] = (1 - momentum) * variance + momentum * unbiased

    def _masks(self, masks):
        return [self._array(masks[name]) for name in self._dropouts]

    def _inputs(self, x):
        return [self._array(each) for each in unpacked(x)]

    def _array(self, array):
        array = np.asarray(array)
        kind = "int64" if array.dtype.kind in "iu" else self._dtype
        return self._mxnet.nd.array(array, ctx=self._context, dtype=kind)

    def _outputs(self, answer):
        arrays = answer if isinstance(answer, (tuple, list)) else (answer,)
        return mapped(lambda each: each.asnumpy(), packed(tuple(arrays)))
