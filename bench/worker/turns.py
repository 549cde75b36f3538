"""Steps on command: a worker that sleeps while another one has its turn, so that both can use the same cores.

A command is a line of JSON on a pipe from the parent. ``{"do": "warm_up"}`` runs steps until they are steady;
``{"do": "turn", "timings": n}`` takes n timings; ``{"do": "end"}``, or the end of the pipe, ends the worker.
"""

import json
import time

from . import measure


def take(prepared, plan, commands, answers, clock=time.perf_counter, cpu_clock=time.process_time):
    """Executes each line of ``commands``, and sends one answer to each except the last; returns how many steps it took.

    A turn begins with a step that is not timed. The answer to a turn has the seconds of all its steps together:
    ``time_s`` on the device's clock if it has one, else the host's; ``host_time_s``; and ``cpu_time_s`` of all threads
    of this process. ``idle_cpu_time_s`` is the CPU time that the process used since its last turn, while it should have
    slept; None at the first turn.
    """
    timer = prepared.device_timer()
    slept_from_s, steps = None, 0
    for line in commands:
        command = json.loads(line)
        if command["do"] == "end":
            return steps
        if command["do"] == "warm_up":
            timings_s = measure.warm_up(prepared, plan, clock)
            steps += len(timings_s) * plan["steps_per_timing"]
            answers.send("warm", timings_s=timings_s)
            prepared.forget_peak_memory()
            answers.mark("steady")
            continue
        woken_s = cpu_clock()
        measure.one_timing(prepared, 1, timer, clock)        # refills the caches, which the other side has used
        cpu_start_s = cpu_clock()
        start = clock()
        times_s = [
            measure.one_timing(prepared, plan["steps_per_timing"], timer, clock) for _ in range(command["timings"])
        ]
        host_time_s = clock() - start
        cpu_stop_s = cpu_clock()
        answers.send(
            "turn", time_s=sum(times_s), host_time_s=host_time_s, cpu_time_s=cpu_stop_s - cpu_start_s,
            idle_cpu_time_s=None if slept_from_s is None else woken_s - slept_from_s,
        )
        slept_from_s = cpu_stop_s
        steps += 1 + command["timings"] * plan["steps_per_timing"]
    return steps
