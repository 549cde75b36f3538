"""Builds of git revisions of a project: each in an environment of its own, laid over another build's packages.

The environment holds the project as it is in that revision, and finds everything else in the build beneath. So two
revisions run with the same framework and libraries, installing takes seconds, and nothing in the build changes.

Rigmark itself is a project too. Of its revisions the adapters count, which no environment holds: they are lent to the
workers from the revision, beside the measuring loop of the Rigmark that runs.
"""

from __future__ import annotations

import io
import json
import os
import shlex
import subprocess
import tarfile
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from rigmark.bench import files
from rigmark.bench.builds import build as builds
from rigmark.bench.builds import environments
from rigmark.bench.builds.build import Build
from rigmark.bench.builds.variables import NOT_LENT
from rigmark.bench.builds.worker_package import CHILD_PACKAGES, child_files, child_files_of
from rigmark.bench.errors import UserError

RIGMARK = "rigmark"
LENT = tuple(package for package in CHILD_PACKAGES if package != "worker")
INSTALL = ("python", "-m", "pip", "install", "--disable-pip-version-check", "--no-deps")
# Without its dependencies: they come from the build beneath, or two revisions would be measured with two of them.
SHORT = 12                   # digits of a commit that name it
PACKAGE_FOLDERS = "import json, sys; print(json.dumps([p for p in sys.path if p.endswith('-packages')]))"


@dataclass(frozen=True, kw_only=True)
class Revision:
    """A commit of the repository in ``root``."""

    root: Path
    commit: str
    project: str                 # its name in pyproject.toml, or that of the folder

    @property
    def name(self) -> str:
        """What its build is called in records: "project@0123456789ab"."""
        return f"{self.project}{builds.OF_REVISION}{self.commit[:SHORT]}"


def find(revision: str, folder: Path) -> Revision | None:
    """What git calls a commit in the repository that holds ``folder``; None where it knows no such, or is not there."""
    root = _git(folder, "rev-parse", "--show-toplevel")
    commit = _git(folder, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{revision}^{{commit}}")
    if not root or not commit:
        return None
    return Revision(root=Path(root), commit=commit, project=_project(Path(root), commit))


def lent(revision: Revision) -> Mapping[str, bytes] | None:
    """The child's half of a revision of Rigmark; None for any other project."""
    if revision.project != RIGMARK:
        return None
    packed = subprocess.run(
        ["git", "archive", "--format=tar", revision.commit, *(f"bench/{package}" for package in LENT)],
        cwd=revision.root, capture_output=True, check=False,
    )
    if packed.returncode:
        raise UserError(f"{revision.name} is no Rigmark that can be measured: {packed.stderr.decode().strip()}")
    with tempfile.TemporaryDirectory() as name, tarfile.open(fileobj=io.BytesIO(packed.stdout)) as archive:
        archive.extractall(name, filter="data")
        theirs = child_files_of(Path(name) / "bench", LENT)
    ours = {path: content for path, content in child_files().items() if "/worker/" in path}
    return {**theirs, **ours}


def installed(revision: Revision, beneath: Build, packages: Sequence[str], tell: Callable[[str], None]) -> Build:
    """The build of a revision, made where it is not there yet; ``tell`` hears what is being done.

    ``beneath`` is the build whose packages it uses; ``packages`` are installed beside the project. Raises UserError
    where it does not build, with the end of what was said.
    """
    sources = builds.environments().with_name("sources") / revision.name     # apart, so that no build is called so
    build = replace(
        beneath, name=revision.name, interpreter=str(builds.managed_interpreter(revision.name)),
        packages=(environments.NEEDED, *packages), python=beneath.interpreter, over=_package_folders(beneath),
        post_install=shlex.join([*INSTALL, str(sources)]),
    )
    if environments.is_finished(build):
        return build
    tell(f"checking out {revision.name}")
    _remove(revision, sources)
    sources.parent.mkdir(parents=True, exist_ok=True)
    added = subprocess.run(
        ["git", "worktree", "add", "--quiet", "--detach", "--force", str(sources), revision.commit], cwd=revision.root,
        capture_output=True, text=True, check=False,
    )
    if added.returncode:
        raise UserError(f"cannot check out {revision.name}: {added.stderr.strip()}")
    try:
        environments.create(build, tell)
    finally:
        _remove(revision, sources)
    return build


def checked_out(folder: Path, beneath: Build) -> Build:
    """The build whose workers look into the checkout in ``folder`` before all else; nothing is installed.

    ``beneath`` itself where the folder holds Rigmark, whose workers do not import the project.
    """
    revision = find("HEAD", folder)
    if revision is None or revision.project == RIGMARK:
        return beneath
    paths = [str(path) for path in (folder / "src", folder) if path.is_dir()]
    own = beneath.variables.get("PYTHONPATH")
    joined = os.pathsep.join([*paths, own] if own else paths)
    return replace(beneath, name=revision.name, variables={**beneath.variables, "PYTHONPATH": joined})


def _remove(revision: Revision, sources: Path) -> None:
    """Nothing of a checkout stays in the user's repository."""
    if sources.exists():
        _git(revision.root, "worktree", "remove", "--force", "--force", str(sources))


def _project(root: Path, commit: str) -> str:
    try:
        table = files.parsed_toml(_git(root, "show", f"{commit}:pyproject.toml") or "", "pyproject.toml").get("project")
    except files.Unreadable:
        table = None
    name = table.get("name") if isinstance(table, dict) else None
    return environments.name_of(name if isinstance(name, str) and name else root.name)


def _package_folders(build: Build) -> tuple[str, ...]:
    """Where an interpreter finds installed packages; raises UserError where it does not start."""
    variables = {name: value for name, value in os.environ.items() if name not in NOT_LENT}
    try:
        done = subprocess.run(
            [build.interpreter, "-c", PACKAGE_FOLDERS], env=variables, capture_output=True, text=True, check=False
        )
    except OSError as error:
        raise UserError(f"build '{build.name}' cannot start {build.interpreter}: {error.strerror}") from None
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["nothing on stderr"])[-1]
        raise UserError(f"build '{build.name}' does not start: {last}")
    return tuple(json.loads(done.stdout))


def _git(folder: Path, *arguments: str) -> str | None:
    """What git says; None where it fails, or is not there."""
    try:
        done = subprocess.run(["git", *arguments], cwd=folder, capture_output=True, text=True, check=False)
    except OSError:
        return None
    return None if done.returncode else done.stdout.strip()
