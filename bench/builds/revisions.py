"""Builds of git revisions of a project: each has an environment of its own on top of the packages of another build.

The environment contains the project at that revision, and uses the build beneath for everything else. So two revisions
run with the same framework and libraries, installing takes seconds, and the build beneath does not change.

Revisions of Rigmark itself can be compared too: their adapters are not installed, but shipped to workers together with
the measuring loop of the running Rigmark. A manifest in each revision states where its adapters are, and which version
of the interface to that loop they have.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import shlex
import subprocess
import tarfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib import metadata
from pathlib import Path
from typing import Any

from rigmark.bench.builds import build as builds
from rigmark.bench.builds import environments, worker_package
from rigmark.bench.builds.build import Build
from rigmark.bench.builds.variables import NOT_LENT, environment
from rigmark.bench.errors import UserError
from rigmark.bench.host import files
from rigmark.bench.host.workfolder import working_folder

RIGMARK = "rigmark"
MANIFEST = "bench/worker/manifest.json"
BEFORE_MANIFESTS = {name: f"bench/{name}" for name in ("frameworks", "limits", "lowerings", "strategies", "tracing")}
"""The folders of the parts in revisions without a manifest; their interface is 1."""

PACKAGING = ("pyproject.toml", "setup.py", "setup.cfg")
"""Files that tell what a project installs."""

INSTALL = ("python", "-m", "pip", "install", "--disable-pip-version-check", "--no-deps")
# Dependencies come from the build beneath, so that both revisions are measured with the same ones.
SHORT = 12                   # digits of a commit in the name of its build
LOADED = """
import importlib, json, sys
importlib.import_module(sys.argv[1])
print()
print(json.dumps(sorted({name.partition(".")[0] for name in sys.modules})))
"""
PACKAGE_FOLDERS = "import json, sys; print(json.dumps([p for p in sys.path if p.endswith('-packages')]))"


@dataclass(frozen=True, kw_only=True)
class Revision:
    """A commit of the repository in the folder ``root``."""

    root: Path
    commit: str
    project: str                 # name in pyproject.toml, or else of the folder

    @property
    def name(self) -> str:
        """The name of its build in records: "project@0123456789ab"."""
        return f"{self.project}{builds.OF_REVISION}{self.commit[:SHORT]}"


def find(revision: str, folder: Path) -> Revision | None:
    """The commit that git knows by this name in the repository of ``folder``; None if there is no such, or no git."""
    root = _git(folder, "rev-parse", "--show-toplevel")
    commit = _git(folder, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{revision}^{{commit}}")
    if not root or not commit:
        return None
    return Revision(root=Path(root), commit=commit, project=_project(Path(root), commit))


def are_packaged_alike(one: Revision, other: Revision) -> bool:
    """Whether two revisions install modules of the same names, and register alike: as far as their files tell."""
    def packaging(revision: Revision) -> list[str | None]:
        listed = _git(revision.root, "ls-tree", "-r", "--name-only", revision.commit)
        return [listed, *(_git(revision.root, "rev-parse", f"{revision.commit}:{name}") for name in PACKAGING)]

    return one.root == other.root and packaging(one) == packaging(other)


def worker_files(revision: Revision) -> worker_package.Files | None:
    """The worker package with the adapters of a revision of Rigmark; None for any other project.

    Raises UserError if the revision has no adapters that this measuring loop can use.
    """
    if revision.project != RIGMARK:
        return None
    manifest = json.loads((worker_package.ROOT / Path(MANIFEST).name).read_text(encoding="utf-8"))
    theirs = _git(revision.root, "show", f"{revision.commit}:{MANIFEST}")
    described: dict[str, Any] = {"interface": 1, "parts": BEFORE_MANIFESTS} if theirs is None else json.loads(theirs)
    if described["interface"] != manifest["interface"]:
        raise UserError(
            f"{revision.name} has adapters with interface {described['interface']}, but this Rigmark needs interface "
            f"{manifest['interface']}; measure it with a Rigmark of a revision nearer to it"
        )
    of_loop = {
        name: source for name, source in worker_package.files().items()
        if name.partition("/")[0] not in manifest["parts"]
    }
    return {**of_loop, **_parts(revision, described["parts"])}


def _parts(revision: Revision, parts: Mapping[str, str]) -> dict[str, bytes]:
    """The sources of a revision by path in the worker package; ``parts`` are the folders of the revision by name."""
    packed = subprocess.run(
        ["git", "archive", "--format=tar", revision.commit, *parts.values()],
        cwd=revision.root, capture_output=True, check=False,
    )
    if packed.returncode:
        raise UserError(f"{revision.name} has no adapters to measure: {packed.stderr.decode().strip()}")
    contents = {}
    with working_folder() as unpacked, tarfile.open(fileobj=io.BytesIO(packed.stdout)) as archive:
        archive.extractall(unpacked, filter="data")
        for part, folder in parts.items():
            root = unpacked / folder
            contents.update({
                f"{part}/{path.relative_to(root).as_posix()}": path.read_bytes() for path in sorted(root.rglob("*.py"))
            })
    return contents


def installed(revision: Revision, beneath: Build, packages: Sequence[str], tell: Callable[[str], None]) -> Build:
    """The build of a revision, which is created if necessary; ``tell`` is called with a message for each step.

    ``beneath`` is the build that provides all other packages; ``packages`` are installed in addition to the project.
    Raises UserError if installing fails, with the end of its output.
    """
    sources = builds.environments().with_name("sources") / revision.name     # in another folder than those of builds
    build = replace(
        beneath, name=revision.name, interpreter=str(builds.managed_interpreter(revision.name)),
        packages=(environments.NEEDED, *packages), python=beneath.interpreter, over=package_folders(beneath),
        post_install=shlex.join([*INSTALL, str(sources)]),
    )
    if environments.is_finished(build):
        return build
    tell(f"checking out {revision.name}")
    with worktree(revision, sources):
        environments.create(build, tell)
    return build


@contextlib.contextmanager
def worktree(revision: Revision, folder: Path) -> Iterator[None]:
    """A checkout of a revision in a folder, which is removed at the end; raises UserError if git refuses."""
    _remove(revision, folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    added = subprocess.run(
        ["git", "worktree", "add", "--quiet", "--detach", "--force", str(folder), revision.commit], cwd=revision.root,
        capture_output=True, text=True, check=False,
    )
    if added.returncode:
        raise UserError(f"cannot check out {revision.name}: {added.stderr.strip()}")
    try:
        yield
    finally:
        _remove(revision, folder)


def is_changed(revision: Revision) -> bool:
    """Whether tracked files of its repository have changes that are not committed."""
    return bool(_git(revision.root, "status", "--porcelain", "--untracked-files=no"))


@dataclass(frozen=True, kw_only=True)
class Provided:
    """What an installed revision provides."""

    modules: tuple[str, ...]     # top-level names that can be imported
    plugged_into: str            # how it registers as a plug-in: groups of entry points, and folders


def provided(build: Build) -> Provided:
    """What the project in a build that ``installed`` returned provides."""
    (own,) = (builds.environment(build.name) / "lib").glob("python*/site-packages")
    for distribution in metadata.distributions(path=[str(own)]):
        direct = json.loads(distribution.read_text("direct_url.json") or "{}")
        if str(direct.get("url", "")).startswith("file:"):       # only the project was installed from a folder
            tops = {
                file.parts[0].partition(".")[0] for file in distribution.files or ()
                if not file.parts[0].endswith((".dist-info", ".pth")) and file.parts[0] not in ("..", "__pycache__")
            }
            groups = {entry.group for entry in distribution.entry_points}
            return Provided(modules=tuple(sorted(tops)), plugged_into=" ".join(sorted(groups | tops)))
    return Provided(modules=(), plugged_into="")


def users(build: Build, frameworks: Iterable[str]) -> frozenset[str]:
    """The frameworks, by import name, that use the project of this build.

    A framework uses it if it imports one of its modules, or if the project registers as a plug-in of it. A framework
    that cannot be imported in this build counts as well, since it is not known whether it does.
    """
    brought = provided(build)
    using = set()
    for framework in frameworks:
        done = subprocess.run(
            [build.interpreter, "-c", LOADED, framework], env=environment(build, 1), capture_output=True, text=True,
            check=False,
        )
        loaded = [] if done.returncode else json.loads(done.stdout.splitlines()[-1])
        if done.returncode or set(loaded) & set(brought.modules) or f" {framework}" in f" {brought.plugged_into}":
            using.add(framework)
    return frozenset(using)


def checked_out(folder: Path, beneath: Build) -> Build:
    """A build whose workers import from the checkout in ``folder`` first; nothing is installed.

    It is ``beneath`` itself if the folder is a checkout of Rigmark, whose workers do not import the project.
    """
    revision = find("HEAD", folder)
    if revision is None or revision.project == RIGMARK:
        return beneath
    paths = [str(path) for path in (folder / "src", folder) if path.is_dir()]
    own = beneath.variables.get("PYTHONPATH")
    joined = os.pathsep.join([*paths, own] if own else paths)
    return replace(beneath, name=revision.name, variables={**beneath.variables, "PYTHONPATH": joined})


def _remove(revision: Revision, sources: Path) -> None:
    """Removes the checkout, also from the list of worktrees in the user's repository."""
    if sources.exists():
        _git(revision.root, "worktree", "remove", "--force", "--force", str(sources))


def _project(root: Path, commit: str) -> str:
    try:
        table = files.parsed_toml(_git(root, "show", f"{commit}:pyproject.toml") or "", "pyproject.toml").get("project")
    except files.Unreadable:
        table = None
    name = table.get("name") if isinstance(table, dict) else None
    return environments.name_of(name if isinstance(name, str) and name else root.name)


def package_folders(build: Build) -> tuple[str, ...]:
    """The folders in which an interpreter finds installed packages; raises UserError if it does not start."""
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
    """The output of a git command; None if it fails, or if git is not installed."""
    try:
        done = subprocess.run(["git", *arguments], cwd=folder, capture_output=True, text=True, check=False)
    except OSError:
        return None
    return None if done.returncode else done.stdout.strip()
