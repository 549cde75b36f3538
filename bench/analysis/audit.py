"""Consistency checks of tables: typical mistakes of published tables, each a finding with its lines.

Every rule takes the lines of tables (see bench.analysis.results.quoted.rows, or ``measured``), and returns its findings
and the number of lines that it could check: a rule without such lines proves nothing.
"""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from rigmark.bench.analysis.results.findings import Finding, FindingKind
from rigmark.bench.analysis.results.quoted import Row, samples, step_time, throughput
from rigmark.bench.analysis.results.summary import ALIKE_COLUMNS, is_nothing
from rigmark.bench.document import formatting
from rigmark.bench.document.language import tr, tr_later, word
from rigmark.bench.enums import Mode, Outcome
from rigmark.bench.plan import axes
from rigmark.bench.store.quoted import FACTS, Source

ADDS_UP = 0.02               # of the total; means of ten passes, rounded to four digits, differ by less
WILD = 0.05                  # by which the mean may differ from the median: the smallest difference that counts
IDEAL = 1.05                 # of ideal scaling; beyond it something else than the number of devices has changed
AGREES = 1.05                # largest ratio of throughput x step time to batch
SHORTER = 0.9                # a larger batch cannot take less than this share of the time of a smaller one
SAME_CELLS = 2               # equal figures from which on a copy is suspected
SAME_DIGITS = 9              # and digits of them together: a coincidence happens once in 10^9
MOST_NAMED = 4               # lines that a sentence lists
OURS = Source(format="rigmark", file="", sha256="", imported_at="")


@dataclass(frozen=True, kw_only=True)
class TableFinding(Finding):
    lines: tuple[str, ...]           # names of the lines that it concerns


@dataclass(frozen=True, kw_only=True)
class RuleCheck:
    """What a rule checked."""

    rule: str
    about: str                       # what it checks, in words
    lines: int                       # number of lines that it could check
    why_none: str                    # what the other lines lack


@dataclass(frozen=True, kw_only=True)
class Audit:
    findings: tuple[TableFinding, ...]
    checks: tuple[RuleCheck, ...]
    lines: int


Peaks = Mapping[tuple[str, str], float]
"""Peak FLOP/s by (name of the device, precision)."""

Checked = tuple[int, list[TableFinding]]
Rule = Callable[[Sequence[Row], Peaks], Checked]


def audit(rows: Sequence[Row], peaks: Peaks | None = None) -> Audit:
    """The findings of all rules on some lines, perhaps of several tables; tables that differ are not compared."""
    findings, checks = [], []
    for name, about, why_none, rule in RULES:
        lines, doubts = rule(rows, peaks or {})
        checks.append(RuleCheck(rule=name, about=tr(about), lines=lines, why_none=tr(why_none)))
        findings += doubts
    order = list(FindingKind)
    findings.sort(key=lambda finding: -order.index(finding.kind))
    return Audit(findings=tuple(findings), checks=tuple(checks), lines=len(rows))


def measured_peaks(results: pd.DataFrame) -> dict[tuple[str, str], float]:
    """The highest FLOP/s of micro-benchmarks, by (device, precision)."""
    peaks: dict[tuple[str, str], float] = {}
    for row in results[results.kind == "limit"].to_dict("records"):
        if row["outcome"] == Outcome.OK and not is_nothing(row["flops_per_s"]) and not is_nothing(row["device_name"]):
            place = (str(row["device_name"]), str(row["precision"]))
            peaks[place] = max(peaks.get(place, 0.0), float(row["flops_per_s"]))
    return peaks


def measured(results: pd.DataFrame) -> list[dict[str, Any]]:
    """Our own results as lines of a table; the single timings are the medians of processes."""
    lines = []
    for result in results.to_dict("records"):
        if result["kind"] != "timing" or result["outcome"] != Outcome.OK:
            continue
        row = {str(name): None if _is_nothing(fact) else fact for name, fact in result.items()}
        conditions = {name: row[name] for name in ALIKE_COLUMNS if name not in (*FACTS, "origin")}
        timings = row.get("trial_step_times_s") or ()
        label = " ".join(str(row[name]) for name in axes.named_but("model", "mode"))
        lines.append({
            **{name: row.get(name) for name in FACTS}, "conditions": conditions, "timings_s": tuple(timings),
            "throughput_samples_per_s": row["throughput_samples_per_s"], "step_time_s": row["step_time_s"],
            "flops_per_sample": row["flops_per_sample"], "is_flops_of_mode": True, "table": "measured",
            "source": OURS,
            "name": tr("{model} {mode}, {setting}, {devices} x batch {batch}", model=row["model"],
                       mode=word(row["mode"]), setting=label, devices=row["world_size"], batch=row["local_batch"]),
        })
    return lines


