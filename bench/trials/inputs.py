"""The inputs of workers: graphs of networks, weights and samples as .npz files, each written once per sweep."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rigmark.bench import datasets
from rigmark.bench.enums import Implementation, Mode
from rigmark.bench.host import npz
from rigmark.bench.host.limits import writing
from rigmark.bench.ir import decoding as ir_decoding
from rigmark.bench.ir import weights as ir_weights
from rigmark.bench.ir.decoding import Decoding
from rigmark.bench.ir.graph import Graph
from rigmark.bench.ir.ops import BadGraph
from rigmark.bench.ir.training import OWN
from rigmark.bench.networks import Networks
from rigmark.bench.plan.case import Case
from rigmark.bench.plan.schedule import PROOF_BATCH
from rigmark.bench.worker import frameworks
from rigmark.bench.worker import samples as of_samples

SEED = 1                     # of weights, inputs and masks; always the same, so that all results are comparable
BATCHES = 2                  # of synthetic samples: steps take them in turn, so that none can repeat an old answer
DISTINCT_SAMPLES = 4         # of a synthetic batch, which repeats these: one answer of the oracle is enough
SHARDS = (0, 1)             # of timed samples: the devices of a world alternate between them


@dataclass(frozen=True, kw_only=True)
class Timed:
    """The samples of timed steps."""

    file: Path                   # of samples, one batch after another; for names in it see bench.worker.samples
    batch_samples: int           # that make a batch: a worker repeats them to fill it
    deciding: int                # how many of a filled batch decide its loss
    batches: int                 # that the file holds


class Inputs:
    """The files of a sweep in a folder, which exists as long as this context manager."""

    def __init__(self, folder: Path, networks: Networks | None = None):
        self._folder = folder
        self._networks = Networks() if networks is None else networks
        self._contents: dict[Path, str] = {}
        self._decodings: dict[str, Decoding] = {}

    def graph(self, case: Case) -> Graph:
        return self._networks.of(case).graph

    def digest(self, model: str) -> str | None:
        """The hash of a network's weights if they were brought; None if they are drawn from the seed."""
        return self._networks[model].digest

    def decoding(self, case: Case) -> Decoding:
        """How the model generates text; raises BadGraph where it does not, or not so much."""
        if case.model not in self._decodings:
            self._decodings[case.model] = ir_decoding.decoding(self.graph(case))
        decoding = self._decodings[case.model]
        decoding.refuse(case.prompt_length, case.generated_length)
        return decoding

    def decoding_flops(self, case: Case) -> int | None:
        """Of one sequence; None where the model generates none."""
        try:
            return self.decoding(case).flops_per_sample(case.prompt_length, case.generated_length)
        except BadGraph:
            return None

    def read(self, case: Case) -> Graph:
        """The graph whose inputs the samples of a case are: of the prompts, where it generates text."""
        if case.mode is not Mode.DECODE:
            return self.graph(case)
        return self.decoding(case).of_length(case.prompt_length)

    def talkative_weights(self, model: str) -> Path:
        """The file of the weights of a proof that generates text."""
        network = self._networks[model]
        return self._once(f"talkative-{model}", lambda: ir_weights.talkative(
            network.graph, ir_weights.perturbed(network.graph, network.weights(SEED), SEED)
        ))

    def weights(self, model: str) -> Path:
        network = self._networks[model]
        return self._once(f"weights-{model}", lambda: network.weights(SEED))

    def perturbed_weights(self, model: str) -> Path:
        """The file of weights in which no scale is 1 and no shift 0."""
        network = self._networks[model]
        return self._once(
            f"perturbed-{model}", lambda: ir_weights.perturbed(network.graph, network.weights(SEED), SEED)
        )

    def perturbed_where_taken(self, model: str) -> Path | None:
        """The same for the original, with those that it computes itself as given; None if it takes none that change."""
        network = self._networks[model]
        if not network.kept:
            return self.perturbed_weights(model)
        given = network.weights(SEED)
        changed = ir_weights.perturbed(network.graph, given, SEED) | {key: given[key] for key in network.kept}
        if all(np.array_equal(changed[key], given[key]) for key in given):
            return None
        return self._once(f"perturbed-original-{model}", lambda: changed)

    def original(self, case: Case) -> Mapping[str, Any]:
        """What workers of a case are told of the original, if they run that."""
        told = self._networks[case.model].original
        return {"original": dict(told)} if told and case.implementation is Implementation.AS_WRITTEN else {}

    def original_refusal(self, case: Case) -> str | None:
        """Why the original of a network does not run as a case says; None if it does, or if the case runs another."""
        if case.implementation is Implementation.LOWERED:
            return None
        if case.world_size > 1:
            return "a network as written runs on one device; leave --world-size out, or --implementation as_written"
        kind = self._networks.originals.get(case.model)
        refusal: str | None = frameworks.original_refusal(case.framework, kind, case.mode, case.precision)
        return refusal

    def proven_with(self, case: Case) -> str | None:
        """With which weights the original of a network is proven, as a sentence; None if the case runs another."""
        if case.implementation is Implementation.LOWERED:
            return None
        network = self._networks[case.model]
        if self.perturbed_where_taken(case.model) is None:
            return "as given only: what was written takes none of the numbers that a proof changes"
        if not network.kept:
            return "as given, and with numbers changed at random"
        return (f"as given, and with numbers changed at random, but for {len(network.kept)} of "
                f"{len(network.graph.parameters)} parameters, which are computed in what was written")

    def weights_of_proof(self, case: Case) -> tuple[Path, ...]:
        """The files of weights with which a network is proven: perturbed ones, and before them those that were brought
        as they are, since the timed steps have them too."""
        given = () if self.digest(case.model) is None else (self.weights(case.model),)
        if case.implementation is Implementation.AS_WRITTEN:
            perturbed = self.perturbed_where_taken(case.model)
            return given if perturbed is None else (*given, perturbed)
        generates = case.mode is Mode.DECODE
        return (*given, self.talkative_weights(case.model) if generates else self.perturbed_weights(case.model))

    def of_proof(self, case: Case) -> Path:
        """The file with the samples of a proof's batch for all devices; for real data also with "train_x", "train_y",
        "test_x" and "test_y"."""
        graph, samples = self.read(case), PROOF_BATCH * case.world_size * case.accumulate

        def arrays() -> dict[str, Any]:
            drawn = _named(graph, *ir_weights.synthetic_batch(graph, samples, SEED))
            if case.data == datasets.SYNTHETIC or case.world_size > 1:
                return drawn
            real = datasets.load(case.data, graph)
            return {
                **drawn, **_named(graph, real.x, real.y, "train_"), **_named(graph, real.test_x, real.test_y, "test_"),
            }

        return self._once(f"proof-{_targets(case)}-{case.data}-{samples}", arrays)

    def timed(self, case: Case, shard: int = 0) -> Timed:
        """Samples for at least two batches, unless there is only one sample."""
        graph, batch = self.read(case), case.local_batch
        if case.data != datasets.SYNTHETIC:
            real = datasets.load(case.data, graph)
            samples = min(batch, max(1, len(real.y) // BATCHES))
            begin = shard * batch % len(real.y)

            def turned() -> dict[str, Any]:
                every = _named(graph, real.x, real.y)
                return {name: np.roll(array, -begin, axis=0) for name, array in every.items()}

            file = self._once(f"real-{_targets(case)}-{case.data}-{begin}", turned)
            return Timed(file=file, batch_samples=samples, deciding=batch, batches=len(real.y) // samples)
        # A batch of repeated samples has the same loss as one of each, even with batch normalisation.
        # So have equal parts of a batch that have the same samples each.
        part = batch // case.accumulate
        distinct = next((d for d in range(DISTINCT_SAMPLES, 1, -1) if part % d == 0), part)

        def arrays() -> dict[str, Any]:
            return _named(graph, *ir_weights.synthetic_batch(graph, BATCHES * distinct, SEED + shard))

        file = self._once(f"synthetic-{_targets(case)}-{distinct}-{shard}", arrays)
        return Timed(file=file, batch_samples=distinct, deciding=distinct, batches=BATCHES)

    def of_first_loss(self, case: Case, shard: int = 0) -> Path:
        """The file of the samples alone that decide the first loss."""
        timed = self.timed(case, shard)

        def arrays() -> dict[str, Any]:
            with np.load(timed.file) as every:
                samples = np.arange(timed.deciding) % timed.batch_samples        # as a worker fills a batch
                return {name: every[name][samples] for name in every.files}

        return self._once(f"first-{timed.file.stem}-{timed.deciding}", arrays)

    def of_each_batch(self, case: Case, count: int) -> Path:
        """The file of the first samples of each batch, batch after batch."""
        timed = self.timed(case)

        def arrays() -> dict[str, Any]:
            samples = np.arange(count) % timed.batch_samples
            chosen = np.concatenate([place * timed.batch_samples + samples for place in range(timed.batches)])
            with np.load(timed.file) as every:
                return {name: every[name][chosen] for name in every.files}

        return self._once(f"each-{timed.file.stem}-{timed.batch_samples}-{count}", arrays)

    def answers(self, inputs: Path, arrays: dict[str, Any]) -> Path:
        """The file with these answers of the oracle to the inputs of another file."""
        return self._once(f"answers-{inputs.stem}", lambda: arrays)

    def known_text(self, inputs: Path, weights: Path, tokens: NDArray[np.int64]) -> Path:
        """The file of the prompts in another file with the tokens that the oracle generated with these weights."""
        def arrays() -> dict[str, Any]:
            with np.load(inputs) as samples:
                return {"x": samples["x"], "tokens": tokens}

        return self._once(f"text-{inputs.stem}-{weights.stem}", arrays)

    def content(self, file: Path) -> str:
        """Hash of the content of one of these files, which never change."""
        if file not in self._contents:
            self._contents[file] = hashlib.sha256(file.read_bytes()).hexdigest()[:16]
        return self._contents[file]

    def _once(self, name: str, arrays: Callable[[], dict[str, Any]]) -> Path:
        path = self._folder / f"{name}.npz"
        if not path.exists():
            content = arrays()
            with writing(path):
                npz.write(path, content)
        return path


def _named(graph: Graph, x: ir_weights.Samples, y: NDArray[np.generic], prefix: str = "") -> dict[str, Any]:
    """Samples by their names in a file, which begin with the prefix."""
    named = zip(of_samples.keys(graph.plain(), f"{prefix}x"), of_samples.unpacked(x), strict=True)
    return {**dict(named), f"{prefix}y": y}


def _targets(case: Case) -> str:
    """What of the names of files tells for which network, loss and lengths of text their samples are."""
    lengths = f"-{case.prompt_length}-{case.generated_length}" if case.mode is Mode.DECODE else ""
    return f"{case.model}{lengths}" + ("" if case.loss_asked == OWN else f"-{case.loss_asked}")
