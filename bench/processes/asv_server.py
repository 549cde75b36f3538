"""Runs benchmarks of an asv suite, turn by turn: a script, which the interpreter of a side runs; it imports no Rigmark.

asv_runner finds, sets up and times them, so a turn is one sample as asv takes it. See bench.processes.suite_server.
"""

from __future__ import annotations

import importlib
import json
import os
import pickle
import pkgutil
import sys
import time

TYPE_CHECKING = False
if TYPE_CHECKING or __name__ != "__main__":
    from typing import Any

    from rigmark.bench.processes import suite_server
else:
    import suite_server


class Suite(suite_server.Server):
    """The suite in a folder, and the benchmark of it that is set up."""

    def __init__(self, channel: suite_server.Channel, packages: str, folder: str) -> None:
        sys.path.insert(0, packages)     # one asv_runner, which is ours, on both sides: they are timed alike
        from asv_runner import discovery
        from asv_runner._aux import update_sys_path
        from asv_runner.benchmarks.mark import SkipNotImplemented
        sys.path.remove(packages)
        self.skips = (SkipNotImplemented,)
        self._discovery, self._folder = discovery, folder
        self._add_to_path = update_sys_path
        self._benchmark: Any = None
        self._timer: Any = None
        self._number = 0

    def find(self) -> dict[str, Any]:
        """All benchmarks, the modules that cannot be imported, and the files of all that was imported."""
        self._add_to_path(self._folder)
        broken: dict[str, str] = {}
        root = os.path.basename(self._folder)
        self._walk(root, broken)
        if root in broken:
            return {"error": broken[root], "trace": broken[root]}
        benchmarks = [
            self._described(each) for each in self._discovery.disc_benchmarks(self._folder, ignore_import_errors=True)
        ]
        return {"benchmarks": benchmarks, "broken": broken, "files": suite_server.imported()}

    def _walk(self, name: str, broken: dict[str, str]) -> None:
        try:
            module = importlib.import_module(name)
        except BaseException as error:
            broken[name] = suite_server.failed(error)["error"]
            return
        for _, each, _ in pkgutil.iter_modules(getattr(module, "__path__", None) or [], name + "."):
            self._walk(each, broken)

    def _described(self, benchmark: Any) -> dict[str, Any]:
        import itertools
        skipped = [
            index for index, params in enumerate(itertools.product(*benchmark._params))
            if tuple(params) in benchmark._skip_tuples
        ] if benchmark._params else []
        return {
            "name": benchmark.name, "type": benchmark.type, "unit": str(benchmark.unit), "params": benchmark.params,
            "skipped": skipped, "timeout_s": benchmark.timeout, "cache": benchmark.setup_cache_key,
            "cache_timeout_s": benchmark.setup_cache_timeout,
        }

    def _named(self, name: str, index: int | None) -> Any:
        return self._discovery.get_benchmark_from_name(self._folder, name if index is None else f"{name}-{index}")

    def make_cache(self, name: str, path: str) -> None:
        """Runs setup_cache of a benchmark, and keeps in a file what it returns."""
        made = self._named(name, None).do_setup_cache()
        with open(path, "wb") as file:
            pickle.dump(made, file)

    def load(self, name: str, index: int | None, cache: str | None, number: int) -> dict[str, Any]:
        """Sets a benchmark up; one that is timed is warmed up as asv does it.

        ``number`` is how often it is called in a turn; 0: as it states, or else as asv finds out, which is answered.
        """
        benchmark = self._benchmark = self._named(name, index)
        if cache is None:
            benchmark.set_cache(None)
        else:
            with open(cache, "rb") as file:
                benchmark.set_cache(pickle.load(file))
        if benchmark.type == "peakmemory":
            return {"number": 1}         # set up in the process of each turn, whose peak includes it, as asv's does
        if benchmark.do_setup():
            return {"skipped": "NotImplementedError in its setup"}
        if benchmark.type != "time":
            return {"number": 1}
        params = benchmark._build_params()
        is_fresh_per_call = bool(benchmark._setups) and benchmark._setup_isolates_timed_calls
        if not number:
            number = benchmark.number or int(is_fresh_per_call)
        take = benchmark._get_interleaved_timer if is_fresh_per_call and number > 1 else benchmark._get_timer
        self._timer = take(*params)
        warm_s = benchmark.warmup_time
        if warm_s < 0:
            warm_s = 1.0 if "__pypy__" in sys.modules else 5.0 if "__graalpython__" in sys.modules else 0.1
        _, self._number = self._sample(warm_s, number, benchmark.min_run_count)
        return {"number": self._number}

    def _sample(self, warm_s: float, number: int, runs: int) -> tuple[float, int]:
        samples, number = self._benchmark.benchmark_timing(
            self._timer, 1, 1, max_time=0.0, warmup_time=warm_s, number=number, min_run_count=runs
        )
        return samples[-1] / number, number

    def turn(self) -> dict[str, Any]:
        """One number of the benchmark that is loaded."""
        started = time.perf_counter()
        benchmark = self._benchmark
        if benchmark.type == "peakmemory":
            answer = self._in_fork()
        elif benchmark.type == "time":
            used_s = time.process_time()
            value, _ = self._sample(0.0, self._number, 0)
            used_s = time.process_time() - used_s
            is_alone = not (benchmark._setups or benchmark._teardowns) and benchmark._setup_isolates_timed_calls
            answer = {"value": value, "cpu_time_s": used_s / self._number if is_alone else None}
        else:
            benchmark.redo_setup()       # the first time, it is fresh, and this does nothing
            answer = {"value": suite_server.plain(benchmark.do_run())}
        answer["wall_time_s"] = time.perf_counter() - started
        return answer

    def _in_fork(self) -> dict[str, Any]:
        read, write = os.pipe()
        pid = os.fork()
        if pid == 0:
            try:
                suite_server.end_with_parent()
                answer = self.answered({"do": "peak"})
                os.write(write, json.dumps(answer).encode())
            finally:
                os._exit(0)
        os.close(write)
        with os.fdopen(read, "rb") as file:
            text = file.read()
        _, status = os.waitpid(pid, 0)
        if not text:
            return {"error": f"its process ended with status {status}", "trace": ""}
        return json.loads(text)          # type: ignore[no-any-return]

    def peak(self) -> dict[str, Any]:
        """In a process of its own: the peak memory of setting up and running once."""
        if self._benchmark.do_setup():
            return {"skipped": "NotImplementedError in its setup"}
        value = self._benchmark.do_run()
        self._benchmark.do_teardown()
        return {"value": value}

    def end(self) -> None:
        if self._benchmark.type != "peakmemory":
            self._benchmark.do_teardown()


if __name__ == "__main__":
    suite_server.serve(Suite)
