"""Which layers the instructions of an XLA program belong to, and when they were at work."""

from __future__ import annotations

import importlib.util
from typing import Any

import pytest

from rigmark.bench.worker.tracing import OPTIMIZER, hlo

Row = tuple[str, str]
Owners = dict[str, tuple[Row | None, tuple[str, ...]]]
UPDATE = (OPTIMIZER, "update")


def row_of(op_name: str) -> Row | None:
    """Of names as the programs below have them: "conv1", "back:conv1", "update:conv1"."""
    direction, _, layer = op_name.rpartition(":")
    if not layer:
        return None
    return UPDATE if direction == "update" else (layer, "backward" if direction else "forward")


def gradient_of(op_name: str) -> Row | None:
    return (op_name.removeprefix("update:"), "backward") if op_name.startswith("update:") else None


def owners(entry: str, called: str = "") -> Owners:
    """Of a program in short: each line "name = opcode(operands) op_name", with computations that it may call before."""
    header = 'HloModule jit_step, is_scheduled=true\n\nFileNames\n1 "a = b.py"\n\nStackFrames\n1 {file_location_id=1}\n'
    return hlo.layers_of(f"{header}\n{written(called)}\nENTRY %main (p: f32[8]) -> f32[8] {{\n{lines(entry)}\n}}\n",
                         row_of, gradient_of)


def written(called: str) -> str:
    parts = [part.strip().partition("\n") for part in called.split("computation ") if part.strip()]
    return "\n".join(f"%{name.strip()} (p: f32[8]) -> f32[8] {{\n{lines(body)}\n}}\n" for name, _, body in parts)


def lines(body: str) -> str:
    instructions = []
    for line in filter(None, map(str.strip, body.splitlines())):
        instruction, _, op_name = line.partition(" # ")
        name, _, rest = instruction.partition(" = ")
        shape, _, rest = rest.rpartition("| ") if "| " in rest else ("f32[8]{0}", "", rest)
        metadata = f', metadata={{op_name="{op_name}" stack_frame_id=1}}' if op_name else ""
        instructions.append(f"  %{name} = {shape.strip()} {rest}{metadata}")
    return "\n".join(instructions)


# Reading ---------------------------------------------------------------------------------------------------------


def test_an_instruction_is_read_whatever_its_shape_and_attributes_hold():
    text = """HloModule jit_step, entry_computation_layout={(f32[2]{0})->f32[2]{0}}

ENTRY %main.5 (x: f32[2,3]) -> (f32[2,3], s32[]) {
  %x = f32[2,3]{1,0:T(8,128)} parameter(0), sharding={replicated}, metadata={op_name="parameters[\\'a/weight\\']"}
  %c = s32[4]{0} constant({13, 15, 26, 6}), frontend_attributes={xla="#sdy<@mesh, [{\\"}\\", {}]>"}
  %branch = f32[2,3]{1,0} conditional(s32[] %c, f32[2,3]{1,0} %x), branch_computations={%one, %two}
  ROOT %out = (f32[2,3]{1,0}, /*index=1*/s32[]) tuple(%branch, /*index=1*/%c), metadata={op_type="T" op_name="a/b (c)"}
}
"""
    x, c, branch, out = hlo.parsed(text)["main.5"]

    assert ("x", "parameter", 6, [], "parameters['a/weight']") == (x.name, x.opcode, x.elements, x.operands, x.op_name)
    assert ("constant", 4, []) == (c.opcode, c.elements, c.operands)
    assert ["one", "two"] == branch.called
    assert ["c", "x"] == branch.operands
    assert ("out", "tuple", ["branch", "c"], "a/b (c)") == (out.name, out.opcode, out.operands, out.op_name)


def test_names_may_be_written_without_a_percent_sign():
    text = "HloModule m\n\nENTRY main {\n  a.1 = f32[] parameter(0)\n  ROOT b = f32[] negate(f32[] a.1)\n}\n"

    assert ["a.1", "b"] == [instruction.name for instruction in hlo.parsed(text)["main"]]
    assert ["a.1"] == hlo.parsed(text)["main"][1].operands


# Fused work ------------------------------------------------------------------------------------------------------


def test_a_fusion_named_after_its_relu_belongs_to_the_convolution_inside():
    rows = owners("x = parameter(0)\nfused = fusion(%x), kind=kOutput, calls=%inside # relu", """
        computation inside
            p = parameter(0)
            conv = convolution(%p, %p) # conv
            bias = add(%conv, %p) # conv
            zero = constant(0)
            zeros = broadcast(%zero) # pool
            out = maximum(%bias, %zeros) # relu
    """)

    assert (("conv", "forward"), ("conv", "relu")) == rows["fused"]


def test_a_product_weighs_more_than_a_pooling():
    rows = owners("fused = fusion(%x), calls=%inside # pool", """
        computation inside
            pool = f32[9000] | reduce-window(%p, %p), to_apply=%add # pool
            dot = f32[4] | dot(%pool, %p) # dense
    """)

    assert (("dense", "forward"), ("dense", "pool")) == rows["fused"]


