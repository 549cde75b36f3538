"""Loading batches, checking the first step against the oracle, and timing: shared by all kinds that time a network."""

import time

import numpy as np

from .. import host, measure, rendezvous
from ..samples import first, joined, mapped, taken, unpacked
from ..samples import first_loss as loss_of_step
from . import Failed
from ._common import arrays, has_dropout, loss_of, prepare


def started(job, answers, first_step):
    """(adapter, network with its batches loaded, facts so far), after the first loss was compared with the oracle's.

    ``first_step(prepared)`` runs that step and returns its time in s. Raises Failed if the losses differ.
    """
    graph, mode = job["graph"], job["settings"]["mode"]
    module, prepared, seconds = prepare(job, arrays(job["weights"]), answers)
    loaded = loaded_batches(job)
    first_loss = None
    if mode == "training" and has_dropout(graph):
        devices = len(job.get("shards", [None]))
        x, y = (part_of_each(each, devices, job["check_samples"]) for each in loaded[0])
        first_loss = check_loss(prepared, graph, mode, x, y)
    prepared.load(loaded)
    answers.mark("loaded")

    first_step_s = first_step(prepared)
    answers.mark("stepped")
    if mode == "decode":
        prepared.keep_first()        # which is held to the oracle with the last ones
        return module, prepared, {
            "prepare_time_s": seconds, "first_step_s": first_step_s, "first_loss": None, "expected_loss": None,
            "batches": len(loaded),
        }
    result = prepared.result()
    if mode == "inference":
        first_loss = loss_of(graph["loss"], np.asarray(first(result), np.float64), loaded[0][1])[0]
    elif first_loss is None:
        first_loss = loss_of_step(result)
    expected = job["expected_loss"]
    if not abs(first_loss - expected) <= job["loss_tolerance"] * abs(expected):
        raise Failed("parity_failed", "first loss %.9g, the oracle's is %.9g (tolerance %g)" % (
            first_loss, expected, job["loss_tolerance"]))
    return module, prepared, {
        "prepare_time_s": seconds, "first_step_s": first_step_s, "first_loss": first_loss, "expected_loss": expected,
        "batches": len(loaded),
    }


def check_loss(prepared, graph, mode, x, y):
    """The loss of a timed trial that is compared with the oracle's.

    In training without dropout it is the loss of the first step. Otherwise it is that of the network's output in
    inference mode, since the timed dropout draws its own masks.
    """
    if mode == "training" and not has_dropout(graph):
        return loss_of_step(prepared.gradients(x, y, {})[0])
    return loss_of(graph["loss"], np.asarray(first(prepared.forward(x)), np.float64), y)[0]


def loaded_batches(job):
    """The batches of this process; each contains the samples of all its devices, one device after the other."""
    samples, local_batch = job["batch_samples"], job["timing"]["local_batch"]
    inputs = inputs_of(job)
    places = range(max(1, min(len(y) // samples for _, y in inputs)))
    of_devices = [[batch(each, samples, place, local_batch) for place in places] for each in inputs]
    if len(of_devices) == 1:
        return of_devices[0]
    return [tuple(joined(parts) for parts in zip(*each)) for each in zip(*of_devices)]


def samples_of(job, place, count):
    """[(x, y)] of each device: the first ``count`` samples of the batch of step number ``place``."""
    return [batch(each, job["batch_samples"], place, count) for each in inputs_of(job)]


def inputs_of(job):
    """[(x, y)] of each device of this process."""
    files = (arrays(path) for path in (job["shards"] if job.get("world") else [job["inputs"]]))
    return [(taken(job["graph"], each), each["y"]) for each in files]


def batch(inputs, samples, place, length):
    """(x, y) of batch number ``place``; each has ``samples`` samples, which are repeated up to ``length``."""
    begin = place % max(1, len(inputs[1]) // samples) * samples
    return tuple(mapped(lambda each: filled(each[begin:begin + samples], length), value) for value in inputs)


def filled(array, length):
    """The samples, repeated until there are ``length``; a length that needs too much memory fails immediately."""
    if length <= len(array):
        return array[:length]
    result = np.empty((length, *array.shape[1:]), array.dtype)
    for start in range(0, length, len(array)):
        result[start:start + len(array)] = array[:length - start]
    return result


def part_of_each(value, devices, samples):
    """The first so many samples of each device, of the samples of all devices."""
    return mapped(
        lambda array: np.concatenate([part[:samples] for part in np.split(np.asarray(array), devices)]), value
    )


def timed_steps(prepared, timing, answers, ranks=rendezvous.ALONE):
    """Runs warm-up and timed steps; also measures the CPU time of other processes meanwhile."""
    ranks.decided(None)       # waits, since ranks are not ready at the same time
    answers.mark("warm_up")
    warm_up = measure.warm_up(prepared, timing, decided=ranks.decided)
    prepared.forget_peak_memory()
    answers.mark("steady")
    busy_before_s = host.busy_cpu_s()
    own_before_s = time.process_time()
    timings = measure.timed(prepared, timing, decided=ranks.decided)
    own_s = time.process_time() - own_before_s
    busy_after_s = host.busy_cpu_s()
    answers.mark("timed")
    return dict(
        timings, warm_up_timings_s=warm_up, host=host.settings(),
        other_cpu_time_s=None if busy_after_s is None else max(0.0, busy_after_s - busy_before_s - own_s),
    )


def refuse_replaced_clocks():
    """Raises Failed if a clock by which steps are timed is no longer Python's own."""
    replaced = measure.replaced_clocks()
    if replaced:
        raise Failed("parity_failed", "time.%s was replaced in this process, so that no time can be trusted; find what "
                     "replaced it" % replaced[0])


def last_result(prepared):
    """The result of the last step; raises Failed if it is not finite."""
    last = prepared.result()
    if not all(np.all(np.isfinite(each)) for each in unpacked(last)):
        raise Failed("parity_failed", "the result is no longer finite after the timed steps")
    return last
