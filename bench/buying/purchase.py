"""All answers to a buyer's questions together, as ``rigmark buy`` gives them."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from typing import Any

import pandas as pd

from rigmark.bench.buying import candidates as offered
from rigmark.bench.buying import holding, known_figures, memory, pricing, renting, value
from rigmark.bench.buying import terms as buying
from rigmark.bench.buying.family import ratings, works
from rigmark.bench.buying.holding import Check, Held, Linked
from rigmark.bench.buying.memory import Memory
from rigmark.bench.buying.offers.market import Market
from rigmark.bench.buying.quantity import Quantity
from rigmark.bench.buying.renting import RentOrBuy
from rigmark.bench.buying.terms import Candidate, Family, Figure, Network, Work, Workload
from rigmark.bench.buying.value import CpuOrGpu, OneOrMany, Ranking
from rigmark.bench.document import formatting
from rigmark.bench.document.document import Origin
from rigmark.bench.document.language import tr
from rigmark.bench.enums import network_key
from rigmark.bench.errors import UserError, unknown
from rigmark.bench.machine.gpu_specifications import Card
from rigmark.bench.store.quoted import QuotedTable

MOST_ANSWERS = 3             # workloads or families that are answered per question


class Question(StrEnum):
    VALUE = "value"              # performance per price and per watt
    RENT = "rent"                # rent or buy
    SPEED = "speed"              # speed on devices that one does not own
    MANY = "many"                # one large GPU or several small ones
    MEMORY = "memory"            # which batch fits into memory
    BOX = "box"                  # does the machine suit its GPUs
    HEAT = "heat"                # does it keep its speed
    CPU = "cpu"                  # CPU or GPU


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What the user asked; None or empty means everything."""

    questions: Collection[Question] = ()
    models: Sequence[str] = ()
    mode: str | None = None
    precision: str | None = None
    local_batch: int | None = None
    cards: Sequence[Card] = ()           # GPUs in addition to those in ``hardware.toml``
    capacity_bytes: float | None = None
    hours_per_week: float | None = None
    how_many: int = 2                    # number of small GPUs to compare with a large one

    @property
    def is_narrow(self) -> bool:
        return bool(self.models or self.mode or self.precision or self.local_batch)

    def asks(self, question: Question) -> bool:
        return not self.questions or question in self.questions


@dataclass(frozen=True, kw_only=True)
class Advice:
    wanted: Wanted
    market: Market
    figures: tuple[Figure, ...]
    works: tuple[Work, ...]              # the workloads that are answered
    rankings: tuple[Ranking, ...]
    rentals: tuple[RentOrBuy, ...]
    many: tuple[OneOrMany, ...]
    memories: tuple[Memory, ...]
    checks: tuple[Check, ...]
    failed_checks: tuple[Check, ...]     # even if not asked: they weaken all advice about a machine
    links: tuple[Linked, ...]
    held: tuple[Held, ...]
    cpu_or_gpu: tuple[CpuOrGpu, ...]
    doubts: tuple[str, ...]              # about prices
    problems: tuple[str, ...]            # what could not be told, a sentence each

    @property
    def workloads(self) -> tuple[Workload, ...]:
        """The workloads that are answered one by one."""
        return tuple(each for each in self.works if isinstance(each, Workload))

    @property
    def reasons(self) -> tuple[str, ...]:
        """Why there is no answer, one sentence each: about the GPUs in question, then about stored figures."""
        unknown = [f"{each.candidate.name}: {'; '.join(each.reasons)}" for ranking in self.rankings
                   for each in ranking.rated if each.samples_per_s is None and each.reasons]
        return tuple(dict.fromkeys([*unknown, *self.problems]))

    @property
    def has_answers(self) -> bool:
        answers = [each for ranking in self.rankings for each in ranking.rated if each.samples_per_s is not None]
        others = (self.rentals, self.many, self.memories, self.checks, self.links, self.held, self.cpu_or_gpu)
        return bool(answers or any(others))


