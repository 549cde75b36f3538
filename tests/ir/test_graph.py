"""A graph: one definition, its fingerprint, its plain form, and what a layer costs in each direction."""

from __future__ import annotations

import dataclasses
import json
import math
import re
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rigmark.bench import models
from rigmark.bench.ir.building import Builder
from rigmark.bench.ir.graph import INPUT, Copy, Draw, Graph, Input, tokens
from rigmark.bench.ir.ops import BadGraph, Op
from rigmark.bench.ir.ops.comparison import Less, Where
from rigmark.bench.ir.ops.elementwise import Relu, Sigmoid, Tanh
from rigmark.bench.ir.ops.resampling import RoiAlign
from rigmark.bench.ir.reading import read
from rigmark.bench.ir.training import Adam, AdamW, Sgd

SGD = Sgd(learning_rate=0.1, momentum=0.9)
NAMES = ("conv", "norm", "relu", "left", "right", "sum", "both", "lrn", "max", "avg", "flat", "drop", "scores")


def network(names: tuple[str, ...] = NAMES, *, title: str = "net", init: str = "he_normal") -> Graph:
    """A small graph with two branches and an operation with every kind of attribute."""
    conv, norm, relu, left, right, add, both, lrn, pool, mean, flat, drop, scores = names
    net = Builder(title, (4, 9, 8), init=init)
    net.conv2d(conv, 6, kernel=(3, 2), stride=1, padding=1, groups=2, bias=False)
    net.batch_norm(norm)
    trunk = net.relu(relu)
    net.conv2d(left, 6, kernel=1)
    net.conv2d(right, 6, kernel=1, of=trunk)
    net.add(add, of=(left, right))
    net.concat(both, of=(add, trunk))
    net.local_response_norm(lrn, size=3, alpha=1e-4, beta=0.75, k=2.0)
    net.max_pool(pool, kernel=2, stride=2)
    net.avg_pool(mean, kernel=2, stride=1, padding=1, count_include_pad=False)
    net.flatten(flat)
    net.dropout(drop, 0.25)
    net.dense(scores, 5)
    return net.build(loss="softmax_cross_entropy", optimizer=SGD)


NETWORK = network()


# Fingerprint -----------------------------------------------------------------------------------------------------

words = st.from_regex(r"[abc12][abc.12]{0,5}", fullmatch=True)


@given(names=st.lists(words, min_size=len(NAMES), max_size=len(NAMES), unique=True), title=words)
@settings(derandomize=True, max_examples=40)
def test_names_do_not_change_the_fingerprint(names: list[str], title: str):
    assert network(tuple(names), title=title).fingerprint == NETWORK.fingerprint


def test_initialisation_does_not_change_the_fingerprint():
    assert network(init="glorot_uniform").fingerprint == NETWORK.fingerprint


def other(value: Any) -> Any:
    """A value of the same type that is not this one."""
    if value is None or isinstance(value, bool):
        return not value
    if isinstance(value, tuple):
        return (value[0], value[1] + 1)
    return value + 1


def with_op(graph: Graph, index: int, op: Op) -> Graph:
    layers = list(graph.layers)
    layers[index] = replace(layers[index], op=op)
    return replace(graph, layers=tuple(layers))


ATTRIBUTES = [
    (index, field.name)
    for index, layer in enumerate(NETWORK.layers)
    for field in dataclasses.fields(layer.op)
    if field.name != "init"
]


@pytest.mark.parametrize(("index", "attribute"), ATTRIBUTES)
def test_every_attribute_changes_the_fingerprint(index: int, attribute: str):
    op = NETWORK.layers[index].op
    changed = replace(op, **{attribute: other(getattr(op, attribute))})

    assert with_op(NETWORK, index, changed).fingerprint != NETWORK.fingerprint


def test_another_operation_of_the_same_shape_changes_the_fingerprint():
    index = NAMES.index("relu")

    prints = {with_op(NETWORK, index, op).fingerprint for op in (Relu(), Tanh(), Sigmoid())}

    assert len(prints) == 3


