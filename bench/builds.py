"""Builds: an interpreter with a framework inside, and the environment it runs in. ``builds.toml`` names them."""

from __future__ import annotations

import os
import sys
import tomllib
from dataclasses import dataclass, field
from pathlib import Path

from bench.spec import DEFAULT_BUILD
from bench.words import UserError, unknown

FILE = "builds.toml"
KEYS = {"interpreter", "variables"}


@dataclass(frozen=True, kw_only=True)
class Build:
    """One interpreter and its environment variables, which are there before it starts."""

    name: str
    interpreter: str
    variables: dict[str, str] = field(default_factory=dict)


def load(directory: Path | None = None) -> dict[str, Build]:
    """Every build by name: the default one, and those of builds.toml in ``directory`` (the current one if None).

    Raises UserError for a file that cannot be understood.
    """
    builds = {DEFAULT_BUILD: Build(name=DEFAULT_BUILD, interpreter=sys.executable)}
    path = (directory or Path.cwd()) / FILE
    if not path.exists():
        return builds
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UserError(f"{path} is not valid TOML: {error}") from None
    if strange := sorted(set(content) - {"build"}):
        raise UserError(f"{path} has an unknown table '{strange[0]}'; a build begins with [build.NAME]")
    tables = content.get("build", {})
    if not isinstance(tables, dict) or not all(isinstance(table, dict) for table in tables.values()):
        raise UserError(f"{path} has a build without a name; a build begins with [build.NAME]")
    for name, table in tables.items():
        if name == DEFAULT_BUILD:
            raise UserError(f"{path}: build '{name}' is always the interpreter that runs Rigmark; choose another name")
        strange = sorted(set(table) - KEYS)
        if strange or not isinstance(table.get("interpreter"), str):
            what = f"has an unknown key '{strange[0]}'" if strange else "names no interpreter"
            raise UserError(f"{path}: build '{name}' {what}; it takes: {', '.join(sorted(KEYS))}")
        if not isinstance(table.get("variables", {}), dict):
            raise UserError(f"{path}: build '{name}' takes variables as a table: variables = {{ NAME = 'value' }}")
        variables = {key: str(value) for key, value in table.get("variables", {}).items()}
        interpreter = os.path.expanduser(table["interpreter"])
        if os.sep in interpreter:
            interpreter = str(path.parent / interpreter)     # an absolute path stays as it is
        builds[name] = Build(name=name, interpreter=interpreter, variables=variables)
    return builds


def find(name: str, builds: dict[str, Build]) -> Build:
    """Raises UnknownName with the nearest names."""
    if name not in builds:
        raise unknown("build", name, builds)
    return builds[name]
