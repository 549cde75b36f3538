"""Builds: an interpreter with a framework inside, and the environment it runs in. ``builds.toml`` names them.

    [build.mine]                                   # an environment that is there already
    interpreter = "~/tensorflow/bin/python"
    variables = { TF_ENABLE_ONEDNN_OPTS = "0" }

    [build."torch-2.9.1"]                          # a recipe: 'rigmark builds create torch-2.9.1' makes it
    packages = ["torch==2.9.1"]

    [build.generic]                                # the interpreter that runs Rigmark, with other settings
    isa = "sse41"

The file in the current folder is the project's; that in the user's configuration folder holds for all projects, and
the project's builds of the same name come first.
"""

from __future__ import annotations

import contextlib
import os
import re
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import platformdirs

from rigmark.bench.enums import Isa
from rigmark.bench.errors import UserError, unknown
from rigmark.bench.host import files
from rigmark.bench.plan.case import DEFAULT_BUILD, Case

FILE = "builds.toml"
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.+-]*")
"""What a build of builds.toml may be called: its environment is a folder of that name, which may be deleted."""
OF_REVISION = "@"            # in the name of a build that was made of a git revision, and of no other
KEYS = {"interpreter", "isa", "packages", "post_install", "python", "variables"}
RECIPE_KEYS = {"packages", "post_install", "python"}


@dataclass(frozen=True, kw_only=True)
class Build:
    """One interpreter and its environment variables, which are there before it starts."""

    name: str
    interpreter: str
    variables: dict[str, str] = field(default_factory=dict)
    packages: tuple[str, ...] = ()       # of a recipe, as pip takes them; empty: the environment is somebody else's
    python: str | None = None            # of a recipe: the interpreter that its environment is made from; None: ours
    post_install: str | None = None      # of a recipe: a shell command that runs in the new environment
    isa: str = Isa.NATIVE                # the instruction set that all its cases are held to
    over: tuple[str, ...] = ()           # of a recipe: folders of packages that it finds where it has none of its own

    @property
    def is_managed(self) -> bool:
        """True where Rigmark makes and removes the environment."""
        return bool(self.packages)


def user_file() -> Path:
    """The builds of all projects of this user."""
    return platformdirs.user_config_path("rigmark") / FILE


def environments() -> Path:
    """The folder that holds the environments that were made from recipes."""
    return platformdirs.user_data_path("rigmark") / "builds"


def environment(name: str) -> Path:
    """The folder of the environment that a build of this name is made into; raises UserError for another folder's."""
    if not name or name in (os.curdir, os.pardir) or Path(name).name != name:
        raise UserError(f"'{name}' is not the name of a build: its environment would be another folder")
    return environments() / name


def load(directory: Path | None = None) -> dict[str, Build]:
    """Every build by name: the default one, the user's, and those of ``directory`` (the current one if None).

    Raises UserError for a file that cannot be understood.
    """
    builds = {DEFAULT_BUILD: Build(name=DEFAULT_BUILD, interpreter=sys.executable)}
    for path in (user_file(), (directory or Path.cwd()) / FILE):
        with contextlib.suppress(files.NotThere):
            builds |= _read(path)
    return builds


def find(name: str, builds: Mapping[str, Build]) -> Build:
    """Raises UnknownName with the nearest names."""
    if name not in builds:
        raise unknown("build", name, builds)
    return builds[name]


def held(case: Case, builds: Mapping[str, Build]) -> Case:
    """The case at the instruction set of its build; raises UserError where another one is asked for."""
    isa = find(case.build, builds).isa
    if isa == Isa.NATIVE:
        return case
    if case.isa not in (isa, Isa.NATIVE):
        raise UserError(
            f"build '{case.build}' is held to {isa} and cannot run {case.isa}; leave it or that instruction set out"
        )
    return replace(case, isa=Isa(isa))


def held_builds(builds: Mapping[str, Build]) -> frozenset[str]:
    """Names of those that hold their cases to an instruction set."""
    return frozenset(name for name, build in builds.items() if build.isa != Isa.NATIVE)