def test_wiring_changes_the_fingerprint():
    index = NAMES.index("both")
    layer = NETWORK.layers[index]
    crossed = replace(layer, inputs=layer.inputs[::-1], input_tensors=layer.input_tensors[::-1])
    layers = (*NETWORK.layers[:index], crossed, *NETWORK.layers[index + 1:])

    assert replace(NETWORK, layers=layers).fingerprint != NETWORK.fingerprint


@pytest.mark.parametrize(
    "changed",
    [
        replace(NETWORK, loss="mean_squared_error"),
        replace(NETWORK, optimizer=Sgd(learning_rate=0.2, momentum=0.9)),
        replace(NETWORK, optimizer=Sgd(learning_rate=0.1)),
        replace(NETWORK, optimizer=Adam(learning_rate=0.1)),
        replace(NETWORK, optimizer=Adam(learning_rate=0.1, beta1=0.8)),
        replace(NETWORK, optimizer=AdamW(learning_rate=0.1, weight_decay=0.0)),
        replace(NETWORK, optimizer=AdamW(learning_rate=0.1, weight_decay=0.1)),
        replace(NETWORK, optimizer=Adam(learning_rate=0.1, beta2=0.9)),
        replace(NETWORK, optimizer=Adam(learning_rate=0.1, epsilon=1e-7)),
        replace(NETWORK, inputs=(Input(shape=(4, 8, 9)),)),
        replace(NETWORK, inputs=(tokens((4, 9, 8), 7),)),
    ],
)
def test_loss_optimiser_and_input_change_the_fingerprint(changed: Graph):
    assert changed.fingerprint != NETWORK.fingerprint


def test_all_models_differ():
    assert len({models.build(name).fingerprint for name in models.NAMES}) == len(models.NAMES)


# Plain form ------------------------------------------------------------------------------------------------------


def several(
    mask: str = "mask", *, draw: Draw = "lengths", outputs: tuple[str, ...] = ("scores", "split:1", "other"),
) -> Graph:
    """Tokens with their kinds and a mask, to scores, a part of what they come from, and what another layer makes."""
    net = Builder("several")
    net.add_input(tokens((6,), 9))
    net.add_input(tokens((6,), 2, "kinds"))
    net.add_input(Input(name=mask, shape=(1, 1, 6), dtype="bool", draw=draw))
    net.embedding("words", 8, of=INPUT)
    net.embedding("kind", 8, of="kinds")
    net.add("sum", of=("words", "kind"))
    net.reshape("heads", (6, 2, 4))
    turned = net.transpose("turned", (1, 0, 2))
    net.attention("attention", of=(turned, turned, turned, mask))
    first, _ = net.split("split", 2, axis=3)
    net.flatten("flat", of=first)
    net.dense("other", 5)
    net.dense("scores", 5, of="flat")
    return net.build(loss="softmax_cross_entropy", optimizer=SGD, outputs=outputs)


def test_the_fingerprint_knows_inputs_and_outputs_but_not_the_names_of_inputs():
    assert several("seen").fingerprint == several().fingerprint
    changed = several(draw="ones"), several(outputs=("other", "split:1", "scores"))
    assert several().fingerprint not in {graph.fingerprint for graph in changed}


def test_a_training_step_is_only_what_the_first_output_needs():
    graph = several()

    assert graph.output_shape == (5,)
    assert cost("other", backward=False, training=False, graph=graph)[0] == 8 * (2 * 24 * 5 + 5)
    assert cost("other", backward=False, graph=graph) == cost("other", backward=True, graph=graph) == (0, 0)
    untrained = [p["key"] for layer in graph.plain()["layers"] for p in layer["parameters"] if not p["is_trainable"]]
    assert untrained == ["other/weight", "other/bias"]


