"""The worker package: the code that is shipped to a build's interpreter as one archive, and its versions.

It is the whole of ``bench/worker`` under another name, so that it clashes neither with the parent's package nor with a
package of the project.
"""

from __future__ import annotations

import ast
import hashlib
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path, PurePosixPath

from rigmark.bench import worker
from rigmark.bench.host.limits import writing
from rigmark.bench.ir import weights
from rigmark.bench.worker.frameworks import ORIGINAL

ROOT = Path(worker.__file__).parent
WEIGHTS = Path(weights.__file__)
NAME = "rigmark_worker"
MAIN = f"import sys\nfrom {NAME}.main import main\nmain(sys.argv[1:])\n"

Files = Mapping[str, bytes]
"""Sources by their path within the worker package: "frameworks/torch/adapter.py"."""

FRAMEWORKS, STRATEGIES, JOBS = "frameworks", "strategies", "jobs"
IMPORTERS, EXPORTERS = f"{JOBS}/import_", f"{JOBS}/export_"
"""Where the names of jobs begin that read networks from files and write them: no trial runs these jobs."""
ORACLE = f"{FRAMEWORKS}/numpy"
"""The framework whose answers every trial must agree with."""
ASKED_OF_ORACLE = (f"{JOBS}/oracle.py", f"{JOBS}/proof.py")
"""The kinds of job that compute its answers."""


@cache
def files() -> Files:
    """The files of the worker package of this Rigmark."""
    return {path.relative_to(ROOT).as_posix(): path.read_bytes() for path in sorted(ROOT.rglob("*.py"))}


def write(directory: Path, content: Files | None = None) -> Path:
    """Writes the worker package as one archive that any Python can run; ``content`` replaces our own files."""
    path = directory / "worker.zip"
    with writing(path), zipfile.ZipFile(path, "w") as archive:
        archive.writestr(zipfile.ZipInfo("__main__.py"), MAIN)
        for name, source in (files() if content is None else content).items():
            archive.writestr(zipfile.ZipInfo(f"{NAME}/{name}"), source)
    return path


def code_version(content: Files) -> str:
    """Hash of the code that every trial may run: the measuring loop, the oracle, and the random weights.

    Trials of two frameworks are comparable only if it is equal. It depends on the contents of the files, not on their
    paths, so that files may be moved.
    """
    return _hash(content, (
        name for name in content if "/" not in name or (
            any(_is_at(name, place) for place in (JOBS, ORACLE)) and not name.startswith((IMPORTERS, EXPORTERS)))
    ))


def importer_version(content: Files) -> str:
    """Hash of the code that imports networks which users bring."""
    return _hash(content, (name for name in content if name.startswith(IMPORTERS)))


def adapter_version(content: Files, framework: str, strategy: str, *, runs_original: bool = False) -> str:
    """Hash of the code that only trials of this framework and strategy may run, including what their files import.

    ``runs_original``: they run what the user wrote, for which the framework has a file of its own.
    """
    places = (f"{FRAMEWORKS}/{framework}", f"{STRATEGIES}/{strategy}")
    left_out = set() if runs_original else {f"{FRAMEWORKS}/{framework}/{ORIGINAL}.py"}
    return _hash(content, (
        name for name in content if any(_is_at(name, place) for place in places) and name not in left_out
    ))


def _is_at(name: str, place: str) -> bool:
    """Whether a file is the module of that path, or lies in the folder of that path."""
    return name.startswith((f"{place}/", f"{place}.py"))


@cache
def oracle_version() -> str:
    """Hash of the code that determines the answers of the oracle, including the random weights."""
    return _hash(files(), [*(name for name in files() if name.startswith(f"{ORACLE}/")), *ASKED_OF_ORACLE])


def package_version() -> str:
    """Hash of the whole package: nodes with different packages must not run in one process group."""
    return _hash(files(), files())


def _needed(content: Files, roots: Iterable[str]) -> set[str]:
    """The files at ``roots`` and all that they import from the package, directly or not."""
    needed: set[str] = set()
    waiting = [name for name in roots if name in content]
    while waiting:
        name = waiting.pop()
        if name not in needed:
            needed.add(name)
            waiting.extend(_imported(name, content))
    return needed


def _imported(name: str, content: Files) -> Iterator[str]:
    """The files of the package that a file imports relatively, and the ``__init__.py`` of their folders."""
    for level, module, names in _read(content[name]).imports:
        folder = PurePosixPath(name).parents[level - 1]
        base = folder.joinpath(*module.split(".")) if module else folder
        for place in (base, *(base / imported for imported in names)):
            for spelled in (f"{place}.py", f"{place}/__init__.py"):
                if spelled in content:
                    yield spelled


def _hash(content: Files, roots: Iterable[str]) -> str:
    """Hash of the files at ``roots`` and all that they need, in an order that does not depend on their names."""
    sources = sorted(_read(content[name]).code for name in _needed(content, roots))
    digest = hashlib.sha256(_read(WEIGHTS.read_bytes()).code)
    for source in sources:
        digest.update(hashlib.sha256(source).digest())
    return digest.hexdigest()[:12]


@dataclass(frozen=True)
class _Source:
    code: bytes                      # without imports from Rigmark, which contain paths of its files
    imports: tuple[tuple[int, str, tuple[str, ...]], ...]    # relative imports: (dots, module, names)


@lru_cache(maxsize=1024)
def _read(source: bytes) -> _Source:
    lines, imports = source.splitlines(keepends=True), []
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.ImportFrom) or not (node.level or (node.module or "").startswith("rigmark.")):
            continue
        if node.level:
            imports.append((node.level, node.module or "", tuple(alias.name for alias in node.names)))
        lines[node.lineno - 1:node.end_lineno] = [b""] * ((node.end_lineno or node.lineno) - node.lineno + 1)
    return _Source(b"".join(lines), tuple(imports))
