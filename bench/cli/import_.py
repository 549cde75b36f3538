"""``rigmark import``: stores result tables that others published, marked as quoted, with their source."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rigmark.bench import added
from rigmark.bench.errors import UserError
from rigmark.bench.host.secrets import hidden

if TYPE_CHECKING:
    from rigmark.bench.store.quoted import QuotedTable

NEEDS_ARGUMENTS = True
FORMATS = added.names("rigmark.bench.importers")
MOST_REFUSED = 20            # refused lines that are reported one by one


def command(
    format: Annotated[str, typer.Argument(help=f"Format of the files: {', '.join(FORMATS)}.")],
    files: Annotated[list[Path], typer.Argument(metavar="FILE...", help="Files of that format; for asv, folders.")],
    results: Annotated[Path, typer.Option(help="Results folder.")] = Path("results"),
    set_: Annotated[
        list[str] | None, typer.Option("--set", metavar="NAME=VALUE", help="State a fact that the files do not hold.")
    ] = None,
    column: Annotated[
        list[str] | None, typer.Option(metavar="THEIRS=OURS", help="Rename a column of a CSV table to our name.")
    ] = None,
    decimal: Annotated[
        str | None, typer.Option(metavar="SIGN", help="Decimal sign of a CSV table: a point or a comma.")
    ] = None,
    title: Annotated[str | None, typer.Option(help="Title of the table.")] = None,
    url: Annotated[str | None, typer.Option(help="Address where it was published.")] = None,
    licence: Annotated[str | None, typer.Option(help="Licence of the table.")] = None,
    published: Annotated[
        str | None, typer.Option(metavar="DATE", help="Date of publication: 2017, 2017-05 or 2017-05-12.")
    ] = None,
    again: Annotated[bool, typer.Option("--again", help="Replace what was imported from the same file.")] = False,
) -> None:
    """Store results that others published. They are shown as quoted, and never compared as if measured here.

    A line that cannot be a result is reported and left out. Exit code: 2 if there was such a line.

    Examples:

    rigmark import cnn_benchmarks outputs/*/*.json --title cnn-benchmarks --licence MIT --published 2017

    rigmark import csv scaling.csv --column gpus=world_size --column images_per_s=throughput_samples_per_s

    rigmark import csv messwerte.csv --decimal ,
    """
    from rigmark.bench import importers
    from rigmark.bench.cli import Exit, say
    from rigmark.bench.store.store import Store

    stated, columns = pairs(set_, "--set"), pairs(column, "--column")
    _check_date(published)
    tables = [
        importers.read(format, path, stated=stated, columns=columns, decimal=decimal, title=title,
                       url=url and hidden(url), licence=licence, published=published)
        for path in files
    ]     # all are read before one is stored
    store = Store(results).create()
    for table in tables:
        is_new = store.quoted.put(table, again=again)
        lines = f"{len(table.rows):,} result{'s' * (len(table.rows) != 1)}"
        say(f"{table.source.file}: {lines} stored as {table.id}" if is_new else
            f"{table.source.file}: stored already as {table.id}, and not changed; --again replaces it")
    for note, of in _notes(tables).items():
        say(f"{of[0] if len(of) == 1 else f'{len(of)} files'}: {note}")
    for table in tables:
        for each in table.refused[:MOST_REFUSED]:
            say(f"rigmark: {table.source.file}: refused {each}")
        if table.refused:
            lines, they = ("line", "it") if len(table.refused) == 1 else ("lines", "they")
            say(f"rigmark: {table.source.file}: {len(table.refused):,} {lines} refused, because {they} cannot be "
                "results")
    if any(table.refused for table in tables):
        raise typer.Exit(Exit.BAD)


def _notes(tables: Iterable[QuotedTable]) -> dict[str, list[str]]:
    """Each note with the names of the files that it concerns."""
    files_by_note: dict[str, list[str]] = {}
    for table in tables:
        for note in table.notes:
            files_by_note.setdefault(note, []).append(table.source.file)
    return files_by_note


def pairs(given: list[str] | None, option: str) -> dict[str, str]:
    """The values of NAME=VALUE options by name; raises UserError for another form, or for a name that occurs twice."""
    values: dict[str, str] = {}
    for each in given or []:
        name, is_pair, value = (part.strip() for part in each.partition("="))
        if not (name and is_pair and value):
            raise UserError(f"{option} takes NAME=VALUE, not '{each}'")
        if name in values:
            raise UserError(f"{option} names '{name}' twice")
        values[name] = value
    return values


def _check_date(stated: str | None) -> None:
    import datetime
    import re

    if stated is None:
        return
    try:
        if not re.fullmatch(r"\d{4}(-\d\d(-\d\d)?)?", stated):
            raise ValueError
        datetime.date.fromisoformat(f"{stated}-01-01"[:10])
    except ValueError:
        raise UserError(f"--published takes a date such as 2017, 2017-05 or 2017-05-12, not '{stated}'") from None
