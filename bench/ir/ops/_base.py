"""What every operation is: rules of its outputs, parameters, FLOPs and traffic."""

from __future__ import annotations

import dataclasses
import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar, TypeVar

Shape = tuple[int, ...]
Pair = tuple[int, int]
T = TypeVar("T")


class BadGraph(ValueError):
    """An operation cannot take these inputs; the message names the layer, the shapes and the remedy."""


@dataclass(frozen=True, kw_only=True)
class Tensor:
    """A value that layers pass on: its shape for one sample, the axis of the batch included."""

    shape: Shape
    batch: int | None = 0        # the axis that a batch multiplies; None: one value for all samples
    dtype: str = "float"         # "float": in the format of the precision; "int64" and "bool": as they are

    @property
    def sample(self) -> Shape:
        """The shape without the axis of the batch, where there is one."""
        return self.shape if self.batch is None else self.shape[:self.batch] + self.shape[self.batch + 1:]

    def elements(self, batch: int) -> int:
        """Numbers of a batch of so many samples."""
        return math.prod(self.shape) * (1 if self.batch is None else batch)

    def plain(self) -> dict[str, Any]:
        return {"shape": list(self.shape), "batch": self.batch, "dtype": self.dtype}


def of_sample(shape: Shape, dtype: str = "float") -> Tensor:
    """The value whose samples have this shape, one after the other along a first axis."""
    return Tensor(shape=(1, *shape), dtype=dtype)


@dataclass(frozen=True, kw_only=True)
class Parameter:
    """An array that belongs to a layer, in the canonical layout that each adapter converts from."""

    name: str                    # "weight"
    shape: Shape
    init: str                    # a name in bench.ir.weights.INITIALISERS
    fan_in: int = 1
    fan_out: int = 1
    is_trainable: bool = True    # running statistics are not


