"""The command as people and scripts meet it: its exit codes, its sentences, and what it leaves on stdout."""

from __future__ import annotations

import csv
import io
import json
import os
import pty
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import typer

from rigmark import reports, suites
from rigmark.bench import cli, datasets, importers
from rigmark.bench.cli import app, main
from rigmark.bench.enums import CompileMode, Layout, Mode, TrialKind
from rigmark.bench.plan.schedule import plan
from rigmark.bench.plan.sweep import Sweep
from rigmark.bench.runner.expectation import expected
from rigmark.bench.runner.progress import duration
from rigmark.bench.store.store import Store
from rigmark.bench.worker import strategies
from tests.fakes import RIGMARK, SHORT, add_numpy, bare_environment, make_record, oracle_answers, rigmark, write_builds
from tests.records import PARITY
from tests.records import make_record as make_record_of

MLP = ("run", "--model", "mlp", "--mode", "inference", "--batch", "2", "--threads", "1", "--min-time", "0.01")
ONCE = (*MLP, "--framework", "numpy", "--repetitions", "1")


@dataclass(frozen=True)
class Ended:
    code: int
    output: str
    errors: str


Command = Callable[..., Ended]
ROOT = Path(__file__).parents[2]


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Command:
    """The command in this process, in a folder of its own; its workers are real."""
    monkeypatch.chdir(tmp_path)
    shutil.copytree(oracle_answers(), tmp_path / "results" / "oracle")

    def run(*arguments: str) -> Ended:
        monkeypatch.setattr(sys, "argv", ["rigmark", *arguments])
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            sys.exit(main())     # as the console script does
        shown = capsys.readouterr()
        return Ended(int(ended.value.code or 0), shown.out, shown.err)

    return run


