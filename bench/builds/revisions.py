"""Builds of git revisions of a project: each in an environment of its own, laid over another build's packages.

The environment holds the project as it is in that revision, and finds everything else in the build beneath. So two
revisions run with the same framework and libraries, installing takes seconds, and nothing in the build changes.

Rigmark itself is a project too. Of its revisions the adapters count, which no environment holds: they are shipped to
workers from the revision, beside the measuring loop of the Rigmark that runs. A manifest in each revision says where
its adapters lie and which interface they have to that loop.
"""

from __future__ import annotations

import io
import json
import os
import shlex
import subprocess
import tarfile
from collections.abc import Callable, Iterable, Mapping, Sequence
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
"""Where the parts of a revision lie that is older than the manifest; their interface is 1."""

INSTALL = ("python", "-m", "pip", "install", "--disable-pip-version-check", "--no-deps")
# Without its dependencies: they come from the build beneath, or two revisions would be measured with two of them.
SHORT = 12                   # digits of a commit that name it
LOADED = """
import importlib, json, sys
importlib.import_module(sys.argv[1])
print()
print(json.dumps(sorted({name.partition(".")[0] for name in sys.modules})))
"""
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


def worker_files(revision: Revision) -> worker_package.Files | None:
    """The worker package with the adapters of a revision of Rigmark; None for any other project.

    Raises UserError where the revision has none that this measuring loop can drive.
    """
    if revision.project != RIGMARK:
        return None
    manifest = json.loads((worker_package.ROOT / Path(MANIFEST).name).read_text(encoding="utf-8"))
    theirs = _git(revision.root, "show", f"{revision.commit}:{MANIFEST}")
    told: dict[str, Any] = {"interface": 1, "parts": BEFORE_MANIFESTS} if theirs is None else json.loads(theirs)
    if told["interface"] != manifest["interface"]:
        raise UserError(
            f"{revision.name} has adapters of interface {told['interface']}, and this Rigmark drives interface "
            f"{manifest['interface']}; measure it with the Rigmark of a revision nearer to it"
        )
    of_loop = {
        name: source for name, source in worker_package.files().items()
        if name.partition("/")[0] not in manifest["parts"]
    }
    return {**of_loop, **_parts(revision, told["parts"])}


def _parts(revision: Revision, parts: Mapping[str, str]) -> dict[str, bytes]:
    """Sources of a revision's parts by their path in the worker package; ``parts`` are its folders by name."""
    packed = subprocess.run(
        ["git", "archive", "--format=tar", revision.commit, *parts.values()],
        cwd=revision.root, capture_output=True, check=False,
    )
    if packed.returncode:
        raise UserError(f"{revision.name} is no Rigmark that can be measured: {packed.stderr.decode().strip()}")
    found = {}
    with working_folder() as unpacked, tarfile.open(fileobj=io.BytesIO(packed.stdout)) as archive:
        archive.extractall(unpacked, filter="data")
        for part, folder in parts.items():
            root = unpacked / folder
            found.update({
                f"{part}/{path.relative_to(root).as_posix()}": path.read_bytes() for path in sorted(root.rglob("*.py"))
            })
    return found


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


@dataclass(frozen=True, kw_only=True)
class Provided:
    """What an installed revision brings."""

    modules: tuple[str, ...]     # top-level names that can be imported
    plugged_into: str            # names by which it makes itself known to others: groups of entry points, and folders


def provided(build: Build) -> Provided:
    """What the project in a build that ``installed`` made brings."""
    (own,) = (builds.environment(build.name) / "lib").glob("python*/site-packages")
    for distribution in metadata.distributions(path=[str(own)]):
        direct = json.loads(distribution.read_text("direct_url.json") or "{}")
        if str(direct.get("url", "")).startswith("file:"):       # nothing else was installed from a folder
            tops = {
                file.parts[0].partition(".")[0] for file in distribution.files or ()
                if not file.parts[0].endswith((".dist-info", ".pth")) and file.parts[0] not in ("..", "__pycache__")
            }
            groups = {entry.group for entry in distribution.entry_points}
            return Provided(modules=tuple(sorted(tops)), plugged_into=" ".join(sorted(groups | tops)))
    return Provided(modules=(), plugged_into="")


def users(build: Build, frameworks: Iterable[str]) -> frozenset[str]:
    """Which frameworks, by the names that they are imported by, use the project that a build was made of.

    They import a module of it, or it makes itself known to them, as plug-ins do. One that cannot be imported in this
    build counts too, since nothing is known of it.
    """
    brought = provided(build)
    found = set()
    for framework in frameworks:
        done = subprocess.run(
            [build.interpreter, "-c", LOADED, framework], env=environment(build, 1), capture_output=True, text=True,
            check=False,
        )
        loaded = [] if done.returncode else json.loads(done.stdout.splitlines()[-1])
        if done.returncode or set(loaded) & set(brought.modules) or f" {framework}" in f" {brought.plugged_into}":
            found.add(framework)
    return frozenset(found)


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