@dataclass(frozen=True, kw_only=True)
class Op(ABC):
    """One operation: its outputs, parameters, FLOPs and traffic.

    Rules of cost take the shapes of the inputs as ``shapes`` gives them, and answer for one sample.
    """

    kind: ClassVar[str]
    backward_reads: ClassVar[tuple[str, ...]] = ("inputs",)
    """Which of its "inputs" and "outputs" a backward pass reads, where ``saved`` is not 0."""

    may_overwrite: ClassVar[bool] = False        # its first input, if nothing else reads that
    without_gradient: ClassVar[tuple[int, ...]] = ()
    """Places of inputs that get no gradient."""

    is_linear: ClassVar[bool] = False
    """Whether it is a product with its weights and a sum with its bias: a gradient of the input needs no values."""

    @abstractmethod
    def outputs(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        """The values that it gives; raises BadGraph where the inputs do not fit."""

    def shapes(self, *inputs: Tensor) -> tuple[Shape, ...]:
        """The shapes of the inputs that the other rules, and the lowerings, take: the axis of the batch included."""
        return tuple(value.shape for value in inputs)

    def parameters(self, *inputs: Shape) -> tuple[Parameter, ...]:
        return ()

    def multiply_adds(self, *inputs: Shape) -> int:
        """Multiply-adds of one sample's forward pass, as papers count them: matrix products only, no bias."""
        return 0

    def flops(self, *inputs: Shape) -> int:
        """FLOPs of one sample's forward pass."""
        return 2 * self.multiply_adds(*inputs)

    def training_flops(self, *inputs: Shape) -> int:
        """FLOPs of one sample's forward pass in a training step, where some operations do more."""
        return self.flops(*inputs)

    def backward_flops(self, *inputs: Shape, needs_input_gradient: bool = True) -> int:
        """FLOPs of one sample's backward pass; the first layer needs no gradient of its input."""
        products = 2 * self.multiply_adds(*inputs)
        element_wise = self.flops(*inputs) - products
        return products * (2 if needs_input_gradient else 1) + element_wise

    def frozen_backward_flops(self, *inputs: Shape) -> int:
        """FLOPs of one sample's backward pass that gives a gradient of the input, but none of the parameters."""
        products = 2 * self.multiply_adds(*inputs)
        return products if self.is_linear else self.backward_flops(*inputs) - products

    def saved_elements(self, *inputs: Shape) -> int:
        """Elements of one sample that the backward pass must read again besides the output's gradient."""
        return sum(math.prod(shape) for shape in inputs)

    def saved(self, batch: int, *inputs: Tensor) -> int:
        """The same of a batch, in which a value that all samples share counts once."""
        return batch * self.rows(*inputs) * self.saved_elements(*self.shapes(*inputs))

    def rows(self, *inputs: Tensor) -> int:
        """How often one sample of the batch costs what the rules say of these inputs."""
        return 1

    def is_view(self, *, training: bool) -> bool:
        """True where no pass in this mode need move any data."""
        return False

    def attributes(self) -> dict[str, Any]:
        """The fields as plain data, tuples as lists.

        One that is None is left out: so a field that an operation gets later changes no fingerprint of before.
        """
        return {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in dataclasses.asdict(self).items() if value is not None
        }


@dataclass(frozen=True, kw_only=True)
class SampleOp(Op):
    """An operation on samples that lie along a first axis; its rules take shapes without that axis."""

    takes: ClassVar[tuple[str, ...]] = ("float",)        # dtypes of its inputs
    gives: ClassVar[str | None] = None                   # dtype of its output; None: that of its first input

    @abstractmethod
    def output_shape(self, *inputs: Shape) -> Shape:
        """Shape of the result for one sample; raises BadGraph where the inputs do not fit."""

    def shapes(self, *inputs: Tensor) -> tuple[Shape, ...]:
        return tuple(value.sample for value in inputs)

    def rows(self, *inputs: Tensor) -> int:
        """Of windows, a sample has many along the batch's axis, each of which the rules call a sample."""
        return inputs[0].shape[0] if inputs else 1

    def outputs(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        for value in inputs:
            if value.batch != 0:
                raise BadGraph(f"{self.kind} takes values with the batch as their first axis, not one of "
                               f"{value.shape} " + ("for all samples" if value.batch is None else
                                                    f"with the batch as axis {value.batch}"))
            if value.dtype not in self.takes or value.dtype != inputs[0].dtype:
                kinds = " or ".join(self.takes)
                raise BadGraph(f"{self.kind} takes {kinds} values, all of one kind, not {value.dtype}")
        rows = {value.shape[0] for value in inputs} or {1}
        if len(rows) > 1:
            raise BadGraph(f"{self.kind} takes values with as many rows for each sample, not {describe(inputs)}")
        shape = self.output_shape(*self.shapes(*inputs))
        return (Tensor(shape=(*rows, *shape), dtype=self.gives or inputs[0].dtype),)


def one_image(kind: str, shapes: tuple[Shape, ...]) -> Shape:
    if len(shapes) != 1 or len(shapes[0]) != 3:
        raise BadGraph(f"{kind} takes one image of shape (channels, height, width), not {show(shapes)}")
    return shapes[0]


def one(kind: str, inputs: tuple[T, ...]) -> T:
    if len(inputs) != 1:
        raise BadGraph(f"{kind} takes one input, not {len(inputs)}")
    return inputs[0]


def show(shapes: tuple[Shape, ...]) -> str:
    return ", ".join(map(str, shapes)) or "none"


def window_size(kind: str, image: Shape, kernel: Pair, stride: Pair, padding: Pair, dilation: Pair = (1, 1)) -> Pair:
    """Height and width that a sliding window leaves: rounded down, padding on both sides."""
    if min(stride) < 1 or min(kernel) < 1 or min(dilation) < 1 or min(padding) < 0:
        raise BadGraph(f"{kind} needs kernel, stride and dilation of at least 1 and padding of at least 0")
    extent = tuple(d * (k - 1) + 1 for k, d in zip(kernel, dilation, strict=True))
    sizes = tuple(
        (size + 2 * p - e) // s + 1 for size, p, e, s in zip(image[1:], padding, extent, stride, strict=True)
    )
    if min(sizes) < 1:
        raise BadGraph(f"{kind} with kernel {kernel} and padding {padding} does not fit an image of {image[1:]}")
    return sizes[0], sizes[1]


def broadcast(kind: str, inputs: tuple[Tensor, ...]) -> Tensor:
    """What NumPy's broadcasting makes of the inputs, of the first one's dtype; raises BadGraph where they do not fit.

    The batches must meet: a value that all samples share has 1 at that axis, or is of lower rank.
    """
    rank = max(len(value.shape) for value in inputs)
    batches = {rank - len(value.shape) + value.batch for value in inputs if value.batch is not None}
    sizes = [(1,) * (rank - len(value.shape)) + value.shape for value in inputs]
    shape = tuple(max(along) for along in zip(*sizes, strict=True))
    fits = all(size in (1, most) for each in sizes for size, most in zip(each, shape, strict=True))
    batch = next(iter(batches), None)
    if batch is not None:
        of_batch = {each[batch] for each, value in zip(sizes, inputs, strict=True) if value.batch is not None}
        fits = fits and len(of_batch) == 1 and shape[batch] in of_batch
    if not fits or len(batches) > 1:
        raise BadGraph(f"{kind} takes inputs that broadcast against each other, not {describe(inputs)}")
    return Tensor(shape=shape, batch=batch, dtype=inputs[0].dtype)


def describe(inputs: tuple[Tensor, ...]) -> str:
    """The inputs as a sentence names them: shapes of one sample, and which of them all samples share."""
    return ", ".join(map(_description, inputs)) or "none"


def _description(value: Tensor) -> str:
    rows = 1 if value.batch is None else value.shape[value.batch]
    return "".join((
        str(value.sample),
        " for all samples" if value.batch is None else "",
        f" in {rows} rows for each sample" if rows > 1 else "",
        "" if value.dtype == "float" else f" of {value.dtype}",
    ))


def all_of(kind: str, dtype: str, inputs: tuple[Tensor, ...], count: int | None = None) -> None:
    """Raises BadGraph unless there are so many inputs, all of this dtype."""
    if (count is not None and len(inputs) != count) or any(value.dtype != dtype for value in inputs):
        number = "" if count is None else f"{count} "
        raise BadGraph(f"{kind} takes {number}inputs of {dtype}, not {describe(inputs)}")


def axis_of(kind: str, axis: int, value: Tensor) -> int:
    """The axis counted from the front; raises BadGraph where the value has none, or where it is the batch's."""
    rank = len(value.shape)
    if not -rank <= axis < rank or axis % rank == value.batch:
        what = "has none" if not -rank <= axis < rank else "that is the batch"
        raise BadGraph(f"{kind} along axis {axis} of {value.shape}: {what}")
    return axis % rank
