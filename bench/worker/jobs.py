"""The kinds of job a worker does: probe a build, ask the oracle, prove, time, take turns with another worker, take a
step apart, reach a limit, and watch which instructions run."""

import contextlib
import importlib.util
import os
import platform
import re
import sys
import time

import numpy as np

from . import (
    frameworks,
    host,
    instructions,
    layers,
    measure,
    microbenchmarks,
    proof,
    rendezvous,
    strategies,
    turns,
)


class Failed(Exception):
    """A typed outcome other than ok, with its reason in a sentence."""

    def __init__(self, outcome, reason):
        super(Failed, self).__init__(reason)
        self.outcome, self.reason = outcome, reason


OUT_OF_MEMORY = re.compile(
    r"out of memory|can't allocate memory|RESOURCE_EXHAUSTED|ResourceExhausted|bad_alloc|OOM when allocating"
    r"|[Uu]nable to allocate|not enough memory|cannot allocate memory|Maximum allowed dimension|array is too big",
)


def classified(error):
    """(outcome, reason, cause) of an exception that a framework raised; cause as ``Answers.failed`` takes it."""
    if isinstance(error, rendezvous.Lost):
        return "crashed", str(error), "peer_lost"
    first_line = (str(error).strip().splitlines() or ["raised without a message"])[0][:500]
    reason = "%s: %s" % (type(error).__name__, first_line)
    if isinstance(error, frameworks.Unsupported):
        return "unsupported", str(error), None
    if isinstance(error, MemoryError) or OUT_OF_MEMORY.search("%s %s" % (type(error).__name__, error)):
        return "out_of_memory", reason, None
    return "crashed", reason, None


def run(job, directory, answers):
    """Do a job and send its result; raises Failed for a typed outcome."""
    work = {
        "probe": probe, "oracle": oracle, "proof": prove, "timing": time_steps, "layers": time_layers,
        "limit": time_limit, "isa": watch_instructions, "pair": take_turns,
    }[job["kind"]]
    result = work(job, directory, answers)
    answers.send("result", **result)


def installed_versions(distributions):
    """{name: version or None} of packages in this interpreter, without importing them."""
    try:
        from importlib import metadata  # novm
    except ImportError:     # before Python 3.8
        import pkg_resources as metadata
    versions = {}
    for name in distributions:
        try:
            found = metadata.version(name) if hasattr(metadata, "version") else metadata.get_distribution(name).version
        except Exception:
            found = None
        versions[name] = found
    return versions


def _loss_and_gradient(loss, output, y):
    return frameworks.load("numpy").loss_and_gradient(loss, output, y)


def preload(framework):
    """Import a framework ahead of the jobs; a job that cannot have it says so itself."""
    adapter = frameworks.load(framework)
    with contextlib.suppress(Exception):
        for name in (adapter.IMPORTS, *getattr(adapter, "PRELOADS", ())):
            importlib.import_module(name)


def probe(job, directory, answers):
    """What this build is: interpreter and the versions of the distributions asked for."""
    return {
        "python": platform.python_version(),
        "implementation": platform.python_implementation(),
        "executable": sys.executable,
        "packages": installed_versions(job["distributions"]),
    }


def adapter(job):
    """The adapter of the job's framework with its framework imported; raises Failed with the outcome that fits."""
    module = frameworks.load(job["framework"])
    return imported(module, job, module.PRECISIONS)


def imported(module, job, precisions):
    """An adapter with its framework imported; raises Failed where it lacks a setting of the job, or is lacking."""
    settings = job["settings"]
    for what, known in (
        ("compile_mode", module.COMPILE_MODES), ("layout", module.LAYOUTS), ("precision", precisions),
    ):
        if settings[what] not in known:
            raise Failed("unsupported", "%s has no %s '%s'; it has: %s" % (
                job["framework"], what.replace("_", " "), settings[what], ", ".join(known)))
    if settings["device"].split(":")[0] not in module.DEVICES:
        raise Failed("unsupported", "%s does not run on '%s'; it runs on: %s" % (
            job["framework"], settings["device"], ", ".join(module.DEVICES)))
    if importlib.util.find_spec(module.IMPORTS) is None:
        raise Failed("not_installed", "no package '%s' in %s; install %s there" % (
            module.IMPORTS, sys.executable, module.DISTRIBUTIONS[0]))
    try:
        importlib.import_module(module.IMPORTS)
    except Exception as error:
        raise Failed("build_broken", "importing %s failed: %s: %s" % (
            module.IMPORTS, type(error).__name__, str(error).strip()[:500])) from error
    return module


