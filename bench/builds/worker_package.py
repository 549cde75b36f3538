"""The child's half: what is lent to a build's interpreter, as one archive, and what it is known by."""

from __future__ import annotations

import hashlib
import zipfile
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path

CHILD_PACKAGES = ("frameworks", "limits", "lowerings", "strategies", "tracing", "worker")
CHILD_ROOT = "rigmark_child"
MAIN = f"import sys\nfrom {CHILD_ROOT}.worker.main import main\nmain(sys.argv[1:])\n"


@cache
def child_files() -> dict[str, bytes]:
    """The child's half by path inside the archive."""
    return child_files_of(Path(__file__).parent, CHILD_PACKAGES)


def child_files_of(root: Path, packages: Sequence[str]) -> dict[str, bytes]:
    """Some packages of a child's half whose sources are in ``root``, by path inside the archive."""
    files = {f"{CHILD_ROOT}/__init__.py": b"", "__main__.py": MAIN.encode()}
    for package in packages:
        for path in sorted((root / package).glob("*.py")):
            files[f"{CHILD_ROOT}/{package}/{path.name}"] = path.read_bytes()
    return files


WEIGHTS = "ir/weights.py"
ORACLE_FILES = (WEIGHTS, *(f"{CHILD_ROOT}/{name}" for name in (
    "frameworks/__init__.py", "frameworks/numpy.py", "lowerings/__init__.py", "lowerings/numpy.py", "worker/jobs.py",
    "worker/proof.py",
)))


@cache
def code_version() -> str:
    """Hash of the code that measures, and of that which draws weights and inputs: by other code, another trial."""
    return version_of(child_files())


def version_of(files: Mapping[str, bytes]) -> str:
    """The code version where these files are the child's half."""
    return _hash(_versioned(files))


@cache
def oracle_version() -> str:
    """Hash of that part of it which decides what the oracle answers."""
    versioned = _versioned(child_files())
    return _hash({name: versioned[name] for name in ORACLE_FILES})


def _versioned(files: Mapping[str, bytes]) -> dict[str, bytes]:
    return {**files, WEIGHTS: (Path(__file__).parent / WEIGHTS).read_bytes()}


def _hash(files: Mapping[str, bytes]) -> str:
    digest = hashlib.sha256()
    for name, content in sorted(files.items()):
        digest.update(name.encode() + b"\0" + content + b"\0")
    return digest.hexdigest()[:12]


def write_child(directory: Path, files: Mapping[str, bytes] | None = None) -> Path:
    """The child's half as one archive that any Python can run; of other ``files`` than ours where they are given."""
    path = directory / "child.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in (child_files() if files is None else files).items():
            archive.writestr(name, content)
    return path
