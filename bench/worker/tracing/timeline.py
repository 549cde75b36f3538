"""Assigns the time of steps that run layer by layer to rows."""

import time

MARKS = 101


class Timeline(object):
    """Assigns the time of instrumented steps: from each mark to the next it belongs to one row, or to none (None).

    A row is a (layer, direction). ``mark`` records a time; ``elapsed_s(begin, end)`` is the time between two marks,
    called when the step has finished on the device.
    """

    def __init__(self, mark=time.perf_counter, elapsed_s=lambda begin, end: end - begin, resolution_s=None):
        self._mark, self._elapsed_s = mark, elapsed_s
        self._resolution_s = resolution_s      # None: the time that a mark itself takes
        self._rows, self._marks = [], []
        self._totals_s = {}
        self._step_times_s = []

    def add_row(self, row):
        """Adds a row that is listed even if no time is spent on it."""
        self._totals_s.setdefault(row, 0.0)

    def switch(self, row):
        """From now on the time belongs to ``row``."""
        self._rows.append(row)
        self._marks.append(self._mark())

    def booked(self, row, function):
        """The function, with its time assigned to ``row``; the time after it belongs to no row."""
        def call(*arguments, **named):
            self.switch(row)
            try:
                return function(*arguments, **named)
            finally:
                self.switch(None)

        return call

    def step(self, work, synchronize):
        """Runs one instrumented step: ``work()``, then ``synchronize()``, and assigns its time."""
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
        """The result of ``Prepared.layer_times`` for all steps."""
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
