"""``rigmark audit``: are tables of results, stored, imported or from files, consistent?"""

from __future__ import annotations

import json as json_format
from pathlib import Path
from typing import Annotated, Any

import typer

from rigmark.bench.cli import Language, Medium
from rigmark.bench.errors import UserError, unknown


def command(
    files: Annotated[
        list[Path] | None, typer.Argument(metavar="FILE...", help="Files to check; they are not stored.")
    ] = None,
    as_: Annotated[str | None, typer.Option("--as", metavar="FORMAT", help="Format of the files.")] = None,
    results: Annotated[Path, typer.Option(help="Results folder to check if no file is named.")] = Path("results"),
    set_: Annotated[
        list[str] | None, typer.Option("--set", metavar="NAME=VALUE", help="As in rigmark import.")
    ] = None,
    column: Annotated[
        list[str] | None, typer.Option(metavar="THEIRS=OURS", help="As in rigmark import.")
    ] = None,
    decimal: Annotated[
        str | None, typer.Option(metavar="SIGN", help="As in rigmark import.")
    ] = None,
    peak: Annotated[
        list[str] | None,
        typer.Option(metavar="DEVICE/PRECISION=FLOP/s", help="Peak rate of a device: 'rtx4090/fp16=165e12'."),
    ] = None,
    format: Medium = None,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="File to write to instead of stdout.")] = None,
    json: Annotated[bool, typer.Option("--json", help="Findings and their lines as JSON, for scripts.")] = False,
    lang: Language = "en",
) -> None:
    """Check tables of results for errors: wrong sums, copied or repeated values, wrong units, zeros, impossible values.

    Exit code: 2 if something is wrong or suspect, 3 if there is nothing to check.

    Examples:

    rigmark audit --results results

    rigmark audit --as cnn_benchmarks outputs/*/*.json
    """
    from rigmark.bench.analysis.audit import audit
    from rigmark.bench.analysis.results.findings import FindingKind
    from rigmark.bench.cli import JSON, Exit, medium_of, say, write, write_document
    from rigmark.bench.sections.audit import document

    medium = medium_of(format, output, json=json)
    known, rows, problems = _rows(files or [], as_, results, set_, column, decimal)
    audited = audit(rows, known | _peaks(peak or [], rows))
    for problem in problems:
        say(f"rigmark: {problem}")
    if medium == JSON:
        write(json_format.dumps(_plain(audited), indent=1) + "\n", output)
    elif rows:
        write_document(document(audited), medium, output)
    if not rows:
        say(f"no results in {results}; name files and --as FORMAT, or import files first")
        raise typer.Exit(Exit.BAD if problems else Exit.NOTHING_MEASURED)
    if problems or any(finding.kind is not FindingKind.NOTE for finding in audited.findings):
        raise typer.Exit(Exit.BAD)


def _rows(
    files: list[Path], format: str | None, results: Path, set_: list[str] | None, column: list[str] | None,
    decimal: str | None,
) -> tuple[dict[tuple[str, str], float], list[dict[str, Any]], list[str]]:
    """(measured peak rates in FLOP/s by device and precision, lines to check, what could not be read)."""
    from importlib import import_module

    from rigmark.bench import importers
    from rigmark.bench.analysis import audit
    from rigmark.bench.analysis.results import quoted
    from rigmark.bench.analysis.results.summary import results as summarise
    from rigmark.bench.store.store import existing

    if files:
        if format is None:
            raise UserError(f"name the format of the files with --as: {', '.join(importers.NAMES)}")
        pairs = import_module("rigmark.bench.cli.import_").pairs
        stated, columns = pairs(set_, "--set"), pairs(column, "--column")
        read = [importers.read(format, path, stated=stated, columns=columns, decimal=decimal) for path in files]
        refused = [f"{table.source.file}: {table.refusal}" for table in read if table.refusal]
        return {}, quoted.rows(read), refused
    if format or set_ or column:
        raise UserError("--as, --set and --column describe files; name the files to check")
    if decimal:
        raise UserError("--decimal describes files; name the files to check")
    store = existing(results)
    trials, (tables, unreadable) = store.trials(), store.quoted.all()
    table = summarise(trials.table)
    return (
        audit.measured_peaks(table), audit.measured(table) + quoted.rows(tables), [*trials.problems, *unreadable]
    )


def _peaks(given: list[str], rows: list[dict[str, Any]]) -> dict[tuple[str, str], float]:
    """The peak rates of --peak in FLOP/s; raises UserError for another form, or if no line has that device."""
    peaks = {}
    there = {f"{row['device_name']}/{row['precision']}" for row in rows if row["device_name"] and row["precision"]}
    for each in given:
        name, _, value = each.rpartition("=")
        device, _, precision = name.rpartition("/")
        try:
            flops_per_s = float(value)
        except ValueError:
            flops_per_s = 0.0
        if not (device and precision and 0 < flops_per_s < float("inf")):
            raise UserError(f"--peak takes DEVICE/PRECISION=FLOP/s, such as rtx4090/fp16=165e12, not '{each}'")
        if f"{device}/{precision}" not in there:
            raise UserError(f"--peak: {unknown('line of', f'{device}/{precision}', there)}")
        peaks[device, precision] = flops_per_s
    return peaks


def _plain(audited: Any) -> dict[str, Any]:
    return {
        "lines": audited.lines,
        "findings": [
            {"id": each.id, "kind": each.kind.value, "text": each.text, "lines": list(each.lines)}
            for each in audited.findings
        ],
        "checked": [{"rule": each.rule, "lines": each.lines} for each in audited.checks],
    }
