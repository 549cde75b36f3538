"""``rigmark serve``: the report of a results folder in a browser, while trials are added to it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from rigmark.bench.cli import Language


def command(
    results: Annotated[Path, typer.Option(help="Results folder, which may still grow.")] = Path("results"),
    port: Annotated[int, typer.Option(min=0, max=65535, help="On this machine only; 0: any that is free.")] = 8765,
    every: Annotated[int, typer.Option(min=1, help="Seconds after which a browser asks again.")] = 5,
    lang: Language = "en",
) -> None:
    """Show the report of a results folder at http://127.0.0.1:PORT/, made anew as trials finish.

    Nothing outside this machine can reach it, and nothing can be changed through it. Making the page costs time of a
    core: beside a measurement it disturbs. Ctrl-C ends it, with 130.

    Example: rigmark serve --results results --port 8765
    """
    from rigmark import reports
    from rigmark.bench.cli import say
    from rigmark.bench.document.language import speaking
    from rigmark.bench.reporting.gather import report
    from rigmark.bench.reporting.server import Page, folder_version, serving
    from rigmark.bench.store.store import existing

    store = existing(results)

    def make() -> str:
        with speaking(lang):         # each request is a thread of its own, which begins in English
            return reports.render("html", report(store).document)

    page = Page(make, lambda: folder_version(store.records_folder))
    with serving(page, port=port, refresh_s=every) as server:
        say(f"{results} at http://127.0.0.1:{server.server_address[1]}/ (Ctrl-C ends it)")
        server.serve_forever()
