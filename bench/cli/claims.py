"""``rigmark claims``: published claims about deep learning, tested against what was measured or imported."""

from __future__ import annotations

import json as json_format
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rigmark.bench.cli import Language, Medium

if TYPE_CHECKING:
    from rigmark.bench.claims import ClaimResult


def command(
    results: Annotated[Path, typer.Option(help="Results folder.")] = Path("results"),
    claims: Annotated[
        Path | None, typer.Option(help="TOML file of your own claims, tested beside those that come with Rigmark.")
    ] = None,
    format: Medium = None,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="File to write to instead of stdout.")] = None,
    json: Annotated[bool, typer.Option("--json", help="Every claim with its figures as JSON, for scripts.")] = False,
    lang: Language = "en",
) -> None:
    """Test published claims: each is confirmed, refuted, open, or not testable with what is stored, with the reason.

    Examples:

    rigmark claims -o claims.html

    rigmark claims --claims my-claims.toml --format markdown
    """
    from rigmark.bench.claims import judge
    from rigmark.bench.claims import load as loader
    from rigmark.bench.cli import JSON, Exit, medium_of, say, write, write_document
    from rigmark.bench.sections import inputs
    from rigmark.bench.sections.claims import document
    from rigmark.bench.store.store import existing

    medium = medium_of(format, output, json=json)
    wanted = loader.shipped()
    if claims is not None:
        wanted = loader.together(wanted, loader.load(claims))
    read = inputs.read(existing(results))
    tested = judge(wanted, read.evidence)
    problems = read.unread
    if medium == JSON:
        write(json_format.dumps([plain(each) for each in tested], indent=1) + "\n", output)
    else:
        write_document(document(tested), medium, output)
    for problem in problems:
        say(f"rigmark: {problem}")
    if problems:
        raise typer.Exit(Exit.BAD)
    if not (read.is_measured or read.tables):
        raise typer.Exit(Exit.NOTHING_MEASURED)


def plain(each: ClaimResult) -> dict[str, Any]:
    """A claim for scripts. Names are never changed, more may be added; None is what is not known."""
    claim = each.claim
    return {
        "id": claim.id, "says": claim.says, "source": claim.source, "quantity": claim.quantity, "unit": each.unit,
        "value": claim.value, "low": claim.low, "high": claim.high, "how": claim.how, "outcome": each.standing.value,
        "why": each.why,
        "figures": [
            {
                "about": answer.about, "value": answer.value, "low": answer.low, "high": answer.high,
                "trials": answer.count, "suspect": answer.is_suspect, "origin": answer.origin.value,
                "says": answer.standing.value, "doubt": answer.doubt or None, "remark": answer.remark or None,
            }
            for answer in each.answers
        ],
    }
