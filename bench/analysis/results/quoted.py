"""Quoted tables (see bench.store.quoted) together with our own results: the same columns, another origin."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from rigmark.bench.analysis.results.summary import RESULT_COLUMNS
from rigmark.bench.document.document import Origin
from rigmark.bench.document.language import tr
from rigmark.bench.enums import Outcome
from rigmark.bench.store.quoted import FACTS, QuotedTable, Source

Row = Mapping[str, Any]      # a line, flat as those of the table of results

KIND = "quoted"              # of a result row, unlike "timing" and "limit", so that it is never used as measured


def rows(tables: Iterable[QuotedTable]) -> list[dict[str, Any]]:
    """All lines of some tables, each with ``table``, ``source`` and ``name``: "scaling.csv, line 17 (vgg16)"."""
    return [
        {**dict.fromkeys(FACTS), **row.plain(), "conditions": row.conditions, "table": table_id,
         "source": table.source, "name": f"{table.source.file}, {row.line} ({row.model})"}
        for table in tables for table_id in [table.id] for row in table.rows
    ]


def step_time(row: Row) -> float | None:
    """Step time in s: the median of the timings if stated, else the stated time, else batch / throughput.

    None if none of these is stated, or if it is impossible, such as 0.
    """
    timings_s = row.get("timings_s") or ()
    step_time_s = float(np.median(timings_s)) if timings_s else row.get("step_time_s")
    rate, batch = _positive(row.get("throughput_samples_per_s")), samples(row)
    if _positive(step_time_s) is None and rate and batch:
        step_time_s = batch / rate
    return _positive(step_time_s)


def throughput(row: Row) -> float | None:
    """Samples per second of all devices: as stated, else batch / step time; None if not stated, or impossible."""
    stated = _positive(row.get("throughput_samples_per_s"))
    if stated is not None:
        return stated
    time_s, batch = step_time(row), samples(row)
    return None if time_s is None or batch is None else batch / time_s


def samples(row: Row) -> int | None:
    """Samples per step on all devices; None if the batch is not stated. Unless stated, one device is assumed."""
    batch = row.get("local_batch")
    return None if batch is None else int(batch) * int(row.get("world_size") or 1)


def _positive(number: Any) -> float | None:
    return float(number) if isinstance(number, int | float) and 0 < number < float("inf") else None


def results(tables: Sequence[QuotedTable]) -> pd.DataFrame:
    """One row per line, with the columns of bench.analysis.results.summary.results; what is not stated is None."""
    quoted = [_result(row) for row in rows(tables)]
    return pd.DataFrame(quoted, columns=list(RESULT_COLUMNS)).astype(object).where(lambda frame: frame.notna(), None)


def _result(row: Row) -> dict[str, Any]:
    time_s, rate = step_time(row), throughput(row)
    is_ok = row.get("outcome", Outcome.OK) == Outcome.OK
    reason = row.get("reason") or (None if time_s or rate else tr("its source states no step time and no throughput"))
    source = row["source"]
    return {
        **{name: row.get(name) for name in FACTS}, "kind": KIND, "origin": Origin.QUOTED.value,
        "suite": source.format, "source": row["name"],
        "outcome": row.get("outcome", Outcome.OK.value), "reason": reason, "global_batch": samples(row),
        "step_time_s": time_s if is_ok else None, "throughput_samples_per_s": rate if is_ok else None,
        "latency_p50_s": row.get("latency_p50_s"), "latency_p99_s": row.get("latency_p99_s"),
        "peak_memory_bytes": row.get("peak_memory_bytes"), "parameters": row.get("parameters"),
        "flops_per_sample": row.get("flops_per_sample"), "findings": "", "finding_texts": "[]",
        "run_id": row["table"],
        "recorded_at": row.get("measured_at") or source.published or source.imported_at,
    }


def together(measured: pd.DataFrame, tables: Sequence[QuotedTable]) -> pd.DataFrame:
    """Our own results, followed by quoted ones."""
    if not tables:
        return measured
    quoted = results(tables)
    return quoted if measured.empty else pd.concat([measured.astype(object), quoted], ignore_index=True)


def provenance(source: Source) -> str:
    """The source of a table in a sentence."""
    sentences = [tr("{file} (format {format}, SHA-256 {sha256})", file=source.file, format=source.format,
                    sha256=source.sha256[:12])]
    sentences += [stated for stated in (source.title, source.published) if stated]
    sentences.append(source.url or tr("no address given"))
    sentences.append(tr("licence {licence}", licence=source.licence) if source.licence else tr("no licence given"))
    if source.stated_by_user:
        sentences.append(tr("{mark} entered by hand: {facts}", mark=Origin.ENTERED.mark,
                            facts=tr(", ").join(f"{name} {fact}" for name, fact in source.stated_by_user.items())))
    return tr("{said}; imported {date}.", said="; ".join(sentences), date=source.imported_at[:10])
