"""Reads claims from TOML files, those that come with Rigmark and those of users, and sizes of networks for testers."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any

from rigmark.bench import models
from rigmark.bench.claims import QUANTITIES
from rigmark.bench.claims.claim import Claim
from rigmark.bench.claims.evidence import Filters
from rigmark.bench.enums import Mode
from rigmark.bench.errors import UserError, unknown
from rigmark.bench.host import files
from rigmark.bench.ir.building import Builder
from rigmark.bench.ir.training import Sgd

SCHEMA = 1
KEYS = ("id", "says", "source", "quantity", "value", "low", "high", "where", "how", "note", "can_refute")
NEEDED = ("id", "says", "source", "quantity", "how")
MODELS = frozenset(models.NAMES)


def shipped() -> list[Claim]:
    """The claims that come with Rigmark."""
    return parsed((resources.files("rigmark.bench.claims") / "claims.toml").read_text(encoding="utf-8"), "claims.toml")


def load(path: Path) -> list[Claim]:
    """The claims in a user's file; raises UserError with file, claim and key for a mistake."""
    return parsed(files.read_text(path, files.MOST_TOML_BYTES), files.shown(path))


def together(own: Sequence[Claim], others: Sequence[Claim]) -> list[Claim]:
    """Both lists; raises UserError if an id occurs in both."""
    known = {claim.id for claim in own}
    twice = [claim.id for claim in others if claim.id in known]
    if twice:
        raise UserError(f"the id '{twice[0]}' is that of a claim that comes with Rigmark; choose another id")
    return [*own, *others]


def parsed(content: str, file: str) -> list[Claim]:
    """The claims in a TOML text; ``file`` is its name for error messages."""
    table = files.parsed_toml(content, file)
    _only(table, ("schema", "source", "claim"), file)
    if "schema" not in table:
        raise UserError(f"{file} does not state its schema: begin it with schema = {SCHEMA}, as docs/claims.md shows")
    if table["schema"] != SCHEMA:
        raise UserError(f"{file}: schema must be {SCHEMA}, not {table['schema']!r}")
    if not isinstance(table.get("claim"), list) or not all(isinstance(each, dict) for each in table["claim"]):
        raise UserError(f"{file} has no [[claim]]; docs/claims.md shows how to write one")
    sources = table.get("source", {})
    if not isinstance(sources, dict) or not all(
        isinstance(source, dict) and isinstance(source.get("title"), str) for source in sources.values()
    ):
        raise UserError(f"{file}: each [source.NAME] needs a title")
    for name, source in sources.items():
        _only(source, ("title", "url", "date"), f"{file}: source '{name}'")
    claims = [_claim(plain, sources, file, index) for index, plain in enumerate(table["claim"], start=1)]
    ids = [claim.id for claim in claims]
    if twice := [each for each in ids if ids.count(each) > 1]:
        raise UserError(f"{file}: two claims have the id '{twice[0]}'; give each its own")
    return claims


def _claim(plain: Mapping[str, Any], sources: Mapping[str, Any], file: str, index: int) -> Claim:
    at = f"{file}: claim '{plain['id']}'" if isinstance(plain.get("id"), str) else f"{file}: claim {index}"
    _only(plain, KEYS, at)
    for name in NEEDED:
        if not isinstance(plain.get(name), str) or not plain[name].strip():
            raise UserError(f"{at} needs {name}, a text")
    for name in ("value", "low", "high"):
        _number(plain.get(name), name, at)
    low, high, value = plain.get("low"), plain.get("high"), plain.get("value")
    if plain["quantity"] not in QUANTITIES:
        raise UserError(f"{at}: {unknown('quantity', plain['quantity'], QUANTITIES)}")
    if plain["source"] not in sources:
        raise UserError(f"{at}: {unknown('source', plain['source'], sources)}")
    if plain["quantity"] != "none":
        if low is None and high is None:
            raise UserError(f"{at} needs low or high: the range of figures for which the claim is still true")
        least, most = -math.inf if low is None else low, math.inf if high is None else high
        if least > most:
            raise UserError(f"{at}: low must not be above high, but low is {low} and high is {high}")
        if value is not None and not least <= value <= most:
            raise UserError(f"{at}: value must be between low and high, but is {value}")
    if not isinstance(plain.get("can_refute", True), bool):
        raise UserError(f"{at}: can_refute must be true or false")
    return Claim(
        id=plain["id"], says=plain["says"], quantity=plain["quantity"], value=value, low=low, high=high,
        how=plain["how"], where=_where(plain, at), source=sources[plain["source"]]["title"],
        note=str(plain.get("note", "")), can_refute=plain.get("can_refute", True),
    )


def _where(plain: Mapping[str, Any], at: str) -> dict[str, Any]:
    quantity, where = QUANTITIES[plain["quantity"]], plain.get("where", {})
    if not isinstance(where, dict):
        raise UserError(f"{at}: where must be a table, such as {{ model = \"alexnet\" }}")
    _only(where, (*quantity.needs, *quantity.may), f"{at}, where")
    for name in quantity.needs:
        if name not in where:
            raise UserError(f"{at}: where needs {name}, because the quantity is {plain['quantity']}")
    for name, fact in where.items():
        if name in ("model", "device", "op", "precision") or name in quantity.text:
            is_text = isinstance(fact, str) or (
                name not in quantity.text and isinstance(fact, list) and bool(fact)
                and all(isinstance(each, str) for each in fact)
            )
            if not is_text:
                raise UserError(f"{at}, where: {name} must be a text, not {fact!r}")
            if name == "mode" and fact not in tuple(Mode):
                raise UserError(f"{at}, where: {unknown('mode', str(fact), Mode)}")
        elif not _is_number(fact) or fact <= 0:
            raise UserError(f"{at}, where: {name} must be a number above 0, not {fact!r}")
    return dict(where)


def _only(plain: Mapping[str, Any], known: Sequence[str], at: str) -> None:
    for name in plain:
        if name not in known:
            raise UserError(f"{at}: {unknown('key', name, known)}")


def _is_number(fact: Any) -> bool:
    return isinstance(fact, int | float) and not isinstance(fact, bool) and math.isfinite(fact)


def _number(fact: Any, name: str, at: str) -> None:
    if fact is not None and not _is_number(fact):
        raise UserError(f"{at}: {name} must be a number, not {fact!r}")


def filters(kernel: int, layers: int) -> Filters:
    """The graph of a stack of convolutions with one channel and without bias, whose output is one element."""
    size = 1 + layers * (kernel - 1)         # width of the input of which one output is left
    net = Builder("filters", (1, size, size))
    for layer in range(1, layers + 1):
        net.conv2d(f"conv{layer}", 1, kernel=kernel, bias=False)
    graph = net.build(loss="mean_squared_error", optimizer=Sgd(learning_rate=0.1, momentum=0.0))
    assert graph.output_shape == (1, 1, 1)
    return Filters(
        weights=graph.parameter_count, sees=size, flops_per_output=2 * layers * kernel**2
    )
