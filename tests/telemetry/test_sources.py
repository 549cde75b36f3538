"""What every source of telemetry must keep, also one that was just added."""

from __future__ import annotations

import json
import math
import os
import re

import pytest

from rigmark.bench.telemetry.series import REASONS, Described, described, packed, read_bytes, sifted
from rigmark.bench.telemetry.sources import (
    NAMES,
    Device,
    Field,
    Meaning,
    Reading,
    Reason,
    Source,
    Tier,
    Unavailable,
    Wanted,
    load,
)

UNITS = ("_s", "_w", "_j", "_hz", "_c", "_bytes", "_ratio")
COUNTS = re.compile(
    r".*(_faults|_periods|_throttles|_replays|_errors|_pending|_processes|_generation|_width|_state|_events)"
)


@pytest.mark.parametrize("name", NAMES)
def test_fields_say_what_they_are_and_in_which_unit(name: str):
    fields = load(name).FIELDS

    assert len({field.name for field in fields}) == len(fields) > 0
    for field in fields:
        assert field.name.endswith(UNITS) or COUNTS.fullmatch(field.name), field.name
        assert (field.meaning is Meaning.BITS) == bool(field.flags)
        assert field.meaning is not Meaning.GAUGE or field.plausible is not None, field.name


GAUGES = [(name, field) for name in NAMES for field in load(name).FIELDS if field.meaning is Meaning.GAUGE]


@pytest.mark.parametrize(("name", "field"), GAUGES, ids=lambda of: of if isinstance(of, str) else of.name)
def test_what_a_sensor_says_beyond_what_can_be_is_not_known(name: str, field: Field):
    """Nor what is beyond the limit that its device tells of itself."""
    assert field.plausible is not None
    of = field.plausible.of or "nothing"
    half = field.plausible.high / field.plausible.times / 2
    devices = [Device(id="a", kind="gpu", name="a"), Device(id="b", kind="gpu", name="b", facts={of: half}),
               Device(id="c", kind="gpu", name="c", facts={of: 0})]
    source = Described(name=name, rate_hz=1.0, fields=(field,), devices=tuple(devices))
    ends = [field.plausible.ends(device.facts) for device in devices]
    said = [(device, value, low <= value <= high) for device, (low, high) in enumerate(ends)
            for value in (low, high, low - 1e-9 * high, high * (1 + 1e-9), math.inf, math.nan)]
    content = b"".join(packed(0, Reading(device, 0, 0, 0, value, None)) for device, value, _ in said)

    readings = sifted(read_bytes(content), [source])

    assert [is_sound for _, _, is_sound in said] == [REASONS[code] is None for code in readings["reason"]]
    assert ends[0] == ends[2]
    assert field.plausible.of is None or ends[1][1] < ends[0][1]
    assert {None, Reason.IMPLAUSIBLE} == {REASONS[code] for code in readings["reason"]}


@pytest.mark.parametrize("name", NAMES)
def test_fields_of_one_name_mean_one_thing_in_every_source(name: str):
    """Findings and figures go by the name."""
    elsewhere = {field.name: field for other in NAMES for field in load(other).FIELDS}

    for field in load(name).FIELDS:
        assert field.meaning is elsewhere[field.name].meaning


@pytest.mark.parametrize("name", NAMES)
def test_a_source_opens_here_or_says_in_a_sentence_why_not(name: str):
    module = load(name)
    try:
        source: Source = module.open_source(Wanted())
    except Unavailable as error:
        sentence = str(error)
        assert len(sentence) > 20
        return
    try:
        for processes in ((os.getpid(),), ()):
            source.watch(processes)
            for tier in Tier:
                for reading in source.read(tier):
                    assert_sound(reading, module.FIELDS, len(source.devices), tier)
        plain = Described(name=name, rate_hz=1.0, fields=tuple(module.FIELDS), devices=tuple(source.devices)).plain()
        assert plain == described(json.loads(json.dumps(plain))).plain()
    finally:
        source.close()


def assert_sound(reading: Reading, fields: tuple[object, ...], devices: int, tier: Tier) -> None:
    assert 0 <= reading.device < devices
    assert fields[reading.field].tier is tier       # type: ignore[attr-defined]
    assert reading.begin_ns <= reading.end_ns
    assert (reading.value is None) == isinstance(reading.reason, Reason)