def advise(
    market: Market, results: pd.DataFrame, trials: pd.DataFrame, networks: Mapping[str, Network], wanted: Wanted,
    today: date, tables: Sequence[QuotedTable] = (),
) -> Advice:
    """All advice on what is wanted; ``tables`` are imported tables, see known_figures."""
    figures, problems = known_figures.figures(results, trials, market, tables, networks)
    chosen = _chosen(known_figures.workloads(figures), wanted)
    for_batch = _chosen(chosen, wanted, by_batch=True)
    if not for_batch and figures and wanted.is_narrow:
        problems.insert(0, _none_of(wanted, known_figures.workloads(figures)))
    works = _works(for_batch, figures)
    if len(works) > MOST_ANSWERS:
        left_out = sum(len(each.workloads) if isinstance(each, Family) else 1 for each in works[MOST_ANSWERS:])
        problems.append(tr("{workloads} more are not answered here; select them with --model, --mode, --precision "
                           "and --batch",
                           workloads=formatting.count(left_out, "workload")))
        works = works[:MOST_ANSWERS]
    candidates = offered.candidates(market, wanted.cards, figures)
    asks = wanted.asks
    singles = [each for each in works if isinstance(each, Workload)]
    checks = tuple(holding.checks(market, candidates, singles, figures, networks))
    failed = tuple(each for each in checks if each.holds is False)
    several = list(value.several(candidates, wanted.how_many).values()) if asks(Question.MANY) else []
    rated = {each: ratings([*candidates, *several], each, figures, networks) for each in works}
    does_not_hold, asked_about = holding.in_words(failed), set(chosen)
    rentals, lacking = renting.rentals(candidates, rated, market, wanted.hours_per_week, does_not_hold) \
        if asks(Question.RENT) else ([], [])
    rankings = [
        ranking for work, of in rated.items()
        for ranking in value.rankings(candidates, work, of, market, does_not_hold)
    ] if asks(Question.VALUE) or asks(Question.SPEED) else []
    return Advice(
        wanted=wanted, market=market, figures=tuple(figures), works=tuple(works), rankings=tuple(rankings),
        rentals=tuple(rentals),
        many=tuple(
            each for work, of in rated.items() for each in value.one_or_many(candidates, work, of, wanted.how_many)
        ) if asks(Question.MANY) else (),
        memories=tuple(_memories(trials, candidates, networks, wanted)) if asks(Question.MEMORY) else (),
        checks=checks if asks(Question.BOX) else (),
        failed_checks=failed,
        links=tuple(holding.linked(trials, networks)) if asks(Question.BOX) else (),
        held=tuple(holding.held(trials)) if asks(Question.HEAT) else (),
        cpu_or_gpu=tuple(value.cpu_or_gpu([each for each in figures if each.workload in asked_about]))
        if asks(Question.CPU) else (),
        doubts=tuple(pricing.doubts_of_prices(market, today)),
        problems=(*market.problems, *problems, *lacking),
    )


def _works(workloads: Sequence[Workload], figures: Sequence[Figure]) -> list[Work]:
    """The workloads to answer: the user's own first, then others, grouped into families if they are many."""
    own = {figure.workload for figure in figures if figure.origin is not Origin.QUOTED}
    mine, theirs = ([each for each in workloads if (each in own) is is_own] for is_own in (True, False))
    return [*works(mine), *works(theirs)]


def _none_of(wanted: Wanted, known: Sequence[Workload]) -> str:
    """The sentence that nothing is known about what was asked, and what is known instead."""
    asked = [*wanted.models, wanted.mode, wanted.precision,
             None if wanted.local_batch is None else tr("batch {n}", n=wanted.local_batch)]
    models = {network_key(name) for name in wanted.models}
    of_models = [each for each in known if network_key(each.model) in models] or list(known)
    there = list(dict.fromkeys(each.in_words for each in of_models))
    more = [tr("{n} more", n=len(there) - MOST_ANSWERS)] if len(there) > MOST_ANSWERS else []
    return tr("no figure is known for {asked}; there are figures for {there}",
              asked=", ".join(each for each in asked if each),
              there="; ".join([*there[:MOST_ANSWERS], *more]))


def _chosen(workloads: Sequence[Workload], wanted: Wanted, *, by_batch: bool = False) -> list[Workload]:
    chosen = list(workloads)
    if wanted.models:
        models = {network_key(name) for name in wanted.models}
        chosen = [each for each in chosen if network_key(each.model) in models]
    for what, name in (("mode", wanted.mode), ("precision", wanted.precision)):
        if name is not None:
            chosen = [each for each in chosen if getattr(each, what) == name]
    if by_batch and wanted.local_batch is not None:
        chosen = [each for each in chosen if each.local_batch == wanted.local_batch]
    return chosen


def checked_models(names: Sequence[str], figures_models: Collection[str], networks: Collection[str]) -> None:
    """Raises UnknownName for a network, in any spelling, that has neither a figure nor a definition."""
    known = {network_key(name) for name in (*figures_models, *networks)}
    for name in names:
        if network_key(name) not in known:
            raise unknown("model", name, {*figures_models, *networks})


