"""The user's own PyTorch module as it is written, with the weights, the loss and the optimizer of its graph.

It is made by the user's factory in this process. What a proof changes or reads of its parameters goes by the names that
the importer noted.
"""

import contextlib
import functools
import sys

from ...graphs import parameters_of
from ...samples import parts_of
from ...torch_import import original
from ...user_code import Refused, digest, first_line, made, place, standing_in
from .. import Unsupported
from . import adapter

RUNS = "a PyTorch module"
MODES = ("inference", "training")
_MET = set()                 # modules that this process has made
PRECISIONS = tuple(each for each in adapter.PRECISIONS if each != "int8")


def prepare(told, graph, weights, settings):
    """The module on its device with these weights; raises Unsupported where it is not the one that was imported."""
    with standing_in(told["folder"]):
        try:
            return adapter.prepare(graph, weights, settings, functools.partial(AsWritten, told))
        except Refused as reason:
            raise Unsupported(str(reason)) from reason


def facts(told):
    return dict(adapter.facts(), network="%s:%s as it is written, files %s" % (
        told["source"], told["factory"], told["digest"]))


class AsWritten(adapter.TorchPrepared):
    """Where its training is not that of its graph, its output alone is proven, and timed training is refused."""

    def __init__(self, told, torch, graph, weights, settings):
        self._told, self._given, self._seed, self._masks = told, weights, settings["seed"], None
        self._parameters = parameters_of(graph)
        super().__init__(torch, graph, weights, settings)
        self._refusal = self._unlike_its_graph(graph)
        self.can_train = self.can_train and self._refusal is None

    def _lowered(self, graph, weights):
        self._module, example = self._made()
        self._torch.manual_seed(self._seed)
        original.without_padding_rows(self._module)
        original.with_weights(self._told, self._module, weights)
        return original.wrapped(self._told, self._module, example), {}

    def _made(self):
        """(the module, its example inputs); raises Refused if the files that make it are others than at the import."""
        before, told = set(sys.modules), self._told
        found = made(told["source"], told["factory"], told["folder"])
        key = told["folder"], told["source"], told["digest"]
        if key not in _MET:              # a second time Python imports nothing that could be looked at
            if digest(told["source"], told["folder"], before) != told["digest"]:
                raise Refused("the files of %s have changed since it was imported; run the command again" % (
                    told["source"]))
            _MET.add(key)
        return found

    def _by_key(self, graph, layers, trainable_only=False):
        found = original.tensors(self._told, self._module)
        for _, *others in found.values():
            for other in others:         # of the two biases of a recurrent layer one is trained, as in the graph
                other.requires_grad_(False)
        return {key: tensors[0] for key, tensors in found.items()
                if self._parameters[key]["is_trainable"] or not trainable_only}

    def _unlike_its_graph(self, graph):
        """Why a training step of the module is not one of its graph, as a sentence; None if it is one."""
        trained = [key for key, parameter in self._parameters.items() if parameter["is_trainable"]]
        met = {}
        for key in trained:
            if key not in self._tensors:
                return "its graph trains '%s', which the module as written does not have" % key
            if not self._tensors[key].requires_grad:
                return "its graph trains '%s', which is frozen in the module as written" % key
            if met.setdefault(id(self._tensors[key]), key) != key:
                return "its graph trains '%s' and '%s' each for itself, which are one in the module as written" % (
                    met[id(self._tensors[key])], key)
        if not self._is_eager and any(layer["op"] == "dropout" for layer in graph["layers"]):
            return ("a compiled module draws the masks of its dropout itself, so that no proof can give them; measure "
                    "it with --compile-mode eager")
        return None

    def load(self, batches):
        if self._is_training and self._refusal is not None:
            raise Unsupported(self._refusal)
        super().load(batches)

    def layer_times(self, steps):
        raise Unsupported("the modules of a network as written are not the layers of its graph, so that their times "
                          "would not be comparable; --implementation lowered has layer times")

    def gradients(self, x, y, masks):
        loss, found = super().gradients(x, y, masks)
        return loss, {key: gradient.reshape(self._given[key].shape) for key, gradient in found.items()}

    def weights(self):
        own = super().weights()
        return {key: own[key].reshape(given.shape) if key in own else given for key, given in self._given.items()}

    @contextlib.contextmanager
    def _proof(self, is_training, masks=None):
        self._masks = masks
        try:
            with super()._proof(is_training), self._told_where():
                yield
        finally:
            self._masks = None

    def _losses(self, x, y):
        if not self._masks:
            return super()._losses(x, y)
        parts = [(batch, parts_of(self._masks[name], self._accumulate)[index]) if name in self._masks else None
                 for index in range(self._accumulate) for name, batch in self._told["dropouts"]]
        with original.decided(parts):
            return list(super()._losses(x, y))

    @contextlib.contextmanager
    def _told_where(self):
        """An error of the user's own lines is one of a setting that they do not allow: of a layout, or a format."""
        try:
            yield
        except (RuntimeError, TypeError, ValueError) as error:
            where = place(error, self._told["folder"])
            if not where or "memory" in str(error):
                raise
            raise Unsupported("the module's forward failed%s: %s" % (where, first_line(error))) from error
