"""The parallel step of every strategy against the float64 oracle: the mean gradient over shards."""

from __future__ import annotations

import importlib.util
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rigmark.bench.builds import worker_package
from rigmark.bench.builds.build import Build
from rigmark.bench.enums import Mode, Outcome, Precision
from rigmark.bench.ir.building import Builder
from rigmark.bench.ir.graph import INPUT, Graph, Input
from rigmark.bench.ir.ops.comparison import Where
from rigmark.bench.ir.training import Adam, Optimizer, Sgd
from rigmark.bench.ir.weights import initial_weights, perturbed, synthetic_batch
from rigmark.bench.launch import ranks
from rigmark.bench.launch.here import Here
from rigmark.bench.plan.case import Case
from rigmark.bench.plan.schedule import PROOF_BATCH
from rigmark.bench.processes.launch import Launch
from rigmark.bench.processes.spawn import Answer, run_worker
from rigmark.bench.trials import parity
from rigmark.bench.worker import frameworks, proof, samples, strategies
from tests.fakes import make_case

WAYS = [
    ("torch", "ddp bucket_mb=0.0001", 1), ("torch", "fsdp", 1), ("tensorflow", "mirrored", 2),
    ("tensorflow", "multiworker bucket_mb=0.0001", 1), ("jax", "shard_map", 2), ("jax", "shard_map", 1),
]
"""(framework, strategy, devices in each process) of worlds of two devices. Small buckets send each gradient alone."""

MOMENTUM = Sgd(learning_rate=0.1, momentum=0.9)
COUNTING = Adam(learning_rate=0.01)      # counts its steps

by_way = pytest.mark.parametrize(("framework", "strategy", "devices_per_process"), WAYS)


def network(optimizer: Optimizer = MOMENTUM) -> Graph:
    """Batch normalisation, whose statistics must stay a shard's own, and dropout, whose masks must be those given.

    A mask is a second input, and what only the second output needs is not trained. A parameter is a value.
    """
    net = Builder("net", (2, 6, 6))
    seen = net.add_input(Input(name="seen", shape=(2, 6, 6), dtype="bool", draw="lengths"))
    net.add_layer("shown", Where(), of=(seen, INPUT, net.parameter("blank", (6,), init="zeros")))
    net.conv2d("conv", 4, kernel=3, padding=1, bias=False)
    net.batch_norm("norm")
    net.relu("relu")
    net.max_pool("pool", kernel=2, stride=2)
    net.flatten("flatten")
    net.dense("others", 2)
    net.dropout("dropout", 0.25, of="flatten")
    net.dense("scores", 3)
    return net.build(
        loss="softmax_cross_entropy", optimizer=optimizer, outputs=("scores", "others")
    )


def case_of(framework: str, strategy: str, devices_per_process: int) -> Case:
    if importlib.util.find_spec(frameworks.load(framework).IMPORTS) is None:
        pytest.skip(f"{framework} is not installed")
    compile_mode, layout = frameworks.load(framework).BEST[Mode.TRAINING]
    return make_case(
        framework=framework, strategy=strategy, devices_per_process=devices_per_process, world_size=2,
        compile_mode=compile_mode, layout=layout, mode=Mode.TRAINING, local_batch=PROOF_BATCH,
    )


