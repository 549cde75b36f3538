"""``rigmark serve``: the report of a results folder in a browser, updated while trials are added."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from rigmark.bench.cli import Language


def command(
    results: Annotated[Path, typer.Option(help="Results folder; trials may still be added to it.")] = Path("results"),
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port on this machine; 0 takes any free one.")] = 8765,
    every: Annotated[int, typer.Option(min=1, help="Seconds between updates of the page in the browser.")] = 5,
    lang: Language = "en",
) -> None:
    """Show the report of a results folder at http://127.0.0.1:PORT/, updated as trials finish.

    Other machines cannot reach it, and nothing can be changed through it. Making the page takes time on a core, so do
    not leave it open during a measurement. Ctrl-C ends it with exit code 130.

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
        with speaking(lang):         # each request runs in a new thread, whose language is English
            return reports.render("html", report(store).document)

    page = Page(make, lambda: folder_version(store.records_folder))
    with serving(page, port=port, refresh_s=every) as server:
        say(f"{results} at http://127.0.0.1:{server.server_address[1]}/ (Ctrl-C ends it)")
        server.serve_forever()