def test_convolutions_in_one_call_are_booked_to_the_first_and_all_named():
    rows = owners('library = fusion(%x), calls=%inside, backend_config={"kind":"__ynn_fusion"} # conv3', """
        computation inside
            one = convolution(%p, %p) # conv1
            two = convolution(%one, %p) # conv2
            three = f32[900] | convolution(%two, %p) # conv3
    """)

    assert (("conv1", "forward"), ("conv1", "conv2", "conv3")) == rows["library"]


def test_without_heavy_work_the_most_elements_decide():
    rows = owners("""
        fused = fusion(%x), calls=%inside # relu
        bias = fusion(%x), calls=%reducing # update:conv
        moved = fusion(%x), calls=%moving # concat
    """, """
        computation inside
            shifted = subtract(%p, %p) # norm
            scaled = multiply(%shifted, %p) # norm
            out = maximum(%scaled, %p) # relu
        computation reducing
            many = f32[64,8] | parameter(0)
            sum = f32[8] | reduce(%many, %p), dimensions={0}, to_apply=%add # back:conv
            out = subtract(%sum, %p) # update:conv
        computation moving
            left = tanh(%p) # tanh
            out = f32[900] | concatenate(%left, %p) # concat
    """)

    assert (("norm", "forward"), ("norm", "relu")) == rows["fused"]
    assert (("conv", "backward"), ("conv", OPTIMIZER)) == rows["bias"]
    assert (("tanh", "forward"), ("tanh", "concat")) == rows["moved"]


def test_what_is_computed_once_more_for_the_backward_pass_counts_for_nothing():
    rows = owners("fused = fusion(%x), calls=%inside # back:relu", """
        computation inside
            shifted = subtract(%p, %p) # norm
            scaled = multiply(%shifted, %p) # norm
            out = select(%scaled, %p, %p) # back:relu
    """)

    assert (("relu", "backward"), ()) == rows["fused"]


def test_what_only_reads_or_arranges_the_work_of_a_layer_does_not_make_it_a_member():
    rows = owners("fused = fusion(%x), calls=%inside # tanh", """
        computation inside
            p = parameter(0) # dense
            flat = bitcast(%p) # flatten
            turned = copy(%flat) # conv
            number = f32[] | constant(2) # norm
            numbers = broadcast(%number) # norm
            rows = iota(), iota_dimension=0 # pool
            out = tanh(%turned) # tanh
    """)

    assert (("tanh", "forward"), ()) == rows["fused"]


def test_reductions_that_share_their_sum_of_two_are_not_members_of_each_other():
    rows = owners("sum = reduce(%x, %zero), to_apply=%add # norm2", """
        computation add
            out = f32[] | add(%a, %b) # norm1
    """)

    assert (("norm2", "forward"), ()) == rows["sum"]


def test_a_loop_is_one_instruction_with_all_the_work_of_its_body():
    rows = owners("loop = while(%state), condition=%test, body=%each", """
        computation inside
            out = dot(%p, %p) # lstm
        computation test
            out = pred[] | compare(%p, %p), direction=LT # lstm
        computation each
            gates = fusion(%p), calls=%inside
            cell = tanh(%gates) # lstm
            counter = add(%p, %p)
    """)

    assert (("lstm", "forward"), ()) == rows["loop"]
    assert (("lstm", "forward"), ()) == rows["gates"]
    assert (("lstm", "forward"), ()) == rows["counter"]    # a trace may show the body alone


# Instructions without a name -------------------------------------------------------------------------------------


def test_a_pooling_without_a_name_works_for_its_reader_and_not_for_what_it_reads():
    """XLA takes the gradient of max pooling apart into a pooling of indices and a scatter; it names the latter."""
    rows = owners("""
        relu = maximum(%x, %x) # relu
        index = iota(), iota_dimension=0
        chosen = (f32[8]{0}, s32[8]{0}) | fusion(%relu, %index), calls=%inside
        which = s32[8]{0} | get-tuple-element(%chosen), index=1
        copied = copy(%which)
        out = scatter(%copied, %x, %x), to_apply=%add # back:pool
    """, """
        computation inside
            out = (f32[8]{0}, s32[8]{0}) | reduce-window(%p, %p), to_apply=%larger
    """)

    assert {("pool", "backward")} == {rows[name][0] for name in ("index", "chosen", "which", "copied", "out")}
    assert ("relu", "forward") == rows["relu"][0]


def test_without_readers_it_belongs_to_what_it_reads():
    assert ("conv", "forward") == owners("conv = convolution(%x, %x) # conv\ncopied = copy(%conv)")["copied"][0]


def test_a_gradient_without_a_name_belongs_to_the_layer_whose_weight_it_updates():
    rows = owners("""
        x = parameter(0)
        weight = parameter(1)
        kept = copy(%weight)
        y = convolution(%x, %kept) # conv1
        turned = transpose(%y), dimensions={0}
        gradient = convolution(%turned, %x), window={size=3 rhs_dilate=2}
        updated = fusion(%kept, %gradient), kind=kLoop, calls=%inside
    """, """
        computation inside
            out = subtract(%p, %p) # update:conv1
    """)

    assert ("conv1", "backward") == rows["turned"][0] == rows["gradient"][0]
    assert UPDATE == rows["updated"][0]
    assert UPDATE == rows["kept"][0]        # nothing but the update in place asks for the copy