class Files:
    """Weights and samples of a network, and the oracle's answer on them."""

    def __init__(self, folder: Path, graph: Graph, world_size: int):
        self.graph, self._folder = graph, folder
        weights = perturbed(graph, initial_weights(graph, seed=1), seed=1)
        x, y = synthetic_batch(graph, PROOF_BATCH * world_size, seed=1)
        np.savez(folder / "weights.npz", **weights)
        named = zip(samples.keys(graph.plain()), samples.unpacked(x), strict=True)
        np.savez(folder / "inputs.npz", y=y, **dict(named))

        def answer(**more: Any) -> dict[str, Any]:
            oracle = frameworks.load("numpy").prepare(graph.plain(), weights, {
                "mode": "training", "precision": "fp64", "compile_mode": "eager", "layout": "nchw", "device": "cpu",
                "threads": 1, "seed": 1, "shards": world_size, **more,
            })
            result: dict[str, Any] = proof.answer(oracle, graph.plain(), x, y, 1)
            return result

        self.exact = answer()
        self.with_effects = {
            **self.exact,
            **parity.compression_effects(answer(gradients_sent_as="float16"), self.exact, "fp16"),
            **parity.rounding_effects(
                [answer(precision="fp32", rounding=parity.FP16.plain(seed)) for seed in range(parity.REALISATIONS)],
                self.exact,
            ),
        }

    def job(self, case: Case) -> dict[str, Any]:
        return {
            "kind": "proof", "framework": case.framework, "graph": self.graph.plain(), "learning": None,
            "inputs": str(self._folder / "inputs.npz"), "weights": str(self._folder / "weights.npz"),
            "settings": {
                "mode": "training", "precision": case.precision.value, "compile_mode": case.compile_mode,
                "layout": case.layout, "device": "cpu", "threads": 1, "seed": 1,
            },
        }


def prove(
    folder: Path, case: Case, graph: Graph, *, with_effects: bool = False
) -> tuple[Answer, dict[str, Any], dict[str, Any]]:
    """(the world's answer, its arrays, the oracle's), these with what fp16 does to them where that is asked for."""
    files = Files(folder, graph, case.world_size)
    build, child = Build(name="here", interpreter=sys.executable), worker_package.write(folder)
    places = Here().places(case)

    def start(rank: ranks.Rank, stop: int) -> ranks.RankResult:
        directory = folder / str(rank.index)
        directory.mkdir()
        launch = Launch.of(build, child, cpus=places[rank.index].cpus, threads=1, deadline_s=120.0)
        answer = run_worker(launch, rank.job, directory, stop=stop)
        if answer.outcome is not Outcome.OK:
            return answer, {}
        with np.load(directory / "answer.npz") as arrays:
            return answer, dict(arrays)

    ran = ranks.together(start, ranks.ranks(case, [files.job(case)] * case.processes, places, patience_s=60.0))
    answer = ranks.joined(case, [answer for answer, _ in ran])
    arrays = ranks.proof_arrays([result for _, result in ran]) if answer.outcome is Outcome.OK else {}
    return answer, arrays, files.with_effects if with_effects else files.exact


@by_way
def test_a_parallel_step_is_the_mean_over_shards_on_every_device(
    framework: str, strategy: str, devices_per_process: int, tmp_path: Path
):
    optimizer = COUNTING if strategy == "mirrored" else MOMENTUM         # which it must do once on each device
    answer, arrays, exact = prove(tmp_path, case_of(framework, strategy, devices_per_process), network(optimizer))

    assert (Outcome.OK, None) == (answer.outcome, answer.reason)     # parameters of all devices are equal at the end
    assert [] == parity.compare(arrays, exact, Precision.FP32).failures()


@pytest.mark.parametrize("way", [("torch", "ddp", 1), ("tensorflow", "mirrored", 2), ("tensorflow", "multiworker", 1)])
def test_loss_scaling_is_that_of_the_whole_world(way: tuple[str, str, int], tmp_path: Path):
    case = replace(case_of(*way), precision=Precision.FP16)
    answer, arrays, exact = prove(tmp_path, case, network(), with_effects=True)

    assert (Outcome.OK, None) == (answer.outcome, answer.reason)
    assert [] == parity.compare(arrays, exact, Precision.FP16).failures()


def test_gradients_that_are_sent_in_fp16_are_off_by_what_that_explains(tmp_path: Path):
    case = case_of("torch", "ddp gradient_compression=fp16", 1)
    answer, arrays, exact = prove(tmp_path, case, network(), with_effects=True)
    alone = {name: array for name, array in exact.items() if not name.startswith("compression_")}

    assert (Outcome.OK, None) == (answer.outcome, answer.reason)
    result, plain = (parity.compare(arrays, each, Precision.FP32) for each in (exact, alone))
    assert [] == result.failures()
    assert result.tolerance["gradient"] < 0.005       # a gradient of one shard alone is far off
    assert any(failure.startswith("gradient off") for failure in plain.failures())


