"""Readings on disk: an append-only file of fixed-size records, also as a table and as Parquet.

The sampler writes the file, so heavy modules are imported only where they are needed.
"""

from __future__ import annotations

import glob
import math
import os
import struct
import threading
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rigmark.bench.host.database import connected
from rigmark.bench.telemetry import sources
from rigmark.bench.telemetry.sources import Device, Field, Meaning, Range, Reading, Reason, Tier

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

RECORD = struct.Struct("<qqdBBHHxx")     # begin_ns, end_ns, value, source, reason, device, field
REASONS = (None, *Reason)                # in the order of their numbers in a record

MOST_VALUE = 1e18            # largest plausible reading in any unit
MOST_FLAGS = 2.0**53         # the integers below it are exact in a reading

SAMPLER = "sampler"                      # source of readings about the sampler; always first
OWN_FIELDS = (
    Field(name="late_s", meaning=Meaning.GAUGE, tier=Tier.FAST),         # time from when a read was due until it began
    Field(name="overruns", meaning=Meaning.COUNTER, tier=Tier.FAST),     # reads that were skipped, being too late
    Field(name="cpu_time_s", meaning=Meaning.COUNTER, tier=Tier.FAST),   # of the whole sampler process
)


@dataclass(frozen=True, kw_only=True)
class Described:
    """An open source, to which the numbers in a file refer."""

    name: str
    rate_hz: float                       # reads per second of its FAST tier
    fields: tuple[Field, ...]
    devices: tuple[Device, ...]

    def plain(self) -> dict[str, Any]:
        return asdict(self)


def described(plain: dict[str, Any]) -> Described:
    """The inverse of Described.plain, also after a round trip through JSON."""
    fields = tuple(
        Field(
            name=field["name"], meaning=Meaning(field["meaning"]), tier=Tier(field["tier"]),
            flags=tuple(field["flags"]), plausible=field["plausible"] and Range(**field["plausible"]),
        )
        for field in plain["fields"]
    )
    devices = tuple(
        Device(**{**device, "unknown": {name: Reason(reason) for name, reason in device["unknown"].items()}})
        for device in plain["devices"]
    )
    return Described(name=plain["name"], rate_hz=plain["rate_hz"], fields=fields, devices=devices)


class Writer:
    """A file to which several threads append readings; what was appended survives if this process is killed."""

    def __init__(self, path: Path):
        self._descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC, 0o644)
        self._lock = threading.Lock()
        self._is_whole = True

    def append(self, source: int, readings: Iterable[Reading]) -> None:
        """Appends readings of the source with this number; raises OSError once the disk is full."""
        content = b"".join(packed(source, reading) for reading in readings)
        with self._lock:
            if self._is_whole:
                self._is_whole = os.write(self._descriptor, content) == len(content)
            if not self._is_whole:       # nothing after an incomplete record could be read
                raise OSError("the disk is full")

    def close(self) -> None:
        with self._lock:
            self._is_whole = False
            os.close(self._descriptor)


def packed(source: int, reading: Reading) -> bytes:
    value = math.nan if reading.value is None else reading.value
    reason = REASONS.index(reading.reason)
    return RECORD.pack(reading.begin_ns, reading.end_ns, value, source, reason, reading.device, reading.field)


def read(path: Path) -> NDArray[Any]:
    """As read_bytes, from a file."""
    return read_bytes(path.read_bytes())


