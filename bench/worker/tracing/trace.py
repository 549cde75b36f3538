"""Turns the kernels in a framework's own trace into rows of a step's time."""

import collections

Kernel = collections.namedtuple("Kernel", "begin_s end_s row members")
"""One execution of a kernel: its begin and end, the (layer, direction) that it is assigned to (None: none), and the
names of all layers whose work it does, empty if it is only that layer."""


def outermost(spans):
    """Those spans (begin, end, ...) of one thread that are not inside another one, in order of their begin."""
    outer = []
    for span in sorted(spans, key=lambda each: (each[0], -each[1])):
        if not outer or span[0] >= outer[-1][1]:
            outer.append(span)
    return outer


def rows(kernels, steps, order):
    """The rows of ``Prepared.layer_times``, from the kernels of this many steps.

    When several kernels ran at once, on several threads, the time is divided equally among them, so that the rows add
    up to the time in which anything ran. ``order`` is the list of names of the graph's layers.
    """
    place = {name: index for index, name in enumerate(order)}

    def in_order(names):
        return sorted(names, key=lambda name: (place.get(name, len(place)), name))

    totals_s = collections.defaultdict(float)
    members = collections.defaultdict(set)
    for kernel, time_s in shared(kernels):
        if kernel.row is not None:
            totals_s[kernel.row] += time_s
            members[kernel.row].update(kernel.members)
    merged = []
    for layer, direction in sorted(totals_s, key=lambda row: (place.get(row[0], len(place)), row[0], row[1])):
        row = {"layer": layer, "direction": direction, "time_s": totals_s[layer, direction] / steps}
        of_others = members[layer, direction] - {layer}
        if of_others:
            row["members"] = in_order(of_others | {layer})
        merged.append(row)
    return merged


def shared(kernels):
    """(kernel, seconds) for each kernel; time in which several ran is divided equally among them."""
    kernels = list(kernels)
    lasting = [(index, kernel) for index, kernel in enumerate(kernels) if kernel.end_s > kernel.begin_s]
    borders = sorted(
        [(kernel.begin_s, 1, index) for index, kernel in lasting]
        + [(kernel.end_s, 0, index) for index, kernel in lasting]
    )
    times_s = [0.0] * len(kernels)
    at_work = set()
    before_s = 0.0
    for moment_s, begins, index in borders:
        for working in at_work:
            times_s[working] += (moment_s - before_s) / len(at_work)
        before_s = moment_s
        if begins:
            at_work.add(index)
        else:
            at_work.discard(index)
    return list(zip(kernels, times_s))
