"""Of one folder every verb says the same: its figures, its verdicts, what may be claimed by them."""

from __future__ import annotations

import dataclasses
import json
import math
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from rigmark.bench.analysis.statistics.decision import Verdict
from rigmark.bench.cli import main
from rigmark.bench.document.document import Standing
from rigmark.bench.enums import Isa
from rigmark.bench.store.record import Record
from rigmark.bench.store.store import Store
from tests.records import CASE, build_facts, timing_records, watched

Verb = Callable[..., str]

OF = {"torch": {"torch": "2.13.0"}, "tensorflow": {"tensorflow": "2.21.0"}}
CLAIMS = """
schema = 1

[source.us]
title = "Us"

[[claim]]
id = "faster"
says = "torch is faster than tensorflow."
source = "us"
quantity = "speed_up"
low = 1.0
where = { axis = "framework", of = "torch", over = "tensorflow" }
how = "in pairs"

[[claim]]
id = "native"
says = "Native code is faster."
source = "us"
quantity = "speed_up"
low = 1.0
where = { axis = "isa", of = "native", over = "sse41" }
how = "in pairs"

[[claim]]
id = "two"
says = "Two devices are faster than one."
source = "us"
quantity = "world_speed_up"
low = 1.0
where = { world_size = 2 }
how = "in pairs"

[[claim]]
id = "rate"
says = "It does 1,000 samples per second."
source = "us"
quantity = "throughput"
low = 1000
where = { mode = "inference" }
how = "samples/s"
"""


def framework(name: str, times_s: Sequence[float], **changes: Any) -> list[Record]:
    case = dataclasses.replace(CASE, framework=name, **changes)
    build = {**build_facts(), "framework_version": "2", "packages": OF[name]}
    return timing_records(times_s, case=case, build=build)


def wobbling(step_time_s: float, size: float, count: int = 8) -> list[float]:
    """Times that go up and down by a share, differently for each size."""
    return [step_time_s * math.exp(size * math.sin(3.0 * n + 100 * size)) for n in range(count)]


def noisy(faster: float, noise: float, count: int, **changes: Any) -> list[Record]:
    """torch so much faster than tensorflow, up and down by the noise."""
    return [*framework("torch", wobbling(0.01, 0.002, count), **changes),
            *framework("tensorflow", wobbling(0.01 * faster, noise, count), **changes)]


FOLDERS: dict[str, list[Record]] = {
    "clear": noisy(2.0, 0.05, 8),
    "six pairs": noisy(2.2, 0.15, 6),
    "two pairs": noisy(100.0, 2.0, 2),
    "noise": noisy(1.05, 0.3, 10),
    "the same": noisy(1.005, 0.004, 10),
    "a little": noisy(1.02, 0.004, 10),
    "slower": noisy(0.5, 0.05, 9),
    "one clear of three": [
        record for batch, faster in ((1, 2.0), (2, 1.01), (4, 1.0))
        for record in noisy(faster, 0.2, 8, local_batch=batch)
    ],
}


