"""Compares the answers of a framework with those of the float64 oracle, with a tolerance for each precision."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rigmark.bench.enums import Precision
from rigmark.bench.worker import generation, precisions

Arrays = Mapping[str, NDArray[Any]]
GRADIENT = "gradient:"


@dataclass(frozen=True, kw_only=True)
class Tolerance:
    """Largest relative errors that rounding can explain."""

    output: float                # relative L2 of the forward output
    loss: float                  # first loss
    gradient: float              # of each parameter, relative to the norm of the whole gradient
    second_loss: float           # after one update: checks the learning rate
    third_loss: float            # after two updates: checks the states of the optimiser


@dataclass(frozen=True, kw_only=True)
class Rounding:
    """How a format rounds; Rounding in bench.worker.frameworks.numpy.adapter simulates it."""

    roundoff: float              # largest error of one number: relative to itself, or to the largest of its array
    of_largest: bool = False
    takers: tuple[str, ...] | None = None        # operations whose operands are rounded; None: all that is stored

    def plain(self, seed: int) -> dict[str, Any]:
        return {**asdict(self), "seed": seed}


# Half a unit in the last place: of 8 bits (7 are stored), of 11 bits (10 are stored).
BF16 = Rounding(roundoff=precisions.ROUNDOFF["bf16"])
FP16 = Rounding(roundoff=precisions.ROUNDOFF["fp16"])

ROUNDINGS = {
    Precision.BF16: BF16, Precision.BF16_PURE: BF16,
    Precision.FP16: FP16, Precision.FP16_PURE: FP16,
    Precision.TF32: Rounding(roundoff=precisions.ROUNDOFF["tf32"], takers=precisions.PRODUCTS_ONLY["tf32"]),
    # 127 steps for values of both signs: PyTorch leaves one bit unused, because of sums on older CPUs.
    Precision.INT8: Rounding(roundoff=1 / 127, of_largest=True, takers=precisions.PRODUCTS_ONLY["int8"]),
}
"""Precisions with larger rounding errors than fp32."""

SENT_AS = {"fp16": ("float16", FP16.roundoff)}
"""Formats in which gradients may be sent (see bench.worker.strategies.COMPRESSIONS): name of the dtype in NumPy, and
unit roundoff."""

REALISATIONS = 3             # of the oracle's random rounding
ROUNDING_ERRORS = 3          # the tolerance is this many times the largest of them


def _one_rounding(roundoff: float) -> Tolerance:
    # In timed trials the loss alone is compared; it is a mean over few samples.
    return Tolerance(
        output=roundoff, loss=4 * roundoff, gradient=roundoff, second_loss=4 * roundoff, third_loss=4 * roundoff
    )


TOLERANCES = {
    # An fp32 sum of some thousand products is off by about 1e-6; deep networks add up to a few times that.
    Precision.FP32: Tolerance(output=1e-5, loss=1e-5, gradient=1e-4, second_loss=1e-4, third_loss=2e-4),
    Precision.FP64: Tolerance(output=1e-11, loss=1e-11, gradient=1e-10, second_loss=1e-10, third_loss=2e-10),
    # Narrower ones: what one rounding of each number does, and what the oracle loses in that format comes on top.
    **{precision: _one_rounding(rounding.roundoff) for precision, rounding in ROUNDINGS.items()},
}

TIE_ERRORS = 10
"""Values closer to a decision than this many times the error of an fp32 forward pass may be decided either way.

The error is the root mean square in NumPy's pass; single values have errors up to nine times that, and other programs,
which sum in another order, two or three times as much.
"""


LOSS_ROUNDINGS = 10
"""Tolerance of a first loss, as a multiple of the error of NumPy's fp32 output.

The gradient of cross entropy with respect to the scores of a sample has at most the length sqrt(2); the error of other
programs, which sum in another order, was up to eight times as large (ResNet-50 in training mode, 2.7e-5 of the loss).
"""


def first_loss_tolerance(precision: Precision, loss: float, output_rounding: float) -> float:
    """Largest relative error of a timed trial's first loss; see bench.worker.jobs.oracle for ``output_rounding``."""
    return TOLERANCES[precision].loss + (LOSS_ROUNDINGS * output_rounding / abs(loss) if loss else 0.0)


