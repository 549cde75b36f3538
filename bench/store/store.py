"""The results folder: one JSON file a trial, written atomically; queried through DuckDB, merged by copying."""

from __future__ import annotations

import contextlib
import fcntl
import io
import json
import math
import os
import tempfile
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from rigmark.bench.enums import TIMED, Outcome, TrialKind
from rigmark.bench.errors import UserError
from rigmark.bench.host import npz
from rigmark.bench.host.database import connected
from rigmark.bench.machine import devices
from rigmark.bench.store import quoted
from rigmark.bench.store.quoted import QuotedTable
from rigmark.bench.store.record import SCHEMA, Record

if TYPE_CHECKING:
    import pandas as pd

DEFAULT_RESULTS = Path("results")
RECORDS, SERIES, ORACLE, CACHE, LOCK = "records", "telemetry", "oracle", "cache", "lock"
QUOTED = "quoted"            # tables of others, one file each; apart, so that no query of trials ever meets them

TRIAL_COLUMNS = {
    "id": ("$.id", "VARCHAR"),
    "kind": ("$.identity.kind", "VARCHAR"),
    "suite": ("$.suite", "VARCHAR"),
    "origin": ("$.origin", "VARCHAR"),
    **{
        name: (f"$.identity.case.{name}", kind)
        for name, kind in {
            "model": "VARCHAR", "framework": "VARCHAR", "build": "VARCHAR", "compile_mode": "VARCHAR",
            "layout": "VARCHAR", "precision": "VARCHAR", "mode": "VARCHAR", "device": "VARCHAR",
            "local_batch": "BIGINT", "threads": "BIGINT", "data": "VARCHAR", "steps_per_timing": "BIGINT",
            "isa": "VARCHAR", "world_size": "BIGINT", "devices_per_process": "BIGINT", "strategy": "VARCHAR",
            "oversubscribed": "BOOLEAN",
        }.items()
    },
    "start_method": ("$.identity.settings.start_method", "VARCHAR"),
    "settings": ("$.identity.settings", "JSON"),
    "repetition": ("$.identity.repetition", "BIGINT"),
    "session": ("$.identity.session", "VARCHAR"),
    "graph_fingerprint": ("$.identity.graph_fingerprint", "VARCHAR"),
    "code_version": ("$.identity.code_version", "VARCHAR"),
    "build_facts": ("$.identity.build", "JSON"),
    "python": ("$.identity.build.python", "VARCHAR"),
    "framework_version": ("$.identity.build.framework_version", "VARCHAR"),
    "machine": ("$.identity.machine", "VARCHAR"),
    "device_name": ("$.machine.cpu", "VARCHAR"),         # of trials on a GPU see bench.machine.devices
    "machine_facts": ("$.machine", "JSON"),
    "system": ("$.system", "JSON"),
    "system_facts": ("$.system.facts", "JSON"),
    "telemetry": ("$.telemetry", "JSON"),
    "optimizer": ("$.graph.optimizer", "VARCHAR"),
    "parameters": ("$.graph.parameters", "BIGINT"),
    "flops_inference": ("$.graph.flops_per_sample.inference", "BIGINT"),
    "flops_training": ("$.graph.flops_per_sample.training", "BIGINT"),
    "marks": ("$.measurement.marks", "JSON"),
    "work_flops": ("$.work.flops", "BIGINT"),
    "work_bytes": ("$.work.bytes", "BIGINT"),
    "work_samples": ("$.work.samples", "BIGINT"),
    "outcome": ("$.outcome", "VARCHAR"),
    "reason": ("$.reason", "VARCHAR"),
    "run_id": ("$.run_id", "VARCHAR"),
    "command": ("$.command", "VARCHAR"),
    "recorded_at": ("$.recorded_at", "VARCHAR"),
    "wall_time_s": ("$.wall_time_s", "DOUBLE"),
    "load_before": ("$.load_before", "DOUBLE"),
    "certificate": ("$.certificate", "VARCHAR"),
    "timings_s": ("$.measurement.timings_s", "DOUBLE[]"),
    "clock": ("$.measurement.clock", "VARCHAR"),
    "cpu_times_s": ("$.measurement.cpu_times_s", "DOUBLE[]"),
    "host_times_s": ("$.measurement.host_times_s", "DOUBLE[]"),
    "other_cpu_time_s": ("$.measurement.other_cpu_time_s", "DOUBLE"),
    "warm_up_timings_s": ("$.measurement.warm_up_timings_s", "DOUBLE[]"),
    "prepare_time_s": ("$.measurement.prepare_time_s", "DOUBLE"),
    "first_step_s": ("$.measurement.first_step_s", "DOUBLE"),
    "peak_memory_bytes": ("$.measurement.peak_memory_bytes", "BIGINT"),
    "policy": ("$.measurement.policy", "JSON"),
    "overflow_steps": ("$.measurement.overflow_steps", "BIGINT"),
    "rank_timings_s": ("$.world.rank_timings_s", "DOUBLE[][]"),
    "rank_cpu_times_s": ("$.world.rank_cpu_times_s", "DOUBLE[][]"),
    "sent_bytes": ("$.world.sent_bytes", "BIGINT"),
    "nodes": ("$.world.nodes", "BIGINT"),
    "communication": ("$.world.communication", "JSON"),
    "isa_proof": ("$.isa.summary", "VARCHAR"),
    "isa_evidence": ("$.isa.proof", "JSON"),
    "layer_cover": ("$.layers.cover", "DOUBLE"),
    "layer_overhead": ("$.layers.overhead", "DOUBLE"),
    "layer_problem": ("$.layers.problem", "VARCHAR"),
    "layer_step_times_s": ("$.layers.step_times_s", "DOUBLE[]"),
    "layer_variables": ("$.layers.variables", "JSON"),
    "attributed_time_s": ("$.layers.attributed_time_s", "DOUBLE"),
    "output_error": ("$.parity.output_error", "DOUBLE"),
    "gradient_error": ("$.parity.gradient_error", "DOUBLE"),
    "loss_error": ("$.parity.loss_error", "DOUBLE"),
    "second_loss_error": ("$.parity.second_loss_error", "DOUBLE"),
    "third_loss_error": ("$.parity.third_loss_error", "DOUBLE"),
}
"""Columns of the flat table of trials: where each stands in a record, and its DuckDB type."""

