"""The power of a working machine at the wall: measured or rated power of its devices, and the rest of the machine."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from rigmark.bench.buying import cost
from rigmark.bench.buying.offers.market import Market, Part
from rigmark.bench.buying.terms import Candidate, Rated
from rigmark.bench.document.language import tr


@dataclass(frozen=True, kw_only=True)
class WallPower:
    """The power at the wall; ``lacking`` names the parts that are missing in it, because their power is not known."""

    watts: float | None          # None: the power of the computing devices is not known
    lacking: tuple[str, ...]


def of_machine(build: Candidate, own: Rated | None, market: Market) -> WallPower:
    """The power of a machine; ``own`` has the power of its devices under a workload, if known."""
    assert build.build is not None
    parts = [(market.parts[name], count) for name, count in build.build.parts.items()]
    working = own.power_w if own is not None and own.power_w is not None else build.rated_w
    if working is None:
        names = [part.id for part, _ in parts if part.kind in ("gpu", "accelerator", "cpu") and part.tdp_w is None]
        return WallPower(watts=None, lacking=tuple(names) or (tr("its computing device"),))
    devices, lacking = [working], []
    if any(part.kind in ("gpu", "accelerator") for part, _ in parts):
        cpus = [(part, count) for part, count in parts if part.kind == "cpu"]
        devices += known(cpus)
        lacking += [part.id for part, _ in cpus if part.tdp_w is None]
        lacking += [] if cpus else [tr("a CPU, which is not among its parts")]
    if build.build.base_w is None:
        lacking.append(tr("board, memory and disks, for which no base_w is given"))
    else:
        devices.append(build.build.base_w)
    return WallPower(
        watts=cost.wall_power_w(devices, market.energy.psu_efficiency), lacking=tuple(lacking))


def known(parts: Iterable[tuple[Part, int]]) -> list[float]:
    """The power in W of each part whose power is known, times its number."""
    return [part.tdp_w * count for part, count in parts if part.tdp_w is not None]