def _is_nothing(fact: Any) -> bool:
    return not isinstance(fact, list | tuple | np.ndarray) and is_nothing(fact)


# What makes lines alike ----------------------------------------------------------------------------------------------


def _key(row: Row, without: Iterable[str] = ()) -> tuple[Any, ...]:
    """The facts that distinguish results, without some of them; tables of the same format count as one table."""
    left = set(without)
    conditions = {name: fact for name, fact in row["conditions"].items() if name not in left}
    facts = tuple(None if name in left else row.get(name) for name in FACTS)
    return row["source"].format, facts, json.dumps(conditions, sort_keys=True, default=str)


def _alike(rows: Iterable[Row], without: Iterable[str]) -> list[list[Row]]:
    left = tuple(without)
    groups: dict[tuple[Any, ...], list[Row]] = {}
    for row in rows:
        groups.setdefault(_key(row, left), []).append(row)
    return list(groups.values())


def _named(rows: Sequence[Row]) -> str:
    names = [str(row["name"]) for row in rows]
    more = len(names) - MOST_NAMED
    return "; ".join(names[:MOST_NAMED]) + (tr("; and {n:,} more", n=more) if more > 0 else "")


def _finding(id: str, kind: FindingKind, text: str, rows: Sequence[Row]) -> TableFinding:
    return TableFinding(id=id, kind=kind, text=text, lines=tuple(str(row["name"]) for row in rows))


def _many(id: str, kind: FindingKind, hits: Sequence[tuple[Row, str]], what: str, advice: str) -> list[TableFinding]:
    """One finding for all lines with the same mistake: "what: line (how much), line (how much); advice"."""
    if not hits:
        return []
    text = tr(
        "{what} in {count}: {shown}{more}. {advice}", what=what, count=formatting.count(len(hits), "line"),
        shown="; ".join(tr("{line} ({how})", line=row["name"], how=how) for row, how in hits[:MOST_NAMED]),
        more=tr("; and {n:,} more", n=len(hits) - MOST_NAMED) if len(hits) > MOST_NAMED else "", advice=advice,
    )
    return [_finding(id, kind, text, [row for row, _ in hits])]


def _half_unit(row: Row, name: str) -> float:
    """The rounding error of a stated figure: half a unit of its last digit, if that matters, else 0."""
    return float((row.get("rounding") or {}).get(name, 0.0))


def _rounded_away(row: Row) -> float:
    """The relative rounding error of a throughput."""
    name = "throughput_samples_per_s" if row.get("throughput_samples_per_s") else "step_time_s"
    stated = row.get(name)
    return _half_unit(row, name) / float(stated) if stated and stated > 0 else 0.0


def _time(time_s: float) -> str:
    return formatting.with_unit(time_s, formatting.time_unit([time_s]))


# Rules --------------------------------------------------------------------------------------------------------------


def zero_for_missing(rows: Sequence[Row], peaks: Peaks) -> Checked:
    hits = []
    for row in rows:
        strange = [
            tr("{name} is {value:g}", name=name, value=value) for name, value in row.items()
            if isinstance(value, int | float) and not isinstance(value, bool) and value <= 0
        ]
        strange += [
            tr("{name} has {n} of {all} at 0 or below", name=name, n=sum(value <= 0 for value in row[name]),
               all=len(row[name]))
            for name in ("timings_s", "forward_timings_s", "backward_timings_s")
            if any(value <= 0 for value in row.get(name) or ())
        ]
        if strange:
            hits.append((row, ", ".join(strange)))
    return len(rows), _many(
        "zero_for_missing", FindingKind.INVALID, hits, tr("a figure of 0 or below stands"),
        tr("Nothing takes no time: read it as not measured, and leave it out of every mean"),
    )


