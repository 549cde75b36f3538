"""Where the time of a step goes: instrumented steps and plain ones in turns, in one process."""

import collections
import math
import time

from . import measure

UNATTRIBUTED = "(unattributed)"

TURNS = 5    # instrumenting is held against plain steps; in turns, the machine's drift falls on both alike


def steps_in_turns(plan, step_time_s):
    """How many steps each turn takes: enough for ``min_timings`` and ``min_time_s``, within ``max_time_s``."""
    wanted = max(plan["min_timings"], math.ceil(plan["min_time_s"] / step_time_s))
    steps = max(2, min(wanted, int(plan["max_time_s"] / step_time_s)))
    turns = min(TURNS, steps)
    return [math.ceil(steps / float(turns))] * turns


def taken_apart(prepared, plan, mark, clock=time.perf_counter):
    """Rows of a step's time in seconds, and the step times of the instrumented and of the plain steps beside them.

    A row's ``time_s`` is the mean over all instrumented steps, its ``turn_times_s`` that over the steps of each turn,
    of which the median holds whatever one step did; ``problem`` is what the framework's trace lacks (None: nothing),
    ``resolution_s`` the shortest time that its clock can tell from none (None: not known). Steps are synchronised one
    by one, however many the case lets run ahead. ``mark`` is told when warm-up begins and ends.
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
    """The rows of several turns as one, each turn weighing as much as it has steps."""
    found = collections.OrderedDict()
    for place, turn in enumerate(turns):
        for row in turn["layers"]:
            merged = found.setdefault((row["layer"], row["direction"]), dict(row, turn_times_s=[0.0] * len(turns)))
            merged["turn_times_s"][place] += row["time_s"]
            merged.update(joined(merged, row))
    return [dict(row, time_s=mean_s(row["turn_times_s"], turns)) for row in found.values()]


def mean_s(turn_times_s, turns):
    """Of all steps, from that of each turn's."""
    steps = [len(turn["step_times_s"]) for turn in turns]
    return math.fsum(time_s * n for time_s, n in zip(turn_times_s, steps)) / sum(steps)


def joined(row, other):
    """{"members": those of both rows of one layer}, or nothing where both are of that layer alone."""
    members = row.get("members", [])
    members = members + [name for name in other.get("members", []) if name not in members]
    return {"members": members} if members else {}


def with_residual(rows, turns):
    """The rows, and last one of the time that belongs to none of them, so that they add up to the step."""
    rests_s = []
    for place, turn in enumerate(turns):
        step_time_s = math.fsum(turn["step_times_s"]) / len(turn["step_times_s"])
        rests_s.append(step_time_s - math.fsum(row["turn_times_s"][place] for row in rows))
    rest = {"layer": UNATTRIBUTED, "direction": None, "time_s": mean_s(rests_s, turns), "turn_times_s": rests_s}
    return [*rows, rest]
