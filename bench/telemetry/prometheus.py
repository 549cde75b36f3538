"""Serves live telemetry in the format of Prometheus."""

from __future__ import annotations

import ipaddress
import socket
import threading
from collections.abc import Iterator
from http import HTTPStatus

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from rigmark.bench.host.plain import plain_line
from rigmark.bench.host.web import LOOPBACK_NAMES, Handler, Server
from rigmark.bench.telemetry.live import Live, Value
from rigmark.bench.telemetry.sources import Meaning

UNITS = {"_j": "_joules", "_w": "_watts", "_c": "_celsius", "_hz": "_hertz", "_s": "_seconds"}
"""The spelling of the unit at the end of a field's name: prometheus.io/docs/practices/naming."""

LABELS = ("device", "name")


class Readings(Collector):
    """One metric per field: gauges, counters, and one gauge per flag for sets of flags. Unknown values are left out."""

    def __init__(self, live: Live):
        self._live = live

    def collect(self) -> Iterator[Metric]:
        snapshot = self._live.snapshot()
        metrics: dict[str, Metric] = {}
        for now in snapshot.devices:
            labels = [plain_line(now.device.id), plain_line(now.device.name)]
            for value in now.values:
                if value.value is not None:
                    name = f"rigmark_{now.source}_{spelled(value.field.name)}"
                    _add(metrics.setdefault(name, _metric(name, value)), value, labels)
        up = GaugeMetricFamily("rigmark_source_up", "Whether a source of telemetry answers.", labels=("source",))
        for source in sorted({now.source for now in snapshot.devices} | set(snapshot.unavailable)):
            up.add_metric([source], float(source not in snapshot.unavailable))
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


def serve(live: Live, host: str, port: int) -> Server:
    """Serves http://host:port/metrics until the process ends; raises UserError if it cannot listen there."""
    registry = CollectorRegistry()
    registry.register(Readings(live))
    handler = type("MetricsHandler", (_Handler,), {"registry": registry, "host": host.lower()})
    server = Server(host, port, handler, advice="choose another --prometheus PORT")
    threading.Thread(target=server.serve_forever, daemon=True, name="prometheus").start()
    return server


class _Handler(Handler):
    registry: CollectorRegistry
    host: str                    # the address that it listens at

    def is_own(self, name: str, port: str) -> bool:
        """True for any address, since no foreign name looks like one, and for the names of this machine."""
        if ipaddress.ip_address(self.server.server_name).is_loopback:
            return name in LOOPBACK_NAMES | {self.host, "[::1]"}
        own = socket.gethostname().lower()
        return name in LOOPBACK_NAMES | {self.host, own, own.partition(".")[0]} or _is_address(name.strip("[]"))

    def refusal(self) -> str:
        return "use an address or the name of this machine to read its metrics"

    def answer(self) -> None:
        if self.path.partition("?")[0] not in ("/metrics", "/"):
            return self.send(HTTPStatus.NOT_FOUND, b"the metrics are at /metrics\n")
        encode, kind = choose_encoder(self.headers.get("Accept", ""))
        return self.send(HTTPStatus.OK, encode(self.registry), {"Content-Type": kind})


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