def test_ranks_that_share_no_gradients_are_found_out(tmp_path: Path):
    """Independent replicas, each with its own part of the batch, pass for data parallelism nowhere."""
    case = case_of("torch", "replicas", 1)
    answer, arrays, exact = prove(tmp_path, case, network())
    assert Outcome.OK is answer.outcome

    failures = parity.compare(arrays, exact, Precision.FP32).failures()

    assert any(failure.startswith("gradient off by") for failure in failures)


def test_the_oracles_shards_are_networks_of_their_own_with_one_mean_gradient(tmp_path: Path):
    graph = network()
    x, y = synthetic_batch(graph, 8, seed=1)
    weights = perturbed(graph, initial_weights(graph, seed=1), seed=1)
    masks = proof.dropout_masks(graph.plain(), 8, 1)
    settings = {
        "mode": "training", "precision": "fp64", "compile_mode": "eager", "layout": "nchw", "device": "cpu",
        "threads": 1, "seed": 1,
    }

    def gradients(part: slice, **more: int) -> tuple[float, dict[str, Any]]:
        oracle = frameworks.load("numpy").prepare(graph.plain(), weights, {**settings, **more})
        return oracle.gradients(samples.part_of(x, part), y[part], {name: mask[part] for name, mask in masks.items()})

    whole = gradients(slice(None), shards=2)
    parts = [gradients(slice(0, 4)), gradients(slice(4, 8))]

    assert whole[0] == pytest.approx((parts[0][0] + parts[1][0]) / 2)
    for key, gradient in whole[1].items():
        assert gradient == pytest.approx((parts[0][1][key] + parts[1][1][key]) / 2)
    assert any(not np.allclose(whole[1][key], each) for key, each in gradients(slice(None))[1].items())


def test_every_framework_and_mode_has_one_usual_strategy_at_most():
    for framework in frameworks.NAMES:
        for mode in Mode:
            usual = [n for n in strategies.NAMES if strategies.load(n).IS_USUAL and strategies.fits(n, framework, mode)]
            assert len(usual) <= 1
    assert "ddp" == strategies.usual("torch", "training")
    assert "replicas" == strategies.usual("numpy", "inference")
    assert strategies.usual("numpy", "training") is None


def test_what_a_world_sends_is_the_least_of_any_all_reduce():
    case = replace(case_of("torch", "ddp", 1), world_size=4)
    compressed = replace(case, strategy="ddp bucket_mb=5 gradient_compression=fp16")

    assert 2 * 3 / 4 * 4_000 == ranks.sent_bytes(case, parameters=1_000)
    assert 2 * 3 / 4 * 2_000 == ranks.sent_bytes(compressed, parameters=1_000)


@pytest.mark.parametrize("name", [name for name in strategies.NAMES if strategies.load(name).SUMS_GRADIENTS])
def test_an_option_that_a_strategy_lacks_is_refused_in_its_own_words(name: str):
    for option in strategies.OPTIONS:
        asked = strategies.Strategy(name, {option: "1"})
        refusal = asked.refusal()
        assert asked == strategies.parse(str(asked))
        assert refusal is None or len(refusal) > 30
    assert strategies.parse(name).refusal() is None


def test_ddp_has_all_options_and_replicas_are_never_asked():
    assert strategies.parse("ddp bucket_mb=5 gradient_compression=fp16").refusal() is None
    assert ("single", {}) == strategies.parse(strategies.SINGLE)


def test_a_strategy_is_the_same_text_again_in_one_order_of_its_options():
    """Ids of records hold that text."""
    options = {"gradient_compression": "fp16", "bucket_mb": "5"}

    assert "ddp bucket_mb=5 gradient_compression=fp16" == str(strategies.Strategy("ddp", options))
    assert ("ddp", options) == strategies.parse("ddp bucket_mb=5 gradient_compression=fp16")


def test_only_processes_that_share_nothing_answer_apart():
    """With options or without, and nothing is claimed of strategies of others or of one device."""
    others = ["ddp bucket_mb=5", "replicas anything=1", "single", "parameter_server", "", " ", None, 7]

    texts = [*strategies.NAMES, *others]
    assert ["replicas", "replicas anything=1"] == [text for text in texts if strategies.answers_apart(text)]
