"""Sources of telemetry that are made for a test, and found by samplers as those of bench.telemetry.sources are."""

from __future__ import annotations

import os
import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest

from rigmark.bench.telemetry import recorder as recorder_module

STEADY = """
import time
from rigmark.bench.telemetry.sources import Device, Field, Meaning, Reading, Tier, Unavailable

FIELDS = (
    Field(name="power_w", meaning=Meaning.GAUGE, tier=Tier.FAST),
    Field(name="watched", meaning=Meaning.GAUGE, tier=Tier.FAST),
    Field(name="temperature_c", meaning=Meaning.GAUGE, tier=Tier.MEDIUM),
    Field(name="fan_ratio", meaning=Meaning.GAUGE, tier=Tier.SLOW),
)
RATE_HZ = 25.0

class Source:
    devices = (Device(id="x", kind="package", name="x"),)
    processes = ()
    reads = 0

    def read(self, tier):
        self.reads += 1
        for number, field in enumerate(FIELDS):
            if field.tier is tier:
                now_ns = time.perf_counter_ns()
                value = self.processes[0] if field.name == "watched" and self.processes else 100.0
                yield Reading(0, number, now_ns, now_ns, value, None)

    def watch(self, processes):
        self.processes = processes

    def close(self):
        pass

def open_source(wanted):
    return Source()
"""
Lend = Callable[..., None]


@pytest.fixture
def lend(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Lend:
    """Make a source known to samplers: the steady one with ``change`` before each read or, at last, of its module."""
    folder = tmp_path / "sources"
    folder.mkdir()
    (tmp_path / "sitecustomize.py").write_text(
        f"import rigmark.bench.telemetry.sources as sources\nsources.__path__.append({str(folder)!r})\n"
    )
    known = [str(tmp_path), str(recorder_module.ROOT), os.environ.get("PYTHONPATH", "")]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(known))
    names: list[str] = []

    def lend(name: str, before_read: str = "pass", at_last: str = "") -> None:
        before = textwrap.indent(textwrap.dedent(before_read), " " * 8)
        source = STEADY.replace("        self.reads += 1\n", f"        self.reads += 1\n{before}\n")
        (folder / f"{name}.py").write_text(source + textwrap.dedent(at_last))
        names.append(name)
        monkeypatch.setattr(recorder_module, "NAMES", tuple(names))

    return lend
