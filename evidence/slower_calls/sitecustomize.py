"""Has each call of a benchmarked function last RIGMARK_SLOWER of its own time longer, in suites of asv and pytest.

Python imports a module of this name when it starts. What times the function is imported later, so its loader is
wrapped. With RIGMARK_SLOWER=0 the same code runs and adds nothing: both sides have it, and differ in the number only.
"""

import os
import sys
import time
from importlib.abc import MetaPathFinder
from importlib.util import find_spec

SHARE = float(os.environ.get("RIGMARK_SLOWER", "0"))


def slower(function):
    def call(*arguments, **named):
        started = time.perf_counter()
        result = function(*arguments, **named)
        now = time.perf_counter()
        until = now + SHARE * (now - started)
        while now < until:
            now = time.perf_counter()
        return result

    return call


def of_asv(module):
    original = module.TimeBenchmark._param_bound_func
    module.TimeBenchmark._param_bound_func = lambda self, *parameters: slower(original(self, *parameters))


def of_pytest(module):
    original = module.BenchmarkFixture._make_runner
    module.BenchmarkFixture._make_runner = lambda self, function, *others: original(self, slower(function), *others)


WRAPPED = {"asv_runner.benchmarks.time": of_asv, "pytest_benchmark.fixture": of_pytest}


class Finder(MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name not in WRAPPED:
            return None
        wrap = WRAPPED.pop(name)
        spec = find_spec(name)
        execute = spec.loader.exec_module

        def executed(module):
            execute(module)
            wrap(module)

        spec.loader.exec_module = executed
        return spec


sys.meta_path.insert(0, Finder())