def duplicate_keys(rows: Sequence[Row], peaks: Peaks) -> Checked:
    findings = []
    repeated: dict[tuple[Any, ...], list[Row]] = {}
    for row in rows:
        repeated.setdefault((row.get("measured_at"), *_key(row)), []).append(row)
    for alike in repeated.values():
        if len(alike) < 2:
            continue
        figures = [figure for row in alike if (figure := throughput(row) or step_time(row) or _figure(row))]
        spread = max(figures) / min(figures) if len(figures) > 1 and min(figures) > 0 else 1.0
        is_known = len(figures) == len(alike)
        kind = FindingKind.NOTE if spread < 1 + WILD and is_known else FindingKind.WARNING
        differ = tr("whose figures differ by {times}", times=formatting.times(spread)) if spread > 1 \
            else tr("with equal figures") if is_known \
            else tr("of which {n} state no figure", n=len(alike) - len(figures))
        findings.append(_finding(
            "duplicate_keys", kind,
            tr("{n} lines are about the same thing, {differ}: {lines}. Which of them counts must not depend on their "
               "order: find how they differ, or keep all and say so",
               n=len(alike), differ=differ, lines=_named(alike)), alike,
        ))
    return len(rows), findings


def parts_do_not_add_up(rows: Sequence[Row], peaks: Peaks) -> Checked:
    """Checks forward plus backward against the whole, and layers against their pass."""
    hits: list[tuple[Row, str]] = []
    checked = 0
    for row in rows:
        parts = list(_parts(row))
        checked += bool(parts)
        wrong = [
            tr("{what} {parts}, stated {total}", what=what, parts=_time(parts_s), total=_time(total_s))
            for what, parts_s, total_s, half_units_s in parts
            if abs(parts_s - total_s) > ADDS_UP * total_s + half_units_s
        ]
        if wrong:
            hits.append((row, "; ".join(wrong)))
    return checked, _many(
        "parts_do_not_add_up", FindingKind.WARNING, hits, tr("parts do not add up to the whole"),
        tr("One of the numbers is of something else, or slipped: go back to the raw log"),
    )


def _parts(row: Row) -> Iterator[tuple[str, float, float, float]]:
    """(what, sum of the parts, stated whole, rounding error of the difference), if both are stated."""
    forward_s, backward_s, total_s = (_stated_time(row, name) for name in ("forward", "backward", "step"))
    if forward_s and backward_s and total_s and row.get("mode") == Mode.TRAINING:
        half_units_s = math.fsum(_half_unit(row, f"{part}_time_s") for part in ("forward", "backward", "step"))
        yield tr("forward and backward"), forward_s + backward_s, total_s, half_units_s
    lists = [row.get(name) or () for name in ("forward_timings_s", "backward_timings_s", "timings_s")]
    if all(lists) and len({len(each) for each in lists}) == 1:
        worst = max(zip(*lists, strict=True), key=lambda each: abs(each[0] + each[1] - each[2]) / max(each[2], 1e-12))
        if worst[2] > 0:
            yield tr("forward and backward of one pass"), worst[0] + worst[1], worst[2], 0.0
    for direction, whole_s in (("forward", forward_s), ("backward", backward_s)):
        layers_s = math.fsum(each["time_s"] for each in row.get("layers") or () if each["direction"] == direction)
        # If layers add up to less than the pass, the rest is unattributed; they cannot add up to more.
        if layers_s and whole_s and layers_s > whole_s:
            half_unit_s = _half_unit(row, f"{direction}_time_s")
            yield tr("layers {direction}", direction=word(direction)), layers_s, whole_s, half_unit_s


def _stated_time(row: Row, part: str) -> float | None:
    """The stated time, or else the mean of the timings, since means of parts add up, but medians need not."""
    stated = row.get(f"{part}_time_s")
    timings_s = row.get("timings_s" if part == "step" else f"{part}_timings_s") or ()
    time_s = stated if stated is not None else float(np.mean(timings_s)) if timings_s else None
    return time_s if time_s and time_s > 0 else None


