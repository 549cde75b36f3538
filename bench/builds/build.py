"""Builds: an interpreter with a framework, and the variables that it starts with. ``builds.toml`` names them.

    [build.mine]                                   # an existing environment
    interpreter = "~/tensorflow/bin/python"
    variables = { TF_ENABLE_ONEDNN_OPTS = "0" }

    [build."torch-2.9.1"]                          # a recipe: 'rigmark builds create torch-2.9.1' installs it
    packages = ["torch==2.9.1"]

    [build.mxnet]                                  # the recipe that the adapter of a framework states
    recipe = "mxnet"

    [build.generic]                                # the interpreter that runs Rigmark, with other settings
    isa = "sse41"

The file in the current folder belongs to the project. The one in the user's configuration folder serves all projects;
a build of the project replaces a build of the user with the same name.
"""

from __future__ import annotations

import contextlib
import os
import re
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import platformdirs

from rigmark.bench.enums import Isa
from rigmark.bench.errors import UserError, unknown
from rigmark.bench.host import files
from rigmark.bench.plan.case import DEFAULT_BUILD, Case
from rigmark.bench.worker import frameworks

FILE = "builds.toml"
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.+-]*")
"""Allowed names of builds in builds.toml: the environment is a folder of that name, which may be deleted."""
OF_REVISION = "@"            # occurs in the names of builds of git revisions only
KEYS = {"interpreter", "isa", "packages", "post_install", "python", "recipe", "variables"}
RECIPE_KEYS = {"packages", "post_install", "python"}


@dataclass(frozen=True, kw_only=True)
class Build:
    """One interpreter, and the environment variables that it starts with."""

    name: str
    interpreter: str
    variables: dict[str, str] = field(default_factory=dict)
    packages: tuple[str, ...] = ()       # of a recipe, as pip requirements; empty: not created by Rigmark
    python: str | None = None            # of a recipe: the interpreter to create its environment from; None: ours
    post_install: str | None = None      # of a recipe: a shell command that runs in the new environment
    isa: str = Isa.NATIVE                # the instruction set that all its cases are limited to
    over: tuple[str, ...] = ()           # of a recipe: folders of packages to use beneath its own packages
    recipe: str | None = None            # the framework whose adapter states the recipe; None: builds.toml does
    pythons: tuple[str, ...] = ()        # of such a recipe: the releases of Python that it works with, the best first

    @property
    def is_managed(self) -> bool:
        """Whether Rigmark creates and removes the environment."""
        return bool(self.packages)


def user_file() -> Path:
    """The builds.toml of this user, which serves all projects."""
    return platformdirs.user_config_path("rigmark") / FILE


def environments() -> Path:
    """The folder that contains the environments created from recipes."""
    return platformdirs.user_data_path("rigmark") / "builds"


def environment(name: str) -> Path:
    """The folder of the environment of a build; raises UserError for a name that would leave that folder."""
    if not name or name in (os.curdir, os.pardir) or Path(name).name != name:
        raise UserError(f"'{name}' is not a valid name of a build: its environment would be in another folder")
    return environments() / name


def load(directory: Path | None = None) -> dict[str, Build]:
    """Every build by name: the default one, the user's, and those of ``directory`` (the current one if None).

    Raises UserError for an invalid file.
    """
    builds = {DEFAULT_BUILD: Build(name=DEFAULT_BUILD, interpreter=sys.executable)}
    for path in (user_file(), (directory or Path.cwd()) / FILE):
        with contextlib.suppress(files.NotThere):
            builds |= _read(path)
    return builds


def find(name: str, builds: Mapping[str, Build]) -> Build:
    """The build of this name; raises UnknownName with the nearest name."""
    if name not in builds:
        raise unknown("build", name, builds)
    return builds[name]


def with_isa_of_build(case: Case, builds: Mapping[str, Build]) -> Case:
    """The case with the instruction set of its build; raises UserError if the case asks for another one."""
    isa = find(case.build, builds).isa
    if isa == Isa.NATIVE:
        return case
    if case.isa not in (isa, Isa.NATIVE):
        raise UserError(
            f"build '{case.build}' is limited to {isa} and cannot run {case.isa}; leave out the build or that --isa"
        )
    return replace(case, isa=Isa(isa))


def limited_builds(builds: Mapping[str, Build]) -> frozenset[str]:
    """The names of builds that limit their cases to an instruction set."""
    return frozenset(name for name, build in builds.items() if build.isa != Isa.NATIVE)


def _read(path: Path) -> dict[str, Build]:
    content = files.read_toml(path)
    if strange := sorted(set(content) - {"build"}):
        raise UserError(f"{path} has an unknown table '{strange[0]}'; the table of a build is [build.NAME]")
    tables = content.get("build", {})
    if not isinstance(tables, dict) or not all(isinstance(table, dict) for table in tables.values()):
        raise UserError(f"{path} has a build without a name; the table of a build is [build.NAME]")
    return {name: described(path, name, table) for name, table in tables.items()}


