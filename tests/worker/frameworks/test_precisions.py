"""Every installed framework in each precision that it declares: as close to the float64 oracle as the format allows."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import nullcontext
from functools import cache, partial
from typing import Any, NamedTuple

import numpy as np
import pytest

from rigmark.bench.enums import Precision
from rigmark.bench.ir.building import Builder
from rigmark.bench.ir.graph import Graph
from rigmark.bench.ir.ops import Op, Shape
from rigmark.bench.ir.ops.convolution import Conv2d, ConvTranspose2d
from rigmark.bench.ir.ops.elementwise import PRelu
from rigmark.bench.ir.training import Adam, Sgd
from rigmark.bench.ir.weights import initial_weights, perturbed, synthetic_batch
from rigmark.bench.models import gpt2
from rigmark.bench.trials import parity
from rigmark.bench.trials.parity import ROUNDINGS, TOLERANCES, Parity, compare, rounding_effects
from rigmark.bench.worker import frameworks, proof
from rigmark.bench.worker.frameworks import Unsupported
from rigmark.bench.worker.precisions import POLICIES, WITHOUT_TRAINING
from tests.worker.frameworks.cases import cases
from tests.worker.frameworks.test_conformance import ADAPTERS, by_adapter

SAMPLES = 6
NARROW = tuple(ROUNDINGS)
MIXED = (Precision.BF16, Precision.FP16)


def image_network(epsilon: float = 1e-5, learning_rate: float = 0.05) -> Graph:
    net = Builder("image_network", (3, 8, 6))
    net.conv2d("conv1", 8, kernel=3, padding=1, bias=False)
    net.batch_norm("norm", epsilon=epsilon)
    entry = net.relu("relu1")
    net.conv2d("conv2", 8, kernel=3, padding=1)
    net.add("add", of=("conv2", entry))
    net.max_pool("pool1", kernel=2, stride=2)
    net.avg_pool("pool2", kernel=3, stride=1, padding=1, count_include_pad=False)
    net.flatten("flatten")
    net.dropout("dropout", 0.25)
    net.dense("hidden", 32)
    net.tanh("tanh")
    net.dense("classes", 5)
    return net.build(loss="softmax_cross_entropy", optimizer=Sgd(learning_rate=learning_rate, momentum=0.9))


def text_network() -> Graph:
    net = Builder("text_network", (12,), vocabulary=20)
    net.embedding("embedding", 8)
    net.lstm("lstm1", 16)
    net.lstm("lstm2", 16)
    net.dense("characters", 20)
    return net.build(loss="softmax_cross_entropy", optimizer=Adam(learning_rate=1e-3))


def steep_network() -> Graph:
    """Its targets are so far off that gradients of a scaled loss leave the range of fp16."""
    net = Builder("steep_network", (6,))
    net.dense("hidden", 8)
    net.dense("values", 3)
    return net.build(loss="mean_squared_error", optimizer=Sgd(learning_rate=1e-6))


def transformer() -> Graph:
    return gpt2.build(vocabulary=20, context=16, steps=12, features=16, heads=4, blocks=1)


# Of tests.worker.frameworks.cases: what is quick where nothing is compiled.
FAMILIES = (
    "functions_of_each_element", "functions_of_two_values", "reductions_and_parts", "other_shapes", "padded_images",
    "recurrent_cells", "transposed_convolutions", "resized_images", "grouped_queries", "image_in_turns",
)
CASES = cases()
NETWORKS: dict[str, Callable[[], Graph]] = {
    "image": image_network, "text": text_network, "transformer": transformer,
    **{name: partial(CASES.__getitem__, name) for name in FAMILIES},
}


class Way(NamedTuple):
    framework: str
    compile_mode: str
    precision: str

    @property
    def mode(self) -> str:
        trains = self.precision not in WITHOUT_TRAINING and "training" in frameworks.modes(self.framework)
        return "training" if trains else "inference"


def ways() -> Iterator[Way]:
    """Each framework in each precision and compile mode that are quick to compile."""
    for framework, adapter in ADAPTERS.items():
        for compile_mode in adapter.COMPILE_MODES:
            if (framework, compile_mode) == ("torch", "compiled"):
                continue                 # half a minute each
            # The formats are the same code in each mode: further ones show that in two of them.
            precisions = adapter.PRECISIONS if compile_mode == adapter.COMPILE_MODES[0] else ("bf16", "fp64")
            for precision in precisions:
                if precision != "tf32" and precision in adapter.PRECISIONS:
                    yield Way(framework, compile_mode, precision)


WAYS = tuple(ways())


def by_way(*precisions: str) -> pytest.MarkDecorator:
    asked = [way for way in WAYS if not precisions or way.precision in precisions]
    return pytest.mark.parametrize("way", asked, ids="-".join)


def prepare(way: Way, graph: Graph, mode: str | None = None, weights: Any = None, **more: Any) -> Any:
    adapter = ADAPTERS[way.framework]
    settings = {
        "mode": mode or way.mode, "precision": way.precision, "compile_mode": way.compile_mode,
        "layout": adapter.LAYOUTS[-1], "device": "cpu", "threads": 1, "seed": 1, **more,
    }
    return adapter.prepare(graph.plain(), weights_of(graph) if weights is None else weights, settings)


def weights_of(graph: Graph) -> dict[str, Any]:
    return perturbed(graph, initial_weights(graph, seed=1), seed=1)


@cache
def kept(way: Way, name: str, mode: str) -> Any:
    return prepare(way, NETWORKS[name](), mode)


def prepared_once(way: Way, name: str, mode: str) -> Any:
    """For all tests together, since compilers take long: its weights may have been trained by one of them."""
    # JAX's switch to 64 bits is one of the whole process, and to prepare is to set it.
    return kept.__wrapped__(way, name, mode) if way.precision == "fp64" else kept(way, name, mode)


def answer(prepared: Any, graph: Graph) -> dict[str, Any]:
    return proof.answer(prepared, graph.plain(), *synthetic_batch(graph, SAMPLES, seed=2), 3)


def oracle_answer(graph: Graph, precision: str = "fp64", weights: Any = None, **more: Any) -> dict[str, Any]:
    return answer(prepare(Way("numpy", "eager", precision), graph, weights=weights, **more), graph)


@cache
def exact(name: str) -> dict[str, Any]:
    """What the oracle hands to a comparison in fp32 or fp64."""
    graph = NETWORKS[name]()
    x, y = synthetic_batch(graph, SAMPLES, seed=2)
    arrays = oracle_answer(graph)

    def changed(**settings: Any) -> Any:
        return prepare(Way("numpy", "eager", settings.pop("precision", "fp64")), graph, **settings)

    ties = proof.tie_effects(changed, graph.plain(), x, y, 3, parity.TIE_ERRORS, arrays["losses"])
    return {**arrays, **ties}


@cache
def expected(name: str, precision: Precision) -> dict[str, Any]:
    """What the oracle hands to a comparison."""
    if precision not in ROUNDINGS:
        return exact(name)
    graph, rounding = NETWORKS[name](), ROUNDINGS[precision]
    rounded = [
        oracle_answer(graph, "fp32", rounding=rounding.plain(seed)) for seed in range(parity.REALISATIONS)
    ]
    return {**exact(name), **rounding_effects(rounded, exact(name))}


def compared(way: Way, name: str) -> Parity:
    graph, precision = NETWORKS[name](), Precision(way.precision)
    return compare(answer(prepared_once(way, name, way.mode), graph), expected(name, precision), precision)


# What is computed ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["image", "text"])
@by_way()
def test_output_losses_and_gradients_are_off_by_no_more_than_the_format_explains(way, name, record_property):
    try:
        result = compared(way, name)
    except Unsupported as refused:
        pytest.skip(str(refused))

    record_property("errors", result.errors())
    assert result.failures() == []


OF_ATTENTION = [
    way for way in WAYS
    if (way.precision in ("fp64", "bf16", "bf16_pure") and way.compile_mode == ADAPTERS[way.framework].COMPILE_MODES[0])
    or way[::2] == ("jax", "fp16")                       # which its own attention lacks on CPUs
]


@pytest.mark.parametrize("way", OF_ATTENTION, ids="-".join)
def test_attention_and_normalised_features_are_off_by_no_more_than_the_format_explains(way):
    """In fp64 an operation that rounds to fp32 inside shows, in a narrow format one that mixes formats."""
    assert compared(way, "transformer").failures() == []


@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.parametrize("way", [
    way for way in WAYS if way.framework == "torch" and way.precision != "int8"
], ids="-".join)
def test_every_family_of_operations_is_off_by_no_more_than_the_format_explains(way, name):
    try:
        found = compared(way, name)
    except Unsupported as refused:
        pytest.skip(str(refused))

    assert found.failures() == []


@pytest.mark.parametrize("name", ["image", "text"])
@by_way(*NARROW)
def test_a_narrow_format_is_in_force_and_not_fp32_unasked(way, name):
    try:
        prepared = prepared_once(way, name, "inference")
        output = prepared.forward(synthetic_batch(NETWORKS[name](), SAMPLES, seed=2)[0])
    except Unsupported as refused:
        pytest.skip(str(refused))

    error = parity.relative_error(output, exact(name)["output"])
    assert ROUNDINGS[Precision(way.precision)].roundoff / 20 < error
    assert TOLERANCES[Precision.FP32].output < error


@by_way()
def test_arrays_that_come_out_are_numpys_own_and_at_least_fp32(way):
    graph = image_network()
    x, y = synthetic_batch(graph, SAMPLES, seed=2)
    prepared = prepared_once(way, "image", way.mode)
    arrays = [prepared.forward(x), *prepared.weights().values()]
    if prepared.can_train:
        arrays += prepared.gradients(x, y, proof.dropout_masks(graph.plain(), SAMPLES, 3))[1].values()

    assert {array.dtype for array in arrays} <= {np.dtype(np.float32), np.dtype(np.float64)}


@by_way()
def test_timed_inference_gives_what_was_proven(way):
    x, y = synthetic_batch(image_network(), SAMPLES, seed=2)
    prepared = prepared_once(way, "image", "inference")
    prepared.load([(x, y)])
    prepared.step()
    prepared.synchronize()

    np.testing.assert_allclose(prepared.result(), prepared.forward(x), rtol=0, atol=1e-6)


# Mistakes that a proof must see --------------------------------------------------------------------------------------


@pytest.mark.parametrize("precision", [precision for precision in NARROW if precision is not Precision.INT8])
@pytest.mark.parametrize("key", ["conv2/bias", "hidden/bias", "classes/bias"])
def test_a_dropped_bias_fails_in_every_floating_point_format(key, precision):
    weights = weights_of(image_network())
    wrong = oracle_answer(image_network(), weights={**weights, key: np.zeros_like(weights[key])})

    comparison = compare(wrong, expected("image", precision), precision)

    assert any(failure.startswith("output") for failure in comparison.failures())


@pytest.mark.parametrize("precision", [Precision.FP16, Precision.FP16_PURE, Precision.TF32])
def test_a_batch_norm_with_another_epsilon_fails_where_it_outweighs_rounding(precision):
    """Keras' 1e-3 in place of 1e-5 moves an output by 5 % where variances are about 1e-2."""
    weights = weights_of(image_network())
    weights["norm/variance"] = weights["norm/variance"] / 100
    right = oracle_answer(image_network(), weights=weights)
    rounded = [
        oracle_answer(image_network(), "fp32", weights, rounding=ROUNDINGS[precision].plain(seed)) for seed in range(3)
    ]
    wrong = oracle_answer(image_network(epsilon=1e-3), weights=weights)

    comparison = compare(wrong, {**right, **rounding_effects(rounded, right)}, precision)

    assert any(failure.startswith("output") for failure in comparison.failures())


