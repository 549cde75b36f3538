"""Live readings: counters become rates, what is not known stays so, and one source that hangs holds up no other."""

from __future__ import annotations

import http.client
import json
import socket
import threading
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families
from rich.console import Console

from rigmark.bench.cli.top import _page, text_of
from rigmark.bench.errors import UserError
from rigmark.bench.telemetry import sources
from rigmark.bench.telemetry.live import Live, Now, Snapshot, Value
from rigmark.bench.telemetry.prometheus import serve, spelled
from rigmark.bench.telemetry.sources import Device, Field, Meaning, Range, Reading, Reason, Tier, Unavailable
from tests.fakes import rigmark

FIELDS = (
    Field(name="power_w", meaning=Meaning.GAUGE, tier=Tier.FAST),
    Field(name="energy_j", meaning=Meaning.COUNTER, tier=Tier.FAST),
    Field(name="clock_events", meaning=Meaning.BITS, tier=Tier.MEDIUM, flags=("idle", "thermal", "power_cap")),
    Field(name="fan_ratio", meaning=Meaning.GAUGE, tier=Tier.SLOW),
)
SECOND = 1_000_000_000


class Fake:
    """A GPU whose clock advances by a second a read, at 100 W; its fan is not known."""

    devices = (Device(id="GPU-1", kind="gpu", name='A "100"'),)

    def __init__(self) -> None:
        self.seconds = 0

    def read(self, tier: Tier) -> Iterator[Reading]:
        if tier is Tier.FAST:
            self.seconds += 1
        at = self.seconds * SECOND
        for number, value, reason in (
            (0, 100.0, None), (1, 5000.0 + 100.0 * self.seconds, None), (2, 5.0 + 8.0, None),
            (3, None, Reason.NOT_SUPPORTED),
        ):
            if FIELDS[number].tier is tier:
                yield Reading(0, number, at, at, value, reason)

    def close(self) -> None:
        pass


@pytest.fixture
def live(monkeypatch: pytest.MonkeyPatch) -> Iterator[Live]:
    """Of a fake GPU, a source that is not there, and one that hangs until the test ends."""
    released = threading.Event()

    def opened(name: str) -> Any:
        def open_source(wanted: Any) -> Fake:
            if name == "gone":
                raise Unavailable("no such thing here")
            if name == "hanging":
                released.wait(30)
            return Fake()

        return SimpleNamespace(open_source=open_source, FIELDS=FIELDS)

    monkeypatch.setattr(sources, "load", opened)
    with Live(0.001, ("fake", "gone", "hanging")) as running:
        until = 0
        while running.snapshot().devices[:1] == () or running.snapshot().devices[0].values[1].rate is None:
            until += 1
            assert until < 100_000
        yield running
        released.set()


def test_a_snapshot_has_values_rates_flags_and_reasons(live: Live):
    content = json.loads(json.dumps(live.snapshot().plain()))

    gpu, = content["devices"]
    assert (gpu["source"], gpu["id"], gpu["kind"]) == ("fake", "GPU-1", "gpu")
    assert gpu["values"]["power_w"] == 100.0
    assert gpu["rates"] == {"energy_j": pytest.approx(100.0)}
    assert gpu["values"]["clock_events"] == ["idle", "power_cap", "unknown_0x8"]
    assert (gpu["values"]["fan_ratio"], gpu["unknown"]) == (None, {"fan_ratio": "not_supported"})
    assert content["unavailable"] == {"gone": "no such thing here", "hanging": "has not answered yet"}


def test_a_counter_that_begins_anew_has_no_rate():
    from rigmark.bench.telemetry.live import _value

    before, after = (Reading(0, 1, at, at, value, None) for at, value in ((0, 9000.0), (SECOND, 10.0)))

    assert _value(FIELDS[1], Fake.devices[0], after, before).rate is None
    assert _value(FIELDS[1], Fake.devices[0], after, None).rate is None


