"""Text token by token: proven, timed, and held to an oracle that has no cache."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rigmark.bench import models
from rigmark.bench.analysis.results.summary import results
from rigmark.bench.enums import Mode, Outcome, TrialKind
from rigmark.bench.ir.building import Builder
from rigmark.bench.ir.graph import Graph
from rigmark.bench.ir.ops.attention import Attention
from rigmark.bench.ir.training import Sgd
from rigmark.bench.models import gpt2
from rigmark.bench.plan.schedule import Trial
from rigmark.bench.runner.tally import Tally
from rigmark.bench.store.store import Store
from rigmark.bench.trials import jobs, parity
from rigmark.bench.trials.inputs import Inputs
from rigmark.bench.worker import frameworks, generation
from rigmark.bench.worker.frameworks.numpy import adapter as numpy
from rigmark.bench.worker.jobs import Failed, _ends
from rigmark.bench.worker.jobs._common import arrays
from rigmark.bench.worker.jobs._steps import samples_of
from tests.fakes import SHORT, make_case, measure

PROMPT, GENERATED, BATCH = 6, 5, 2
TINY = {"gpt2": gpt2.build(vocabulary=97, context=64, steps=16, features=32, heads=4, blocks=2)}


@pytest.fixture(scope="module", autouse=True)
def tiny() -> Any:
    """GPT-2 in a size that takes milliseconds."""
    build = models.build

    def of(name: str) -> Graph:
        return TINY.get(name) or build(name)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(models, "build", of)
        yield


def grouped() -> Graph:
    """Two heads of the key serve four of the query, whose products have a scale of their own."""
    net = Builder("gpt2", (16,), vocabulary=97)
    trunk = net.embedding("tokens", 32)
    heads = []
    for name, count in (("query", 4), ("key", 2), ("value", 2)):
        net.reshape(f"{name}_rows", (16, count, 8), of=net.dense(name, 8 * count, of=trunk))
        heads.append(net.transpose(f"{name}_heads", (1, 0, 2)))
    net.add_layer("attention", Attention(causal=True, scale=0.5), heads)
    net.reshape("joined", (16, 32), of=net.transpose("rows", (1, 0, 2)))
    net.dense("scores", 97)
    return net.build(loss="softmax_cross_entropy", optimizer=Sgd(learning_rate=0.1))


def generated(folder: Path, framework: str, **axes: Any) -> Tally:
    return measure(folder, **{
        "models": ("gpt2",), "frameworks": (framework,), "modes": (Mode.DECODE,), "local_batches": (BATCH,),
        "prompt_lengths": (PROMPT,), "generated_lengths": (GENERATED,), **axes,
    })


@pytest.mark.parametrize("framework", ["torch", "jax", "tensorflow"])
def test_text_is_proven_timed_and_held_to_the_oracle(framework: str, tmp_path: Path):
    proof, timing = generated(tmp_path, framework).stored

    assert (TrialKind.PROOF, Outcome.OK, None) == (proof.identity.kind, proof.outcome, proof.reason)
    assert proof.parity is not None
    assert proof.parity["output_error"] < 1e-5
    assert (0, 0) == (proof.parity["wrong_tokens"], proof.parity["open_tokens"])
    assert (TrialKind.TIMING, Outcome.OK, None) == (timing.identity.kind, timing.outcome, timing.reason)
    assert timing.measurement is not None
    steps = len(timing.measurement["timings_s"])
    assert steps == len(timing.measurement["first_token_times_s"])
    assert steps * (GENERATED - 1) == len(timing.measurement["token_times_s"])
    assert timing.measurement["last_check"]["output_error"] < 1e-5 < timing.measurement["last_check"]["output_distance"]

    (row,) = results(Store(tmp_path / "results").trials().table).to_dict("records")
    assert row["tokens_per_s"] == pytest.approx(BATCH * GENERATED / row["step_time_s"])
    assert row["time_to_first_token_s"] == pytest.approx(np.median(timing.measurement["first_token_times_s"]))
    assert row["time_between_tokens_s"] == pytest.approx(np.median(timing.measurement["token_times_s"]))
    assert (PROMPT, GENERATED) == (row["prompt_length"], row["generated_length"])


@pytest.mark.parametrize("framework", ["torch", "jax", "tensorflow"])
def test_grouped_heads_and_a_scale_are_those_of_the_model(
    framework: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setitem(TINY, "gpt2", grouped())
    compile_mode, layout = frameworks.load(framework).BEST["inference"]
    inputs, case = Inputs(tmp_path), make_case(
        model="gpt2", framework=framework, mode=Mode.DECODE, prompt_length=PROMPT, generated_length=GENERATED,
        local_batch=BATCH, compile_mode=compile_mode, layout=layout,
    )
    asked = jobs.job("decoding_proof", case, **jobs.decoding(case, inputs))
    weights = arrays(str(inputs.weights("gpt2")))
    prompts = arrays(str(inputs.of_proof(case)))["x"]
    settings = {**asked["settings"], "precision": "fp64", "compile_mode": "eager", "layout": "nchw"}
    exact = generation.oracle(numpy.prepare(asked["graph"], weights, settings), prompts, GENERATED)
    network = generation.prepared(frameworks.load(framework), asked, weights)
    network.load([(prompts, None)])

    answer = generation.answer(network.decoder, exact["tokens"])

    assert [] == parity.compare_text(answer, exact, case.precision).failures()


def test_a_model_that_generates_no_text_or_not_so_much_is_no_failure_but_a_gap(tmp_path: Path):
    (proof, timing) = generated(tmp_path, "torch", models=("lstm",)).stored
    assert {Outcome.UNSUPPORTED} == {proof.outcome, timing.outcome}
    assert "lstm in layer 'lstm1' has no form that takes one token after the other" in str(proof.reason)


def spoilt(text: Any, place: int) -> tuple[Any, Any]:
    """Another token at one place of the first sequence."""
    tokens, scores = text
    tokens = tokens.copy()
    tokens[0, place] = (tokens[0, place] + 1) % 97
    return tokens, scores


PLACES = {"another last token": GENERATED - 1, "another token": 2}       # what follows a token depends on it


@pytest.mark.parametrize("part", ["as it is", "another last token", "another token", "scores of another"])
def test_each_text_that_is_not_what_the_oracle_chooses_is_refused(part: str, tmp_path: Path):
    case = make_case(
        model="gpt2", framework="torch", mode=Mode.DECODE, prompt_length=PROMPT, generated_length=GENERATED,
    )
    inputs = Inputs(tmp_path)
    asked = jobs.steps_of_text(Trial(kind=TrialKind.TIMING, case=case, timing=SHORT), inputs)
    assert isinstance(asked, dict)
    network = numpy.prepare(asked["graph"], arrays(asked["weights"]), {**asked["settings"], "precision": "fp32"})

    class Known:
        """Takes the oracle's place in another precision, as an adapter that is right."""
        def __init__(self) -> None:
            self.first, self.steps = self.of(0), 0

        def of(self, place: int) -> tuple[Any, Any]:
            x = samples_of(asked, place, 2)[0][0]
            found = generation.oracle(network, x, GENERATED)
            return found["tokens"], found["output"][:, -1]

        def step(self) -> None:
            self.steps += 1

        def synchronize(self) -> None:
            pass

        def text(self) -> tuple[Any, Any]:
            text = self.of(6 + self.steps)
            if part in PLACES and not self.steps:
                return spoilt(text, PLACES[part])
            return (text[0], self.of(5)[1]) if part == "scores of another" else text

        def result(self) -> Any:
            return self.text()[1]

    if part == "as it is":
        assert _ends.check_texts(asked, Known(), 7)["output_error"] < 1e-5
        return
    with pytest.raises(Failed, match="token 5 of sequence 1 is" if part == "another last token" else "off by"):
        _ends.check_texts(asked, Known(), 7)
