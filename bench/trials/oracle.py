"""The float64 answers that networks must agree with: computed once by NumPy's adapter, then stored."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from rigmark.bench.builds.worker_package import oracle_version
from rigmark.bench.devices import CPU
from rigmark.bench.enums import Mode, Outcome, Precision
from rigmark.bench.plan import axes
from rigmark.bench.plan.case import Case
from rigmark.bench.processes.spawn import Answer
from rigmark.bench.store.store import Store
from rigmark.bench.trials import parity
from rigmark.bench.trials.inputs import BATCHES, SEED, Inputs
from rigmark.bench.worker import frameworks, strategies

FRAMEWORK = "numpy"

Arrays = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class FirstLoss:
    """The first loss that a timed trial must have."""

    value: float
    tolerance: float                 # largest relative error


class Oracle:
    """The oracle; ``ask`` runs a job in the default build, and returns the worker's answer and arrays."""

    def __init__(
        self, store: Store, inputs: Inputs, ask: Callable[[Mapping[str, Any]], tuple[Answer, Arrays]]
    ):
        self._store = store
        self._inputs = inputs
        self._ask = ask

    def proof(self, case: Case, job: Mapping[str, Any]) -> Arrays | Answer:
        """The arrays with which a proof compares those of its own ``job``; an Answer if the oracle failed."""
        case = replace(case, mode=Mode.TRAINING)     # one answer serves all precisions, even those without training
        inputs = Path(job["inputs"])     # real data changes with its source
        same = {name: job[name] for name in ("inputs", "learning", "weights")}
        asked = self._job("proof", case, tie_errors=parity.TIE_ERRORS, **same)
        key = self._key(case, inputs, case.world_size, *self._which(case, job))
        exact = self._known(f"proof-{key}", lambda: self._ask(asked))
        if isinstance(exact, Answer):
            return exact
        parts: list[Arrays | Answer] = [exact]
        if case.precision in parity.ROUNDINGS:
            parts.append(self._rounding_effects(case, {**same, "learning": None}, exact))
        if strategies.GRADIENT_COMPRESSION in strategies.parse(case.strategy).options:
            parts.append(self._compression_effects(case, {**same, "learning": None}, exact))
        arrays: Arrays = {}
        for each in parts:
            if isinstance(each, Answer):
                return each
            arrays |= each
        return arrays

    def text(self, case: Case, job: Mapping[str, Any]) -> Arrays | Answer:
        """"x", "tokens", "output" and the effect of rounding, as parity.compare takes them, with which a proof compares
        the text of its own ``job``; an Answer if the oracle failed.
        """
        inputs, weights = Path(job["inputs"]), Path(job["weights"])
        which = (case.prompt_length, case.generated_length, weights.stem)
        same = {name: job[name] for name in ("graph", "weights")}

        def ask(given: Path, **more: Any) -> tuple[Answer, Arrays]:
            asked = self._job("decoding_oracle", case, inputs=str(given), generated_length=case.generated_length)
            # To the oracle, which has no cache, it is inference.
            return self._ask({**asked, **same, "settings": {**asked["settings"], "mode": Mode.INFERENCE, **more}})

        exact = self._known(f"text-{self._key(case, inputs, *which)}", lambda: ask(inputs))
        if isinstance(exact, Answer) or case.precision not in parity.ROUNDINGS:
            return exact
        rounding = parity.ROUNDINGS[case.precision]
        whole = self._inputs.known_text(inputs, weights, exact["tokens"])

        def ask_rounded() -> tuple[Answer, Arrays]:
            rounded = []
            for seed in range(parity.REALISATIONS):
                answer, arrays = ask(whole, precision=Precision.FP32, rounding=rounding.plain(seed))
                if answer.outcome is not Outcome.OK:
                    return answer, {}
                rounded.append(arrays)
            return answer, parity.rounding_effects(rounded, exact)

        effects = self._known(f"text-rounding-{self._key(case, inputs, *which, rounding)}", ask_rounded)
        return effects if isinstance(effects, Answer) else {**exact, **effects}

    def _rounding_effects(self, case: Case, same: Mapping[str, Any], exact: Arrays) -> Arrays | Answer:
        """The effect of computing this network in a narrower format."""
        rounding = parity.ROUNDINGS[case.precision]

        def ask() -> tuple[Answer, Arrays]:
            rounded = []
            for seed in range(parity.REALISATIONS):
                job = self._job("proof", case, **same)
                # In fp32, whose own rounding is negligible in comparison.
                job["settings"] |= {"precision": Precision.FP32, "rounding": rounding.plain(seed)}
                answer, arrays = self._ask(job)
                if answer.outcome is not Outcome.OK:
                    return answer, {}
                rounded.append(arrays)
            return answer, parity.rounding_effects(rounded, exact)

        key = self._key(case, Path(same["inputs"]), case.world_size, rounding, *self._which(case, same))
        return self._known(f"rounding-{key}", ask)

    def _compression_effects(self, case: Case, same: Mapping[str, Any], exact: Arrays) -> Arrays | Answer:
        """The effect of sending the gradients of shards in a narrower format."""
        compression = strategies.parse(case.strategy).options[strategies.GRADIENT_COMPRESSION]

        def ask() -> tuple[Answer, Arrays]:
            job = self._job("proof", case, **same)
            job["settings"]["gradients_sent_as"] = parity.SENT_AS[compression][0]
            answer, arrays = self._ask(job)
            if answer.outcome is not Outcome.OK:
                return answer, {}
            return answer, parity.compression_effects(arrays, exact, compression)

        key = self._key(case, Path(same["inputs"]), case.world_size, compression, *self._which(case, same))
        return self._known(f"compression-{key}", ask)

    def _known(self, key: str, ask: Callable[[], tuple[Answer, Arrays]]) -> Arrays | Answer:
        """The stored arrays of a key; they are computed and stored if there are none."""
        if (known := self._store.oracle.get(key)) is not None:
            return known
        answer, arrays = ask()
        if answer.outcome is not Outcome.OK:
            return _failed(answer)
        self._store.oracle.put(key, arrays)
        return arrays

    def first_loss(self, case: Case, shard: int = 0) -> FirstLoss | Answer:
        """The loss that the first step of a timed trial must have on a shard; an Answer if the oracle failed."""
        timed = self._inputs.timed(case, shard)
        key = f"loss-{self._key(case, timed.file, case.mode, timed.batch_samples, timed.deciding)}"
        if (known := self._store.oracle.get(key)) is None:
            files = {"inputs": self._inputs.of_first_loss(case, shard), "weights": self._inputs.weights(case.model)}
            answer, _ = self._ask(self._job("oracle", case, **{name: str(path) for name, path in files.items()}))
            if answer.outcome is not Outcome.OK:
                return _failed(answer)
            known = {name: np.array(answer.result[name]) for name in ("loss", "output_rounding")}
            self._store.oracle.put(key, known)
        loss, rounding = float(known["loss"]), float(known["output_rounding"])
        return FirstLoss(value=loss, tolerance=parity.first_loss_tolerance(case.precision, loss, rounding))

    def last_outputs(self, case: Case, count: int) -> Path | Answer | None:
        """A file with the outputs for the first samples of each batch in inference, since the last step may be of any
        batch; an Answer if the oracle failed, None if a worker must compute its own.
        """
        if case.mode is not Mode.INFERENCE or self._inputs.timed(case).batches > BATCHES:
            return None
        inputs = self._inputs.of_each_batch(case, count)
        asked = self._job("oracle", case, inputs=str(inputs), weights=str(self._inputs.weights(case.model)))
        arrays = self._known(f"outputs-{self._key(case, inputs)}", lambda: self._ask(asked))
        return arrays if isinstance(arrays, Answer) else self._inputs.answers(inputs, arrays)

    def _key(self, case: Case, inputs: Path, *more: object) -> str:
        content = self._inputs.content(inputs)
        facts = (self._inputs.graph(case).fingerprint, content, SEED, oracle_version(), *more)
        if (digest := self._inputs.digest(case.model)) is not None:
            facts = (*facts, "weights", digest)
        return hashlib.sha256(repr(facts).encode()).hexdigest()[:16]

    def _which(self, case: Case, job: Mapping[str, Any]) -> tuple[str, ...]:
        """What the key of a proof says of its weights: nothing if they are perturbed, as those of own networks are."""
        if job["weights"] == str(self._inputs.perturbed_weights(case.model)):
            return ()
        if job["weights"] == str(self._inputs.weights(case.model)):
            return ("as given",)
        return (self._inputs.content(Path(job["weights"])),)

    def _job(self, kind: str, case: Case, **more: Any) -> dict[str, Any]:
        adapter = frameworks.load(FRAMEWORK)
        return {
            "kind": kind, "framework": FRAMEWORK, "graph": self._inputs.graph(case).plain(),
            "settings": {
                **axes.sent(replace(
                    case, precision=Precision.FP64, compile_mode=adapter.COMPILE_MODES[0], layout=adapter.LAYOUTS[0],
                    device=CPU,
                )),
                "seed": SEED,
                "shards": case.world_size if kind == "proof" else 1,
            },
            **more,
        }


def _failed(answer: Answer) -> Answer:
    return replace(answer, result={}, reason=f"the oracle failed: {answer.reason}")
