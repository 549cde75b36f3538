"""Speed on a card that was not measured: a range and its reason, or a refusal."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest

from rigmark.bench.buying.prediction import Prediction, Reference, Refusal, fit, left_out_errors, predicted
from rigmark.bench.machine.gpu_specifications import Card, by_key

GTX_1070 = by_key("geforce-gtx-1070")
CARD = replace(GTX_1070, key="a", name="A", fp32_flops_per_s=10e12, bandwidth_bytes_per_s=400e9)
TWICE_THE_FLOPS = replace(CARD, key="b", name="B", fp32_flops_per_s=20e12, bandwidth_bytes_per_s=500e9)


def reference(card: Card = CARD, speed: float = 100.0, **facts: Any) -> Reference:
    known = {"precision": "fp32", "busy_ratio": 1.0, "software": "torch 2.9"}
    return Reference(**{"card": card, "samples_per_s": speed, **known, **facts})


def one(*references: Reference, target: Card = TWICE_THE_FLOPS) -> Prediction:
    prediction = predicted(references or (reference(),), target)
    assert isinstance(prediction, Prediction)
    return prediction


def test_a_card_lies_between_its_ratios_and_the_point_in_their_geometric_middle():
    finding = one()                            # 2x in arithmetic, 1.25x in bandwidth

    assert 100 * math.sqrt(2 * 1.25) == pytest.approx(finding.value)
    assert (100 * 1.25 * 0.9, 100 * 2 * 1.1) == pytest.approx((finding.low, finding.high))
    assert "range" == finding.method
    assert finding.reasons[0].startswith("B has 2.00x in arithmetic, 1.25x in memory bandwidth of A, widened by 10%")


@pytest.mark.parametrize(
    ("slow", "fast", "claimed"),
    [("geforce-gtx-960", "geforce-gtx-1080", 460 / 140), ("geforce-gtx-1080", "geforce-gtx-1080-ti", 620 / 460),
     ("geforce-gtx-1070", "geforce-gtx-1080", 1 / 0.75)],
)
def test_the_documents_ratios_lie_within(slow: str, fast: str, claimed: float):
    finding = one(reference(by_key(slow), 1.0), target=by_key(fast))

    assert finding.low < claimed < finding.high


@pytest.mark.parametrize(
    ("changes", "facts", "reason"),
    [
        ({"vendor": "amd"}, {}, "vendors differ"),
        ({"is_capped": True, "tdp_w": 70.0, "desktop_tdp_w": 100.0}, {}, "capped (70 of 100 W)"),
        ({"has_tensor_cores": True, "tensor_flops_per_s": 80e12}, {"precision": "fp16"}, "in tensor cores"),
    ],
)
def test_what_was_seldom_tried_widens_the_range(changes: dict[str, Any], facts: dict[str, Any], reason: str):
    finding = one(reference(**facts), target=replace(TWICE_THE_FLOPS, **changes))

    assert any(reason in said for said in finding.reasons)
    assert 100 * 1.25 * 0.75 == pytest.approx(finding.low)


def test_tensor_cores_that_only_one_has_stretch_the_range_to_their_rate():
    target = replace(TWICE_THE_FLOPS, tensor_flops_per_s=80e12)

    assert 100 * 8 * 1.25 == pytest.approx(one(reference(precision="fp16"), target=target).high)


def test_tensor_cores_that_differ_by_another_ratio_than_vector_units_stretch_the_range_too():
    """On paper an H100 has 0.62x the FP32 of a 4090, and 5.0x its products of matrices."""
    finding = one(reference(by_key("geforce-rtx-4090"), precision="fp16"), target=by_key("h100-pcie-80gb"))
    vector = one(reference(by_key("geforce-rtx-4090")), target=by_key("h100-pcie-80gb"))

    assert finding.high > 4.5 * 100 > vector.high
    assert finding.low < vector.low
    assert any("the ratios of tensor cores and of vector units differ" in said for said in finding.reasons)


def test_tensor_cores_that_differ_as_vector_units_do_change_nothing():
    finding = one(reference(by_key("geforce-rtx-3090"), precision="fp16"), target=by_key("geforce-rtx-4090"))

    assert "widened by 10%" in finding.reasons[0]
    assert "tensor" not in finding.reasons[0]


def test_a_card_whose_tensor_cores_are_not_stated_is_no_card_without_any():
    """Its FP32 against the other's tensor cores would be a ratio of unlike things."""
    finding = one(reference(by_key("geforce-rtx-4090"), precision="fp16"),
                  target=by_key("rtx-pro-6000-blackwell-max-q"))

    assert finding.value > 100
    assert any("the speed of the tensor cores of RTX PRO 6000 Blackwell Max-Q is not known" in said
               for said in finding.reasons)


