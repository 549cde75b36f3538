"""The operations a network is made of, as frozen values; a family of them per file.

Every number an operation depends on is a field of it; nothing is left to a framework's default.

A value between layers is a ``Tensor``. Operations on samples leave out its batch axis: an image is
``(channels, height, width)``, a sequence ``(steps, features)``, a vector ``(features,)``, tokens ``(steps,)``. The
others count axes as frameworks do, the batch's among them.

FLOPs count one multiply-add as 2. Element-wise work counts 1 per output element and arithmetic operation or
elementary function. Traffic counts elements: each operand read once, each result written once, a lower bound.
"""

from __future__ import annotations

import importlib
import inspect
import pkgutil

from rigmark.bench.ir.ops._base import BadGraph, Op, Pair, Parameter, SampleOp, Shape, Tensor, of_sample

__all__ = ["OPS", "BadGraph", "Op", "Pair", "Parameter", "SampleOp", "Shape", "Tensor", "of_sample"]


def _found() -> dict[str, type[Op]]:
    families = [name for _, name, _ in pkgutil.iter_modules(__path__) if not name.startswith("_")]
    classes = [each for name in families for each in vars(importlib.import_module(f"{__name__}.{name}")).values()]
    return {each.kind: each for each in classes
            if inspect.isclass(each) and issubclass(each, Op) and "kind" in vars(each)}


OPS: dict[str, type[Op]] = _found()
"""Every operation of every family by its name; the conformance test runs over this table."""