def _prepare(job, weights, answers):
    module = adapter(job)
    answers.mark("imported")
    start = time.perf_counter()
    world = job.get("world")
    if world is None:
        prepared = module.prepare(job["graph"], weights, job["settings"])
    else:
        strategy = strategies.load(world["strategy"])
        prepared = strategy.prepare(module, job["graph"], weights, job["settings"], world)
    seconds = time.perf_counter() - start
    answers.mark("prepared")
    return module, prepared, seconds


def _arrays(path):
    with np.load(path) as stored:
        return {name: stored[name] for name in stored.files}


def oracle(job, directory, answers):
    """What a timed trial's first step must show: {"loss": float, "output_rounding": float}.

    The latter is the error of the output in fp32, as root mean square over its elements: batch normalisation amplifies
    rounding, and the loss is off by as much.
    """
    inputs, graph, mode = _arrays(job["inputs"]), job["graph"], job["settings"]["mode"]
    module, prepared, _ = _prepare(job, _arrays(job["weights"]), answers)
    rounded = module.prepare(graph, _arrays(job["weights"]), dict(job["settings"], precision="fp32"))
    is_training = mode == "training" and not has_dropout(graph)
    exact, off = (network.output(inputs["x"], is_training) for network in (prepared, rounded))
    return {
        "loss": _loss_and_gradient(graph["loss"], exact, inputs["y"])[0],
        "output_rounding": float(np.sqrt(np.mean(np.square(off - exact)))),
    }


def has_dropout(graph):
    return any(layer["op"] == "dropout" and layer["attributes"]["rate"] > 0 for layer in graph["layers"])


def check_loss(prepared, graph, mode, x, y):
    """Loss by which a timed trial is held against the oracle.

    In training without dropout it is the loss of the first step. Otherwise it is that of the network's output in
    inference mode, since the timed dropout draws its own masks.
    """
    if mode == "training" and not has_dropout(graph):
        return float(prepared.gradients(x, y, {})[0])
    return _loss_and_gradient(graph["loss"], np.asarray(prepared.forward(x), np.float64), y)[0]


def prove(job, directory, answers):
    """Outputs, losses and gradients for the comparison with the oracle, as answer.npz in the job's directory."""
    gang = rendezvous.of(job)
    inputs = _arrays(job["inputs"])
    module, prepared, seconds = _prepare(job, _arrays(job["weights"]), answers)
    answer = proof.answer(
        prepared, job["graph"], inputs["x"], inputs["y"], job["settings"]["seed"], gang.part(len(inputs["x"]))
    )
    if job.get("tie_errors"):
        def changed(**settings):
            return module.prepare(job["graph"], _arrays(job["weights"]), dict(job["settings"], **settings))

        answer.update(proof.tie_effects(
            changed, job["graph"], inputs["x"], inputs["y"], job["settings"]["seed"], job["tie_errors"],
            answer["losses"]))
    answers.mark("proven")
    if job.get("learning"):
        answer.update(learn(job, inputs, module))
        answers.mark("learnt")
    np.savez(os.path.join(directory, "answer.npz"), **answer)
    return dict({"facts": module.facts(), "prepare_time_s": seconds}, **ended_together(job, gang, prepared))


def ended_together(job, gang, prepared):
    """What a rank tells beside its answer; nothing where there is no world. All ranks of a world come here.

    "digests" of the parameters that it trained, and "communication" as frameworks.Prepared has it, or {"problem": why
    it is not known}.
    """
    if job.get("world") is None:
        return {}
    told = {"digests": rendezvous.digests(prepared, job["graph"])}
    if job.get("timing"):
        try:
            told["communication"] = prepared.communication(COMMUNICATION_STEPS)
        except frameworks.Unsupported as reason:
            told["communication"] = {"problem": str(reason)}
    gang.decided(None)       # who leaves first would be missed by the others
    return told


COMMUNICATION_STEPS = 5      # instrumented, after those that are timed


def learn(job, inputs, module):
    """One pass over real data from the network's own initial weights: losses, and share of held-out samples right."""
    prepared = module.prepare(job["graph"], _arrays(job["learning"]["weights"]), job["settings"])
    return proof.learning(
        prepared, job["graph"], inputs["train_x"], inputs["train_y"], inputs["test_x"], inputs["test_y"],
        job["learning"]["local_batch"], job["settings"]["seed"],
    )


def filled(array, length):
    """The samples again and again until there are ``length`` of them; a length that cannot be fails at once."""
    result = np.empty((length, *array.shape[1:]), array.dtype)
    for start in range(0, length, len(array)):
        result[start:start + len(array)] = array[:length - start]
    return result


