"""Builds that Rigmark makes: from a recipe to an environment, and nothing left where that fails."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import tomllib
import uuid
import zipfile
from pathlib import Path

import pytest

from rigmark.bench.builds import build as builds
from rigmark.bench.builds import environments
from rigmark.bench.builds.build import Build
from rigmark.bench.errors import UserError
from tests.fakes import RIGMARK, TOKEN, alive


@pytest.fixture(autouse=True)
def offline_index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user of their own, and an index with a NumPy of nothing, so that no test asks the network."""
    index = tmp_path / "index"
    index.mkdir()
    with zipfile.ZipFile(index / "numpy-1.0-py3-none-any.whl", "w") as wheel:
        wheel.writestr("numpy/__init__.py", "")
        wheel.writestr("numpy-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: numpy\nVersion: 1.0\n")
        wheel.writestr("numpy-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr("numpy-1.0.dist-info/RECORD", "")
    for name, value in {
        "XDG_DATA_HOME": tmp_path / "data", "XDG_CONFIG_HOME": tmp_path / "config", "PIP_NO_INDEX": "1",
        "PIP_FIND_LINKS": index, "PIP_CONFIG_FILE": os.devnull,
    }.items():
        monkeypatch.setenv(name, str(value))
    monkeypatch.chdir(tmp_path)
    return index


def rigmark(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([RIGMARK, *arguments], capture_output=True, text=True, check=False)


def listed() -> dict[str, dict[str, object]]:
    return {build["name"]: build for build in json.loads(rigmark("builds", "list", "--json").stdout)}


def test_a_build_is_made_listed_not_made_twice_and_removed(tmp_path: Path):
    made = rigmark("builds", "create", "numpy==1.0", "--variable", "OMP_NUM_THREADS=1", "--post-install",
                   "touch \"$VIRTUAL_ENV/seen\"")
    build = listed()["numpy-1.0"]
    again = rigmark("builds", "create", "numpy-1.0")
    folder = builds.environments() / "numpy-1.0"

    assert 0 == made.returncode, made.stderr
    assert "created build 'numpy-1.0' in" in made.stderr
    assert list(folder.glob("lib/*/site-packages/numpy-1.0.dist-info"))
    assert {"OMP_NUM_THREADS": "1"} == build["variables"]
    assert build["size_bytes"] == environments.size_bytes(folder) > 0         # type: ignore[operator]
    assert (folder / "seen").exists()
    assert "exists already" in again.stderr

    removed = rigmark("builds", "remove", "numpy-1.0")

    assert (0, False) == (removed.returncode, folder.exists())
    assert "numpy-1.0" not in listed()


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--package", "no-such-package==9"], "No matching distribution found for no-such-package"),
        (["numpy==1.0", "--post-install", "echo not today; exit 3"], "not today"),
        (["numpy==1.0", "--python", "/no/python"], "No such file or directory"),
    ],
)
def test_of_a_build_that_fails_nothing_is_left(tmp_path: Path, arguments: list[str], sentence: str):
    (tmp_path / builds.FILE).write_text("# mine\n[build.other]\ninterpreter = 'python3'\n")

    failed = rigmark("builds", "create", *arguments)

    assert 2 == failed.returncode
    assert sentence in failed.stderr
    assert "Traceback" not in failed.stderr
    assert [] == list(builds.environments().glob("*"))
    text = (tmp_path / builds.FILE).read_text()
    assert text.startswith("# mine\n")
    assert ["other"] == list(tomllib.loads(text)["build"])


def test_an_interrupt_leaves_nothing_and_kill_is_made_good(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    waiting = tmp_path / "waiting"
    command = [RIGMARK, "builds", "create", "numpy==1.0", "--post-install", f"touch {waiting}; sleep 60"]
    token = uuid.uuid4().hex
    monkeypatch.setenv(TOKEN, token)

    def started() -> subprocess.Popen[str]:
        process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, start_new_session=True)
        while not waiting.exists():
            assert process.poll() is None, process.communicate()[1]
            time.sleep(0.05)
        waiting.unlink()
        return process

    interrupted = started()
    interrupted.send_signal(signal.SIGTERM)  # to it alone: what it has started has not heard of it
    errors = interrupted.communicate(timeout=30)[1]

    assert 130 == interrupted.returncode
    assert "nothing is left of build 'numpy-1.0'" in errors
    assert not alive(token)
    assert [] == list(builds.environments().glob("*"))

    killed = started()
    os.killpg(killed.pid, signal.SIGKILL)
    killed.communicate()
    again = rigmark("builds", "create", "numpy==1.0")

    assert (0, "created build 'numpy-1.0'") == (again.returncode, again.stderr[again.stderr.index("created"):][:25])
    assert environments.is_finished(builds.load()["numpy-1.0"])


def test_a_recipe_that_was_changed_is_not_made_yet(tmp_path: Path):
    rigmark("builds", "create", "numpy==1.0")
    file = tmp_path / builds.FILE
    file.write_text(file.read_text().replace("==1.0", "==1.1"))

    assert "not created yet; rigmark builds create numpy-1.0" == listed()["numpy-1.0"]["problem"]