def wild_pass(rows: Sequence[Row], peaks: Peaks) -> Checked:
    """Checks the mean against the median."""
    hits: list[tuple[Row, str]] = []
    checked = 0
    for row in rows:
        timings_s = [t for t in row.get("timings_s") or () if t > 0]
        mean_s, middle_s = (row.get("step_time_s"), row.get("median_time_s")) if row.get("statistic") == "mean" \
            else (None, None)
        half_units_s = _half_unit(row, "step_time_s") + _half_unit(row, "median_time_s")
        if len(timings_s) >= 3:
            mean_s, middle_s, half_units_s = float(np.mean(timings_s)), float(np.median(timings_s)), 0.0
        if not mean_s or not middle_s:
            continue
        checked += 1
        if abs(mean_s - middle_s) > WILD * middle_s + half_units_s:
            farthest = max(range(len(timings_s)), key=lambda i: abs(math.log(timings_s[i] / middle_s)), default=None)
            which = "" if farthest is None else tr(
                ", pass {index} of {n} took {times} the median", index=farthest + 1, n=len(timings_s),
                times=formatting.times(timings_s[farthest] / middle_s),
            )
            hits.append((row, tr("mean {mean}, median {median}{which}", mean=_time(mean_s), median=_time(middle_s),
                                 which=which)))
    return checked, _many(
        "wild_pass", FindingKind.WARNING, hits, tr("the mean is not the middle"),
        tr("A few passes make the mean: use the median, and look for what happened in them"),
    )


def per_sample_not_per_batch(rows: Sequence[Row], peaks: Peaks) -> Checked:
    """Checks that throughput, step time and batch agree."""
    mistaken: list[tuple[Row, str]] = []
    unlike: list[tuple[Row, str]] = []
    checked = 0
    for row in rows:
        rate, time_s, batch = row.get("throughput_samples_per_s"), row.get("step_time_s"), samples(row)
        if not rate or not time_s or not batch or min(rate, time_s) <= 0:
            continue
        checked += 1
        in_a_step = rate * time_s
        rates = [rate + sign * _half_unit(row, "throughput_samples_per_s") for sign in (-1, 1)]
        times_s = [time_s + sign * _half_unit(row, "step_time_s") for sign in (-1, 1)]
        least, most = rates[0] * times_s[0] / AGREES, rates[1] * times_s[1] * AGREES
        if least <= batch <= most:
            continue
        if batch > 1 and least <= 1 <= most:
            mistaken.append((row, tr(
                "{time} at batch {batch}, which takes {expected} at {rate} samples/s", time=_time(time_s), batch=batch,
                expected=_time(batch / rate), rate=formatting.significant(rate),
            )))
        else:
            unlike.append((row, tr("throughput x step time is {samples} samples, not {batch}",
                                   samples=formatting.significant(in_a_step), batch=batch)))
    findings = _many(
        "per_sample_not_per_batch", FindingKind.INVALID, mistaken, tr("a time per sample stands for that of a batch"),
        tr("Multiply it by the batch before it is compared with anything"),
    )
    findings += _many(
        "throughput_and_time_disagree", FindingKind.WARNING, unlike,
        tr("throughput and step time do not fit the batch"),
        tr("They are of different runs, batches or numbers of devices: use one of them, and say which"),
    )
    more, of_batches = _time_falls(rows)
    return checked + more, findings + of_batches


def _time_falls(rows: Sequence[Row]) -> tuple[int, list[TableFinding]]:
    """If only times are stated: a step with a larger batch cannot be shorter."""
    findings, checked = [], 0
    timed = [row for row in rows if row.get("local_batch") and step_time(row)]
    timed = [row for row in timed if not row.get("throughput_samples_per_s")]
    for alike in _alike(timed, ("local_batch",)):
        steps = sorted(alike, key=lambda row: int(row["local_batch"]))
        if len({row["local_batch"] for row in steps}) < 2:
            continue
        checked += len(steps)
        small, large = steps[0], steps[-1]
        ratio = (step_time(large) or 0.0) / (step_time(small) or math.inf)
        if ratio * (1 + _rounded_away(large)) < SHORTER * (1 - _rounded_away(small)):
            findings.append(_finding(
                "per_sample_not_per_batch", FindingKind.INVALID,
                tr("a step of batch {large} takes {times} the time of batch {small}: {lines}. Its time is that of a "
                   "sample, not of a batch", large=large["local_batch"], times=formatting.times(ratio),
                   small=small["local_batch"], lines=_named([small, large])),
                [small, large],
            ))
    return checked, findings


