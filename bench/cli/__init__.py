"""The command line: ``rigmark VERB``. One file per verb, found by its name; heavy imports are made inside the verbs."""

from __future__ import annotations

import contextlib
import functools
import inspect
import re
import shutil
import sys
import traceback
from collections.abc import Mapping
from enum import IntEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup

from rigmark import reports
from rigmark.bench.document.language import names, speaking
from rigmark.bench.errors import UserError, unknown
from rigmark.bench.host import limits as host
from rigmark.bench.host import streams
from rigmark.bench.host.interrupts import Interrupted, Interrupts
from rigmark.bench.host.plain import plain_lines
from rigmark.bench.version import __version__
from rigmark.bench.worker import registry

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from rigmark.bench.document.document import Document


class Exit(IntEnum):
    """Exit codes that scripts rely on. Where several apply, the first of 130, 2, 1, 4, 3 is used."""

    DONE = 0                 # none of the others applies
    SLOWER = 1
    BAD = 2                  # a trial failed or the input is bad
    NOTHING_MEASURED = 3
    TOO_NOISY = 4
    INTERRUPTED = 130        # finished trials are stored


def _speak(context: typer.Context, name: str) -> str:
    """Sets the language of the documents of this command, until the command ends."""
    context.with_resource(speaking(name))
    return name


Language = Annotated[
    str, typer.Option("--lang", callback=_speak, help=f"Language of the report: {', '.join(names())}.")
]
"""Option of every verb that shows a document."""

TERMINAL, TABLE, JSON = "terminal", "table", "json"
MEDIA = (TERMINAL, *(name for name in reports.NAMES if name != TERMINAL))

Medium = Annotated[
    str | None, typer.Option(
        "--format", help=f"{', '.join((*MEDIA, JSON))}. By default the ending of the output file decides."
    )
]
"""Option of every verb that shows a document, but writes no folder of files."""


class Verbs(TyperGroup):
    """A group of verbs that reports wrong usage like any other bad input: in one sentence, with the nearest name."""

    def make_context(self, *arguments: Any, **more: Any) -> Any:
        with _answered():
            return super().make_context(*arguments, **more)

    def invoke(self, ctx: Any) -> Any:
        with _answered():
            return super().invoke(ctx)


@contextlib.contextmanager
def _answered() -> Iterator[None]:
    """Raises UserError for a word or a value that the command-line parser does not accept."""
    try:
        yield
    except USAGE_ERROR as error:
        if type(error).__name__ == "NoArgsIsHelpError":      # a verb that needs arguments shows its help without any
            raise
        raise UserError(_sentence(error)) from None


USAGE_ERROR: Any = typer.BadParameter.__base__       # Typer does not export the class of its parser


def _sentence(error: Any) -> str:
    command = error.ctx.command_path if error.ctx else "rigmark"
    parameter = getattr(error, "param", None)
    if (option := getattr(error, "option_name", None)) is not None and hasattr(error, "possibilities"):
        near = " or ".join(error.possibilities or ())
        hint = f"did you mean {near}? " if near else ""
        return f"no option '{option}' of {command}; {hint}{command} --help lists them"
    if (choice := re.search(r"'([^']*)' is not one of (.*)", error.message)) is not None and parameter is not None:
        return str(unknown(max(parameter.opts, key=len), choice[1], re.findall(r"'([^']*)'", choice[2])))
    if (word := re.match(r"No such command '(.*?)'\.?", error.message)) is not None:
        return str(unknown(f"verb of {command}", word[1], error.ctx.command.commands))
    message = error.format_message().rstrip(".")
    wrong = [f", not '{each['input']}'" for each in getattr(error.__cause__, "errors", list)()[:1]]     # Pydantic's
    return f"{message[:1].lower()}{message[1:]}{''.join(wrong)}; see {command} --help"


class Verb(TyperCommand):
    """A command whose help is wrapped to the width of the terminal, whatever the line breaks of its docstring."""

    def format_help(self, *arguments: Any) -> None:
        self.help = "\n\n".join(" ".join(paragraph.split()) for paragraph in (self.help or "").split("\n\n"))
        super().format_help(*arguments)


def _with_more_help(more: Callable[[], str] | None) -> type[Verb]:
    """The class of a command whose help ends with the text of ``more``, which is called only when help is shown."""

    class VerbWithMore(Verb):
        def format_help(self, *arguments: Any) -> None:
            if more is not None:
                self.epilog = more()
            super().format_help(*arguments)

    return VerbWithMore


HELP = {"help_option_names": ["--help", "-h"]}       # of each verb too: one may be parsed without the group above it
FILES = {name.rstrip("_"): name for name in registry.names(__path__)}
"""Modules by the verb that each defines: "import" is a keyword of Python, so its module is named import_."""


class VerbsByName(Mapping[str, Any]):
    """The commands by the name of their verb. A verb is loaded when it is asked for, since each takes milliseconds."""

    def __iter__(self) -> Iterator[str]:
        return iter(FILES)

    def __len__(self) -> int:
        return len(FILES)

    def __getitem__(self, name: str) -> Any:
        return _command(name)


@functools.cache
def _command(name: str) -> Any:
    verb = registry.load(__name__, FILES[name])
    if hasattr(verb, "app"):             # a verb with subcommands
        group = typer.main.get_group(verb.app)
        group.name = name
        return group
    alone = typer.Typer(add_completion=False)
    alone.command(
        name, no_args_is_help=getattr(verb, "NEEDS_ARGUMENTS", False),
        cls=_with_more_help(getattr(verb, "more_help", None)), context_settings=HELP,
    )(verb.command)
    return typer.main.get_command(alone)


