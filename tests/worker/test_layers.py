"""Taking steps apart: how many, in turns with plain ones, and rows that add up."""

from __future__ import annotations

import math
from typing import Any

import pytest

from rigmark.bench.worker import layers
from rigmark.bench.worker.tracing.timeline import Timeline
from tests.fakes import Clock, Network

PLAN = {"steps_per_timing": 20, "min_timings": 10, "min_time_s": 1.0, "max_time_s": 20.0, "warm_up_max_s": 5.0}


class Instrumented(Network):
    """Steps of 0.25 s; an instrumented one takes 0.5 s, 0.375 s of it in two rows."""

    def __init__(self, clock: Clock):
        super().__init__(clock, [0.25])

    def layer_times(self, steps: int) -> dict[str, Any]:
        self.calls += ["instrumented step"] * steps
        self._clock.now_s += 0.5 * steps
        return {
            "step_times_s": [0.5] * steps,
            "layers": [
                {"layer": "conv", "direction": "forward", "time_s": 0.25},
                {"layer": "(optimizer)", "direction": "update", "time_s": 0.125},
            ],
        }


def profiled(**changes: Any) -> tuple[Instrumented, dict[str, Any]]:
    clock = Clock()
    network = Instrumented(clock)
    return network, layers.profile(network, {**PLAN, **changes}, network.calls.append, clock)


@pytest.mark.parametrize(
    ("step_time_s", "turns"),
    [
        (0.001, [200] * 5),      # as long as min_time_s
        (0.5, [2] * 5),          # min_timings
        (4.0, [1] * 5),          # as many as max_time_s allows
        (60.0, [1] * 2),         # never fewer than two
    ],
)
def test_there_are_as_many_steps_as_a_timing_trial_would_take(step_time_s: float, turns: list[int]):
    assert turns == layers.steps_in_turns(PLAN, step_time_s)


def test_plain_and_instrumented_steps_take_turns_and_each_is_synchronised():
    network, profile = profiled()
    marks = [network.calls.index(mark) for mark in ("warm_up", "steady")]
    steps = [call for call in network.calls[marks[1] + 1:] if call != "synchronize"]

    assert ["step", "step", "instrumented step", "instrumented step"] * 5 == steps
    assert network.calls[marks[0] + 1:marks[1]].count("step") == len(profile["warm_up_timings_s"])
    assert [0.25] * 10 == profile["plain_step_times_s"]
    assert [0.5] * 10 == profile["step_times_s"]


def test_the_residual_makes_the_rows_add_up_to_the_step():
    rows = profiled()[1]["rows"]

    rest = {"layer": "(unattributed)", "direction": None, "time_s": 0.125, "turn_times_s": [0.125] * 5}
    assert rest == rows[-1]
    assert ["conv", "(optimizer)"] == [row["layer"] for row in rows[:-1]]
    assert 0.5 == math.fsum(row["time_s"] for row in rows)


def test_a_turn_weighs_as_much_as_it_has_steps():
    def turn(steps: int, time_s: float) -> dict[str, Any]:
        row = {"layer": "conv", "direction": "forward", "time_s": time_s}
        return {"step_times_s": [1.0] * steps, "layers": [row]}

    (row,) = layers.mean_rows([turn(3, 0.5), turn(1, 0.25)])

    assert (3 * 0.5 + 0.25) / 4 == row["time_s"]


def test_one_long_step_is_in_the_mean_and_outvoted_among_the_turns():
    def turn(time_s: float) -> dict[str, Any]:
        return {"step_times_s": [time_s + 0.5] * 2, "layers": [{"layer": "conv", "direction": None, "time_s": time_s}]}

    turns = [turn(time_s) for time_s in (0.25, 0.25, 8.0, 0.25, 0.25)]

    conv, rest = layers.with_residual(layers.mean_rows(turns), turns)

    assert [1.8, [0.25, 0.25, 8.0, 0.25, 0.25]] == [conv["time_s"], conv["turn_times_s"]]
    assert [0.5, [0.5] * 5] == [rest["time_s"], rest["turn_times_s"]]


def test_a_turn_in_which_nothing_ran_for_a_row_has_no_time_of_it():
    row = {"layer": "conv", "direction": None, "time_s": 0.5}
    turns = [{"step_times_s": [1.0], "layers": rows} for rows in ([], [row])]

    assert [0.0, 0.5] == layers.mean_rows(turns)[0]["turn_times_s"]


def test_members_of_one_row_are_those_of_all_turns():
    def turn(*members: str) -> dict[str, Any]:
        row = {"layer": "conv", "direction": "forward", "time_s": 0.5}
        return {"step_times_s": [1.0], "layers": [{**row, "members": list(members)} if members else row]}

    fused = [turn("conv", "relu"), turn(), turn("conv", "pool")]
    assert ["conv", "relu", "pool"] == layers.mean_rows(fused)[0]["members"]
    assert "members" not in layers.mean_rows([turn(), turn()])[0]


def test_a_timeline_books_each_moment_once():
    clock = Clock()
    timeline = Timeline(mark=clock)

    def spend(seconds: float) -> None:
        clock.now_s += seconds

    def work() -> str:
        timeline.booked(("conv", "forward"), spend)(0.5)
        spend(0.25)                                  # between layers: no row's
        timeline.booked(("relu", "forward"), spend)(0.125)
        return "done"

    timeline.add_row(("flatten", "forward"))
    for _ in range(2):
        assert "done" == timeline.step(work, lambda: None)
    result = timeline.plain()

    assert [0.875] * 2 == result["step_times_s"]
    assert {"flatten": 0.0, "conv": 0.5, "relu": 0.125} == {row["layer"]: row["time_s"] for row in result["layers"]}


def test_a_timeline_on_a_device_reads_its_marks_only_when_the_step_has_finished():
    calls: list[str] = []

    def mark() -> int:
        calls.append("mark")
        return len(calls)

    def elapsed_s(begin: int, end: int) -> float:
        calls.append("elapsed")
        return 0.5

    timeline = Timeline(mark, elapsed_s)
    timeline.step(lambda: timeline.switch(("conv", "forward")), lambda: calls.append("synchronize"))

    assert ["mark", "mark", "mark", "synchronize", "elapsed", "elapsed"] == calls
