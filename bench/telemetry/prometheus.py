"""The live readings in the format that Prometheus collects."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client import CollectorRegistry, start_http_server
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from rigmark.bench.errors import UserError
from rigmark.bench.telemetry.live import Live, Value
from rigmark.bench.telemetry.sources import Meaning

UNITS = {"_j": "_joules", "_w": "_watts", "_c": "_celsius", "_hz": "_hertz", "_s": "_seconds"}
"""How a unit that ends a field's name is spelled there: prometheus.io/docs/practices/naming."""

LABELS = ("device", "name")


class Readings(Collector):
    """One metric a field: gauges, counters, and for sets of flags one gauge a flag. What is not known is left out."""

    def __init__(self, live: Live):
        self._live = live

    def collect(self) -> Iterator[Metric]:
        found = self._live.snapshot()
        metrics: dict[str, Metric] = {}
        for now in found.devices:
            labels = [now.device.id, now.device.name]
            for value in now.values:
                if value.value is not None:
                    name = f"rigmark_{now.source}_{spelled(value.field.name)}"
                    _add(metrics.setdefault(name, _metric(name, value)), value, labels)
        up = GaugeMetricFamily("rigmark_source_up", "Whether a source of telemetry answers.", labels=("source",))
        for source in sorted({now.source for now in found.devices} | set(found.unavailable)):
            up.add_metric([source], float(source not in found.unavailable))
        yield from (*metrics.values(), up)


def _metric(name: str, value: Value) -> Metric:
    about = f"Field {value.field.name} of rigmark."
    if value.field.meaning is Meaning.COUNTER:
        return CounterMetricFamily(name, about, labels=LABELS)
    return GaugeMetricFamily(name, about, labels=(*LABELS, "flag") if value.field.flags else LABELS)


def _add(metric: Metric, value: Value, labels: list[str]) -> None:
    flags = value.flags
    assert isinstance(metric, CounterMetricFamily | GaugeMetricFamily)
    assert value.value is not None
    if flags is None:
        metric.add_metric(labels, value.value)
    else:
        for flag in dict.fromkeys((*value.field.flags, *flags)):
            metric.add_metric([*labels, flag], float(flag in flags))


def spelled(name: str) -> str:
    """A field's name with its unit written out."""
    return next((name.removesuffix(unit) + long for unit, long in UNITS.items() if name.endswith(unit)), name)


def serve(live: Live, host: str, port: int) -> None:
    """Answer at http://host:port/metrics until the process ends; raises UserError where it cannot listen there."""
    registry = CollectorRegistry()
    registry.register(Readings(live))
    try:
        start_http_server(port, addr=host, registry=registry)
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise UserError(f"cannot serve metrics at {host}:{port}: {reason}; choose another --prometheus PORT") from None
