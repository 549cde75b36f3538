"""Books the time of steps that run layer by layer."""

import time

MARKS = 101


class Timeline(object):
    """Books the time of instrumented steps: from each mark to the next, it belongs to one row or, None, to no row.

    A row is a (layer, direction). ``mark`` takes a moment; ``elapsed_s(begin, end)`` is the time between two of them,
    asked for when the step has finished on the device.
    """

    def __init__(self, mark=time.perf_counter, elapsed_s=lambda begin, end: end - begin, resolution_s=None):
        self._mark, self._elapsed_s = mark, elapsed_s
        self._resolution_s = resolution_s      # None: as long as a mark takes by itself
        self._rows, self._marks = [], []
        self._totals_s = {}
        self._step_times_s = []

    def add_row(self, row):
        """A row that is to be listed even if nothing is done for it."""
        self._totals_s.setdefault(row, 0.0)

    def switch(self, row):
        """From now on the time is that of ``row``."""
        self._rows.append(row)
        self._marks.append(self._mark())

    def booked(self, row, function):
        """The same function, whose time is that of ``row``; what follows it belongs to none."""
        def call(*arguments, **named):
            self.switch(row)
            try:
                return function(*arguments, **named)
            finally:
                self.switch(None)

        return call

    def step(self, work, synchronize):
        """One instrumented step: do ``work()``, wait for it, and book its time."""
        del self._rows[:], self._marks[:]
        self.switch(None)
        result = work()
        self.switch(None)
        synchronize()
        for row, begin, end in zip(self._rows, self._marks, self._marks[1:]):
            if row is not None:
                self._totals_s[row] = self._totals_s.get(row, 0.0) + self._elapsed_s(begin, end)
        self._step_times_s.append(self._elapsed_s(self._marks[0], self._marks[-1]))
        return result

    def plain(self):
        """What ``Prepared.layer_times`` returns, of all the steps."""
        steps = len(self._step_times_s)
        return {
            "step_times_s": list(self._step_times_s),
            "resolution_s": self._resolution_s or self._time_of_a_mark_s(),
            "layers": [
                {"layer": layer, "direction": direction, "time_s": total_s / steps}
                for (layer, direction), total_s in self._totals_s.items()
            ],
        }

    def _time_of_a_mark_s(self):
        marks = [self._mark() for _ in range(MARKS)]
        return sorted(self._elapsed_s(marks[i], marks[i + 1]) for i in range(MARKS - 1))[MARKS // 2]
