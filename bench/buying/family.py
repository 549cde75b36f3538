"""One answer for many workloads: the speed of each candidate relative to one of them, over all networks.

Workloads are compared one by one, at equal network, mode, precision and batch. The value is the geometric mean of the
ratios, its range the middle 80 % of them. Only workloads that are known for every shown candidate are used.
"""

from __future__ import annotations

import math
import statistics
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace

import numpy as np

from rigmark.bench.buying.known_figures import by_workload
from rigmark.bench.buying.quantity import Quantity, Sampled
from rigmark.bench.buying.rating import rate, unknown
from rigmark.bench.buying.terms import ORDER, Candidate, Family, Figure, Network, Rated, Work, Workload
from rigmark.bench.document import formatting
from rigmark.bench.document.document import Origin
from rigmark.bench.document.language import tr, word

MOST_SINGLE = 3              # more workloads than these are grouped into families
LEAST_SHARE = 0.5            # of the workloads of the best known candidate; with fewer, a candidate is not compared
MOST_SOFTWARE = 2            # kinds of software that are named

Group = tuple[str | None, str, str]  # network or None, mode, precision
Ratings = Mapping[str, Rated]        # by the candidate's id


def works(workloads: Sequence[Workload]) -> list[Work]:
    """The workloads one by one if they are few, else grouped by network, else by mode and precision."""
    if len(workloads) <= MOST_SINGLE:
        return list(workloads)
    for_each_network = _grouped(workloads, lambda each: (each.model, each.mode, each.precision))
    if len(for_each_network) <= MOST_SINGLE:
        return for_each_network
    return _grouped(workloads, lambda each: (None, each.mode, each.precision), fewest=MOST_SINGLE + 1)


def _grouped(workloads: Sequence[Workload], key: Callable[[Workload], Group], fewest: int = 2) -> list[Work]:
    """Families by a key, the largest first; workloads of groups smaller than ``fewest`` stay single."""
    groups: dict[Group, list[Workload]] = {}
    for each in workloads:
        groups.setdefault(key(each), []).append(each)
    grouped: list[Work] = []
    for (model, mode, precision), own in groups.items():
        if len(own) < fewest:
            grouped += own
            continue
        name = own[0].model if len({each.model for each in own}) == 1 else model
        grouped.append(Family(model=name, mode=mode, precision=precision, workloads=tuple(own)))
    return sorted(grouped, key=lambda each: -len(each.workloads) if isinstance(each, Family) else -1)


def ratings(
    candidates: Sequence[Candidate], work: Work, known: Sequence[Figure], networks: Mapping[str, Network]
) -> dict[str, Rated]:
    """The rating of every candidate for a workload or a family."""
    if isinstance(work, Workload):
        return {each.id: rate(each, work, known, networks) for each in candidates}
    return _of_family(candidates, work, known, networks)


def _of_family(
    candidates: Sequence[Candidate], family: Family, known: Sequence[Figure], networks: Mapping[str, Network]
) -> dict[str, Rated]:
    figures = by_workload(known)
    rated: dict[str, dict[Workload, Rated]] = {each.id: {} for each in candidates}
    refused: dict[str, Rated] = {}
    for workload in family.workloads:
        own = [*figures.get(workload, ()), *(
            figures.get(replace(workload, graph=None), ()) if workload.graph is not None else ())]
        for each in candidates:
            of = rate(each, workload, own, networks)
            if of.samples_per_s is None:
                refused.setdefault(each.id, of)
            else:
                rated[each.id][workload] = of
    baseline, common, kept = _common(candidates, rated)
    by_candidate = {each.id: _left_out(each, rated[each.id], common, refused.get(each.id)) for each in candidates}
    if baseline is None:
        return by_candidate
    for each in candidates:
        if each.id in kept:
            by_candidate[each.id] = _relative(each, baseline, family, [rated[each.id][workload] for workload in common],
                                              [rated[baseline.id][workload] for workload in common])
    return by_candidate


