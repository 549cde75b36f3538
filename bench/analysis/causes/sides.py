"""What is known to differ between the sides, and what was observed of them."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

from rigmark.bench.analysis.comparison.pairs import side_of, sides
from rigmark.bench.analysis.statistics.estimate import median
from rigmark.bench.document import formatting
from rigmark.bench.document.language import tr
from rigmark.bench.machine import isa
from rigmark.bench.store.record import BASE, NEW
from rigmark.bench.store.stored import Identity, Pair, PairSide

COMPILERS = ("XLA_", "TF_XLA_", "TORCHINDUCTOR_", "TORCHDYNAMO_", "TORCH_COMPILE_", "JAX_DISABLE_JIT")
"""Beginnings of the names of variables that decide how a program is compiled, and nothing else."""
WORTH_SAYING = 0.1           # relative change of an observed figure


def differing(identity: Identity) -> tuple[str, ...]:
    """The things that are known to differ between the sides of a pair, each named once.

    The variables that an instruction set sets are not named beside it.
    """
    base, new = sides(identity)
    levels = (base.isa, new.isa)
    implied = {name for level in levels for name in isa.variables(identity.case.framework, level)}
    of_isa = {tr("instruction set"): str(base.isa)}, {tr("instruction set"): str(new.isa)}
    code = tr("Rigmark's own code")
    found = [
        *unlike(*of_isa), *unlike({"Python": base.python}, {"Python": new.python}),
        *unlike(base.packages, new.packages),
        *unlike(*({name: value for name, value in each.variables.items() if levels[0] == levels[1] or
                   name not in implied} for each in (base, new))),
    ]
    if (base.code_version, base.adapter) != (new.code_version, new.adapter):
        found.append(code)
    return tuple(found)


def unlike(base: Mapping[str, str | None], new: Mapping[str, str | None]) -> list[str]:
    """The entries that differ, in words: "torch 2.12.0 against 2.13.0"."""
    missing = tr("not set")
    return [
        tr("{name} {base} against {new}", name=name, base=base.get(name) or missing, new=new.get(name) or missing)
        for name in sorted({*base, *new}) if base.get(name) != new.get(name)
    ]


def is_of_compilers(differing: Sequence[str]) -> bool:
    """Whether all that differs is how programs are compiled."""
    return bool(differing) and all(each.startswith(COMPILERS) for each in differing)


def observed(pairs: Sequence[Pair]) -> tuple[str, ...]:
    """What was observed to differ in every pair, beside the time of steps: sentences."""
    figures: tuple[tuple[str, Callable[[PairSide], float | None], Callable[[float], str]], ...] = (
        (tr("time to prepare"), lambda side: side.prepare_time_s, seconds),
        (tr("time of the first step"), lambda side: side.first_step_s, seconds),
        (tr("peak memory"), lambda side: side.peak_memory_bytes, size),
    )
    found = []
    for name, value, text in figures:
        both = changed([(value(side_of(pair, BASE)), value(side_of(pair, NEW))) for pair in pairs])
        if both is not None:
            found.append(tr("{name}: {base} against {new}.", name=name.capitalize(), base=text(both[0]),
                            new=text(both[1])))
    seen = [{proof.summary for pair in pairs if (proof := side_of(pair, side).isa)} for side in (BASE, NEW)]
    if all(len(each) == 1 for each in seen) and seen[0] != seen[1]:
        base, new = (next(iter(each)) for each in seen)
        found.append(tr("Instructions seen: {base} against {new}.", base=base, new=new))
    return tuple(found)


def changed(pairs: Sequence[tuple[float | None, float | None]]) -> tuple[float, float] | None:
    """The medians of both sides, if a figure differs by WORTH_SAYING or more, in the same direction in every pair."""
    known = [(base, new) for base, new in pairs if base and new]
    if len(known) < len(pairs) or not known:
        return None
    base, new = (median([pair[side] for pair in known]) for side in (0, 1))
    signs = {math.copysign(1.0, second - first) for first, second in known}
    return (base, new) if len(signs) == 1 and abs(math.log(new / base)) >= math.log1p(WORTH_SAYING) else None


def size(memory_bytes: float) -> str:
    return f"{formatting.mebibytes(memory_bytes)} MiB"


def seconds(time_s: float) -> str:
    return formatting.with_unit(time_s, formatting.time_unit([time_s]))
