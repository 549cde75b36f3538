"""``rigmark prices``: what renting machines costs, fetched into dated files; the only verb that needs a network."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from rigmark.bench.cli import _options as options

app = typer.Typer(no_args_is_help=True, help="Fetch prices of machines for rent into dated files.")


@app.callback()
def prices() -> None:
    """Fetch prices of machines for rent into dated files."""


@app.command()
def fetch(
    provider: Annotated[str, typer.Option(help="Catalogues, with commas: aws, azure, gcp, lambdalabs, ...")] = "aws",
    gpu: Annotated[str | None, typer.Option(help="Only machines with these, with commas: A100,H100.")] = None,
    spot: Annotated[bool, typer.Option(help="Also what may be taken away at any time.")] = False,
    directory: Annotated[Path, typer.Option("--directory", "-d", help="Folder for the files.")] = Path(),
) -> None:
    """Write offers-PROVIDER-DATE.toml, to be given to 'rigmark buy --hardware'. A changed price makes a new file.

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