WHERE_UNSAID = {
    "isa": "native", "world_size": "1", "devices_per_process": "1", "strategy": "single", "oversubscribed": "false",
}
"""What holds for records that are older than a field."""

PAIR_COLUMNS = {
    f"{side}_{name}": (f"$.pair.{side}.{name}", "DOUBLE[]")
    for side in ("base", "new") for name in ("times_s", "host_times_s", "cpu_times_s")
}
"""What of pairs is looked at, and stands in no table; as TRIAL_COLUMNS."""

IS_WHOLE = (
    f"coalesce(schema BETWEEN 1 AND {SCHEMA} AND outcome IS NOT NULL AND kind IS NOT NULL AND NOT (outcome = 'ok' AND "
    "CASE WHEN kind IN ('timing', 'limit') THEN host_times_s IS NULL "
    "WHEN kind = 'pair' THEN base_host_times_s IS NULL OR new_host_times_s IS NULL ELSE false END), false)"
)
"""What a record must have to be read at all; one whose kind is of TIMED, or a pair, must hold its timings."""


def _all_times(*columns: str) -> str:
    """SQL for whether lists hold times: one at least, all finite and positive; a CPU's clock may be too coarse."""
    return " AND ".join(
        f"list_count({column}) = len({column}) AND list_min({column}) {'>=' if 'cpu' in column else '>'} 0 "
        f"AND list_max({column}) < 'infinity'::DOUBLE"       # NaN is more than infinity to DuckDB
        for column in columns
    )


