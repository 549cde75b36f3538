"""A project made ready for asv: files that asv reads, and none overwritten."""

from __future__ import annotations

import importlib
import json
import os
import re
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from rigmark.bench.cli import main
from rigmark.bench.version import __version__


@pytest.fixture
def project(tmp_path: Path) -> Path:
    subprocess.run(["git", "init", "-q", str(tmp_path)], check=True)
    return tmp_path


def init(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr(sys, "argv", ["rigmark", "init", *arguments])
    with pytest.raises(SystemExit) as ended:
        sys.exit(main())
    return int(ended.value.code or 0)


def test_without_a_lock_file_nothing_is_installed(monkeypatch: pytest.MonkeyPatch, project: Path):
    assert init(monkeypatch, "--asv", str(project), "--framework", "numpy") == 0

    configuration = json.loads((project / "asv.conf.json").read_text())
    assert (configuration["environment_type"], configuration["benchmark_dir"]) == ("rigmark", "benchmarks")
    suite = (project / "benchmarks/rigmark_networks.py").read_text()
    assert "frameworks=('numpy',)" in suite
    assert "They do not import this project. Their times change with its commits only if numpy uses it" in suite
    assert not (project / "benchmarks/own_code.py").exists()         # there is no code yet


def test_the_projects_own_import_is_timed_and_what_the_networks_tell_of_it_is_stated(
    monkeypatch: pytest.MonkeyPatch, project: Path, capsys: pytest.CaptureFixture[str]
):
    (project / "pyproject.toml").write_text("[project]\nname = 'my-project'\n")
    (project / "src" / "my_project").mkdir(parents=True)
    seen = project / "seen"
    (project / "src/my_project/__init__.py").write_text(f"open({str(seen)!r}, 'a').write(__file__)\n")

    assert init(monkeypatch, "--asv", str(project), "--framework", "numpy") == 0
    said = capsys.readouterr().err
    commit = committed(project)
    asv(project, "machine", "--yes")
    ran = asv(project, "run", "--quick", "--show-stderr", "--bench", "own_code")

    assert "the networks do not import this project. Their times change with its commits only if" in said
    assert "needs at least 12 measured commits" in said
    [path] = (project / ".asv/results").glob(f"*/{commit[:8]}-*.json")
    result = json.loads(path.read_text())
    assert all(time_s > 0 for time_s in result["results"]["own_code.timeraw_import"][0]), ran
    assert str(project / ".asv/env") in seen.read_text()             # of the commit, and not of the working tree


def test_without_a_lock_file_workers_import_what_the_commit_holds(monkeypatch: pytest.MonkeyPatch, project: Path):
    """Else each commit would be as fast as the one before, whatever it does."""
    assert init(monkeypatch, "--asv", str(project), "--framework", "torch") == 0
    (project / "torch.py").write_text("raise ImportError('of this commit')\n")
    (project / "pyproject.toml").write_text("[project]\nname = 'mine'\n")
    commit = committed(project)

    asv(project, "machine", "--yes")
    said = asv(project, "run", "--quick", "--show-stderr")

    records = [json.loads(path.read_text()) for path in (project / ".asv/rigmark-results/records").glob("*.json")]
    assert {record["identity"]["case"]["build"] for record in records} == {f"mine@{commit[:12]}"}
    assert all("of this commit" in record["reason"] for record in records)
    assert "of this commit" in said


def committed(project: Path) -> str:
    git = ("git", "-C", str(project), "-c", "user.name=me", "-c", "user.email=me@here")
    subprocess.run([*git, "add", "--all"], check=True)
    subprocess.run([*git, "commit", "--quiet", "--no-gpg-sign", "--message", "state"], check=True)
    return subprocess.run([*git, "rev-parse", "HEAD"], check=True, text=True, capture_output=True).stdout.strip()


def asv(project: Path, *arguments: str) -> str:
    return subprocess.run(
        [sys.executable, "-m", "asv", *arguments], cwd=project, env=os.environ | {"HOME": str(project)}, text=True,
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False,
    ).stdout


def test_a_lock_file_is_installed_at_each_commit(monkeypatch: pytest.MonkeyPatch, project: Path):
    (project / "requirements.txt").write_text("numpy==2.0\n")

    assert init(monkeypatch, "--asv", str(project), "--rigmark", "/src/rigmark") == 0

    commands = json.loads((project / "asv.conf.json").read_text())["install_command"]
    assert "what requirements.txt pins at a commit" in (project / "benchmarks/rigmark_networks.py").read_text()
    assert commands[0].endswith("pip install /src/rigmark")
    assert commands[1].endswith("-r {build_dir}/requirements.txt")


def test_the_suite_is_one_that_asv_would_find(monkeypatch: pytest.MonkeyPatch, project: Path):
    init(monkeypatch, "--asv", str(project), "--framework", "numpy")
    monkeypatch.syspath_prepend(str(project))
    for name in [name for name in sys.modules if name.partition(".")[0] == "benchmarks"]:
        monkeypatch.delitem(sys.modules, name)

    suite = importlib.import_module("benchmarks.rigmark_networks")

    assert [case.split()[:3] for case in suite.track_step_time.params[0]] == [
        ["mnist_cnn", "inference", "numpy"], ["mnist_cnn", "training", "numpy"]
    ]
    monkeypatch.delitem(sys.modules, "benchmarks.rigmark_networks")
    monkeypatch.delitem(sys.modules, "benchmarks")


def test_what_is_there_is_left_as_it_is(
    monkeypatch: pytest.MonkeyPatch, project: Path, capsys: pytest.CaptureFixture[str]
):
    """The suite then goes where the project's own benchmarks are."""
    mine = '{\n    // mine\n    "benchmark_dir": "perf",\n}'
    (project / "asv.conf.json").write_text(mine)

    assert init(monkeypatch, "--asv", str(project)) == 0

    assert (project / "asv.conf.json").read_text() == mine
    assert (project / "perf/rigmark_networks.py").is_file()
    assert "was not changed" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ((), "rigmark init --asv"), (("--asv", "nowhere"), "no folder nowhere"),
        (("--asv", "--lock", "missing.lock"), "no lock file missing.lock"),
        (("--asv", "--framework", "pytroch"), "did you mean 'torch'"),
    ],
)
def test_what_cannot_be_is_answered_in_a_sentence(
    monkeypatch: pytest.MonkeyPatch, project: Path, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...],
    sentence: str,
):
    monkeypatch.chdir(project)

    assert init(monkeypatch, *(arguments or (".",))) == 2
    assert sentence in capsys.readouterr().err


