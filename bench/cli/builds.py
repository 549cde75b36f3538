"""``rigmark builds``: lists, adds, creates and removes the Python environments of frameworks to be measured."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rigmark.bench.cli import Verb
from rigmark.bench.errors import UserError

if TYPE_CHECKING:
    from rigmark.bench.builds.build import Build

app = typer.Typer(no_args_is_help=True, help="List, add, create and remove Python environments with a framework.")

User = Annotated[bool, typer.Option("--user", help="Use the builds.toml of the user, which serves all projects.")]
Variable = Annotated[
    list[str] | None, typer.Option("--variable", help="Environment variable to start it with: NAME=VALUE.")
]


@app.command("list", cls=Verb)
def list_(as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False) -> None:
    """List all builds with their frameworks, or with the reason why one cannot be used.

    Example:

    rigmark builds list
    """
    from rigmark.bench.builds import build as builds
    from rigmark.bench.builds import environments
    from rigmark.bench.cli import tell

    described = [_described(build) for build in (builds.load() | environments.of_revisions()).values()]
    if as_json:
        print(json.dumps(described, indent=2))
        return
    for build in described:
        versions = ", ".join(f"{name} {version}" for name, version in build["packages"].items() if version)
        size = f", {build['size_bytes'] / 1e9:.2f} GB" if build["size_bytes"] else ""
        state = f"Python {build['python']}: {versions or 'no framework'}{size}" if build["python"] else build["problem"]
        tell(f"{build['name']:<20} {state}")
        tell(f"{'':<20} {build['interpreter']}")
        if build["isa"] != "native":
            tell(f"{'':<20} limited to {build['isa']}")
        for name, value in build["variables"].items():
            tell(f"{'':<20} {name}={value}")


@app.command(cls=Verb)
def add(
    name: Annotated[str, typer.Argument(help="Name of the build.")],
    interpreter: Annotated[str, typer.Argument(help="Its Python interpreter: a path, or a name on the PATH.")],
    variable: Variable = None,
    user: User = False,
) -> None:
    """Add an existing Python interpreter as a build.

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
        raise UserError(f"build '{name}' was not added, because it cannot be used: {problem}")
    environments.write(path, name, table)
    say(f"wrote build '{name}' to {path}")


@app.command(cls=Verb)
def create(
    recipe: Annotated[
        list[str] | None, typer.Argument(help="Frameworks as pip requirements, or the name of a recipe in builds.toml.")
    ] = None,
    package: Annotated[
        list[str] | None, typer.Option(help="Another package, as a pip requirement; may be repeated.")
    ] = None,
    name: Annotated[
        str | None, typer.Option(help="Name of the build. By default it is made from the first requirement.")
    ] = None,
    python: Annotated[
        str | None, typer.Option(help="Interpreter to create it from. By default the one that runs Rigmark.")
    ] = None,
    post_install: Annotated[str | None, typer.Option(help="Shell command to run in it after installing.")] = None,
    variable: Variable = None,
    user: User = False,
) -> None:
    """Create an environment with these packages, and add it to builds.toml.

    Examples:

    rigmark builds create torch==2.9.1

    rigmark builds create tensorflow-cpu==2.20.0 numpy==2.1.3 --name tf220

    rigmark builds create torch==2.9.1 --package intel-extension-for-pytorch --name ipex

    rigmark builds create mxnet

    A framework of the past, such as mxnet, has a recipe of its own: the Python that it needs is found among those of
    this machine, versions that work together are installed, and a network is proven against the oracle.
    """
    from rigmark.bench.builds import build as builds
    from rigmark.bench.builds import environments
    from rigmark.bench.cli import say
    from rigmark.bench.host import files
    from rigmark.bench.host.interrupts import Interrupted
    from rigmark.bench.runner.progress import duration

    known, packages = builds.load(), [*(recipe or ()), *(package or ())]
    if not packages:
        raise UserError("name what to install: rigmark builds create torch==2.9.1, or a recipe in builds.toml")
    is_known = len(packages) == 1 and name is None and packages[0] in known
    of_framework = packages[0] if len(packages) == 1 and packages[0] in builds.recipes() else None
    wanted = packages[0] if is_known else name or environments.name_of(packages[0])
    packages += environments.needed_beside(packages)
    table = {
        key: value for key, value in (
            ("recipe", of_framework), ("packages", None if of_framework else packages), ("python", python),
            ("post_install", post_install),
            ("variables", _variables(variable)),
        ) if value
    }
    if not is_known:
        _refuse_taken(wanted)
        for requirement in () if of_framework else recipe or ():
            _refuse_other_packages(requirement, known)
    build = known[wanted] if is_known else builds.described(_file(user), wanted, table)
    if not build.is_managed:
        raise UserError(f"build '{wanted}' is {build.interpreter}, not created by Rigmark; choose another --name")
    if is_known and environments.is_finished(build):
        say(f"build '{wanted}' exists already; to create it again, remove it first")
        return
    try:
        if not environments.is_finished(build):
            with _status() as tell:
                environments.create(build, tell, None if build.recipe is None else prove)
    except Interrupted:
        raise Interrupted(f"nothing is left of build '{wanted}'; the same command starts again") from None
    if not is_known:     # only now, so that a build that was killed half-way leaves its name free
        environments.write(_file(user), wanted, table)
    made = files.read_json(builds.environment(wanted) / environments.FINISHED)
    say(f"created build '{wanted}' in {duration(made['seconds'])}, {made['size_bytes'] / 1e9:.2f} GB")
    if build.recipe is None:
        say(f"next: rigmark run quick --build default,{wanted}")
    else:
        say(f"next: rigmark run --model mnist_cnn --framework {build.recipe} --build {wanted}")


