"""``rigmark store``: maintains the stored results themselves."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from rigmark.bench.cli import Verb

app = typer.Typer(no_args_is_help=True, help="Maintain stored results.")


@app.callback()
def store() -> None:
    """Maintain stored results."""


@app.command(cls=Verb)
def clean(
    results: Annotated[Path, typer.Option(help="Results folder.")] = Path("results"),
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show what would be removed.")] = False,
) -> None:
    """Remove secrets from stored records: from variables such as TF_API_KEY, from command lines and error messages.

    New records contain none; this is for older ones. No trial is lost, and no figure changes; a record whose variables
    change gets the id that it would have without them. Exit code: 2 if a record cannot be read.

    Example:

    rigmark store clean --results results
    """
    from rigmark.bench.cli import Exit, say
    from rigmark.bench.store import cleaning
    from rigmark.bench.store.store import existing

    cleaned = cleaning.clean(existing(results), is_dry=dry_run)
    for problem in cleaned.problems:
        say(f"rigmark: {problem}")
    if not cleaned.records:
        say("no readable record contains a secret")
    else:
        names = f" ({', '.join(cleaned.variables)})" if cleaned.variables else ""
        say(f"{cleaned.records} records {'contain' if dry_run else 'contained'} secrets{names}"
            + ("; leave out --dry-run to remove them" if dry_run else ", which were removed"))
        if cleaned.renumbered:
            say(f"{cleaned.renumbered} of them differed from others only in secrets; they count as further repetitions")
        say("pages, tables and copies made earlier still contain the secrets: make them again, and change secrets that "
            "others may have seen")
    if cleaned.problems:
        raise typer.Exit(Exit.BAD)