def read_bytes(content: bytes) -> NDArray[Any]:
    """All records in the order in which they were written; an incomplete last one is left out.

    The columns are begin_ns, end_ns, value (NaN if unknown), source (a number), reason (a position in REASONS), device
    and field (numbers).
    """
    import numpy as np

    columns = np.dtype({
        "names": ["begin_ns", "end_ns", "value", "source", "reason", "device", "field"],
        "formats": ["<i8", "<i8", "<f8", "u1", "u1", "<u2", "<u2"], "offsets": [0, 8, 16, 24, 25, 26, 28],
        "itemsize": RECORD.size,
    })
    records: np.ndarray[Any, Any] = np.frombuffer(content[: len(content) // RECORD.size * RECORD.size], columns)
    return records


def sifted(readings: NDArray[Any], sources: Sequence[Described]) -> NDArray[Any]:
    """The readings, with implausible readings of gauges marked as unknown; they keep the value that was stated."""
    import numpy as np

    shape = (
        len(sources), max((len(source.fields) for source in sources), default=0),
        max((len(source.devices) for source in sources), default=0),
    )
    low, high = np.full(shape, -math.inf), np.full(shape, math.inf)
    for number, source in enumerate(sources):
        for position, field in enumerate(source.fields):
            if field.meaning is Meaning.GAUGE and field.plausible is not None:
                for device, of in enumerate(source.devices):
                    low[number, position, device], high[number, position, device] = field.plausible.ends(of.facts)
    sifted_readings = readings.copy()
    place = (sifted_readings["source"], sifted_readings["field"], sifted_readings["device"])
    is_within = (low[place] <= sifted_readings["value"]) & (sifted_readings["value"] <= high[place])
    sifted_readings["reason"][(sifted_readings["reason"] == 0) & ~is_within] = REASONS.index(Reason.IMPLAUSIBLE)
    return sifted_readings


def table(readings: NDArray[Any], sources: Sequence[Described]) -> pd.DataFrame:
    """One row per reading: source, device (its id), field, begin_ns, end_ns, value, and reason (None if known).

    Times are nanoseconds of time.perf_counter_ns; a value has the unit at the end of the field's name.
    """
    import numpy as np
    import pandas as pd

    def named(columns: tuple[str, ...], names: dict[tuple[int, ...], str]) -> Any:
        keys = np.stack([readings[column].astype(np.int64) for column in columns])
        distinct, codes = np.unique(keys, axis=1, return_inverse=True)
        names_of_keys = [names[tuple(key)] for key in distinct.T.tolist()]
        categories = list(dict.fromkeys(names_of_keys))
        positions = np.array([categories.index(word) for word in names_of_keys], np.int64)
        return pd.Categorical.from_codes(positions[codes.reshape(-1)], categories=pd.Index(categories))

    return pd.DataFrame({
        "source": named(("source",), {(i,): source.name for i, source in enumerate(sources)}),
        "device": named(("source", "device"), {
            (i, j): device.id for i, source in enumerate(sources) for j, device in enumerate(source.devices)
        }),
        "field": named(("source", "field"), {
            (i, j): field.name for i, source in enumerate(sources) for j, field in enumerate(source.fields)
        }),
        "begin_ns": readings["begin_ns"], "end_ns": readings["end_ns"],
        "value": pd.array(np.where(readings["reason"] == 0, readings["value"], np.nan), dtype="Float64"),
        "reason": pd.Categorical.from_codes(
            readings["reason"].astype(np.int64) - 1, categories=pd.Index([str(reason) for reason in Reason])
        ),
    })


def read_parquet(path: Path) -> pd.DataFrame:
    """The table of ``write_parquet``, with one field per flag that was ever set: 0 or 1, "clock_events.thermal".

    Raises OSError if the file cannot be read, or contains something else.
    """
    import duckdb
    import numpy as np
    import pandas as pd

    names = "source, device, field, begin_ns, end_ns, value, reason"
    with connected() as connection:
        try:
            frame = connection.execute(
                # DuckDB would take the path for a pattern, and a folder named a=1 for a column.
                f"SELECT {names} FROM read_parquet($1, hive_partitioning = false) ORDER BY begin_ns",
                [glob.escape(os.path.abspath(path))],
            ).df()
        except (duckdb.Error, ValueError) as error:
            raise OSError((str(error).splitlines() or [type(error).__name__])[0]) from None
    if why := _wrong(frame):
        raise OSError(why)
    parts = [frame]
    for source in frame.source.unique():
        for field in sources.load(source).FIELDS if source in sources.NAMES else ():
            flags = frame[(frame.source == source) & (frame.field == field.name) & frame.value.notna()]
            if field.flags and not flags.value.between(0, MOST_FLAGS).all():
                raise OSError(f"{field.name} of {source} is not a set of flags")
            values = flags.value.to_numpy("uint64") if field.flags else np.zeros(0, np.uint64)
            parts += [
                flags.assign(field=f"{field.name}.{flag}", value=is_set.astype(float))
                for bit, flag in enumerate(field.flags) if (is_set := (values >> np.uint64(bit)) & np.uint64(1)).any()
            ]
    return pd.concat(parts, ignore_index=True)


def _wrong(frame: pd.DataFrame) -> str | None:
    """Why a table does not consist of readings; None if it does."""
    import pandas as pd

    texts = ("source", "device", "field")
    if frame[["begin_ns", "end_ns"]].dtypes.ne("int64").any() or frame.value.dtype != "float64" or not all(
        pd.api.types.is_string_dtype(frame[name]) and frame[name].notna().all() for name in texts
    ):
        return "its columns are not those of readings"
    if (frame.begin_ns < 0).any() or (frame.end_ns < frame.begin_ns).any():
        return "a reading ends before it begins"
    if (frame.value.abs() > MOST_VALUE).any():
        return "a reading is too large for any unit"
    return None


def write_parquet(path: Path, readings: NDArray[Any], sources: Sequence[Described]) -> None:
    """Writes the table as a Parquet file; raises OSError if that fails."""
    import duckdb

    with connected() as connection:
        connection.register("readings", table(readings, sources))
        try:
            connection.execute("COPY readings TO $1 (FORMAT parquet, COMPRESSION zstd)", [os.path.abspath(path)])
        except duckdb.Error as error:
            raise OSError(str(error).splitlines()[0]) from None
