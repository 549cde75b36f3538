"""action.yml: its scripts, run as a runner of GitHub runs them, in a small repository."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.builds.test_revisions import commit, git
from tests.history.test_sources import written

ROOT = Path(__file__).parents[1]
ACTION: dict[str, Any] = yaml.safe_load((ROOT / "action.yml").read_text())
STEPS = {step["name"]: step for step in ACTION["runs"]["steps"]}
EXPRESSION = re.compile(r"\$\{\{(.*?)\}\}")


def evaluated(text: str, known: dict[str, str]) -> str:
    """The text with its expressions, of which each is the first name or word of an "or" that is not empty."""
    def value(match: re.Match[str]) -> str:
        for term in map(str.strip, match[1].split("||")):
            found = term[1:-1] if term.startswith("'") else known.get(term, "")
            if found:
                return found
        return ""

    return EXPRESSION.sub(value, text)


@pytest.fixture
def runner(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Runs a step in a repository whose second commit takes twice as long; (exit code, output, summary, outputs)."""
    programs, project = tmp_path / "bin", tmp_path / "project"
    programs.mkdir()
    project.mkdir()
    (programs / "rigmark").write_text(f'#!/bin/sh\nexec "{sys.executable}" -m rigmark.bench "$@"\n')
    (programs / "python").write_text('#!/bin/sh\necho "python $*"\n')
    for program in programs.iterdir():
        program.chmod(0o755)
    git(project, "init", "--quiet")
    for number in (1, 2):
        (project / "number").write_text(f"{number}\n")
        commit(project)

    def run(name: str, event: dict[str, str] | None = None, **inputs: str) -> tuple[int, str, str, str]:
        defaults = {key: str(each.get("default", "")) for key, each in ACTION["inputs"].items()}
        given = {key.replace("_", "-"): each for key, each in inputs.items()}
        assert given.keys() <= defaults.keys()
        known = {f"inputs.{key}": each for key, each in {**defaults, **given}.items()}
        known |= {"github.action_path": "/action", "github.sha": git(project, "rev-parse", "HEAD").strip(),
                  **(event or {})}
        step = STEPS[name]
        summary, outputs = tmp_path / "summary.md", tmp_path / "outputs"
        done = subprocess.run(
            ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", step["run"]], cwd=project, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False, env={
                **os.environ, **{key: evaluated(each, known) for key, each in step["env"].items()},
                "PATH": f"{programs}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT), "GITHUB_OUTPUT": str(outputs),
                "GITHUB_STEP_SUMMARY": str(summary),
            },
        )
        texts = (path.read_text() if path.exists() else "" for path in (summary, outputs))
        return done.returncode, done.stdout, *texts

    return run


def test_nothing_from_outside_is_part_of_a_script():
    for step in ACTION["runs"]["steps"]:
        assert "${{" not in step.get("run", "")
    used = set(re.findall(r"inputs\.([a-z-]+)", (ROOT / "action.yml").read_text()))
    assert ACTION["inputs"].keys() == used


def test_rigmark_is_installed_from_the_revision_of_the_action(runner: Any):
    assert runner("Install Rigmark")[1].split()[-1] == "/action"
    assert runner("Install Rigmark", rigmark="a b; exit 3")[:2] == (
        0, "python -m pip install --quiet --disable-pip-version-check a b; exit 3\n"
    )


def test_a_number_that_a_command_prints_is_judged(runner: Any, tmp_path: Path):
    arguments = "--metric\n(.+)\n--lower\n--warm-up\n0\n"

    code, output, summary, outputs = runner(
        "Judge", command="cat number", arguments=arguments, budget="8s", build_command="sed -i s/2/2.5/ number"
    )

    assert (1, "code=1\n") == (code, outputs), output
    assert "1 case: 1 worse." in summary
    folder = tmp_path / "project" / "rigmark-out"
    assert {"results", "verdict.md", "verdict.xml"} == {path.name for path in folder.iterdir()}


@pytest.mark.parametrize(("strict", "ended"), [("false", 0), ("true", 4)])
def test_no_verdict_fails_only_where_that_is_asked_for(runner: Any, strict: str, ended: int):
    event = {"github.event.pull_request.base.sha": "HEAD"}       # so both sides are the same

    code, output, _, outputs = runner(
        "Judge", event, command="date +%N", arguments="--metric\n(.+)\n--lower", budget="0.1s", strict=strict
    )

    assert (ended, "code=4\n") == (code, outputs), output
    assert ("::warning" in output) == (ended == 0)


def test_a_history_is_checked(runner: Any, tmp_path: Path):
    commits = [f"{number:07x}abc" for number in range(24)]
    written(tmp_path / "project" / "kept", "google", commits, factor=1.2)

    code, output, summary, _ = runner("Judge", check="google", folder="kept")

    assert 1 == code, output
    assert "BM_Sort" in summary


@pytest.mark.parametrize("inputs", [{}, {"suite": "fast", "asv": "."}])
def test_exactly_one_thing_is_judged(runner: Any, inputs: dict[str, str]):
    code, output, *_ = runner("Judge", **inputs)

    assert 2 == code
    assert "::error title=Rigmark::give exactly one of" in output


@pytest.mark.parametrize(("inputs", "sentence"), [
    ({"pytest": "gone"}, "there is no gone; --pytest takes"), ({"asv": "gone"}, "no asv.conf.json in gone"),
    ({"suite": "gone"}, "no suite 'gone'"),
    ({"command": "cat number; exit 0"}, "cat: 0: No such file"),      # the words of a program, not of a shell
])
def test_a_mistake_fails_with_the_sentence_of_rigmark(runner: Any, inputs: dict[str, str], sentence: str):
    code, output, summary, _ = runner("Judge", **inputs, budget="0.1s")

    assert 2 == code
    assert sentence in output + summary
