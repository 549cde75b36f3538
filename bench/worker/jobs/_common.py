"""Shared by several kinds of job: a network of a framework, its arrays, its loss, its memory."""

import importlib
import importlib.util
import sys
import time

import numpy as np

from .. import devices, frameworks, generation, host, strategies
from . import Failed


def adapter(job):
    """The adapter of the job's framework with its framework imported; raises Failed with a typed outcome.

    For what a user wrote, which the job then describes as "original", it has that in place of its own lowering.
    """
    module = imported(frameworks.load(job["framework"]), job, frameworks.load(job["framework"]).PRECISIONS)
    return module if job.get("original") is None else AsWritten(job)


class AsWritten(object):
    """What a user wrote, as the adapter of its framework."""

    def __init__(self, job):
        self._original, self._run = job["original"], frameworks.part(job["framework"], frameworks.ORIGINAL)

    def prepare(self, graph, weights, settings):
        if graph.get("carried"):
            raise frameworks.Unsupported("a network as its user wrote it takes its state from each batch; "
                                         "with --carry, --implementation lowered runs")
        return self._run.prepare(self._original, graph, weights, settings)

    def facts(self):
        return self._run.facts(self._original)


def imported(module, job, precisions):
    """An adapter with its framework imported; raises Failed if it lacks a setting of the job, or is not installed."""
    settings = job["settings"]
    for what, known in (
        ("mode", frameworks.modes(job["framework"])), ("compile_mode", module.COMPILE_MODES),
        ("layout", module.LAYOUTS), ("precision", precisions),
    ):
        if settings[what] not in known:
            raise Failed("unsupported", "%s has no %s '%s'; it has: %s" % (
                job["framework"], what.replace("_", " "), settings[what], ", ".join(known)))
    if devices.kind(settings["device"]) not in module.DEVICES:
        raise Failed("unsupported", "%s does not run on '%s'; it runs on: %s" % (
            job["framework"], settings["device"], ", ".join(module.DEVICES)))
    if settings.get("accumulate", 1) > 1 and not getattr(module, "ACCUMULATES", False):
        raise Failed("unsupported", "the adapter of %s does not add up the gradients of parts of a batch; leave "
                     "--accumulate out" % job["framework"])
    if settings.get("accumulate", 1) > 1 and job.get("graph", {}).get("carried"):
        raise Failed("unsupported", "%s carries state from step to step, and the parts of a batch would have to share "
                     "it; leave --accumulate out" % job["graph"]["name"])
    refuse_lacking(module.IMPORTS, module.DISTRIBUTIONS[0], job["framework"] if hasattr(module, "RECIPE") else None)
    for package in getattr(module, "NEEDS", ()):
        refuse_lacking(package, package)
    try:
        importlib.import_module(module.IMPORTS)
    except Exception as error:
        raise Failed("build_broken", "importing %s failed: %s: %s" % (
            module.IMPORTS, type(error).__name__, str(error).strip()[:500])) from error
    return module


def refuse_lacking(package, distribution, recipe=None):
    """Raises Failed if this interpreter has no such top-level package, which comes with that distribution.

    ``recipe`` is the framework that has one; None: pip is enough.
    """
    if importlib.util.find_spec(package) is None and recipe is not None:
        raise Failed("not_installed", "no package '%s' in %s; rigmark builds create %s makes a build that has it" % (
            package, sys.executable, recipe))
    if importlib.util.find_spec(package) is None:
        raise Failed("not_installed", "no package '%s' in %s; install %s there" % (
            package, sys.executable, distribution))


def prepare(job, weights, answers):
    """(adapter, the job's network lowered with these weights, seconds that this took without the import)."""
    module = adapter(job)
    answers.mark("imported")
    start = time.perf_counter()
    world = job.get("world")
    if job.get("decoding"):
        prepared = generation.prepared(module, job, weights)
    elif world is None:
        prepared = module.prepare(job["graph"], weights, job["settings"])
    else:
        strategy = strategies.load(world["strategy"])
        if job["graph"].get("carried") and strategy.SUMS_GRADIENTS:
            raise Failed("unsupported", "%s carries state from step to step, which no strategy of several devices "
                         "does; use one device" % job["graph"]["name"])
        if job["graph"].get("copies") and strategy.SUMS_GRADIENTS:
            raise Failed("unsupported", "%s has parameters that are copied after every so many steps, which no "
                         "strategy of several devices does; use one device" % job["graph"]["name"])
        if job["graph"].get("objectives") and strategy.SUMS_GRADIENTS:
            raise Failed("unsupported", "%s trains for several objectives, which no strategy of several devices does; "
                         "use one device" % job["graph"]["name"])
        prepared = strategy.prepare(module, job["graph"], weights, job["settings"], world)
    seconds = time.perf_counter() - start
    answers.mark("prepared")
    return module, prepared, seconds


def arrays(path):
    """{name: array} of a .npz file."""
    with np.load(path) as stored:
        return {name: stored[name] for name in stored.files}


def loss_of(loss, output, y):
    """(loss, its gradient by the output) as NumPy's adapter computes them; ``loss`` is its name in the graph."""
    return frameworks.load("numpy").loss_and_gradient(loss, output, y)


def has_dropout(graph):
    """Whether training steps draw masks."""
    return any(layer["op"] == "dropout" and layer["attributes"]["rate"] > 0 for layer in graph["layers"])


def peak_memory(prepared):
    """Peak memory of the device, or of this process with its framework if the device is the host."""
    on_device = prepared.peak_memory_bytes()
    if on_device is not None:
        return {"peak_memory_bytes": on_device, "peak_memory_method": prepared.peak_memory_method}
    resident = host.peak_resident_bytes()
    method = "process_resident" if resident is not None else "not available on this system"
    return {"peak_memory_bytes": resident, "peak_memory_method": method}