def _common(
    candidates: Sequence[Candidate], rated: Mapping[str, Mapping[Workload, Rated]]
) -> tuple[Candidate | None, list[Workload], set[str]]:
    """The baseline candidate, the workloads that are known for all compared candidates, and the ids of those.

    Measured figures take precedence: workloads that are only predicted for a candidate are left out if enough others
    were measured.
    """
    measured = {
        name: {workload for workload, of in own.items() if of.origin is not Origin.PREDICTED}
        for name, own in rated.items()
    }
    baseline = min((each for each in candidates if rated[each.id]),
                   key=lambda each: (-len(measured[each.id]), each.devices), default=None)
    if baseline is None:
        return None, [], set()
    common, kept = measured[baseline.id] or set(rated[baseline.id]), {baseline.id}
    least = LEAST_SHARE * len(common)
    by_number = sorted(rated, key=lambda name: -len(measured[name]))
    for own in (measured, {name: set(of) for name, of in rated.items()}):
        for name in by_number:
            if name not in kept and len(common & own[name]) >= least:
                common, kept = common & own[name], {*kept, name}
    return baseline, [workload for workload in rated[baseline.id] if workload in common], kept


def _left_out(
    candidate: Candidate, own: Mapping[Workload, Rated], common: Sequence[Workload], refused: Rated | None
) -> Rated:
    if own:
        return unknown(candidate, tr(
            "known for only {n}, of which too few are among those for which the others are compared",
            n=formatting.count(len(own), "workload")))
    return refused if refused is not None else unknown(candidate, candidate.reason)


def _relative(
    candidate: Candidate, baseline: Candidate, family: Family, own: Sequence[Rated], of: Sequence[Rated]
) -> Rated:
    speeds = [(mine.samples_per_s, theirs.samples_per_s) for mine, theirs in zip(own, of, strict=True)]
    members = tuple(mine.value / theirs.value for mine, theirs in speeds if mine is not None and theirs is not None)
    logs = np.log(members)
    value = math.exp(float(np.mean(logs)))
    origin = max((each.origin for each in own if each.origin is not None), key=ORDER.index)
    error = _error(candidate, [mine for mine, _ in speeds if mine is not None])
    spreads = [
        math.hypot(abs(math.log(value) - float(np.quantile(logs, share))),
                   0.0 if error is None or end is None else math.log(end))
        for share, end in ((0.1, None if error is None or not error.low else 1 / error.low),
                           (0.9, None if error is None else error.high))
    ]
    is_itself = error is None and max(members) == min(members)
    powers = [each.power_w for each in own if each.power_w is not None]
    return Rated(
        candidate=candidate, baseline=baseline.name, reasons=_reasons(own, family),
        software=_software(own), power_w=statistics.median(powers) if len(powers) == len(own) else None,
        power_origin=max((each.power_origin for each in own if each.power_origin is not None), key=ORDER.index,
                         default=None),
        is_few=any(each.is_few for each in own),
        samples_per_s=Sampled(
            name=f"{family.label} on {candidate.id}", value=value, level=0.8, origin=origin, members=members,
            low=None if is_itself else value * math.exp(-spreads[0]),
            high=None if is_itself else value * math.exp(spreads[1]), error=error, family=family.label,
        ),
    )


def _error(candidate: Candidate, speeds: Sequence[Quantity]) -> Quantity | None:
    """The common error of all speeds, since predictions for one GPU err alike; None if nothing is predicted."""
    predicted = [each for each in speeds if each.origin is Origin.PREDICTED and each.low and each.high]
    if not predicted:
        return None
    share = len(predicted) / len(speeds)
    low = math.exp(share * statistics.fmean(math.log((each.low or each.value) / each.value) for each in predicted))
    high = math.exp(share * statistics.fmean(math.log((each.high or each.value) / each.value) for each in predicted))
    return Quantity(name=f"prediction of {candidate.id}", value=1.0, low=low, high=high, level=0.8,
                    origin=Origin.PREDICTED)


def _reasons(own: Sequence[Rated], family: Family) -> tuple[str, ...]:
    """How many of its figures are measured, quoted or predicted, and the origin of one of them."""
    counts = Counter(each.origin for each in own if each.origin is not None)
    text = formatting.listed([f"{count:,} {word(origin)}" for origin, count in counts.items()])
    first = next((each for each in own if each.origin is Origin.PREDICTED), own[0])
    return (tr("{n} of {all} workloads: {counts}", n=f"{len(own):,}", all=f"{len(family.workloads):,}", counts=text),
            *(tr("one of them: {reason}", reason=reason) for reason in first.reasons))


def _software(own: Iterable[Rated]) -> str:
    names = list(dict.fromkeys(each.software for each in own))
    more = [tr("{n} more", n=len(names) - MOST_SOFTWARE)] if len(names) > MOST_SOFTWARE else []
    return formatting.listed([*names[:MOST_SOFTWARE], *more])