HAS_TIMES = (
    "coalesce(CASE WHEN outcome != 'ok' THEN true WHEN kind IN ('timing', 'limit') THEN steps_per_timing > 0 AND "
    f"{_all_times('timings_s', 'host_times_s', 'cpu_times_s')} "
    f"WHEN kind = 'pair' THEN steps_per_timing > 0 AND {_all_times(*PAIR_COLUMNS)} ELSE true END, false)"
)
"""What a record must have to be counted: no figure can be made of times that are none."""


@dataclass(frozen=True, kw_only=True)
class Trials:
    """Stored trials as a table, and what could not be read, a sentence each."""

    table: pd.DataFrame
    problems: tuple[str, ...]


class Store:
    """A results folder."""

    def __init__(self, root: Path):
        self.root = root
        self._records = root / RECORDS
        self._oracle = root / ORACLE
        self._series = root / SERIES
        self._quoted = root / QUOTED
        self.records_folder = self._records
        self.cache = root / CACHE        # of programs that frameworks compiled; may be deleted at any time

    def create(self) -> Store:
        """Make the folders; raises UserError where they cannot be written to."""
        try:
            for folder in (self._records, self._oracle):
                folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=self._records):
                pass
        except OSError as error:
            raise UserError(
                f"cannot write results to {self.root}: {error.strerror}; choose another --results"
            ) from None
        return self

    @contextlib.contextmanager
    def measuring(self) -> Iterator[None]:
        """Held by one sweep at a time; raises UserError while another measures into the same folder."""
        with self._lock() as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                raise UserError(
                    f"another sweep is measuring into {self.root}, and two would disturb each other; wait for it"
                ) from None
            for leftover in self.root.glob("*/.*.tmp"):      # of a sweep that was killed while writing
                leftover.unlink(missing_ok=True)
            yield

    def _lock(self) -> IO[str]:
        try:
            return open(self.root / LOCK, "w", encoding="ascii")
        except OSError as error:
            raise UserError(f"cannot write to {self.root}: {error.strerror}; choose another --results") from None

    def __contains__(self, trial_id: str) -> bool:
        """True where the record is there and can be read; a damaged one is measured anew."""
        try:
            self.get(trial_id)
        except UserError:
            return False
        return True

    def _path(self, trial_id: str) -> Path:
        return self._records / f"{trial_id}.json"

    def put(self, record: Record) -> None:
        """Write a record so that it is there whole or not at all; raises UserError where the disk is full."""
        try:
            _write_atomically(self._path(record.id), json.dumps(record.plain(), indent=1).encode())
        except OSError as error:
            raise UserError(f"cannot store a record in {self._records}: {error.strerror}") from None

    def put_series(self, trial_id: str, write: Callable[[Path], None]) -> str:
        """Keep the telemetry of a trial, whole or not at all, and give its name in this folder.

        ``write`` writes a Parquet file. Raises OSError where the disk is full. The record that names it comes later: a
        sweep that is killed between the two measures the trial again.
        """
        self._series.mkdir(exist_ok=True)
        path = self._series / f"{trial_id}.parquet"
        beside = self._series / f".{trial_id}.tmp"
        write(beside)
        with open(beside, "rb") as file:
            os.fsync(file.fileno())
        os.replace(beside, path)
        return f"{SERIES}/{path.name}"

    def series(self, trial_id: str) -> Path | None:
        """The Parquet file of a trial's telemetry; None where there is none."""
        path = self._series / f"{trial_id}.parquet"
        return path if path.is_file() else None

    def get(self, trial_id: str) -> dict[str, Any]:
        """A record as plain data; raises UserError where it cannot be read or is from a later version."""
        path = self._path(trial_id)
        try:
            record: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
            schema = int(record["schema"])
            has_times = schema > SCHEMA or _has_times(record)
        except (OSError, ValueError, KeyError, TypeError):
            raise UserError(_damaged(path)) from None
        if schema > SCHEMA:
            raise UserError(_too_new(path, schema))
        if not has_times:
            raise UserError(_no_times(path))
        return record

    def trials(self) -> Trials:
        """Every stored trial, oldest first; a record that cannot be read is a problem, not an end."""
        import duckdb

        files = [str(path) for path in self._records.glob("*.json")]
        if not files:
            columns = ", ".join(f"NULL::{kind} AS {name}" for name, (_, kind) in TRIAL_COLUMNS.items())
            with connected() as connection:
                return Trials(table=connection.execute(f"SELECT {columns} LIMIT 0").df(), problems=())
        read_columns = TRIAL_COLUMNS | PAIR_COLUMNS
        columns = ", ".join(
            f"{_typed(f'fields[{index}]', kind, WHERE_UNSAID.get(name))} AS {name}"
            for index, (name, (_, kind)) in enumerate(read_columns.items(), start=1)
        )
        paths = [*(path for path, _ in read_columns.values()), "$.schema"]
        parts = [part for part in (files[::2], files[1::2]) if part]     # a core each; one scan would keep to one
        read = " UNION ALL ".join(f"FROM read_blob(${number})" for number, _ in enumerate(parts, start=2))
        with connected() as connection:
            connection.execute("SET preserve_insertion_order = false")
            with contextlib.suppress(duckdb.InvalidInputException):      # a notebook without ipywidgets has none
                connection.execute("SET enable_progress_bar = false")    # it would stand among data on stdout
            connection.execute(
                # All paths at once, since each look into a text parses all of it; read_blob, since read_text would
                # give up on all files for one that is not UTF-8.
                "CREATE TEMP TABLE files AS SELECT filename, TRY(json_extract_string(TRY(decode(content)), $1)) AS "
                f"fields FROM ({read})", [paths, *parts],
            )
            connection.execute(
                f"CREATE TEMP VIEW trials AS SELECT filename, TRY_CAST(fields[{len(paths)}] AS BIGINT) AS schema, "
                f"{columns} FROM files"
            )
            strange = connection.execute(
                f"SELECT filename, schema, {IS_WHOLE} FROM trials WHERE NOT ({IS_WHOLE} AND {HAS_TIMES}) "
                "ORDER BY filename"
            ).fetchall()
            table = connection.execute(
                f"SELECT {', '.join(TRIAL_COLUMNS)} FROM trials WHERE {IS_WHOLE} AND {HAS_TIMES} "
                "ORDER BY recorded_at, id"
            ).df()
        table["device_name"] = devices.names(table)
        problems = tuple(
            _too_new(Path(name), schema) if schema is not None and schema > SCHEMA
            else _no_times(Path(name)) if is_whole else _damaged(Path(name))
            for name, schema, is_whole in strange
        )
        return Trials(table=table, problems=problems)

    def put_quoted(self, table: QuotedTable, *, again: bool = False) -> bool:
        """Keep a table of somebody else's; False where its file is stored already and is not to be replaced.

        Raises UserError where the disk is full.
        """
        path = self._quoted / f"{table.id}.json"
        if path.exists() and not again:
            return False
        try:
            self._quoted.mkdir(parents=True, exist_ok=True)
            _write_atomically(path, json.dumps(table.plain(), indent=1).encode())
        except OSError as error:
            raise UserError(f"cannot store a table in {self._quoted}: {error.strerror}") from None
        return True

    def quoted(self) -> tuple[list[dict[str, Any]], list[str]]:
        """Tables of others as plain data, first imported first, and a sentence for each that cannot be read."""
        tables, problems = [], []
        for path in sorted(self._quoted.glob("*.json")):
            try:
                table = json.loads(path.read_text(encoding="utf-8"))
                if int(table["schema"]) > quoted.SCHEMA:
                    problems.append(_too_new(path, table["schema"], quoted.SCHEMA))
                elif table["origin"] == quoted.ORIGIN and table["source"]["imported_at"] and table["rows"]:
                    tables.append(table)
                else:
                    raise ValueError
            except (OSError, ValueError, KeyError, TypeError):
                problems.append(f"table {path} is damaged and was left out; rigmark import reads its file anew")
        return sorted(tables, key=lambda table: (table["source"]["imported_at"], table["id"])), problems

    def oracle_answer(self, key: str) -> dict[str, NDArray[Any]] | None:
        """Arrays that the oracle computed under this key before; None where it has not, or they are damaged."""
        try:
            with np.load(self._oracle / f"{key}.npz") as stored:
                return {name: stored[name] for name in stored.files}
        except (OSError, ValueError, EOFError, zipfile.BadZipFile):
            return None

    def put_oracle_answer(self, key: str, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Keep arrays for later sweeps; a full disk only costs the time to compute them again."""
        content = io.BytesIO()
        npz.write(content, arrays)
        with contextlib.suppress(OSError):
            _write_atomically(self._oracle / f"{key}.npz", content.getvalue())


def _write_atomically(path: Path, content: bytes) -> None:
    """All of the content under the final name, or nothing: also after a power cut."""
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=".", suffix=".tmp")
    try:
        with os.fdopen(descriptor, "wb") as file:
            os.fchmod(descriptor, 0o644)     # mkstemp is for secrets
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(name, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(name)
        raise


def _typed(text: str, kind: str, where_unsaid: str | None) -> str:
    """SQL for a value of a DuckDB type from its text in JSON; NULL, or ``where_unsaid``, where it is none."""
    if where_unsaid is not None:
        text = f"coalesce({text}, '{where_unsaid}')"
    if kind.startswith("DOUBLE["):
        shape = "[" * kind.count("[") + '"DOUBLE"' + "]" * kind.count("[")
        return f"TRY(from_json({text}, '{shape}'))"     # three times as fast as a cast
    return f"TRY_CAST({text} AS {kind})"


def _has_times(record: Mapping[str, Any]) -> bool:
    """As HAS_TIMES; raises KeyError or TypeError for a record that is not as IS_WHOLE says."""
    kind = record["identity"]["kind"]
    if record["outcome"] != Outcome.OK or kind not in (*TIMED, TrialKind.PAIR):
        return True
    if kind in TIMED:
        name, processes = "timings_s", [record["measurement"]]
    else:
        name, processes = "times_s", [record["pair"]["base"], record["pair"]["new"]]
    return (record["identity"]["case"]["steps_per_timing"] or 0) > 0 and all(
        _are_times(told[name]) and _are_times(told["host_times_s"]) and _are_times(told["cpu_times_s"], or_zero=True)
        for told in processes
    )


def _are_times(times_s: Sequence[float | None], *, or_zero: bool = False) -> bool:
    return bool(times_s) and all(
        time_s is not None and (0 < time_s < math.inf or (or_zero and time_s == 0)) for time_s in times_s
    )


def _damaged(path: Path) -> str:
    return f"record {path} is damaged and was left out; the same run measures it anew"


def _no_times(path: Path) -> str:
    return (f"record {path} was left out: its times and steps are not all positive, finite numbers, so the clock was "
            "stepped or the record was edited; the same run measures it anew")


def _too_new(path: Path, schema: Any, newest: int = SCHEMA) -> str:
    return f"record {path} has schema {schema}, newer than this Rigmark reads ({newest}); upgrade Rigmark to read it"


def existing(root: Path) -> Store:
    """The store in a folder; raises UserError where there is none."""
    if not (root / RECORDS).is_dir():
        raise UserError(f"no results in {root}; rigmark run quick --results {root} makes some")
    return Store(root)


def filtered(table: pd.DataFrame, where: str | None) -> pd.DataFrame:
    """The rows of results that an SQL condition holds for; raises UserError for what is none."""
    import duckdb

    if where is None or table.empty:
        return table
    with connected(enable_external_access="false") as connection:
        connection.register("results", table.assign(row_number=range(len(table))))
        try:
            rows = connection.execute(f"SELECT row_number FROM results WHERE {where}").fetchall()
        except duckdb.Error as error:
            reason = str(error).splitlines()[0]
            raise UserError(f"--where must be an SQL condition on the columns of --format json: {reason}") from None
    return table.iloc[sorted(row for (row,) in rows)]
