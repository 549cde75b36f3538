"""Who has the turn: one side at a time, in an order drawn by a coin; and what is said of a side that fails."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from typing import Any

import pytest

from rigmark.bench.enums import Outcome
from rigmark.bench.processes.persistent import Ended
from rigmark.bench.processes.spawn import Answer
from rigmark.bench.trials.kinds import pair

GB = 10**9


class Worker:
    """A live worker whose timings take ``step_s``; everything that is asked of it goes into a log that all share."""

    def __init__(self, side: str, log: list[str], *, step_s: float = 0.01, ends: dict[str, Outcome] | None = None,
                 peak_memory_bytes: int = GB):
        self._side, self._log, self._step_s, self._ends = side, log, step_s, ends or {}
        self._peak = peak_memory_bytes

    def __enter__(self) -> Worker:
        self._log.append(f"{self._side} starts")
        return self

    def __exit__(self, *error: object) -> None:
        self._log.append(f"{self._side} is gone")

    def next_answer(self) -> dict[str, Any]:
        self._fail("ready")
        self._log.append(f"{self._side} is ready")
        return {"event": "ready", "peak_memory_bytes": self._peak, "peak_memory_method": "process_resident"}

    def ask(self, do: str, **more: Any) -> dict[str, Any]:
        self._log.append(f"{self._side} {do}")
        self._fail(do)
        if do == "warm_up":
            return {"timings_s": [self._step_s] * 3}
        time_s = more["timings"] * self.step_time_s()
        return {"time_s": time_s, "host_time_s": time_s, "cpu_time_s": time_s, "idle_cpu_time_s": 0.0}

    def step_time_s(self) -> float:
        return self._step_s

    def end(self) -> Answer:
        self._log.append(f"{self._side} ends")
        return answer(self._ends.get("end", Outcome.OK))

    def _fail(self, do: str) -> None:
        if do in self._ends:
            raise Ended(answer(self._ends[do]))


def answer(outcome: Outcome) -> Answer:
    reason = None if outcome is Outcome.OK else "no such kernel"
    return Answer(outcome=outcome, reason=reason, result={}, marks={}, last_words="", wall_time_s=0.0)


def measure(
    *, seed: str = "1", max_time_s: float = 100.0, needed_bytes: int | None = None,
    base: dict[str, Any] | None = None, new: dict[str, Any] | None = None,
) -> tuple[Answer, list[str]]:
    """A pair, and everything that was done, in order."""
    log: list[str] = []
    starts: dict[str, Callable[[bool], Any]] = {
        "base": lambda beside: Worker("base", log, **(base or {})),
        "new": lambda beside: Worker("new", log, **(new or {})),
    }
    return pair.measure(starts, seed=seed, max_time_s=max_time_s, needed_bytes=needed_bytes), log


@pytest.fixture(autouse=True)
def plenty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pair, "available_memory_bytes", lambda: 100 * GB)


def turns_of(log: list[str]) -> list[str]:
    return [line.split()[0] for line in log if line.endswith(" turn")]


# Turns ---------------------------------------------------------------------------------------------------------------


def test_both_sides_have_one_turn_in_each_pair_of_turns():
    measured, log = measure()

    taken = turns_of(log)
    assert 2 * pair.TURNS_AT_ONCE == len(taken)
    assert all({"base", "new"} == set(taken[i:i + 2]) for i in range(0, len(taken), 2))
    assert taken[::2] == measured.result["first"]
    assert (Outcome.OK, "turns", None) == (measured.outcome, measured.result["design"], measured.result["why"])


def test_neither_side_warms_up_before_both_are_there_and_both_live_until_the_last_turn():
    _, log = measure()

    last_turn = len(log) - 1 - [line.endswith(" turn") for line in reversed(log)].index(True)
    starts = [index for index, line in enumerate(log) if line.endswith("starts")]
    assert max(starts) < log.index("base warm_up")
    assert min(log.index("base is gone"), log.index("new is gone")) > last_turn


def test_a_coin_decides_who_starts_and_who_goes_first_and_the_seed_decides_the_coin():
    orders = [measure(seed=str(seed))[0].result for seed in range(100)]

    started = [order["started_first"] for order in orders]
    first = [side for order in orders for side in order["first"]]
    assert 30 < started.count("base") < 70             # 4 standard deviations
    assert 1390 < first.count("base") < 1610
    assert 3000 == len(first)
    assert measure(seed="7")[0].result["first"] == orders[7]["first"]


def test_many_short_steps_make_one_turn_and_as_many_on_both_sides():
    measured, _ = measure(base={"step_s": 0.00004}, new={"step_s": 0.00005})

    assert 25 == measured.result["timings_per_turn"]      # 1 ms of the faster one
    assert pytest.approx(25 * 0.00004) == measured.result["base"]["times_s"][0]
    assert pytest.approx(25 * 0.00005) == measured.result["new"]["times_s"][0]


def test_steps_that_take_long_have_fewer_turns_and_never_too_few():
    measured, _ = measure(max_time_s=0.0)

    assert pair.FEWEST_TURNS == len(measured.result["first"]) == len(measured.result["new"]["times_s"])


def test_turns_go_on_while_they_are_noisy_for_as_long_as_the_start_took(monkeypatch: pytest.MonkeyPatch):
    clock = iter([0.0, 0.0, 20.0, *([20.0] * 3 * pair.TURNS_AT_ONCE), *([40.0] * 1000)])
    monkeypatch.setattr(pair.time, "monotonic", lambda: next(clock))
    noise = random.Random(1)
    monkeypatch.setattr(Worker, "step_time_s", lambda self: 0.01 * noise.uniform(0.5, 1.5))

    measured, _ = measure(max_time_s=1000.0)

    turns = len(measured.result["first"])
    assert pair.TURNS_AT_ONCE < turns < 5 * pair.TURNS_AT_ONCE
    assert 0 == turns % pair.TURNS_AT_ONCE


def test_the_standard_error_is_that_of_a_median_and_the_same_for_both_sides():
    noise = random.Random(1)
    turns = [(0.01 * math.exp(noise.gauss(0, 0.1)), 0.01) for _ in range(10_000)]
    base, new = zip(*turns, strict=True)

    assert pair.standard_error(base, new) == pytest.approx(1.2533 * 0.1 / 100, rel=0.05)
    assert pair.standard_error(base, new) == pytest.approx(pair.standard_error(new, base))
    assert math.inf == pair.standard_error([0.0, 0.1], [0.1, 0.1])


# Sides that fail -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("moment", ["ready", "warm_up", "turn", "end"])
@pytest.mark.parametrize("side", ["base", "new"])
def test_a_side_that_fails_is_named_and_neither_is_left_behind(side: str, moment: str):
    measured, log = measure(**{side: {"ends": {moment: Outcome.CRASHED}}})   # type: ignore[arg-type]

    assert (Outcome.CRASHED, f"{side}: no such kernel") == (measured.outcome, measured.reason)
    assert log.count("base starts") == log.count("base is gone")
    assert log.count("new starts") == log.count("new is gone")


# Memory --------------------------------------------------------------------------------------------------------------


def test_where_both_do_not_fit_in_memory_whole_processes_alternate_and_it_is_stated(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(pair, "available_memory_bytes", lambda: GB // 2)

    measured, log = measure()

    alive = 0
    for line in log:
        alive += line.endswith("starts") - line.endswith("is gone")
        assert alive <= 1
    assert (Outcome.OK, "alternating") == (measured.outcome, measured.result["design"])
    assert "the second process needs 1.10 GB, but 0.50 GB are free" == measured.result["why"]
    assert pair.TURNS_ALONE == len(measured.result["base"]["times_s"]) == len(measured.result["new"]["times_s"])


def test_what_an_earlier_pair_needed_decides_before_anything_starts(monkeypatch: pytest.MonkeyPatch):
    first, _ = measure()
    needed = pair.memory_of({side: {"peak_memory_bytes": GB, "peak_memory_method": "process_resident"}
                             for side in pair.SIDES})
    monkeypatch.setattr(pair, "available_memory_bytes", lambda: 2 * GB)

    measured, log = measure(needed_bytes=needed)

    assert ("turns", "alternating") == (first.result["design"], measured.result["design"])
    assert "both processes need 2.20 GB, but 2.00 GB are free" == measured.result["why"]
    assert 2 == len([line for line in log if line.endswith("starts")])


def test_both_sides_load_at_once_where_it_is_known_that_they_fit():
    _, one_by_one = measure()
    _, at_once = measure(needed_bytes=2 * GB)

    assert ["starts", "is ready"] * 2 == [line.split(" ", 1)[1] for line in one_by_one[:4]]
    assert ["starts"] * 2 + ["is ready"] * 2 == [line.split(" ", 1)[1] for line in at_once[:4]]


def test_a_side_that_finds_no_memory_beside_the_other_gets_all_of_it(monkeypatch: pytest.MonkeyPatch):
    class Crowded(Worker):
        """Needs the device for itself."""

        def next_answer(self) -> dict[str, Any]:
            if len([line for line in self._log if line.endswith("starts")]) == 2:
                raise Ended(answer(Outcome.OUT_OF_MEMORY))
            return super().next_answer()

    log: list[str] = []
    starts = {side: lambda beside, side=side: Crowded(side, log) for side in pair.SIDES}   # type: ignore[misc]

    measured = pair.measure(starts, seed="1", max_time_s=100.0)

    assert (Outcome.OK, "alternating") == (measured.outcome, measured.result["design"])
    assert "ran out of memory beside the other: no such kernel" in measured.result["why"]


def test_a_side_that_does_not_even_fit_alone_is_out_of_memory():
    measured, _ = measure(new={"ends": {"ready": Outcome.OUT_OF_MEMORY}})

    assert (Outcome.OUT_OF_MEMORY, "new: no such kernel") == (measured.outcome, measured.reason)


def test_a_containers_limit_counts_where_it_is_below_what_the_host_has(tmp_path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.undo()
    monkeypatch.setattr(pair, "CGROUP", tmp_path)
    without = pair.available_memory_bytes()
    (tmp_path / "memory.max").write_text("3000\n")
    (tmp_path / "memory.current").write_text("1000\n")

    assert 2000 == pair.available_memory_bytes() < without