def scaling_above_ideal(rows: Sequence[Row], peaks: Peaks) -> Checked:
    """Checks more devices against the fewest, with the same local batch (weak) or global batch (strong)."""
    hits: dict[str, tuple[Row, str]] = {}
    checked: set[str] = set()
    known = [row for row in rows if row.get("world_size") and throughput(row)]
    for alike in _alike(known, axes.OF_WORLD):
        for small, large in itertools.combinations(sorted(alike, key=lambda row: int(row["world_size"])), 2):
            size = int(large["world_size"]) / int(small["world_size"])
            is_same_work = large.get("local_batch") == small.get("local_batch") or samples(large) == samples(small)
            if size <= 1 or not is_same_work:
                continue
            checked |= {str(small["name"]), str(large["name"])}
            speed_up = (throughput(large) or 0.0) / (throughput(small) or math.inf)
            if speed_up * (1 - _rounded_away(large)) > IDEAL * size * (1 + _rounded_away(small)):
                hits.setdefault(str(large["name"]), (
                    large, tr("{devices} devices do {times} of {fewer}, {share} of ideal", devices=large["world_size"],
                              times=formatting.times(speed_up), fewer=small["world_size"],
                              share=formatting.share(speed_up / size)),
                ))
    return len(checked), _many(
        "scaling_above_ideal", FindingKind.WARNING, list(hits.values()),
        tr("devices do more than their number"),
        tr("The figure of the fewer is too low, the other is of another batch or unit, or a cache began to suffice: "
           "measure both again"),
    )


def copied_lines(rows: Sequence[Row], peaks: Peaks) -> Checked:
    """Equal figures of different things: equal raw timings, or most figures of two devices, networks, ... equal."""
    findings = []
    same: dict[tuple[Any, ...], list[Row]] = {}
    for row in rows:
        raw = tuple(row.get("timings_s") or ())
        if len(raw) >= 3 and len(set(raw)) > 1:
            same.setdefault(raw, []).append(row)
    for alike in same.values():
        if len(alike) > 1:
            findings.append(_finding(
                "copied_lines", FindingKind.INVALID,
                tr("{n} lines hold the same {timings} timings to the last digit: {lines}. No clock does that twice: "
                   "keep the one whose log is there", n=len(alike), timings=len(alike[0]["timings_s"]),
                   lines=_named(alike)), alike,
            ))
    checked = {str(row["name"]) for of in same.values() for row in of}
    for fact in FACTS:
        names, doubts = _copied_along(rows, fact)
        checked |= names
        findings += doubts
    return len(checked), findings


def _copied_along(rows: Sequence[Row], fact: str) -> tuple[set[str], list[TableFinding]]:
    """Two values of a fact with mostly equal figures, all else equal."""
    stated = [row for row in rows if row.get(fact) is not None and _figure(row)]
    pairs: dict[tuple[Any, ...], list[tuple[Row, Row]]] = {}
    names: set[str] = set()
    for alike in _alike(stated, (fact,)):
        if not 2 <= len(alike) <= 50:    # among more values, such as a thousand networks, some are equal by chance
            continue
        names |= {str(row["name"]) for row in alike}
        for one, other in itertools.combinations(alike, 2):
            if one[fact] != other[fact]:
                pairs.setdefault((one["source"].format, *sorted(map(str, (one[fact], other[fact])))), []).append(
                    (one, other))
    findings = []
    for (_, first, second), cells in pairs.items():
        compared = [(one, other, name) for one, other in cells for name in _independent(one, other)]
        equal = [(one, other, name) for one, other, name in compared if one[name] == other[name]]
        digits = sum(_digits(one[name]) for one, _, name in equal)
        if len(equal) >= SAME_CELLS and digits >= SAME_DIGITS and 2 * len(equal) >= len(compared):
            lines = list({str(row["name"]): row for one, other, _ in equal for row in (one, other)}.values())
            findings.append(_finding(
                "copied_lines", FindingKind.INVALID,
                tr("{n} of {all} figures of {fact} {first} are those of {second}, digit by digit: {lines}. One of them "
                   "was copied: find the log of each", n=len(equal), all=len(compared), fact=fact, first=first,
                   second=second, lines=_named(lines)), lines,
            ))
    return names, findings


