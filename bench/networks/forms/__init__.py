"""The forms in which users bring networks: one file per form, found by its name.

A form has

``fits(reference)``             whether a reference is of this form
``content(reference, options, ask)``  the hash of all that its import depends on; None: that is not known without one
``DISTRIBUTIONS``               packages whose versions its import depends on
``bring(reference, options, ask)``  the Imported; ``ask`` runs a job in a worker

and, where another engine can run the original, ``outputs(reference, options, imported, inputs, ask)``: the name of that
engine with "output", its first output for a file of inputs, or a sentence that says why there is none.

All raise UserError for what cannot be taken: a sentence with the operator or file, the reason and the remedy. Files of
users are code or untrusted data, so only workers interpret them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

from rigmark.bench.errors import UserError
from rigmark.bench.plan.reference import SUFFIXES
from rigmark.bench.worker import registry

NAMES = registry.names(__path__)

Arrays = dict[str, Any]
Ask = Callable[[Mapping[str, Any]], tuple[dict[str, Any], Arrays]]
"""The facts and arrays of a worker's answer to a job; raises UserError for every other outcome than ok."""


class NotInstalled(UserError):
    """No build has the package that a job needs."""


@dataclass(frozen=True, kw_only=True)
class Options:
    """What the user says about a reference."""

    pins: Mapping[str, float] = field(default_factory=dict)              # {name of an input: its value}
    shapes: Mapping[str, tuple[int, ...]] = field(default_factory=dict)  # {name of an input: its shape, batch included}
    dtypes: Mapping[str, str] = field(default_factory=dict)              # {name of an input with a shape: "int64"}
    carried: Mapping[str, str] = field(default_factory=dict)             # {name of an input: output of the step before}

    def plain(self) -> dict[str, Any]:
        return {"pins": dict(self.pins), "shapes": {name: list(shape) for name, shape in self.shapes.items()},
                "dtypes": dict(self.dtypes), **({"carried": dict(self.carried)} if self.carried else {})}


@dataclass(frozen=True, kw_only=True)
class Imported:
    """A network as a form brings it."""

    plain: Any                       # the plain form of its graph, which is checked by whoever takes it
    weights: Arrays | None           # by key; None: they are drawn
    notes: tuple[str, ...] = ()
    original: Mapping[str, Any] = field(default_factory=dict)    # see below; empty: it came from no other program
    """What a worker must know to run the original, as plain data: "kind" is what it is ("a PyTorch module"), "digest"
    the hash of its files, and "moved" the keys of the parameters that it takes from outside."""


def of(reference: str) -> ModuleType:
    """The form of a reference; raises UserError where there is none."""
    for name in NAMES:
        form: ModuleType = registry.load(__name__, name)
        if form.fits(reference):
            return form
    raise UserError(f"'{reference}' is no form of network that can be brought; bring a file that ends in "
                    f"{' or '.join(SUFFIXES)}, or a factory as package.module:factory")