def last_check(precision: Precision) -> dict[str, Any]:
    """How far the end of a timed trial may be off, as workers are told; see bench.worker.jobs._ends.

    The tolerances are relative. "roundings" is by how many times the error of NumPy's output, computed with "rounding"
    (None: in fp32), outputs and losses may be off on top.
    """
    tolerance, rounding = TOLERANCES[precision], ROUNDINGS.get(precision)
    return {
        "output_tolerance": tolerance.output, "loss_tolerance": tolerance.loss,
        "rounding": None if rounding is None else rounding.plain(seed=0),
        "roundings": LOSS_ROUNDINGS if rounding is None else ROUNDING_ERRORS,
    }


@dataclass(frozen=True, kw_only=True)
class Parity:
    """The result of a proof: relative errors against the oracle, with their tolerances."""

    output_error: float              # the largest, where there are several outputs
    loss_error: float | None         # None, like the following ones, if the precision has no training
    gradient_error: float | None
    worst_gradient: str              # key of the parameter with the largest error
    second_loss_error: float | None
    third_loss_error: float | None
    tolerance: dict[str, float]      # from rounding, and from decisions that rounding leaves open
    losses: list[float]              # first, second and later losses; later ones diverge chaotically. Of several
    # objectives those of a step stand one after the other.
    oracle_losses: list[float]
    learning_losses: list[float] | None = None           # over one epoch of real data; None for synthetic input
    oracle_learning_losses: list[float] | None = None
    learning_accuracy: float | None = None               # share of held-out samples that are right after that epoch
    oracle_learning_accuracy: float | None = None
    wrong_tokens: int | None = None      # of generated text, which rounding does not explain; None: none was generated
    open_tokens: int | None = None       # other ones than the oracle's, which rounding may have chosen

    def failures(self) -> list[str]:
        """One phrase for each error beyond its tolerance; empty if the framework computed the same."""
        wrong = [f"tokens other than the oracle's: {self.wrong_tokens}"] if self.wrong_tokens else []
        return wrong + [
            f"{name.replace('_', ' ')} off by {error:.2g} (allowed {self.tolerance[name]:.0e}"
            + (f", worst at {self.worst_gradient})" if name == "gradient" else ")")
            for name, error in self.errors().items()
            if not error <= self.tolerance[name]     # so that NaN fails
        ]

    def errors(self) -> dict[str, float]:
        """The errors by name."""
        return {name: getattr(self, f"{name}_error") for name in self.tolerance}

    def plain(self) -> dict[str, Any]:
        """Plain data for the record; None replaces what is not finite, since JSON has no infinity and no NaN."""
        return {name: _finite(value) for name, value in asdict(self).items()}


def worse(first: Parity, second: Parity) -> Parity:
    """Of two proofs of one case with different weights, the one that is nearer to its tolerances, or beyond them."""
    def excess(parity: Parity) -> float:
        shares = [error / parity.tolerance[name] for name, error in parity.errors().items()]
        return math.inf if parity.wrong_tokens or any(map(math.isnan, shares)) else max(shares)

    return max(first, second, key=excess)


def rounding_effects(rounded: Iterable[Arrays], exact: Arrays) -> dict[str, NDArray[Any]]:
    """What ``compare`` adds to each tolerance for a narrower format, as "rounding_NAME".

    ``rounded`` are the oracle's answers in that format, one per realisation of its random rounding.
    """
    errors = [compare(answer, exact, Precision.FP64).errors() for answer in rounded]
    return {f"rounding_{name}": np.array(ROUNDING_ERRORS * max(e[name] for e in errors)) for name in errors[0]}


def compression_effects(compressed: Arrays, exact: Arrays, compression: str) -> dict[str, NDArray[Any]]:
    """What ``compare`` adds to the tolerances of gradients and of what depends on them, as "compression_NAME".

    ``compressed`` is the oracle's answer with the gradients of its shards summed in that format. That rounding is not
    random, so there is one realisation, plus one rounding for values that are rounded in the other direction.
    """
    errors, once = compare(compressed, exact, Precision.FP64).errors(), asdict(_one_rounding(SENT_AS[compression][1]))
    return {
        f"compression_{name}": np.array(ROUNDING_ERRORS * errors[name] + once[name])
        for name in ("gradient", "second_loss", "third_loss")
    }


def relative_error(value: NDArray[Any], reference: NDArray[Any]) -> float:
    """L2 norm of the difference relative to that of the reference; infinite if shapes or finiteness differ."""
    value, reference = np.asarray(value, np.float64), np.asarray(reference, np.float64)
    if value.shape != reference.shape or not np.all(np.isfinite(value)):
        return math.inf
    norm = float(np.linalg.norm(reference))
    difference = float(np.linalg.norm(value - reference))
    return difference / norm if norm else (0.0 if not difference else math.inf)


