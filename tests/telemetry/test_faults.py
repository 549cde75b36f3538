"""Every fault of a card, at every time, says what it is to say of a trial on that card, and nothing of one beside."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from rigmark.bench.analysis.results.validity import judge
from tests.telemetry import faults, simulator
from tests.telemetry.simulator import Driver


@pytest.fixture(scope="module")
def driver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Driver]:
    if simulator.compiler() is None:
        pytest.skip(simulator.MISSING)
    driver = Driver(tmp_path_factory.mktemp("driver"))
    yield driver
    driver.close()


@pytest.mark.parametrize("fault", faults.FAULTS)
def test_a_fault_is_reported_when_it_matters_and_of_the_card_that_has_it(driver: Driver, tmp_path: Path, fault: str):
    wrong = [
        f"{case}: {faults.in_words(judged)}" for case, judged in faults.played(driver, tmp_path, fault)
        if not faults.is_right(case, judged)
    ]

    assert [] == wrong


@pytest.mark.parametrize("fault", ["lost", "one memory error", "hot from then on", "4 MW"])
def test_cards_that_tell_one_uuid_are_distinguished(driver: Driver, tmp_path: Path, fault: str):
    more = "uuid 1 0\nset 1 power_w training 20 60 0.237\n"
    for case, judged in faults.played(driver, tmp_path, fault, more=more):
        gpu, = judged.seen.gpus
        assert (case, True) == (case, faults.is_right(case, judged))
        assert case.is_on_faulty or gpu.max("power_w") == 60.0


def test_a_block_that_is_neither_text_nor_typed_does_not_pass_for_none():
    with pytest.raises(TypeError):
        judge({"timings_s": [0.1], "host_times_s": [0.1], "telemetry": {"devices": [], "regions": []}})