def test_an_optimizer_that_names_no_weight_does_not_get_the_gradient():
    program = "y = convolution(%x, %x) # conv\ng = convolution(%y, %x)\nw = subtract(%x, %g) # update:?"
    text = f"HloModule m\n\nENTRY %main (x: f32[8]) -> f32[8] {{\n{lines(program)}\n}}\n"

    assert ("conv", "forward") == hlo.layers_of(text, row_of)["g"][0]


def test_a_gradient_and_its_update_in_one_fusion_are_the_gradients():
    rows = owners("fused = fusion(%x), calls=%inside # update:dense", """
        computation inside
            gradient = dot(%p, %p)
            out = subtract(%p, %gradient) # update:dense
    """)

    assert (("dense", "backward"), ("dense", OPTIMIZER)) == rows["fused"]


def test_forward_results_in_another_order_for_the_backward_pass_alone_belong_to_their_reader():
    rows = owners("""
        turned = fusion(%x), calls=%inside
        named = fusion(%x), calls=%inside # relu
        gradient = convolution(%turned, %named) # back:conv
    """, """
        computation inside
            out = maximum(%p, %p) # relu
    """)

    assert (("conv", "backward"), ()) == rows["turned"]
    assert (("relu", "forward"), ()) == rows["named"]


def test_what_nothing_tells_of_belongs_to_none():
    assert {"a": (None, ()), "b": (None, ())} == owners("a = parameter(0)\nb = negate(%a)")


@pytest.mark.skipif(not importlib.util.find_spec("jax"), reason="needs JAX")
def test_a_program_of_todays_xla_is_read_to_the_last_instruction():
    import jax
    import jax.numpy as jnp

    def network(weights: Any, x: Any) -> Any:
        with jax.named_scope("first"):
            x = jnp.tanh(x @ weights[0])
        with jax.named_scope("loop"):
            x, _ = jax.lax.scan(lambda state, _: (jnp.sin(state @ weights[1]), None), x, length=5)
        with jax.named_scope("last"):
            return (x @ weights[0].T).sum()

    def row(op_name: str) -> Row | None:
        names = [name for name in ("first", "loop", "last") if f"{name}/" in op_name.replace(")", "")]
        return (names[0], "backward" if "transpose(" in op_name else "forward") if names else None

    weights = [jnp.ones((64, 48)), jnp.ones((48, 48))]
    text = jax.jit(jax.value_and_grad(network)).lower(weights, jnp.ones((16, 64))).compile().as_text()
    instructions = hlo.layers_of(text, row)
    entry = list(hlo.parsed(text).values())[-1]

    assert {row for name, (row, _) in instructions.items() if row} == {
        (layer, direction) for layer in ("first", "loop", "last") for direction in ("forward", "backward")
    }
    assert ["loop", "loop"] == [instructions[each.name][0][0] for each in entry if each.opcode == "while"]
    assert len(hlo.kernels(text)) > 5
    assert all(instructions[name][0] for name in hlo.kernels(text))


# At work ---------------------------------------------------------------------------------------------------------


def at_work(name: str, begin: float, end: float, module: str = "step") -> Any:
    return begin, end, name, {"hlo_op": name, "hlo_module": module}


def pool(what: str, at: float, number: int) -> Any:
    return at, at, f"ThreadpoolListener::{what}", {"_p" if what == "Record" else "_c": number}


def test_a_loops_body_and_other_programs_are_not_listed():
    line = [at_work("loop", 0, 4), at_work("dot", 1, 2), at_work("conv", 5, 6, "proof"), (6, 7, "Execute", {})]

    assert [(0, 4, "loop")] == hlo.spans([line], "step")


def test_work_that_an_instruction_hands_to_other_threads_is_its_own():
    """A library's convolution returns at once; its pieces follow, one of which hands in another."""
    first = [
        at_work("conv", 0, 1), pool("Record", 0.5, 7),
        pool("StartRegion", 1, 7), pool("Record", 1.5, 8), at_work("relu", 2, 3), pool("StopRegion", 4, 7),
    ]
    second = [pool("StopRegion", 0.1, 3), pool("StartRegion", 2, 8), pool("StopRegion", 5, 8)]

    assert [
        (0, 1, "conv"), (1, 2, "conv"), (2, 3, "relu"), (2, 5, "conv"), (3, 4, "conv"),
    ] == sorted(hlo.spans([first, second], "step"))


def test_work_that_no_instruction_handed_in_is_none():
    line = [pool("Record", 0, 1), pool("StartRegion", 1, 1), at_work("conv", 2, 3), pool("StopRegion", 9, 1)]

    assert [(2, 3, "conv")] == hlo.spans([line], "step")