def compare(answer: Arrays, oracle: Arrays, precision: Precision) -> Parity:
    """The errors of a proof's answer (see bench.worker.proof) against the oracle's.

    An answer without losses, in a precision that has no training, is judged by its output alone.
    """
    tolerance = asdict(TOLERANCES[precision])
    effect = "rounding" if precision in ROUNDINGS else "tie"
    if precision is not Precision.FP64:      # in fp64 no value is that close to a decision
        for name in tolerance:
            tolerance[name] += float(oracle.get(f"{effect}_{name}", 0.0))
    for name in tolerance:
        tolerance[name] += float(oracle.get(f"compression_{name}", 0.0))
    output_error = max(
        relative_error(answer[key], oracle[key]) if key in answer else math.inf
        for key in oracle if key.partition(":")[0] == "output"
    )
    if "losses" not in answer:
        return Parity(
            output_error=output_error, loss_error=None, gradient_error=None, worst_gradient="", second_loss_error=None,
            third_loss_error=None, tolerance={"output": tolerance["output"]}, losses=[], oracle_losses=[],
        )
    errors = _gradient_errors(answer, oracle)
    worst = max(errors, key=errors.__getitem__)
    losses, oracle_losses = (np.reshape(each["losses"], (len(each["losses"]), -1)) for each in (answer, oracle))
    learnt = {
        name: _plain(arrays.get(key))
        for name, arrays, key in (
            ("learning_losses", answer, "learning_losses"), ("oracle_learning_losses", oracle, "learning_losses"),
            ("learning_accuracy", answer, "learning_accuracy"),
            ("oracle_learning_accuracy", oracle, "learning_accuracy"),
        )
    }
    return Parity(
        output_error=output_error,
        loss_error=relative_error(losses[0, 0], oracle_losses[0, 0]),
        gradient_error=errors[worst], worst_gradient=worst.removeprefix(GRADIENT),
        # Of objectives, the first loss of each but the first comes after an update too.
        second_loss_error=float(np.max(
            [*_loss_errors(losses, oracle_losses, 1), *_loss_errors(losses, oracle_losses, 0)[1:]])),
        third_loss_error=float(np.max(_loss_errors(losses, oracle_losses, 2))),
        tolerance=tolerance, losses=losses.ravel().tolist(), oracle_losses=oracle_losses.ravel().tolist(), **learnt,
    )


def _loss_errors(losses: NDArray[Any], oracle_losses: NDArray[Any], step: int) -> list[float]:
    """The error of the loss of each objective in a step, relative to the largest of the oracle's for it so far: a
    network may memorise a small batch in one step."""
    if losses.shape != oracle_losses.shape:
        return [math.inf] * oracle_losses.shape[1]
    largest = np.abs(oracle_losses[:step + 1]).max(axis=0)
    return list(np.abs(losses[step] - oracle_losses[step]) / largest)


def _gradient_errors(answer: Arrays, oracle: Arrays) -> dict[str, float]:
    """By the name of each gradient in the oracle's answer: its error relative to the norm of all of its objective."""
    squares: dict[str, float] = {}
    gradients = {key: key.rpartition(":")[0] for key in oracle if key.startswith(GRADIENT)}
    for key, objective in gradients.items():
        squares[objective] = squares.get(objective, 0.0) + float(np.square(oracle[key]).sum())
    return {
        key: _gradient_error(answer.get(key), oracle[key], math.sqrt(squares[objective]))
        for key, objective in gradients.items()
    }


def compare_text(answer: Arrays, oracle: Arrays, precision: Precision) -> Parity:
    """The errors of generated text (see bench.worker.generation.answer) against the oracle's, by scores and tokens."""
    errors = compare({"output": answer["output"]}, oracle, precision)
    is_wrong, is_open = generation.judged(oracle["output"], answer["tokens"], errors.tolerance["output"])
    return replace(errors, wrong_tokens=int(is_wrong.sum()), open_tokens=int(is_open.sum()))


def _gradient_error(gradient: NDArray[Any] | None, reference: NDArray[Any], norm: float) -> float:
    if gradient is None or gradient.shape != reference.shape or not np.all(np.isfinite(gradient)):
        return math.inf
    difference = float(np.linalg.norm(gradient - reference))
    return difference / norm if norm else (0.0 if not difference else math.inf)


def _finite(value: Any) -> Any:
    if isinstance(value, list):
        return [_finite(element) for element in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _plain(array: NDArray[Any] | None) -> Any:
    return None if array is None else array.tolist()
