"""A layer trial: the per-layer profile of a step, with the work of each layer."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from rigmark.bench.enums import Mode, Outcome, Precision
from rigmark.bench.ir.graph import Cost, Graph
from rigmark.bench.plan.case import Case
from rigmark.bench.plan.schedule import Trial
from rigmark.bench.processes.spawn import Answer, not_run
from rigmark.bench.store.record import Record
from rigmark.bench.trials.kind import with_marks
from rigmark.bench.trials.kinds._steps import Steps
from rigmark.bench.worker import frameworks
from rigmark.bench.worker.precisions import activation_bytes, weight_bytes

UNATTRIBUTED = "(unattributed)"      # the residual row: work of the host between layers, and of the instrumentation
TOO_SHORT = "(too short to time)"    # all layers that took less than the resolution of the clock
IN_PLACE = "in_place"                # timed within a whole step, not replayed separately

Row = tuple[str, str | None]         # (layer, direction)


class Layers(Steps):
    def ask(self, trial: Trial) -> Answer:
        case, variables = trial.case, layer_variables(trial.case)
        if case.mode is Mode.DECODE:
            return not_run(Outcome.UNSUPPORTED, "layers of generated text are not timed yet; time those of --mode "
                           "inference")
        answer = self.stepped(trial, variables)
        if answer.outcome is not Outcome.OK:
            return answer
        profile = described(
            answer.result, self.context.inputs.graph(case), mode=case.mode, batch=case.local_batch,
            precision=case.precision,
        )
        return replace(answer, result={**profile, "variables": variables})

    def fields(self, trial: Trial, answer: Answer) -> dict[str, Any]:
        return {**super().fields(trial, answer), "layers": with_marks(answer)}

    def stepping_time_s(self, record: Record) -> float:
        times_s = ("warm_up_timings_s", "plain_step_times_s", "step_times_s")
        return 0.0 if record.layers is None else math.fsum(time_s for name in times_s for time_s in record.layers[name])


KIND = Layers


def layer_variables(case: Case) -> dict[str, str]:
    """The variables that a framework needs to distinguish layers; if there are any, its program differs from the timed
    one."""
    variables = getattr(frameworks.load(case.framework), "LAYER_VARIABLES", {})
    return dict(variables.get((case.device.kind, str(case.compile_mode), str(case.mode)), {}))


def described(
    answer: Mapping[str, Any], graph: Graph, *, mode: Mode, batch: int, precision: Precision
) -> dict[str, Any]:
    """A worker's answer (see bench.worker.layers) in the form of a record.

    Each row has its ``share`` of the instrumented step, from its usual time (see ``usual_s``), so that a single slow
    step does not matter; together with the residual they add up to 1. ``members`` are the layers whose work its kernels
    do, usually one. ``flops`` and ``bytes_moved`` per batch come from the graph: those of the row's own layer and of
    members without a row of their own. They are None, like ``op``, for a row that is not a layer. ``without_kernel``
    lists (layer, direction) pairs for which nothing ran. ``attributed_time_s`` is the sum of all rows except the
    residual, ``cover`` is that sum / the instrumented step, both as means over the steps, and ``overhead`` is the
    median instrumented step / the median plain step of the same process.
    """
    step_time_s = statistics.fmean(answer["step_times_s"])
    usual_step_s = math.fsum(map(usual_s, answer["rows"]))
    attributed_time_s = math.fsum(row["time_s"] for row in answer["rows"] if row["layer"] != UNATTRIBUTED)
    work = Work(graph, batch=batch, precision=precision, training=mode is Mode.TRAINING)
    timed = {(row["layer"], row["direction"]) for row in answer["rows"]}
    rows = _short_ones_together(answer["rows"], graph, answer["resolution_s"])
    return {
        **answer,
        "rows": [_row(row, usual_step_s, work, timed) for row in rows],
        "without_kernel": work.left(),
        "attributed_time_s": attributed_time_s,
        "cover": attributed_time_s / step_time_s,
        "overhead": statistics.median(answer["step_times_s"]) / statistics.median(answer["plain_step_times_s"]),
    }


class Work:
    """The FLOPs and traffic of a step; those of each layer in each direction are assigned once."""

    def __init__(self, graph: Graph, *, batch: int, precision: Precision, training: bool):
        self.graph = graph
        self._batch, self._precision, self._training = batch, precision, training
        self._given: set[Row] = set()

    def of(self, names: Iterable[str], direction: str | None) -> Cost | None:
        """The work of these layers together; None if none of them is a layer whose work was not assigned before."""
        new = [name for name in names if name in self.graph and (name, direction) not in self._given]
        self._given.update((name, direction) for name in new)
        if not new:
            return None
        return self.graph.fused_cost(
            new, batch=self._batch, itemsize=activation_bytes(self._precision), training=self._training,
            backward=direction == "backward", weight_itemsize=lambda op: weight_bytes(self._precision, op),
        )

    def left(self) -> list[list[str]]:
        """The (layer, direction) pairs whose work was not assigned."""
        every = [(layer.name, "forward") for layer in self.graph.layers]
        every += [(layer.name, "backward") for layer in self.graph.layers
                  if self._training and self.graph.needs_gradient(layer.name)]
        return [list(row) for row in every if row not in self._given]


def _short_ones_together(rows: Sequence[Mapping[str, Any]], graph: Graph, resolution_s: float | None) -> list[Any]:
    """The rows, with one row per direction for all layers that took less than the resolution of the clock."""
    short = [row for row in rows if row["layer"] in graph and usual_s(row) < (resolution_s or 0.0)]
    if len(short) < 2:
        return list(rows)
    together = [
        {
            "layer": TOO_SHORT, "direction": direction, "time_s": math.fsum(row["time_s"] for row in these),
            "turn_times_s": [math.fsum(turn) for turn in zip(*(row["turn_times_s"] for row in these), strict=True)],
            "members": list(dict.fromkeys(name for row in these for name in row.get("members", [row["layer"]]))),
        }
        for direction in ("forward", "backward")
        if (these := [row for row in short if row["direction"] == direction])
    ]
    others = [row for row in rows if row not in short]
    return [*others[:-1], *together, others[-1]]     # the residual stays last


def usual_s(row: Mapping[str, Any]) -> float:
    """Seconds of a row per step: the median over the turns, which is robust against a slow step."""
    return float(statistics.median(row["turn_times_s"]))


def _row(row: Mapping[str, Any], usual_step_s: float, work: Work, timed: set[Row]) -> dict[str, Any]:
    layer, direction = row["layer"], row["direction"]
    members = row.get("members", [layer])
    # A layer in an update row computes its weight gradient there, which is backward work.
    of = "backward" if direction == "update" else direction
    fused = [name for name in members if layer == TOO_SHORT or (name, of) not in timed]
    cost = work.of([layer, *fused], of)
    return {
        **row, "members": members, "share": usual_s(row) / usual_step_s, "method": row.get("method", IN_PLACE),
        "op": work.graph[layer].op.kind if layer in work.graph else None,
        "flops": cost.flops if cost else None, "bytes_moved": cost.bytes_moved if cost else None,
    }
