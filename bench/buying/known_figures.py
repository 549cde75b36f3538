"""Known throughputs as figures: measured, entered in ``hardware.toml``, or imported."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from rigmark.bench.analysis.results import quoted
from rigmark.bench.analysis.results.observed import seen
from rigmark.bench.analysis.results.summary import is_nothing, key
from rigmark.bench.analysis.results.validity import Validity
from rigmark.bench.analysis.statistics.estimate import FEWEST_FOR_INTERVAL
from rigmark.bench.buying.offers.market import Market, Throughput
from rigmark.bench.buying.pricing import quantity
from rigmark.bench.buying.quantity import Quantity
from rigmark.bench.buying.terms import ORDER, Device, Figure, Workload
from rigmark.bench.devices import is_host
from rigmark.bench.document import formatting
from rigmark.bench.document.document import Origin
from rigmark.bench.document.language import tr, tr_later
from rigmark.bench.enums import OF_SAMPLES, Isa, Outcome, TrialKind, network_key
from rigmark.bench.errors import UserError
from rigmark.bench.machine import gpu_specifications
from rigmark.bench.machine.gpu_specifications import Card
from rigmark.bench.plan import axes
from rigmark.bench.store.quoted import QuotedTable

NOT_STATED = tr_later("software not stated")
SOFTWARE = ("origin", "source", "machine", *axes.NAMES, "graph_fingerprint", "framework_version")
"""Results that agree in these columns are repetitions of one measurement."""


def figures(
    results: pd.DataFrame, trials: pd.DataFrame, market: Market, tables: Sequence[QuotedTable] = (),
    networks: Iterable[str] = (),
) -> tuple[list[Figure], list[str]]:
    """Every usable throughput, and one sentence for each GPU that does not match exactly one specification.

    All spellings of a network get one name: that in ``networks``, else that in the user's own figures. ``tables`` are
    imported tables.
    """
    devices = _Devices(market)
    all_figures = [
        *_stored(results, trials, devices), *(_entered(each) for each in market.throughputs),
        *(figure for table in tables for figure in _imported(table, devices)),
    ]
    return _under_one_name(all_figures, networks), [*devices.problems, *_unstated(tables)]


def _under_one_name(all_figures: Sequence[Figure], networks: Iterable[str]) -> list[Figure]:
    names = {network_key(name): name for name in networks}
    for figure in sorted(all_figures, key=lambda each: ORDER.index(each.origin)):
        names.setdefault(network_key(figure.workload.model), figure.workload.model)
    return [
        replace(each, workload=replace(each.workload, model=names[network_key(each.workload.model)]))
        for each in all_figures
    ]


class _Devices:
    """GPUs by their names in drivers and tables; ``problems`` are those that do not match exactly one specification."""

    def __init__(self, market: Market):
        self.entered = {part.device_name: part.card for part in market.parts.values() if part.device_name and part.card}
        self.problems: dict[str, None] = {}

    def gpu(self, name: str) -> Device:
        if name in self.entered:
            return Device(name=name, card=self.entered[name])
        try:
            return Device(name=name, card=gpu_specifications.by_name(name))
        except UserError as error:
            self.problems[tr("{error}: write a [[part]] with device_name = \"{name}\" and the spec of its card",
                             error=error, name=name)] = None
            return Device(name=name)


def _stored(results: pd.DataFrame, trials: pd.DataFrame, devices: _Devices) -> Iterator[Figure]:
    rows = [
        {str(name): fact for name, fact in row.items()} for row in results.to_dict("records")
        if row["kind"] == TrialKind.TIMING and row["outcome"] == Outcome.OK
        and not is_nothing(row["throughput_samples_per_s"]) and row["validity"] != Validity.INVALID
        and row["isa"] == Isa.NATIVE and not row["oversubscribed"] and row["mode"] in OF_SAMPLES
    ]
    latest = _latest(rows)
    graphs: dict[tuple[Any, ...], set[str]] = {}
    for row in latest:
        graphs.setdefault((row["model"], row["mode"]), set()).add(str(row["graph_fingerprint"]))
    for row in latest:
        is_cpu = is_host(row["device"])
        if is_cpu and row["world_size"] > 1:
            continue     # parts of one processor are not sold as devices
        device = _device_of(row, is_cpu, devices)
        if device is None:
            continue
        several = len(graphs[row["model"], row["mode"]]) > 1
        workload = Workload(
            model=row["model"], mode=row["mode"], precision=row["precision"], local_batch=int(row["local_batch"]),
            data=row["data"], graph=str(row["graph_fingerprint"]) if several else None,
        )
        software = axes.software(row)
        origin = Origin(row["origin"]) if row["origin"] in tuple(Origin) else Origin.QUOTED
        trials_of = int(row["trials"]) if origin is Origin.MEASURED else None
        yield Figure(
            workload=workload, device=device, devices=int(row["world_size"]), software=software,
            samples_per_s=Quantity(
                name=f"{workload.label} on {row['world_size']} {device.id}, {software}, {row['machine']}",
                value=float(row["throughput_samples_per_s"]), low=_number(row["throughput_low_samples_per_s"]),
                high=_number(row["throughput_high_samples_per_s"]), origin=origin, note=software,
            ),
            power_w=_number(row["power_w"]), busy_ratio=None if is_cpu else _busy_ratio(row, trials), is_cpu=is_cpu,
            trials=trials_of,
        )


def _latest(rows: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The latest measurement of each software on each machine, with an interval if there is one.

    Not the fastest one, since the fastest of many sessions is fast by chance.
    """
    latest: dict[tuple[Any, ...], Mapping[str, Any]] = {}
    for row in sorted(rows, key=lambda row: ((row["trials"] or 0) >= FEWEST_FOR_INTERVAL, str(row["recorded_at"]))):
        latest[key(row, SOFTWARE)] = row
    return [row for row in rows if latest[key(row, SOFTWARE)] is row]


