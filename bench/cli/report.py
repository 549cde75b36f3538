"""``rigmark report``: all that a results folder knows, as one page, Markdown, or in the terminal."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from bench.cli import Language
from bench.words import UserError


def command(
    results: Annotated[Path, typer.Option(help="Results folder.")] = Path("results"),
    format: Annotated[str | None, typer.Option(help="html, markdown, terminal; left out: by the file's name.")] = None,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="File instead of stdout.")] = None,
    lang: Language = "en",
) -> None:
    """Write a report of stored results.

    Examples:

    rigmark report -o report.html

    rigmark report --format markdown
    """
    import reports
    from bench import claims as loader
    from bench.analysis.claims import hold
    from bench.analysis.story import claims, document, quoted, records_needed
    from bench.analysis.summary import results as summarise
    from bench.cli import Exit, say
    from bench.cli.claims import evidence
    from bench.store import existing

    medium = format or _by_suffix(output)
    reports.medium(medium)       # a wrong name is told before anything is read
    store = existing(results)
    trials = store.trials()
    records = [store.get(trial_id) for trial_id in records_needed(trials.table)]
    tables, unreadable = store.quoted()
    found, problems = summarise(trials.table), (*trials.problems, *unreadable)
    told = claims.told(hold(loader.shipped(), evidence(trials.table, found, records, tables)[0]))
    more = [section for section in (told, quoted.section(tables)) if section]
    text = reports.render(medium, document(found, trials.table, records, problems, more=more))
    if output is None:
        sys.stdout.write(text)
    else:
        try:
            output.write_text(text, encoding="utf-8")
        except OSError as error:
            raise UserError(f"cannot write {output}: {error.strerror}") from None
        say(f"wrote {output}")
    for problem in problems:
        say(f"rigmark: {problem}")
    if problems:
        raise typer.Exit(Exit.BAD)
    if trials.table.empty and not tables:
        raise typer.Exit(Exit.NOTHING_MEASURED)


def _by_suffix(output: Path | None) -> str:
    import reports

    if output is None:
        return "terminal"
    by_suffix = {reports.medium(name).SUFFIX: name for name in reports.NAMES}
    return by_suffix.get(output.suffix, "html")