def batches(x, y, local_batch):
    """The samples in batches of ``local_batch``; fewer samples than one batch are repeated to fill it."""
    if local_batch > len(x):
        x, y = (filled(array, local_batch) for array in (x, y))
    return [(x[i:i + local_batch], y[i:i + local_batch]) for i in range(0, len(x) - local_batch + 1, local_batch)]


def loaded_batches(job):
    """The batches of all devices of this process, device after device within each of them."""
    local_batch = job["timing"]["local_batch"]
    inputs = map(_arrays, job["shards"] if job.get("world") else [job["inputs"]])
    of_devices = [batches(each["x"], each["y"], local_batch) for each in inputs]
    if len(of_devices) == 1:
        return of_devices[0]
    return [tuple(np.concatenate(parts) for parts in zip(*each)) for each in zip(*of_devices)]


def first_of_each(array, devices, count):
    """The first samples of each device in an array that holds them device after device."""
    return np.concatenate([part[:count] for part in np.split(array, devices)])


def started(job, answers, first_step):
    """(adapter, network with its batches loaded, facts so far), after the first answer was held against the oracle.

    ``first_step(prepared)`` takes that step and returns its seconds. Raises Failed where the loss is another.
    """
    graph, mode = job["graph"], job["settings"]["mode"]
    module, prepared, seconds = _prepare(job, _arrays(job["weights"]), answers)
    loaded = loaded_batches(job)
    first_loss = None
    if mode == "training" and has_dropout(graph):
        devices = len(job.get("shards", [None]))
        x, y = (first_of_each(array, devices, job["check_samples"]) for array in loaded[0])
        first_loss = check_loss(prepared, graph, mode, x, y)
    prepared.load(loaded)
    answers.mark("loaded")

    first_step_s = first_step(prepared)
    result = prepared.result()
    if mode == "inference":
        first_loss = _loss_and_gradient(graph["loss"], np.asarray(result, np.float64), loaded[0][1])[0]
    elif first_loss is None:
        first_loss = float(result)
    expected = job["expected_loss"]
    if not abs(first_loss - expected) <= job["loss_tolerance"] * abs(expected):
        raise Failed("parity_failed", "first loss %.9g, the oracle's is %.9g (tolerance %g)" % (
            first_loss, expected, job["loss_tolerance"]))
    return module, prepared, {
        "prepare_time_s": seconds, "first_step_s": first_step_s, "first_loss": first_loss, "expected_loss": expected,
        "batches": len(loaded),
    }


def last_result(prepared):
    """The result of the last step; raises Failed where it is not finite."""
    last = prepared.result()
    if not np.all(np.isfinite(last)):
        raise Failed("parity_failed", "the result is not finite any more after the timed steps")
    return last


def time_layers(job, directory, answers):
    """Where the time of a step of one case goes; the first step that is held against the oracle is taken apart too."""
    module, prepared, facts = started(job, answers, lambda network: network.layer_times(1)["step_times_s"][0])
    found = layers.taken_apart(prepared, job["timing"], answers.mark)
    answers.mark("timed")
    last_result(prepared)
    return dict(found, facts=module.facts(), **facts)


def time_steps(job, directory, answers):
    """Timed steps of one case, after its first answer was held against the oracle."""
    gang = rendezvous.of(job)
    module, prepared, facts = started(job, answers, measure.one_step)
    timed = timed_steps(prepared, job["timing"], answers, gang)
    last = last_result(prepared)
    memory = peak_memory(prepared)       # before communication is taken apart
    facts.update(ended_together(job, gang, prepared))
    return dict(
        timed, facts=module.facts(), last_loss=float(last) if job["settings"]["mode"] == "training" else None,
        result_error=None, policy=frameworks.POLICIES[job["settings"]["precision"]],
        overflow_steps=prepared.overflow_steps(), **dict(facts, **memory)
    )


def take_turns(job, directory, answers):
    """Steps of one case on command, after its first answer was held against the oracle; asleep in between."""
    with os.fdopen(job["commands"]) as commands:
        module, prepared, facts = started(job, answers, measure.one_step)
        host.move_to(job["turn_cpus"])       # it may have started beside the other side's
        answers.send("ready", **peak_memory(prepared))
        turns.take(prepared, job["timing"], commands, answers)
    answers.mark("timed")
    last = last_result(prepared)
    return dict(
        facts, facts=module.facts(), last_loss=float(last) if job["settings"]["mode"] == "training" else None,
        **peak_memory(prepared)
    )


