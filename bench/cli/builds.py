"""``rigmark builds``: the interpreters with a framework inside that can be measured, and making new ones."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rigmark.bench.errors import UserError

if TYPE_CHECKING:
    from rigmark.bench.builds.build import Build

app = typer.Typer(no_args_is_help=True, help="List, add, create and remove interpreters with a framework inside.")

User = Annotated[bool, typer.Option("--user", help="In the user's builds.toml, for all projects.")]
Variable = Annotated[list[str] | None, typer.Option("--variable", help="NAME=VALUE, present when it starts.")]


@app.command("list")
def list_(as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False) -> None:
    """Every build with its frameworks, or why it cannot be used.

    Example:

    rigmark builds list
    """
    from rigmark.bench.builds import build as builds
    from rigmark.bench.builds import environments
    from rigmark.bench.cli import tell

    found = [_described(build) for build in (builds.load() | environments.of_revisions()).values()]
    if as_json:
        print(json.dumps(found, indent=2))
        return
    for build in found:
        versions = ", ".join(f"{name} {version}" for name, version in build["packages"].items() if version)
        size = f", {build['size_bytes'] / 1e9:.2f} GB" if build["size_bytes"] else ""
        state = f"Python {build['python']}: {versions or 'no framework'}{size}" if build["python"] else build["problem"]
        tell(f"{build['name']:<20} {state}")
        tell(f"{'':<20} {build['interpreter']}")
        if build["isa"] != "native":
            tell(f"{'':<20} held to {build['isa']}")
        for name, value in build["variables"].items():
            tell(f"{'':<20} {name}={value}")


@app.command()
def add(
    name: Annotated[str, typer.Argument(help="What to call it.")],
    interpreter: Annotated[str, typer.Argument(help="Its Python: a path, or a name on the PATH.")],
    variable: Variable = None,
    user: User = False,
) -> None:
    """Name an interpreter that is there already.

    Example:

    rigmark builds add tf-own ~/tensorflow/bin/python --variable TF_ENABLE_ONEDNN_OPTS=0
    """
    from rigmark.bench.builds import build as builds
    from rigmark.bench.builds import environments
    from rigmark.bench.cli import say

    path = _file(user)
    _refuse_taken(name)
    table: dict[str, Any] = {"interpreter": interpreter}
    if variables := _variables(variable):
        table["variables"] = variables
    if problem := _described(builds.described(path, name, table))["problem"]:
        raise UserError(f"build '{name}' was not added, since it cannot be used: {problem}")
    environments.write(path, name, table)
    say(f"wrote build '{name}' to {path}")


@app.command()
def create(
    recipe: Annotated[
        list[str] | None, typer.Argument(help="Frameworks as pip takes them, or a recipe of builds.toml.")
    ] = None,
    package: Annotated[list[str] | None, typer.Option(help="Any other package, as pip takes it.")] = None,
    name: Annotated[str | None, typer.Option(help="What to call it; left out: after the first of them.")] = None,
    python: Annotated[str | None, typer.Option(help="The interpreter to make it from; left out: this one.")] = None,
    post_install: Annotated[str | None, typer.Option(help="A shell command to run in it afterwards.")] = None,
    variable: Variable = None,
    user: User = False,
) -> None:
    """Make an environment from a recipe and name it in builds.toml.

    Examples:

    rigmark builds create torch==2.9.1

    rigmark builds create tensorflow-cpu==2.20.0 numpy==2.1.3 --name tf220

    rigmark builds create torch==2.9.1 --package intel-extension-for-pytorch --name ipex
    """
    from rigmark.bench.builds import build as builds
    from rigmark.bench.builds import environments
    from rigmark.bench.cli import say
    from rigmark.bench.host import files
    from rigmark.bench.host.interrupts import Interrupted
    from rigmark.bench.runner.progress import duration

    known, packages = builds.load(), [*(recipe or ()), *(package or ())]
    if not packages:
        raise UserError("name what to make: rigmark builds create torch==2.9.1, or a recipe of builds.toml")
    is_known = len(packages) == 1 and name is None and packages[0] in known
    wanted = packages[0] if is_known else name or environments.name_of(packages[0])
    table = {
        key: value for key, value in (
            ("packages", packages), ("python", python), ("post_install", post_install),
            ("variables", _variables(variable)),
        ) if value
    }
    if not is_known:
        _refuse_taken(wanted)
        for requirement in recipe or ():
            _refuse_other_packages(requirement, known)
    build = known[wanted] if is_known else builds.described(_file(user), wanted, table)
    if not build.is_managed:
        raise UserError(f"build '{wanted}' is {build.interpreter}, which Rigmark did not make; choose another --name")
    if is_known and environments.is_finished(build):
        say(f"build '{wanted}' is there already; remove it first to make it anew")
        return
    try:
        if not environments.is_finished(build):
            with _status() as tell:
                environments.create(build, tell)
    except Interrupted:
        raise Interrupted(f"nothing is left of build '{wanted}', and the same command makes it anew") from None
    if not is_known:     # now that it is there: the name of one whose making was killed is free
        environments.write(_file(user), wanted, table)
    made = files.read_json(builds.environment(wanted) / environments.FINISHED)
    say(f"made build '{wanted}' in {duration(made['seconds'])}, {made['size_bytes'] / 1e9:.2f} GB")
    say(f"next: rigmark run quick --build default,{wanted}")


@app.command()
def remove(
    name: Annotated[str, typer.Argument(help="A build, as 'rigmark builds list' shows it.")],
    user: User = False,
) -> None:
    """Take a build out of builds.toml; an environment that Rigmark made is deleted, any other is left alone.

    Environments that 'rigmark ab' made of git revisions stand in no builds.toml and are deleted too.

    Example:

    rigmark builds remove torch-2.9.1
    """
    from rigmark.bench.builds import build as builds
    from rigmark.bench.builds import environments
    from rigmark.bench.cli import say

    of_revisions = environments.of_revisions()
    build = builds.find(name, builds.load() | of_revisions)
    path = _file(user)
    if name not in of_revisions and not environments.erase(path, name):
        other = _file(not user)
        raise UserError(f"build '{name}' is not in {path}; " + (
            f"it is in {other}: {'leave out' if user else 'add'} --user" if other.exists() else "it cannot be removed"))
    left = f"{environments.remove(build) / 1e9:.2f} GB freed" if build.is_managed else f"{build.interpreter} stays"
    say(f"removed build '{name}'; {left}")


def _file(user: bool) -> Path:
    from rigmark.bench.builds import build as builds

    return builds.user_file() if user else Path.cwd() / builds.FILE


def _refuse_taken(name: str) -> None:
    from rigmark.bench.builds import build as builds

    if name in builds.load():
        raise UserError(f"there is a build '{name}' already; remove it first or choose another name")


def _refuse_other_packages(requirement: str, known_builds: Iterable[str]) -> None:
    """A typing error would be downloaded and run: packages of any name are on the index."""
    from packaging.requirements import InvalidRequirement, Requirement
    from packaging.utils import canonicalize_name

    from rigmark.bench.builds import environments
    from rigmark.bench.errors import unknown
    from rigmark.bench.worker import frameworks

    of_frameworks = {
        package for framework in frameworks.NAMES for package in frameworks.load(framework).DISTRIBUTIONS
    }
    try:
        name: str = canonicalize_name(Requirement(requirement).name)
    except InvalidRequirement:
        name = requirement
    if name not in {environments.NEEDED, *map(canonicalize_name, of_frameworks)}:
        raise UserError(
            f"{unknown('framework or recipe', name, {*of_frameworks, *known_builds})}; any other package is named "
            f"with --package {shlex.quote(requirement)}"
        )


def _variables(texts: list[str] | None) -> dict[str, str]:
    pairs = [text.partition("=") for text in texts or []]
    for key, equals, _ in pairs:
        if not key or not equals:
            raise UserError(f"a variable is NAME=VALUE, not '{key}'")
    return {key: value for key, _, value in pairs}


def _described(build: Build) -> dict[str, Any]:
    """What a build is, as a worker in it says; ``problem`` is None where it can be used."""
    from rigmark.bench.builds import build as builds
    from rigmark.bench.builds import environments
    from rigmark.bench.host import secrets
    from rigmark.bench.processes import probe

    if build.is_managed and not environments.is_finished(build):
        facts: dict[str, Any] = {}
        again = "ab makes it anew" if builds.OF_REVISION in build.name else f"builds create {build.name}"
        problem: str | None = f"not made yet; rigmark {again}"
    else:
        facts, problem = probe.facts(build)
    shown = secrets.without(build.variables)
    size = environments.size_bytes(builds.environment(build.name)) if build.is_managed else None
    return {
        "name": build.name, "interpreter": build.interpreter, "isa": build.isa,
        "variables": {name: value if name in shown else secrets.HIDDEN for name, value in build.variables.items()},
        "python": facts.get("python"), "packages": facts.get("packages", {}), "size_bytes": size, "problem": problem,
    }


def _status() -> AbstractContextManager[Callable[[str], None]]:
    """Where the making of a build tells what it does: one line that changes at a terminal, else a line each."""
    from rich.console import Console
    from rich.text import Text

    from rigmark.bench.cli import say
    from rigmark.bench.host.plain import plain_line

    @contextmanager
    def shown() -> Any:
        if not sys.stderr.isatty():
            yield say
            return
        console = Console(stderr=True)
        with console.status("") as status:
            yield lambda line: status.update(Text(plain_line(line)[: console.width - 4]))

    return shown()
