"""The jobs of workers as plain data, from a trial and its input files."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from rigmark.bench.enums import Mode, Outcome
from rigmark.bench.ir.ops import BadGraph
from rigmark.bench.plan import axes
from rigmark.bench.plan.case import Case
from rigmark.bench.plan.schedule import Trial
from rigmark.bench.processes.spawn import Answer, not_run
from rigmark.bench.trials import parity
from rigmark.bench.trials.inputs import SEED, SHARDS, Inputs
from rigmark.bench.trials.oracle import Oracle

CHECKED_FLOPS = 4 * 10**9    # that NumPy may take for a batch after timed steps: half a second in float64 on one core


def job(kind: str, case: Case, **more: Any) -> dict[str, Any]:
    """A job of this kind with the settings of a case."""
    return {
        "kind": kind, "framework": case.framework,
        "settings": {**axes.sent(case), "seed": SEED},
        **more,
    }


def timing(trial: Trial) -> dict[str, Any]:
    """How long a worker times, and how many steps per timing."""
    assert trial.timing is not None
    case = trial.case
    return {**trial.timing.plain(), "local_batch": case.local_batch, "steps_per_timing": case.steps_per_timing}


def last_check(case: Case, inputs: Inputs) -> dict[str, Any]:
    """How the end of a trial is checked against the oracle, with the number of "samples" of each batch."""
    affordable = CHECKED_FLOPS // max(1, inputs.graph(case).flops_per_sample(training=False))
    samples = max(1, min(affordable, inputs.timed(case).deciding))
    return {**parity.last_check(case.precision), "samples": samples}


def decoding(case: Case, inputs: Inputs) -> dict[str, Any]:
    """What a worker is told of text that it generates: the model on all tokens at once, and in parts with a cache.

    Raises BadGraph where the model generates none, or not so much.
    """
    form, tokens = inputs.decoding(case), case.prompt_length + case.generated_length - 1
    return {
        "graph": form.of_length(tokens).plain(),
        "decoding": {
            "parts": {"prefill": form.part(case.prompt_length, tokens), "step": form.part(1, tokens)},
            "generated_length": case.generated_length, "is_streamed": case.steps_per_timing == 1,
        },
    }


def steps_of_text(trial: Trial, inputs: Inputs) -> dict[str, Any] | Answer:
    """The job that generates text; an Answer if the model generates none, or not so much."""
    case = trial.case
    try:
        asked, flops = decoding(case, inputs), inputs.decoding_flops(case) or 1
    except BadGraph as refusal:
        return not_run(Outcome.UNSUPPORTED, str(refusal))
    timed = inputs.timed(case)
    samples = max(1, min(CHECKED_FLOPS // flops, timed.deciding))
    return job(
        trial.kind, case, **asked, inputs=str(timed.file), weights=str(inputs.weights(case.model)),
        batch_samples=timed.batch_samples, timing=timing(trial),
        last_check={**parity.last_check(case.precision), "samples": samples, "outputs": None},
    )


def steps(trial: Trial, inputs: Inputs, oracle: Oracle) -> dict[str, Any] | Answer:
    """The job that runs steps of a network on one device; an Answer if the oracle failed, or where there is none."""
    case = trial.case
    if case.mode is Mode.DECODE:
        return steps_of_text(trial, inputs)
    expected = oracle.first_loss(case)
    if isinstance(expected, Answer):
        return expected
    timed, check = inputs.timed(case), last_check(case, inputs)
    outputs = oracle.last_outputs(case, check["samples"])
    if isinstance(outputs, Answer):
        return outputs
    return job(
        trial.kind, case, graph=inputs.graph(case).plain(), inputs=str(timed.file), **inputs.original(case),
        weights=str(inputs.weights(case.model)), check_samples=timed.deciding, batch_samples=timed.batch_samples,
        expected_loss=expected.value, loss_tolerance=expected.tolerance, timing=timing(trial),
        last_check={**check, "outputs": None if outputs is None else str(outputs)},
    )


def steps_of_ranks(trial: Trial, inputs: Inputs, oracle: Oracle) -> Sequence[dict[str, Any]] | Answer:
    """The jobs that run steps of a network together, one per process of a world; an Answer if the oracle failed.

    Neighbours have different samples, so that equal weights at the end prove that gradients were shared.
    """
    case = trial.case
    losses = []
    for shard in SHARDS:
        expected = oracle.first_loss(case, shard)
        if isinstance(expected, Answer):
            return expected
        losses.append(expected)
    samples = [inputs.timed(case, shard) for shard in SHARDS]
    asked = []
    for rank in range(case.processes):
        first = rank * case.devices_per_process
        shards = [(first + device) % len(SHARDS) for device in range(case.devices_per_process)]
        asked.append(job(
            trial.kind, case, graph=inputs.graph(case).plain(),
            shards=[str(samples[shard].file) for shard in shards], weights=str(inputs.weights(case.model)),
            check_samples=samples[0].deciding, batch_samples=samples[0].batch_samples,
            expected_loss=math.fsum(losses[shard].value for shard in shards) / len(shards),
            loss_tolerance=max(losses[shard].tolerance for shard in shards), timing=timing(trial),
            last_check={**last_check(case, inputs), "outputs": None},
        ))
    return asked
