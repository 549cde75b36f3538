"""Verdicts from stored pairs: the same that ``rigmark ab`` gave when it measured them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import msgspec
import numpy as np

from rigmark.bench.analysis.causes.network import with_cause
from rigmark.bench.analysis.comparison.pairs import (
    BLIND_CLOCK,
    case_verdict,
    differences,
    is_single_threaded,
    log_speed_ups,
)
from rigmark.bench.analysis.comparison.sides import case_label
from rigmark.bench.analysis.comparison.verdicts import CaseVerdict, Verdicts
from rigmark.bench.analysis.statistics.decision import decide_all
from rigmark.bench.document.language import tr
from rigmark.bench.enums import PLANNED_GAPS, Clock
from rigmark.bench.store.stored import StoredRecord

Records = list[StoredRecord]


def groups(records: Sequence[StoredRecord]) -> dict[str, Records]:
    """Records of pairs with equal facts on both sides, in the order of measuring, by the label of their case.

    Sessions are pooled, since the order within each pair is random.
    """
    alike: dict[bytes, Records] = {}
    for record in records:
        alike.setdefault(msgspec.json.encode(_facts(record), order="deterministic"), []).append(record)
    for members in alike.values():
        members.sort(key=lambda record: (record.recorded_at, record.identity.repetition))
    # Another version of a package, or another machine, means another case.
    namesakes: dict[str, list[Records]] = {}
    for members in alike.values():
        namesakes.setdefault(label_of(members[0]), []).append(members)
    return {
        f"{label}{_apart(members, others)}": members for label, others in namesakes.items() for members in others
    }


def _facts(record: StoredRecord) -> dict[str, Any]:
    """The facts that are equal among pooled pairs: all except repetition and session."""
    facts = {**msgspec.structs.asdict(record.identity), "node": record.node}
    return {name: fact for name, fact in facts.items() if name not in ("repetition", "session")}


def label_of(record: StoredRecord) -> str:
    """The label of the case of a pair, independent of its builds."""
    return case_label({**record.identity.case.plain(), "build": "default"})


def _apart(members: Records, others: Sequence[Records]) -> str:
    """What distinguishes a group from others with the same name: " (code_version 1a2b3c4d)"; "" if there is none."""
    if len(others) == 1:
        return ""
    first = [_facts(other[0]) for other in others]
    varying = [name for name in first[0] if any(facts[name] != first[0][name] for facts in first)]
    own = _facts(members[0])
    words = [f"{name} {own[name][:8]}" for name in varying if isinstance(own[name], str)]
    return f" ({', '.join(words or [f'facts {list(others).index(members) + 1}'])})"


def compare_pairs(
    records: Sequence[StoredRecord], *, names: tuple[str, str], clock: Clock = Clock.WALL, problems: Sequence[str] = (),
    profiles: Sequence[StoredRecord] = (),
) -> Verdicts:
    """The verdicts on every case with pairs in these records, judged together; ``profiles`` are layer trials that tell
    causes.

    By CPU time only cases of one thread on the CPU are judged.
    """
    cases = {
        label: members for label, members in groups(records).items()
        if clock is Clock.WALL or is_single_threaded(members[0].identity.case.plain())
    }
    measured = {label: [record.taken for record in members if record.taken is not None]
                for label, members in cases.items()}
    decided, twins = (
        decide_all({
            label: values for label, members in cases.items()
            if (values := log_speed_ups(members[0].identity.case.plain(), measured[label], by)) is not None
        }) for by in (clock, Clock.CPU)
    )
    verdicts = []
    for label, members in cases.items():
        identity = members[-1].identity
        failed = [record for record in members if record.taken is None]
        case = CaseVerdict(
            label=label, facts=identity.case.plain(), verdict=None,
            has_failed=any(record.outcome not in PLANNED_GAPS for record in failed),
            differs=differences(identity),
            doubts=tuple(f"{len(failed)} of {len(members)} pairs failed, {record.outcome}: {record.reason}"
                         for record in failed[:1]),
        )
        if not measured[label]:
            verdicts.append(replace(case, reason=f"{failed[0].outcome}: {failed[0].reason}", doubts=()))
            continue
        if label not in decided:
            verdicts.append(replace(case, has_failed=True, reason=tr(BLIND_CLOCK)))
            continue
        twin = twins.get(label) if clock is Clock.WALL else None
        verdict = case_verdict(
            label, case.facts, measured[label], decided[label], twin, clock=clock,
            has_failed=case.has_failed, differs=case.differs, doubts=case.doubts,
            seconds_per_pair=float(np.mean([record.wall_time_s for record in members])),
        )
        verdicts.append(with_cause(verdict, identity, measured[label], profiles, clock))
    return Verdicts(base=names[0], new=names[1], cases=tuple(verdicts), problems=tuple(problems))
