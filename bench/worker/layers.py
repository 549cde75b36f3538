"""Per-layer profiles: instrumented and plain steps in turns, in one process."""

import collections
import math
import time

from . import measure

UNATTRIBUTED = "(unattributed)"

TURNS = 5    # of instrumented and plain steps, so that drift of the machine affects both alike


def steps_in_turns(plan, step_time_s):
    """The number of steps per turn: enough for ``min_timings`` and ``min_time_s``, within ``max_time_s``."""
    wanted = max(plan["min_timings"], math.ceil(plan["min_time_s"] / step_time_s))
    steps = max(2, min(wanted, int(plan["max_time_s"] / step_time_s)))
    turns = min(TURNS, steps)
    return [math.ceil(steps / float(turns))] * turns


def profile(prepared, plan, mark, clock=time.perf_counter):
    """The rows of a step's time in seconds, and the step times of the instrumented steps and of the plain ones.

    ``time_s`` of a row is the mean over all instrumented steps, ``turn_times_s`` are the means of each turn, whose
    median is robust against a single slow step. ``problem`` is what the framework's trace lacks (None: nothing),
    ``resolution_s`` the shortest time that its clock can measure (None: not known). Steps are synchronised one by one,
    however many the case lets run ahead. ``mark`` is called when warm-up begins and ends.
    """
    mark("warm_up")
    warm_up_s = measure.warm_up(prepared, dict(plan, steps_per_timing=1), clock)
    mark("steady")
    plain_step_times_s, turns = [], []
    for steps in steps_in_turns(plan, min(warm_up_s)):
        exactly = dict(plan, steps_per_timing=1, min_timings=steps, min_time_s=0.0, max_time_s=float("inf"))
        plain_step_times_s += measure.timed(prepared, exactly, clock)["timings_s"]
        turns.append(prepared.layer_times(steps))
    problems = [turn["problem"] for turn in turns if turn.get("problem")]
    return {
        "problem": problems[0] if problems else None,
        "resolution_s": max([turn["resolution_s"] for turn in turns if turn.get("resolution_s")], default=None),
        "warm_up_timings_s": warm_up_s,
        "plain_step_times_s": plain_step_times_s,
        "step_times_s": [time_s for turn in turns for time_s in turn["step_times_s"]],
        "rows": with_residual(mean_rows(turns), turns),
    }


def mean_rows(turns):
    """The mean rows of several turns, each weighted by its number of steps."""
    by_row = collections.OrderedDict()
    for place, turn in enumerate(turns):
        for row in turn["layers"]:
            merged = by_row.setdefault((row["layer"], row["direction"]), dict(row, turn_times_s=[0.0] * len(turns)))
            merged["turn_times_s"][place] += row["time_s"]
            merged.update(joined(merged, row))
    return [dict(row, time_s=mean_s(row["turn_times_s"], turns)) for row in by_row.values()]


def mean_s(turn_times_s, turns):
    """The mean over all steps, from the mean of each turn."""
    steps = [len(turn["step_times_s"]) for turn in turns]
    return math.fsum(time_s * n for time_s, n in zip(turn_times_s, steps)) / sum(steps)


def joined(row, other):
    """{"members": the members of both rows of one layer}, or {} if both rows belong to that layer alone."""
    members = row.get("members", [])
    members = members + [name for name in other.get("members", []) if name not in members]
    return {"members": members} if members else {}


def with_residual(rows, turns):
    """The rows with a last one for the time that belongs to none of them, so that they add up to the step."""
    rests_s = []
    for place, turn in enumerate(turns):
        step_time_s = math.fsum(turn["step_times_s"]) / len(turn["step_times_s"])
        rests_s.append(step_time_s - math.fsum(row["turn_times_s"][place] for row in rows))
    rest = {"layer": UNATTRIBUTED, "direction": None, "time_s": mean_s(rests_s, turns), "turn_times_s": rests_s}
    return [*rows, rest]
