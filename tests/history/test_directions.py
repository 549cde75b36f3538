"""Which way a figure of another project is better, by the words of its unit and name."""

from __future__ import annotations

import pytest

from rigmark.bench.history.directions import by_words
from rigmark.bench.history.series import Grounds

CONTRADICTION, NAME, NONE, UNIT = Grounds.CONTRADICTION, Grounds.NAME, Grounds.NONE, Grounds.UNIT


@pytest.mark.parametrize("unit", [
    "images/s", "img/s", "samples / sec", "GB per second", "tokens per second", "MiB/s", "it/s", "1/s", "s^-1",
    "images s-1", "images·s⁻¹", "steps s**-1", "images/s/GPU", "images/1000 s", "GFLOPS", "GFLOP/s", "gflops", "TFLOPS",
    "fps", "FPS", "GB/h", "Hz", "images/J", "tokens per joule", "samples/s/W", "Gbps",
])
def test_more_of_a_rate_is_better(unit: str):
    direction = by_words(unit, "suite.track_it")

    assert (direction.is_higher_better, direction.grounds) == (True, UNIT)


@pytest.mark.parametrize("unit", [
    "s", "seconds", "ms", "µs", "seconds/step", "ms per image", "s/image", "J/image", "kWh", "bytes", "MiB", "errors/s",
    "cache misses per second", "bytes/row",
])
def test_less_time_energy_memory_and_trouble_is_better(unit: str):
    direction = by_words(unit, "suite.track_it")

    assert (direction.is_higher_better, direction.grounds) == (False, UNIT)


@pytest.mark.parametrize(("name", "expected"), [
    ("suite.track_fps", True), ("suite.track_images_per_second", True), ("suite.track_samples_per_sec", True),
    ("suite.track_gflops", True), ("TrackImagesPerSecond", True), ("suite.Case.track_decodeFPS", True),
    ("track_tokens_per_s", True), ("track_throughput", True), ("track_bandwidth", True), ("track_accuracy", True),
    ("track_speedup", True), ("track_10_images_per_second", True), ("track_step_time", False),
    ("track_time_per_image", False), ("track_p99_latency", False), ("track_training_loss", False),
    ("track_error_rate", False), ("track_peak_mem", False), ("track_min_time", False), ("track_total_ms", False),
])
def test_a_name_tells_where_the_unit_does_not(name: str, expected: bool):
    direction = by_words("unit", name)

    assert (direction.is_higher_better, direction.grounds) == (expected, NAME)


@pytest.mark.parametrize(("unit", "name", "grounds"), [
    ("unit", "track_score", NONE), ("", "track_it", NONE), ("gpointss", "track_gpointss", NONE),
    ("%", "track_it", NONE), ("W", "track_power", NONE), ("J/s", "track_it", NONE),
    ("s/s", "track_it", NONE),
    ("GFLOPs", "track_model", NONE),                         # a count, as often as a rate
    ("unit", "track_min", NONE),                             # no minutes, and "lossless" is no loss
    ("unit", "track_lossless", NONE), ("steps-1", "track_it", NONE),
    ("unit", "track_time_to_accuracy", NONE),                # both ways in one name
    ("unit", "track_latency_at_100_images_per_second", NONE),
    ("unit", "time_series.Throughput.track_it", NONE),       # modules and classes are not the figure
    ("MB", "track_bandwidth", CONTRADICTION), ("seconds", "track_throughput", CONTRADICTION),
])
def test_what_neither_tells_or_each_tells_otherwise_is_not_known(unit: str, name: str, grounds: Grounds):
    direction = by_words(unit, name)

    assert (direction.is_higher_better, direction.grounds) == (None, grounds)


def test_where_both_tell_the_same_it_is_the_unit_that_is_named():
    assert by_words("img/s", "suite.track_speed").grounds is UNIT
