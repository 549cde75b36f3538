"""``rigmark prices``: downloads rental prices of machines into dated files; no other verb needs a network."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from rigmark.bench.cli import Verb
from rigmark.bench.cli import _options as options

app = typer.Typer(no_args_is_help=True, help="Download rental prices of machines into dated files.")


@app.callback()
def prices() -> None:
    """Download rental prices of machines into dated files."""


@app.command(cls=Verb)
def fetch(
    provider: Annotated[
        str, typer.Option(help="Providers, separated by commas: aws, azure, gcp, lambdalabs, ...")
    ] = "aws",
    gpu: Annotated[
        str | None, typer.Option(help="Only machines with these GPUs, separated by commas: A100,H100.")
    ] = None,
    spot: Annotated[bool, typer.Option(help="Include spot offers, which the provider may end at any time.")] = False,
    directory: Annotated[Path, typer.Option("--directory", "-d", help="Folder to write the files to.")] = Path(),
) -> None:
    """Write offers-PROVIDER-DATE.toml for 'rigmark buy --hardware'. If prices changed that day, a new file is written.

    Example:

    rigmark prices fetch --provider aws,gcp --gpu A100,H100
    """
    from datetime import date

    from rigmark.bench.buying.offers import catalogue
    from rigmark.bench.cli import Exit, say, tell
    from rigmark.bench.errors import UserError
    from rigmark.bench.host import files

    today = date.today()
    wrote = 0
    for fetched in catalogue.fetch(options.listed("--provider", provider), options.chosen("--gpu", gpu), spot=spot):
        content = catalogue.offers(fetched, today)
        if not (offers := catalogue.count(content)):
            say(f"{fetched.provider}: no offer with such a GPU")
            continue
        text = catalogue.text(content)
        path = directory / f"offers-{fetched.provider}-{today}.toml"
        number = 2
        while path.exists() and files.read_text(path) != text:
            path = directory / f"offers-{fetched.provider}-{today}-{number}.toml"
            number += 1
        try:
            path.write_text(text, encoding="utf-8")
        except OSError as error:
            raise UserError(f"cannot write {path}: {error.strerror}") from None
        tell(f"{path}: {offers} offers")
        wrote += 1
    if not wrote:
        raise typer.Exit(Exit.NOTHING_MEASURED)