@pytest.mark.parametrize("precision", MIXED)
@pytest.mark.parametrize("learning_rate", [0.0, 0.1])
def test_another_learning_rate_shows_in_the_losses(learning_rate, precision):
    wrong = oracle_answer(image_network(learning_rate=learning_rate))

    failures = compare(wrong, expected("image", precision), precision).failures()

    assert {"second loss off", "third loss off"} >= {failure.partition(" by")[0] for failure in failures} != set()


# Mixed precision -----------------------------------------------------------------------------------------------------


@by_way("bf16", "fp16")
def test_mixed_training_keeps_weights_in_fp32(way):
    """An update of 1e-4 of a weight would round away in bf16 and fp16."""
    net = Builder("case", (6,))
    net.dense("values", 4)
    graph = net.build(loss="mean_squared_error", optimizer=Sgd(learning_rate=1e-5))
    x, y = synthetic_batch(graph, SAMPLES, seed=2)
    start = {key: np.ones_like(array) for key, array in weights_of(graph).items()}
    prepared = prepare(way, graph, weights=start)
    reference = prepare(Way("numpy", "eager", "fp64"), graph, weights=start)

    prepared.gradients(x, y, {})                         # until the scale of the loss has settled
    for network in (prepared, reference):
        network.train(x, y, {})

    for key, value in reference.weights().items():
        update = value - start[key]
        assert 0 < np.abs(update).max() < 1e-4
        np.testing.assert_allclose(prepared.weights()[key] - start[key], update, atol=0.1 * np.abs(update).max())


