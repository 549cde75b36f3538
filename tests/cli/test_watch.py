"""rigmark watch: which releases there are, what they download, and in which of them something changed."""

from __future__ import annotations

import json
import os
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest

from rigmark.bench.analysis.causes.cause import Cause, Kind, Located, Share
from rigmark.bench.analysis.comparison.verdicts import CaseVerdict, Method, Verdicts
from rigmark.bench.analysis.statistics.decision import Verdict, decide_all
from rigmark.bench.builds import build as builds
from rigmark.bench.builds import environments, releases
from rigmark.bench.builds.build import Build
from rigmark.bench.errors import UserError
from tests.cli.test_verdicts import Ended, command

__all__ = ["command"]


CAUSE = Cause(
    kind=Kind.LAYER, located=(Located(layer="conv1", direction="forward", base_time_s=1.0, new_time_s=2.0),),
    share=Share(value=1.0, low=0.95, high=1.05),
)


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user of their own, and an index with three versions of NumPy that are nothing, one of them no release."""
    folder = tmp_path / "index"
    folder.mkdir()
    for version in ("1.10", "1.9", "2.0rc1"):
        with zipfile.ZipFile(folder / f"numpy-{version}-py3-none-any.whl", "w") as wheel:
            wheel.writestr(f"numpy-{version}.dist-info/METADATA",
                           f"Metadata-Version: 2.1\nName: numpy\nVersion: {version}\n")
            wheel.writestr(f"numpy-{version}.dist-info/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
            wheel.writestr(f"numpy-{version}.dist-info/RECORD", "")
    for name, value in {
        "XDG_DATA_HOME": tmp_path / "data", "XDG_CONFIG_HOME": tmp_path / "config", "PIP_NO_INDEX": "1",
        "PIP_FIND_LINKS": folder, "PIP_CONFIG_FILE": os.devnull,
    }.items():
        monkeypatch.setenv(name, str(value))
    return folder


def test_releases_are_in_order_and_their_download_is_known(
    command: Callable[..., Ended], index: Path, tmp_path: Path
):
    assert ["1.9", "1.10"] == [each.version for each in releases.latest("numpy", 6)]
    assert ["1.10"] == [each.version for each in releases.latest("numpy", 1)]
    size_bytes = (index / "numpy-1.9-py3-none-any.whl").stat().st_size
    assert releases.Download(packages=1, size_bytes=size_bytes) == releases.download(["numpy==1.9"])

    code, output, errors = command("watch", "fast", "--framework", "numpy", "--dry-run")

    assert (0, "") == (code, output)
    assert errors.splitlines() == [f"numpy-{version}: 1 package to download, 0 MB" for version in ("1.9", "1.10")]
    assert not (tmp_path / "data").exists()


def test_a_package_that_pip_does_not_find_is_told(index: Path):
    with pytest.raises(UserError, match="pip cannot list the releases of torch: ERROR: No matching distribution"):
        releases.latest("torch", 6)


@pytest.fixture
def three(index: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[float, float], list[str]]:
    """Three releases; gives the ratios of the times of neighbours, and returns what is compared with what."""
    def create(build: Build, tell: Callable[[str], None]) -> None:
        folder = builds.environment(build.name)
        folder.mkdir(parents=True)
        (folder / environments.FINISHED).write_text(json.dumps({"recipe": environments._recipe(build)}))

    monkeypatch.setattr(environments, "create", create)
    monkeypatch.setattr(releases, "latest", lambda package, count: [
        releases.Release(package=package, version=version) for version in ("1", "2", "3")
    ])
    monkeypatch.setattr(releases, "download", lambda requirements: releases.Download(packages=2, size_bytes=None))
    compared: list[str] = []

    def lend(*slowdowns: float) -> list[str]:
        ratios = iter(slowdowns)

        def decided(base: str, new: str, *_: Any, others: int, **settings: Any) -> Verdicts:
            compared.append(f"{base} {new} {settings['clock']} {others}")
            pairs = -np.log(next(ratios)) + 0.001 * np.arange(-12, 12)
            decision = decide_all({"": list(pairs)}, others=others)[""]
            return Verdicts(base=base, new=new, cases=(CaseVerdict(
                label="mlp", facts={}, verdict=decision.verdict, method=Method.TURNS, decision=decision,
                cause=None if decision.verdict is Verdict.SAME else CAUSE,
            ),))

        monkeypatch.setattr("rigmark.bench.cli.ab.decided", decided)
        return compared

    return lend


@pytest.mark.parametrize(("ratios", "code", "changed"), [
    ((1.2, 1.0), 0, [("build:numpy-2", "slower", 0.2)]), ((1.0, 1.2), 1, [("build:numpy-3", "slower", 0.2)]),
    ((1.0, 0.8), 0, [("build:numpy-3", "faster", -0.2)]), ((1.0, 1.0), 0, []),
])
def test_the_release_that_changed_something_is_named(
    command: Callable[..., Ended], three: Callable[..., list[str]], ratios: tuple[float, float], code: int,
    changed: list[tuple[str, str, float]],
):
    compared = three(*ratios)

    ended, output, errors = command(
        "watch", "fast", "--framework", "numpy", "--clock", "cpu", "--json", "--junit", "x.xml"
    )

    told = json.loads(output)
    assert code == ended
    assert ["layer"] * len(changed) == [each["cause"]["kind"] for each in told["changed"]]
    assert [(name, verdict, pytest.approx(change, abs=0.002)) for name, verdict, change in changed] == [
        (each["release"], each["verdict"], each["change"]) for each in told["changed"]
    ]
    assert ["build:numpy-1 build:numpy-2 cpu", "build:numpy-2 build:numpy-3 cpu"] == [
        each.rpartition(" ")[0] for each in compared
    ]
    assert all(int(each.rpartition(" ")[2]) > 0 for each in compared)
    names = [test.get("name") for test in ElementTree.parse("x.xml").getroot().iter("testcase")]
    assert [f"mlp: build:numpy-{n} against build:numpy-{n + 1}" for n in (1, 2)] == names
    assert "numpy-1: 2 packages to download, of unknown size" in errors


def test_old_builds_are_removed_only_where_that_is_asked_for(
    command: Callable[..., Ended], three: Callable[..., list[str]]
):
    three(1.2, 1.0, 1.2, 1.0)

    code, output, _ = command("watch", "fast", "--framework", "numpy", "--format", "markdown")
    assert {"numpy-1", "numpy-2", "numpy-3"} <= {*builds.load()}
    again = command("watch", "fast", "--framework", "numpy", "--format", "markdown", "--keep", "1")

    assert 0 == code == again[0]
    assert "numpy-2: mlp is slower, +20" in output
    assert "than in numpy-1; conv1 forward, +100" in output
    assert "there already" in again[2]
    assert {"numpy-3"} == {*builds.load()} - {"default"}
    assert ["numpy-3"] == sorted(path.name for path in builds.environments().iterdir())


def test_cases_that_are_judged_elsewhere_make_a_verdict_rarer():
    pairs = [0.1 + 0.001 * number for number in range(16)]

    assert Verdict.FASTER is decide_all({"": pairs[:12]})[""].verdict
    assert Verdict.INCONCLUSIVE is decide_all({"": pairs[:12]}, others=5)[""].verdict
    assert Verdict.FASTER is decide_all({"": pairs}, others=5)[""].verdict


@pytest.mark.parametrize(("arguments", "sentence"), [
    (("--framework", "nump"), "no framework 'nump'; did you mean 'numpy'?"),
    (("--framework", "jax", "--package", "flax"), "no package of jax 'flax'"),
    (("--framework", "numpy", "--budget", "soon"), "--budget takes a time such as"),
])
def test_a_mistake_is_answered_in_a_sentence(
    command: Callable[..., Ended], arguments: tuple[str, ...], sentence: str
):
    code, _, errors = command("watch", "fast", *arguments)

    assert 2 == code
    assert sentence in " ".join(errors.split())

def test_a_release_that_does_not_install_is_told_and_its_neighbours_are_compared(
    command: Callable[..., Ended], three: Callable[..., list[str]], monkeypatch: pytest.MonkeyPatch
):
    compared, create, sized = three(1.0), environments.create, releases.download

    def broken(build: Build, tell: Callable[[str], None]) -> None:
        if build.name == "numpy-2":
            raise UserError("pip ended with exit code 1")
        create(build, tell)

    monkeypatch.setattr(environments, "create", broken)

    code, output, _ = command("watch", "fast", "--framework", "numpy", "--json", "--junit", "x.xml")

    assert (2, {"numpy-2": "pip ended with exit code 1"}) == (code, json.loads(output)["not_installed"])
    assert ["build:numpy-1 build:numpy-3 wall"] == [each.rpartition(" ")[0] for each in compared]
    assert ["numpy-2"] == [test.get("name") for test in ElementTree.parse("x.xml").getroot().iter("testcase")
                           if test.find("error") is not None]

    def unknown(requirements: list[str]) -> releases.Download:
        if requirements[0].endswith("==2"):
            raise UserError("pip cannot resolve it")
        return sized(requirements)

    monkeypatch.setattr(releases, "download", unknown)
    code, output, errors = command("watch", "fast", "--framework", "numpy", "--dry-run")
    assert (2, "", True) == (code, output, "numpy-2 does not install here: pip cannot resolve it" in errors)
