"""What verbs that take a network have in common: the networks that the user brings with it."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rigmark.bench.errors import UserError

if TYPE_CHECKING:
    from rigmark.bench.builds.build import Build
    from rigmark.bench.networks import Networks
    from rigmark.bench.networks.forms import Options

Pin = Annotated[
    list[str] | None, typer.Option(help="An input of a file that is always the same: sr=16000; may be repeated.")
]
Shape = Annotated[
    list[str] | None,
    typer.Option(help="The sizes of an input of a file or module, the batch's first, and for a module its kind if it "
                 "is not float32: x=1,3,320,320 or tokens=1,128:int64; may be repeated."),
]
Carry = Annotated[
    list[str] | None,
    typer.Option(help="An input that takes in each step what an output was in the step before, by the names that "
                 "rigmark model prints: state=output.stateN; may be repeated."),
]
DTYPES = ("float32", "int64", "bool")


def asked_for(said: Mapping[str, Any]) -> dict[str, Any]:
    """What options say of a sweep, with the names that cases have in place of references."""
    from rigmark.bench.plan.reference import names

    return {name: names(values) if name == "models" else values for name, values in said.items()}


@contextlib.contextmanager
def bringing(
    models: Iterable[str], pin: Sequence[str] | None, shape: Sequence[str] | None, builds: Mapping[str, Build],
    folder: Path | None, carry: Sequence[str] | None = None,
) -> Iterator[Networks]:
    """The networks of a command; those among ``models`` that are references are imported, or read from ``folder``.

    They stay there; None: they last as long as this context. Raises UserError for what cannot be brought.
    """
    from rigmark.bench.host.workfolder import working_folder
    from rigmark.bench.networks import Networks, bringing
    from rigmark.bench.plan.reference import is_reference

    references = sorted({model for model in models if is_reference(model)})
    options = _options(pin, shape, carry)
    if not references:
        given = [option for option, said in (("--pin", pin), ("--shape", shape), ("--carry", carry)) if said]
        if given:
            raise UserError(f"{given[0]} is about the inputs of a file or module, and no --model is one")
        yield Networks()
        return
    with contextlib.ExitStack() as opened:
        place = opened.enter_context(working_folder()) if folder is None else folder
        yield bringing.brought(references, options, builds, place)


def _options(
    pin: Sequence[str] | None, shape: Sequence[str] | None, carry: Sequence[str] | None
) -> Options:
    from rigmark.bench.networks.forms import Options

    pins = {name: _number(name, value) for name, value in _pairs("--pin", pin, "sr=16000")}
    shapes: dict[str, tuple[int, ...]] = {}
    dtypes: dict[str, str] = {}
    for name, value in _pairs("--shape", shape, "x=1,3,320,320"):
        sizes, _, dtype = value.partition(":")
        shapes[name] = _sizes(name, sizes)
        if dtype and dtype not in DTYPES:
            raise UserError(f"--shape {name} takes the kinds {', '.join(DTYPES)}, not '{dtype}'")
        if dtype:
            dtypes[name] = dtype
    return Options(pins=pins, shapes=shapes, dtypes=dtypes, carried=dict(_pairs("--carry", carry, "state=stateN")))


def _pairs(option: str, given: Sequence[str] | None, example: str) -> Iterator[tuple[str, str]]:
    met = set()
    for text in given or ():
        name, _, value = text.rpartition("=")
        if not name or not value:
            raise UserError(f"{option} takes the name of an input and its value, as {example}, not '{text}'")
        if name in met:
            raise UserError(f"{option} names the input '{name}' twice; name each once")
        met.add(name)
        yield name, value


def _number(name: str, text: str) -> float:
    if text.lower() in ("true", "false"):
        return float(text.lower() == "true")
    if not re.fullmatch(r"[+-]?\d{1,18}(\.\d{1,18})?([eE][+-]?\d{1,2})?", text):
        raise UserError(f"--pin {name} takes a number, not '{text}'")
    return float(text)


def _sizes(name: str, text: str) -> tuple[int, ...]:
    sizes = text.split(",")
    if not all(re.fullmatch(r"[1-9]\d{0,8}", size) for size in sizes):
        raise UserError(f"--shape {name} takes sizes of at least 1 separated by commas, the batch's first, not "
                        f"'{text}'")
    return tuple(map(int, sizes))