@by_way("fp16")
def test_a_step_whose_gradients_overflow_changes_no_weight_and_is_counted(way):
    graph = steep_network()
    x, _ = synthetic_batch(graph, SAMPLES, seed=2)
    prepared = prepare(way, graph)
    start = prepared.weights()
    prepared.load([(x, np.full((SAMPLES, 3), 1e3, np.float32))])

    def step() -> float:
        prepared.step()
        prepared.synchronize()
        return float(prepared.result())

    assert prepared.overflow_steps() == 0
    losses = [step()]
    assert prepared.overflow_steps() == 1
    for key, array in prepared.weights().items():
        np.testing.assert_array_equal(array, start[key])
    losses += [step() for _ in range(15)]
    assert 1 < prepared.overflow_steps() < 12            # the scale halves until gradients are finite
    assert losses[0] == pytest.approx(losses[1])
    assert losses[-1] < losses[0]
    assert all(np.isfinite(array).all() for array in prepared.weights().values())


@by_way("fp16")
def test_proven_gradients_are_those_of_the_loss_and_not_of_the_scaled_one(way):
    graph = steep_network()
    x, _ = synthetic_batch(graph, SAMPLES, seed=2)
    y = np.full((SAMPLES, 3), 1e3, np.float32)
    result = prepare(way, graph).gradients(x, y, {})[1]

    for key, gradient in prepare(Way("numpy", "eager", "fp64"), graph).gradients(x, y, {})[1].items():
        assert parity.relative_error(result[key], gradient) < 10 * ROUNDINGS[Precision.FP16].roundoff