def _figure(row: Row) -> Any:
    """The main figure of a line, as stated."""
    names = ("throughput_samples_per_s", "step_time_s", "value", "latency_p50_s", "latency_p90_s", "latency_p99_s")
    return next((row[name] for name in names if row.get(name)), None)


def _independent(one: Row, other: Row) -> tuple[str, ...]:
    """The names of figures that both lines state, and that do not follow from each other."""
    parts = ("forward_time_s", "backward_time_s")
    if all(row.get(name) for row in (one, other) for name in parts):
        return parts
    names = ("throughput_samples_per_s", "step_time_s", "value")
    return next(((name,) for name in names if one.get(name) and other.get(name)), ())


def _digits(number: float) -> int:
    """The significant digits of a stated number; trailing zeros do not count."""
    mantissa = f"{float(number):.12g}".partition("e")[0]
    return len(mantissa.replace(".", "").replace("-", "").strip("0"))


def above_roofline(rows: Sequence[Row], peaks: Peaks) -> Checked:
    """Checks the FLOP/s that the stated rate needs against the peak of the device."""
    hits: list[tuple[Row, str]] = []
    checked = 0
    for row in rows:
        rate, flops = throughput(row), row.get("flops_per_sample")
        peak = peaks.get((str(row.get("device_name")), str(row.get("precision"))))
        if not rate or not flops or not peak:
            continue
        checked += 1
        # Tables state the FLOPs of a forward pass; backward needs about twice as many (Kaplan et al. 2020, 2.1).
        needed = flops * (3 if row.get("mode") == Mode.TRAINING and not row.get("is_flops_of_mode") else 1)
        reached, most = rate * needed, peak * int(row.get("world_size") or 1)
        rounded_away = _rounded_away(row) + _half_unit(row, "flops_per_sample") / flops
        if reached * (1 - rounded_away) > most:
            unit = formatting.rate_unit([reached], "FLOP/s")
            hits.append((row, tr("{reached}, peak {peak}", reached=formatting.with_unit(reached, unit),
                                 peak=formatting.with_unit(most, unit))))
    return checked, _many(
        "above_roofline", FindingKind.WARNING, hits, tr("more FLOP/s than the device can do"),
        tr("Its FLOPs, precision or device is not what it says, or its algorithm needs fewer than the definition"),
    )


RULES: tuple[tuple[str, str, str, Rule], ...] = (
    ("zero_for_missing", tr_later("no figure is 0 or below"), tr_later("there are no lines"), zero_for_missing),
    ("duplicate_keys", tr_later("no two lines are about the same thing"), tr_later("there are no lines"),
     duplicate_keys),
    ("parts_do_not_add_up", tr_later("forward and backward make the whole; layers are within it"),
     tr_later("no line states forward, backward and the whole"), parts_do_not_add_up),
    ("wild_pass", tr_later("the mean is the middle"),
     tr_later("no line has three timings, or a mean and a median"), wild_pass),
    ("per_sample_not_per_batch", tr_later("throughput, step time and batch are one fact"),
     tr_later("no line states all three, nor times of two batches"), per_sample_not_per_batch),
    ("scaling_above_ideal", tr_later("N devices do no more than N times one"),
     tr_later("no lines differ in the number of devices only"), scaling_above_ideal),
    ("copied_lines", tr_later("no figures are copied from another line"),
     tr_later("no lines differ in one fact only"), copied_lines),
    ("above_roofline", tr_later("no FLOP/s above the peak"),
     tr_later("no line has FLOPs and a device whose peak is known (--peak NAME=FLOP/s)"), above_roofline),
)
"""Name, what it checks, what lines lack that it cannot check, rule."""
