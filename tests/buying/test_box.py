"""What a machine must hold, by hand; the document's box among others."""

from __future__ import annotations

import pytest

from rigmark.bench.buying.box import endurance, link_use, missing_plugs, supply, widths
from rigmark.bench.machine.gpu_specifications import pcie_bytes_per_s


def test_the_document_s_box_needs_550_w_so_that_650_is_a_size_to_spare():
    need = supply(140, [150], 75)

    assert 456.25 == need.steady_w           # 365 / 0.8
    assert 440 == need.transient_w           # 140 + 75 + 1.5 x 150
    assert 550 == need.size_w


def test_a_second_card_is_too_much_for_650_w():
    need = supply(140, [150, 150], 75)

    assert (643.75, 665) == (need.steady_w, need.transient_w)
    assert 750 == need.size_w
    assert supply(400, [600] * 4, 100).size_w is None


def test_pci_express_3_with_8_lanes_gives_7_877_gb_s():
    assert 7.877 == pytest.approx(pcie_bytes_per_s(3, 8) / 1e9, abs=5e-4)
    assert 4.0 == pytest.approx(pcie_bytes_per_s(2, 8) / 1e9)        # 5 GT/s x 8 / 10 bits / 8


@pytest.mark.parametrize(
    ("cards", "taken", "expected"),
    [(1, 0, [16]), (2, 4, [16, 16]), (3, 0, [16, 16, 8]), (3, 4, [16, 8, 8]), (4, 0, [16, 8, 8, 8]), (11, 0, None)],
)
def test_40_lanes_are_shared_as_boards_share_them(cards: int, taken: int, expected: list[int] | None):
    assert expected == widths(cards, 40, taken)


def test_a_plug_of_eight_pins_serves_six_and_not_the_other_way():
    assert [] == missing_plugs(["6-pin", "8-pin"], ["8-pin", "8-pin"])
    assert ["8-pin"] == missing_plugs(["8-pin"], ["6-pin"])
    assert ["8-pin"] == missing_plugs(["6-pin", "8-pin", "8-pin"], ["8-pin", "6-pin"])


def test_use_of_a_link_counts_input_and_gradients():
    # 100 samples/s of 1 MB, and 100 MB of gradients twice a second around two cards, on 1 GB/s: 0.1 + 0.2.
    assert 0.3 == pytest.approx(link_use(100, 1e6, 100e6, 2, 2, 1e9))
    assert 0.1 == pytest.approx(link_use(100, 1e6, 100e6, 2, 1, 1e9))


@pytest.mark.parametrize(("late_s", "words"), [(1.0, "keeps its speed"), (1.06, "slows a little"), (1.25, "throttles")])
def test_a_laptop_is_judged_by_what_it_sustains(late_s: float, words: str):
    result = endurance([1.0] * 60 + [late_s] * 600)

    assert result is not None
    assert 1 / late_s == pytest.approx(result.ratio)
    assert words == result.words


def test_a_short_trial_says_nothing_of_heat():
    assert endurance([1.0] * 599) is None
