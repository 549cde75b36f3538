"""Losses and optimisers: what turns a network's output into an update, with the exact formulas."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, ClassVar, Literal, get_args

Loss = Literal["softmax_cross_entropy", "mean_squared_error", "binary_cross_entropy", "value"]
LOSSES: tuple[Loss, ...] = get_args(Loss)
"""softmax_cross_entropy: mean over samples (and sequence steps) of -log softmax(output)[target], target an index.

mean_squared_error: mean over all elements of (output - target) ** 2.

binary_cross_entropy: mean over all elements of log(1 + exp(output)) - target * output, a target being 0 or 1.

value: mean over all elements of the output itself, which is what is to become small. It has no target.
"""
WITHOUT_TARGET: Loss = "value"


@dataclass(frozen=True, kw_only=True)
class Sgd:
    """v = momentum * v + g;  w = w - learning_rate * v  (no dampening, no Nesterov, v starts at 0)."""

    kind: ClassVar[str] = "sgd"
    learning_rate: float
    momentum: float = 0.0

    @property
    def states(self) -> int:
        """Numbers kept per parameter from step to step."""
        return int(self.momentum != 0)

    def plain(self) -> dict[str, Any]:
        return {"kind": self.kind, **asdict(self)}


@dataclass(frozen=True, kw_only=True)
class Adam:
    """Kingma and Ba 2015, algorithm 1, with bias correction and epsilon outside the root.

    m = beta1 * m + (1 - beta1) * g;  v = beta2 * v + (1 - beta2) * g**2;
    w = w - learning_rate * (m / (1 - beta1**t)) / (sqrt(v / (1 - beta2**t)) + epsilon), t = 1, 2, ...
    """

    kind: ClassVar[str] = "adam"
    states: ClassVar[int] = 2            # numbers kept per parameter from step to step
    learning_rate: float
    beta1: float = 0.9
    beta2: float = 0.999
    epsilon: float = 1e-8

    def plain(self) -> dict[str, Any]:
        return {"kind": self.kind, **asdict(self)}


@dataclass(frozen=True, kw_only=True)
class AdamW:
    """Loshchilov and Hutter 2019, algorithm 2 with a constant schedule: Adam with decoupled weight decay.

    As Adam, but w = w * (1 - learning_rate * weight_decay) before each update. Every trainable parameter decays, biases
    and scales among them, as in PyTorch with one group of parameters.
    """

    kind: ClassVar[str] = "adamw"
    states: ClassVar[int] = 2            # numbers kept per parameter from step to step
    learning_rate: float
    weight_decay: float
    beta1: float = 0.9
    beta2: float = 0.999
    epsilon: float = 1e-8

    def plain(self) -> dict[str, Any]:
        return {"kind": self.kind, **asdict(self)}


Optimizer = Sgd | Adam | AdamW
OPTIMIZERS: Mapping[str, type[Optimizer]] = {kind.kind: kind for kind in (Sgd, Adam, AdamW)}
"""By the name that the plain form of a graph has."""


@dataclass(frozen=True, kw_only=True)
class Objective:
    """One of several losses of a training step: the mean of ``output``, a value that the graph computes.

    ``trains`` is what the names of the layers begin with whose parameters it changes. Targets are inputs of the graph.
    """

    name: str
    output: str
    trains: tuple[str, ...]
    optimizer: Optimizer | None = None           # None: that of the graph


OWN = "own"
"""The loss or optimizer that a network has by its definition."""

USUAL: Mapping[str, Optimizer] = {
    "sgd": Sgd(learning_rate=0.01), "adam": Adam(learning_rate=1e-3),
    "adamw": AdamW(learning_rate=1e-3, weight_decay=1e-2),
}
"""An optimizer of which no more than the name is said: as Keras has SGD, and as PyTorch has Adam and AdamW."""


def optimizer_of(text: str) -> Optimizer:
    """The optimizer that a user names, with settings that are not usual: "adamw:learning_rate=3e-4:weight_decay=0.1".

    Raises ValueError with a sentence.
    """
    kind, *settings = text.split(":")
    if kind not in USUAL:
        raise ValueError(f"there is no optimizer '{kind}'; there are: {', '.join(USUAL)}")
    known = [field.name for field in fields(USUAL[kind])]
    changed = {}
    for setting in settings:
        name, _, number = setting.partition("=")
        if name not in known:
            raise ValueError(f"optimizer {kind} has no '{name}'; it has: {', '.join(known)}")
        try:
            changed[name] = float(number)
        except ValueError:
            changed[name] = math.nan
        if not 0 <= changed[name] < (1 if name in ("beta1", "beta2", "momentum") else math.inf):
            raise ValueError(f"{name} of {kind} cannot be '{number}'; write {kind}:{name}={getattr(USUAL[kind], name)}")
    whole: dict[str, Any] = {**asdict(USUAL[kind]), **changed}
    return OPTIMIZERS[kind](**whole)


def as_trained(loss: str, optimizer: str) -> dict[str, Any]:
    """The fields of a graph that change when it is trained so; none for what is its own. Raises ValueError."""
    if loss not in (OWN, *LOSSES):
        raise ValueError(f"there is no loss '{loss}'; there are: {', '.join(LOSSES)}")
    changed: dict[str, Any] = {} if loss == OWN else {"loss": loss}
    return changed if optimizer == OWN else {**changed, "optimizer": optimizer_of(optimizer)}
