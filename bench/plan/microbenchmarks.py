"""The cases of micro-benchmarks: single operations, which have no mode, batch and data that a user could choose."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from rigmark.bench.document.formatting import count
from rigmark.bench.enums import Mode, Precision, TrialKind
from rigmark.bench.plan.case import Case
from rigmark.bench.worker import microbenchmarks

if TYPE_CHECKING:
    from rigmark.bench.plan.sweep import Sweep


@dataclass(frozen=True, kw_only=True)
class OperationCase(Case):
    """The case of a micro-benchmark, whose name stands where the case of a network has its model."""

    timed_as: ClassVar[TrialKind] = TrialKind.LIMIT
    is_limit: ClassVar[bool] = True

    @property
    def subject(self) -> str:
        return self.model

    @property
    def amount(self) -> str:
        return count(self.threads, "thread")


def cases(sweep: Sweep, cores: int) -> Iterator[OperationCase]:
    """The cases of a sweep's micro-benchmarks, on one device. By default each has all ``cores``."""
    for name, framework, build, isa, precision, device, threads in itertools.product(
        sweep.microbenchmarks, sweep.frameworks, sweep.builds, sweep.isas, sweep.precisions, sweep.devices,
        sweep.threads or (cores,),
    ):
        for compile_mode, layout in sweep.settings(framework, Mode.INFERENCE):
            yield OperationCase(
                model=name, framework=framework, build=build, compile_mode=compile_mode, layout=layout,
                precision=precision, device=device, threads=threads, isa=isa,
                local_batch=microbenchmarks.work(name, Precision.FP32)["samples"] or 1,
                steps_per_timing=max(sweep.steps_per_timing, microbenchmarks.least_steps_per_timing(name)),
                oversubscribed=sweep.is_oversubscribed(1, threads, cores, device),
            )