@pytest.fixture
def suite(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Make "quick" declare something small."""
    def declare(**axes: Any) -> None:
        small = Sweep(**{
            "models": ("mlp",), "frameworks": ("numpy",), "modes": (Mode.INFERENCE,), "local_batches": (2,),
            "repetitions": 1, "timing": SHORT, **axes,
        })
        monkeypatch.setattr(suites, "sweeps", lambda name: (small,))

    return declare


# Words that nothing is called ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("run", "quik"), "no suite 'quik'; did you mean 'quick'?"),
        (("run", "--model", "mpl", "--framework", "numpy"), "no model 'mpl'; did you mean 'mlp'?"),
        (("run", "--model", "mlp", "--framework", "pytroch"), "no framework 'pytroch'; did you mean 'torch'?"),
        ((*ONCE, "--precision", "fp31"), "no precision 'fp31'; did you mean 'fp32'?"),
        ((*ONCE, "--mode", "trainin"), "no mode 'trainin'; did you mean 'training'?"),
        ((*ONCE, "--layout", "channel_last"), "no layout 'channel_last'; did you mean 'channels_last'?"),
        ((*ONCE, "--compile-mode", "complied"), "no compile mode 'complied'; did you mean 'compiled'?"),
        ((*ONCE, "--data", "digit"), "no data 'digit'; did you mean 'digits'?"),
        ((*ONCE, "--build", "defualt"), "no build 'defualt'; did you mean 'default'?"),
        ((*ONCE, "--model", "zzz"), "no model 'zzz'; known: "),
    ],
)
def test_an_unknown_name_is_answered_with_the_nearest_known_one(
    command: Command, arguments: tuple[str, ...], sentence: str
):
    ended = command(*arguments)

    assert 2 == ended.code
    assert "" == ended.output
    assert ended.errors.startswith(f"rigmark: {sentence}")
    assert 1 == ended.errors.count("\n")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("run",), "name a suite"),
        (("run", "--model", "mlp"), "name a suite"),
        ((*ONCE, "--batch", "0"), "--batch must be at least 1, not 0"),
        ((*ONCE, "--batch", "1e3"), "--batch takes whole numbers separated by commas, not '1e3'"),
        ((*ONCE, "--batch", "1,,2"), "--batch takes values separated by commas, but one of '1,,2' is empty"),
        ((*ONCE, "--batch", "1,2,1"), "--batch names '1' twice"),
        ((*ONCE, "--world-size", "0"), "--world-size must be at least 1, not 0"),
        ((*ONCE, "--bucket-mb", "usual,nan"), "--bucket-mb takes usual, or numbers above 0, not 'nan'"),
        ((*ONCE, "--framework", ""), "--framework takes values separated by commas, but one of '' is empty"),
        (("ab", "fast", "--base", "default", "--new", "default", "--budget", "banana"),
         "--budget takes a time such as 90s, 10m or 1h, not 'banana'"),
        (("run", "quick", "--model", "alexnet"),
         "suite 'quick' has no model alexnet; it has mnist_cnn, resnet18, lstm; with --beyond an option may"),
        (("run", "quick", "--model", "lstm", "--batch", "32"),
         "suite 'quick' has no case with model lstm and batch 32 together"),
        ((*ONCE, "--batch", "1,x"), "--batch takes whole numbers separated by commas, not 'x'"),
        ((*ONCE, "--threads", "-1"), "threads must be at least 1, not -1"),
        ((*ONCE, "--repetitions", "0"), "repetitions must be at least 1, not 0"),
        ((*ONCE, "--steps-per-timing", "0"), "steps per timing must be at least 1, not 0"),
        ((*ONCE, "--min-time", "0"), "--min-time must be a number above 0 s, not 0"),
        ((*ONCE, "--timeout", "0"), "--timeout must be a number above 0 s, not 0"),
        (("run", "--model", "resnet18", "--framework", "numpy", "--data", "digits"), "data 'digits' has samples of"),
        (("results", "--results", "nowhere"), "no results in nowhere; rigmark run quick --results nowhere makes some"),
    ],
)
def test_input_that_cannot_be_is_answered_in_a_sentence(command: Command, arguments: tuple[str, ...], sentence: str):
    ended = command(*arguments)

    assert 2 == ended.code
    assert sentence in ended.errors
    assert 1 == ended.errors.count("\n")


def test_a_results_folder_that_cannot_be_written_to_is_reported(command: Command, tmp_path: Path):
    (tmp_path / "file").touch()

    ended = command(*ONCE, "--results", "file")

    assert (2, "rigmark: cannot write results to file: Not a directory; choose another --results\n") == (
        ended.code, ended.errors
    )


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("[build.odd", "is not valid TOML"),
        ("[build.odd]\n", "build 'odd' names neither an interpreter"),
        ("[build.odd]\ninterpreter = 3\n", "build 'odd' must give interpreter as a text"),
        ('[build.odd]\ninterpeter = "python3"\n', "build 'odd' has an unknown key 'interpeter'"),
        ("build = 3\n", "has a build without a name"),
    ],
)
def test_a_builds_file_that_cannot_be_read_is_reported(command: Command, tmp_path: Path, content: str, sentence: str):
    (tmp_path / "builds.toml").write_text(content)

    ended = command(*ONCE)

    assert 2 == ended.code
    assert sentence in ended.errors
    assert 1 == ended.errors.count("\n")


@pytest.mark.parametrize(("arguments", "sentence"), [
    (("reprot",), "no verb of rigmark 'reprot'; did you mean 'report'? known: "),
    (("builds", "lst"), "no verb of rigmark builds 'lst'; did you mean 'list'? known: add, create, list, remove"),
    (("report", "--formt", "html"), "no option '--formt' of rigmark report; did you mean --format? rigmark report"),
    (("run", "quick", "--repetitions", "x"), "invalid value for '--repetitions': "),
    (("run", "quick", "--repetitions", "x"), ", not 'x'; see rigmark run --help"),
    (("check", "--fail-on", "slow"), "no --fail-on 'slow'; did you mean 'slower'? known: never, slower"),
    (("compare", "a", "b", "--clock", "cup"), "no --clock 'cup'; did you mean 'cpu'? known: cpu, wall"),
    (("ab", "fast"), "rigmark ab compares two sides; name them with --base and --new"),
])
def test_a_command_that_the_parser_refuses_is_answered_in_a_sentence(
    command: Command, arguments: tuple[str, ...], sentence: str
):
    ended = command(*arguments)

    assert (2, "") == (ended.code, ended.output)
    assert sentence in ended.errors
    assert 1 == ended.errors.count("\n")


DOCUMENTS = sorted(
    name for name, verb in typer.main.get_command(app).commands.items()
    if {"format", "output"} <= {each.name for each in verb.params} and name != "export"      # which writes a network
)
"""Verbs that write a document or a table."""

NEEDED = {
    "ab": ("fast", "--base", "default", "--new", "default"), "compare": ("a", "b"), "noise": ("fast",),
    "watch": ("fast", "--framework", "numpy"),
}


@pytest.mark.parametrize("verb", DOCUMENTS)
@pytest.mark.parametrize(("more", "sentence"), [
    (("-o", "x.docx"), "the ending of 'x.docx' means no format; use one of .txt, "),
    (("-o", "x"), "the ending of 'x' means no format"),
    (("-o", "x.txt", "--format", "jsno"), "no format 'jsno'"),
    (("-o", "x.txt", "--format", "json"), None),
    (("-o", "x.html", "--json"), None),
])
def test_a_file_is_what_its_name_says_or_is_refused_before_anything_is_done(
    command: Command, tmp_path: Path, verb: str, more: tuple[str, ...], sentence: str | None
):
    ended = command(verb, *NEEDED.get(verb, ()), *more)

    assert (2, "") == (ended.code, ended.output)
    assert sentence is None or sentence in ended.errors
    assert 1 == ended.errors.count("\n")
    assert not (tmp_path / more[1]).exists()


@pytest.mark.parametrize(("file", "begin"), [
    ("x.txt", "Rigmark report"), ("x.md", "# "), ("x.html", "<!doctype html>"), ("X.HTML", "<!doctype html>"),
])
def test_the_name_of_a_file_says_its_format(command: Command, stored: Path, file: str, begin: str):
    assert 0 == command("report", "-o", file).code
    assert Path(file).read_text(encoding="utf-8").startswith(begin)


def test_data_goes_into_the_file_that_is_named(command: Command, stored: Path):
    for verb in DOCUMENTS:
        if verb in NEEDED or verb == "report":
            continue
        ended = command(verb, "-o", f"{verb}.json")

        assert "" == ended.output, verb
        assert json.loads(Path(f"{verb}.json").read_text(encoding="utf-8")) is not None


def test_every_verb_has_a_short_option_for_its_help(command: Command):
    for verb in typer.main.get_command(app).commands:
        long, short = command(verb, "--help"), command(verb, "-h")

        assert (0, long.output) == (short.code, short.output), (verb, short.errors)


def test_every_verb_that_shows_a_document_does_so_in_any_language():
    """Those that call what shows one."""
    folder = Path(cli.__file__).parent
    shows = {
        path.stem for path in folder.glob("[!_]*.py")
        if re.search(r"\b(show_document|write_document|show)\(", path.read_text(encoding="utf-8"))
    }
    verbs = typer.main.get_command(app).commands

    assert {"run", "report", "compare", "layers"} <= shows
    assert [] == sorted(name for name in shows if "lang" not in {each.name for each in verbs[name].params})


# Exit codes ----------------------------------------------------------------------------------------------------------


def test_a_sweep_that_went_well_ends_with_0_and_resumes(command: Command):
    first, second = command(*ONCE), command(*ONCE)

    assert (0, 0) == (first.code, second.code)
    assert "2 trials measured" in first.errors
    assert "0 trials measured" in second.errors
    assert "2 were stored already" in second.errors
    assert "mlp inference, numpy" in first.output        # with its figure
    assert first.output == second.output


def test_again_measures_in_a_new_session(command: Command):
    command(*ONCE)

    ended = command(*ONCE, "--again")

    assert 0 == ended.code
    assert "1 trial measured" in ended.errors        # the proof needs no session
    rows = json.loads(command("results", "--json").output)
    assert ["1", "2"] == sorted(row["session"] for row in rows)


def test_a_planned_gap_of_a_suite_does_not_fail_it(command: Command, suite: Callable[..., None]):
    suite(layouts=(Layout.NCHW, Layout.CHANNELS_LAST))

    ended = command("run", "quick")

    assert 0 == ended.code
    assert "unsupported: mlp/numpy/inference: its proof: numpy has no layout 'channels_last'" in ended.errors


def test_a_suite_of_nothing_but_planned_gaps_measured_nothing(command: Command, suite: Callable[..., None]):
    suite(layouts=(Layout.CHANNELS_LAST,))

    assert 3 == command("run", "quick").code


def test_a_gap_that_was_asked_for_by_name_is_a_failure(command: Command, suite: Callable[..., None]):
    suite(layouts=(Layout.NCHW, Layout.CHANNELS_LAST))

    assert 2 == command("run", "quick", "--layout", "nchw,channels_last").code
    assert 2 == command(*ONCE, "--layout", "channels_last").code


def test_a_gap_beside_what_was_asked_for_by_name_is_planned(command: Command, suite: Callable[..., None]):
    suite(layouts=(Layout.NCHW, Layout.CHANNELS_LAST))

    assert 0 == command("run", "quick", "--framework", "numpy").code


def test_a_framework_that_is_not_installed_is_a_gap_of_a_suite_and_a_failure_by_name(
    command: Command, suite: Callable[..., None], tmp_path: Path
):
    interpreter = bare_environment(tmp_path / "own")
    add_numpy(interpreter)
    write_builds(tmp_path, own=interpreter)
    suite(frameworks=("numpy", "torch"), builds=("own",), compile_modes=(CompileMode.EAGER,), layouts=(Layout.NCHW,))

    in_suite = command("run", "quick")
    by_name = command("run", "quick", "--framework", "torch")

    assert (0, 2) == (in_suite.code, by_name.code)
    assert f"not_installed: mlp/torch/inference: its proof: no package 'torch' in {interpreter}" in in_suite.errors


def test_a_failure_that_may_pass_is_tried_again_and_fails_the_suite_again(command: Command, suite: Callable[..., None]):
    suite(local_batches=(2, 50_000_000))

    first, second = command("run", "quick"), command("run", "quick")

    assert (2, 2) == (first.code, second.code)
    assert "out_of_memory: mlp/numpy/inference: MemoryError: Unable to allocate" in first.errors
    assert "out_of_memory: mlp/numpy/inference: MemoryError: Unable to allocate" in second.errors
    assert "1 trial measured" in second.errors      # what went well is not measured again


# Output --------------------------------------------------------------------------------------------------------------


@pytest.fixture
def stored(command: Command) -> Path:
    """A results folder with two cases, one of them with two repetitions."""
    from rigmark.bench.store.store import Store

    folder = Path("results")
    store = Store(folder).create()
    for hour, record in enumerate((make_record(), make_record(repetition=1), make_record(local_batch=8))):
        store.put(replace(record, recorded_at=f"2026-01-01T{hour:02}:00:00+00:00"))
    return folder


def test_a_terminal_gets_the_answers_and_a_file_all(command: Command, stored: Path):
    short, full = command("report").output, command("report", "--full").output
    command("report", "-o", "report.txt")

    assert "rigmark report --full" in short
    assert "Findings" in short.split("The whole report also has")[1]
    assert len(short) < len(full)
    assert "How to repeat it ─" in full
    assert full == Path("report.txt").read_text(encoding="utf-8")


def test_the_short_report_names_the_command_for_the_whole_of_the_same(command: Command, stored: Path):
    folder = stored.rename("res two")

    ended = command("report", "--results", str(folder), "--where", "model = 'mlp'", "--lang", "zh")

    (line,) = (line for line in ended.output.splitlines() if line.endswith(" --full"))
    again = command(*shlex.split(line)[1:])
    assert 0 == again.code
    assert len(ended.output) < len(again.output)


def test_data_goes_to_stdout_in_every_format(command: Command, stored: Path, tmp_path: Path):
    rows = json.loads(command("results", "--json").output)
    lines = list(csv.DictReader(io.StringIO(command("results", "--format", "csv").output)))
    table = command("results")
    parquet = command("results", "--format", "parquet", "--output", "results.parquet")

    assert [2, 8] == [row["local_batch"] for row in rows]
    assert [2, 1] == [row["trials"] for row in rows]
    assert ["2", "8"] == [line["local_batch"] for line in lines]
    assert 3 == len(table.output.splitlines())
    assert (0, "", "") == (parquet.code, parquet.output, parquet.errors)
    assert b"PAR1" == Path("results.parquet").read_bytes()[:4]


def test_rows_that_are_unlike_never_look_alike(command: Command, stored: Path):
    from rigmark.bench.store.store import Store

    head = command("results").output.splitlines()[0]
    Store(stored).put(make_record(isa="avx2"))
    with_levels = command("results").output.splitlines()

    assert "instruction set" not in head
    assert "instruction set" in with_levels[0]
    assert ["avx2", "native", "native"] == sorted(line.split()[-1] for line in with_levels[1:])


def test_results_can_be_filtered_and_an_empty_answer_says_so(command: Command, stored: Path):
    some = command("results", "--json", "--where", "local_batch > 4")
    none = command("results", "--json", "--where", "model = 'alexnet'")
    wrong = command("results", "--where", "colour = 'red'")

    assert [8] == [row["local_batch"] for row in json.loads(some.output)]
    assert (3, []) == (none.code, json.loads(none.output))
    assert 2 == wrong.code
    assert "--where is not a valid condition on results" in wrong.errors


def test_small_figures_keep_their_digits_in_json(command: Command, tmp_path: Path):
    proof = make_record_of(TrialKind.PROOF, parity={**PARITY.plain(), "facts": {}, "output_error": 3.7e-14})
    store = Store(tmp_path / "exact").create()
    for record in (proof, replace(make_record_of(), certificate=proof.key)):
        store.put(record)

    (row,) = json.loads(command("results", "--results", "exact", "--json").output)

    assert 3.7e-14 == row["parity_error"]
    assert row["throughput_low_samples_per_s"] is None       # of one trial


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b'{"schema": 1, "id": "', "is damaged and was left out"),
        (b"\xff\xfe\x00", "is damaged and was left out"),
        (b'{"schema": 99, "id": "x"}', "has schema 99, newer than this Rigmark reads"),
    ],
)
def test_a_bad_record_is_named_while_the_others_are_listed(
    command: Command, stored: Path, content: bytes, sentence: str
):
    bad = stored / "records" / "ffffffffffffffff.json"
    bad.write_bytes(content)

    ended = command("results", "--json")

    assert 2 == ended.code
    assert [2, 8] == [row["local_batch"] for row in json.loads(ended.output)]
    assert f"rigmark: record {bad} {sentence}" in ended.errors


def test_a_fault_of_ours_does_not_say_that_something_got_slower(
    command: Command, stored: Path, monkeypatch: pytest.MonkeyPatch
):
    def fail(store: Store) -> None:
        raise ZeroDivisionError("of ours")

    monkeypatch.setattr(Store, "trials", fail)

    ended = command("results")

    assert 2 == ended.code
    assert "ZeroDivisionError: of ours" in ended.errors      # for the report of it
    assert "rigmark: this is a bug in Rigmark" in ended.errors


def test_a_reader_that_goes_away_gets_no_traceback(command: Command, stored: Path):
    result = subprocess.run(
        ["sh", "-c", f"{RIGMARK} results --json | head -c 10"], check=False, capture_output=True, text=True
    )

    assert "" == result.stderr
    assert 10 == len(result.stdout)


def test_a_dry_run_shows_the_plan_and_touches_nothing(command: Command, tmp_path: Path):
    ended = command(*MLP, "--framework", "numpy", "--repetitions", "2", "--dry-run", "--results", "untouched")

    assert 0 == ended.code
    assert ended.output.startswith("measure  proof of mlp training, numpy eager nchw fp32")
    assert "to measure: 3 trials, about " in ended.output
    assert not (tmp_path / "untouched").exists()


def test_a_dry_run_tells_what_is_stored_from_what_is_to_be_measured(command: Command):
    command(*ONCE)

    lines = command(*MLP, "--framework", "numpy", "--repetitions", "2", "--dry-run").output.splitlines()

    assert ["stored", "stored", "measure"] == [line.split()[0] for line in lines[:-1]]
    assert re.fullmatch(r"to measure: 1 trial, about .*; 2 trials are stored already", lines[-1])


# Progress ------------------------------------------------------------------------------------------------------------


def test_progress_is_silent_where_stderr_is_no_terminal_even_if_colours_are_forced(tmp_path: Path):
    ended = rigmark(*ONCE, cwd=tmp_path, FORCE_COLOR="1")

    assert 0 == ended.returncode
    assert "\r" not in ended.stderr
    assert "\x1b" not in ended.stderr
    assert ended.stderr.startswith("2 trials measured")


def test_progress_at_a_terminal_is_one_line_that_is_gone_at_the_end(tmp_path: Path):
    ours, theirs = pty.openpty()
    process = subprocess.Popen([RIGMARK, *ONCE], cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=theirs)
    os.close(theirs)
    shown = b""
    while chunk := _read(ours):
        shown += chunk
    os.close(ours)

    assert 0 == process.wait()
    last = shown.decode().rsplit("\x1b[2K", 1)[-1]       # what stands when the line was cleared last
    assert "[1/2] proof of mlp training" in shown.decode()
    assert "[2/2] timing of mlp inference" in shown.decode()
    assert last.startswith("2 trials measured")


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 4096)
    except OSError:          # how Linux says that the other end is closed
        return b""


# The whole way ------------------------------------------------------------------------------------------------------


def test_what_a_sweep_stores_with_layers_and_telemetry_is_understood_by_all_that_read_it(command: Command):
    assert command(*MLP, "--framework", "numpy", "--repetitions", "2", "--layers").code == 0
    for words in (
        ("report", "-o", "report.html"), ("report", "--format", "markdown"), ("report", "--format", "terminal"),
        ("report", "--format", "tables", "-o", "tables"), ("layers", "--json"), ("results", "--json"), ("scaling",),
        ("history",), ("audit",),
    ):
        ended = command(*words)

        assert ended.code in (0, 3), (words, ended.errors)
        assert "rigmark:" not in ended.errors


# The README ----------------------------------------------------------------------------------------------------------


def commands_of_the_readme() -> list[str]:
    """Every line of its shell blocks that starts with rigmark, without the comment."""
    text = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
    blocks = text.split("```sh\n")[1:]
    lines = [line for block in blocks for line in block.partition("```")[0].splitlines()]
    return [line.partition("#")[0].strip() for line in lines if line.startswith("rigmark ")]


OF_THE_USERS_OWN = {"ab", "check", "compare", "import", "noise", "serve", "watch"}
"""Verbs whose examples name revisions, builds, files or folders that only a user has, or go on for minutes, or install
something. So do those that bring a network, which tests/networks does for real."""


@pytest.mark.parametrize("line", commands_of_the_readme())
def test_a_command_of_the_readme_does_what_it_says(command: Command, stored: Path, line: str):
    """Sweeps are planned and not run, since continuous integration runs the longest of them as make bench."""
    arguments = shlex.split(line)[1:]
    if arguments[0] in OF_THE_USERS_OWN or any(word.startswith(("net.onnx", "net.py")) for word in arguments):
        verb = typer.main.get_command(app).commands[arguments[0]]
        assert verb.make_context(arguments[0], arguments[1:]).params     # its words and options are known
        return
    if arguments[0] == "run" and "--dry-run" not in arguments:
        arguments.append("--dry-run")
    ended = command(*arguments)

    assert ended.code in (0, 3), ended.errors       # 3: no stored result matches the condition
    assert "rigmark:" not in ended.errors


def test_the_readme_says_how_long_each_suite_takes():
    text = (ROOT / "README.md").read_text(encoding="utf-8")

    for name in suites.NAMES:
        ahead = expected(plan(suites.sweeps(name), cores=2, seed=name))
        assert f"| `{name}` | {ahead.trials:,} | {duration(ahead.seconds)} | " in text


def test_help_of_run_lists_every_suite_with_what_it_takes(command: Command):
    text = " ".join(command("run", "--help").output.split())

    for name in suites.NAMES:
        assert re.search(rf"\b{name}: [\d,]+ trials, about \d+ (s|min|h)\b", text)


PAGES = (ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md")))


def code_of(page: Path) -> Iterator[str]:
    """Those in code, whole: lines of its blocks, and what stands between backticks."""
    for number, part in enumerate(page.read_text(encoding="utf-8").split("```")):
        if number % 2:
            yield from (line for line in part.replace("\\\n", " ").splitlines() if line.startswith("rigmark "))
        else:
            yield from re.findall(r"`(rigmark [^`]+)`", part)


GUIDES = sorted({
    (page.relative_to(ROOT).as_posix(), " ".join(line.split())) for page in PAGES for line in code_of(page)
})


@pytest.mark.parametrize(("page", "line"), GUIDES)
def test_a_command_of_a_guide_is_known_with_its_options(page: str, line: str):
    _, name, *words = shlex.split(line, comments=True)
    verb = typer.main.get_command(app).commands[name]
    if hasattr(verb, "commands"):
        if not words:
            return
        name, *words = words
        verb = verb.commands[name]
    if words not in ([], ["--help"]):        # else it is the verb that is meant, by its name
        assert verb.make_context(name, words).params


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md"])
def test_every_guide_is_linked_where_newcomers_look(page: str):
    root = Path(__file__).parents[2]
    guides = {path.relative_to(root).as_posix() for path in (root / "docs").glob("add-*.md")}

    assert guides <= set(re.findall(r"\]\((docs/[^)]*)\)", (root / page).read_text(encoding="utf-8")))


# Help ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("verb", "parameter", "names"), [
    ("run", "data", datasets.NAMES), ("run", "strategy", strategies.NAMES), ("import", "format", importers.NAMES),
    ("report", "format", (*reports.NAMES, *reports.FOLDERS)), ("claims", "format", reports.NAMES),
])
def test_help_lists_every_file_that_is_found_by_its_name(verb: str, parameter: str, names: tuple[str, ...]):
    about, = (each for each in typer.main.get_command(app).commands[verb].params if each.name == parameter)

    assert set(names) <= set(re.findall(r"\w+", about.help))
