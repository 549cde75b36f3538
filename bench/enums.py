"""The words that everything shares: axes of a case, kinds of trial, outcomes; and how a wrong word is answered."""

from __future__ import annotations

import re
import unicodedata
from enum import StrEnum


class Mode(StrEnum):
    INFERENCE = "inference"
    TRAINING = "training"


class CompileMode(StrEnum):
    EAGER = "eager"              # each operation runs as the host reaches it
    COMPILED = "compiled"        # the framework's own graph compiler (torch.compile, tf.function)
    XLA = "xla"                  # the XLA compiler (jax.jit, tf.function(jit_compile=True))


class Layout(StrEnum):
    NCHW = "nchw"
    CHANNELS_LAST = "channels_last"


class Precision(StrEnum):
    """Numeric policy: the formats in which weights and activations are stored and products are summed.

    What each stores, multiplies and sums in is told by bench.worker.frameworks.POLICIES, which the worker package has
    too.
    """

    FP32 = "fp32"
    TF32 = "tf32"                # fp32, but products on CUDA take their operands with 11 bits
    FP64 = "fp64"
    BF16 = "bf16"                # mixed: weights are kept in fp32 and cast where a layer reads them
    FP16 = "fp16"                # mixed, with a scaled loss: gradients would underflow
    BF16_PURE = "bf16_pure"      # weights too; inference
    FP16_PURE = "fp16_pure"
    INT8 = "int8"                # dynamic quantisation of dense and recurrent layers; inference


class Scaling(StrEnum):
    """What stays the same while the number of devices grows."""

    STRONG = "strong"            # the global batch: one job, done faster
    WEAK = "weak"                # the local batch: each device does what it did alone


class StartMethod(StrEnum):
    """How the process of a timing trial comes to be."""

    SPAWN = "spawn"              # a fresh interpreter
    FORKSERVER = "forkserver"    # a fork of a process that has only imported the framework; on the CPU


class TrialKind(StrEnum):
    PROOF = "proof"              # agreement with the oracle
    TIMING = "timing"            # steps against the clock
    LAYERS = "layers"            # where the time of a step goes
    LIMIT = "limit"              # what the machine does at best: one operation against the clock
    PAIR = "pair"                # two builds that take turns, for a verdict on the one against the other


class Clock(StrEnum):
    """What a pair is judged by."""

    WALL = "wall"
    CPU = "cpu"                  # of one thread; sees no waiting, and is disturbed far less by other processes


TIMED = frozenset({TrialKind.TIMING, TrialKind.LIMIT})
"""Kinds of trial that are repeated, and whose steps are a figure."""


class Outcome(StrEnum):
    OK = "ok"
    UNSUPPORTED = "unsupported"          # the framework says that it cannot, in its own sentence
    NOT_INSTALLED = "not_installed"      # the build has no such framework
    BUILD_BROKEN = "build_broken"        # interpreter or framework does not start
    OUT_OF_MEMORY = "out_of_memory"
    TIMEOUT = "timeout"
    CRASHED = "crashed"
    PARITY_FAILED = "parity_failed"      # ran, but did not compute the same


class Cause(StrEnum):
    """Why a process of several failed, where that is known; a failure of its own needs none."""

    PEER_LOST = "peer_lost"              # another rank had ended, or never came
    STOPPED = "stopped"                  # the parent ended it, since another rank had failed


CONSEQUENCES = frozenset({Cause.PEER_LOST, Cause.STOPPED})
"""Causes of ranks that only met the failure of another."""

PLANNED_GAPS = frozenset({Outcome.UNSUPPORTED, Outcome.NOT_INSTALLED})
"""Outcomes that do not fail a sweep, unless the cell was asked for by name."""

THREAD_POOLS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS")
"""Variables that every worker has: the threads of all devices of its process."""


def network_key(name: str) -> str:
    """What names of one network have in common: "ResNet-50", "resnet_50" and "resnet50" are the same.

    Case and what is neither letter nor digit tell nothing, but for a separator between two digits: "wide_resnet50_2" is
    no "wideresnet502", and "squeezenet1.1" is "squeezenet1_1". To be compared with, and never shown.
    """
    parts = re.findall(r"[^\W_]+", unicodedata.normalize("NFKC", name).casefold())
    return re.sub(r"(?<!\d) | (?!\d)", "", " ".join(parts)) or name





class Isa(StrEnum):
    """Each level has all instructions of those before it."""

    SSE41 = "sse41"
    AVX2 = "avx2"                # with FMA
    AVX512 = "avx512"            # with its F, BW, DQ and VL parts, and what else of it the processor has
    NATIVE = "native"


MIXED, NOT_PROVEN = "mixed", "not proven"
"""What is said of a framework whose libraries ran different levels, or of which that is not known."""
LEVELS = (Isa.SSE41, Isa.AVX2, Isa.AVX512)