def test_a_value_that_is_an_output_is_written_although_it_is_read_by_the_same_kernel():
    assert [
        several(outputs=outputs).fused_cost(["words", "kind", "sum"], batch=1, itemsize=4, training=False).bytes_moved
        for outputs in (("scores", "other"), ("scores", "other", "kind"))
    ] == [4 * (12 + (9 + 2) * 8 + 48), 4 * (12 + (9 + 2) * 8 + 2 * 48)]


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        (Input(name="x:1", shape=(2,)), "an input cannot be named 'x:1'"),
        (Input(shape=(2,)), "two inputs or layers named 'input'"),
        (Input(name="mask", shape=(2,), dtype="bool"), "drawn as normal, which gives float, not bool"),
        (Input(name="mask", shape=(), draw="lengths"), "drawn as lengths along its last axis, and has none"),
        (Input(name="kinds", shape=(2,), dtype="int64", draw="tokens"), "tokens need a vocabulary"),
        (Input(name="kinds", shape=(2,)), "nothing reads input 'kinds'"),
    ],
)
def test_an_input_that_cannot_be_given_is_refused(given: Input, sentence: str):
    net = Builder("net", (2,))

    def build() -> Graph:
        net.add_input(given)
        net.dense("dense", 3, of=INPUT)
        return net.build(loss="mean_squared_error", optimizer=SGD)

    with pytest.raises(BadGraph, match=sentence):
        build()


@pytest.mark.parametrize(
    ("outputs", "sentence"),
    [(("lost",), "output 'lost' no layer gives"), (("dense", "dense"), "output 'dense' is named twice"),
     ((INPUT,), "output 'input' no layer gives"), (("weight", "dense"), "needs the batch as its first axis")],
)
def test_an_output_that_cannot_be_one_is_refused(outputs: tuple[str, ...], sentence: str):
    net = Builder("net", (2,))
    net.dense("dense", 3)
    net.parameter("weight", (3,), init="zeros")

    with pytest.raises(BadGraph, match=sentence):
        net.build(loss="mean_squared_error", optimizer=SGD, outputs=outputs)


def learner(
    *, source: str = "online.", target: str = "target.", every: int = 3, width: int = 4, shares: bool = False
) -> Graph:
    net = Builder("learner", (5,))
    online = net.dense("online.values", 4)
    expected = net.dense("target.values", width, of=INPUT)
    rest = [] if not shares else [net.dense("again", 4, of=INPUT, weight="online.values/weight")]
    net.concat("values", of=(online, expected, *rest))
    return net.build(
        loss="mean_squared_error", optimizer=SGD, copies=(Copy(source=source, target=target, every=every),)
    )


def test_what_is_copied_to_is_not_trained():
    graph = learner()

    assert graph.copied == {"target.values/weight": "online.values/weight", "target.values/bias": "online.values/bias"}
    assert graph.parameter_count == 5 * 4 + 4
    assert not graph.needs_gradient("target.values")
    assert [p["is_trainable"] for layer in graph.plain()["layers"] for p in layer["parameters"]] == [True] * 2 + [
        False] * 2
    assert graph.fingerprint != learner(every=4).fingerprint


@pytest.mark.parametrize(("changed", "sentence"), [
    ({"target": "other."}, "a copy needs layers with parameters that begin with 'other.'"),
    ({"every": 0}, "a number of steps of at least 1"),
    ({"source": "first."}, "'target.values' is to become 'first.values', which is no layer of the same kind"),
    ({"width": 3}, "'target.values' is to become 'online.values', which is no layer of the same kind and size"),
    ({"shares": True}, "'online.values/weight' is copied, so layers cannot share it"),
])
def test_a_copy_that_cannot_be_made_is_refused(changed: Any, sentence: str):
    with pytest.raises(BadGraph, match=re.escape(sentence)):
        learner(**changed)


