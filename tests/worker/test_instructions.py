"""Which vector instructions a process runs: what bytes encode, and what is seen of a process that computes."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from rigmark.bench.worker.instructions import AVX, AVX512, SSE, encoding

ENCODED = {
    # From a disassembler; the first instruction is the one meant.
    "addps xmm0, xmm1": ("0f58c1", SSE),
    "movaps xmm8, xmm0": ("440f28c0", SSE),
    "mulss xmm0, xmm1": ("f30f59c1", SSE),
    "paddd xmm0, xmm1": ("660ffec1", SSE),
    "pshufb xmm0, xmm1": ("660f3800c1", SSE),
    "dpps xmm0, xmm1, 255": ("660f3a40c1ff", SSE),
    "vaddps ymm0, ymm1, ymm2": ("c5f458c2", AVX),
    "vfmadd231ps ymm0, ymm1, ymm2": ("c4e275b8c2", AVX),
    "vpermpd ymm0, ymm1, 0": ("c4e3fd01c100", AVX),
    "vzeroupper": ("c5f877", AVX),
    "vaddps zmm0, zmm1, zmm2": ("62f1744858c2", AVX512),
    "vfmadd231ps zmm0, zmm1, [rax]{1to16}": ("62f27558b800", AVX512),
    "vaddps xmm16, xmm17, xmm18": ("62a1740058c2", AVX512),
    "kmovw k1, eax": ("c5f892c8", AVX512),
    "kandw k1, k2, k3": ("c5ec41cb", AVX512),
    "paddd mm0, mm1": ("0ffec1", None),
    "mulx rax, rcx, rdx": ("c4e2f3f6c2", None),
    "rorx rax, rcx, 1": ("c4e3fbf0c101", None),
    "crc32 eax, ecx": ("f20f38f1c1", None),
    "adcx eax, ecx": ("660f38f6c1", None),
    "mov rbp, rsp": ("4889e5", None),
    "je +5": ("0f8405000000", None),
    "syscall": ("0f05", None),
    "ret": ("c3", None),
    "endbr64": ("f30f1efa", None),
}


@pytest.mark.parametrize("instruction", ENCODED)
def test_an_instruction_is_told_by_its_encoding(instruction: str):
    code, expected = ENCODED[instruction]

    assert encoding(bytes.fromhex(code)) == expected
    assert encoding(bytes.fromhex(code).ljust(15, b"\x90")) == expected


@pytest.mark.parametrize("code", [b"", b"\x66" * 15, b"\x62", b"\xc4", b"\xc5", b"\x0f", b"\x48"])
def test_code_that_ends_early_does_no_harm(code: bytes):
    assert encoding(code) in (None, AVX)


COMPUTE = """
import json, sys
import numpy as np
from rigmark.bench.worker.instructions import CannotWatch, Watcher

try:
    watcher = Watcher()
    x = np.ones((256, 256), np.float32)
    found = watcher.watch(lambda: x @ x, 20)
    idle = watcher.watch(lambda: sum(range(1000)), 20)
    watcher.close()
    print(json.dumps([found, idle]))
except CannotWatch as error:
    print(json.dumps(str(error)))
"""


@pytest.mark.parametrize(("kernel", "expected"), [("Nehalem", SSE), ("Haswell", AVX)])
def test_a_products_kernel_is_seen_and_the_interpreter_is_none(kernel: str, expected: str):
    ran = subprocess.run(
        [sys.executable, "-c", COMPUTE], capture_output=True, check=True, text=True, timeout=60,
        env={"OPENBLAS_CORETYPE": kernel, "OPENBLAS_NUM_THREADS": "1", "PYTHONPATH": ":".join(sys.path)},
    )
    answer = json.loads(ran.stdout)
    if isinstance(answer, str):
        pytest.skip(answer)
    result, idle = answer

    assert sum(result["encodings"].values()) >= 20
    assert result["encodings"].get(expected, 0) > 0.9 * sum(result["encodings"].values())
    assert "openblas" in max(result["places"], key=result["places"].get)
    assert idle["samples"] > 20
    assert sum(idle["encodings"].values()) < 0.1 * idle["samples"]
