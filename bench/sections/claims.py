"""Common claims about deep learning: each claim with the results that test it, and how it is tested."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rigmark.bench.analysis.results.validity import Validity
from rigmark.bench.analysis.statistics.decision import FALSE_ALARMS, fewest_pairs
from rigmark.bench.claims import ClaimResult
from rigmark.bench.claims.claim import NO_INTERVAL, Answer, Claim, Standing
from rigmark.bench.document import formatting
from rigmark.bench.document.document import (
    Align,
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
)
from rigmark.bench.document.identifiers import identifier
from rigmark.bench.document.language import tr, tr_later, word

TITLE = tr_later("Are these claims true?")
SIGNS = {Standing.CONFIRMED: "✓", Standing.REFUTED: "✗", Standing.OPEN: "≈", Standing.UNTESTABLE: "–"}
SHOWN = 12                   # figures of one claim; of the rest only the number is shown


def document(tested: Sequence[ClaimResult]) -> Document:
    counts = {standing: sum(each.standing is standing for each in tested) for standing in Standing}
    summary = (
        formatting.count(len(tested), "claim"),
        *(tr("{n} {outcome}", n=count, outcome=word(standing)) for standing, count in counts.items() if count),
    )
    return Document(title=tr(TITLE), summary=summary, sections=tuple(_sections(tested)))


def section(tested: Sequence[ClaimResult]) -> Section | None:
    """Only claims that stored results test, since the others would dominate a report; None without such claims."""
    own = [each for each in tested if any(answer.origin is not Origin.ENTERED for answer in each.answers)]
    return Section(id="claims", title=tr(TITLE), sections=tuple(_sections(own))) if own else None


def _sections(tested: Sequence[ClaimResult]) -> Iterator[Section]:
    """Claims tested by results, by arithmetic, and not testable here, and how each is tested."""
    order = list(Standing)
    testable = [each for each in tested if each.standing is not Standing.UNTESTABLE]
    computed = [each for each in testable if all(answer.origin is Origin.ENTERED for answer in each.answers)]
    seen = sorted((each for each in testable if each not in computed), key=lambda each: order.index(each.standing))
    if seen:
        text = tr("Sentences that introductions repeat, tested against what is stored here. Confirmed: all figures, "
                  "with their intervals, lie where the sentence may still be called true. Refuted: all lie outside. "
                  "Open: figures disagree, or do not decide.")
        yield Section(
            id="claims.seen", title=tr("Tested against results"),
            blocks=(Paragraph(text=text), _table("table.claims.seen", tr("What results tell"), seen), _behind(seen)),
        )
    if computed:
        text = tr("Confirmed means that the figures in the sentence fit each other; nothing was measured for it.")
        yield Section(
            id="claims.computed", title=tr("Computed"),
            blocks=(Paragraph(text=text), _table("table.claims.computed", tr("What arithmetic tells"), computed),
                    _behind(computed)),
        )
    untold = [each for each in tested if each.standing is Standing.UNTESTABLE]
    if untold:
        yield Section(id="claims.untold", title=tr("Not testable here"), blocks=(_untold(untold),))
    yield Section(id="claims.how", title=tr("How each is tested"), blocks=(Fold(title=tr("All of them"), blocks=(Items(
        texts=tuple(_how(each) for each in tested), ids=tuple(f"how.{identifier(each.claim.id)}" for each in tested),
    ),)),))


def _behind(tested: Sequence[ClaimResult]) -> Fold:
    return Fold(title=tr("The figures behind it"), blocks=tuple(_figures(each) for each in tested))


def _table(id: str, caption: str, tested: Sequence[ClaimResult]) -> Table:
    marks = dict.fromkeys(answer.origin for each in tested for answer in each.answers)
    notes = ["; ".join(f"{origin.mark} {_origin(origin)}" for origin in marks) + "."]
    if Origin.QUOTED in marks:
        notes.append(tr(
            "Without an interval a published figure is taken as off by up to {published:g}x: it decides only where "
            "that leaves no choice.", published=NO_INTERVAL,
        ))
    if Origin.MEASURED in marks:
        notes.append(tr(
            "Brackets hold the 95 % interval. A measured figure decides as a verdict does, with {certainty:.0%} "
            "certainty and from {fewest} trials on.", certainty=1 - FALSE_ALARMS, fewest=fewest_pairs(1, 1),
        ))
    return Table(
        id=id, caption=caption, notes=tuple(notes),
        columns=(
            Column(title=tr("what they say")), Column(title=tr("outcome")),
            Column(title=tr("claimed"), align=Align.RIGHT), Column(title=tr("found here"), align=Align.RIGHT),
            Column(title=tr("by")),
        ),
        rows=tuple(
            Row(
                id=f"claim.{identifier(each.claim.id)}",
                cells=(
                    Cell(text=tr(each.claim.says)), Cell(text=f"{SIGNS[each.standing]} {word(each.standing)}"),
                    Cell(text=claimed(each), value=each.claim.value), Cell(text=answered(each)), Cell(text=each.why),
                ),
            )
            for each in tested
        ),
    )


def _untold(tested: Sequence[ClaimResult]) -> Table:
    return Table(
        id="table.claims.untold", caption=tr("What cannot be tested here"),
        columns=(Column(title=tr("what they say")), Column(title=tr("why it is not testable here"))),
        rows=tuple(
            Row(id=f"claim.{identifier(each.claim.id)}", cells=(Cell(text=tr(each.claim.says)), Cell(text=each.why)))
            for each in tested
        ),
    )


def _origin(origin: Origin) -> str:
    return tr("computed from the figures in the sentence") if origin is Origin.ENTERED else word(origin)


def claimed(each: ClaimResult) -> str:
    """"1.3x"; "at most 10 minutes" if only one end is claimed."""
    claim, unit = each.claim, each.unit
    if claim.value is not None:
        return _number(claim.value, unit, 6)
    return _band(claim, unit)


def _band(claim: Claim, unit: str) -> str:
    """The range of figures that confirm the claim: "1.15x to 1.5x"."""
    if claim.low is None or claim.high is None:
        if claim.high is not None:
            return tr("at most {n}", n=_number(claim.high, unit, 4))
        return formatting.UNKNOWN if claim.low is None else tr("at least {n}", n=_number(claim.low, unit, 4))
    return tr("{low} to {high}", low=_number(claim.low, unit, 5), high=_number(claim.high, unit, 5))


def answered(each: ClaimResult) -> str:
    """The figure with its interval; the range of several figures, by their origin."""
    parts = []
    for origin in dict.fromkeys(answer.origin for answer in each.answers):
        own = [answer for answer in each.answers if answer.origin is origin]
        if len(own) == 1:
            parts.append(f"{origin.mark} {figure(own[0], each.unit)}")
        else:
            low, high = min(a.value for a in own), max(a.value for a in own)
            parts.append(tr("{mark} {low} to {high} ({n} figures)", mark=origin.mark, low=_number(low, each.unit),
                            high=_number(high, each.unit), n=len(own)))
    return "; ".join(parts) or formatting.UNKNOWN


def figure(answer: Answer, unit: str) -> str:
    """"1.31x (1.27x to 1.35x)"; only the value if it has no interval or is exact."""
    if answer.low is None or answer.high is None or answer.low == answer.high:
        return _number(answer.value, unit, 6 if answer.low is not None else 3)
    return tr("{value} ({low} to {high})", value=_number(answer.value, unit), low=_number(answer.low, unit),
              high=_number(answer.high, unit))


def _number(value: float, unit: str, digits: int = 3) -> str:
    if unit == "share":
        return formatting.percent(value)
    number = formatting.significant(value, digits)
    if "." in number:
        number = number.rstrip("0").rstrip(".")
    return tr("{n}x", n=number) if unit == "x" else f"{number} {tr(unit)}".strip()


def _figures(each: ClaimResult) -> Table:
    shown = each.answers[:SHOWN]
    more = len(each.answers) - SHOWN
    notes = [tr("{n} more {n:figure is|figures are} in --json.", n=more)] if more > 0 else []
    return Table(
        id=f"table.claim.{identifier(each.claim.id)}",
        caption=tr("{claim} {outcome}: {why}", claim=tr(each.claim.says), outcome=word(each.standing), why=each.why),
        columns=(
            Column(title=tr("of")), Column(title=tr("figure"), align=Align.RIGHT),
            Column(title="n", align=Align.RIGHT), Column(title=tr("says")),
            Column(title=tr("remark"), is_detail=True),
        ),
        rows=tuple(
            Row(
                id=f"claim.{identifier(each.claim.id, index)}",
                cells=(
                    Cell(text=f"{answer.origin.mark} {answer.about}"),
                    Cell(text=figure(answer, each.unit), value=answer.value),
                    Cell(text=formatting.UNKNOWN if answer.count is None else str(answer.count)),
                    Cell(text=f"{SIGNS[answer.standing]} {tr(_SAYS[answer.standing])}"),
                    Cell(text="; ".join(filter(None, (
                        answer.doubt, word(Validity.SUSPECT) if answer.is_suspect else "", answer.remark,
                    )))),
                ),
            )
            for index, answer in enumerate(shown, start=1)
        ),
        notes=tuple(notes),
    )


_SAYS = {
    Standing.CONFIRMED: tr_later("yes"), Standing.REFUTED: tr_later("no"), Standing.OPEN: tr_later("neither"),
    Standing.UNTESTABLE: tr_later("neither"),
}


def _how(each: ClaimResult) -> str:
    claim = each.claim
    band = _band(claim, each.unit)
    return tr(
        "{claim} Tested by: {how}.{true}{note} ({source}; {id})", claim=tr(claim.says), how=tr(claim.how),
        true="" if band == formatting.UNKNOWN else tr(" It holds for {band}.", band=band),
        note=f" {tr(claim.note)}" if claim.note else "", source=tr(claim.source), id=claim.id,
    )