def test_what_was_made_of_a_revision_is_listed_and_removed(tmp_path: Path):
    build = Build(
        name="tiny@0123456789ab", interpreter=str(builds.managed_interpreter("tiny@0123456789ab")),
        packages=("numpy",), python=sys.executable,
    )
    environments.create(build, print)
    unfinished = builds.environment("tiny@ba9876543210")
    unfinished.mkdir()

    assert build == environments.of_revisions()[build.name]
    assert "not created yet; rigmark ab creates it again" == listed()[unfinished.name]["problem"]
    for name in (build.name, unfinished.name):
        assert listed()[name]["interpreter"] == str(builds.managed_interpreter(name))
        assert 0 == rigmark("builds", "remove", name).returncode
        assert name not in listed()
    assert [] == list(builds.environments().glob("*"))


@pytest.mark.parametrize("verb", ["create", "remove"])
@pytest.mark.parametrize("name", ["{folder}/victim", "../../../victim", "victim/..", "..", "."])
def test_no_folder_that_a_file_names_as_a_build_is_deleted(tmp_path: Path, verb: str, name: str):
    victim = tmp_path / "victim"
    victim.mkdir()
    (victim / "thesis").touch()
    builds.environments().mkdir(parents=True)
    named = name.format(folder=tmp_path)
    (tmp_path / builds.FILE).write_text(f'[build."{named}"]\npackages = ["x"]\npython = "/bin/false"\n')

    refused = rigmark("builds", verb, named)

    assert (2, True) == (refused.returncode, (victim / "thesis").exists())
    assert f"build '{named}' has an invalid name" in refused.stderr
    with pytest.raises(UserError, match="its environment would be in another folder"):
        environments.remove(Build(name=named, interpreter="python3", packages=("x",)))


def test_a_secret_of_a_build_is_not_shown(tmp_path: Path):
    variables = 'variables = { TF_API_KEY = "hunter2", OMP_PLACES = "cores" }'
    (tmp_path / builds.FILE).write_text(f'[build.mine]\ninterpreter = "{sys.executable}"\n{variables}\n')

    assert {"TF_API_KEY": "****", "OMP_PLACES": "cores"} == listed()["mine"]["variables"]
    assert "hunter2" not in rigmark("builds", "list").stdout


def test_a_build_that_cannot_be_used_is_not_added(tmp_path: Path):
    refused = rigmark("builds", "add", "mine", "/no/python")

    assert 2 == refused.returncode
    assert not (tmp_path / builds.FILE).exists()


def test_an_interpreter_of_somebody_else_is_named_and_never_deleted(tmp_path: Path):
    added = rigmark("builds", "add", "mine", sys.executable, "--variable", "A=b")
    removed = rigmark("builds", "remove", "mine")

    assert (0, 0) == (added.returncode, removed.returncode)
    assert f"{sys.executable} is kept" in removed.stderr
    assert Path(sys.executable).exists()


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["add", "default", "python3"], "build 'default' exists already"),
        (["add", "mine", "/no/python"], "not added, because it cannot be used: build 'mine' cannot start /no/python"),
        (["add", "a/b", "python3"], "build 'a/b' has an invalid name; use letters, digits"),
        (["create", "nunpy==1.0"], "no framework or recipe 'nunpy'; did you mean 'numpy'?"),
        (["create", "pillow"], "to install another package, use --package pillow"),
        (["create", "git+https://example.org/x"], "use --package git+https://example.org/x"),
        (["create"], "name what to install"),
        (["add", "mine", "python3", "--variable", "A"], "--variable takes NAME=VALUE, not 'A'"),
        (["remove", "mine"], "no build 'mine'"),
        (["remove", "default"], "build 'default' is not in"),
        (["create", "default"], "not created by Rigmark"),
    ],
)
def test_what_cannot_be_done_is_reported_in_a_sentence(arguments: list[str], sentence: str):
    ended = rigmark("builds", *arguments)

    assert 2 == ended.returncode
    assert sentence in ended.stderr
    assert "Traceback" not in ended.stderr


@pytest.mark.parametrize(
    ("requirement", "name"),
    [("torch==2.9.1", "torch-2.9.1"), ("jax[cpu]", "jax-cpu"), ("torch>=2,<3", "torch-2-3")],
)
def test_a_build_is_called_after_what_is_in_it(requirement: str, name: str):
    assert name == environments.name_of(requirement)


def test_what_a_framework_needs_is_installed_beside_it():
    assert ["onnx"] == environments.needed_beside(["onnxruntime==1.32.0", "./some/folder"])
    assert [] == environments.needed_beside(["openvino", "onnx==1.23.2"])
    assert [] == environments.needed_beside(["jax"])


def test_a_file_that_cannot_be_written_is_reported(tmp_path: Path):
    (tmp_path / "builds.toml.tmp").mkdir()

    with pytest.raises(UserError, match="cannot write"):
        environments.write(tmp_path / "builds.toml", "mine", {"interpreter": "python3"})


def test_what_is_not_proven_is_not_kept(tmp_path: Path):
    build = Build(name="wrong", interpreter=str(builds.managed_interpreter("wrong")), packages=("numpy==1.0",))

    def refuse(made: Build) -> None:
        assert Path(made.interpreter).exists()
        raise UserError("its answers are wrong")

    with pytest.raises(UserError, match="its answers are wrong"):
        environments.create(build, lambda line: None, refuse)
    assert not builds.environment("wrong").exists()