@by_way("fp32", "bf16", "fp64")
def test_overflows_are_counted_only_where_the_loss_is_scaled(way):
    assert prepare(way, steep_network()).overflow_steps() is None


# What a framework refuses --------------------------------------------------------------------------------------------


def refusal(framework: str, precision: str, graph: Graph, mode: str = "inference") -> str:
    """The sentence with which a proof ends."""
    way = Way(framework, ADAPTERS[framework].COMPILE_MODES[0], precision)
    with pytest.raises(Unsupported) as refused:
        answer(prepare(way, graph, mode), graph)
    return str(refused.value)


@pytest.mark.parametrize("framework", [name for name, adapter in ADAPTERS.items() if "tf32" in adapter.PRECISIONS])
def test_tf32_is_refused_on_a_cpu(framework):
    assert "a CPU has no such unit" in refusal(framework, "tf32", image_network())


@pytest.mark.parametrize(("override", "precision", "is_refused"), [
    ("0", "tf32", True), ("0", "fp32", False), ("1", "fp32", True), ("1", "tf32", False),
])
def test_a_variable_that_decides_on_tf32_against_what_is_asked_for_is_refused(
    override: str, precision: str, is_refused: bool, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("NVIDIA_TF32_OVERRIDE", override)
    settings = {
        "mode": "inference", "precision": precision, "compile_mode": "eager", "layout": "nchw", "device": "cuda:0",
    }
    with pytest.raises(Unsupported, match="TF32_OVERRIDE") if is_refused else nullcontext():
        frameworks.refuse_unknown("torch", {"layers": []}, settings)


@pytest.mark.parametrize(
    ("framework", "precision"),
    [(name, precision) for name, adapter in ADAPTERS.items() for precision in adapter.PRECISIONS
     if precision in WITHOUT_TRAINING and "training" in frameworks.modes(name)],
)
def test_training_without_fp32_weights_is_refused(framework, precision):
    assert f"no training in {precision}" in refusal(framework, precision, image_network(), "training")


def local_norm(k: float = 1.0) -> Graph:
    net = Builder("case", (2, 4, 3))
    net.conv2d("conv", 6, kernel=1)
    net.local_response_norm("norm", size=3, alpha=0.5, beta=0.75, k=k)
    return net.build(loss="mean_squared_error", optimizer=Sgd(learning_rate=0.1))


def of_one_layer(op: Op, shape: Shape = (2, 4, 3)) -> Graph:
    net = Builder("case", shape)
    net.dense("first", shape[-1])
    net.add_layer("op", op)
    return net.build(loss="mean_squared_error", optimizer=Sgd(learning_rate=0.1))


@pytest.mark.parametrize(
    ("framework", "precision", "graph", "mode", "words"),
    [
        ("torch", "bf16_pure", local_norm(), "inference", "not implemented for 'BFloat16'"),
        ("torch", "fp16_pure", local_norm(), "inference", "not implemented for 'Half'"),
        ("torch", "int8", local_norm(), "inference", "dense and LSTM layers"),
        ("torch", "int8", image_network(), "training", "no training in int8"),
        ("torch", "fp16", text_network(), "training", "LSTM forward"),
        ("tensorflow", "fp64", local_norm(), "inference", "not in list of allowed values"),
        ("tensorflow", "bf16_pure", local_norm(), "inference", "LRN"),
        ("tensorflow", "int8", image_network(), "inference", "no precision 'int8'"),
        ("jax", "int8", image_network(), "inference", "no precision 'int8'"),
        ("onnxruntime", "fp32", of_one_layer(ConvTranspose2d(
            out_channels=2, kernel=(2, 2), dilation=(2, 2), output_padding=(1, 1))), "inference", "below the stride"),
        ("openvino", "fp32", local_norm(k=1.5), "inference", "takes a k of 1.5 in local_response_norm as 1"),
        ("openvino", "fp32", of_one_layer(Conv2d(out_channels=2, kernel=(1, 1), stride=(2, 2), padding=(1, 1))),
         "inference", "with both stride and padding a wrong size"),
        ("openvino", "fp32", of_one_layer(PRelu()), "inference", "OpenVINO cannot compile this"),
    ],
    ids=lambda value: value if isinstance(value, str) and " " not in value else "",
)
def test_what_a_framework_has_no_kernel_for_is_refused_in_its_words(framework, precision, graph, mode, words):
    if framework not in ADAPTERS:
        pytest.skip(f"{framework} is not installed")

    assert words in refusal(framework, precision, graph, mode)


# The table -----------------------------------------------------------------------------------------------------------


@by_adapter
def test_every_precision_states_its_formats(framework):
    assert set(ADAPTERS[framework].PRECISIONS) <= set(POLICIES)


def test_policies_and_tolerances_are_those_of_the_precisions():
    assert set(POLICIES) == set(Precision) == set(TOLERANCES)
    assert set(WITHOUT_TRAINING) < set(Precision)
    assert {p for p in Precision if POLICIES[p]["is_loss_scaled"]} == {Precision.FP16}
