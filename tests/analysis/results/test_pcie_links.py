"""A PCIe link as it ran under load, against what card and slot could do, in words and milliseconds."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from rigmark.bench import models
from rigmark.bench.analysis.results.pcie_links import Link
from rigmark.bench.buying import holding
from rigmark.bench.buying.terms import Network
from rigmark.bench.machine.gpu_specifications import by_key
from tests.analysis.results.test_telemetry_findings import block
from tests.records import CASE, MACHINE, make_record, measurement, trials_of

NETWORK = Network(parameters=25_000_000, sample_bytes=600_000, graph=models.build("mlp"))
FULL = Link(generation=4, lanes=16, most_generation=4, most_lanes=16)


def linked(folder: Path, networks: dict[str, Network] | None = None, *, name: str = "NVIDIA A100", **gpu: Any) -> Any:
    seen = block(gpu=gpu)
    seen["devices"][2]["name"] = name
    record = make_record(
        case=replace(CASE, device="cuda:0"), machine=replace(MACHINE, gpus=(name,)), telemetry=seen,
        measurement=measurement(0.1),
    )
    return holding.linked(trials_of(folder, [record]), networks or {})


def value(number: float) -> dict[str, float]:
    return {"mean": number, "max": number}


def test_half_the_lanes_take_twice_as_long_by_hand(tmp_path: Path):
    """16 GT/s x 8 lanes x 128/130 / 8 bits = 15.75 GB/s: 1 GB takes 63.5 ms, twice as long as with 16 lanes."""
    (link,) = linked(tmp_path, {"mlp": NETWORK}, pcie_link_width=value(8))

    assert link.words.startswith(
        "ran at x8 of x16 and PCIe 4.0: 15.75 GB/s each way, so that a transfer of 1 GB takes 63.5 ms, 31.7 ms longer "
        "than on a link of 31.51 GB/s")
    assert "the input of a batch of mlp (19.2 MB) takes 1.22 ms in a step of 100 ms, 0.609 ms longer" in link.words
    assert "NVIDIA A100 with AMD EPYC 9B14" == link.subject


def test_a_full_link_is_said_to_be_one(tmp_path: Path):
    (link,) = linked(tmp_path)

    assert link.words.endswith("a transfer of 1 GB takes 31.7 ms; that is its maximum")
    assert () == link.link.below


def test_a_card_on_paper_tells_what_its_slot_hides(tmp_path: Path):
    """The driver says that card and slot can do eight lanes of PCIe 3.0; the 3090 has sixteen of 4.0."""
    seen = block(gpu={"pcie_link_width": value(8), "pcie_link_generation": value(3)},
                 facts={"pcie_link_width_max": 8, "pcie_link_generation_max": 3})
    seen["devices"][2]["name"] = "NVIDIA GeForce RTX 3090"
    record = make_record(case=replace(CASE, device="cuda:0"), telemetry=seen)
    (link,) = holding.linked(trials_of(tmp_path, [record]), {})

    assert link.words.startswith("ran at x8 of x16 and PCIe 3.0 of PCIe 4.0: 7.88 GB/s each way")


@pytest.mark.parametrize("gpu", [{"busy_ratio": value(0.0)}, {"pcie_link_width": {}, "pcie_link_generation": {}}])
def test_nothing_is_stated_of_a_link_that_idled_or_is_unknown(gpu: dict[str, Any], tmp_path: Path):
    assert [] == linked(tmp_path, **gpu)


def test_the_latest_trial_counts(tmp_path: Path):
    case = replace(CASE, device="cuda:0")
    early = make_record(case=case, repetition=0, telemetry=block(gpu={"pcie_link_width": value(4)}))
    late = make_record(case=case, repetition=1, telemetry=block())

    assert [16] == [each.link.lanes for each in holding.linked(trials_of(tmp_path, [late, early]), {})]


def test_a_rate_that_is_not_known_is_none():
    assert replace(FULL, generation=9).bytes_per_s is None
    assert replace(FULL, lanes=None).bytes_per_s is None
    assert 31.5e9 == pytest.approx(FULL.bytes_per_s or 0, rel=1e-3)
    assert 16 == replace(FULL, most_lanes=None).against(by_key("geforce-rtx-3090")).most_lanes


def test_without_telemetry_there_is_no_link(tmp_path: Path):
    trials = trials_of(tmp_path, [make_record()])

    assert [] == holding.linked(trials, {})
    assert [] == holding.linked(pd.DataFrame(columns=list(trials.columns)), {})