def timed_steps(prepared, timing, answers, gang=rendezvous.ALONE):
    """Warm-up, timings, and what else the machine worked meanwhile."""
    gang.decided(None)       # ranks are ready one after the other
    answers.mark("warm_up")
    warm_up = measure.warm_up(prepared, timing, decided=gang.decided)
    prepared.forget_peak_memory()
    answers.mark("steady")
    busy_before_s = host.busy_cpu_s()
    own_before_s = time.process_time()
    timings = measure.timed(prepared, timing, decided=gang.decided)
    own_s = time.process_time() - own_before_s
    busy_after_s = host.busy_cpu_s()
    answers.mark("timed")
    return dict(
        timings, warm_up_timings_s=warm_up, host=host.settings(),
        other_cpu_time_s=None if busy_after_s is None else max(0.0, busy_after_s - busy_before_s - own_s),
    )


def time_limit(job, directory, answers):
    """Timed executions of a limit, after its first result was held against NumPy's."""
    framework, settings = job["framework"], job["settings"]
    if not microbenchmarks.has(framework):
        raise Failed("unsupported", "no limits are written for %s; they are for: %s" % (
            framework, ", ".join(name for name in frameworks.NAMES if microbenchmarks.has(name))))
    module = microbenchmarks.load(framework)
    own_adapter = imported(frameworks.load(framework), job, module.PRECISIONS)
    answers.mark("imported")
    start = time.perf_counter()
    prepared = module.prepare(job["limit"], settings)
    prepare_time_s = time.perf_counter() - start
    answers.mark("prepared")

    first_step_s = measure.one_step(prepared)
    error = prepared.error()
    tolerance = microbenchmarks.TOLERANCES[settings["precision"]] if prepared.tolerance is None else prepared.tolerance
    if not error <= tolerance:
        raise Failed("parity_failed", "the first result of %s is off by %.2g (relative L2) from NumPy's in float64, "
                     "tolerance %g" % (job["limit"], error, tolerance))
    timed = timed_steps(prepared, job["timing"], answers)
    if prepared.has_peers:
        timed["other_cpu_time_s"] = None     # theirs could not be told from that of strangers
    return dict(
        timed, facts=dict(own_adapter.facts(), **prepared.facts()), prepare_time_s=prepare_time_s,
        first_step_s=first_step_s, first_loss=None, expected_loss=None, last_loss=None, batches=None,
        result_error=error, policy=None, overflow_steps=None, **peak_memory(prepared)
    )


def peak_memory(prepared):
    """Peak memory of the device, or of this process with its framework where the device is the host."""
    on_device = prepared.peak_memory_bytes()
    if on_device is not None:
        return {"peak_memory_bytes": on_device, "peak_memory_method": prepared.peak_memory_method}
    resident = host.peak_resident_bytes()
    method = "process_resident" if resident is not None else "not available on this system"
    return {"peak_memory_bytes": resident, "peak_memory_method": method}


SETTLING_STEPS = 3      # until all is compiled, tuned and loaded


def watch_instructions(job, directory, answers):
    """{"operations": what Watcher.watch found in each network of ``graphs``, "problem": why it could not, "facts"}.

    Before each network its name is printed, so that what libraries print of its kernels can be told from the others'.
    """
    problem, watcher = None, None
    try:
        watcher = instructions.Watcher()     # before the framework starts threads, which a fork would lose
    except instructions.CannotWatch as error:
        problem = str(error)
    module = adapter(job)
    found = {}
    for name, graph in job["graphs"].items():
        prepared = module.prepare(graph, drawn_weights(graph), job["settings"])
        shapes = graph["input"]["shape"], graph["layers"][-1]["output_shape"]
        x, y = (np.ones([job["local_batches"][name], *shape], np.float32) for shape in shapes)
        prepared.load([(x, y)])

        def step(prepared=prepared):
            prepared.step()
            prepared.synchronize()

        print("%s:" % name, flush=True)
        for _ in range(SETTLING_STEPS):
            step()
        if problem is None:
            try:
                found[name] = watcher.watch(step, job["fewest_samples"])
            except instructions.CannotWatch as error:
                problem = str(error)
    if watcher is not None:
        watcher.close()
    return {"operations": found, "problem": problem, "facts": module.facts()}


def drawn_weights(graph):
    """Any weights for a network: none is 0, and products stay small."""
    rng = np.random.RandomState(0)
    return {
        "%s/%s" % (layer["name"], parameter["name"]): rng.uniform(0.01, 0.02, parameter["shape"]).astype(np.float32)
        for layer in graph["layers"] for parameter in layer["parameters"]
    }