def _memories(
    trials: pd.DataFrame, candidates: Sequence[Candidate], networks: Mapping[str, Network], wanted: Wanted
) -> list[Memory]:
    sizes = memory.capacities(candidates)
    if wanted.capacity_bytes is not None:
        sizes = {f"{wanted.capacity_bytes / 2**30:g} GB": wanted.capacity_bytes}
    models = wanted.models
    if list(wanted.questions) == [Question.MEMORY] and not models and trials.empty:
        raise UserError("name a network with --model; no peak memory was measured from which it could be chosen")
    return memory.memories(
        trials, sizes, wanted.local_batch, networks, models, wanted.precision or "fp32", wanted.mode
    )


def plain(advice: Advice) -> dict[str, Any]:
    """The advice for scripts. Names are never changed, more may be added."""
    market = advice.market
    return {
        "currency": market.currency, "files": list(market.files), "exchange_rates": list(market.rates),
        "workloads": [{"label": each.label, **buying.plain(each)} for each in advice.workloads],
        "families": [{"label": each.label, **buying.plain(each)} for each in advice.works if isinstance(each, Family)],
        "rankings": [_ranking(each) for each in advice.rankings],
        "rent_or_buy": [_rental(each) for each in advice.rentals],
        "one_or_many": [
            {"workload": each.workload.label, "big": each.big.candidate.id, "small": each.small.candidate.id,
             "count": each.many.candidate.devices, "chance": each.chance, "standing": each.standing.value,
             "words": each.words, "many_samples_per_s": buying.plain(each.many.samples_per_s),
             "big_samples_per_s": buying.plain(each.big.samples_per_s)}
            for each in advice.many
        ],
        "memory": [buying.plain(each) for each in advice.memories],
        "checks": [buying.plain(each) for each in advice.checks],
        "failed_checks": [buying.plain(each) for each in advice.failed_checks],
        "links": [
            {"subject": each.subject, "words": each.words, "below": bool(each.link.below),
             "bytes_per_s": each.link.bytes_per_s, "most_bytes_per_s": each.link.most_bytes_per_s,
             **buying.plain(each.link)} for each in advice.links
        ],
        "held_speed": [buying.plain(each) for each in advice.held],
        "cpu_or_gpu": [
            {"model": each.cpu.workload.model, "mode": each.cpu.workload.mode, "ratio": each.ratio,
             "cpu": buying.plain(each.cpu), "gpu": buying.plain(each.gpu)} for each in advice.cpu_or_gpu
        ],
        "doubts": list(advice.doubts), "problems": list(advice.problems),
    }


def _ranking(ranking: Ranking) -> dict[str, Any]:
    return {
        "workload": ranking.workload.label, "kind": ranking.kind.value, "standing": ranking.standing.value,
        "words": ranking.words, "unit": ranking.rated[0].unit if ranking.rated else None,
        "candidates": [
            {
                "id": each.candidate.id, "device": None if each.candidate.device is None else each.candidate.device.id,
                "devices": each.candidate.devices, "origin": None if each.origin is None else each.origin.value,
                "samples_per_s": _ends(each.samples_per_s), "money": _ends(each.candidate.money),
                "samples_per_s_per_money": buying.plain(each.per_money), "samples_per_j": each.per_watt,
                "power_w": each.power_w, "power_origin": None if each.power_origin is None else each.power_origin.value,
                "chance_of_best": each.chance, "on_pareto_front": each.is_on_front, "software": each.software,
                "memory_bytes": each.candidate.memory_bytes, "reasons": list(each.reasons),
            }
            for each in ranking.rated
        ],
    }


def _ends(of: Quantity | None) -> dict[str, Any] | None:
    return None if of is None else {
        "value": of.value, "low": of.low, "high": of.high, "level": of.level, "origin": of.origin.value}


def _rental(each: RentOrBuy) -> dict[str, Any]:
    return {
        "build": each.build.id, "offer": each.offer.id,
        "workload": None if each.workload is None else each.workload.label,
        "steps": [
            {"name": step.name, "hours": buying.plain(step.hours), "words": step.words, "origin": step.origin.value}
            for step in each.steps
        ],
        "left_out": [{"name": of.name, "reason": of.reason, "holds": of.holds or None} for of in each.left_out],
        "life_years": each.life_years, "power_w": each.power_w,
        "hours_at_energy_prices": buying.plain(each.at_energy_prices), "hours_wanted": each.hours_wanted,
        "money_per_million_samples": buying.plain(each.per_million),
        "chance_that_buying_is_cheaper": each.chance, "standing": each.standing.value, "words": list(each.words),
    }
