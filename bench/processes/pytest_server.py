"""Runs benchmarks of a pytest-benchmark suite, turn by turn: a script, which the interpreter of a side runs.

pytest and pytest-benchmark of that interpreter collect, set up, calibrate and time them. Only the rounds of a benchmark
wait for their turns: ``benchmark(...)`` takes some per turn, within one run of its test; ``benchmark.pedantic(...)``
takes all of its own, in a run of the test per turn, since another round of what it does may be something else.
See bench.processes.suite_server.
"""

from __future__ import annotations

import math
import os
import statistics
import time
from importlib import import_module
from importlib.util import find_spec

import pytest

TYPE_CHECKING = False
if TYPE_CHECKING or __name__ != "__main__":
    from collections.abc import Iterator
    from typing import Any

    from rigmark.bench.processes import suite_server
else:
    import suite_server

FIXTURES = frozenset({"benchmark", "benchmark_weave"})
TURN_TIME_S = 0.01           # least seconds of a turn, as long as a sample of asv: rounds of some us are many
OPTIONS: dict[str, Any] = {
    "benchmark_disable": False, "benchmark_skip": False, "benchmark_only": False, "benchmark_autosave": False,
    "benchmark_save": None, "benchmark_json": None, "benchmark_compare": None, "benchmark_compare_fail": [],
    "benchmark_histogram": [], "benchmark_cprofile": None, "dist": "no", "numprocesses": None, "tx": [],
    "timeout": 0,
}
"""What a project may have in its configuration, and what must not happen here: nothing is skipped, saved, shared out to
other processes, or late because it waits for its turn."""


class Collected:
    """A plugin that takes note of the benchmarks instead of running them."""

    def __init__(self) -> None:
        self.names: list[str] = []
        self.broken: dict[str, str] = {}

    @pytest.hookimpl(tryfirst=True)
    def pytest_configure(self, config: Any) -> None:
        _configure(config)

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items: list[Any]) -> None:
        self.names += [item.nodeid for item in items if FIXTURES & {*getattr(item, "fixturenames", ())}]

    def pytest_collectreport(self, report: Any) -> None:
        if report.failed:
            self.broken[report.nodeid] = _gist(str(report.longrepr))


class Turns:
    """A plugin that runs one benchmark, whose rounds wait for turns."""

    def __init__(self, suite: Suite, asked: int, rounds: int):
        self._suite, self.asked, self.rounds = suite, asked, rounds
        self.is_told = False                     # whether it is known how often it is called in a turn
        self.value: float | None = None          # of a turn that is answered when its test has ended
        self.answer: suite_server.Answer = {"error": "pytest did not run it", "trace": ""}

    @pytest.hookimpl(tryfirst=True)
    def pytest_configure(self, config: Any) -> None:
        _configure(config)

    @pytest.hookimpl(trylast=True)
    def pytest_sessionstart(self) -> None:
        BenchmarkFixture, turns = import_module("pytest_benchmark.fixture").BenchmarkFixture, self

        def raw(fixture: Any, function: Any, *args: Any, **kwargs: Any) -> Any:
            return turns.take(fixture, function, args, kwargs)

        original = BenchmarkFixture._raw_pedantic

        def raw_pedantic(fixture: Any, target: Any, **settings: Any) -> Any:
            return turns.take_all(fixture, original, target, settings)

        BenchmarkFixture._raw, BenchmarkFixture._raw_pedantic = raw, raw_pedantic

    def pytest_collectreport(self, report: Any) -> None:
        if report.failed:
            self.answer = {"error": _gist(str(report.longrepr)), "trace": str(report.longrepr)[-2000:]}

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_protocol(self, item: Any) -> bool:
        from _pytest.runner import runtestprotocol
        while True:
            self.value = None
            started = time.perf_counter()
            # As before another test of the same file: only what is of this test is torn down, and set up again.
            reports = runtestprotocol(item, log=False, nextitem=item.parent)
            self.answer = _told(reports) or self._measured()
            if "value" not in self.answer:
                break
            self.answer["wall_time_s"] = time.perf_counter() - started
            if self._suite.next(self.answer)["do"] != "turn":
                self.answer = {}
                break
        return True

    def _measured(self) -> suite_server.Answer:
        if self.value is not None:
            return {"value": self.value}
        return {} if self.is_told else {"error": "the test does not use its benchmark fixture", "trace": ""}

    def take(self, fixture: Any, function: Any, args: Any, kwargs: Any) -> Any:
        """Takes rounds per turn until the end, and returns the result of the function."""
        runner = fixture._make_runner(function, args, kwargs)
        calls, rounds = self.asked, self.rounds
        if not calls:
            duration_s, calls, _ = fixture._calibrate_timer(runner)
            rounds = max(1, math.ceil(TURN_TIME_S / max(duration_s, 1e-9)))
        stats = fixture._make_stats(calls)
        result = None
        is_single = calls == 1

        def durations_s(count: int) -> Iterator[float]:
            nonlocal result
            for _ in range(count):
                if is_single:
                    duration_s, result = runner(None)
                else:
                    duration_s = runner(range(calls))
                stats.update(duration_s)
                yield duration_s

        if self.asked or rounds > 1:             # or else calibrating was as much
            list(durations_s(max(rounds, int((fixture._warmup or 0) / calls))))
        self.is_told = True
        request = self._suite.next({"number": [calls, rounds]})
        while request["do"] == "turn":
            started, used_s = time.perf_counter(), time.process_time()
            taken_s = list(durations_s(rounds))
            used_s = time.process_time() - used_s
            request = self._suite.next({
                "value": statistics.median(taken_s) / calls, "cpu_time_s": used_s / (rounds * calls),
                "wall_time_s": time.perf_counter() - started,
            })
        return result if is_single and stats.stats.data else function(*args, **kwargs)

    def take_all(self, fixture: Any, original: Any, target: Any, settings: dict[str, Any]) -> Any:
        """Runs a pedantic benchmark as its test says; the number is the median of its rounds."""
        if not self.is_told:
            self.is_told = True
            request = self._suite.next({"number": [settings["iterations"], settings["rounds"]]})
            if request["do"] != "turn":
                pytest.skip("it is not its turn")
        result = original(fixture, target, **settings)
        self.value = statistics.median(fixture.stats.stats.data)
        return result