@pytest.mark.parametrize("graph", [NETWORK, several(), learner()], ids=lambda graph: graph.name)
def test_the_plain_form_is_json_and_says_everything(graph: Graph):
    plain = json.loads(json.dumps(graph.plain(), allow_nan=False))

    again = read(plain)

    assert again == graph
    assert again.plain() == plain
    assert again.fingerprint == graph.fingerprint


def test_the_plain_form_names_every_parameter():
    listed = {
        f"{layer['name']}/{parameter['name']}": tuple(parameter["shape"])
        for layer in NETWORK.plain()["layers"]
        for parameter in layer["parameters"]
    }

    assert listed == {key: parameter.shape for key, parameter in NETWORK.parameters.items()}


# Building --------------------------------------------------------------------------------------------------------


def builder() -> Builder:
    return Builder("net", (3, 8, 8))


def unused_layer(net: Builder) -> None:
    net.relu("kept")
    net.tanh("lost", of=INPUT)
    net.flatten("flat", of="kept")
    net.build(loss="mean_squared_error", optimizer=SGD)


def twice(net: Builder) -> None:
    net.relu("act")
    net.relu("act")


@pytest.mark.parametrize(
    ("write", "sentence"),
    [
        (twice, "net has two layers named 'act'"),
        (lambda net: net.relu("act", of="conv"), "net: 'act' reads 'conv', which no earlier layer is named"),
        (lambda net: net.lstm("lstm", 5), "net: layer 'lstm': lstm takes a sequence of shape .*, not \\(3, 8, 8\\)"),
        (lambda net: net.build(loss="mean_squared_error", optimizer=SGD), "net has no layers"),
        (unused_layer, "net: nothing reads layer 'lost' and it is not the output"),
        (
            lambda net: (net.relu("act"), net.build(loss="softmax_cross_entropy", optimizer=SGD)),
            "net: softmax_cross_entropy needs a vector or sequence of scores, not \\(3, 8, 8\\)",
        ),
    ],
)
def test_a_bad_graph_is_refused_in_a_sentence_that_names_it(write: Any, sentence: str):
    with pytest.raises(BadGraph, match=sentence):
        write(builder())


def test_scopes_nest_in_names():
    net = builder()
    with net.scope("stage1"), net.scope("block2"):
        inner = net.relu("act")
    outer = net.relu("act")

    assert (inner, outer) == ("stage1.block2.act", "act")


# Costs -----------------------------------------------------------------------------------------------------------

PLAIN = Builder("plain", (10,))
PLAIN.dense("first", 20)
PLAIN.relu("act")
PLAIN.dense("inner", 30)
CHAIN = PLAIN.build(loss="mean_squared_error", optimizer=SGD)


def cost(
    name: str, *, backward: bool, training: bool = True, batch: int = 8, itemsize: int = 4, graph: Graph = CHAIN
) -> tuple[int, int]:
    result = graph.cost(graph[name], batch=batch, itemsize=itemsize, training=training, backward=backward)
    return result.flops, result.bytes_moved


def test_forward_reads_each_operand_and_writes_each_result_once():
    assert cost("first", backward=False) == (8 * (2 * 200 + 20), 4 * (8 * (10 + 20) + 220))
    assert cost("act", backward=False) == (8 * 20, 4 * 8 * 40)


def test_the_first_layer_computes_no_gradient_of_the_input():
    weight_gradient = 2 * 200 + 20
    read_once = 8 * (20 + 10) + 220           # output's gradient, input; write the weights' gradient

    assert cost("first", backward=True) == (8 * weight_gradient, 4 * read_once)


def test_an_inner_layer_computes_both_gradients():
    both_gradients = 2 * 2 * 600 + 30
    moved = 8 * (30 + 20 + 20) + 2 * 630      # and read the weights for the input's gradient

    assert cost("inner", backward=True) == (8 * both_gradients, 4 * moved)


