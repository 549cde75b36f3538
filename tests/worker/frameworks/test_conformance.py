"""Every installed framework against the float64 oracle, in each compile mode and layout that its adapter declares."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterable, Sequence
from functools import cache
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np
import pytest

from rigmark.bench.builds.build import recipes
from rigmark.bench.ir.building import Builder
from rigmark.bench.ir.graph import Graph
from rigmark.bench.ir.ops import OPS
from rigmark.bench.ir.training import Sgd
from rigmark.bench.ir.weights import initial_weights, perturbed, synthetic_batch
from rigmark.bench.worker import frameworks
from rigmark.bench.worker.frameworks import Unsupported
from rigmark.bench.worker.frameworks.numpy import adapter as oracle
from rigmark.bench.worker.proof import dropout_masks
from tests.worker.frameworks.cases import cases
from tests.worker.frameworks.drawn import drawn

# Relative L2 errors that fp32 explains.
FORWARD = FIRST_LOSS = 1e-5
GRADIENTS = SECOND_LOSS = UPDATES = STATISTICS = 1e-4

SAMPLES = 6
CASES = cases()
WITHOUT_DROPOUT = (
    "residual", "conv_of_everything", "add_of_flattened_image_and_dense", "adam", "several_inputs_and_outputs",
    "two_objectives",
)

ADAPTERS: dict[str, ModuleType] = {
    name: adapter
    for name, adapter in ((name, frameworks.load(name)) for name in frameworks.NAMES)
    if importlib.util.find_spec(adapter.IMPORTS) is not None
}
by_adapter = pytest.mark.parametrize("framework", ADAPTERS)


class Way(NamedTuple):
    """How a framework is asked to run."""

    framework: str
    compile_mode: str
    layout: str

    @property
    def is_first_choice(self) -> bool:
        """True in the compile mode that the adapter names first, which meets every case; others compile for long.

        Where that mode compiles too, one layout meets every case.
        """
        adapter = ADAPTERS[self.framework]
        return self.compile_mode == adapter.COMPILE_MODES[0] and (
            self.compile_mode == "eager" or self.layout == adapter.LAYOUTS[0]
        )

    @property
    def trains(self) -> bool:
        return "training" in frameworks.modes(self.framework)

    @property
    def is_last_layout(self) -> bool:
        return self.layout == ADAPTERS[self.framework].LAYOUTS[-1]

    def prepare(self, graph: Graph, weights: Any, mode: str | None = None) -> Any:
        """The network, for training where the framework has it."""
        asked = {
            "mode": mode or ("training" if self.trains else "inference"), "precision": "fp32",
            "compile_mode": self.compile_mode, "layout": self.layout, "device": "cpu", "threads": 1, "seed": 1,
        }
        try:
            return ADAPTERS[self.framework].prepare(graph.plain(), weights, asked)
        except Unsupported as reason:
            if self.is_first_choice:
                raise
            pytest.skip(str(reason))


WAYS = [
    Way(name, compile_mode, layout)
    for name, adapter in ADAPTERS.items()
    for compile_mode in adapter.COMPILE_MODES
    for layout in adapter.LAYOUTS
]
FIRST_CHOICES = [way for way in WAYS if way.is_first_choice]


# torch.compile takes half a minute for one small training step: one layout must do, the one that permutes most.
TRAINED_COMPILED = [(way, "small_network") for way in WAYS if not way.is_first_choice and way.is_last_layout]
# In its own way.
TRAINED_COMPILED += [(way, "max_pool_and_back") for way in WAYS if way[:2] == ("tensorflow", "xla")]
INFERRED_COMPILED = [(way, "everything") for way in WAYS if not way.is_first_choice]


def by_way_and_case(
    names: Iterable[str], compiled: Sequence[tuple[Way, str]] = (), *, training: bool
) -> pytest.MarkDecorator:
    """Every first choice with each case, and some pairs of a compiled way and a case; of engines only if they need not
    train.
    """
    pairs = [*((way, name) for way in FIRST_CHOICES for name in names), *compiled]
    pairs = [(way, name) for way, name in pairs if way.trains or not training]
    return pytest.mark.parametrize(("way", "name"), pairs, ids=["-".join([*way, name]) for way, name in pairs])


SETTINGS_OF_AN_ENGINE = {
    "mode": "inference", "precision": "fp32", "compile_mode": "compiled", "layout": "nchw", "device": "cpu",
    "threads": 1, "seed": 1,
}

by_first_choice = pytest.mark.parametrize("way", FIRST_CHOICES, ids="-".join)
by_trainer = pytest.mark.parametrize("way", [way for way in FIRST_CHOICES if way.trains], ids="-".join)


def weights_of(graph: Graph) -> dict[str, Any]:
    return perturbed(graph, initial_weights(graph, seed=1), seed=1)


def oracle_for(graph: Graph, mode: str = "training") -> Any:
    asked = {
        "mode": mode, "precision": "fp64", "compile_mode": "eager", "layout": "nchw", "device": "cpu", "threads": 1,
        "seed": 1,
    }
    return oracle.prepare(graph.plain(), weights_of(graph), asked)


class Steps(NamedTuple):
    """What a network says to the same questions: proofs first, then two training steps on two batches, and both again.
    """

    output: Any
    gradients: dict[str, Any]
    losses: list[Any]                            # of gradients, and of each step before its update: one per objective
    weights_untouched: dict[str, Any]            # after the proofs
    weights: dict[str, Any]                      # after the steps
    output_after: Any                            # from those
    losses_again: list[list[float]]              # of the same batches by its timed way, where that is asked for
    weights_again: dict[str, Any]


def take_steps(prepared: Any, graph: Graph, *, timed: Callable[..., Any] | None) -> Steps:
    """``timed`` trains on the next batch by the way that is timed, and gives the loss before the update."""
    (x, y), other = batches = [synthetic_batch(graph, SAMPLES, seed) for seed in (2, 4)]
    masks, other_masks = (dropout_masks(graph.plain(), SAMPLES, seed) for seed in (3, 5))
    output = prepared.forward(x)
    loss, gradients = prepared.gradients(x, y, masks)
    untouched = prepared.weights()
    steps = loss, prepared.train(x, y, masks), prepared.train(*other, other_masks)
    after = prepared.weights(), prepared.forward(x)
    steps_again: tuple[Any, ...] = ()
    if timed is not None:
        prepared.load(batches)
        steps_again = timed(x, y, {}), timed(*other, {})
    losses, losses_again = ([np.ravel(each).tolist() for each in every] for every in (steps, steps_again))
    return Steps(output, gradients, losses, untouched, *after, losses_again, prepared.weights())


@cache
def expected_steps(name: str) -> Steps:
    reference = oracle_for(CASES[name])
    return take_steps(reference, CASES[name], timed=reference.train if name in WITHOUT_DROPOUT else None)


def timed(prepared: Any) -> Callable[..., Any]:
    """A step of the timed way on the next of its batches; its loss before the update."""
    def step(*_batch: object) -> Any:
        prepared.step()
        prepared.synchronize()
        return prepared.result()

    return step


def assert_close(got: Any, expected: Any, tolerance: float, scale: float | None = None) -> None:
    """L2 error relative to ``scale``, by default the norm of what is expected, of each where there are several."""
    if isinstance(expected, tuple):
        assert isinstance(got, tuple)
        for one, its_expected in zip(got, expected, strict=True):
            assert_close(one, its_expected, tolerance, scale)
        return
    got = np.asarray(got)
    assert got.shape == np.shape(expected)
    assert got.dtype in (np.float32, np.float64)
    assert np.linalg.norm(got - expected) <= tolerance * (np.linalg.norm(expected) if scale is None else scale)


def assert_all_close(got: dict[str, Any], expected: dict[str, Any], tolerance: float) -> None:
    """L2 error of each array relative to the norm of all."""
    assert set(got) == set(expected)
    scale = norm_of_all(expected)
    for key, value in expected.items():
        assert_close(got[key], value, tolerance, scale)


def norm_of_all(arrays: dict[str, Any]) -> float:
    return float(np.sqrt(sum(np.sum(np.square(array)) for array in arrays.values())))


# The table -------------------------------------------------------------------------------------------------------


@by_adapter
def test_lowerings_are_exactly_the_operations(framework):
    missing = set(OPS) - set(ADAPTERS[framework].LOWERINGS)

    assert set(ADAPTERS[framework].LOWERINGS) <= set(OPS)
    # ONNX lacks some, and so do frameworks of the past.
    assert missing == set() or "training" not in frameworks.modes(framework) or framework in recipes()


@by_adapter
def test_the_best_setting_is_one_that_it_has(framework):
    adapter = ADAPTERS[framework]

    assert set(adapter.BEST) == {"inference", "training"}
    for compile_mode, layout in adapter.BEST.values():
        assert compile_mode in adapter.COMPILE_MODES
        assert layout in adapter.LAYOUTS


@by_way_and_case(CASES, TRAINED_COMPILED, training=True)
def test_computes_what_the_oracle_computes(way, name):
    """By the proof way, and then a few by the timed way, which compilers compile once more."""
    graph, expected = CASES[name], expected_steps(name)
    start = weights_of(graph)
    prepared = way.prepare(graph, start)

    got = take_steps(prepared, graph, timed=timed(prepared) if name in WITHOUT_DROPOUT else None)

    assert_close(got.output, expected.output, FORWARD)
    assert got.losses[0] == pytest.approx(expected.losses[0], rel=FIRST_LOSS)
    assert got.losses[1][:1] == pytest.approx(expected.losses[1][:1], rel=FIRST_LOSS)
    assert got.losses[1] == pytest.approx(expected.losses[1], rel=SECOND_LOSS)       # another may have been updated
    assert_all_close(got.gradients, expected.gradients, GRADIENTS)
    assert got.losses[2] == pytest.approx(expected.losses[2], rel=SECOND_LOSS)
    for key, value in start.items():
        np.testing.assert_array_equal(got.weights_untouched[key], value, err_msg=f"a proof changed {key}")
    assert_weights_moved_alike(graph, start, got.weights, expected.weights)
    assert_close(got.output_after, expected.output_after, 10 * FORWARD)
    for losses, expected_losses in zip(got.losses_again, expected.losses_again, strict=True):
        assert losses == pytest.approx(expected_losses, rel=SECOND_LOSS)
    assert_weights_moved_alike(graph, start, got.weights_again, expected.weights_again)


def assert_weights_moved_alike(graph: Graph, start: Any, got: Any, expected: Any) -> None:
    """Updates are compared, not weights: beside these a small wrong update would not show."""
    assert set(got) == set(expected)
    updates = {key: value - start[key] for key, value in expected.items() if graph.parameters[key].is_trainable}
    rounding = np.finfo(np.float32).eps * norm_of_all({key: start[key] for key in updates})
    for key, value in expected.items():
        if key in updates:
            assert_close(got[key] - start[key], updates[key], 1, scale=UPDATES * norm_of_all(updates) + rounding)
        else:
            assert_close(got[key], value, STATISTICS)


@pytest.mark.parametrize("way", [way for way in WAYS if not way.trains], ids="-".join)
def test_an_engine_computes_what_the_oracle_computes(way):
    """All cases in one test, since each takes a moment."""
    met = {}
    for name, graph in CASES.items():
        if any(layer.op.kind not in ADAPTERS[way.framework].LOWERINGS for layer in graph.layers):
            continue
        x, _ = synthetic_batch(graph, SAMPLES, seed=2)
        met[name] = way.prepare(graph, weights_of(graph)).forward(x)

    for name, output in met.items():
        assert_close(output, expected_steps(name).output, FORWARD)


@pytest.mark.parametrize("framework", [name for name in ADAPTERS if "training" not in frameworks.modes(name)])
def test_an_engine_refuses_to_train(framework):
    asked = {**SETTINGS_OF_AN_ENGINE, "mode": "training"}

    with pytest.raises(Unsupported, match=f"the {framework} adapter has no mode 'training'; it has inference"):
        ADAPTERS[framework].prepare(CASES["adam"].plain(), weights_of(CASES["adam"]), asked)


# The timed way leads through the same lowering --------------------------------------------------------------------


@by_way_and_case(("everything", *WITHOUT_DROPOUT), INFERRED_COMPILED, training=False)
def test_timed_inference_takes_the_batches_in_turn(way, name):
    graph = CASES[name]
    batches = [synthetic_batch(graph, SAMPLES, seed) for seed in (2, 4)]
    prepared, reference = way.prepare(graph, weights_of(graph), "inference"), oracle_for(graph)
    prepared.load(batches)

    for x, _ in (*batches, batches[0]):
        prepared.step()
        prepared.synchronize()
        assert_close(prepared.result(), reference.forward(x), FORWARD)


@by_trainer
def test_timed_dropout_zeroes_the_stated_share_and_scales_the_rest(way):
    """The mean square grows by 1 / (1 - rate), and no two steps drop the same elements."""
    net = Builder("dropout", (100,))
    net.dense("dense", 100, bias=False)
    net.dropout("dropout", 0.25)
    graph = net.build(loss="mean_squared_error", optimizer=Sgd(learning_rate=0.0))
    x = np.random.default_rng(0).choice(np.array([-1, 1], np.float32), (500, 100))
    prepared = way.prepare(graph, {"dense/weight": np.eye(100, dtype=np.float32)})
    prepared.load([(x, np.zeros_like(x))])

    losses = []
    for _ in range(3):
        prepared.step()
        prepared.synchronize()
        losses.append(prepared.result())

    assert losses == pytest.approx([1 / 0.75] * 3, rel=0.02)     # 8 standard deviations
    assert len(set(losses)) > 1


# Any shape -------------------------------------------------------------------------------------------------------


def test_what_is_drawn_meets_its_operation_in_many_shapes():
    for kind in OPS:
        graphs = [drawn(kind, seed) for seed in range(8)]
        assert all(kind in {layer.op.kind for layer in graph.layers} for graph in graphs)
        assert len({graph.fingerprint for graph in graphs}) > 3, kind


QUICKEST = [Way(name, "eager" if "eager" in adapter.COMPILE_MODES else adapter.COMPILE_MODES[0], adapter.LAYOUTS[-1])
            for name, adapter in ADAPTERS.items()]


@pytest.mark.parametrize("way", [way for way in QUICKEST if way.framework != "numpy"], ids="-".join)
def test_any_shape_gives_the_oracles_result(way):
    """All operations in one test, since each takes a moment; JAX, which compiles each, meets every fourth."""
    met, wrong = 0, []
    for kind in list(OPS)[::4 if way.framework == "jax" else 1]:
        for seed in range(3 if way.framework == "torch" else 1):
            try:
                failure = failure_of(way, drawn(kind, seed))
            except Unsupported:
                continue
            met += 1
            wrong += [f"{kind} {seed}: {failure}"] if failure else []

    assert wrong == []
    assert met > 15


def failure_of(way: Way, graph: Graph) -> str:
    """In what outputs, and gradients where the framework trains, are off by more than fp32 explains; empty: in none.

    Raises Unsupported where the framework refuses.
    """
    (x, y), masks = synthetic_batch(graph, SAMPLES, seed=2), dropout_masks(graph.plain(), SAMPLES, 3)
    asked = {**SETTINGS_OF_AN_ENGINE, "mode": "training" if way.trains else "inference",
             "compile_mode": way.compile_mode, "layout": way.layout}
    prepared, reference = ADAPTERS[way.framework].prepare(graph.plain(), weights_of(graph), asked), oracle_for(graph)
    try:
        assert_close(prepared.forward(x), reference.forward(x), FORWARD)
        if way.trains:
            assert_all_close(prepared.gradients(x, y, masks)[1], reference.gradients(x, y, masks)[1], GRADIENTS)
    except AssertionError as error:
        return str(error).splitlines()[0] if str(error) else "it is off"
    return ""


# A compile mode that its user has switched off ----------------------------------------------------------------------


def refusal(framework: str, compile_mode: str) -> str:
    graph = CASES["conv_same"]
    with pytest.raises(Unsupported) as refused:
        ADAPTERS[framework].prepare(graph.plain(), weights_of(graph), {
            "mode": "inference", "precision": "fp32", "compile_mode": compile_mode, "layout": "channels_last",
            "device": "cpu", "threads": 1, "seed": 1,
        })
    return str(refused.value)


@pytest.mark.skipif("torch" not in ADAPTERS, reason="needs torch")
def test_torch_does_not_pass_for_compiled_where_its_compiler_is_switched_off():
    import torch

    with torch._dynamo.config.patch(disable=True):
        assert "TORCH_COMPILE_DISABLE is set" in refusal("torch", "compiled")


@pytest.mark.skipif("jax" not in ADAPTERS, reason="needs JAX")
def test_jax_does_not_pass_for_compiled_where_its_compiler_is_switched_off():
    """It would run one operation after the other, several times slower, under the name of xla."""
    import jax

    jax.config.update("jax_disable_jit", True)
    try:
        assert "JAX_DISABLE_JIT is set" in refusal("jax", "xla")
    finally:
        jax.config.update("jax_disable_jit", False)