def test_a_power_cap_below_the_threshold_counts_as_no_cap():
    target = replace(TWICE_THE_FLOPS, is_capped=True, tdp_w=80.0, desktop_tdp_w=100.0)

    assert 100 * 1.25 * 0.9 == pytest.approx(one(target=target).low)


# Who sets the pace ----------------------------------------------------------------------------------------------------

SLOWER = replace(CARD, key="s", name="S", fp32_flops_per_s=5e12, bandwidth_bytes_per_s=200e9)


def test_software_that_is_not_stated_widens_the_range():
    finding = one(reference(software=""))

    assert (100 * 1.25 * 0.75, 100 * 2 * 1.25) == pytest.approx((finding.low, finding.high))
    assert any("the software of A is not stated" in reason for reason in finding.reasons)


@pytest.mark.parametrize("target", [TWICE_THE_FLOPS, SLOWER])
@pytest.mark.parametrize("step_time_s", [None, 0.04])
def test_where_launching_may_have_held_the_gpu_up_another_card_may_be_just_as_fast(
    target: Card, step_time_s: float | None,
):
    """At batch 12 five cards take the same 0.14 s for a step of DenseNet-201, whatever their data sheets say."""
    finding = one(reference(busy_ratio=None, step_time_s=step_time_s), target=target)

    assert finding.low < 0.8 * 100
    assert finding.high > 1.2 * 100
    assert any("includes 1.00x" in reason for reason in finding.reasons)


def test_a_long_step_is_not_held_up_by_launching():
    finding = one(reference(busy_ratio=None, step_time_s=0.5))

    assert (100 * 1.25 * 0.9, 100 * 2 * 1.1) == pytest.approx((finding.low, finding.high))


def test_a_busy_gpu_did_not_wait_but_a_faster_one_may():
    faster, slower = (one(reference(step_time_s=0.01), target=target) for target in (TWICE_THE_FLOPS, SLOWER))

    assert faster.low < 100
    assert (50 * 0.9, 50 * 1.1) == pytest.approx((slower.low, slower.high))


@pytest.mark.parametrize(
    ("measured", "target", "reason"),
    [
        (reference(busy_ratio=0.6), TWICE_THE_FLOPS, "busy for only 60% of the time"),
        (reference(by_key("tesla-k80")), GTX_1070, "to the Kepler 2.0 generation"),
        (reference(), by_key("tesla-k80"), "to the Kepler 2.0 generation"),
        (reference(), replace(CARD, key="c", name="C", bandwidth_bytes_per_s=None),
         "memory bandwidth of C is not known"),
    ],
)
def test_where_nothing_follows_it_says_why(measured: Reference, target: Card, reason: str):
    prediction = predicted([measured], target)

    assert isinstance(prediction, Refusal)
    assert reason in prediction.reason


def test_without_any_gpu_there_is_nothing_to_predict_from():
    assert isinstance(predicted([], CARD), Refusal)


# Several cards --------------------------------------------------------------------------------------------------------


def card(key: str, tflops: float, gb_per_s: float) -> Card:
    return replace(CARD, key=key, name=key, fp32_flops_per_s=tflops * 1e12, bandwidth_bytes_per_s=gb_per_s * 1e9)


def of_terms(of: Card, arithmetic: float = 40e9, memory: float = 1e9, rest_s: float = 1e-3) -> Reference:
    """What a network of these three terms does on a card."""
    assert of.fp32_flops_per_s
    assert of.bandwidth_bytes_per_s
    return reference(of, 1 / (arithmetic / of.fp32_flops_per_s + memory / of.bandwidth_bytes_per_s + rest_s))


