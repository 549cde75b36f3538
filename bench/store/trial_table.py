"""Stored records as a flat table, one row per record: what of a record stands in which column."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from operator import attrgetter, itemgetter
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from rigmark.bench.plan import axes
from rigmark.bench.store.reading import Checked

if TYPE_CHECKING:
    import pandas as pd

Values = Sequence[Any]


@dataclass(frozen=True)
class Kind:
    """How the values of a column come about: each from a part of a record, at once, and then all together."""

    column: Callable[[Values], pd.Series[Any]]
    value: Callable[[Any], Any] | None = None        # None: as it stands there


def _column(values: Values, dtype: str | None) -> pd.Series[Any]:
    import pandas as pd

    return pd.Series(values, dtype=dtype)


def _of_texts(values: Values) -> pd.Series[Any]:
    """Nothing is None or NaN, as this version of pandas has it."""
    return _column(values, None if any(value is not None for value in values) else "object")


def _of_arrays(values: Values) -> pd.Series[Any]:
    import pandas as pd

    return _column([pd.NA if value is None else value for value in values], "object")


def _column_of(kind: type) -> Kind:
    """How values of an axis of this type become a column."""
    if issubclass(kind, StrEnum):
        return _words
    return {bool: _flags, int: _whole}.get(kind, _texts)


def _compact(value: Any) -> str | None:
    """The text of a part, without blanks; None of what is null."""
    text = msgspec.json.format(value, indent=-1) if isinstance(value, msgspec.Raw) else msgspec.json.encode(value)
    return None if text == b"null" else text.decode()


_texts = Kind(_of_texts)
_words = Kind(_of_texts, lambda word: word.value)            # of an enumeration
_whole = Kind(lambda values: _column(values, "Int64" if None in values else "int64"))
_numbers = Kind(lambda values: _column(values, "float64"))
_flags = Kind(lambda values: _column(values, "bool"))
_series = Kind(_of_arrays, lambda times: np.array(times, float))
_series_of_ranks = Kind(_of_arrays, lambda ranks: [np.array(times, float) for times in ranks])
_json = Kind(_of_texts, _compact)

TRIAL_COLUMNS: dict[str, tuple[str, Kind]] = {
    "id": ("record.key", _texts),                        # its name in the store, which no other record has
    "kind": ("record.identity.kind", _texts),
    "suite": ("record.suite", _texts),
    "origin": ("record.origin", _texts),
    **{name: (f"record.identity.case.{name}", _column_of(axes.TYPES[name])) for name in axes.NAMES},
    "start_method": ("record.identity.settings.start_method", _words),
    "settings": ("texts.identity.settings", _json),
    "repetition": ("record.identity.repetition", _whole),
    "session": ("record.identity.session", _texts),
    "graph_fingerprint": ("record.identity.graph_fingerprint", _texts),
    "code_version": ("record.identity.code_version", _texts),
    "build_facts": ("texts.identity.build", _json),
    "python": ("record.identity.build.python", _texts),
    "framework_version": ("record.identity.build.framework_version", _texts),
    "machine": ("record.identity.machine", _texts),
    "device_name": ("record.machine.cpu", _texts),              # of trials on a GPU see bench.machine.devices
    "node": ("record.node", _texts),
    "boot": ("record.boot", _texts),
    "machine_facts": ("texts.machine", _json),
    "system": ("texts.system", _json),
    "system_facts": ("record.system.facts", _json),
    "telemetry": ("texts.telemetry", _json),
    "optimizer": ("record.graph.optimizer", _texts),
    "parameters": ("record.graph.parameters", _whole),
    "flops_inference": ("record.graph.flops_per_sample.inference", _whole),
    "flops_training": ("record.graph.flops_per_sample.training", _whole),
    "flops_decode": ("record.graph.flops_per_sample.decode", _whole),
    "marks": ("record.measurement.marks", _json),
    "work_flops": ("record.work.flops", _whole),
    "work_bytes": ("record.work.bytes", _whole),
    "work_samples": ("record.work.samples", _whole),
    "outcome": ("record.outcome", _words),
    "reason": ("record.reason", _texts),
    "run_id": ("record.run_id", _texts),
    "command": ("record.command", _texts),
    "recorded_at": ("record.recorded_at", _texts),
    "wall_time_s": ("record.wall_time_s", _numbers),
    "load_before": ("record.load_before", _numbers),
    "certificate": ("record.certificate", _texts),
    "timings_s": ("record.measurement.timings_s", _series),
    "clock": ("record.measurement.clock", _texts),
    "first_token_times_s": ("record.measurement.first_token_times_s", _series),
    "token_times_s": ("record.measurement.token_times_s", _series),
    "cpu_times_s": ("record.measurement.cpu_times_s", _series),
    "host_times_s": ("record.measurement.host_times_s", _series),
    "other_cpu_time_s": ("record.measurement.other_cpu_time_s", _numbers),
    "warm_up_timings_s": ("record.measurement.warm_up_timings_s", _series),
    "prepare_time_s": ("record.measurement.prepare_time_s", _numbers),
    "first_step_s": ("record.measurement.first_step_s", _numbers),
    "peak_memory_bytes": ("record.measurement.peak_memory_bytes", _whole),
    "policy": ("record.measurement.policy", _json),
    "overflow_steps": ("record.measurement.overflow_steps", _whole),
    "rank_timings_s": ("record.world.rank_timings_s", _series_of_ranks),
    "rank_cpu_times_s": ("record.world.rank_cpu_times_s", _series_of_ranks),
    "sent_bytes": ("record.world.sent_bytes", _whole),
    "nodes": ("record.world.nodes", _whole),
    "communication": ("record.world.communication", _json),
    "isa_proof": ("record.isa.summary", _texts),
    "isa_evidence": ("record.isa.proof", _json),
    "layer_cover": ("record.layers.cover", _numbers),
    "layer_overhead": ("record.layers.overhead", _numbers),
    "layer_problem": ("record.layers.problem", _texts),
    "layer_step_times_s": ("record.layers.step_times_s", _series),
    "layer_variables": ("record.layers.variables", _json),
    "attributed_time_s": ("record.layers.attributed_time_s", _numbers),
    "output_error": ("record.parity.output_error", _numbers),
    "gradient_error": ("record.parity.gradient_error", _numbers),
    "loss_error": ("record.parity.loss_error", _numbers),
    "second_loss_error": ("record.parity.second_loss_error", _numbers),
    "third_loss_error": ("record.parity.third_loss_error", _numbers),
}
"""Columns of the flat table of trials: where each stands in a checked record, and how its values become a column."""

FACTS = "texts.identity"     # the one part that is a dictionary


class _Part:
    """A part that a record may have, and its values that are columns."""

    def __init__(self, path: str, columns: Sequence[str]):
        fields = [TRIAL_COLUMNS[name] for name in columns]
        names = [place.rpartition(".")[2] for place, _ in fields]
        self.columns = columns
        self.rows: list[list[Any]] = []
        self._path = path.split(".")
        self._values = itemgetter(*names) if path == FACTS else attrgetter(*names)
        self._is_one = len(names) == 1
        self._converted = [(index, kind.value) for index, (_, kind) in enumerate(fields) if kind.value is not None]
        self._nothing = [None] * len(names)

    def add(self, checked: Checked) -> None:
        part: Any = checked
        for name in self._path:
            part = getattr(part, name)
            if part is None:
                self.rows.append(self._nothing)
                return
        values = [self._values(part)] if self._is_one else [*self._values(part)]
        for index, convert in self._converted:
            if values[index] is not None:
                values[index] = convert(values[index])
        self.rows.append(values)


def table(records: Iterable[Checked]) -> pd.DataFrame:
    """One row per record, oldest first; what a record does not have is nothing.

    No record is kept, since whole ones would take several times the memory, and the time to get it.
    """
    import pandas as pd

    by_part: dict[str, list[str]] = {}
    for name, (place, _) in TRIAL_COLUMNS.items():
        by_part.setdefault(place.rpartition(".")[0], []).append(name)
    parts = [_Part(path, columns) for path, columns in by_part.items()]
    ages: list[tuple[str, str, int]] = []
    for number, checked in enumerate(records):
        ages.append((checked.record.recorded_at, checked.record.key, number))
        for part in parts:
            part.add(checked)
    order = [number for *_, number in sorted(ages)]
    values: dict[str, Values] = dict.fromkeys(TRIAL_COLUMNS, ())
    for part in parts:
        values |= zip(part.columns, zip(*(part.rows[number] for number in order), strict=True), strict=bool(order))
    return pd.DataFrame({name: kind.column(values[name]) for name, (_, kind) in TRIAL_COLUMNS.items()})
