"""The command line: ``rigmark VERB``. One file a verb, found by its name; heavy imports wait inside the verbs."""

from __future__ import annotations

import contextlib
import sys
import traceback
from enum import IntEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rigmark import reports
from rigmark.bench.document.language import names, speaking
from rigmark.bench.errors import UserError
from rigmark.bench.host import limits as host
from rigmark.bench.host import streams
from rigmark.bench.host.interrupts import Interrupted, Interrupts
from rigmark.bench.host.plain import plain_lines
from rigmark.bench.version import __version__
from rigmark.bench.worker import registry

if TYPE_CHECKING:
    from collections.abc import Iterator

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
    """A line for people, on stderr, so that stdout holds data only; it may quote whatever records and files say."""
    print(plain_lines(message), file=sys.stderr)


def tell(text: str) -> None:
    """The same on stdout, for verbs that have nothing but text for people."""
    print(plain_lines(text))


def write(text: str, output: Path | None) -> None:
    """Text to a file, or to stdout; raises UserError where the file cannot be written."""
    if output is None:
        sys.stdout.write(text)
        return
    try:
        output.write_text(text, encoding="utf-8")
    except OSError as error:
        raise UserError(f"cannot write {output}: {error.strerror}") from None


def write_data(text: str, output: Path | None) -> None:
    """The same for what programs read: on stdout it is UTF-8, as in a file, whatever encoding other text has there."""
    if output is not None:
        write(text, output)
        return
    sys.stdout.flush()
    sys.stdout.buffer.write(text.encode())


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
    write_text(reports.render(medium, document), medium, output)


def write_text(text: str, medium: str, output: Path | None) -> None:
    """What a medium made of a document: for people where it is the terminal's, else for programs."""
    (write if medium == "terminal" else write_data)(text, output)


@contextlib.contextmanager
def keeping(what: str) -> Iterator[None]:
    """For what is measured in it: says of an interrupt what stays."""
    try:
        yield
    except Interrupted:
        raise Interrupted(f"finished {what} are stored, and the same command goes on from there") from None


def main(interrupts: Interrupts | None = None) -> None:
    """Entry of the command, as what the process is for: its streams and signals are the command's.

    A user's mistake, an interrupt and a host that lacks something end in one sentence, never in a traceback; a fault of
    ours ends in a traceback, and exit code 2 too. The exit code is 2 where output could not be written.
    """
    interrupts = interrupts or Interrupts()
    with streams.guarded() as standard:
        try:
            interrupts.catch()
            code = _code(interrupts)
        except Interrupted as interrupt:
            say("; ".join(filter(None, ["rigmark: interrupted", str(interrupt)])))
            code = Exit.INTERRUPTED
        interrupts.leave_to_system()
        if standard.problem is not None and code != Exit.INTERRUPTED:
            say(f"rigmark: {standard.problem}")
            code = Exit.BAD
        if standard.note is not None:
            say(f"rigmark: {standard.note}")
    sys.exit(code)


def _code(interrupts: Interrupts) -> int:
    """Runs the command; its exit code, after what has to be said of an error was said."""
    code: int = Exit.DONE
    try:
        app()
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else code
    except UserError as error:
        say(f"rigmark: {error}")
        code = Exit.BAD
    except Exception as error:
        if interrupts.have_come:         # what a library makes of an interrupt that fell into it
            raise Interrupted from None
        sentence = host.shortage(error)
        if sentence is None:
            say(traceback.format_exc())
            sentence = "this is a fault of Rigmark; please report it with the lines above"
        say(f"rigmark: {sentence}")
        code = Exit.BAD                  # Python's own code for it, 1, says that something got slower
    if interrupts.have_come:
        raise Interrupted
    return code
