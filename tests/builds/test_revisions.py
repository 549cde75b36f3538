"""Git revisions as builds: what is installed, what comes from beneath, and what stays behind."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from rigmark.bench.builds import revisions, worker_package
from rigmark.bench.builds.build import Build
from rigmark.bench.errors import UserError

BENEATH = Build(name="default", interpreter=sys.executable)
PYPROJECT = """
[project]
name = "tiny"
version = "1.0"
[build-system]
requires = []
build-backend = "backend"
backend-path = ["."]
"""
BACKEND = '''
"""Builds a wheel with nothing but Python, so that no test asks the network."""
import os, zipfile

def build_wheel(folder, config=None, metadata=None):
    name = "tiny-1.0-py3-none-any.whl"
    with zipfile.ZipFile(os.path.join(folder, name), "w") as wheel:
        wheel.write("tiny.py")
        wheel.writestr("tiny-1.0.dist-info/METADATA", "Metadata-Version: 2.1\\nName: tiny\\nVersion: 1.0\\n")
        wheel.writestr("tiny-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n")
        wheel.writestr("tiny-1.0.dist-info/RECORD", "")
        for file in ("tiny.pth", "tiny-1.0.dist-info/entry_points.txt"):
            if os.path.exists(os.path.basename(file)):
                wheel.write(os.path.basename(file), file)
    return name
'''


def git(folder: Path, *arguments: str) -> str:
    return subprocess.run(
        ["git", "-c", "user.name=me", "-c", "user.email=me@here", *arguments], cwd=folder, check=True, text=True,
        capture_output=True,
    ).stdout.strip()


def commit(folder: Path) -> None:
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--no-gpg-sign", "--message", "state")


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    return make_project(tmp_path, monkeypatch)


def make_project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package in a repository, in which the middle one of three commits does not build; and a user of their own."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    folder = tmp_path / "tiny"
    folder.mkdir()
    git(folder, "init", "--quiet")
    (folder / "pyproject.toml").write_text(PYPROJECT)
    for answer, backend in ((1, BACKEND), (2, "raise SystemExit('no compiler today')\n"), (3, BACKEND)):
        (folder / "tiny.py").write_text(f"answer = {answer}\n")
        (folder / "backend.py").write_text(backend)
        commit(folder)
    return folder


def install(project: Path, revision: str) -> Build:
    result = revisions.find(revision, project)
    assert result is not None
    return revisions.installed(result, BENEATH, (), lambda line: None)


def said_in(build: Build, code: str) -> str:
    return subprocess.run([build.interpreter, "-c", code], check=True, text=True, capture_output=True).stdout.strip()


def test_each_revision_has_its_own_project_and_the_libraries_of_the_build_beneath(project: Path):
    old, new = (install(project, revision) for revision in ("HEAD~2", "HEAD"))

    assert ("1", "3") == tuple(said_in(build, "import tiny; print(tiny.answer)") for build in (old, new))
    for build in (old, new):
        assert build.name.startswith("tiny@")
        assert said_in(BENEATH, "import numpy; print(numpy.__file__)") == \
            said_in(build, "import numpy; print(numpy.__file__)")


def test_a_revision_is_made_once_and_leaves_nothing_in_the_users_repository(project: Path):
    first = install(project, "HEAD")
    made = Path(first.interpreter).stat().st_mtime_ns

    assert first == install(project, git(project, "rev-parse", "HEAD"))
    assert made == Path(first.interpreter).stat().st_mtime_ns
    assert 1 == len(git(project, "worktree", "list").splitlines())
    assert "" == git(project, "status", "--porcelain")


def test_what_is_not_committed_is_not_measured(project: Path):
    (project / "tiny.py").write_text("answer = 4\n")

    assert "3" == said_in(install(project, "HEAD"), "import tiny; print(tiny.answer)")


def test_a_revision_that_does_not_build_says_why_and_leaves_nothing(project: Path):
    with pytest.raises(UserError, match=r"(?s)tiny@.* could not be created.*no compiler today"):
        install(project, "HEAD~1")

    assert 1 == len(git(project, "worktree", "list").splitlines())
    assert not list((project.parent / "data").rglob("pyvenv.cfg"))


def test_what_git_does_not_know_is_no_revision(project: Path, tmp_path: Path):
    assert revisions.find("no-such-branch", project) is None
    assert revisions.find("--help", project) is None
    assert revisions.find("HEAD", tmp_path) is None


def of_rigmark(project: Path, parts: Mapping[str, str], manifest: str | None) -> revisions.Revision:
    """A commit that calls itself Rigmark, with a file in each part of a worker package."""
    (project / "pyproject.toml").write_text('[project]\nname = "rigmark"\n')
    for part, folder in parts.items():
        (project / folder / "inner").mkdir(parents=True)
        (project / folder / "inner" / "file.py").write_text(f"# {part} of the commit\n")
    if manifest is not None:
        (project / revisions.MANIFEST).write_text(manifest)
    commit(project)
    revision = revisions.find("HEAD", project)
    assert revision is not None
    return revision


PARTS = {"frameworks": "bench/worker/frameworks", "strategies": "bench/worker/strategies"}


@pytest.mark.parametrize(("parts", "manifest"), [
    (revisions.BEFORE_MANIFESTS, None), (PARTS, json.dumps({"interface": 1, "parts": PARTS})),
])
def test_a_revision_of_rigmark_ships_its_adapters_and_not_its_measuring_loop(
    project: Path, parts: Mapping[str, str], manifest: str | None
):
    shipped = revisions.worker_files(of_rigmark(project, parts, manifest))

    assert shipped is not None
    for part in parts:
        assert f"# {part} of the commit\n".encode() == shipped[f"{part}/inner/file.py"]
    assert "frameworks/torch/adapter.py" not in shipped
    assert worker_package.files()["turns.py"] == shipped["turns.py"]


def test_a_revision_whose_adapters_have_another_interface_is_refused(project: Path):
    revision = of_rigmark(project, PARTS, json.dumps({"interface": 999, "parts": PARTS}))

    with pytest.raises(UserError, match="adapters with interface 999, but this Rigmark needs interface 1"):
        revisions.worker_files(revision)


def test_any_other_project_ships_nothing(project: Path):
    revision = revisions.find("HEAD", project)
    assert revision is not None

    assert revisions.worker_files(revision) is None


# What of it can change a measurement ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("file", "content"),
    [("tiny.pth", "import tiny\n"), ("entry_points.txt", "[numpy.backends]\ntiny = tiny\n")],
    ids=["is imported", "makes itself known"],
)
def test_a_framework_uses_what_it_imports_and_what_makes_itself_known_to_it(project: Path, file: str, content: str):
    unused = install(project, "HEAD")
    (project / file).write_text(content)
    commit(project)
    used = install(project, "HEAD")

    assert ("tiny",) == revisions.provided(used).modules
    assert frozenset() == revisions.users(unused, ["numpy", "json"])
    assert "numpy" in revisions.users(used, ["numpy", "json"])


def test_of_what_cannot_be_imported_nothing_is_known(project: Path):
    assert {"no_such_framework"} == revisions.users(install(project, "HEAD"), ["numpy", "no_such_framework"])
