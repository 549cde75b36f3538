"""Whether more or less of a figure of another project is better, judged by the words of its unit and its name.

asv stores no direction, and assumes that less is better. A wrong guess would reverse every verdict on the figure, so
words decide only if nothing contradicts them.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from rigmark.bench.history.series import Direction, Grounds

TIMES = frozenset({
    "s", "sec", "secs", "second", "seconds", "ms", "msec", "millisecond", "milliseconds", "us", "µs", "μs", "usec",
    "microsecond", "microseconds", "ns", "nsec", "nanosecond", "nanoseconds", "min", "mins", "minute", "minutes", "h",
    "hr", "hour", "hours",
})
ENERGIES = frozenset({"j", "mj", "kj", "joule", "joules", "wh", "kwh"})
SIZES = frozenset({"byte", "bytes", "kb", "mb", "gb", "tb", "kib", "mib", "gib", "tib"})
POWERS = frozenset({"w", "kw", "watt", "watts"})
AMBIGUOUS_IN_NAMES = frozenset({"s", "min", "mins", "h", "hr", "j", "mj", "kj", "w"})
"""Units that mean something else within a name, such as an index; "min" means minimum there."""

NUISANCES = frozenset({
    "error", "errors", "loss", "losses", "miss", "misses", "fault", "faults", "failure", "failures", "timeouts",
    "stall", "stalls", "leak", "leaks", "drops", "evictions", "cost",
})
"""Words of which less is better, even per second."""

LESS = NUISANCES | TIMES | ENERGIES | SIZES | {
    "time", "latency", "latencies", "duration", "elapsed", "runtime", "walltime", "delay", "lag", "overhead", "memory",
    "mem", "rss", "footprint", "energy", "allocations", "allocs",
}
MORE = frozenset({
    "throughput", "bandwidth", "speed", "speedup", "efficiency", "accuracy", "mfu", "hfu", "fps", "ips", "qps", "tps",
    "rps", "iops", "mips", "hz", "khz", "mhz", "ghz", "bps", "kbps", "mbps", "gbps", "tbps",
})
FLOPS = re.compile(r"[kMGTPE]?FLOPS|[kmgtpe]?flops")
"""FLOP/s. "FLOPs" and "GFLOPs" often mean a count of operations, of which neither more nor less is better."""

PER_S = re.compile(r"(?:^|[\s·*.])(?:s|sec)\s*(?:\^|\*\*)?\s*\(?[-−⁻][1¹]\)?")
CAMEL = re.compile(r"(?<=[a-z][a-z])(?=[A-Z])")
WORD = re.compile(r"[^\W\d_]+")


def by_words(unit: str, name: str) -> Direction:
    """The direction of a figure; not known if neither unit nor name tell it, or if they contradict each other."""
    called = _words(CAMEL.sub("_", name.rpartition(".")[2]))
    directions = {
        Grounds.UNIT: _better(_words(PER_S.sub(" per s ", unit))),
        Grounds.NAME: _better([
            word for index, word in enumerate(called) if word not in AMBIGUOUS_IN_NAMES or "per" in called[:index]
        ]),
    }
    ways = {way for way in directions.values() if way is not None}
    if len(ways) != 1:
        return Direction(is_higher_better=None, grounds=Grounds.CONTRADICTION if ways else Grounds.NONE)
    return Direction(
        is_higher_better=ways.pop(), grounds=next(grounds for grounds, way in directions.items() if way is not None)
    )


def _words(text: str) -> list[str]:
    """The words of a text in lower case; a slash becomes "per", and FLOPS becomes "flop", "per", "s"."""
    words = []
    for word in WORD.findall(text.replace("/", " per ")):
        words += ["flop", "per", "s"] if FLOPS.fullmatch(word) else [word.lower()]
    return words


def _better(words: Sequence[str]) -> bool | None:
    """Whether more is better; None if the words do not tell it, or contradict each other."""
    if "per" not in words:
        return _of_quantity(words)
    first = words.index("per")
    of, per = words[:first], set(words[first + 1:])
    if not per & (TIMES | ENERGIES | POWERS):
        return _of_quantity(of)              # seconds per step, bytes per row
    if NUISANCES & set(of):
        return False
    # "latency at 100 images per second" is not a rate; watts, which are joules per second, are neither good nor bad.
    return None if (LESS - SIZES) & set(of) else True


def _of_quantity(words: Sequence[str]) -> bool | None:
    ways = {word in MORE for word in words if word in MORE or word in LESS}
    return ways.pop() if len(ways) == 1 else None