@pytest.fixture(name="verb")
def _verb(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Verb:
    """A verb's stdout, in a folder that holds the claims."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "claims.toml").write_text(CLAIMS, encoding="utf-8")

    def run(*arguments: str) -> str:
        monkeypatch.setattr(sys, "argv", ["rigmark", *arguments])
        capsys.readouterr()
        with pytest.raises(SystemExit):
            main()
        return capsys.readouterr().out

    return run


def store(records: Sequence[Record]) -> None:
    stored = Store(Path("results")).create()
    for record in records:
        stored.put(record)


def claimed(verb: Verb, name: str) -> dict[str, Any]:
    content = json.loads(verb("claims", "--claims", "claims.toml", "--json"))
    return next(each for each in content if each["id"] == name)


def card(page: str, batch: int) -> str:
    """The answer of the page's Markdown about the case of this batch, on one line."""
    lines = page.partition("## Verdict")[2].partition("\n## ")[0]
    return next(text for text in re.split(r"\n(?=- )|\n\n", lines) if f"(batch {batch}," in text)


STANDINGS = {
    Verdict.FASTER: {Standing.CLEAR}, Verdict.SLOWER: {Standing.CLEAR}, Verdict.SAME: {Standing.SAME},
    Verdict.INCONCLUSIVE: {Standing.OPEN, Standing.FEW}, Verdict.TOO_NOISY: {Standing.OPEN, Standing.FEW},
}


@pytest.mark.parametrize("name", FOLDERS)
def test_two_frameworks_stand_to_each_other_as_every_verb_says(verb: Verb, name: str) -> None:
    store(FOLDERS[name])

    cases = json.loads(verb("compare", "tensorflow", "torch", "--json"))["cases"]
    page = verb("report", "--format", "markdown")
    figures = {figure["about"]: figure for figure in claimed(verb, "faster")["figures"]}

    assert len(cases) == len(figures) == len({record.identity.case["local_batch"] for record in FOLDERS[name]})
    for case in cases:
        verdict, answer = Verdict(case["verdict"]), card(page, case["local_batch"])
        (figure,) = (figure for about, figure in figures.items() if about.endswith(f"batch {case['local_batch']}"))
        assert [standing for standing in STANDINGS[verdict] if f": {standing}" in answer.replace("*", "")], answer
        assert [case["speed_up"]["value"], case["pairs"]] == [pytest.approx(figure["value"]), figure["trials"]]
        if case["pairs"] >= 6:
            assert [case["speed_up"][end] for end in ("low", "high")] == pytest.approx([figure["low"], figure["high"]])
        says = {Verdict.FASTER: "confirmed", Verdict.SLOWER: "refuted"}.get(verdict, "open")
        assert figure["says"] == says
        if case["about_more_pairs"] and case["pairs"] >= 6 and verdict is Verdict.INCONCLUSIVE:
            assert f"needs about {case['about_more_pairs']} more" in answer


def test_the_folders_above_have_every_verdict(verb: Verb) -> None:
    """So that the agreement is not that of one word."""
    seen = set()
    for name, records in FOLDERS.items():
        stored = Store(Path(name)).create()
        for record in records:
            stored.put(record)
        seen |= {case["verdict"] for case in json.loads(
            verb("compare", f"{name}@tensorflow", f"{name}@torch", "--json"))["cases"]}

    assert set(Verdict) <= seen


def test_what_an_axis_brings_is_the_same_on_the_page_and_as_a_claim(verb: Verb) -> None:
    held = dataclasses.replace(CASE, isa=Isa.SSE41)
    store([*timing_records([1.47, 0.009], case=held, isa=watched("sse41")),
           *timing_records([1.0, 1.0], isa=watched("native"))])

    claim = claimed(verb, "native")

    assert "open" == claim["outcome"]
    assert "2 trials, but a verdict needs 8 or more" in claim["why"]
    assert "Here that is refuted" not in verb("report", "--format", "markdown")


@pytest.mark.parametrize(("step_time_s", "count", "outcome"), [
    (0.012, 8, "confirmed"), (0.024, 8, "refuted"), (0.012, 6, "open"), (0.02, 8, "open"),
])
def test_two_devices_over_one_are_the_same_in_scaling_and_as_a_claim(
    verb: Verb, step_time_s: float, count: int, outcome: str
) -> None:
    two = dataclasses.replace(CASE, world_size=2, strategy="ddp")
    store([*timing_records(wobbling(0.01, 0.01, count)), *timing_records(wobbling(step_time_s, 0.02, count), case=two)])

    (series,) = json.loads(verb("scaling", "--json"))
    (figure,) = claimed(verb, "two")["figures"]
    point = series["points"][1]

    assert [point[name] for name in ("speed_up", "speed_up_low", "speed_up_high")] == pytest.approx(
        [figure[name] for name in ("value", "low", "high")]
    )
    assert outcome == figure["says"]


def test_a_throughput_is_the_same_in_every_verb(verb: Verb) -> None:
    case = dataclasses.replace(CASE, mode="inference")
    store(timing_records(wobbling(0.01, 0.1, 8), case=case))

    (row,) = json.loads(verb("results", "--json"))
    (figure,) = claimed(verb, "rate")["figures"]
    short, page = verb("report"), verb("report", "--format", "markdown")

    columns = ("throughput_samples_per_s", "throughput_low_samples_per_s", "throughput_high_samples_per_s")
    assert [row[name] for name in columns] == [figure[name] for name in ("value", "low", "high")]
    assert (row["validity"] == "suspect") == figure["suspect"]
    (shown,) = set(re.findall(r"[\d,]+ \([\d,]+ to [\d,]+\)(?= samples/s)", short))
    assert shown in page
