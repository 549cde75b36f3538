"""Measures one round of asv: the next repetition of a case in this run of asv."""

from __future__ import annotations

import contextlib
import itertools
import math
import os
import shlex
import statistics
import sys
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rigmark.bench.builds import build as builds
from rigmark.bench.builds import revisions
from rigmark.bench.builds.build import Build
from rigmark.bench.enums import PLANNED_GAPS, Outcome, TrialKind
from rigmark.bench.errors import UserError
from rigmark.bench.host.plain import plain_lines
from rigmark.bench.machine import hardware
from rigmark.bench.networks import Networks, bringing
from rigmark.bench.networks.forms import Options
from rigmark.bench.plan.case import Case
from rigmark.bench.plan.reference import is_reference, short
from rigmark.bench.plan.schedule import Trial, asks_for_isa, proof_case
from rigmark.bench.plan.sweep import Sweep
from rigmark.bench.runner.runner import Runner
from rigmark.bench.store.store import Store
from rigmark.bench.store.stored import StoredRecord

START = datetime.now(UTC).isoformat(timespec="seconds")


def measured(sweep: Sweep, case: Case, *, suite: str, name: str, home: Path) -> dict[str, Any] | float:
    """The sample of this round for asv: seconds per step, the median of one new worker.

    The worker runs the next repetition in this run of asv. An invalid trial adds no sample, and gives nan if earlier
    rounds have none either. Raises asv's SkipNotImplemented for a planned gap (asv shows n/a), and UserError for a
    trial that failed.
    """
    from asv_runner.benchmarks.mark import SkipNotImplemented

    *earlier, record = _rounds(sweep, case, suite=suite, name=name, home=home)
    sentence = f"{record.outcome}: {record.reason}"
    if record.outcome in PLANNED_GAPS:
        print(plain_lines(f"rigmark: {sentence}"), file=sys.stderr)   # asv shows only n/a
        raise SkipNotImplemented(sentence)
    if record.outcome is not Outcome.OK or record.measurement is None:
        print(plain_lines(record.last_words), file=sys.stderr)
        raise UserError(sentence)
    if reasons := _why_invalid(record):
        print(plain_lines(f"rigmark: left out, because it is invalid: {'; '.join(reasons)}"), file=sys.stderr)
        # asv joins lists of samples, but drops those of earlier rounds if one is nan.
        return math.nan if all(map(_why_invalid, earlier)) else {"samples": [], "number": 1}
    return {"samples": [statistics.median(record.measurement.timings_s) / case.steps_per_timing], "number": 1}


def _why_invalid(record: StoredRecord) -> list[str]:
    """Why a successful trial is invalid, that is, does not measure its case; empty if it is valid."""
    # Imported here, because asv and the command line import every suite, and so this module.
    from rigmark.bench.analysis.results.findings import FindingKind
    from rigmark.bench.analysis.results.validity import judge_record

    judged = judge_record(record)
    return [
        finding.text for finding in (*judged.findings, *judged.of_timings) if finding.kind is FindingKind.INVALID
    ]


def _rounds(sweep: Sweep, case: Case, *, suite: str, name: str, home: Path) -> list[StoredRecord]:
    """The records of this run of asv by repetition; the last one was measured now, or is the one that failed.

    After a failure all later rounds fail too, since asv keeps only the result of the last round.
    """
    commit = os.environ.get("ASV_COMMIT", "")
    session = f"asv {os.environ.get('RIGMARK_SESSION', START)} {commit[:8]}".strip()
    only = ["--bench", rf"^{suite}\..*{name}.\)"]     # the name in asv ends with the case, a quote and a bracket
    command = shlex.join(["asv", "run", *([f"{commit}^!"] if commit else []), *only])
    store = Store(home / os.environ.get("RIGMARK_RESULTS", ".asv/rigmark-results")).create()
    known = builds.load(home)
    if checkout := os.environ.get("RIGMARK_CHECKOUT"):
        build = revisions.checked_out(Path(checkout), builds.find(case.build, known))
        known, case = known | {build.name: build}, replace(case, build=build.name)
    networks = _networks(sweep, case, known, store, home)
    proof = Trial(kind=TrialKind.PROOF, case=proof_case(case, len(hardware.usable_cpus())))
    with Runner(
        store, known, suite=suite, command=command, session=session, networks=networks
    ) as runner:
        records = []
        for repetition in itertools.count():
            trial = Trial(
                kind=case.timed_as, case=case, repetition=repetition, timing=sweep.timing,
                asks_for_isa=asks_for_isa(sweep, builds.limited_builds(known)),
            )
            key = runner.key(trial)
            if key not in store or (record := store.get(key)).outcome is not Outcome.OK:
                break
            records.append(record)
        for sentence in runner.run([trial] if case.is_limit else [proof, trial]).anew:
            print(plain_lines(f"rigmark: {sentence}"), file=sys.stderr)
    return [*records, store.get(key)]


def _networks(sweep: Sweep, case: Case, known: Mapping[str, Build], store: Store, home: Path) -> Networks:
    """Those that the case needs of the user; a suite names files as they lie beside asv.conf.json."""
    brought = [model for model in sweep.models if is_reference(model) and short(model) == case.model]
    with contextlib.chdir(home):         # asv runs a benchmark in a folder that it deletes
        return bringing.brought(brought, Options(), known, store.networks)
