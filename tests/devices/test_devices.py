"""A device has one spelling, is read once, and its kind says in one file what the rest of the program must know."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from rigmark.bench import devices
from rigmark.bench.devices import CPU, Device
from rigmark.bench.enums import Outcome
from rigmark.bench.errors import UserError
from rigmark.bench.telemetry import sources
from rigmark.bench.worker import devices as of_worker
from rigmark.bench.worker import frameworks
from tests.fakes import Answering, measure
from tests.records import CASE, make_record

ROOT = Path(__file__).parents[2]
CONSTANTS = {"IS_HOST": bool, "VARIABLES": tuple, "NUMBERING": dict}


@pytest.mark.parametrize(("text", "kind", "index", "shown"), [
    ("cpu", "cpu", None, "cpu"), ("cuda:1", "cuda", 1, "cuda:1"), ("cuda", "cuda", 0, "cuda:0"),
    ("rocm:0", "rocm", 0, "rocm:0"), ("mps", "mps", 0, "mps:0"), ("xpu:12", "xpu", 12, "xpu:12"),
])
def test_a_device_has_one_spelling(text: str, kind: str, index: int | None, shown: str):
    device = devices.parsed(text)

    assert (kind, index, shown) == (device.kind, device.index, str(device))
    assert device == devices.recorded(shown)
    assert (kind, index or 0) == (of_worker.kind(shown), of_worker.index(shown))
    assert device.is_host is of_worker.is_host(shown) is (kind == "cpu")


@pytest.mark.parametrize(("text", "sentence"), [
    ("cdua:0", "no device 'cdua'; did you mean 'cuda'? known: cpu, cuda, mps, rocm, xpu"),
    ("cuda:x", "a device is a kind and a number, as cuda:0, not 'cuda:x'; kinds: cpu, cuda, mps, rocm, xpu"),
    ("cuda:-1", "not 'cuda:-1'"), ("", "not ''"),
    ("cpu:0", "'cpu:0' has a number, and the host has one cpu; write cpu"),
])
def test_what_is_no_device_is_answered_with_a_sentence(text: str, sentence: str):
    with pytest.raises(UserError, match=re.escape(sentence)):
        devices.parsed(text)


def test_a_device_of_a_record_may_be_of_a_kind_that_this_version_does_not_have():
    assert [True, False, False, False] == [devices.is_host(text) for text in ("cpu", "cuda:1", "tpu:0", "gpu")]
    assert "tpu:3" == str(devices.recorded("tpu:3"))


@pytest.mark.parametrize("kind", devices.NAMES)
def test_a_kind_of_device_has_all_constants(kind: str):
    constants = devices.load(kind)

    assert {name: type(getattr(constants, name)) for name in CONSTANTS} == CONSTANTS
    assert constants.TELEMETRY is None or constants.TELEMETRY in sources.NAMES
    assert constants.NEVER_RAN is None or constants.NEVER_RAN.startswith("No trial of Rigmark has run on")


def test_a_kind_that_never_ran_is_told_so_in_the_record():
    reason = devices.refusal("torch", Device("rocm", 0), frameworks.load("torch").DEVICES)

    assert reason is not None
    assert "does not run on 'rocm:0'; it runs on: cpu, cuda. No trial of Rigmark has run on a GPU of AMD" in reason
    assert devices.refusal("torch", Device("cuda", 0), frameworks.load("torch").DEVICES) is None
    assert devices.refusal("numpy", Device("cuda", 1), ("cpu",)) == "numpy does not run on 'cuda:1'; it runs on: cpu"


def test_no_worker_starts_for_a_device_that_its_framework_lacks(tmp_path: Path):
    launcher = Answering()

    record = measure(tmp_path, launcher=launcher, devices=(Device("xpu", 0),)).stored[-1]

    assert {"probe"} >= {*launcher.asked}
    assert record.outcome is Outcome.UNSUPPORTED
    assert "runs on: cpu. No trial of Rigmark has run on a GPU of Intel" in str(record.reason)


def test_a_record_holds_the_text_of_a_device():
    assert ["cpu", "cuda:2"] == [
        make_record(case=replace(CASE, device=device)).plain()["identity"]["case"]["device"]
        for device in (CPU, Device("cuda", 2))
    ]


# One place ------------------------------------------------------------------------------------------------------------

READERS = {"startswith", "split", "partition", "rpartition", "removeprefix"}
EXEMPT = ("bench/devices/", "bench/worker/devices.py", "bench/importers/")      # which read what others write
OF_DEVICE = re.compile(r"""(str\()?[\w.\[\]"']*(\bdevice|\[['"]device['"]\]|\.get\(['"]device['"].*\))( or .*)?\)?""")


def read_elsewhere(source: str) -> Iterator[int]:
    """Lines that take the text of a device apart, or compare it with the name of a kind."""
    words = {":", *devices.NAMES}
    for node in ast.walk(ast.parse(source if "device" in source else "")):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in READERS:
            read, against = node.func.value, node.args
        elif isinstance(node, ast.Compare):
            read, against = node.left, node.comparators
        else:
            continue
        texts = {part.value for each in against for part in ast.walk(each) if isinstance(part, ast.Constant)}
        if texts & words and OF_DEVICE.fullmatch(ast.unparse(read)):
            yield node.lineno


def test_the_text_of_a_device_is_read_in_one_place():
    result = [
        f"{name}:{line}" for folder in ("bench", "reports", "suites") for path in sorted((ROOT / folder).rglob("*.py"))
        if not (name := path.relative_to(ROOT).as_posix()).startswith(EXEMPT)
        for line in read_elsewhere(path.read_text(encoding="utf-8"))
    ]

    assert not result


@pytest.mark.parametrize("code", [
    'case.device.startswith("cpu")', 'str(row["device"]).split(":")', 'settings["device"] != "cpu"',
    'row.get("device") == "cpu"', 'device in ("cpu", "cuda")', 'str(each.facts["device"]).startswith(("cpu", "mps"))',
])
def test_a_reader_of_devices_is_seen(code: str):
    assert [1] == list(read_elsewhere(code))
