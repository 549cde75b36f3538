"""The verdicts on all stored contests of ``rigmark ab``: of networks, commands, suites of benchmarks, and start-up."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pandas as pd

from rigmark.bench.ab.turns import stored_verdicts
from rigmark.bench.analysis.comparison.stored_pairs import compare_pairs
from rigmark.bench.analysis.comparison.verdicts import Verdicts
from rigmark.bench.enums import TrialKind
from rigmark.bench.store import contests
from rigmark.bench.store.contests import Contest
from rigmark.bench.store.stored import StoredRecord


def stored(
    folder: Path, trials: pd.DataFrame, record_of: Callable[[str], StoredRecord]
) -> tuple[list[Verdicts], tuple[str, ...]]:
    """The verdicts on each two sides of which pairs are stored, and a sentence for each contest that cannot be read.

    Pairs of networks are among the ``trials``, whose records ``record_of`` reads; all others lie in the folder.
    """
    of_others, problems = contests.read_all(folder)
    return [*_of_networks(trials, record_of), *_of_others(of_others)], problems


def _of_networks(trials: pd.DataFrame, record_of: Callable[[str], StoredRecord]) -> list[Verdicts]:
    if trials.empty:
        return []
    sides: dict[tuple[str, str], list[StoredRecord]] = {}
    for identity in trials[trials.kind == TrialKind.PAIR].id:
        record = record_of(identity)
        if record.identity.base is not None:
            sides.setdefault((record.identity.base.name, record.identity.case.build), []).append(record)
    profiles = trials[trials.kind == TrialKind.LAYERS]
    return [
        compare_pairs(records, names=names, profiles=[
            record_of(identity) for identity in profiles[profiles.build.isin(names)].id
        ])
        for names, records in sides.items()
    ]


def _of_others(found: Sequence[Contest]) -> list[Verdicts]:
    sides: dict[tuple[str, str], list[Contest]] = {}
    for contest in contests.latest(found):
        sides.setdefault((contest.base.name, contest.new.name), []).append(contest)
    return [stored_verdicts(each, names=names) for names, each in sides.items()]
