"""Energy counters of processors, from files as Linux shows them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from rigmark.bench.telemetry.sources import Reason, Tier, Unavailable, Wanted, rapl


def zone(folder: Path, number: str, name: str, energy_uj: int = 1000, **files: str) -> Path:
    path = folder / f"intel-rapl:{number}"
    path.mkdir()
    usual = {"name": name, "energy_uj": str(energy_uj), "max_energy_range_uj": "10000000"}
    for file, content in {**usual, **files}.items():
        (path / file).write_text(content + "\n")
    return path


@pytest.fixture
def powercap(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(rapl, "POWERCAP", tmp_path)
    return tmp_path


def energies_j(source: rapl.Rapl) -> list[float | Reason | None]:
    return [reading.value if reading.reason is None else reading.reason for reading in source.read(Tier.FAST)]


def test_joules_count_on_where_the_counter_begins_anew(powercap: Path):
    package = zone(powercap, "0", "package-0", energy_uj=9_000_000)
    source = rapl.open_source(Wanted())
    result = []
    for energy_uj in (9_000_000, 9_500_000, 500_000, 1_500_000):
        (package / "energy_uj").write_text(f"{energy_uj}\n")
        result += energies_j(source)

    assert [0.0, 0.5, 1.5, 2.5] == pytest.approx(result)


def test_parts_of_a_package_are_not_counted_with_it(powercap: Path):
    zone(powercap, "0", "package-0", constraint_0_power_limit_uw="65000000", constraint_1_power_limit_uw="120000000")
    zone(powercap, "0:0", "core")
    zone(powercap, "0:1", "dram")
    zone(powercap, "1", "psys")

    devices = rapl.open_source(Wanted()).devices

    assert [("package-0", "package"), ("package-0/dram", "dram"), ("psys", "platform")] == [
        (device.id, device.kind) for device in devices
    ]
    assert 120.0 == devices[0].facts["power_limit_w"]
    assert {"power_limit_w": Reason.NOT_FOUND} == devices[1].unknown


def test_a_machine_without_counters_is_unavailable(powercap: Path):
    with pytest.raises(Unavailable, match="has no energy counters"):
        rapl.open_source(Wanted())


def test_counters_for_root_alone_are_unavailable_with_the_way_out(powercap: Path, monkeypatch: pytest.MonkeyPatch):
    zone(powercap, "0", "package-0")

    def refuse(path: Path, flags: int) -> int:
        raise PermissionError

    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(Unavailable, match="chmod a\\+r"):
        rapl.open_source(Wanted())


def test_a_counter_that_cannot_be_read_is_no_zero(powercap: Path):
    package = zone(powercap, "0", "package-0")
    source = rapl.open_source(Wanted())
    (package / "energy_uj").write_text("\n")

    assert [Reason.FAILED] == energies_j(source)
