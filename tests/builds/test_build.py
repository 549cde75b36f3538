"""builds.toml: interpreters by name, and a sentence for everything that it cannot mean."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import pytest

from rigmark.bench.builds import build
from rigmark.bench.builds.build import Build
from rigmark.bench.enums import Isa
from rigmark.bench.errors import UnknownName, UserError
from tests.records import CASE


def load(folder: Path, text: str) -> dict[str, Build]:
    (folder / build.FILE).write_text(text, encoding="utf-8")
    return build.load(folder)


def test_without_a_file_there_is_the_interpreter_that_runs_rigmark(tmp_path: Path):
    assert build.load(tmp_path) == {"default": Build(name="default", interpreter=sys.executable)}


def test_a_build_has_an_interpreter_and_variables(tmp_path: Path):
    loaded = load(tmp_path, """
        [build.generic]
        interpreter = "/opt/torch/bin/python"
        variables = { ONEDNN_MAX_CPU_ISA = "SSE41", KMP_BLOCKTIME = 0 }
    """)

    assert list(loaded) == ["default", "generic"]
    assert loaded["generic"] == Build(
        name="generic", interpreter="/opt/torch/bin/python",
        variables={"ONEDNN_MAX_CPU_ISA": "SSE41", "KMP_BLOCKTIME": "0"},
    )


def test_a_build_may_hold_the_interpreter_that_runs_rigmark_to_an_instruction_set(tmp_path: Path):
    loaded = load(tmp_path, '[build.generic]\nisa = "sse41"')
    case = replace(CASE, build="generic")

    assert sys.executable == loaded["generic"].interpreter
    for asked in (case, replace(case, isa=Isa.SSE41)):
        assert Isa.SSE41 == build.with_isa_of_build(asked, loaded).isa
    assert CASE == build.with_isa_of_build(CASE, loaded)
    with pytest.raises(UserError, match="build 'generic' is limited to sse41 and cannot run avx2"):
        build.with_isa_of_build(replace(case, isa=Isa.AVX2), loaded)


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("/opt/bin/python", "/opt/bin/python"),
        ("venvs/torch/bin/python", "{folder}/venvs/torch/bin/python"),       # beside the file
        ("~/torch/bin/python", "{home}/torch/bin/python"),
        ("python3.9", "python3.9"),                                          # found on the path
    ],
)
def test_the_path_of_an_interpreter_is_resolved(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, written: str, meant: str
):
    monkeypatch.setenv("HOME", "/home/somebody")

    loaded = load(tmp_path, f'[build.other]\ninterpreter = "{written}"')

    assert loaded["other"].interpreter == meant.format(folder=tmp_path, home="/home/somebody")


def test_the_file_is_looked_for_in_the_current_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    load(tmp_path, '[build.here]\ninterpreter = "python3"')
    monkeypatch.chdir(tmp_path)

    assert "here" in build.load()


def test_a_recipe_lives_in_a_folder_of_the_users_data(tmp_path: Path):
    loaded = load(tmp_path, """
        [build.old]
        packages = ["torch==2.9.1"]
        python = "../python3.10/bin/python"
        post_install = "pip check"
    """)["old"]

    assert loaded.is_managed
    assert loaded.packages == ("torch==2.9.1",)
    assert loaded.interpreter == str(build.environments() / "old" / "bin" / "python")
    assert loaded.python == str(tmp_path / "../python3.10/bin/python")


def test_a_projects_build_comes_before_the_users_of_the_same_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    build.user_file().parent.mkdir(parents=True)
    build.user_file().write_text('[build.mine]\ninterpreter = "a"\n[build.both]\ninterpreter = "b"\n')

    loaded = load(tmp_path, '[build.both]\ninterpreter = "c"')

    assert {"mine": "a", "both": "c"} == {name: loaded[name].interpreter for name in ("mine", "both")}


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("[build.x", "is not valid TOML"),
        ("[build.x]", "build 'x' names neither an interpreter nor packages"),
        ('[build.x]\npost_install = "true"\ninterpreter = "p"', "build 'x' names neither an interpreter nor packages"),
        ('[build.x]\npackages = "torch"', "build 'x' must give packages as a list"),
        ('[build.x]\npackages = ["torch"]\ninterpreter = "p"', "build 'x' has both an interpreter and packages"),
        ('[build.x]\npackages = ["torch"]\npython = 3', "build 'x' must give python as a text"),
        ("[build.x]\ninterpreter = 3", "build 'x' must give interpreter as a text"),
        ('[build.x]\nisa = "avx3"', "build 'x' asks for an unknown instruction set 'avx3'; known: sse41, avx2"),
        ('[build.x]\ninterpreter = "p"\nvariabels = {}', "build 'x' has an unknown key 'variabels'"),
        ('[build.x]\ninterpreter = "p"\nvariables = "A=1"', "build 'x' must give variables as a table"),
        ('[build.x]\ninterpreter = "p"\nvariables = { "A=B" = "1" }', "build 'x' has a variable named 'A=B'"),
        ('[build.x]\ninterpreter = "p"\nvariables = { "" = "1" }', "build 'x' has a variable named ''"),
        ('[build.x]\ninterpreter = "p"\nvariables = { A = "\\u0000" }', "build 'x' contains a NUL character"),
        ('[build.x]\ninterpreter = "\\u0000"', "build 'x' contains a NUL character"),
        ('[build."/some/folder"]\npackages = ["x"]', "build '/some/folder' has an invalid name"),
        ('[build."../x"]\ninterpreter = "p"', r"build '\.\./x' has an invalid name"),
        ('[build.""]\ninterpreter = "p"', "build '' has an invalid name"),
        ('[build]\ninterpreter = "p"', r"a build without a name; the table of a build is \[build.NAME\]"),
        ("build = 3", "a build without a name"),
        ('[builds.x]\ninterpreter = "p"', "unknown table 'builds'"),
        ('[build.default]\ninterpreter = "p"', "'default' is always the interpreter that runs Rigmark"),
    ],
)
def test_what_cannot_be_meant_is_refused_in_a_sentence(tmp_path: Path, text: str, sentence: str):
    with pytest.raises(UserError, match=sentence):
        load(tmp_path, text)


def test_a_file_that_cannot_be_read_is_reported(tmp_path: Path):
    (tmp_path / build.FILE).mkdir()

    with pytest.raises(UserError, match="cannot read"):
        build.load(tmp_path)


def test_an_unknown_build_is_answered_with_the_nearest_name(tmp_path: Path):
    loaded = load(tmp_path, '[build.generic]\ninterpreter = "python3"')

    assert build.find("generic", loaded).name == "generic"
    with pytest.raises(UnknownName, match="no build 'genric'; did you mean 'generic'"):
        build.find("genric", loaded)


def test_the_adapter_of_a_framework_states_what_its_recipe_installs(tmp_path: Path):
    made = load(tmp_path, '[build.old]\nrecipe = "mxnet"')["old"]

    assert ("mxnet", build.recipes()["mxnet"]["packages"]) == (made.recipe, made.packages)
    assert made.is_managed
    assert "3.11" == made.pythons[0]


@pytest.mark.parametrize(("table", "sentence"), [
    ('recipe = "torch"', "asks for an unknown recipe 'torch'; there are those of: mxnet"),
    ('recipe = "mxnet"\npackages = ["torch"]', "has both a recipe and packages"),
    ('recipe = "mxnet"\ninterpreter = "python3"', "has both a recipe and interpreter"),
])
def test_a_recipe_is_that_of_a_framework_and_nothing_beside_it(tmp_path: Path, table: str, sentence: str):
    with pytest.raises(UserError, match=sentence):
        load(tmp_path, f"[build.old]\n{table}")
