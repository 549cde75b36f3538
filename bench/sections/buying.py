"""Purchase advice: verdicts in words, then the numbers behind them, each with the mark of its origin."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from datetime import date

import numpy as np

from rigmark.bench.buying.family import MOST_SINGLE
from rigmark.bench.buying.holding import Check, Held, Linked, in_words
from rigmark.bench.buying.memory import Memory
from rigmark.bench.buying.purchase import Advice, Question
from rigmark.bench.buying.quantity import CLEAR, LIKELY, UNIT_SPREAD, Quantity, Sampled, chance_in_words
from rigmark.bench.buying.reckoning import Step, is_alike
from rigmark.bench.buying.renting import RentOrBuy, hours_in_words
from rigmark.bench.buying.terms import Family, Figure, Kind, Rated
from rigmark.bench.buying.value import CpuOrGpu, OneOrMany, Ranking
from rigmark.bench.document import formatting
from rigmark.bench.document.document import (
    Align,
    Bar,
    Bars,
    Block,
    Cell,
    Column,
    Document,
    Fold,
    Items,
    Origin,
    Paragraph,
    Row,
    Section,
    Table,
    Verdict,
    Verdicts,
)
from rigmark.bench.document.identifiers import identifier
from rigmark.bench.document.language import tr, tr_later, word
from rigmark.bench.machine.gpu_specifications import GIB

MOST_PROBLEMS = 12
NEVER_COUNTED = tr_later(
    "No line includes repairs, your own time, taxes, or the cost of storing and moving data where you rent.")
MOST_FASTEST = 4             # named if no price is known; the table has all
MOST_PAIRS = 4               # of a large card and several small ones, those with prices first
MOST_UNKNOWN = 6             # candidates without figures that are named; a catalogue has hundreds
KINDS = {
    Kind.CARD: tr_later("cards and processors"), Kind.MACHINE: tr_later("whole machines"),
    Kind.RENTED: tr_later("machines for rent"),
}
HEADS = {
    Kind.CARD: tr_later("card or processor"), Kind.MACHINE: tr_later("machine"),
    Kind.RENTED: tr_later("machine for rent"),
}


def document(advice: Advice, today: date, host: str = "") -> Document:
    """All sections that are not empty; ``host`` is this machine in words."""
    sections = [
        _rent(advice), *_values(advice), _many(advice.many), _cpu_or_gpu(advice.cpu_or_gpu), _memory(advice.memories),
        _box(advice.checks, advice.links), _heat(advice.held, asked=Question.HEAT in advice.wanted.questions),
        _doubts(advice), _numbers(advice),
    ]
    return Document(title=tr("What to buy"), summary=tuple(_summary(advice, today, host)),
                    sections=tuple(section for section in sections if section))


def _summary(advice: Advice, today: date, host: str) -> list[str]:
    own = sum(figure.origin is Origin.MEASURED for figure in advice.figures)
    others = len(advice.figures) - own
    phrases = [tr("{figures} of our own", figures=formatting.count(own, "figure")),
               tr("{figures} of others", figures=formatting.count(others, "figure"))]
    if advice.market.files:
        files = formatting.listed([name.replace("\\", "/").rpartition("/")[2] for name in advice.market.files])
        phrases.append(tr("offers of {files}", files=files))
    if advice.market.currency:
        phrases.append(tr("money in {currency}", currency=advice.market.currency))
    return [*phrases, tr("reckoned on {date} on {host}", date=today, host=host) if host
            else tr("reckoned on {date}", date=today)]


def _origins() -> str:
    return "; ".join(f"{origin.mark} {word(origin)}" for origin in Origin)


def _text(value: float | None, digits: int = 3) -> str:
    return formatting.UNKNOWN if value is None else formatting.significant(value, digits)


def _quantity(of: Quantity | None, written: Callable[[float], str] = formatting.significant) -> Cell:
    """The value with its mark, and its range in brackets."""
    if of is None:
        return Cell(text=formatting.UNKNOWN)
    text = written(of.value) if of.low is None or of.high is None else \
        tr("{value} ({low} to {high})", value=written(of.value), low=written(of.low), high=written(of.high))
    return Cell(text=f"{of.origin.mark} {text}", value=of.value)


# Rent or buy ----------------------------------------------------------------------------------------------------------


def _rent(advice: Advice) -> Section | None:
    if not advice.rentals:
        return None
    verdicts = Verdicts(verdicts=tuple(
        Verdict(
            id=_identity(each), subject=tr("{build} or {offer}", build=each.build.id, offer=each.offer.id),
            conditions=_of_rental(each),
            standing=each.standing, sentences=each.words,
        )
        for each in advice.rentals
    ))
    return Section(id="rent", title=tr("Rent or buy"), blocks=(verdicts,))


def _numbers(advice: Advice) -> Section | None:
    """The numbers behind all answers, which precede it."""
    currency = advice.market.currency
    sections = (*(_steps(each, currency or "") for each in advice.rentals),
                *(_value_section(each, currency or tr("money")) for each in _known(advice)))
    return Section(id="numbers", title=tr("The numbers behind it"), blocks=(), sections=sections) if sections else None


def _of_rental(each: RentOrBuy) -> str:
    if is_alike(each.build, each.offer):
        return tr("any workload, since both compute with the same")
    return each.workload.in_words if each.workload else tr("no workload known for both")


def _identity(each: RentOrBuy) -> str:
    return identifier("rent", each.build.id, each.offer.id, each.workload.label if each.workload else "bare")


def _steps(each: RentOrBuy, currency: str) -> Section:
    identity = _identity(each)
    table = Table(
        id=f"table.{identity}", caption=tr("Hours of own work until it has paid, as more and more is counted"),
        columns=(Column(title=tr("counted")), Column(title=tr("own hours"), unit="h", align=Align.RIGHT),
                 Column(title=tr("of the bare sum"), align=Align.RIGHT), Column(title=tr("with"))),
        rows=tuple(_step_row(identity, step, each.steps[0]) for step in each.steps),
        notes=(tr("Each line also counts all above it. Brackets hold the middle 95 % of 10,000 draws from the spreads "
                  "of prices, throughputs and machines of one kind."),
               tr("{origins}; a line has the least certain of its marks.", origins=_origins()), tr(NEVER_COUNTED)),
    )
    bars = Bars(
        id=f"bars.{identity}", title=tr("Own hours until it has paid"), unit="h", table=table.id,
        bars=tuple(
            Bar(label=f"{step.origin.mark} {tr(step.name)}", text=hours_in_words(step.hours), value=step.hours.value,
                low=step.hours.low, high=step.hours.high if math.isfinite(step.hours.high) else step.hours.value,
                values=(), origin=step.origin)
            for step in each.steps if math.isfinite(step.hours.value)
        ),
    )
    blocks: list[Block] = [*([bars] if bars.bars else []), table]
    if len(each.at_energy_prices) > 1:
        sentences = [tr("{price} a kWh: {hours} h", price=price, hours=_text(hours)) if math.isfinite(hours)
                     else tr("{price} a kWh: never", price=price) for price, hours in each.at_energy_prices.items()]
        blocks.append(Paragraph(text=tr("All else in the middle, by the price of electricity: {prices}.",
                                        prices="; ".join(sentences))))
    if each.per_million:
        sentences = [f"{tr(of)} {_text(amount)} {currency}" for of, amount in each.per_million.items()]
        blocks.append(Paragraph(text=tr("A million samples cost: {prices}.", prices="; ".join(sentences))))
    if each.left_out:
        blocks += [Paragraph(text=tr("Not counted here, and why:")), Items(texts=tuple(
            tr("{said}.", said=_capital(of.words)) for of in each.left_out))]
    reasons = [f"{of.candidate.id}: {reason}" for of in (each.own, each.rented) if of is not None
               for reason in of.reasons]
    notes = (each.build.build and each.build.build.note, each.offer.offer and each.offer.offer.note)
    sides = zip((each.build, each.offer), notes, strict=True)
    reasons += [f"{Origin.ENTERED.mark} {of.id}: {note}" for of, note in sides if note]
    if reasons:
        blocks += [Paragraph(text=tr("Where these figures come from:")), Items(texts=tuple(reasons))]
    title = tr("{build} against {offer}", build=each.build.id, offer=each.offer.id) + f", {_of_rental(each)}"
    return Section(id=f"steps.{identity}", title=title, blocks=tuple(blocks))


def _step_row(identity: str, step: Step, first: Step) -> Row:
    ratio = step.hours.value / first.hours.value if 0 < first.hours.value < math.inf else math.nan
    return Row(id=identifier(identity, step.name), cells=(
        Cell(text=f"{step.origin.mark} {tr(step.name)}"),
        Cell(text=hours_in_words(step.hours), value=step.hours.value if math.isfinite(step.hours.value) else None),
        Cell(text=formatting.times(ratio) if math.isfinite(ratio) else formatting.UNKNOWN,
             value=ratio if math.isfinite(ratio) else None),
        Cell(text=step.words),
    ))


# For the money --------------------------------------------------------------------------------------------------------


def _known(advice: Advice) -> list[Ranking]:
    return [ranking for ranking in advice.rankings if any(each.samples_per_s for each in ranking.rated)]


def _values(advice: Advice) -> list[Section]:
    shown = _known(advice)
    if not shown:
        return []
    if not any(_has_prices(each) for each in shown):
        return [Section(
            id="value", title=tr("How fast"), blocks=(
                Paragraph(text=tr("No price is given, so value for money is not known; hardware.toml states prices "
                                  "(docs/buy.md).")),
                Items(texts=tuple(_fastest(each) for each in shown)),
            ),
        )]
    verdicts = Verdicts(verdicts=tuple(
        Verdict(id=_ranked(each), subject=tr(KINDS[each.kind]), conditions=each.workload.in_words,
                standing=each.standing, sentences=(each.words,))
        for each in shown if _has_prices(each)
    ))
    text = tr("Better for the money is what is so in {clear:.0%} of draws (clear) or {likely:.0%} (likely); less is "
              "too close to call. Two machines of one kind differ too, by {spread:.0%} or so. Prices are counted, and "
              "electricity where it turns that; of a card not the machine around it, and no resale.",
              clear=CLEAR, likely=LIKELY, spread=UNIT_SPREAD)
    return [Section(id="value", title=tr("For the money"), blocks=(verdicts, Paragraph(text=text)))]


def _fastest(ranking: Ranking) -> str:
    """The fastest few for a workload, in a sentence."""
    fastest = sorted(_shown(ranking), key=lambda each: -each.samples_per_s.value if each.samples_per_s else 0.0)
    named = [f"{each.candidate.name} {_quantity(each.samples_per_s).text}" for each in fastest[:MOST_FASTEST]]
    more = [tr("{n} more", n=len(fastest) - MOST_FASTEST)] if len(fastest) > MOST_FASTEST else []
    return tr("{workload}, in {unit}: {speeds}.", workload=ranking.workload.in_words, unit=_unit(ranking),
              speeds=formatting.listed([*named, *more]))


def _has_prices(ranking: Ranking) -> bool:
    return any(each.candidate.money is not None for each in ranking.rated)


def _ranked(ranking: Ranking) -> str:
    return identifier("value", ranking.workload.label, ranking.kind.value)


def _value_section(ranking: Ranking, currency: str) -> Section:
    identity = _ranked(ranking)
    table = _value_table(ranking, currency, identity)
    bars = Bars(
        id=f"bars.{identity}", title=tr("Throughput"), unit=_unit(ranking), table=table.id,
        bars=tuple(_bar(each, each.samples_per_s) for each in ranking.rated if each.samples_per_s is not None),
    )
    shown, unknown = _shown(ranking), [each for each in ranking.rated if each.samples_per_s is None]
    explained = [*shown, *unknown[:MOST_UNKNOWN]]
    reasons = tuple(f"{each.candidate.name}: {reason}" for each in explained for reason in each.reasons if reason)
    origins = Fold(title=tr("Where these figures come from"), blocks=(Items(texts=reasons),))
    title = tr("{workload}: {kind}", workload=ranking.workload.in_words, kind=tr(KINDS[ranking.kind]))
    return Section(id=f"section.{identity}", title=title, blocks=(bars, table, origins))


def _unit(ranking: Ranking) -> str:
    """"samples/s"; of a family "times GeForce RTX 3090"."""
    return next((each.unit for each in ranking.rated if each.samples_per_s is not None), tr("samples/s"))


def _shown(ranking: Ranking) -> list[Rated]:
    """The candidates with a known throughput."""
    return [each for each in ranking.rated if each.samples_per_s is not None]


def _bar(each: Rated, speed: Quantity) -> Bar:
    cell = _quantity(speed)
    return Bar(label=f"{speed.origin.mark} {each.candidate.name}", text=cell.text, value=speed.value, low=speed.low,
               high=speed.high, values=() if speed.low is not None else (speed.value,), origin=speed.origin)


def _value_table(ranking: Ranking, currency: str, identity: str) -> Table:
    is_rented, has_prices = ranking.kind is Kind.RENTED, _has_prices(ranking)
    is_family, unit = isinstance(ranking.workload, Family), _unit(ranking)
    per, price = (unit if is_family else tr("samples"), f"{currency}/h") if is_rented else (unit, currency)
    columns = (
        Column(title=tr(HEADS[ranking.kind])),
        Column(title=tr("throughput"), unit=unit, align=Align.RIGHT),
        *((
            Column(title=tr("price"), unit=price, align=Align.RIGHT),
            Column(title=tr("for the money"), unit=tr("{samples} per {money}", samples=per,
                                                      money=f"{_scale(ranking):,} {currency}".removeprefix("1 ")),
                   align=Align.RIGHT),
            Column(title=tr("chance of best"), align=Align.RIGHT),
        ) if has_prices else ()),
        Column(title=tr("power of its devices"), unit="W", align=Align.RIGHT),
        *(() if is_family else (Column(title=tr("for the energy"), unit=tr("samples/J"), align=Align.RIGHT),)),
        Column(title=tr("memory"), unit=tr("GB each"), align=Align.RIGHT, is_detail=True),
        *((Column(title=tr("on the front"), is_detail=True),) if has_prices else ()),
        Column(title=tr("software"), is_detail=True),
    )
    return Table(
        id=f"table.{identity}", caption=tr("All figures, {workload}", workload=ranking.workload.in_words),
        columns=columns,
        rows=tuple(
            Row(id=identifier(identity, each.candidate.id), cells=_value_cells(
                each, has_prices, is_family, _scale(ranking)))
            for each in _shown(ranking)
        ),
        notes=(
            *_not_known([each.candidate.name for each in ranking.rated if each.samples_per_s is None]),
            *((tr("Each network is compared at equal batch and precision; the geometric mean of {n} is shown, with the "
                  "middle 80 % of them in brackets, each wider by what a prediction may be off. Yours may lie anywhere "
                  "in it; --model, --precision and --batch choose.", n=formatting.count(_counted(ranking), "ratio")),)
              if is_family else ()),
            tr("{origins}. Power marked {mark} is the rated one on paper, and what is computed from it is as "
               "uncertain.",
               origins=_origins(), mark=Origin.QUOTED.mark),
            *((tr("A candidate is on the front if no other beats it in price, throughput and memory together."),)
              if has_prices else ()),
        ),
    )


def _counted(ranking: Ranking) -> int:
    """The number of workloads behind the ratios of a family."""
    return max((len(each.samples_per_s.members) for each in ranking.rated
                if isinstance(each.samples_per_s, Sampled)), default=0)


def _not_known(names: Sequence[str]) -> list[str]:
    if not names:
        return []
    more = [tr("{n} more", n=len(names) - MOST_UNKNOWN)] if len(names) > MOST_UNKNOWN else []
    return [tr("No throughput is known of {names}.", names=formatting.listed([*names[:MOST_UNKNOWN], *more]))]


THOUSAND = 1000              # units of money for the ratio of a family; fewer would give only zeros


def _scale(ranking: Ranking) -> int:
    return THOUSAND if isinstance(ranking.workload, Family) and ranking.kind is not Kind.RENTED else 1


def _money_cells(each: Rated, scale: int) -> tuple[Cell, ...]:
    candidate, value = each.candidate, each.per_money
    return (
        _quantity(candidate.money, formatting.money) if candidate.money else Cell(text=tr("no price given")),
        Cell(text=tr("{value} ({low} to {high})", value=_text(scale * value.value), low=_text(scale * value.low),
                     high=_text(scale * value.high)), value=scale * value.value) if value
        else Cell(text=formatting.UNKNOWN),
        Cell(text=chance_in_words(each.chance), value=each.chance) if each.chance is not None
        else Cell(text=tr("too few trials") if each.is_few else formatting.UNKNOWN),
    )


def _value_cells(each: Rated, has_prices: bool, is_family: bool, scale: int) -> tuple[Cell, ...]:
    candidate = each.candidate
    mark = "" if each.power_origin is None else f"{each.power_origin.mark} "
    return (
        Cell(text=candidate.name),
        _quantity(each.samples_per_s),
        *(_money_cells(each, scale) if has_prices else ()),
        Cell(text=f"{mark}{_text(each.power_w)}", value=each.power_w),
        *(() if is_family else (Cell(text=f"{mark}{_text(each.per_watt)}", value=each.per_watt),)),
        Cell(text=formatting.UNKNOWN if candidate.memory_bytes is None else f"{candidate.memory_bytes / GIB:.0f}",
             value=candidate.memory_bytes),
        *((Cell(text=tr("yes") if each.is_on_front else formatting.UNKNOWN),) if has_prices else ()),
        Cell(text=each.software or formatting.UNKNOWN),
    )


# The other questions --------------------------------------------------------------------------------------------------


def _many(pairs: Sequence[OneOrMany]) -> Section | None:
    if not pairs:
        return None
    shown = sorted(pairs, key=lambda each: not (each.small.candidate.money and each.big.candidate.money))[:MOST_PAIRS]
    more = formatting.count(len(pairs) - len(shown), "pair")
    left = [Paragraph(text=tr("--json lists {pairs} more.", pairs=more))] if len(shown) < len(pairs) else []
    return Section(id="many", title=tr("One large or several small"), blocks=(Verdicts(verdicts=tuple(
        Verdict(
            id=identifier("many", each.workload.label, each.many.candidate.id, each.big.candidate.id),
            subject=tr("{n} {small} or one {big}", n=each.many.candidate.devices, small=each.small.candidate.name,
                       big=each.big.candidate.name),
            conditions=each.workload.in_words, standing=each.standing,
            sentences=(_capital(each.words),
                       *(tr("{said}.", said=_capital(reason)) for reason in each.many.reasons[-1:])),
        )
        for each in shown
    )), *left))


def _capital(words: str) -> str:
    return words[:1].upper() + words[1:]


def _cpu_or_gpu(comparisons: Sequence[CpuOrGpu]) -> Section | None:
    """Networks one by one if there are few, otherwise together."""
    if not comparisons:
        return None
    with_ratio = [each for each in comparisons if each.ratio is not None]
    without = [each for each in comparisons if each.ratio is None]
    texts = [_one_cpu_or_gpu(each) for own in (with_ratio, without) if len(own) <= MOST_SINGLE for each in own]
    if len(with_ratio) > MOST_SINGLE:
        ratios = np.array([each.ratio for each in with_ratio if each.ratio is not None])
        low, high = np.quantile(ratios, (0.1, 0.9))
        texts.append(tr(
            "{n}: of each the fastest GPU that is known does {times} ({low} to {high}) the samples/s of the CPU, at "
            "equal batch and precision; the geometric mean, and the middle 80 % of them.",
            n=formatting.count(len(with_ratio), "network"),
            times=formatting.times(float(np.exp(np.log(ratios).mean()))),
            low=formatting.significant(float(low)), high=formatting.significant(float(high))))
    if len(without) > MOST_SINGLE:
        texts.append(tr("Of {n} a CPU and a GPU are known, but none at one batch and precision, so no ratio is given; "
                        "measure both at one batch. One of them: {said}",
                        n=formatting.count(len(without), "network"), said=_one_cpu_or_gpu(without[0])))
    return Section(id="cpu", title=tr("CPU or GPU"), blocks=(Items(texts=tuple(texts)),))


def _one_cpu_or_gpu(each: CpuOrGpu) -> str:
    what = f"{each.cpu.workload.model} {word(each.cpu.workload.mode)}"
    if each.ratio is not None:
        return tr("{what}: {gpu} does {times} the samples/s of {cpu} at equal batch and precision ({workload}).",
                  what=what, gpu=_device(each.gpu), times=formatting.times(each.ratio), cpu=_device(each.cpu),
                  workload=each.gpu.workload.in_words)
    return tr("{what}: {gpu} with {workload}, and {cpu} with {other}, are not alike, so no ratio is given; measure "
              "both at one batch.", what=what, gpu=_device(each.gpu), workload=each.gpu.workload.in_words,
              cpu=_device(each.cpu), other=each.cpu.workload.in_words)


def _device(figure: Figure) -> str:
    speed = figure.samples_per_s
    return tr("{device} ({mark} {rate} samples/s, {software})", device=figure.device.name, mark=speed.origin.mark,
              rate=_text(speed.value), software=figure.software)


def _memory(memories: Sequence[Memory]) -> Section | None:
    if not memories:
        return None
    return Section(id="memory", title=tr("What fits into memory"), blocks=(Items(texts=tuple(
        tr("{mark} {subject}: {words}.", mark=each.origin.mark, words=each.words,
           subject=", ".join(filter(None, (each.subject, each.where)))) for each in memories
    )),))


HOLDS = {True: tr_later("holds"), False: tr_later("does not hold"), None: tr_later("not known")}


def _box(checks: Sequence[Check], links: Sequence[Linked]) -> Section | None:
    blocks = [*(_checked(checks) if checks else ()), *([_linked(links)] if links else ())]
    return Section(id="box", title=tr("Does the machine hold its cards"), blocks=tuple(blocks)) if blocks else None


def _linked(links: Sequence[Linked]) -> Items:
    return Items(texts=tuple(
        tr("{mark} {subject} {words}.", mark=Origin.MEASURED.mark, subject=each.subject, words=each.words)
        for each in links
    ))


def _checked(checks: Sequence[Check]) -> tuple[Block, ...]:
    failed = [each for each in checks if each.holds is False]
    text = tr("No check of these machines failed.") if not failed else " ".join(
        tr("{build} does not hold what is in it: {what}.", build=build, what=what)
        for build, what in in_words(failed).items())
    table = Table(
        id="table.box", caption=tr("Machines and what they must hold"),
        columns=(Column(title=tr("machine")), Column(title=tr("about")), Column(title=tr("answer")),
                 Column(title=tr("with"))),
        rows=tuple(
            Row(id=identifier("box", index, each.build, each.about), cells=(
                Cell(text=each.build), Cell(text=tr(each.about)), Cell(text=tr(HOLDS[each.holds])),
                Cell(text=f"{each.origin.mark} {each.words}"),
            ))
            for index, each in enumerate(checks)
        ),
        notes=(tr("Powers are those on paper; a measured power limit beats them. Peaks of 1.5x are an assumption about "
                  "boards since 2020, sources say 1.3x to 2x."),),
    )
    return (Paragraph(text=text), table)


def _heat(runs: Sequence[Held], *, asked: bool) -> Section | None:
    if not runs and not asked:
        return None
    texts = [_held(each) for each in runs] or [
        tr("No stored trial is long enough to show it: rigmark run with --min-time 600 makes one of ten minutes.")]
    return Section(id="heat", title=tr("Does it hold its speed"), blocks=(Items(texts=tuple(texts)),))


POWERED = {
    True: tr_later(" That was on battery, on which laptops are slower: measure it plugged in before it is judged."),
    False: tr_later(" That was on mains; on battery it may be slower."), None: "",
}


def _held(each: Held) -> str:
    text = tr("{mark} {subject} {answer}: after {minutes:.0f} minutes it does {share} of what it did in the first half "
              "minute.", mark=Origin.MEASURED.mark, subject=each.subject, answer=tr(each.endurance.words),
              minutes=each.endurance.duration_s / 60, share=formatting.share(each.endurance.ratio))
    causes = "".join(tr(" {cause}.", cause=_capital(cause)) for cause in each.causes)
    powered = POWERED[each.is_on_battery]
    return text + causes + (tr(powered) if powered else "")


def _doubts(advice: Advice) -> Section | None:
    texts = [*advice.doubts, *(tr("{said}.", said=_capital(problem)) for problem in advice.problems[:MOST_PROBLEMS])]
    texts += [] if advice.checks else [
        tr("{build} does not hold what is in it: {about} ({words}).", build=each.build, about=tr(each.about),
           words=each.words)
        for each in advice.failed_checks if each.build in {of.build.id for of in advice.rentals} | {
            of.candidate.id for ranking in advice.rankings for of in ranking.rated}
    ]
    if (more := len(advice.problems) - MOST_PROBLEMS) > 0:
        texts.append(tr("--json lists {n:,} more.", n=more))
    rated = [each for ranking in advice.rankings for each in ranking.rated]
    rated += [each for rental in advice.rentals for each in (rental.own, rental.rented) if each is not None]
    if any(each.origin is Origin.PREDICTED for each in rated):
        texts.append(tr(
            "{mark} Predicted figures come from data sheets and known cards. Tried on published tables, their range "
            "held the truth for all networks between neighbouring cards whose software is known, and for 84 to 98 % of "
            "them at a small batch or where software is not stated, of single cards for as few as 58 %. It says "
            "nothing of drivers and heat; docs/buy.md has the tables.", mark=Origin.PREDICTED.mark))
    return Section(id="doubts", title=tr("Doubts"), blocks=(Items(texts=tuple(texts)),)) if texts else None