def test_asv_measures_commits_and_no_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    (tmp_path / "plain").mkdir()

    assert init(monkeypatch, "--asv", str(tmp_path / "plain")) == 2


# Installing ---------------------------------------------------------------------------------------------------------

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("direct", "source"),
    [
        ({"url": "https://host/rigmark.git", "vcs_info": {"vcs": "git", "commit_id": "c0de"}},
         "git+https://host/rigmark.git@c0de"),
        ({"url": "file:///tmp/rigmark-1.0-py3-none-any.whl", "archive_info": {}},
         "file:///tmp/rigmark-1.0-py3-none-any.whl"),
        (None, f"rigmark=={__version__}"),
    ],
    ids=["repository", "file", "index"],
)
def test_rigmark_is_installed_from_where_this_one_came_from(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, direct: dict[str, Any] | None, source: str
):
    module = importlib.import_module("rigmark.bench.cli.init")
    assert str(ROOT) == module._installed_from()                     # a checkout

    monkeypatch.setattr(module, "__file__", str(tmp_path / "site-packages/bench/cli/init.py"))
    said = None if direct is None else json.dumps(direct)
    monkeypatch.setattr(metadata, "distribution", lambda name: SimpleNamespace(read_text=lambda file: said))

    assert source == module._installed_from()


def test_nobody_is_told_to_install_rigmark_from_an_index_that_does_not_have_it():
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    told = re.compile(r"pip install[^`\n#]*[ '\"](?:rigmark(?![\w/.])|\$RIGMARK\b)")

    kinds = (".py", ".md", ".yml", ".sh", ".toml", ".ipynb", ".po", "Makefile")
    assert [] == [
        f"{name}: {line.strip()}" for name in tracked if name.endswith(kinds) and name != "tests/cli/test_init.py"
        for line in (ROOT / name).read_text(encoding="utf-8").splitlines() if told.search(line)
    ]
    assert told.search("pip install 'rigmark[data]'")
    assert told.search("pip install rigmark")
