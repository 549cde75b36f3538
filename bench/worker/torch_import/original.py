"""The user's module run as it is: with weights by the keys of its graph, and dropout as told."""

import numpy as np

from ..user_code import Refused, made


def wrapped(original, module, example):
    """A torch.nn.Module that takes the inputs of the graph, in their order, and gives its output alone.

    ``original`` is what ``Program.original`` tells of the module.
    """
    import torch

    class AsWritten(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.module = module

        def forward(self, *inputs):
            inputs = inputs[0] if isinstance(inputs[0], tuple) else inputs
            if isinstance(example, dict) or original["inputs"]:
                positional, named = self._by_name(inputs)
            else:
                rest = list(inputs)
                positional = [rest.pop(0) if isinstance(each, torch.Tensor) else each for each in example]
                named = {}
            output = self.module(*positional, **named)
            if not isinstance(output, torch.Tensor):
                output = torch.utils._pytree.tree_leaves(output)[original["output"]["index"]]
            if original["output"]["batch"]:
                output = output.movedim(original["output"]["batch"], 0)
            shape = (-1, *original["output"]["shape"])
            return output if output.shape[1:] == shape[1:] else output.reshape(shape)

        @staticmethod
        def _by_name(inputs):
            if len(inputs) == 1 and not isinstance(example, dict):
                return inputs, {}
            given = dict(zip(original["names"], inputs))
            return (), {**(example if isinstance(example, dict) else {}), **given}

    return AsWritten()


def tensors(original, module):
    """{key of the graph: [the module's own tensors]} of parameters and buffers; the second of two is a sum's other."""
    own = {**dict(module.named_buffers(remove_duplicate=False)), **dict(module.named_parameters(
        remove_duplicate=False))}
    missing = sorted({name for names in original["own_names"].values() for name in names} - set(own))
    if missing:
        raise Refused("the factory now gives a module without '%s'; import it again" % missing[0])
    return {key: [own[name] for name in names] for key, names in original["own_names"].items() if names}


def with_weights(original, module, weights):
    """Copies the weights of a graph into the module."""
    import torch

    with torch.no_grad():
        for key, (first, *others) in tensors(original, module).items():
            first.copy_(torch.tensor(np.ascontiguousarray(weights[key])).reshape(first.shape))
            for other in others:             # a recurrent layer adds its two biases
                other.zero_()


def without_padding_rows(module):
    """An embedding of torch leaves one row out of training; a graph has none such."""
    import torch

    for each in module.modules():
        if isinstance(each, (torch.nn.Embedding, torch.nn.EmbeddingBag)):
            each.padding_idx = None


def decided(masks):
    """A context in which dropout multiplies by ``masks`` in turn, [(axis of the batch, array) or None], and does not
    draw; it leaves be what has None.
    """
    import torch
    from torch.utils._python_dispatch import TorchDispatchMode

    class Decided(TorchDispatchMode):
        def __init__(self):
            super().__init__()
            self.rest = list(masks)

        def _next(self, like):
            """What elements are multiplied with, 0 or 1 / kept; 1 where nobody says."""
            found = self.rest.pop(0) if self.rest else None
            if found is None:
                return torch.full_like(like, 1.0)
            batch, mask = found
            tensor = torch.as_tensor(np.moveaxis(mask, 0, batch)).to(like)
            return tensor.reshape(like.shape)

        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            name = func._schema.name
            if name == "aten::bernoulli_" and func._overloadname == "float":
                kept = args[1] if len(args) > 1 else 0.5         # torch leaves out what is the default
                return args[0].copy_(self._next(args[0]) * kept)
            if name in ("aten::rand", "aten::rand_like"):        # 1 or 0 once 'kept' is added and rounded down
                mask = self._next(func(*args, **(kwargs or {})))
                return torch.where(mask > 0, 1 - 1 / (2 * mask.clamp(min=0.5)), torch.zeros_like(mask))
            if name == "aten::native_dropout":
                mask = self._next(args[0])
                return args[0] * mask, mask > 0
            return func(*args, **(kwargs or {}))

    return Decided()


def samples(files):
    """The arrays of a file of samples in the order of the graph's inputs: "x", or each "x:NAME"."""
    return [files[name] for name in files if name == "x" or name.startswith("x:")]


def output(original, stored):
    """What the module gives in evaluation mode for samples, in float64."""
    import torch

    module, example = made(original["source"], original["factory"], original["folder"])
    network = wrapped(original, module, example).double().eval()
    inputs = [torch.tensor(each) for each in samples(stored)]
    with torch.no_grad():
        return network(*[each.double() if each.is_floating_point() else each for each in inputs]).double().numpy()