@app.command(cls=Verb)
def remove(
    name: Annotated[str, typer.Argument(help="Name of the build, as in 'rigmark builds list'.")],
    user: User = False,
) -> None:
    """Remove a build from builds.toml. An environment that Rigmark created is deleted, any other one is kept.

    Environments of git revisions, which 'rigmark ab' creates, are in no builds.toml; they are deleted too.

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
    left = f"{environments.remove(build) / 1e9:.2f} GB freed" if build.is_managed else f"{build.interpreter} is kept"
    say(f"removed build '{name}'; {left}")


def prove(build: Build) -> None:
    """Raises UserError unless a forward pass and training steps of a small network agree with the oracle."""
    import tempfile

    from rigmark.bench.builds import build as builds
    from rigmark.bench.enums import Outcome, TrialKind
    from rigmark.bench.plan.schedule import plan
    from rigmark.bench.plan.sweep import Sweep
    from rigmark.bench.runner.runner import Runner
    from rigmark.bench.store.store import Store

    assert build.recipe is not None
    sweep = Sweep(models=("mlp",), frameworks=(build.recipe,), builds=(build.name,), threads=(1,), repetitions=1)
    proofs = [trial for trial in plan([sweep], cores=1, seed=0) if trial.kind == TrialKind.PROOF]
    with tempfile.TemporaryDirectory() as folder:
        known = {**builds.load(), build.name: build}
        with Runner(Store(Path(folder)).create(), known, suite="", command="", telemetry=False) as runner:
            for record in runner.run(proofs).stored:
                if record.outcome is not Outcome.OK:
                    raise UserError(f"build '{build.name}' was not kept, as its proof is {record.outcome}: "
                                    f"{record.reason}")


def _file(user: bool) -> Path:
    from rigmark.bench.builds import build as builds

    return builds.user_file() if user else Path.cwd() / builds.FILE


def _refuse_taken(name: str) -> None:
    from rigmark.bench.builds import build as builds

    if name in builds.load():
        raise UserError(f"build '{name}' exists already; remove it first, or choose another name")


def _refuse_other_packages(requirement: str, known_builds: Iterable[str]) -> None:
    """Raises UserError unless this is a framework: a mistyped name could be any package, and would be installed."""
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
            f"{unknown('framework or recipe', name, {*of_frameworks, *known_builds})}; to install another package, "
            f"use --package {shlex.quote(requirement)}"
        )


def _variables(texts: list[str] | None) -> dict[str, str]:
    pairs = [text.partition("=") for text in texts or []]
    for key, equals, _ in pairs:
        if not key or not equals:
            raise UserError(f"--variable takes NAME=VALUE, not '{key}'")
    return {key: value for key, _, value in pairs}


def _described(build: Build) -> dict[str, Any]:
    """Facts of a build as a worker in it reports them; ``problem`` is None if the build can be used."""
    from rigmark.bench.builds import build as builds
    from rigmark.bench.builds import environments
    from rigmark.bench.host import secrets
    from rigmark.bench.processes import probe

    if build.is_managed and not environments.is_finished(build):
        facts: dict[str, Any] = {}
        again = "ab creates it again" if builds.OF_REVISION in build.name else f"builds create {build.name}"
        problem: str | None = f"not created yet; rigmark {again}"
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
    """Shows the progress of creating a build: in one changing line on a terminal, else in one line per message."""
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
