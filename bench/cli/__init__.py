"""The command line: ``rigmark VERB``. One file a verb, found by its name; heavy imports wait inside the verbs."""

from __future__ import annotations

import sys
import traceback
from enum import IntEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rigmark import reports
from rigmark.bench.document.language import names, speaking
from rigmark.bench.errors import UserError
from rigmark.bench.version import __version__
from rigmark.bench.worker import registry

if TYPE_CHECKING:
    from rigmark.bench.document.document import Document


class Exit(IntEnum):
    """Exit codes that others script against; the strongest wins: 130, 2, 1, 4, 3."""

    DONE = 0                 # and nothing worse
    SLOWER = 1
    BAD = 2                  # a trial failed or the input is bad
    NOTHING_MEASURED = 3
    TOO_NOISY = 4
    INTERRUPTED = 130        # finished trials are stored


def _speak(context: typer.Context, name: str) -> str:
    """Everything that this command says in a document is in that language, and nothing after it."""
    context.with_resource(speaking(name))
    return name


Language = Annotated[
    str, typer.Option("--lang", callback=_speak, help=f"Language of the sentences: {', '.join(names())}.")
]
"""Option of every verb that shows a document."""

Medium = Annotated[
    str | None, typer.Option("--format", help=f"{', '.join(reports.NAMES)}; left out: by the file's name.")
]
"""Option of every verb that shows a document, and no folders of files."""

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)


def _version(wanted: bool) -> None:
    if wanted:
        print(f"rigmark {__version__}")
        raise typer.Exit


@app.callback()
def rigmark(
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Show it.")] = False,
) -> None:
    """Time identical neural networks across frameworks, builds, devices and precisions, so as to be believed."""


for _name in registry.names(__path__):
    _verb = registry.load(__name__, _name)
    _spelled = _name.rstrip("_")     # "import" is a word of Python's and no name of a module
    if hasattr(_verb, "app"):        # a verb with verbs of its own
        app.add_typer(_verb.app, name=_spelled)
    else:
        app.command(_spelled, no_args_is_help=getattr(_verb, "NEEDS_ARGUMENTS", False))(_verb.command)


def say(message: str) -> None:
    """A line for people, on stderr, so that stdout holds data only."""
    print(message, file=sys.stderr)


def write(text: str, output: Path | None) -> None:
    """Text to a file, or to stdout; raises UserError where the file cannot be written."""
    if output is None:
        sys.stdout.write(text)
        return
    try:
        output.write_text(text, encoding="utf-8")
    except OSError as error:
        raise UserError(f"cannot write {output}: {error.strerror}") from None


def show_document(document: Document, width: int) -> None:
    """A document on stdout: as wide as the terminal and in colour there, else plain in so many columns."""
    import shutil

    from rigmark.reports.media import terminal

    is_terminal = sys.stdout.isatty()
    columns = shutil.get_terminal_size().columns if is_terminal else width
    sys.stdout.write(terminal.show(document, width=columns, color=is_terminal))


def write_document(document: Document, format: str | None, output: Path | None) -> None:
    """A document in a medium: that which is named, or that of the file's name, or the terminal's."""
    by_suffix = {reports.medium(name).SUFFIX: name for name in reports.NAMES}
    medium = format or ("terminal" if output is None else by_suffix.get(output.suffix, "html"))
    write(reports.render(medium, document), output)


def main() -> None:
    """Entry of the command; a user's mistake ends in one sentence and exit code 2, never in a traceback.

    A fault of ours ends in a traceback and exit code 2 too.
    """
    try:
        app()
    except UserError as error:
        say(f"rigmark: {error}")
        sys.exit(Exit.BAD)
    except KeyboardInterrupt:
        say("rigmark: interrupted; finished trials are stored, and the same command goes on from there")
        sys.exit(Exit.INTERRUPTED)
    except BrokenPipeError:
        sys.stderr.close()       # the reader of our output has gone; that is its right
        sys.exit(Exit.DONE)
    except Exception:
        traceback.print_exc()
        say("rigmark: this is a fault of Rigmark; please report it with the lines above")
        sys.exit(Exit.BAD)       # Python's own code for it, 1, says that something got slower
