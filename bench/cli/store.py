"""``rigmark store``: what is done to stored results themselves."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(no_args_is_help=True, help="Look after stored results.")


@app.callback()
def store() -> None:
    """Look after stored results."""


@app.command()
def clean(
    results: Annotated[Path, typer.Option(help="Results folder.")] = Path("results"),
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only tell what would be taken out.")] = False,
) -> None:
    """Take secrets out of stored records: variables such as TF_API_KEY, and what command lines and errors hold.

    Records that are written now hold none; this is for older ones. No trial is lost, and figures stay as they are; a
    record whose variables change gets the id that it has without them. Ends with 2 where a record cannot be read.

    Example:

    rigmark store clean --results results
    """
    from rigmark.bench.cli import Exit, say
    from rigmark.bench.store import cleaning
    from rigmark.bench.store.store import existing

    found = cleaning.clean(existing(results), is_dry=dry_run)
    for problem in found.problems:
        say(f"rigmark: {problem}")
    if not found.records:
        say("no record that can be read holds a secret")
    else:
        names = f" ({', '.join(found.variables)})" if found.variables else ""
        say(f"{found.records} records {'hold' if dry_run else 'held'} secrets{names}"
            + ("; leave out --dry-run to take them out" if dry_run else ", which were taken out"))
        if found.renumbered:
            say(f"{found.renumbered} of them differed from others in secrets only, and count as further repetitions")
        say("pages, tables and copies made of them before hold the secrets still: make them anew, and change secrets "
            "that others may have seen")
    if found.problems:
        raise typer.Exit(Exit.BAD)
