"""Observes which instruction sets the libraries of a framework run: one small network per library runs steps."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from typing import Any

from rigmark.bench import datasets
from rigmark.bench.enums import LEVELS, MIXED, NOT_PROVEN, Implementation, Isa, Mode, Outcome
from rigmark.bench.ir.building import Builder
from rigmark.bench.ir.graph import Graph
from rigmark.bench.ir.training import Sgd
from rigmark.bench.launch.workers import Workers
from rigmark.bench.plan import axes
from rigmark.bench.plan.case import Case
from rigmark.bench.plan.schedule import Trial
from rigmark.bench.processes.spawn import Answer
from rigmark.bench.trials import jobs

LOCAL_BATCHES = {"convolution": 8, "gemm": 256, "elementwise": 32}
ANY_MODEL = ""               # instruction sets are observed once for all networks
FEWEST_SAMPLES = 20          # samples in vector instructions; fewer prove nothing
LEAST_SHARE = 0.1            # of these samples, that an encoding needs to count; copies and loop remainders have less

LEVEL_OF = {"sse": Isa.SSE41, "avx": Isa.AVX2, "avx512": Isa.AVX512}
"""A level is an upper limit: instructions with the encoding of SSE are at most SSE4, with that of AVX at most AVX2."""

WORDS = {"sse": "SSE", "avx": "AVX", "avx512": "AVX-512"}


@cache
def networks() -> dict[str, Graph]:
    """One network per kind of library: convolution, gemm and elementwise."""
    optimizer = Sgd(learning_rate=0.01)
    convolution = Builder("convolution", (64, 28, 28))
    convolution.conv2d("conv", 64, kernel=3, padding=1)
    gemm = Builder("gemm", (1024,))
    gemm.dense("dense", 1024)
    elementwise = Builder("elementwise", (64, 56, 56))
    elementwise.batch_norm("norm")
    elementwise.relu("relu")
    return {
        name: network.build(loss="mean_squared_error", optimizer=optimizer)
        for name, network in (("convolution", convolution), ("gemm", gemm), ("elementwise", elementwise))
    }


def job() -> dict[str, Any]:
    """The part of the job that does not depend on the case."""
    return {
        "graphs": {name: graph.plain() for name, graph in networks().items()}, "local_batches": LOCAL_BATCHES,
        "fewest_samples": 2 * FEWEST_SAMPLES,
    }


VARIABLES = {"ONEDNN_VERBOSE": "1"}
"""Variables of the observed worker only, with which oneDNN prints the kernels that it chose."""


class Watch:
    """Observes which instruction sets run, once for all cases with the same settings."""

    def __init__(self, workers: Workers):
        self._workers = workers
        self._seen: dict[Case, dict[str, Any]] = {}

    def seen(self, trial: Trial, answer: Answer) -> dict[str, Any] | None:
        """The level that was asked for and the one that ran, for the record of a trial with this answer.

        None if neither the case nor its sweep asks for a level, if the trial failed, and on a GPU.
        """
        case = trial.case
        is_asked = case.isa != Isa.NATIVE or trial.asks_for_isa
        if answer.outcome is not Outcome.OK or not is_asked or not case.device.is_host:
            return None
        alike = replace(
            case, model=ANY_MODEL, mode=Mode.INFERENCE, local_batch=1, threads=1, data=datasets.SYNTHETIC,
            steps_per_timing=1, prompt_length=0, generated_length=0, implementation=Implementation.LOWERED,
            **axes.of_one_device(),
        )
        if alike not in self._seen:
            self._seen[alike] = self._watch(alike)
        return self._seen[alike]

    def _watch(self, case: Case) -> dict[str, Any]:
        answer, log = self._workers.printed(case, jobs.job("isa", case, **job()), VARIABLES)
        if answer.outcome is Outcome.OK:
            levels = proof(answer.result, log)
        else:
            levels = unproven(f"the worker to be observed ended with {answer.outcome}: {answer.reason}")
        return {"asked": case.isa.value, "proof": levels, "summary": summary(levels)}


def proof(result: Mapping[str, Any], log: str) -> dict[str, dict[str, Any]]:
    """{operation: its level with the evidence} from a worker's result and what its libraries printed.

    ``level`` is None if it is not proven; ``evidence`` then states why. ``statement`` is what the library states about
    itself, or None; it counts only if instructions could not be observed.
    """
    stated = statements(log)
    return {
        name: _judged(result["operations"].get(name), stated.get(name), result["problem"]) for name in networks()
    }


def unproven(reason: str) -> dict[str, dict[str, Any]]:
    """As ``proof``, if no worker gave a result."""
    return {name: _entry(None, reason, None) for name in networks()}


def summary(proofs: Mapping[str, Mapping[str, Any]]) -> str:
    """The level of all operations; MIXED if they differ, else NOT_PROVEN if one is not known."""
    levels = {entry["level"] for entry in proofs.values()}
    if len(levels - {None}) > 1:
        return MIXED
    return NOT_PROVEN if None in levels else str(levels.pop())


def _entry(level: str | None, evidence: str, statement: str | None) -> dict[str, Any]:
    return {"level": None if level is None else str(level), "evidence": evidence, "statement": statement}


def _judged(watched: Mapping[str, Any] | None, statement: str | None, problem: str | None) -> dict[str, Any]:
    if watched is None:
        level = None if statement is None else stated_level(statement)
        unwatched = problem or "it was not observed"
        if level is None:
            return _entry(None, unwatched, statement)
        return _entry(level, f"oneDNN states that it ran {statement}; {unwatched}", statement)
    encodings = watched["encodings"]
    count = sum(encodings.values())
    if count < FEWEST_SAMPLES:
        return _entry(
            None, f"{count} of {watched['samples']} samples were in vector instructions, which is too few", statement
        )
    level = max((LEVEL_OF[name] for name, n in encodings.items() if n >= LEAST_SHARE * count), key=LEVELS.index)
    shares = ", ".join(f"{WORDS[name]} {n / count:.0%}" for name, n in Counter(encodings).most_common())
    place, most = Counter(watched["places"]).most_common(1)[0]
    return _entry(level, f"{shares} of {count} sampled vector instructions, {most / count:.0%} in {place}", statement)


# What oneDNN states ---------------------------------------------------------------------------------------------------

EXECUTED = re.compile(r"onednn_verbose,(?:v\d,)?(?:primitive,)?exec,cpu,(\w+),([^,]+),")
OPERATION = re.compile(r"(\w+):")
PRIMITIVES = {
    "convolution": {"convolution", "fused_convolution"}, "gemm": {"inner_product", "matmul", "gemm_api"},
    "elementwise": {"eltwise"},
}


def statements(log: str) -> dict[str, str]:
    """{operation: the kernel that oneDNN ran most often according to its output, "jit:avx2"}, as far as stated."""
    kernels_of: dict[str, Counter[str]] = {}
    current = None
    for line in log.splitlines():
        if (name := OPERATION.fullmatch(line)) and name[1] in PRIMITIVES:
            current = name[1]
        elif current is not None and (ran := EXECUTED.match(line)) and ran[1] in PRIMITIVES[current]:
            kernels_of.setdefault(current, Counter())[ran[2]] += 1
    return {name: kernels.most_common(1)[0][0] for name, kernels in kernels_of.items()}


def stated_level(kernel: str) -> Isa | None:
    """The level of a kernel by its name in oneDNN, "brg_conv_fwd:avx512_core"; None if the name does not show it."""
    for word, level in (("avx512", Isa.AVX512), ("avx10", Isa.AVX512), ("avx", Isa.AVX2), ("sse41", Isa.SSE41)):
        if word in kernel:
            return level
    return None
