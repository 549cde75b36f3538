"""``rigmark report``: the report of a results folder, as an HTML page, as Markdown, or in the terminal."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rigmark import reports
from rigmark.bench.cli import Language
from rigmark.bench.errors import UserError

if TYPE_CHECKING:
    from rigmark.reports.folders import File


def command(
    results: Annotated[Path, typer.Option(help="Results folder.")] = Path("results"),
    where: Annotated[
        str | None, typer.Option(help="SQL condition on the columns that 'rigmark results' has.")
    ] = None,
    format: Annotated[str | None, typer.Option(
        help=f"{', '.join((*reports.NAMES, *reports.FOLDERS))}. By default the ending of the output file decides.",
    )] = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="File to write to instead of stdout; a folder for figures and tables."),
    ] = None,
    full: Annotated[bool, typer.Option("--full", help="Show the whole report in the terminal too.")] = False,
    lang: Language = "en",
) -> None:
    """Write a report of stored results. The terminal shows only the answers and main figures, unless --full is given.

    Examples:

    rigmark report

    rigmark report -o report.html

    rigmark report --format markdown --lang zh

    rigmark report --format figures -o figures

    rigmark report --where "model = 'resnet50' AND precision = 'bf16'" -o resnet50.html
    """
    from rigmark.bench.cli import MEDIA, TERMINAL, Exit, medium_of, say, write_document
    from rigmark.bench.reporting.gather import report
    from rigmark.bench.sections.short import short
    from rigmark.bench.store.store import existing

    medium = medium_of(format, output, known=(*MEDIA, *reports.FOLDERS))
    if medium in reports.FOLDERS and output is None:
        raise UserError(f"{medium} are written as many files; name a folder with --output")
    gathered = report(existing(results), where)
    if medium in reports.FOLDERS and output is not None:
        folder = reports.files(medium, gathered.document)
        _write(folder.files, output)
        say(f"wrote {len(folder.files)} files to {output}")
        for remark in folder.remarks:
            say(f"rigmark: {remark}")
    else:
        is_short = medium == TERMINAL and output is None and not full
        write_document(short(
            gathered.document, gathered.results, command=_command(results, where, gathered.document.language)
        ) if is_short else gathered.document, medium, output)
        if output is not None:
            say(f"wrote {output}")
    for problem in gathered.problems:
        say(f"rigmark: {problem}")
    if gathered.problems:
        raise typer.Exit(Exit.BAD)
    if not gathered.is_measured:
        raise typer.Exit(Exit.NOTHING_MEASURED)


def _command(results: Path, where: str | None, language: str) -> str:
    """The command that writes a report of the same results; a medium may be appended."""
    words = ["rigmark", "report"]
    if results != Path("results"):
        words += ["--results", str(results)]
    if where is not None:
        words += ["--where", where]
    if language != "en":
        words += ["--lang", language]
    return shlex.join(words)


def _write(files: Sequence[File], folder: Path) -> None:
    """Writes the files into the folder, which is created if necessary; raises UserError if that fails."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for file in files:
            (folder / file.name).write_bytes(file.content)
    except OSError as error:
        raise UserError(f"cannot write to {folder}: {error.strerror}") from None
