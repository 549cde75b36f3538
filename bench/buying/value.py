"""Performance per price, per watt and per joule; CPU or GPU; one large GPU or several small ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from rigmark.bench.analysis.statistics.estimate import FEWEST_FOR_INTERVAL
from rigmark.bench.buying import cost, power
from rigmark.bench.buying.family import Ratings
from rigmark.bench.buying.known_figures import surest
from rigmark.bench.buying.offers.market import Market
from rigmark.bench.buying.pricing import hour_of_work, money
from rigmark.bench.buying.quantity import Draws, Quantity, chance_in_words, chances_of_most, multiple, spread, standing
from rigmark.bench.buying.terms import Candidate, Figure, Kind, Rated, Work, Workload
from rigmark.bench.document import formatting
from rigmark.bench.document.document import Origin, Standing
from rigmark.bench.document.language import tr, tr_later
from rigmark.bench.machine.gpu_specifications import GIB

FAR = 1.33                   # if a large one is faster than the small ones by this factor, they are not compared
USUAL_LIFE_H = 5 * cost.HOURS_OF_A_YEAR      # hours of work, beyond which an answer of today need not hold


@dataclass(frozen=True, kw_only=True)
class Ranking:
    """Candidates of one kind for one workload, the best value first."""

    workload: Work
    kind: Kind
    rated: tuple[Rated, ...]
    standing: Standing
    words: str                           # the answer in words


def rankings(
    candidates: Sequence[Candidate], work: Work, ratings: Ratings, market: Market,
    failed: Mapping[str, str] | None = None,
) -> list[Ranking]:
    """One ranking per kind of candidate; ``failed`` states what is insufficient in a machine."""
    every = []
    for kind in Kind:
        own = [each for each in candidates if each.kind is kind]
        if own:
            every.append(_ranked(work, kind, [ratings[each.id] for each in own], market, failed or {}))
    return every


def price_of(candidate: Candidate) -> Quantity | None:
    """Its price; for a rented machine, that of an hour of work including setting up and restarts."""
    if candidate.money is None or not candidate.money.value:
        return None
    return candidate.money if candidate.offer is None else hour_of_work(candidate.money, candidate.offer)


def _ranked(
    work: Work, kind: Kind, rated: Sequence[Rated], market: Market, failed: Mapping[str, str]
) -> Ranking:
    # Samples per hour, or samples/s; for a family both are relative to the baseline.
    per_unit = cost.SECONDS_OF_AN_HOUR if kind is Kind.RENTED and isinstance(work, Workload) else 1.0
    priced: list[tuple[int, Draws]] = []
    judged = list(rated)
    for index, each in enumerate(rated):
        price, speed = price_of(each.candidate), each.samples_per_s
        if price is None or speed is None:
            continue
        draws = per_unit * each.draws() / price.draws()
        judged[index] = replace(each, per_money=spread(per_unit * speed.value / price.value, draws))
        priced.append((index, draws))
    can_judge = len(priced) > 1 and not any(judged[index].is_few for index, _ in priced)
    if can_judge:
        chances = chances_of_most([draws for _, draws in priced])
        for (index, _), chance in zip(priced, chances, strict=True):
            judged[index] = replace(judged[index], chance=chance)
    judged = _with_front(judged)
    judged.sort(key=lambda each: (-(each.per_money.value if each.per_money else 0.0),
                                  -(each.samples_per_s.value if each.samples_per_s else 0.0)))
    return Ranking(workload=work, kind=kind, rated=tuple(judged), **_judgement(judged, kind, market, failed))


def _with_front(rated: Sequence[Rated]) -> list[Rated]:
    places = [
        index for index, each in enumerate(rated)
        if price_of(each.candidate) is not None and each.samples_per_s is not None
    ]
    points = []
    for index in places:
        price, speed = price_of(rated[index].candidate), rated[index].samples_per_s
        assert price is not None
        assert speed is not None
        points.append((-price.value, speed.value, rated[index].candidate.memory_bytes or 0.0))
    marked = list(rated)
    for index, is_on_front in zip(places, cost.pareto_front(points), strict=True):
        marked[index] = replace(marked[index], is_on_front=is_on_front)
    return marked


def _judgement(rated: Sequence[Rated], kind: Kind, market: Market, failed: Mapping[str, str]) -> dict[str, Any]:
    """How certain the first place is, and the answer in words."""
    priced = [each for each in rated if each.per_money is not None]
    if not priced:
        lacking = tr("no price given") if all(each.candidate.money is None for each in rated) else \
            tr("no throughput is known for anything that has a price")
        text = tr("Value for money is not known: {reason}.", reason=lacking)
        return {"standing": Standing.NOTHING, "words": text}
    first = priced[0]
    if len(priced) == 1:
        text = tr("Only {name} has both a price and a throughput.", name=first.candidate.name)
        text += _does_not_hold(first.candidate, failed)
        return {"standing": Standing.ALONE, "words": text}
    if first.chance is None:
        few = [each.candidate.name for each in priced if each.is_few]
        text = tr("{name} is ahead, but {few} was measured in fewer than {n} trials, so the probability is not known.",
                  name=first.candidate.name, few=formatting.listed(few), n=FEWEST_FOR_INTERVAL)
        return {"standing": Standing.FEW, "words": text + _does_not_hold(first.candidate, failed)}
    best = max(priced, key=lambda each: each.chance or 0.0)
    assert best.chance is not None
    is_predicted = best.origin is Origin.PREDICTED
    stands = standing(best.chance, is_predicted=is_predicted)
    caveats = [_does_not_hold(best.candidate, failed)]
    if stands is not Standing.OPEN:
        caveats += _by_energy(best, priced, kind, market)
        stands = standing(best.chance, is_predicted=is_predicted or any(caveats))
    others = [each for each in priced if each is not best]
    second = max(others, key=lambda each: each.per_money.value if each.per_money else 0.0)
    assert best.per_money is not None
    assert second.per_money is not None
    facts = {"best": best.candidate.name, "second": second.candidate.name,
             "times": formatting.times(best.per_money.value / second.per_money.value, 2)}
    if stands is Standing.CLEAR:
        lead = tr("{best} gives the most for the money, {times} {second}", **facts)
    elif stands is Standing.LIKELY:
        lead = tr("{best} likely gives the most for the money, {times} {second}", **facts)
    else:
        lead = tr("{best} and {second} are too close to call ({times})", **facts)
    template = tr_later("{lead}; the probability that {best} is the best of {n} is {chance}.") \
        if stands is Standing.OPEN else tr_later("{lead}; the probability that it is the best of {n} is {chance}.")
    text = tr(template, lead=lead, best=best.candidate.name, n=len(priced), chance=chance_in_words(best.chance))
    unlike = {each.software.removeprefix("as ") for each in priced}
    if len(unlike) > 1:
        text += tr(" The software differs too, so the hardware is not the only cause.")
    if is_predicted:
        text += tr(" Its throughput is predicted, and a prediction alone decides nothing: measure before you buy.")
    return {"standing": stands, "words": text + "".join(caveats)}


def _does_not_hold(candidate: Candidate, failed: Mapping[str, str]) -> str:
    return "" if candidate.id not in failed else " " + tr(
        "As listed, {machine} is insufficient for its parts, and its price does not include a remedy: {what}.",
        machine=candidate.id, what=failed[candidate.id])


def _by_energy(best: Rated, priced: Sequence[Rated], kind: Kind, market: Market) -> list[str]:
    """After how many hours of work electricity changes the ranking, which uses prices alone, or what is not known."""
    if kind is Kind.RENTED:
        return []
    watts = {each.candidate.id: _wall_w(each, market) for each in priced}
    unknown = [each.candidate.name for each in priced if watts[each.candidate.id] is None]
    if unknown:
        return [tr(" Electricity is left out, because the power of {names} is not known; it may reverse this.",
                   names=formatting.listed(unknown))]
    money_for, watts_for = {}, {}
    for each in priced:
        price, speed, power_w = price_of(each.candidate), each.samples_per_s, watts[each.candidate.id]
        if price is not None and speed is not None and power_w is not None:
            money_for[each.candidate.id] = price.value / speed.value
            watts_for[each.candidate.id] = power_w / speed.value
    own = best.candidate.id
    # For each candidate that costs more per sample but draws less: the energy after which it has become cheaper.
    turning = {
        each.candidate.name: 1e3 * (money_for[each.candidate.id] - money_for[own])
        / (watts_for[own] - watts_for[each.candidate.id])
        for each in priced if watts_for[each.candidate.id] < watts_for[own]
    }
    if not turning:
        return []
    name, paid = min(turning.items(), key=lambda each: each[1])
    kwh = money(market.energy.price_per_kwh, "energy")
    if kwh is None or not kwh.value:
        return [tr(" Electricity is left out, because no price per kWh is given; {name} needs less energy per "
                   "sample, so it may reverse this.", name=name)]
    hours = paid / (kwh.value * market.energy.cooling_overhead)
    return [tr(" With electricity this is so up to {hours} h of work; beyond that {name} is cheaper.",
               hours=formatting.significant(hours, 2), name=name)] if hours < USUAL_LIFE_H else []


def _wall_w(rated: Rated, market: Market) -> float | None:
    """The power at the wall: of a machine all that is known, of a single device its own share."""
    if rated.candidate.build is not None:
        of = power.of_machine(rated.candidate, rated, market)
        return None if of.lacking else of.watts
    return multiple(rated.power_w, 1 / market.energy.psu_efficiency)


# CPU or GPU; one large or several small -------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class CpuOrGpu:
    """The best CPU and the best GPU for a network; with a ratio only if their workloads are equal."""

    cpu: Figure
    gpu: Figure
    ratio: float | None                  # GPU over CPU; None: batch, data or precision differ


def cpu_or_gpu(known: Sequence[Figure]) -> list[CpuOrGpu]:
    """The comparison for each network and mode with figures of a CPU and a GPU."""
    groups: dict[tuple[str, str], list[Figure]] = {}
    for each in surest(known):
        if each.devices == 1:
            groups.setdefault((each.workload.model, each.workload.mode), []).append(each)
    comparisons = []
    for _, own in sorted(groups.items()):
        cpus, gpus = [each for each in own if each.is_cpu], [each for each in own if not each.is_cpu]
        pairs = [(cpu, gpu) for cpu in cpus for gpu in gpus if cpu.workload == gpu.workload]
        if pairs:
            cpu, gpu = max(pairs, key=lambda pair: (pair[1].samples_per_s.value, pair[0].samples_per_s.value))
            comparisons.append(CpuOrGpu(cpu=cpu, gpu=gpu, ratio=gpu.samples_per_s.value / cpu.samples_per_s.value))
        elif cpus and gpus:
            cpu, gpu = (max(side, key=lambda each: each.samples_per_s.value) for side in (cpus, gpus))
            comparisons.append(CpuOrGpu(cpu=cpu, gpu=gpu, ratio=None))
    return comparisons


@dataclass(frozen=True, kw_only=True)
class OneOrMany:
    """One large GPU compared with several small ones, for a workload."""

    workload: Work
    big: Rated
    small: Rated                         # one of the small ones
    many: Rated                          # all small ones together
    chance: float | None                 # that the small ones are faster; None: too few trials
    standing: Standing
    words: str


def several(candidates: Sequence[Candidate], count: int) -> dict[str, Candidate]:
    """So many of each card, by the id of one."""
    return {
        each.id: replace(each, id=f"{count} x {each.id}", devices=count, rated_w=multiple(each.rated_w, count))
        for each in candidates if each.kind is Kind.CARD and each.device and each.device.card
    }


def one_or_many(
    candidates: Sequence[Candidate], work: Work, ratings: Ratings, count: int = 2,
) -> list[OneOrMany]:
    """For each pair of cards of which one is faster, against ``count`` of the slower, unless it is far ahead of all."""
    pairs = []
    for small, many in several(candidates, count).items():
        for big in several(candidates, count):
            one, of, all_of = ratings[big], ratings[small], ratings[many.id]
            if one.samples_per_s is None or of.samples_per_s is None or all_of.samples_per_s is None:
                continue
            if of.samples_per_s.value < one.samples_per_s.value < count * FAR * of.samples_per_s.value:
                pairs.append(_one_or_many(work, one, of, all_of, count))
    return pairs


def _one_or_many(workload: Work, big: Rated, small: Rated, many: Rated, count: int) -> OneOrMany:
    assert big.samples_per_s is not None
    assert many.samples_per_s is not None
    chance = None
    if not (big.is_few or many.is_few):
        chance = float(np.mean(many.draws() > big.draws()))
    names = f"{count} {small.candidate.name}", big.candidate.name
    ratio = formatting.times(many.samples_per_s.value / big.samples_per_s.value, 2)
    is_predicted = Origin.PREDICTED in (big.origin, many.origin)
    stands = Standing.FEW if chance is None else standing(max(chance, 1 - chance), is_predicted=is_predicted)
    sentences = [tr("{many} do {times} the work of one {big}", many=names[0], times=ratio, big=names[1])]
    if chance is not None:
        sentences[0] += tr(" (chance of more: {chance})", chance=chance_in_words(chance))
    sizes = [each.candidate.memory_bytes for each in (small, big)]
    if sizes[0] is not None and sizes[1] is not None:
        sentences.append(tr("memory is not pooled: a batch must fit into {small:.0f} GB on each, against {big:.0f} GB",
                            small=sizes[0] / GIB, big=sizes[1] / GIB))
    prices = [each.candidate.money for each in (small, big)]
    if prices[0] is not None and prices[1] is not None:
        sentences.append(tr("they cost {times} as much",
                            times=formatting.times(count * prices[0].value / prices[1].value, 2)))
    else:
        names_without = [of.candidate.name for of, price in zip((small, big), prices, strict=True) if price is None]
        sentences.append(tr("no price of {names} is given, so it is not known which costs less",
                            names=formatting.listed(names_without)))
    if many.power_w and big.power_w:
        sentences.append(tr("they draw {many:.0f} W, and the other {big:.0f} W", many=many.power_w, big=big.power_w))
    else:
        sentences.append(tr("their power is not known for all of them, and is left out"))
    return OneOrMany(
        workload=workload, big=big, small=small, many=many, chance=chance, standing=stands,
        words=tr("{said}.", said="; ".join(sentences)),
    )
