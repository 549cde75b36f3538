"""Which batches fit into which memory, from a line through measured peaks, or an estimate from the definition."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from rigmark.bench import devices
from rigmark.bench.analysis.results.summary import is_nothing
from rigmark.bench.buying import fitting
from rigmark.bench.buying.terms import Candidate, Kind, Network
from rigmark.bench.document import formatting
from rigmark.bench.document.document import Origin
from rigmark.bench.document.language import tr, word
from rigmark.bench.enums import OF_SAMPLES, Mode, Outcome, TrialKind, network_key
from rigmark.bench.machine.gpu_specifications import GIB
from rigmark.bench.plan import axes


@dataclass(frozen=True, kw_only=True)
class Memory:
    """Whether batches of one network fit into one memory."""

    subject: str                 # "resnet50 training, fp32, torch eager on cuda"
    where: str                   # owner of the memory
    fit: fitting.Fit | None
    origin: Origin               # MEASURED for a fit, PREDICTED for an estimate
    words: str


CASE_OF_PEAKS = (*axes.but("local_batch"), "framework_version", "graph_fingerprint", "machine")


@dataclass(frozen=True, kw_only=True)
class Peaks:
    """Largest peak memory by batch, of cases that differ only in their batch."""

    model: str
    subject: str
    host_memory_bytes: float | None      # memory of the machine if the CPU computes; None for a GPU
    by_batch: Mapping[int, float]


def peaks(trials: pd.DataFrame) -> list[Peaks]:
    """The peaks of each series of cases whose peak memory is known."""
    measured = trials[(trials.kind == TrialKind.TIMING) & (trials.outcome == Outcome.OK)]
    by_case = []
    for _, own in measured.groupby(list(CASE_OF_PEAKS), dropna=False, sort=True):
        first = own.iloc[0]
        software = axes.software({name: first[name] for name in axes.SOFTWARE})
        is_cpu = devices.is_host(first.device)
        facts = json.loads(first.machine_facts) if isinstance(first.machine_facts, str) else {}
        by_batch = {
            int(str(batch)): float(of.peak_memory_bytes.max()) for batch, of in own.groupby("local_batch")
            if not is_nothing(of.peak_memory_bytes.max())
        }
        if by_batch and (not is_cpu or facts.get("memory_bytes")):
            by_case.append(Peaks(
                model=str(first["model"]), by_batch=by_batch,
                subject=tr("{case} on {device}", device=first.device, case=(
                    f"{first['model']} {word(first['mode'])}, {first['precision']}, {software}")),
                host_memory_bytes=float(facts["memory_bytes"]) if is_cpu else None,
            ))
    return by_case


def memories(
    trials: pd.DataFrame, capacities: Mapping[str, float], batch: int | None,
    networks: Mapping[str, Network], models: Sequence[str], precision: str, mode: str | None,
) -> list[Memory]:
    """The fit of each series of measured peaks, and an estimate for those ``models`` without measured peaks.

    ``capacities`` are bytes by name of GPU; peaks on a CPU are compared with the memory of its own machine.
    """
    lines: list[Memory] = []
    have = set()
    for each in peaks(trials):
        if models and network_key(each.model) not in {network_key(name) for name in models}:
            continue
        line = fitting.line_of(each.by_batch)
        if isinstance(line, str):
            if models:
                lines.append(Memory(subject=each.subject, where="", fit=None, origin=Origin.MEASURED, words=line))
            continue
        have.add(network_key(each.model))
        is_cpu = each.host_memory_bytes is not None
        places = {tr("its machine's memory"): each.host_memory_bytes or 0.0} if is_cpu else dict(capacities)
        context = 0.0 if is_cpu else fitting.CONTEXT_BYTES
        lines += [_memory(each.subject, place, line, size, context, batch) for place, size in places.items()]
    by_key = {network_key(name): name for name in networks}
    for model in (by_key[key] for key in map(network_key, models) if key in by_key and key not in have):
        for asked in (mode,) if mode else OF_SAMPLES:
            estimate = fitting.estimate(
                networks[model].graph, is_training=asked == Mode.TRAINING, precision=precision)
            lines += [
                _memory(f"{model} {word(asked)}, {precision}", place, estimate, size, fitting.CONTEXT_BYTES, batch)
                for place, size in capacities.items()
            ]
    return lines


def _memory(
    name: str, place: str, line: fitting.Line | fitting.Estimate, capacity: float, context: float, batch: int | None
) -> Memory:
    fit = fitting.fit(line, capacity, context_bytes=context, batch=batch)
    size = f"{capacity / GIB:.0f} GB"
    if isinstance(line, fitting.Estimate):
        text = tr("estimated from the network's definition, of which {low:g}x to {high:g}x may be needed: about "
                  "{batch:,} samples in {size}; measure {n} batches for a fit", low=fitting.ESTIMATE_RANGE[0],
                  high=fitting.ESTIMATE_RANGE[1], batch=fit.largest_batch, size=size, n=fitting.FEWEST_BATCHES)
    else:
        batches = ", ".join(map(str, line.batches))
        text = tr("the largest batch is {batch:,} in {size}, by a line through the peaks of batches {batches} "
                  "({each:.3g} MiB a sample, off by {error} at most)", batch=fit.largest_batch, size=size,
                  batches=batches, each=line.bytes_per_sample / 2**20, error=formatting.share(line.largest_error))
        if fit.largest_batch > 4 * max(line.batches):
            text += tr("; that is far beyond what was measured")
    if batch is not None and fit.answer is not None:
        text = tr("batch {batch} {answer} ({peak:.3g} of {size}); {said}", batch=batch, answer=_answer(fit.answer),
                  peak=line.peak_bytes(batch) / GIB, size=size, said=text)
    return Memory(
        subject=name, where=place, fit=fit, words=text,
        origin=Origin.PREDICTED if isinstance(line, fitting.Estimate) else Origin.MEASURED,
    )


def _answer(answer: fitting.Answer) -> str:
    return {fitting.Answer.FITS: tr("fits"), fitting.Answer.TIGHT: tr("fits, but tightly"),
            fitting.Answer.NO: tr("does not fit"), fitting.Answer.UNCERTAIN: tr("may or may not fit")}[answer]


def capacities(candidates: Sequence[Candidate]) -> dict[str, float]:
    """The memory of each GPU in bytes by its name, if known."""
    return {
        each.device.card.name if each.device and each.device.card else each.name: each.memory_bytes
        for each in candidates
        if each.memory_bytes and (each.kind is not Kind.MACHINE) and each.device and each.device.card
    }