def described(path: Path, name: str, table: Mapping[str, Any]) -> Build:
    """The build that a table in the builds.toml at ``path`` describes; raises UserError for an invalid table."""
    def refuse(what: str) -> UserError:
        return UserError(f"{path}: build '{name}' {what}")

    if not NAME.fullmatch(name):
        raise refuse("has an invalid name; use letters, digits, '_', '-', '+' and '.', with a letter or digit first")
    if name == DEFAULT_BUILD:
        raise refuse("is always the interpreter that runs Rigmark; choose another name")
    if strange := sorted(set(table) - KEYS):
        raise refuse(f"has an unknown key '{strange[0]}'; it takes: {', '.join(sorted(KEYS))}")
    recipe = table.get("recipe")
    table, pythons = _with_recipe(table, refuse)
    interpreter, packages = table.get("interpreter"), table.get("packages", [])
    if not isinstance(table.get("variables", {}), dict):
        raise refuse("must give variables as a table: variables = { NAME = 'value' }")
    if not isinstance(packages, list) or not all(isinstance(package, str) for package in packages):
        raise refuse('must give packages as a list: packages = ["torch==2.9.1"]')
    for key in ("python", "post_install"):
        if not isinstance(table.get(key), str | None):
            raise refuse(f"must give {key} as a text")
    if packages and interpreter is not None:
        raise refuse("has both an interpreter and packages; name an existing interpreter, or packages to install")
    isa = table.get("isa", Isa.NATIVE)
    if isa not in tuple(Isa):
        raise refuse(f"asks for an unknown instruction set '{isa}'; known: {', '.join(Isa)}")
    if not isinstance(interpreter, str | None):
        raise refuse("must give interpreter as a text")
    if not packages and (RECIPE_KEYS & set(table) or not {"interpreter", "isa", "variables"} & set(table)):
        raise refuse("names neither an interpreter nor packages to install")
    variables = {key: str(value) for key, value in table.get("variables", {}).items()}
    if problem := _unusable(variables, [interpreter, table.get("python"), table.get("post_install"), *packages]):
        raise refuse(problem)
    return Build(
        name=name, isa=isa, interpreter=_interpreter(path, name, interpreter, is_managed=bool(packages)),
        variables=variables, packages=tuple(packages),
        python=_place(path, table["python"]) if "python" in table else None, post_install=table.get("post_install"),
        recipe=recipe, pythons=pythons,
    )


def _with_recipe(
    table: Mapping[str, Any], refuse: Callable[[str], UserError]
) -> tuple[Mapping[str, Any], tuple[str, ...]]:
    """The table with the packages of the framework's recipe that it names, if any, and the Pythons of that recipe."""
    if "recipe" not in table:
        return table, ()
    if strange := sorted({"interpreter", "packages", "post_install"} & set(table)):
        raise refuse(f"has both a recipe and {strange[0]}; the recipe of a framework says what to install")
    known = recipes()
    if table["recipe"] not in tuple(known):
        raise refuse(f"asks for an unknown recipe '{table['recipe']}'; there are those of: {', '.join(known)}")
    recipe = known[table["recipe"]]
    return {**table, "packages": [*recipe["packages"]]}, tuple(recipe["pythons"])


def recipes() -> dict[str, Mapping[str, Any]]:
    """{framework: the recipe that its adapter states}, of frameworks that plain pip cannot install as they are."""
    stated = {name: getattr(frameworks.load(name), "RECIPE", None) for name in frameworks.NAMES}
    return {name: recipe for name, recipe in stated.items() if recipe is not None}


def _unusable(variables: Mapping[str, str], texts: Iterable[str | None]) -> str | None:
    """Why no process can be started with these variables and texts; None if it can."""
    for name in variables:
        if not name or "=" in name:
            return f"has a variable named '{name}', which is not a valid name; write NAME = 'value'"
    if any("\0" in (text or "") for text in (*variables, *variables.values(), *texts)):
        return "contains a NUL character, which commands and variables cannot contain"
    return None


def _interpreter(path: Path, name: str, named: str | None, *, is_managed: bool) -> str:
    if named is not None:
        return _place(path, named)
    return str(managed_interpreter(name)) if is_managed else sys.executable


def _place(path: Path, interpreter: str) -> str:
    """The path of an interpreter: a bare name is looked up on the PATH, a relative path starts at the file."""
    interpreter = os.path.expanduser(interpreter)
    return str(path.parent / interpreter) if os.sep in interpreter else interpreter


def managed_interpreter(name: str) -> Path:
    """The interpreter in the environment of the recipe with this name."""
    return environment(name) / "bin" / "python"