CARDS = [card("a", 10, 400), card("b", 20, 500), card("c", 12, 900), card("d", 40, 1000), card("e", 5, 200)]


MANY = [card(f"{flops}-{rate}", flops, rate) for flops in (5, 10, 20, 40) for rate in (200, 400, 800, 1600)]


def test_the_three_terms_are_found_again():
    fitted = fit([of_terms(each) for each in MANY])

    assert (40e9, 1e9, 1e-3) == pytest.approx((fitted.arithmetic_flops, fitted.memory_bytes, fitted.rest_s), rel=0.02)
    assert of_terms(CARDS[2]).samples_per_s == pytest.approx(fitted.samples_per_s(CARDS[2]) or 0, rel=0.01)


def test_cards_of_one_kind_do_not_have_all_of_a_step_as_what_no_card_makes_faster():
    """They tell nothing of the terms, so the middle is expected: half of a step 11/8.5 as long, half 480/320.

    The slower of them on paper is 1 % faster, as measured cards are: taken at its word, no card would be any slower.
    """
    twins = [reference(card("a", 11, 480), 100.0), reference(card("b", 10.7, 475), 101.0)]

    assert 100 / (0.5 * 11 / 8.5 + 0.5 * 480 / 320) == pytest.approx(
        fit(twins).samples_per_s(card("c", 8.5, 320)) or 0, rel=0.03)


def test_with_several_cards_the_fit_speaks_and_shows_the_error_of_leaving_one_out():
    finding = one(*(of_terms(each) for each in CARDS[:4]), target=CARDS[4])

    assert "fit" == finding.method
    assert finding.error == pytest.approx(0, abs=0.05)
    assert of_terms(CARDS[4]).samples_per_s == pytest.approx(finding.value, rel=0.02)
    assert finding.value / 1.1 == pytest.approx(finding.low)             # never narrower than a tenth


def test_a_card_that_does_not_go_with_the_others_widens_the_range():
    odd = replace(of_terms(CARDS[3]), samples_per_s=2 * of_terms(CARDS[3]).samples_per_s)
    references = [*(of_terms(each) for each in CARDS[:3]), odd]

    assert max(left_out_errors(references)) > 0.3
    finding = one(*references, target=CARDS[4])
    assert finding.low < 0.8 * finding.value
    assert finding.high > 1.3 * finding.value


def test_two_cards_may_agree_by_luck_so_their_range_takes_in_that_of_one():
    finding = one(of_terms(CARDS[0]), of_terms(CARDS[1]), target=CARDS[3])
    alone = one(of_terms(CARDS[1]), target=CARDS[3])                  # the nearest

    assert finding.low <= alone.low
    assert finding.high >= alone.high


def test_a_fit_to_gpus_that_may_have_waited_takes_in_the_range_of_one():
    waited = [replace(of_terms(each), busy_ratio=None, step_time_s=0.05) for each in CARDS[:4]]
    result, alone = one(*waited, target=CARDS[4]), one(waited[0], target=CARDS[4])      # the nearest

    assert "fit" == result.method
    assert result.low <= alone.low
    assert result.high >= alone.high


def test_figures_without_their_software_are_not_fitted_together():
    finding = one(*(replace(of_terms(each), software="") for each in CARDS[:4]), target=CARDS[4])

    assert "range" == finding.method


def test_a_fit_says_nothing_of_another_maker():
    references = [of_terms(each) for each in CARDS[:4]]
    finding = one(*references, target=replace(CARDS[4], vendor="amd"))

    assert "range" == finding.method
    assert any("vendors differ" in reason for reason in finding.reasons)
    assert "fit" == one(*references, reference(replace(CARDS[4], key="f", vendor="amd")), target=CARDS[4]).method


def test_figures_of_other_software_are_not_mixed_in():
    other = replace(of_terms(CARDS[1]), software="another")
    finding = one(of_terms(CARDS[0]), other, target=CARDS[3])

    assert ("range", "another") == (finding.method, finding.software)


def test_the_same_architecture_says_most():
    other = replace(of_terms(CARDS[1]), card=replace(CARDS[1], architecture="Maxwell 2.0"))
    finding = one(of_terms(CARDS[0]), other, target=CARDS[3])

    assert "range" == finding.method
    assert " of a, " in finding.reasons[0]