def _read(path: Path) -> dict[str, Build]:
    content = files.read_toml(path)
    if strange := sorted(set(content) - {"build"}):
        raise UserError(f"{path} has an unknown table '{strange[0]}'; a build begins with [build.NAME]")
    tables = content.get("build", {})
    if not isinstance(tables, dict) or not all(isinstance(table, dict) for table in tables.values()):
        raise UserError(f"{path} has a build without a name; a build begins with [build.NAME]")
    return {name: described(path, name, table) for name, table in tables.items()}


def described(path: Path, name: str, table: Mapping[str, Any]) -> Build:
    """The build that a table of a builds.toml at ``path`` describes; raises UserError where it describes none."""
    def refuse(what: str) -> UserError:
        return UserError(f"{path}: build '{name}' {what}")

    if not NAME.fullmatch(name):
        raise refuse("cannot be called that; use letters, digits, '_', '-', '+' and '.', a letter or digit first")
    if name == DEFAULT_BUILD:
        raise refuse("is always the interpreter that runs Rigmark; choose another name")
    if strange := sorted(set(table) - KEYS):
        raise refuse(f"has an unknown key '{strange[0]}'; it takes: {', '.join(sorted(KEYS))}")
    interpreter, packages = table.get("interpreter"), table.get("packages", [])
    if not isinstance(table.get("variables", {}), dict):
        raise refuse("takes variables as a table: variables = { NAME = 'value' }")
    if not isinstance(packages, list) or not all(isinstance(package, str) for package in packages):
        raise refuse('takes packages as a list: packages = ["torch==2.9.1"]')
    for key in ("python", "post_install"):
        if not isinstance(table.get(key), str | None):
            raise refuse(f"takes {key} as a text")
    if packages and interpreter is not None:
        raise refuse("has an interpreter and packages; it is either there already or made from packages")
    isa = table.get("isa", Isa.NATIVE)
    if isa not in tuple(Isa):
        raise refuse(f"asks for an unknown instruction set '{isa}'; known: {', '.join(Isa)}")
    if not isinstance(interpreter, str | None):
        raise refuse("takes interpreter as a text")
    if not packages and (RECIPE_KEYS & set(table) or not {"interpreter", "isa", "variables"} & set(table)):
        raise refuse("names no interpreter, and no packages to make one with")
    variables = {key: str(value) for key, value in table.get("variables", {}).items()}
    if problem := _unusable(variables, [interpreter, table.get("python"), table.get("post_install"), *packages]):
        raise refuse(problem)
    return Build(
        name=name, isa=isa, interpreter=_interpreter(path, name, interpreter, is_managed=bool(packages)),
        variables=variables, packages=tuple(packages),
        python=_place(path, table["python"]) if "python" in table else None, post_install=table.get("post_install"),
    )


def _unusable(variables: Mapping[str, str], texts: Iterable[str | None]) -> str | None:
    """What of them the system can start no process with; None where it can."""
    for name in variables:
        if not name or "=" in name:
            return f"has a variable named '{name}', which no environment can hold; write NAME = 'value'"
    if any("\0" in (text or "") for text in (*variables, *variables.values(), *texts)):
        return "holds a character of code 0, which no command and no variable can hold"
    return None


def _interpreter(path: Path, name: str, named: str | None, *, is_managed: bool) -> str:
    if named is not None:
        return _place(path, named)
    return str(managed_interpreter(name)) if is_managed else sys.executable


def _place(path: Path, interpreter: str) -> str:
    """A bare name is found on the PATH; a path counts from the file; an absolute one stays as it is."""
    interpreter = os.path.expanduser(interpreter)
    return str(path.parent / interpreter) if os.sep in interpreter else interpreter


def managed_interpreter(name: str) -> Path:
    """Of the environment that a recipe of this name is made into."""
    return environment(name) / "bin" / "python"
