"""The validity of trials, and the findings of a case that follow from those of its trials.

A trial is ``valid``, ``suspect`` (a WARNING: the machine may have been disturbed) or ``invalid`` (INVALID: its time
does not measure its case). Suspect trials count; invalid ones are left out, which is stated.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

import msgspec
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from rigmark.bench.analysis.results.findings import Finding, FindingKind, halves
from rigmark.bench.analysis.results.observed import Seen, seen
from rigmark.bench.analysis.results.telemetry_findings import RULES, TIMING_RULES, TrialFinding, has_frozen_power
from rigmark.bench.analysis.statistics.estimate import median
from rigmark.bench.document.language import tr
from rigmark.bench.store.stored import StoredRecord

MANY_TRIALS = 0.2            # share of the trials above which a finding of trials becomes one of the case: the estimate
                             # is robust against fewer (Hodges-Lehmann breaks down at 29 %; Hampel et al. 1986)
RATE_FALL = 1.05             # step time of the later half of the trials / that of the earlier half, as within a trial
FEWEST_FOR_FALL = 6          # trials


class Validity(StrEnum):
    VALID = "valid"
    SUSPECT = "suspect"
    INVALID = "invalid"


@dataclass(frozen=True, kw_only=True)
class Judged:
    """One trial with its findings."""

    seen: Seen
    findings: tuple[TrialFinding, ...]           # of RULES
    of_timings: tuple[TrialFinding, ...]         # of TIMING_RULES

    @property
    def validity(self) -> Validity:
        return validity(finding.kind for finding in (*self.findings, *self.of_timings))


def validity(kinds: Iterable[FindingKind]) -> Validity:
    """The validity that follows from findings of these kinds."""
    of_kind = set(kinds)
    if FindingKind.INVALID in of_kind:
        return Validity.INVALID
    return Validity.SUSPECT if FindingKind.WARNING in of_kind else Validity.VALID


def judge(trial: Mapping[str, Any]) -> Judged:
    """The findings about a successful row of the table of trials."""
    of = seen(trial)
    return Judged(
        seen=of, findings=tuple(finding for rule in RULES for finding in rule(of)),
        of_timings=tuple(finding for rule in TIMING_RULES for finding in rule(of)),
    )


def judge_record(record: StoredRecord) -> Judged:
    """As ``judge``, for a record that contains a measurement."""
    assert record.measurement is not None
    return judge({
        **record.identity.case.plain(), **msgspec.structs.asdict(record.measurement),
        "telemetry": record.telemetry, "system": record.system, "nodes": record.world and record.world.nodes,
    })


def without_invalid(trials: pd.DataFrame) -> pd.DataFrame:
    """The successful trials without invalid ones."""
    return trials[~is_invalid(trials)]


def is_invalid(trials: pd.DataFrame) -> NDArray[np.bool_]:
    """For each of these successful trials, whether it is invalid."""
    invalid = np.zeros(len(trials), bool)
    if "telemetry" in trials:
        watched = trials.telemetry.notna().to_numpy()      # only telemetry can make a trial invalid
        rows = ({str(name): fact for name, fact in row.items()} for row in trials[watched].to_dict("records"))
        invalid[watched] = [judge(row).validity is Validity.INVALID for row in rows]
    return invalid


def of_case(judged: Sequence[Judged]) -> tuple[Finding, ...]:
    """The findings about one case from its trials, in the order in which they ran.

    A finding of few trials becomes a note, since the estimate is robust against them.
    """
    counted = [each for each in judged if each.validity is not Validity.INVALID] or list(judged)
    doubtful = [*_left_out(judged), *_over(counted)]
    return (*doubtful, *rate_falling(counted), *system_changed(counted))


def doubts(judged: Sequence[Judged]) -> tuple[Finding, ...]:
    """The findings that make alike trials suspect, or exclude some of them, for callers that do not judge timings.

    Slower later trials are not among them: pairs and sessions already account for the order of trials.
    """
    counted = [each for each in judged if each.validity is not Validity.INVALID]
    every = [replace(each, findings=(*each.findings, *each.of_timings)) for each in counted]
    return tuple(finding for finding in (*_left_out(judged), *_over(every)) if finding.kind is not FindingKind.NOTE)


def why_invalid(judged: Iterable[Judged]) -> str:
    """Every reason once."""
    return "; ".join(dict.fromkeys(
        finding.text for each in judged for finding in each.findings if finding.kind is FindingKind.INVALID
    ))


def _left_out(judged: Sequence[Judged]) -> Iterator[Finding]:
    invalid = [each for each in judged if each.validity is Validity.INVALID]
    if not invalid:
        return
    reasons = why_invalid(invalid)
    if len(invalid) == len(judged):
        yield Finding(
            id="invalid_trials", kind=FindingKind.INVALID,
            text=tr(
                "{n:its only trial is|all {n} trials are} invalid; {n:its|their} figures are shown because there are "
                "no others ({reasons})",
                n=len(judged), reasons=reasons,
            ),
        )
    else:
        yield Finding(
            id="invalid_trials", kind=FindingKind.WARNING,
            text=tr(
                "{n} of {all} trials {n:is|are} invalid and left out of the figures ({reasons})", n=len(invalid),
                all=len(judged), reasons=reasons,
            ),
        )


def _over(judged: Sequence[Judged]) -> Iterator[Finding]:
    by: dict[str, list[TrialFinding]] = {}
    for each in judged:
        for name in dict.fromkeys(finding.id for finding in each.findings):
            of_trial = [finding for finding in each.findings if finding.id == name]
            by.setdefault(name, []).append(max(of_trial, key=_badness))
    for name, findings in by.items():
        worst = max(findings, key=_badness)
        share = len(findings) / len(judged)
        kind = worst.kind if share > MANY_TRIALS else FindingKind.NOTE
        where = "" if len(judged) == 1 else tr("in {n} of {all} trials, at worst: ", n=len(findings), all=len(judged))
        yield Finding(id=name, kind=kind, text=where + worst.text)


def _badness(finding: TrialFinding) -> tuple[bool, bool, float]:
    return (finding.kind is FindingKind.INVALID, finding.kind is FindingKind.WARNING, finding.size)


def rate_falling(judged: Sequence[Judged]) -> Iterator[Finding]:
    """Later trials were slower than earlier ones: the machine cannot keep its peak rate, like laptops in hot rooms."""
    medians = [median(each.seen.timings_s) for each in judged]
    if len(medians) >= FEWEST_FOR_FALL and (ratio := halves(medians)) > RATE_FALL:
        yield Finding(
            id="rate_falling", kind=FindingKind.WARNING,
            text=tr(
                "the later half of the trials took {ratio:.2f}x as long as the earlier: the machine does not sustain "
                "its peak rate; plug it in, cool it, let it rest between sweeps, and repeat", ratio=ratio,
            ),
        )


def system_changed(judged: Sequence[Judged]) -> Iterator[Finding]:
    systems = [each.seen.system for each in judged if each.seen.system]
    if len({system.fingerprint for system in systems}) > 1:
        names = sorted({name for system in systems for name in _differing(systems[0].known, system.known)})
        yield Finding(
            id="system_changed", kind=FindingKind.WARNING,
            text=tr(
                "the system was not the same for all trials ({names}); measure these cases again in a new session "
                "(--session)", names=", ".join(names) or tr("in facts not known"),
            ),
        )


def _differing(left: Any, right: Any, at: str = "") -> Iterator[str]:
    if isinstance(left, dict) and isinstance(right, dict):
        for name in sorted({*left, *right}):
            yield from _differing(left.get(name), right.get(name), f"{at}.{name}" if at else name)
    elif left != right:
        yield at


def reasons(trials: Iterable[tuple[Mapping[str, Any], Judged]]) -> str:
    """Each trial that is not valid with the reasons, as JSON."""
    return json.dumps([
        {
            "id": trial.get("id"), "repetition": int(trial["repetition"]), "validity": judged.validity,
            "findings": [
                {"id": finding.id, "kind": finding.kind, "text": finding.text}
                for finding in (*judged.findings, *judged.of_timings) if finding.kind is not FindingKind.NOTE
            ],
        }
        for trial, judged in trials if judged.validity is not Validity.VALID
    ])


# Energy of a case ---------------------------------------------------------------------------------------------------


def energy(judged: Sequence[Judged]) -> dict[str, Any]:
    """``power_w`` and ``energy_per_sample_j`` of the devices that did the work, as medians over trials, and the method.

    Devices are the GPUs that a trial used, or the processor packages for a trial on the CPU. A trial has no energy if
    that of one device is not known, if it is not known whether a device was used, or if it ran on several machines,
    since telemetry covers only the first one. All are None if no trial has any.
    """
    energies = []
    for each in judged:
        of = each.seen
        devices = tuple(of.of_kind("package")) if of.device.is_host else of.gpus
        if of.nodes > 1 or not all(device.is_used for device in devices):
            continue
        known = [
            (device.energy_j, device.duration_s, device.energy_method) for device in devices
            if device.energy_j is not None
            and not (has_frozen_power(device) and str(device.energy_method).startswith("power"))
        ]
        if devices and len(known) == len(devices) and known[0][1] > 0:
            joules = math.fsum(j for j, _, _ in known)
            per_sample_j = of.samples and joules / of.samples
            energies.append((joules / known[0][1], per_sample_j, {method for _, _, method in known}))
    if not energies:
        return dict.fromkeys(("power_w", "energy_per_sample_j", "energy_method"))
    per_sample = [joules for _, joules, _ in energies if joules is not None]
    methods = set().union(*(methods for _, _, methods in energies))
    return {
        "power_w": float(np.median([power for power, _, _ in energies])),
        "energy_per_sample_j": float(np.median(per_sample)) if per_sample else None,
        "energy_method": ", ".join(sorted(method for method in methods if method is not None)) or None,
    }
