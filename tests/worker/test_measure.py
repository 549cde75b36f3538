"""The measuring loop: when it is warm, when it has enough, and what stands between two readings of the clock."""

from __future__ import annotations

from typing import Any

from rigmark.bench.worker import measure
from tests.fakes import Clock, Network


def plan(**changes: Any) -> dict[str, Any]:
    return {
        "steps_per_timing": 1, "min_timings": 4, "min_time_s": 1.0, "max_time_s": 10.0, "warm_up_max_s": 5.0, **changes
    }


def warm_up(step_times_s: list[float], **changes: Any) -> list[float]:
    clock = Clock()
    return measure.warm_up(Network(clock, step_times_s), plan(**changes), clock)


def timed(step_times_s: list[float], *, has_device_timer: bool = False, **changes: Any) -> dict[str, Any]:
    clock = Clock()
    network = Network(clock, step_times_s, has_device_timer=has_device_timer)
    return measure.timed(network, plan(**changes), clock, cpu_clock=clock)


def test_a_network_with_steady_steps_is_warm_after_six():
    assert [0.5] * 6 == warm_up([0.5])


def test_warm_up_goes_on_while_steps_get_faster():
    falling = [2.0, 1.75, 1.5, 1.25, 1.0, 0.75, 0.5]

    assert [*falling, *[0.25] * 5] == warm_up([*falling, 0.25], warm_up_max_s=100)     # medians: 0.25 after 0.25


def test_a_single_slow_step_does_not_pass_for_warming():
    assert 6 == len(warm_up([0.01, 0.01, 5.0, 0.01, 0.01, 0.01], warm_up_max_s=100))


def test_warm_up_ends_at_its_limit_though_steps_still_get_faster():
    assert 3 == len(warm_up([3.0, 1.5, 0.75, 0.3, 0.1], warm_up_max_s=5.0))


def test_a_slow_network_warms_up_with_two_steps_even_beyond_the_limit():
    assert [60.0, 60.0] == warm_up([60.0], warm_up_max_s=5.0)


def test_timing_goes_on_until_the_least_number_and_the_least_time_are_both_there():
    by_number = timed([2.0], min_timings=4, min_time_s=1.0)
    by_time = timed([0.125], min_timings=4, min_time_s=1.0)

    assert [2.0] * 4 == by_number["timings_s"]
    assert [0.125] * 8 == by_time["timings_s"]
    assert "enough" == by_number["stopped_by"] == by_time["stopped_by"]


def test_timing_ends_at_the_time_limit_and_says_so():
    result = timed([4.0], min_timings=10, max_time_s=10.0)

    assert [4.0] * 3 == result["timings_s"]
    assert "time_limit" == result["stopped_by"]


def test_there_are_never_fewer_than_two_timings():
    assert [100.0] * 2 == timed([100.0], max_time_s=10.0)["timings_s"]


def test_a_timing_may_span_several_steps():
    result = timed([0.25], steps_per_timing=4, min_timings=2)

    assert [1.0, 1.0] == result["timings_s"]
    assert 4 == result["steps_per_timing"]


def test_each_host_timing_has_its_cpu_time_beside_it():
    result = timed([0.5], min_timings=3)

    assert "host" == result["clock"]
    assert [0.5] * 3 == result["host_times_s"] == result["cpu_times_s"]


def test_a_device_with_a_clock_of_its_own_is_timed_by_it():
    result = timed([0.5], has_device_timer=True, min_timings=3)

    assert "device" == result["clock"]
    assert [0.25] * 3 == result["timings_s"]
    assert [0.5] * 3 == result["host_times_s"]       # the witness beside it


def calls_of_timed(*, has_device_timer: bool = False, **changes: Any) -> list[str]:
    clock = Clock()
    network = Network(clock, [1.0], has_device_timer=has_device_timer)
    measure.timed(
        network, plan(min_time_s=0.0, **changes), network.watched("clock", clock), network.watched("cpu clock", clock)
    )
    return network.calls


def test_nothing_but_steps_and_their_synchronisation_stands_between_two_clock_readings():
    begin, *calls = calls_of_timed(min_timings=3)

    assert "clock" == begin
    assert calls == ["cpu clock", "clock", "clock", "step", "synchronize", "clock", "clock", "cpu clock"] * 3


def test_the_host_synchronises_once_a_timing_and_not_once_a_step():
    _, *calls = calls_of_timed(min_timings=2, steps_per_timing=3)

    assert calls == [
        "cpu clock", "clock", "clock", "step", "step", "step", "synchronize", "clock", "clock", "cpu clock"
    ] * 2


def test_the_device_clock_is_read_after_the_synchronisation():
    _, *calls = calls_of_timed(has_device_timer=True, min_timings=2)

    assert calls == [
        "cpu clock", "clock", "device start", "step", "device stop", "synchronize", "device elapsed", "clock",
        "cpu clock",
    ] * 2


def test_the_first_step_is_timed_with_its_synchronisation():
    clock = Clock()
    network = Network(clock, [7.0])

    assert measure.one_step(network, network.watched("clock", clock)) == 7.0
    assert network.calls == ["clock", "step", "synchronize", "clock"]