@pytest.mark.parametrize(("joules", "rate"), [(300.0, 300.0), (4e6, None)])
def test_a_counter_that_grows_as_it_cannot_is_not_known(joules: float, rate: float | None):
    from rigmark.bench.telemetry.live import _value

    of = Field(name="energy_j", meaning=Meaning.COUNTER, tier=Tier.FAST, plausible=Range(low=1, high=1e4))
    before, after = (Reading(0, 0, at, at, value, None) for at, value in ((0, 0.0), (SECOND, joules)))

    result = _value(of, Fake.devices[0], after, before)

    assert (rate, None if rate else "implausible") == (result.rate, result.unknown)


@pytest.mark.parametrize(("power_w", "shown"), [(250.0, 250.0), (0.0, None), (4e6, None), (601.0, None)])
def test_what_a_sensor_says_that_cannot_be_is_not_known(power_w: float, shown: float | None):
    from rigmark.bench.telemetry.live import _value

    of = Field(name="power_w", meaning=Meaning.GAUGE, tier=Tier.FAST, plausible=Range(low=1, high=1e4, of="limit"))
    gpu = Device(id="GPU-1", kind="gpu", name="A", facts={"limit": 600.0})

    value = _value(of, gpu, Reading(0, 0, 0, 0, power_w, None), None)

    assert (shown, None if shown else "implausible") == (value.value, value.unknown)


@pytest.mark.parametrize(
    ("name", "value", "rate", "text"),
    [
        ("power_w", 251.3, None, "251 W"), ("fan_ratio", 0.415, None, "41.5 %"),
        ("sm_clock_hz", 1.41e9, None, "1410 MHz"),
        ("memory_used_bytes", 3 * 2**30, None, "3072 MiB"), ("energy_j", 9e9, 251.3, "251.30 W"),
        ("cpu_busy_s", 9e9, 1.5, "1.50 s/s"), ("major_faults", 7.0, 0.5, "0.50 /s"), ("energy_j", 1.0, None, "…"),
        ("temperature_c", 41.0, None, "41 °C"),
    ],
)
def test_values_are_shown_in_units_that_people_read(name: str, value: float, rate: float | None, text: str):
    meaning = Meaning.COUNTER if name in ("energy_j", "cpu_busy_s", "major_faults") else Meaning.GAUGE
    field = Field(name=name, meaning=meaning, tier=Tier.FAST)

    assert text_of(Value(field=field, value=value, rate=rate, unknown=None)) == text


def test_what_is_not_known_is_shown_with_its_reason():
    assert text_of(Value(field=FIELDS[3], value=None, rate=None, unknown="no_permission")) == "no permission"


# Prometheus ---------------------------------------------------------------------------------------------------------


@contextmanager
def serving(live: Live, host: str = "127.0.0.1") -> Iterator[int]:
    """The port at which metrics are served."""
    server = serve(live, host, 0)
    try:
        yield int(server.server_address[1])
    finally:
        server.shutdown()
        server.server_close()


def scraped(live: Live) -> tuple[str, dict[tuple[str, str | None], float]]:
    """The content type, and every sample by its name and flag."""
    with serving(live) as port, urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
        text, kind = answer.read().decode(), answer.headers["Content-Type"]
    samples = [sample for family in text_string_to_metric_families(text) for sample in family.samples]
    return kind, {
        (sample.name, sample.labels.get("flag") or sample.labels.get("source")): sample.value for sample in samples
    }


def test_readings_are_exported_with_base_units_and_what_is_unknown_is_left_out(live: Live):
    kind, samples = scraped(live)

    assert kind.startswith("text/plain; version=")
    assert samples["rigmark_fake_power_watts", None] == 100.0
    assert samples["rigmark_fake_energy_joules_total", None] >= 5100.0
    assert samples["rigmark_fake_clock_events", "power_cap"] == 1.0
    assert samples["rigmark_fake_clock_events", "thermal"] == 0.0
    assert not any(name.startswith("rigmark_fake_fan") for name, _ in samples)
    assert samples["rigmark_source_up", "fake"] == 1.0
    assert samples["rigmark_source_up", "gone"] == 0.0