def test_half_the_bytes_an_element_halve_the_traffic_and_not_the_work():
    flops, moved = cost("inner", backward=True)

    assert cost("inner", backward=True, itemsize=2) == (flops, moved // 2)


def test_layers_before_the_first_parameter_have_no_backward_pass():
    net = Builder("net", (3, 8, 8))
    net.avg_pool("pool", kernel=2, stride=2)
    net.flatten("flat")
    net.dense("scores", 5)
    graph = net.build(loss="softmax_cross_entropy", optimizer=SGD)

    assert [name for name in ("pool", "flat", "scores") if graph.needs_gradient(name)] == ["scores"]
    assert cost("pool", backward=True, graph=graph) == (0, 0)


def test_a_reshape_moves_no_bytes():
    assert [cost("flat", backward=b, graph=NETWORK) for b in (False, True)] == [(0, 0), (0, 0)]


def test_dropout_does_nothing_in_inference_and_scales_in_both_directions_of_training():
    size = NETWORK["drop"].output_shape[0]

    assert cost("drop", training=False, backward=False, graph=NETWORK) == (0, 0)
    assert cost("drop", backward=False, graph=NETWORK) == (8 * size, 4 * 8 * 2 * size)
    assert cost("drop", backward=True, graph=NETWORK) == (8 * size, 4 * 8 * 3 * size)


def test_statistics_of_the_batch_are_work_of_the_forward_pass_in_training_alone():
    size = math.prod(NETWORK["norm"].output_shape)
    inference, training = (cost("norm", training=t, backward=False, graph=NETWORK) for t in (False, True))

    assert (inference[0], training[0]) == (8 * 2 * size, 8 * 4 * size)
    assert inference[1] == training[1]


@pytest.mark.parametrize("backward", [False, True])
def test_where_there_is_work_there_is_traffic(backward: bool):
    costs = [NETWORK.cost(layer, batch=2, itemsize=4, training=True, backward=backward) for layer in NETWORK.layers]

    assert all(c.bytes_moved > 0 for c in costs if c.flops)


@pytest.mark.parametrize("graph", [NETWORK, CHAIN], ids=lambda graph: graph.name)
def test_flops_of_a_sample_are_the_sum_over_layers_and_directions(graph: Graph):
    inference, forward, backward = (
        sum(cost(layer.name, training=t, backward=b, batch=1, graph=graph)[0] for layer in graph.layers)
        for t, b in ((False, False), (True, False), (True, True))
    )

    assert graph.flops_per_sample(training=False) == inference
    assert graph.flops_per_sample(training=True) == forward + backward


def test_running_statistics_are_not_counted_as_parameters():
    net = Builder("net", (7,))
    net.batch_norm("norm")
    graph = net.build(loss="mean_squared_error", optimizer=SGD)

    assert len(graph.parameters) == 4
    assert graph.parameter_count == 2 * 7


@pytest.mark.parametrize("name", ["", "conv 1", "(loss)", "conv/1", "-conv", "größe"])
def test_a_layer_has_a_name_that_every_trace_can_carry(name: str):
    with pytest.raises(BadGraph, match="cannot be named"):
        Builder("net", (3,)).relu(name)


def test_layers_that_run_as_one_move_only_what_passes_in_and_out():
    net = Builder("net", (8, 6, 6))
    net.conv2d("conv", 16, kernel=3, padding=1, bias=False)
    net.batch_norm("norm")
    net.relu("relu")
    net.global_avg_pool("pool")
    graph = net.build(loss="softmax_cross_entropy", optimizer=SGD)
    each = [graph.cost(graph[name], batch=2, itemsize=4, training=False) for name in ("conv", "norm", "relu")]
    fused = graph.fused_cost(["conv", "norm", "relu"], batch=2, itemsize=4, training=False)

    weights = 8 * 16 * 9 + 4 * 16
    assert sum(cost.flops for cost in each) == fused.flops
    assert 4 * (2 * (8 * 36 + 16 * 36) + weights) == fused.bytes_moved < sum(cost.bytes_moved for cost in each)
    assert each[0] == graph.fused_cost(["conv"], batch=2, itemsize=4, training=False)


@pytest.mark.parametrize("backward", [False, True])
@pytest.mark.parametrize("name", ["resnet18", "lstm", "alexnet"])
def test_no_fusion_moves_more_than_its_layers_apart(name: str, backward: bool):
    graph = models.build(name)
    names = [layer.name for layer in graph.layers]
    for size in (2, 3, 7):
        for start in range(len(names) - size):
            group = names[start:start + size]
            work = {"batch": 4, "itemsize": 4, "training": True, "backward": backward}
            apart = [graph.cost(graph[n], **work).bytes_moved for n in group]
            fused = graph.fused_cost(group, **work)
            assert 0 <= fused.bytes_moved <= sum(apart)


# Values that all samples share, several outputs, shared parameters ----------------------------------------------------


def tied(*, shares: bool = True, reads: str = "split:1") -> Graph:
    net = Builder("tied", (5,), vocabulary=7)
    net.embedding("tokens", 6)
    net.parameter("position", (5, 6), init="zeros")
    net.add("add", of=("tokens", "position"))
    net.split("split", 2, axis=2)
    net.dense("half", 6, of=reads)
    net.dense("scores", 7, bias=False, weight="tokens/weight" if shares else None)
    return net.build(loss="softmax_cross_entropy", optimizer=SGD)


def test_sharing_and_the_output_that_is_read_are_part_of_the_fingerprint():
    prints = {tied().fingerprint, tied(shares=False).fingerprint, tied(reads="split").fingerprint}

    assert len(prints) == 3


def test_a_shared_parameter_counts_once():
    assert tied().parameter_count == 7 * 6 + 5 * 6 + (3 * 6 + 6)
    assert tied(shares=False).parameter_count == tied().parameter_count + 7 * 6


def test_a_value_that_all_samples_share_moves_once_for_a_batch():
    values = 5 * 6

    assert cost("add", backward=False, graph=tied()) == (8 * values, 4 * (2 * 8 * values + values))
    assert cost("position", backward=False, graph=tied()) == (0, 0)


def test_every_output_of_a_layer_is_written():
    assert cost("split", backward=False, graph=tied()) == (0, 4 * 2 * 8 * 5 * 6)


@pytest.mark.parametrize(("key", "sentence"), [
    ("embedding/weight", "shares 'embedding/weight', which no earlier layer has"),
    ("tokens/weight", r"shares 'tokens/weight' of \(7, 6\) as its 'weight' of \(3, 6\)"),
])
def test_a_parameter_that_cannot_be_shared_is_refused(key: str, sentence: str):
    net = Builder("net", (5,), vocabulary=7)
    net.embedding("tokens", 6)

    with pytest.raises(BadGraph, match=sentence):
        net.dense("scores", 3, weight=key)


def test_no_gradient_reaches_the_boxes_of_regions():
    net = Builder("net", (3, 5, 6))
    image = net.conv2d("image", 2, kernel=1)
    net.dense("corners", 4, of=net.flatten("flat"))
    boxes = net.reshape("boxes", (1, 4))
    net.add_layer("regions", RoiAlign(size=(2, 2), samples=1), of=(image, boxes))

    with pytest.raises(BadGraph, match="layer 'corners' has trainable parameters, but no gradient reaches it"):
        net.build(loss="mean_squared_error", optimizer=Sgd(learning_rate=0.1))


def test_parameters_that_no_gradient_reaches_are_refused():
    net = Builder("net", (4,))
    net.dense("first", 4)
    hidden = net.dense("bound", 4, of="input")
    net.add_layer("less", Less(), of=("first", hidden))
    net.add_layer("where", Where(), of=("less", "first", "input"))

    with pytest.raises(BadGraph, match="layer 'bound' has trainable parameters, but no gradient reaches it"):
        net.build(loss="mean_squared_error", optimizer=SGD)
