"""Findings with numbers throughout a report: tables refer to them, and equal ones are stated once."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from rigmark.bench.analysis.results.findings import Finding
from rigmark.bench.analysis.statistics.estimate import FEWEST_FOR_INTERVAL
from rigmark.bench.document import formatting
from rigmark.bench.document.document import Block, Fold, Items, Note, Paragraph, Section
from rigmark.bench.document.identifiers import identifier
from rigmark.bench.document.language import tr, tr_later
from rigmark.bench.sections.groups import Entry, Group

MOST_NAMED = 12              # results of one finding
FEWEST_COMMON = 3            # results, more than half of which must have a finding that is stated once for all
Row = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Doubt:
    """One finding and the results that it weakens."""

    note: Note
    text: str
    about: list[str] = field(default_factory=list)
    single: dict[str, list[str]] = field(default_factory=dict)   # if it is common: results by their own texts

    @property
    def is_common(self) -> bool:
        """Whether it holds for most results, as if the machine was disturbed all the time."""
        return bool(self.single)


@dataclass(frozen=True, kw_only=True)
class Common:
    """The text of a finding that is stated once for most results."""

    text: str                                            # for tr: {n} of {all} results, {range} of their sizes
    size: Callable[[Row], float | None] = lambda row: None
    words: Callable[[float], str] = formatting.share


def _share_of_trials(name: str) -> Callable[[Row], float | None]:
    """The share of the trials of a result that have this finding; None if no single trial has it."""
    def share(row: Row) -> float | None:
        doubted = json.loads(row["trial_findings"] or "[]")
        having = sum(any(finding["id"] == name for finding in trial["findings"]) for trial in doubted)
        every = max(int(row["trials"]) + int(row["invalid_trials"] or 0), len(doubted))
        return having / every if having else None

    return share


def _width(row: Row) -> float | None:
    low, high = row["step_time_low_s"], row["step_time_high_s"]
    return None if low is None or high is None else high / low - 1


COMMON: Mapping[str, Common] = {
    "contended": Common(
        text=tr_later(
            "Other work disturbed {n} of {all} results, in {range} of {n:its|their} trials; stop it and repeat."
        ),
        size=_share_of_trials("contended"),
    ),
    "drifting": Common(
        text=tr_later(
            "Step times moved within trials of {n} of {all} results, in {range} of {n:its|their} trials; a longer "
            "warm-up or a quieter machine would help."
        ),
        size=_share_of_trials("drifting"),
    ),
    "wide_interval": Common(
        text=tr_later(
            "The {n:interval|intervals} of {n} of {all} results {n:spans|span} {range}; more repetitions or a quieter "
            "machine would narrow {n:it|them}."
        ),
        size=_width,
    ),
    "few_trials": Common(
        text=tr_later(
            "{n} of {all} results {n:has|have} too few trials for an interval ({range}); repeat at least {fewest} "
            "times (--repetitions)."
        ),
        size=lambda row: float(row["trials"]), words=lambda trials: f"{trials:.0f}",
    ),
    "rate_falling": Common(text=tr_later(
        "In {n} of {all} results later trials were slower than earlier ones: the machine does not sustain its peak "
        "rate; cool it, let it rest between sweeps, and repeat."
    )),
    "throttled": Common(
        text=tr_later(
            "Clocks were reduced in {n} of {all} results, in {range} of {n:its|their} trials; cool the devices, check "
            "their power, and repeat."
        ),
        size=_share_of_trials("throttled"),
    ),
    "cgroup_limit": Common(
        text=tr_later(
            "The quota of the control group stopped processes in {n} of {all} results, in {range} of {n:its|their} "
            "trials; lift it, or use fewer threads."
        ),
        size=_share_of_trials("cgroup_limit"),
    ),
    "swap": Common(
        text=tr_later(
            "Memory went to or from swap in {n} of {all} results, in {range} of {n:its|their} trials; free memory "
            "and repeat."
        ),
        size=_share_of_trials("swap"),
    ),
    "on_battery": Common(
        text=tr_later(
            "{n} of {all} results {n:was|were} measured on battery, in {range} of {n:its|their} trials; plug it in and "
            "repeat."
        ),
        size=_share_of_trials("on_battery"),
    ),
    "governor": Common(text=tr_later(
        "Cores followed a governor that changes their clock with load in {n} of {all} results; sudo cpupower "
        "frequency-set --governor performance"
    )),
    "system_changed": Common(text=tr_later(
        "The system was not the same for all trials of {n} of {all} results; measure {n:it|these} again in a new "
        "session (--session)."
    )),
}
"""Findings about the machine or the plan, which may hold for most results alike. Others stay with each result."""


def doubts(
    groups: Sequence[Group], of_layers: Sequence[tuple[str, Sequence[Finding]]] = ()
) -> dict[tuple[str, str], Doubt]:
    """Every different finding by (id, text), numbered in the order of the report, those of most results first.

    ``of_layers`` are (what it is about, findings) of per-layer profiles.
    """
    by_finding: dict[tuple[str, str], Doubt] = {}
    every = [
        (about(entry, group), name, text)
        for group in groups for entry in group.entries for name, text in findings_of(entry.row)
    ]
    common = _common([entry.row for group in groups for entry in group.entries if entry.has_figures])
    for number, (name, sentence) in enumerate(common.items(), start=1):
        doubt = Doubt(note=Note(number=number, id=f"finding.{identifier(name)}"), text=sentence)
        for case, own, text in every:
            if own == name:
                by_finding[name, text] = doubt
                doubt.single.setdefault(text, []).append(case)
    every = [(case, name, text) for case, name, text in every if name not in common]
    every += [(case, finding.id, finding.text) for case, findings in of_layers for finding in findings]
    number = len(common)
    for case, name, text in every:
        if (name, text) not in by_finding:
            number += 1
            by_finding[name, text] = Doubt(note=Note(number=number, id=f"finding.{identifier(name, text)}"), text=text)
        if case not in by_finding[name, text].about:
            by_finding[name, text].about.append(case)
    return by_finding


def _common(rows: Sequence[Row]) -> dict[str, str]:
    """{id: the sentence that states it once} for each finding of COMMON that more than half of these results have."""
    having: dict[str, list[Row]] = {}
    for row in rows:
        for name in dict.fromkeys(name for name, _ in findings_of(row)):
            having.setdefault(name, []).append(row)
    return {
        name: tr(
            each.text, n=len(having[name]), all=len(rows), fewest=FEWEST_FOR_INTERVAL,
            range=_range([size for size in map(each.size, having[name]) if size is not None], each.words),
        )
        for name, each in COMMON.items()
        if len(having.get(name, ())) >= FEWEST_COMMON and 2 * len(having[name]) > len(rows)
    }


def _range(sizes: Sequence[float], words: Callable[[float], str]) -> str:
    """"25 % to 100 %"; one value if both ends are equal."""
    ends = dict.fromkeys(words(size) for size in (min(sizes), max(sizes))) if sizes else [formatting.UNKNOWN]
    return tr("{low} to {high}", low=next(iter(ends)), high=[*ends][1]) if len(ends) > 1 else "".join(ends)


def common(by_finding: Mapping[tuple[str, str], Doubt]) -> dict[str, Doubt]:
    """The findings that hold for most results, by id."""
    return {name: doubt for (name, _), doubt in by_finding.items() if doubt.is_common}


def about(entry: Entry, group: Group) -> str:
    """The subject of a finding in words."""
    return f"{entry.label} {group.subject} ({group.conditions})"


def findings_of(row: Mapping[str, Any]) -> list[tuple[str, str]]:
    """(id, text) of each finding about a result."""
    names = [name for name in (row["findings"] or "").split(",") if name]
    texts = json.loads(row["finding_texts"] or "[]")
    return list(zip(names, texts, strict=True))


def section(by_finding: Mapping[tuple[str, str], Doubt]) -> Section:
    """All findings with number and subject; first those of most results, with their single texts folded."""
    every = list({doubt.note.number: doubt for doubt in by_finding.values()}.values())
    shared, own = ([doubt for doubt in every if doubt.is_common is wanted] for wanted in (True, False))
    blocks: list[Block] = []
    if shared:
        single = [_about(doubt, text, cases) for doubt in shared for text, cases in doubt.single.items()]
        blocks += [
            _items(shared, [f"[{doubt.note.number}] {doubt.text}" for doubt in shared]),
            Fold(title=tr("The same, result by result"), blocks=(Items(texts=tuple(single)),)),
        ]
    if own:
        blocks.append(_items(own, [_about(doubt, doubt.text, doubt.about) for doubt in own]))
    if not blocks:
        blocks = [Paragraph(text=tr("Nothing was found that would weaken these results."))]
    return Section(id="findings", title=tr("Findings"), blocks=tuple(blocks))


def _items(of: Sequence[Doubt], texts: Sequence[str]) -> Items:
    return Items(texts=tuple(texts), ids=tuple(doubt.note.id for doubt in of))


def _about(doubt: Doubt, text: str, cases: Sequence[str]) -> str:
    return tr("[{n}] {finding}. This is about: {cases}.", n=doubt.note.number, finding=text, cases=_named(cases))


def _named(cases: Sequence[str]) -> str:
    more = len(cases) - MOST_NAMED
    text = tr("; and {n:,} more with the same number", n=more) if more > 0 else ""
    return "; ".join(cases[:MOST_NAMED]) + text
