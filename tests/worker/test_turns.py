"""Steps on command: what is timed in a turn, and what a worker did while it should have slept."""

from __future__ import annotations

import itertools
import json
from typing import Any

import pytest

from rigmark.bench.worker import turns
from tests.fakes import Clock, Network

PLAN = {"steps_per_timing": 2, "warm_up_max_s": 5.0}
TURN = {"do": "turn", "timings": 3}


class Answers(list[dict[str, Any]]):
    """What the worker sent."""

    def send(self, event: str, **facts: Any) -> None:
        self.append({"event": event, **facts})

    def mark(self, name: str) -> None:
        self.send("mark", mark=name)


def told(*commands: dict[str, Any], network: Network | None = None, clock: Clock | None = None) -> Answers:
    """The answers of a network whose steps take 0.25 s, and whose CPU clock advances by 1 s whenever it is read."""
    answers, clock = Answers(), clock or Clock()
    lines = (json.dumps(command) for command in commands)
    cpu_clock = itertools.count().__next__
    turns.take(network or Network(clock, [0.25]), PLAN, lines, answers, clock, cpu_clock)
    return answers


def test_a_turn_takes_the_timings_that_it_was_told_after_a_step_that_fetches_back_what_the_caches_lost():
    clock = Clock()
    network = Network(clock, [0.25])

    (answer,) = told(TURN, network=network, clock=clock)

    assert ["step", "synchronize", *["step", "step", "synchronize"] * 3] == network.calls
    assert (1.5, 1.5) == (answer["time_s"], answer["host_time_s"])


def test_a_device_with_a_clock_of_its_own_is_timed_by_it():
    clock = Clock()

    (answer,) = told(TURN, network=Network(clock, [0.5], has_device_timer=True), clock=clock)

    assert (0.75, 3.0) == (answer["time_s"], answer["host_time_s"])


def test_what_a_worker_does_between_its_turns_is_reported_and_is_not_part_of_them():
    first, second = told(TURN, TURN)

    assert (1, None) == (first["cpu_time_s"], first["idle_cpu_time_s"])
    assert (1, 1) == (second["cpu_time_s"], second["idle_cpu_time_s"])     # from the last reading to the next


def test_it_warms_up_when_it_is_told_to_and_says_how_long_its_timings_took():
    network = Network(clock := Clock(), [0.25])
    warm, steady = told({"do": "warm_up"}, network=network, clock=clock)

    assert {"event": "warm", "timings_s": [0.5] * 6} == warm
    assert {"event": "mark", "mark": "steady"} == steady
    assert "forget_peak_memory" == network.calls[-1]         # what was tried out to find the fastest way


@pytest.mark.parametrize("commands", [[], [{"do": "end"}, TURN]])
def test_it_ends_when_it_is_told_to_and_when_nobody_tells_it_anything_any_more(commands: list[dict[str, Any]]):
    assert [] == told(*commands)
