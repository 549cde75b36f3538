"""The measuring loop: warm-up until steady, then timed steps. Nothing else happens between the clock reads."""

import time
import types

WINDOW = 3              # warm-up timings that are compared with the WINDOW before them
STILL_FASTER = 0.95     # not warm if the median of a window is below this share of the previous one


def replaced_clocks():
    """Names of the functions of ``time`` that are not Python's own any more, or not those that steps are timed by."""
    clocks = dict(zip(("perf_counter", "process_time"), timed.__defaults__))
    return [
        name for name, clock in sorted(clocks.items())
        if not isinstance(clock, types.BuiltinFunctionType) or clock.__name__ != name or getattr(time, name) != clock
    ]


def one_step(prepared, clock=time.perf_counter):
    """Seconds of the very first step, in which the framework compiles or tunes."""
    start = clock()
    prepared.step()
    prepared.synchronize()
    return clock() - start


def alone(answer):
    """The decision of a single process: its own answer."""
    return answer


def warm_up(prepared, plan, clock=time.perf_counter, decided=alone):
    """Timings in seconds until they no longer decrease, or until ``plan["warm_up_max_s"]`` is spent.

    Warm means that the median of the last three is at most 5 % below that of the three before. At least two timings are
    taken, so that slow networks warm up too. ``decided`` returns the decision of rank 0 in all ranks at the same time.
    """
    timings_s = []
    begin = clock()
    while True:
        timings_s.append(_host_timing(prepared, plan["steps_per_timing"], clock))
        is_spent = len(timings_s) >= 2 and clock() - begin >= plan["warm_up_max_s"]
        if decided(is_spent or _is_steady(timings_s)):
            return timings_s


def _is_steady(timings_s):
    if len(timings_s) < 2 * WINDOW:
        return False
    before, last = sorted(timings_s[-2 * WINDOW:-WINDOW]), sorted(timings_s[-WINDOW:])
    return last[WINDOW // 2] >= STILL_FASTER * before[WINDOW // 2]


def _host_timing(prepared, steps, clock):
    start = clock()
    for _ in range(steps):
        prepared.step()
    prepared.synchronize()
    return clock() - start


def _device_timing(prepared, steps, timer):
    timer.start()
    for _ in range(steps):
        prepared.step()
    timer.stop()
    prepared.synchronize()
    return timer.elapsed_s()


def one_timing(prepared, steps, timer, clock=time.perf_counter):
    """Seconds of ``steps`` steps and a synchronisation, on the device's ``timer``, or on the host's clock if None."""
    return _device_timing(prepared, steps, timer) if timer else _host_timing(prepared, steps, clock)


def timed(prepared, plan, clock=time.perf_counter, cpu_clock=time.process_time, decided=alone):
    """Timings over ``steps_per_timing`` steps each, every one ended by a synchronisation.

    It stops when there are both ``min_timings`` timings and ``min_time_s`` seconds, or after ``max_time_s`` with at
    least two. ``timings_s`` are on the device's clock if it has one, else on the host's; ``host_times_s`` and
    ``cpu_times_s`` (of the whole process with all threads) are recorded for comparison. ``decided`` is as in warm_up:
    all ranks take the same number of timings, and begin each of them together.
    """
    timer = prepared.device_timer()
    steps = plan["steps_per_timing"]
    timings_s, host_times_s, cpu_times_s = [], [], []
    begin = clock()
    while True:
        cpu_start = cpu_clock()
        start = clock()
        timing_s = one_timing(prepared, steps, timer, clock)
        stop = clock()
        cpu_times_s.append(cpu_clock() - cpu_start)
        host_times_s.append(stop - start)
        timings_s.append(timing_s)
        stopped_by = decided(_stopped_by(plan, len(timings_s), stop - begin))
        if stopped_by:
            break
    return {
        "timings_s": timings_s, "host_times_s": host_times_s, "cpu_times_s": cpu_times_s,
        "steps_per_timing": steps, "clock": "host" if timer is None else "device", "stopped_by": stopped_by,
    }


def _stopped_by(plan, timings, time_s):
    """Why there are enough timings; None if there are not."""
    if timings >= plan["min_timings"] and time_s >= plan["min_time_s"]:
        return "enough"
    return "time_limit" if timings >= 2 and time_s >= plan["max_time_s"] else None