class AllVerbs(Verbs):
    """The group of all verbs. Its help shows their first sentences, for which no verb's options are worked out."""

    def __init__(self, **more: Any) -> None:
        super().__init__(**{**more, "commands": {}})
        self.commands: Any = VerbsByName()

    def list_commands(self, ctx: Any) -> list[str]:
        return list(FILES)

    def format_help(self, *arguments: Any) -> None:
        listing: dict[str, Any] = {name: TyperCommand(name, help=_about(name)) for name in FILES}
        TyperGroup(name=self.name, commands=listing, params=self.params, help=self.help).format_help(*arguments)


def _about(name: str) -> str | None:
    verb = registry.load(__name__, FILES[name])
    return str(verb.app.info.help) if hasattr(verb, "app") else inspect.getdoc(verb.command)


app = typer.Typer(
    cls=AllVerbs, no_args_is_help=True, pretty_exceptions_enable=False,
    context_settings=HELP,
)


def _version(wanted: bool) -> None:
    if wanted:
        print(f"rigmark {__version__}")
        raise typer.Exit


@app.callback()
def rigmark(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Benchmark identical neural networks across frameworks, builds, devices and precisions."""


def say(message: str) -> None:
    """Prints a message for people on stderr, so that stdout holds data only; quoted text is made harmless."""
    print(plain_lines(message), file=sys.stderr)


def tell(text: str) -> None:
    """Prints a message on stdout, for verbs whose only output is text for people."""
    print(plain_lines(text))


def write(text: str, output: Path | None) -> None:
    """Writes text to a file, or to stdout if ``output`` is None; raises UserError if the file cannot be written."""
    if output is None:
        sys.stdout.write(text)
        return
    try:
        output.write_text(text, encoding="utf-8")
    except OSError as error:
        raise UserError(f"cannot write {output}: {error.strerror}") from None


def write_data(text: str, output: Path | None) -> None:
    """As ``write``, for text that programs read: on stdout too it is UTF-8, whatever the encoding of the terminal."""
    if output is not None:
        write(text, output)
        return
    sys.stdout.flush()
    sys.stdout.buffer.write(text.encode())


def show_document(document: Document, width: int) -> None:
    """Prints a document: in colour and as wide as the terminal, or plain in ``width`` columns without a terminal."""
    from rigmark.reports.media import terminal

    sys.stdout.write(terminal.show(document, width=columns_of(width), color=sys.stdout.isatty()))


def columns_of(width: int) -> int:
    """The width of the terminal in columns; ``width`` if stdout is not a terminal."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else width


def medium_of(
    format: str | None, output: Path | None, *, json: bool = False, known: Sequence[str] = (*MEDIA, JSON),
) -> str:
    """The format of ``known`` that the user named, or that the ending of the output file means; else the first one.

    Raises UserError if the two contradict each other, or if the ending means no format. Call it before anything is
    measured.
    """
    named = format or (JSON if json else None)
    if named is not None and named not in known:
        raise unknown("format", named, known)
    if json and named != JSON:
        raise UserError(f"--json and --format {named} contradict each other; leave one of them out")
    if output is None or named in reports.FOLDERS:
        return named or known[0]
    endings = {_ending(name): name for name in known if name not in reports.FOLDERS}
    by_name = endings.get(output.suffix.lower())
    if named is None and by_name is None:
        raise UserError(
            f"the ending of '{output}' means no format; use one of {', '.join(endings)}, or name a --format"
        )
    if None not in (named, by_name) and named != by_name:
        raise UserError(f"the ending of '{output}' means {by_name}, but --format is {named}; change one of them")
    return str(named or by_name)


def _ending(format: str) -> str:
    """The ending of the names of files of this format: ".html"."""
    with contextlib.suppress(UserError):         # a mistake in the file of a medium is reported when that one is used
        if format in reports.NAMES:
            return str(reports.medium(format).SUFFIX)
    return ".txt" if format == TABLE else f".{format}"


def write_document(document: Document, medium: str, output: Path | None, width: int | None = None) -> None:
    """Writes a document in a medium to a file or to stdout; without a terminal, text is ``width`` columns wide."""
    from rigmark.reports.media import terminal

    if medium == TERMINAL and output is None:
        show_document(document, width or terminal.WIDTH)
    else:
        (write if medium == TERMINAL else write_data)(reports.render(medium, document), output)


@contextlib.contextmanager
def keeping(what: str) -> Iterator[None]:
    """Around a measurement: adds to an interrupt that the finished ``what`` ("trials", "pairs") are stored."""
    try:
        yield
    except Interrupted:
        raise Interrupted(f"finished {what} are stored; the same command continues from there") from None


def main(interrupts: Interrupts | None = None) -> None:
    """Entry point of the command. It owns the process: it replaces the standard streams and the signal handlers.

    A mistake of the user, an interrupt, and a host that lacks something end in one sentence, never in a traceback. A
    fault of Rigmark ends in a traceback and exit code 2. If output could not be written, the exit code is 2.
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
    """Runs the command and reports an error, if any; returns the exit code. Raises Interrupted after a signal."""
    code: int = Exit.DONE
    try:
        app(prog_name="rigmark")
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else code
    except UserError as error:
        say(f"rigmark: {error}")
        code = Exit.BAD
    except Exception as error:
        if interrupts.have_come:         # a library may turn an interrupt into an error of its own
            raise Interrupted from None
        sentence = host.shortage(error)
        if sentence is None:
            say(traceback.format_exc())
            sentence = "this is a bug in Rigmark; please report it with the lines above"
        say(f"rigmark: {sentence}")
        code = Exit.BAD                  # not Python's own code 1, which here means that something became slower
    if interrupts.have_come:
        raise Interrupted
    return code