class Suite(suite_server.Server):
    """The benchmarks in a file or folder; ``root`` is the folder from which they have their names."""

    def __init__(self, channel: suite_server.Channel, root: str, path: str):
        self._channel, self._root, self._path = channel, root, path
        import_module("pytest_benchmark")        # or else it says that it is missing
        os.environ.pop("PYTEST_XDIST_WORKER", None)      # of a pytest above this process; it would switch timing off

    def next(self, answer: suite_server.Answer) -> dict[str, Any]:
        """The request after an answer."""
        self._channel.answer(answer)
        return next(self._channel.requests(), {"do": "end"})

    def _run(self, path: str, plugin: object, *more: str) -> int:
        if find_spec("pytest_cov") and "PYTEST_DISABLE_PLUGIN_AUTOLOAD" not in os.environ:
            more = (*more, "--no-cov")           # which would be timed as well
        return int(pytest.main([f"--rootdir={self._root}", "-p", "no:cacheprovider", "-q", *more, path], [plugin]))

    def find(self) -> dict[str, Any]:
        """The names of all benchmarks, what cannot be collected, and the files of all that was imported."""
        collected = Collected()
        code = self._run(self._path, collected, "--collect-only", "--continue-on-collection-errors")
        if code in (3, 4):                       # an error of pytest or of its configuration
            return {"error": f"pytest ended with exit code {code}", "trace": ""}
        return {"benchmarks": collected.names, "broken": collected.broken, "files": suite_server.imported()}

    def load(self, name: str, number: list[int] | None) -> dict[str, Any]:
        """Runs the test of a benchmark until its first round; ``number`` is how often it is called in a round, and how
        many rounds a turn has, which is answered."""
        turns = Turns(self, *(number or (0, 0)))
        self._run(name, turns)
        return turns.answer

    def end(self) -> None:
        """Nothing: the test has ended."""


def _configure(config: Any) -> None:
    for name, value in OPTIONS.items():
        if hasattr(config.option, name):
            setattr(config.option, name, value)


def _told(reports: list[Any]) -> dict[str, Any]:
    """The answer that the outcome of a test is, if it is not that it passed."""
    for report in reports:
        if report.failed:
            text = str(report.longrepr)
            return {"error": _gist(text), "trace": text[-2000:]}
        if report.skipped:
            said = report.longrepr
            return {"skipped": str(said[2] if isinstance(said, tuple) else said)}
    return {}


def _gist(text: str) -> str:
    lines = [line for line in text.strip().splitlines() if line.strip()]
    return next((line[1:].strip() for line in lines if line.startswith("E ")), lines[-1] if lines else "")


if __name__ == "__main__":
    suite_server.serve(Suite)
