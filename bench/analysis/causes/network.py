"""The cause of a verdict on a network, from its pairs and the per-layer profiles of both sides."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import msgspec

from rigmark.bench.analysis.causes import layers, machine, sides
from rigmark.bench.analysis.causes.cause import Cause, Kind
from rigmark.bench.analysis.causes.layers import PAIRS, Place
from rigmark.bench.analysis.comparison import pairs as comparison
from rigmark.bench.analysis.comparison.verdicts import CaseVerdict
from rigmark.bench.analysis.statistics.decision import Verdict
from rigmark.bench.document.language import tr
from rigmark.bench.enums import Clock, Outcome, TrialKind
from rigmark.bench.store.stored import Base, Identity, Pair, StoredRecord

ProfilePairs = list[tuple[StoredRecord, StoredRecord]]
FEW = 3                      # layers beyond which it is rather something that acts on all of their kind


def with_cause(
    case: CaseVerdict, identity: Identity, pairs: Sequence[Pair], profiles: Sequence[StoredRecord], clock: Clock
) -> CaseVerdict:
    """The verdict with its cause, if it is slower or faster; ``profiles`` are layer trials of any cases."""
    if case.verdict not in (Verdict.SLOWER, Verdict.FASTER) or not case.base_step_time_s or not case.new_step_time_s:
        return case
    return replace(case, cause=_cause(
        identity, pairs, case.new_step_time_s.value - case.base_step_time_s.value, profiles_of(identity, profiles),
        _failure(identity, profiles), clock,
    ))


def profiles_of(identity: Identity, records: Sequence[StoredRecord]) -> ProfilePairs:
    """The (base, new) layer trials that belong to a pair with this identity, by session and repetition."""
    of_side: list[dict[tuple[str, int], StoredRecord]] = []
    for side in _sides(identity):
        of_side.append({
            (record.identity.session, record.identity.repetition): record for record in _of(identity, side, records)
            if record.outcome is Outcome.OK and record.layers is not None
        })
    base, new = of_side
    return [(base[key], new[key]) for key in sorted(base.keys() & new.keys())]


def _failure(identity: Identity, records: Sequence[StoredRecord]) -> str | None:
    """Why layers of a side could not be timed; None if they could, or if nobody tried."""
    return next((
        f"{record.outcome}: {record.reason}" for side in _sides(identity) for record in _of(identity, side, records)
        if record.outcome is not Outcome.OK
    ), None)


def _sides(identity: Identity) -> tuple[Base, Base]:
    base, new = comparison.sides(identity)
    assert identity.base is not None
    return (msgspec.structs.replace(base, name=identity.base.name),
            msgspec.structs.replace(new, name=identity.case.build))


def _of(identity: Identity, side: Base, records: Sequence[StoredRecord]) -> list[StoredRecord]:
    return [record for record in records if record.identity.kind == TrialKind.LAYERS
            and record.identity.machine == identity.machine
            and record.identity.graph_fingerprint == identity.graph_fingerprint
            and record.identity.case == msgspec.structs.replace(identity.case, build=side.name, isa=side.isa)
            and _installed(record.identity) == side]


def _installed(identity: Identity) -> Base:
    build = identity.build
    return Base(
        name=identity.case.build, isa=identity.case.isa, code_version=identity.code_version, python=build.python,
        framework_version=build.framework_version, packages=build.packages, variables=build.variables,
        adapter=build.adapter,
    )


def _cause(
    identity: Identity, pairs: Sequence[Pair], difference_s: float, profiles: ProfilePairs, failure: str | None,
    clock: Clock,
) -> Cause:
    differing = sides.differing(identity)
    place, why = _place(profiles, difference_s, failure)
    cause = Cause(kind=Kind.NOT_LOCATED, differing=differing, facts=sides.observed(pairs), why=why)
    if place is not None and place.located:
        cause = replace(cause, located=place.located, share=place.share)
        is_of_environment = len(differing) == 1 and identity.base is not None and (
            identity.base.code_version, identity.base.adapter) == (identity.code_version, identity.build.adapter)
        if is_of_environment and len({each.layer for each in place.located}) > FEW:
            return replace(cause, kind=_of_sides(differing))
        return replace(cause, kind=Kind.LAYER if place.is_in_layers else Kind.HOST)
    case = identity.case.plain()
    if clock is Clock.WALL and comparison.is_single_threaded(case):
        waited = machine.waited_in_turns(pairs)
        if waited is not None:
            return replace(cause, kind=Kind.MACHINE, share=waited)
    if (clocks := machine.clocks(profiles)) is not None:
        return replace(cause, kind=Kind.MACHINE, facts=(clocks, *cause.facts))
    if len(differing) == 1:
        return replace(cause, kind=_of_sides(differing))
    return replace(cause, kind=Kind.SPREAD) if place is not None and place.is_spread else cause


def _of_sides(differing: tuple[str, ...]) -> Kind:
    return Kind.COMPILATION if sides.is_of_compilers(differing) else Kind.SIDES


def _place(profiles: ProfilePairs, difference_s: float, failure: str | None) -> tuple[Place | None, str]:
    """The place in the layers, and else why it is not known."""
    if not profiles:
        return None, failure or tr("no per-layer profiles of both sides were measured")
    if len(profiles) < PAIRS:
        return None, failure or tr(
            "there are {n} pairs of per-layer profiles, and {most} are needed; a longer --budget measures them",
            n=len(profiles), most=PAIRS,
        )
    measured = layers.profiles([(base.layers, new.layers) for base, new in profiles if base.layers and new.layers])
    place = layers.place(measured, difference_s)
    if not place.is_seen:
        low, high = (sides.seconds(each) if each > 0 else f"−{sides.seconds(-each)}" for each in place.difference_s)
        return None, tr(
            "a step with its layers timed differs by {low} to {high}, and without by {steps}", low=low, high=high,
            steps=sides.seconds(abs(difference_s)),
        )
    if place.located or place.is_spread:
        return place, ""
    return place, tr("some layers stand out, but have less than half of the difference")
