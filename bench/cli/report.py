"""``rigmark report``: all that a results folder knows, as one page, Markdown, or in the terminal."""

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
    where: Annotated[str | None, typer.Option(help="SQL condition on the columns of rigmark results.")] = None,
    format: Annotated[
        str | None, typer.Option(help=f"{', '.join((*reports.NAMES, *reports.FOLDERS))}; left out: by the file's name.")
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="File instead of stdout; of figures and tables a folder.")
    ] = None,
    full: Annotated[bool, typer.Option("--full", help="In the terminal too all of it, not the answers alone.")] = False,
    lang: Language = "en",
) -> None:
    """Write a report of stored results; to the terminal the answers and the figures alone, unless --full is given.

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
        raise UserError(f"{medium} are many files; name a folder with --output")
    found = report(existing(results), where)
    if medium in reports.FOLDERS and output is not None:
        folder = reports.files(medium, found.document)
        _write(folder.files, output)
        say(f"wrote {len(folder.files)} files to {output}")
        for remark in folder.remarks:
            say(f"rigmark: {remark}")
    else:
        is_short = medium == TERMINAL and output is None and not full
        write_document(short(
            found.document, found.results, command=_command(results, where, found.document.language)
        ) if is_short else found.document, medium, output)
        if output is not None:
            say(f"wrote {output}")
    for problem in found.problems:
        say(f"rigmark: {problem}")
    if found.problems:
        raise typer.Exit(Exit.BAD)
    if not found.is_measured:
        raise typer.Exit(Exit.NOTHING_MEASURED)


def _command(results: Path, where: str | None, language: str) -> str:
    """That writes a report on the same, to which its medium may be added."""
    words = ["rigmark", "report"]
    if results != Path("results"):
        words += ["--results", str(results)]
    if where is not None:
        words += ["--where", where]
    if language != "en":
        words += ["--lang", language]
    return shlex.join(words)


def _write(files: Sequence[File], folder: Path) -> None:
    """Into the folder, which is made where it is not there; raises UserError where that cannot be."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for file in files:
            (folder / file.name).write_bytes(file.content)
    except OSError as error:
        raise UserError(f"cannot write to {folder}: {error.strerror}") from None
