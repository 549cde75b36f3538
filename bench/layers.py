"""What a layer trial says: where the time of a step goes, with the work of each layer beside it."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping
from typing import Any

from bench.ir.graph import Graph
from bench.words import Precision

UNATTRIBUTED = "(unattributed)"      # the residual row: the host's work between layers, and that of the instruments
IN_PLACE = "in_place"                # timed within a whole step, not replayed alone

ELEMENT_BYTES = {Precision.FP64: 8, Precision.FP32: 4, Precision.TF32: 4, Precision.INT8: 1}
HALF_BYTES = 2


def described(answer: Mapping[str, Any], graph: Graph, *, batch: int, precision: Precision) -> dict[str, Any]:
    """A worker's answer (see bench.worker.layers) as a record holds it.

    Each row has its ``share`` of the instrumented step; the residual included, they add up to 1. ``flops`` and
    ``bytes_moved`` of a batch come from the graph; they are None, as ``op`` is, for a row that is no layer of it.
    ``attributed_time_s`` is the sum of all rows but the residual, ``cover`` that sum / the instrumented step, both as
    means over the steps, and ``overhead`` the median instrumented step / the median plain step of the same process.
    """
    step_time_s = statistics.fmean(answer["step_times_s"])
    attributed_time_s = math.fsum(row["time_s"] for row in answer["rows"] if row["layer"] != UNATTRIBUTED)
    return {
        **answer,
        "rows": [_row(row, step_time_s, graph, batch, precision) for row in answer["rows"]],
        "attributed_time_s": attributed_time_s,
        "cover": attributed_time_s / step_time_s,
        "overhead": statistics.median(answer["step_times_s"]) / statistics.median(answer["plain_step_times_s"]),
    }


def _row(row: Mapping[str, Any], step_time_s: float, graph: Graph, batch: int, precision: Precision) -> dict[str, Any]:
    layer = next((layer for layer in graph.layers if layer.name == row["layer"]), None)
    cost = None
    if layer is not None:
        cost = graph.cost(
            layer, batch=batch, itemsize=ELEMENT_BYTES.get(precision, HALF_BYTES),
            backward=row["direction"] == "backward",
        )
    return {
        **row, "share": row["time_s"] / step_time_s, "method": IN_PLACE,
        "op": layer.op.kind if layer else None,
        "flops": cost.flops if cost else None, "bytes_moved": cost.bytes_moved if cost else None,
    }
