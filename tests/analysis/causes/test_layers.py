"""Which layers have a difference: found where there is one, and never named where it is common to all."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest

from rigmark.bench.analysis.causes import layers
from rigmark.bench.analysis.causes.layers import PAIRS, Place, Profiles
from rigmark.bench.analysis.layers.layers import UNATTRIBUTED

TIMES_S = {"conv1": 4e-3, "relu1": 2e-4, "conv2": 6e-3, "relu2": 1e-4, "dense": 1e-3, UNATTRIBUTED: 5e-4}


def profiled(
    factors: Mapping[str, float], *, common: float = 1.0, noise: float = 0.02, drift: float = 0.05, pairs: int = PAIRS,
    seed: int = 0,
) -> Profiles:
    """Rows of which new takes ``factors`` times as long; each process has a speed of its own, each row noise."""
    rng = np.random.default_rng(seed)
    base_s = np.array([*TIMES_S.values()])
    new_s = base_s * common * np.array([factors.get(name, 1.0) for name in TIMES_S])

    def measured(times_s: np.ndarray) -> np.ndarray:
        of_process = np.exp(rng.normal(0, drift, (pairs, 1)))
        return np.asarray(times_s * of_process * np.exp(rng.normal(0, noise, (pairs, len(times_s)))))

    rows = tuple((name, None if name == UNATTRIBUTED else "forward") for name in TIMES_S)
    return Profiles(rows=rows, base=measured(base_s), new=measured(new_s))


def named(place: Place) -> list[str]:
    return [each.layer for each in place.located]


@pytest.mark.parametrize(("layer", "factor"), [("conv1", 1.48), ("conv2", 1.3), ("dense", 2.0), ("relu1", 8.0)])
def test_the_layer_that_became_slower_is_named_with_its_share(layer: str, factor: float):
    place = layers.place(profiled({layer: factor}), (factor - 1) * TIMES_S[layer])

    assert [layer] == named(place)
    assert place.share is not None
    assert place.share.low < 1 < place.share.high
    assert place.is_in_layers


def test_a_large_layer_that_became_many_times_slower_is_named_although_the_others_are_little_beside_it_then():
    assert ["conv2"] == named(layers.place(profiled({"conv2": 120.0}), 119 * TIMES_S["conv2"]))


def test_a_layer_that_became_faster_is_named_too():
    assert ["conv2"] == named(layers.place(profiled({"conv2": 0.6}), -2.4e-3))
    assert [] == named(layers.place(profiled({"conv2": 0.6}), 2.4e-3))


def test_two_layers_are_named_the_larger_part_first():
    assert ["conv2", "conv1"] == named(layers.place(profiled({"conv1": 1.4, "conv2": 1.5}, drift=0.01), 4.6e-3))


def test_what_the_host_does_between_layers_is_no_layer():
    place = layers.place(profiled({UNATTRIBUTED: 6.0}), 2.5e-3)

    assert [UNATTRIBUTED] == named(place)
    assert not place.is_in_layers


def test_a_slowdown_that_all_share_names_none_of_them():
    places = [
        layers.place(profiled({}, common=common, seed=seed), (common - 1) * sum(TIMES_S.values()))
        for seed in range(60) for common in (1.05, 1.3)
    ]

    assert [] == [named(place) for place in places if place.located]


def test_a_slowdown_that_all_share_is_spread():
    assert layers.place(profiled({}, common=1.3, drift=0.01), 0.3 * sum(TIMES_S.values())).is_spread


def test_overhead_that_stays_as_it_is_does_not_make_the_layers_stand_out():
    common = dict.fromkeys([name for name in TIMES_S if name != UNATTRIBUTED], 1.3)

    assert [] == named(layers.place(profiled(common, noise=0.001, drift=0.0), 0.3 * 11.3e-3))


def test_a_layer_with_a_small_part_of_the_difference_is_not_its_place():
    place = layers.place(profiled({"dense": 2.0}, common=1.3, noise=0.002, drift=0.002), 4.8e-3)

    assert [] == named(place)
    assert place.is_seen
    assert not place.is_spread


def test_too_few_pairs_name_no_layer():
    assert [] == named(layers.place(profiled({"conv1": 3.0}, noise=0.001, pairs=PAIRS - 2), 8e-3))


@pytest.mark.parametrize("difference_s", [10e-3, 0.2e-3, -2e-3])
def test_profiles_without_the_difference_of_the_verdict_do_not_tell_its_place(difference_s: float):
    place = layers.place(profiled({"conv1": 1.5}, noise=0.001, drift=0.001), difference_s)     # they have 2 ms

    assert not place.is_seen
    assert [] == named(place)
