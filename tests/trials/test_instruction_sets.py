"""Which instruction set ran: what was seen is the judge, what a library says is heard where nothing was seen."""

from __future__ import annotations

from typing import Any

import pytest

from rigmark.bench.trials import instruction_sets
from rigmark.bench.trials.instruction_sets import proof, stated_level, statements, summary, unproven

LOG = """
Tensor on stdout: convolution:
onednn_verbose,v1,info,cpu,isa:Intel AVX2
onednn_verbose,v1,primitive,exec,cpu,convolution,jit:sse41,forward_training,src:f32,,,before,0.1
convolution:
onednn_verbose,v1,primitive,exec,cpu,reorder,jit:uni,undef,src_f32,,,64x64x3x3,0.02
onednn_verbose,v1,primitive,create:cache_miss,cpu,convolution,jit:avx512_core,forward,src:f32,,,x,0.3
onednn_verbose,v1,primitive,exec,cpu,convolution,brg_conv_fwd:avx2,forward_inference,src:f32,,,mb8,0.3
onednn_verbose,v1,primitive,exec,cpu,convolution,brg_conv_fwd:avx2,forward_inference,src:f32,,,mb8,0.3
gemm:
onednn_verbose,exec,cpu,gemm_api,x64:gemm:jit,undef,src_f32,,,256x1024,0.4
elementwise:
"""


def watched(samples: int = 100, **encodings: int) -> dict[str, Any]:
    return {"samples": samples, "encodings": encodings, "places": {"libmath.so": sum(encodings.values())}}


def observed(problem: str | None = None, **operations: dict[str, Any]) -> dict[str, Any]:
    return {"operations": operations, "problem": problem, "facts": {}}


def levels(*each: str | None) -> dict[str, dict[str, Any]]:
    return {str(i): {"level": level} for i, level in enumerate(each)}


def test_the_level_is_the_highest_that_really_took_part():
    proofs = proof(observed(
        convolution=watched(avx512=70, avx=30), gemm=watched(avx=97, avx512=3), elementwise=watched(sse=60),
    ), "")

    assert {name: entry["level"] for name, entry in proofs.items()} == {
        "convolution": "avx512", "gemm": "avx2", "elementwise": "sse41",
    }
    assert proofs["convolution"]["evidence"] == (
        "AVX-512 70%, AVX 30% of 100 sampled vector instructions, 100% in libmath.so"
    )


def test_too_few_instructions_prove_nothing():
    proofs = proof(observed(convolution=watched(avx512=19), gemm=watched(), elementwise=watched(avx=50)), "")

    assert (proofs["convolution"]["level"], proofs["gemm"]["level"]) == (None, None)
    assert proofs["convolution"]["evidence"] == "19 of 100 samples were in vector instructions, which is too few"
    assert summary(proofs) == "not proven"


def test_what_was_seen_counts_more_than_what_a_library_says():
    proofs = proof(observed(convolution=watched(sse=100), gemm=watched(sse=99), elementwise=watched(sse=99)), LOG)

    assert (proofs["convolution"]["level"], proofs["convolution"]["statement"]) == ("sse41", "brg_conv_fwd:avx2")


def test_where_nothing_can_be_watched_a_kernels_name_is_heard_and_silence_proves_nothing():
    proofs = proof(observed(problem="ptrace is not allowed"), LOG)

    assert {name: entry["level"] for name, entry in proofs.items()} == {
        "convolution": "avx2", "gemm": None, "elementwise": None,
    }
    assert "oneDNN states that it ran brg_conv_fwd:avx2" in proofs["convolution"]["evidence"]
    assert proofs["elementwise"]["evidence"] == "ptrace is not allowed"
    assert summary(proofs) == "not proven"


@pytest.mark.parametrize(
    ("each", "expected"),
    [
        (("avx2", "avx2", "avx2"), "avx2"), (("avx512", "avx2", "avx512"), "mixed"),
        (("avx2", None, "avx2"), "not proven"), ((None, None, None), "not proven"), (("sse41", None, "avx2"), "mixed"),
    ],
)
def test_a_level_is_named_only_where_everything_ran_it(each: tuple[str | None, ...], expected: str):
    assert summary(levels(*each)) == expected


def test_a_worker_that_fails_proves_nothing_and_says_why():
    proofs = unproven("it crashed")

    assert set(proofs) == set(instruction_sets.networks())
    assert {(entry["level"], entry["evidence"]) for entry in proofs.values()} == {(None, "it crashed")}


def test_onednns_lines_belong_to_the_network_that_was_named_last():
    assert statements(LOG) == {"convolution": "brg_conv_fwd:avx2", "gemm": "x64:gemm:jit"}


@pytest.mark.parametrize(
    ("kernel", "level"),
    [
        ("jit:sse41", "sse41"), ("jit:avx", "avx2"), ("jit_dw:avx2", "avx2"), ("jit:avx512_core", "avx512"),
        ("brg_conv_fwd:avx512_core_bf16", "avx512"), ("x64:gemm:jit", None), ("ref:any", None),
    ],
)
def test_a_kernels_name_may_tell_its_level(kernel: str, level: str | None):
    assert stated_level(kernel) == level
