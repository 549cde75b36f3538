"""What records, files and other programs call things is shown, and never obeyed, wherever it comes out."""

from __future__ import annotations

import csv
import io
import json
import os
import subprocess
import unicodedata
from pathlib import Path
from typing import cast
from xml.etree import ElementTree

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from rigmark.bench.analysis.comparison.verdicts import Verdicts
from rigmark.bench.host.plain import INVISIBLE, MARK, plain_line
from rigmark.bench.store.record import id_of, key_of_plain
from rigmark.bench.store.store import Store
from rigmark.bench.telemetry.live import Live, Now, Snapshot, Value
from rigmark.bench.telemetry.prometheus import Readings
from rigmark.bench.telemetry.sources import Device, Field, Meaning, Tier
from rigmark.reports.junit import junit
from tests.fakes import RIGMARK
from tests.records import make_record

EVIL = "m\x1b]0;PWNED\x07\x1b[2J\x1b[31mlp\u202egnp\u2066\x9b2J\x00\x08\r\u200f\ufeff"
FORMULA = "=cmd|' /C calc'!A0"


def is_harmless(text: str) -> bool:
    return not {each for each in text if unicodedata.category(each) in INVISIBLE} - {"\n"}


@pytest.fixture(name="results", scope="module")
def _results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Results of networks that are called badly, beside a record whose file is, and one that is damaged."""
    store = Store(tmp_path_factory.mktemp("hostile")).create()
    for number, name in enumerate((EVIL, FORMULA, f"\x1b[31m{FORMULA}")):
        plain = json.loads(json.dumps(make_record(repetition=number).plain()))
        plain["identity"]["case"].update(model=name, data=name)
        plain["machine"]["cpu"] = plain["command"] = plain["suite"] = name
        plain["id"] = id_of(plain["identity"])
        (store.root / "records" / f"{key_of_plain(plain)}.json").write_text(json.dumps(plain))
    with open(os.fsencode(store.root / "records") + b"/\x1b[2Jbad\xff.json", "wb") as file:
        file.write(b"{")
    return store.root


def rigmark(*arguments: str) -> tuple[str, str]:
    done = subprocess.run([RIGMARK, *arguments], capture_output=True, check=False, timeout=120)
    return done.stdout.decode(), done.stderr.decode()


@pytest.mark.parametrize("verb", [
    ["results"], ["results", "--format", "csv"], ["results", "--json"], ["report", "--format", "terminal"],
    ["report", "--format", "terminal", "--full"], ["audit"], ["scaling"], ["claims"], ["layers"],
], ids=" ".join)
def test_no_verb_sends_what_a_terminal_obeys(results: Path, verb: list[str]):
    output, errors = rigmark(*verb, "--results", str(results))

    assert is_harmless(output)
    assert is_harmless(errors)
    assert "Traceback" not in errors
    assert r"\x1b[2Jbad\udcff.json is damaged" in errors


def test_a_name_with_such_characters_does_not_look_like_one_without(results: Path):
    output, _ = rigmark("results", "--results", str(results))

    assert plain_line(EVIL) != "mlp"
    assert f"m{MARK}{MARK}{MARK}lp" in output


def test_an_error_may_quote_what_was_typed():
    output, errors = rigmark("results", "--results", f"/nowhere/{EVIL}".replace("\0", ""))

    assert output == ""
    assert "no results in /nowhere/m" in errors
    assert is_harmless(errors)


def test_a_spreadsheet_runs_no_name_as_a_formula(results: Path):
    output, _ = rigmark("results", "--results", str(results), "--format", "csv")

    names = {row["model"] for row in csv.DictReader(io.StringIO(output))}
    assert f"'{FORMULA}" in names
    assert not [name for name in names if name.startswith("=")]


def test_json_holds_every_name_as_it_was(results: Path):
    output, _ = rigmark("results", "--results", str(results), "--json")

    assert {EVIL, FORMULA, f"\x1b[31m{FORMULA}"} == {row["model"] for row in json.loads(output)}
    assert output.isascii()


def test_labels_of_prometheus_are_harmless():
    device = Device(id=EVIL, kind="gpu", name=EVIL)
    power = Field(name="power_w", meaning=Meaning.GAUGE, tier=Tier.FAST)
    value = Value(field=power, value=1.0, rate=None, unknown=None)

    class Fake:
        def snapshot(self) -> Snapshot:
            now = Now(source="nvml", device=device, values=(value,), age_s=0.0)
            return Snapshot(at="", devices=(now,), unavailable={})

    registry = CollectorRegistry()
    registry.register(Readings(cast(Live, Fake())))

    assert "rigmark_nvml_power_watts{" in (text := generate_latest(registry).decode())
    assert is_harmless(text)


def test_junit_is_xml_whatever_a_case_is_called():
    text = junit(Verdicts(base=EVIL, new="\ud800\uffff\x0b", cases=()))

    assert ElementTree.fromstring(text.encode()).get("name", "").startswith("rigmark m")
    assert is_harmless(text)