def test_names_are_spelled_as_prometheus_has_them():
    names = ("power_w", "sm_clock_hz", "run_queue_wait_s", "memory_used_bytes", "busy_ratio")

    assert [spelled(name) for name in names] == [
        "power_watts", "sm_clock_hertz", "run_queue_wait_seconds", "memory_used_bytes", "busy_ratio"
    ]


def test_a_port_that_is_taken_is_reported(live: Live):
    with (
        serving(live) as port,
        pytest.raises(UserError, match=rf"cannot listen at 127.0.0.1:{port}: Address already in use; .*--prometheus"),
    ):
        serve(live, "127.0.0.1", port)


def status(port: int, host: str) -> int:
    """Of an answer to a request for this host."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        connection.request("GET", "/metrics", headers={"Host": host})
        return connection.getresponse().status
    finally:
        connection.close()


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:{port}", "127.0.0.1.evil.example", "", "192.0.2.1:{port}"]
)
def test_metrics_of_this_machine_alone_are_not_for_a_foreign_name(live: Live, host: str):
    with serving(live) as port:
        assert 403 == status(port, host.format(port=port))
        assert 200 == status(port, f"localhost:{port}")
        assert 200 == status(port, "localhost:19400")    # as a tunnel has it


def test_metrics_for_the_network_are_for_any_address_and_the_machine_s_own_name(live: Live):
    with serving(live, "0.0.0.0") as port:
        named = {host: status(port, host) for host in (
            f"192.0.2.1:{port}", f"[2001:db8::1]:{port}", f"{socket.gethostname()}:19400", "evil.example", "localhost",
        )}

    assert [200, 200, 200, 403, 200] == list(named.values())


# The table ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["X [/b] Y", "[red]X[/red]", "\x1b[2J\x1b]0;title\x07X"])
def test_a_name_of_a_device_is_shown_and_not_obeyed(name: str):
    value = Value(field=FIELDS[0], value=100.0, rate=None, unknown=None)
    device = Device(id="GPU-1", kind="gpu", name=name)
    now = Now(source="fake", device=device, values=(value,), age_s=0.0)
    console = Console(width=120, highlight=False)
    with console.capture() as captured:
        console.print(_page(Snapshot(at="now", devices=(now,), unavailable={"other [/b]": name})))
    shown = captured.get()

    assert (name if "\x1b" not in name else "X") in shown
    assert "other [/b]: " in shown
    assert "\x1b" not in shown
    assert "title" not in shown


# The command --------------------------------------------------------------------------------------------------------


def test_the_command_prints_a_line_of_json_a_look(tmp_path: Path):
    ended = rigmark("top", "--json", "--count", "2", "--interval", "0.1", cwd=tmp_path)

    first, second = map(json.loads, ended.stdout.splitlines())
    assert ended.returncode == 0
    host = next(device for device in second["devices"] if device["kind"] == "host")
    assert 0 <= host["rates"]["cpu_busy_s"] < 10_000
    assert first["at"] < second["at"]


def test_the_command_shows_a_table(tmp_path: Path):
    ended = rigmark("top", "--count", "1", "--interval", "0.1", cwd=tmp_path)

    assert ended.returncode == 0
    assert "memory_available_bytes" in ended.stdout
    assert "MiB" in ended.stdout


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("--interval", "0"), "--interval must be from 0.05 to 3600 s, not 0"),
        (("--prometheus", "0"), "--prometheus takes a port from 1 to 65535, not 0"),
    ],
)
def test_input_that_cannot_be_is_answered_in_a_sentence(tmp_path: Path, arguments: tuple[str, ...], sentence: str):
    ended = rigmark("top", *arguments, cwd=tmp_path)

    assert ended.returncode == 2
    assert ended.stderr == f"rigmark: {sentence}\n"