def _number(fact: Any) -> float | None:
    return None if is_nothing(fact) else float(fact)


def _device_of(row: Mapping[str, Any], is_cpu: bool, devices: _Devices) -> Device | None:
    if is_cpu:
        return Device(name=str(row["device_name"]))
    if is_nothing(row["device_name"]):
        devices.problems[tr("a figure of {model} ran on {device}, but its record does not state the name of the device",
                            model=row["model"], device=row["device"])] = None
        return None
    return devices.gpu(str(row["device_name"]))


def _busy_ratio(row: Mapping[str, Any], trials: pd.DataFrame) -> float | None:
    """Median over trials of the busy ratio of the GPU; None if it was not recorded."""
    own = trials[(trials.kind == TrialKind.TIMING) & (trials.outcome == Outcome.OK) & (trials.run_id == row["run_id"])]
    for name in axes.NAMES:
        own = own[own[name] == row[name]]
    ratios = [
        ratio for trial in own.to_dict("records")
        for gpu in seen({str(name): fact for name, fact in trial.items()}).gpus
        if (ratio := gpu.mean("busy_ratio")) is not None
    ]
    return float(np.median(ratios)) if ratios else None


def _entered(each: Throughput) -> Figure:
    source = each.samples_per_s.source
    workload = Workload(
        model=each.model, mode=str(each.mode), precision=str(each.precision), local_batch=each.local_batch,
        data=each.data, only_from=(source.id if source else "entered") if each.local_batch is None else None,
    )
    card = each.device if isinstance(each.device, Card) else None
    name = each.device.name if isinstance(each.device, Card) else each.device
    return Figure(
        workload=workload, device=Device(name=name, card=card), devices=each.devices,
        samples_per_s=quantity(each.samples_per_s, each.id), software=each.software or tr(NOT_STATED),
        power_w=each.power_w, busy_ratio=each.busy_ratio, is_cpu=card is None, trials=None,
    )


STATED = ("mode", "precision", "local_batch", "device_name")
"""What an imported line must state, beside network and throughput, to be comparable."""


def _unstated(tables: Iterable[QuotedTable]) -> Iterator[str]:
    """One sentence for each kind of missing fact, with the number of lines that cannot be used because of it."""
    lacking = Counter(
        tuple(name for name in STATED if is_nothing(row.get(name)))
        for row in quoted.rows(tables) if quoted.throughput(row) is not None
    )
    for names, count in lacking.items():
        if names:
            yield tr("{lines} of imported tables without {names}, so compared with nothing; import again with "
                     "--again --set NAME=VALUE", lines=formatting.count(count, "line"), names=formatting.listed(names))


def _imported(table: QuotedTable, devices: _Devices) -> Iterator[Figure]:
    """The lines that state their workload; lines with other conditions are never compared with each other."""
    source = table.source
    for line, row in enumerate(quoted.rows([table])):
        rate = quoted.throughput(row)
        if rate is None or any(is_nothing(row.get(name)) for name in STATED):
            continue
        conditions = ", ".join(f"{name} {fact}" for name, fact in sorted(row["conditions"].items()))
        software = axes.software(row) or tr(NOT_STATED)
        yield Figure(
            workload=Workload(
                model=row["model"], mode=row["mode"], precision=row["precision"], local_batch=int(row["local_batch"]),
                data=row.get("data") or "synthetic",
                only_from=f"{source.format}, {conditions}" if conditions else None,
            ),
            device=Device(name=row["device_name"]) if is_host(row.get("device")) else devices.gpu(row["device_name"]),
            devices=int(row.get("world_size") or 1), software=software, power_w=None, busy_ratio=None, trials=None,
            is_cpu=is_host(row.get("device")), samples_per_s=Quantity(
                name=f"{source.format} {source.file} {line}", value=rate,
                origin=Origin.QUOTED, note=source.title or source.file,
            ),
        )


def workloads(known: Iterable[Figure]) -> list[Workload]:
    """All workloads by name. Figures without a graph fingerprint belong to every workload of the same name."""
    return sorted({figure.workload for figure in known}, key=lambda each: (each.label, each.only_from or ""))


def by_workload(known: Iterable[Figure]) -> dict[Workload, list[Figure]]:
    """The figures of each workload."""
    grouped: dict[Workload, list[Figure]] = {}
    for figure in known:
        grouped.setdefault(figure.workload, []).append(figure)
    return grouped


def of_workload(known: Iterable[Figure], workload: Workload) -> list[Figure]:
    return [each for each in known if each.workload in (workload, replace(workload, graph=None))]


def surest(known: Sequence[Figure]) -> list[Figure]:
    """The figures without our own of too few trials, if the same devices have one with an interval."""
    def place(figure: Figure) -> tuple[Any, ...]:
        return figure.workload, figure.device.id, figure.devices

    sure = {place(each) for each in known if each.origin is Origin.MEASURED and not each.is_few}
    return [each for each in known if not each.is_few or place(each) not in sure]
