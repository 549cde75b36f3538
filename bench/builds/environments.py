"""Creates and removes the environments of recipes, and edits builds.toml."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import subprocess
import sys
import time
import tomllib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import psutil
import tomlkit

from rigmark.bench.builds import build as builds
from rigmark.bench.builds import interpreters
from rigmark.bench.builds.build import Build
from rigmark.bench.errors import UserError
from rigmark.bench.host import files
from rigmark.bench.worker import frameworks

FINISHED = "rigmark-build.json"      # written last: an environment without it is unfinished
NEEDED = "numpy"                     # which every worker imports
OVER = "rigmark-over.pth"            # lists the folders beneath; the environment's own packages come first
LAST_LINES = 12


def is_finished(build: Build) -> bool:
    """Whether the environment of a recipe is complete, and was created from the recipe as it is now."""
    try:
        made = files.read_json(_folder(build) / FINISHED)
    except files.Unreadable:
        return False
    return isinstance(made, dict) and made.get("recipe") == _recipe(build)


def of_revisions() -> dict[str, Build]:
    """The builds of git revisions by name, which are in no builds.toml; see bench.builds.revisions."""
    by_name = {}
    for folder in sorted(builds.environments().glob(f"*{builds.OF_REVISION}*")):
        try:
            recipe = files.read_json(folder / FINISHED)["recipe"]
        except (files.Unreadable, KeyError, TypeError):
            recipe = {"packages": [NEEDED]}          # creating it was killed; it can only be removed
        by_name[folder.name] = Build(
            name=folder.name, interpreter=str(builds.managed_interpreter(folder.name)),
            packages=tuple(recipe["packages"]), python=recipe.get("python"), post_install=recipe.get("post_install"),
            over=tuple(recipe.get("over", ())),
        )
    return by_name


def create(build: Build, tell: Callable[[str], None], prove: Callable[[Build], None] | None = None) -> None:
    """Creates the environment of a recipe; ``tell`` is called with a message for each step.

    ``prove`` is called when all is installed; what it raises makes the environment a failed one. An unfinished
    environment of an earlier attempt is replaced. If this one does not finish, for example after Ctrl-C, what was
    created is removed. Raises UserError if a step fails, with the end of its output, and if this machine has none of
    the Pythons that the recipe works with.
    """
    folder, python = _folder(build), build.python or sys.executable
    if build.pythons and build.python is None:
        python = interpreters.needed(build.name, build.pythons)
    shutil.rmtree(folder, ignore_errors=True)
    started = time.monotonic()
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        tell(f"creating an environment in {folder}")
        _step(build, [python, "-m", "venv", str(folder)], tell)
        if build.over:
            (own,) = (folder / "lib").glob("python*/site-packages")
            (own / OVER).write_text("".join(f"{other}\n" for other in build.over), encoding="utf-8")
        tell(f"installing {', '.join(build.packages)}")
        pip = [build.interpreter, "-m", "pip", "install", "--disable-pip-version-check", "--progress-bar", "off"]
        _step(build, [*pip, NEEDED, *build.packages], tell)
        if build.post_install:
            tell(f"running {build.post_install}")
            _step(build, ["/bin/sh", "-c", build.post_install], tell)
        if prove is not None:
            tell(f"proving that {build.name} computes as the oracle does")
            prove(build)
        seconds = time.monotonic() - started
        made = {"recipe": _recipe(build), "size_bytes": size_bytes(folder), "seconds": round(seconds, 1)}
        (folder / FINISHED).write_text(json.dumps(made, indent=1), encoding="utf-8")
    except OSError as error:
        shutil.rmtree(folder, ignore_errors=True)
        raise UserError(f"cannot create build '{build.name}' in {folder}: {error.strerror or error}") from None
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise


def remove(build: Build) -> int:
    """Removes the environment of a recipe; returns the bytes that were freed, 0 if there was none."""
    folder = _folder(build)
    freed = size_bytes(folder)
    shutil.rmtree(folder, ignore_errors=True)
    return freed


def size_bytes(folder: Path) -> int:
    """The size of all files below a folder in bytes, without following links."""
    return sum(
        os.lstat(os.path.join(parent, name)).st_size for parent, _, names in os.walk(folder) for name in names
    )


def _folder(build: Build) -> Path:
    assert build.is_managed
    return builds.environment(build.name)


def _recipe(build: Build) -> dict[str, Any]:
    recipe = {"packages": list(build.packages), "python": build.python, "post_install": build.post_install}
    return {**recipe, "over": list(build.over)} if build.over else recipe


def _step(build: Build, command: Sequence[str], tell: Callable[[str], None]) -> None:
    """Runs one command in the environment that is being created."""
    bin_folder = str(Path(build.interpreter).parent)
    variables = {**os.environ, **build.variables, "VIRTUAL_ENV": str(_folder(build)), "PYTHONUNBUFFERED": "1"}
    variables["PATH"] = os.pathsep.join([bin_folder, os.environ.get("PATH", os.defpath)])
    last: list[str] = []
    with subprocess.Popen(
        command, env=variables, text=True, errors="replace", stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    ) as process:
        assert process.stdout is not None
        try:
            for line in process.stdout:
                last = [*last, line.rstrip()][-LAST_LINES:]
                tell(line.strip())
        except BaseException:
            _kill(process)
            raise
    if process.returncode:
        said = "\n".join(f"    {line}" for line in last)
        raise UserError(f"build '{build.name}' could not be created: {command[0]} ended with exit code "
                        f"{process.returncode}; its last words:\n{said}")


def _kill(process: subprocess.Popen[str]) -> None:
    """Kills a process and all that it has started, such as compilers or downloads.

    All are stopped first, until no more appear, since one that still runs may start another after they were listed.
    """
    met: dict[int, psutil.Process] = {}
    with contextlib.suppress(psutil.Error):
        top = psutil.Process(process.pid)
        new = [top]
        while new:
            for each in new:
                with contextlib.suppress(psutil.Error):
                    each.suspend()
                met[each.pid] = each
            new = [each for each in top.children(recursive=True) if each.pid not in met]
    for each in met.values():
        with contextlib.suppress(psutil.Error):
            each.kill()
    process.kill()


# builds.toml ---------------------------------------------------------------------------------------------------------


def needed_beside(requirements: Sequence[str]) -> list[str]:
    """The packages that the frameworks among these need, and that are not among them themselves."""
    from packaging.requirements import InvalidRequirement, Requirement

    named = set()
    for requirement in requirements:
        with contextlib.suppress(InvalidRequirement):       # a path, for example
            named.add(Requirement(requirement).name)
    adapters = [frameworks.load(name) for name in frameworks.NAMES]
    asked = [each for each in adapters if named.intersection(each.DISTRIBUTIONS)]
    return sorted({need for each in asked for need in getattr(each, "NEEDS", ())} - named)


def name_of(requirement: str) -> str:
    """The name of a build for a requirement: torch-2.9.1 for "torch==2.9.1", jax-cpu for "jax[cpu]"."""
    return re.sub(r"[^A-Za-z0-9_.+]+", "-", requirement).strip("-")


def write(path: Path, name: str, table: dict[str, Any]) -> None:
    """Adds a build to a builds.toml, keeping its other lines and comments; raises UserError if that fails."""
    document = _document(path)
    document.setdefault("build", tomlkit.table(is_super_table=True))[name] = table
    _save(path, document)


def erase(path: Path, name: str) -> bool:
    """Removes a build from a builds.toml; False if the file does not have it."""
    document = _document(path)
    if name not in document.get("build", {}):
        return False
    del document["build"][name]
    _save(path, document)
    return True


def _document(path: Path) -> Any:
    if not path.exists():
        return tomlkit.document()
    text = files.read_text(path, files.MOST_TOML_BYTES)
    files.parsed_toml(text, path)        # reports a mistake in one sentence; tomlkit raises many kinds of errors
    return tomlkit.parse(text)


def _save(path: Path, document: Any) -> None:
    text = tomlkit.dumps(document)
    tomllib.loads(text)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_suffix(".toml.tmp")
        partial.write_text(text, encoding="utf-8")
        partial.replace(path)
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror}") from None
