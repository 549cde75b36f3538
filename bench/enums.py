"""The enumerations that all rooms share: values of the axes of a case, kinds of trial, outcomes."""

from __future__ import annotations

import re
import unicodedata
from enum import StrEnum


class Mode(StrEnum):
    INFERENCE = "inference"
    TRAINING = "training"
    DECODE = "decode"            # text token by token, from a prompt


OF_SAMPLES = (Mode.INFERENCE, Mode.TRAINING)
"""Modes in which a step is one pass over a batch; nothing else decides how long it is."""


class CompileMode(StrEnum):
    EAGER = "eager"              # each operation runs when the host reaches it
    COMPILED = "compiled"        # the framework's own graph compiler (torch.compile, tf.function)
    XLA = "xla"                  # the XLA compiler (jax.jit, tf.function(jit_compile=True))


class Layout(StrEnum):
    NCHW = "nchw"
    CHANNELS_LAST = "channels_last"


class Implementation(StrEnum):
    """Which program of a network runs in a framework."""

    LOWERED = "lowered"          # Rigmark's own, made of the graph
    AS_WRITTEN = "as_written"    # the user's module or file itself, which the graph was imported from


class Setting(StrEnum):
    """Of a framework's compile modes and layouts, in place of the name of one."""

    BEST = "best"                # the best that it documents for the mode
    DEFAULT = "default"          # what a new user gets


class Precision(StrEnum):
    """Numeric policy: the formats in which weights and activations are stored, multiplied and summed.

    The formats of each precision are in bench.worker.precisions.POLICIES, which the worker package contains too.
    """

    FP32 = "fp32"
    TF32 = "tf32"                # fp32, but products on CUDA round their operands to 11 bits
    FP64 = "fp64"
    BF16 = "bf16"                # mixed: weights are stored in fp32 and cast when a layer reads them
    FP16 = "fp16"                # mixed, with a scaled loss, since gradients would underflow
    BF16_PURE = "bf16_pure"      # weights are bf16 too; inference only
    FP16_PURE = "fp16_pure"
    INT8 = "int8"                # dynamic quantisation of dense and recurrent layers; inference only


class Scaling(StrEnum):
    """What is constant while the number of devices grows."""

    STRONG = "strong"            # the global batch: the same work, done faster
    WEAK = "weak"                # the local batch: each device does the work that it did alone


class StartMethod(StrEnum):
    """How the process of a timing trial starts."""

    SPAWN = "spawn"              # a new interpreter
    FORKSERVER = "forkserver"    # a fork of a process that has imported the framework; on the CPU only


class TrialKind(StrEnum):
    """The kinds of trial that the code tells apart. A kind is the name of a file in bench.trials.kinds: one that
    nothing else tells apart has no word here, so kinds are texts and are compared by ``==``.
    """

    PROOF = "proof"              # agreement with the oracle
    TIMING = "timing"            # step times
    LAYERS = "layers"            # a per-layer profile
    LIMIT = "limit"              # a micro-benchmark: one operation, timed
    PAIR = "pair"                # two builds that take turns, for a verdict


class Clock(StrEnum):
    """The clock by which a pair is judged."""

    WALL = "wall"
    CPU = "cpu"                  # CPU time of one thread: without waiting, and far less disturbed by other processes


TIMED = frozenset({TrialKind.TIMING, TrialKind.LIMIT})
"""Kinds of trial that are repeated, and that give a figure."""


class Outcome(StrEnum):
    OK = "ok"
    UNSUPPORTED = "unsupported"          # the framework cannot do it, and states why
    NOT_INSTALLED = "not_installed"      # the build does not contain the framework
    BUILD_BROKEN = "build_broken"        # interpreter or framework does not start
    OUT_OF_MEMORY = "out_of_memory"
    TIMEOUT = "timeout"
    CRASHED = "crashed"
    PARITY_FAILED = "parity_failed"      # it ran, but its results disagree with the oracle


class Cause(StrEnum):
    """Why one of several processes failed, if it was not a failure of its own."""

    PEER_LOST = "peer_lost"              # another rank had ended, or never started
    STOPPED = "stopped"                  # the parent stopped it, because another rank had failed


CONSEQUENCES = frozenset({Cause.PEER_LOST, Cause.STOPPED})
"""Causes that are only consequences of the failure of another rank."""

PLANNED_GAPS = frozenset({Outcome.UNSUPPORTED, Outcome.NOT_INSTALLED})
"""Outcomes that do not fail a sweep, unless the user asked for the case by name."""

THREAD_POOLS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS")
"""Variables that are set for every worker to the number of threads of all devices of its process."""


def network_key(name: str) -> str:
    """A key that is equal for all spellings of a network's name: "ResNet-50", "resnet_50", "resnet50".

    Case and separators are ignored, except between two digits: "wide_resnet50_2" differs from "wideresnet502", and
    "squeezenet1.1" equals "squeezenet1_1". The key is only for comparisons, and is never shown.
    """
    parts = re.findall(r"[^\W_]+", unicodedata.normalize("NFKC", name).casefold())
    return re.sub(r"(?<!\d) | (?!\d)", "", " ".join(parts)) or name





class Isa(StrEnum):
    """Instruction sets of x86-64. Each level includes those before it."""

    SSE41 = "sse41"
    AVX2 = "avx2"                # with FMA
    AVX512 = "avx512"            # with its parts F, BW, DQ and VL, and others that the processor has
    NATIVE = "native"


MIXED, NOT_PROVEN = "mixed", "not proven"
"""Stated for a framework whose libraries ran different levels, or whose level is not known."""
LEVELS = (Isa.SSE41, Isa.AVX2, Isa.AVX512)
