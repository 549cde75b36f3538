"""Whether a side waited, or ran at another clock, while the other did not."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from rigmark.bench.analysis.causes.cause import Share, share_of
from rigmark.bench.analysis.causes.sides import changed
from rigmark.bench.analysis.statistics.estimate import median
from rigmark.bench.document import formatting
from rigmark.bench.document.language import tr
from rigmark.bench.store.stored import Pair, StoredRecord

MOST = 0.5                   # of the difference, which waiting or clocks must explain to be named
CLOCKS = ("sm_clock_hz", "cpu_clock_hz")


def waited(wall_s: Sequence[tuple[float, float]], cpu_s: Sequence[tuple[float, float]]) -> Share | None:
    """The part of a difference that is not CPU time, from the seconds of (base, new) in each pair.

    None if it is not most of it. It is valid for one thread only.
    """
    parts = [(wall[1] - cpu[1]) - (wall[0] - cpu[0]) for wall, cpu in zip(wall_s, cpu_s, strict=True)]
    share = share_of(parts, [new - base for base, new in wall_s])
    return share if share is not None and share.low > MOST else None


def waited_in_turns(pairs: Sequence[Pair]) -> Share | None:
    """The same of pairs of processes."""
    def both(clock: str) -> list[tuple[float, float]]:
        return [(float(np.mean(getattr(pair.base, clock))), float(np.mean(getattr(pair.new, clock))))
                for pair in pairs]

    return waited(both("host_times_s"), both("cpu_times_s"))


def clocks(pairs: Sequence[tuple[StoredRecord, StoredRecord]]) -> str | None:
    """That the clocks of both sides differ so much that it explains most of their difference, in a sentence.

    None if they do not, or are not known.
    """
    for name in CLOCKS:
        both = [(_clock(base, name), _clock(new, name)) for base, new in pairs]
        known = changed(both)
        if known is None:
            continue
        slower = [math.log(base / new) for base, new in both if base and new]
        times = [math.log(_step_time_s(new) / _step_time_s(base)) for base, new in pairs]
        share = share_of(slower, times)
        if share is not None and share.low > MOST:
            base, new = (formatting.with_unit(each, formatting.rate_unit([each], "Hz")) for each in known)
            return tr("The clock was {base} on the side of the base, and {new} on the other.", base=base, new=new)
    return None


def _clock(record: StoredRecord, name: str) -> float | None:
    """The mean clock of a trial's used devices, in its longest region; None if it is not known."""
    regions = record.telemetry.regions if record.telemetry else []
    longest = max(regions, key=lambda region: region.duration_s, default=None)
    means = [
        of_device.values[name].mean for of_device in (longest.devices if longest else ()) if name in of_device.values
    ]
    known = [mean for mean in means if mean]
    return sum(known) / len(known) if known else None


def _step_time_s(record: StoredRecord) -> float:
    assert record.layers is not None
    return median(record.layers.plain_step_times_s)
