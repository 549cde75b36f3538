"""Losses and optimisers: what turns a network's output into an update, with the exact formulas."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, ClassVar, Literal

Loss = Literal["softmax_cross_entropy", "mean_squared_error"]
LOSSES: tuple[Loss, ...] = ("softmax_cross_entropy", "mean_squared_error")
"""softmax_cross_entropy: mean over samples (and sequence steps) of -log softmax(output)[target], target an index.

mean_squared_error: mean over all elements of (output - target) ** 2.
"""


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
