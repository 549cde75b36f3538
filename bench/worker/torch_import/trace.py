"""torch.export of a module in training mode, with a batch of any size."""

import re

from ..user_code import Refused, first_line, place, told

OLDEST = (2, 6)      # whose export gives the training IR
EXAMPLE = 2          # samples; torch.export takes a batch of 1 for a constant
DTYPES = {"float32": "float", "float64": "float", "float16": "float", "bfloat16": "float", "int64": "int64",
          "int32": "int64", "bool": "bool"}


def refuse_old():
    """Raises Refused where this PyTorch has no training IR."""
    import torch

    version = tuple(int(part) for part in re.findall(r"\d+", torch.__version__)[:2])
    if version < OLDEST:
        raise Refused("a module is imported by PyTorch %d.%d or newer, this is %s; name a build that has one" % (
            *OLDEST, torch.__version__))


def exported(module, example, asked, folder):
    """The exported program of a module in training mode.

    ``example`` is a tuple of tensors or a dict of them by name, whose first axis is the batch; ``asked`` are inputs
    that the user described instead: [{"name", "shape", "dtype"}], shapes with the batch.
    """
    import torch

    positional, named = _inputs(torch, example, asked)
    batch = torch.export.Dim("batch", min=2, max=2**16)

    def dynamic(tensor):
        return {0: batch} if isinstance(tensor, torch.Tensor) else None

    shapes = _named_shapes(module, positional, named, dynamic)
    with told(folder, "the module's forward"):
        module.eval()(*positional, **named)      # training would move its running statistics
    module.train()
    try:
        return torch.export.export(module, positional, named, dynamic_shapes=shapes, strict=False)
    except Exception as error:
        raise Refused(_why(error, folder)) from error


def _inputs(torch, example, asked):
    """(positional, named) inputs with EXAMPLE samples each."""
    if asked:
        # By name, except that a module need not call its only input as the user does.
        tensors = {each["name"]: _drawn(torch, each) for each in asked}
        return (tuple(tensors.values()), {}) if len(tensors) == 1 else ((), tensors)
    if example is None:
        raise Refused("the factory gives no example inputs; let it return a module and its inputs, or describe them: "
                      "--shape x=1,3,224,224, or tokens=1,128:int64")
    if isinstance(example, dict):
        return (), {name: _sampled(torch, each, name) for name, each in example.items()}
    return tuple(_sampled(torch, each, "number %d" % (1 + i)) for i, each in enumerate(example)), {}


def _drawn(torch, asked):
    shape = (EXAMPLE, *asked["shape"][1:])
    dtype = getattr(torch, asked["dtype"])
    return torch.randn(shape, dtype=dtype) if dtype.is_floating_point else torch.ones(shape, dtype=dtype)


def _sampled(torch, tensor, what):
    """The example with EXAMPLE samples."""
    if not isinstance(tensor, torch.Tensor):
        return tensor
    if not tensor.dim() or not len(tensor):
        raise Refused("example input %s has shape %s; its first axis must be the batch" % (what, tuple(tensor.shape)))
    return torch.cat([tensor[:1]] * EXAMPLE)


def _named_shapes(module, positional, named, dynamic):
    """For each argument of forward, which of its axes is the batch."""
    import inspect

    parameters = list(inspect.signature(module.forward).parameters.values())
    shapes, rest = {}, list(positional)
    for parameter in parameters:
        if parameter.kind is parameter.VAR_POSITIONAL:
            shapes[parameter.name] = tuple(map(dynamic, rest))
            rest = []
        elif rest and parameter.kind is not parameter.VAR_KEYWORD:
            shapes[parameter.name] = dynamic(rest.pop(0))
        elif parameter.name in named:
            shapes[parameter.name] = dynamic(named[parameter.name])
    left_over = {name: dynamic(each) for name, each in named.items() if name not in shapes}
    for parameter in parameters:
        if parameter.kind is parameter.VAR_KEYWORD and left_over:
            shapes[parameter.name] = left_over
    return shapes


def _why(error, folder):
    """Why torch.export failed, as a sentence."""
    text = str(error)
    line = place(error, folder)
    if "data-dependent" in text or type(error).__name__ == "GuardOnDataDependentSymNode":
        return ("control flow%s follows the data, and a graph has none: write it with torch.where, or take the part "
                "before it" % line)
    if "batch" in text and ("specialized" in text or "Constraints violated" in text):
        return ("the module fixes its batch%s, and networks here take any: take the sizes from x.shape[0], or -1 in "
                "a view" % line)
    return "torch.export failed%s: %s" % (line, first_line(error))


def axes_of(tensor):
    """(shape for a batch of 1, axis that the batch multiplies or None, dtype) of a traced tensor."""
    two, three = ([size_of(size, batch) for size in tensor.shape] for batch in (2, 3))
    grown = [axis for axis, (a, b) in enumerate(zip(two, three)) if a != b]
    if len(grown) > 1:
        raise Refused("more than one axis of %s follows the batch" % (tuple(tensor.shape),))
    if grown and two[grown[0]] * 3 != three[grown[0]] * 2:
        raise Refused("axis %d of %s is no multiple of the batch" % (grown[0], tuple(tensor.shape)))
    dtype = DTYPES.get(str(tensor.dtype).replace("torch.", ""))
    if dtype is None:
        raise Refused("a graph has floats, int64 and bool, not %s" % tensor.dtype)
    shape = [size // 2 if axis in grown else size for axis, size in enumerate(two)]
    return shape, grown[0] if grown else None, dtype


def size_of(size, batch):
    """A traced size, or number, for this batch."""
    if isinstance(size, (int, float, bool)):
        return size
    expression = size.node.expr
    return int(expression.subs(dict.fromkeys(expression.free_symbols, batch)))
