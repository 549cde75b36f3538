"""Contests of commands: which numbers are judged, in which direction, and what becomes of turns that give none."""

from __future__ import annotations

import json
import random
import re
import signal
import sys
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from rigmark.bench.ab import turns
from rigmark.bench.ab.kinds import Ending, Kind, Turn, TurnFailed
from rigmark.bench.ab.turns import Turns
from rigmark.bench.analysis.comparison.numbers import Quantity
from rigmark.bench.analysis.comparison.verdicts import CaseVerdict, change_of, document, outlook
from rigmark.bench.analysis.statistics.decision import LOOKS, Verdict
from rigmark.bench.cli import main
from rigmark.bench.reporting import gather
from rigmark.bench.store.store import existing
from rigmark.reports.junit import junit
from rigmark.reports.media import markdown
from tests.builds.test_revisions import commit, git
from tests.fakes import TOKEN, alive, eventually, start_rigmark

Ended = tuple[int, str, str]


@pytest.fixture
def ab(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., Ended]:
    """``rigmark ab`` in this process, with one turn of each side in a pair."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(turns, "TURNS_AT_MOST", 1)

    def run(*arguments: str) -> Ended:
        verb = [] if arguments[0] == "compare" else ["ab"]
        monkeypatch.setattr(sys, "argv", ["rigmark", *verb, *arguments])
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main()
        shown = capsys.readouterr()
        return int(ended.value.code or 0), shown.out, shown.err

    return run


def commands(base: str, new: str) -> tuple[str, ...]:
    return "--base-command", base, "--new-command", new


def records(folder: Path = Path()) -> list[dict[str, Any]]:
    return [json.loads(path.read_text()) for path in folder.glob("results/contests/*.json")]


# The loop ------------------------------------------------------------------------------------------------------------


class Told(Kind):
    """Sides that say what they are told: the number of each turn, or a failure."""

    def __init__(self, number: Callable[[str], float], quantity: Quantity, failing: Sequence[int] = ()):
        self._number, self._quantity, self._failing = number, quantity, failing
        self.order: list[str] = []

    @contextmanager
    def ready(self) -> Iterator[None]:
        yield

    def units(self) -> Sequence[str]:
        return ["it"]

    def turn(self, unit: str, side: str) -> Turn:
        self.order.append(side)
        if len(self.order) in self._failing:
            raise TurnFailed(Ending.CRASHED, "it fell")
        return Turn(numbers={"it": self._number(side)}, wall_time_s=1.0, cpu_time_s=None, facts={})

    def quantity(self, case: str) -> Quantity:
        return self._quantity

    def plain(self) -> dict[str, Any]:
        return {"label": "it"}


def judged(kind: Told, budget_s: float = 60.0) -> CaseVerdict:
    kept: list[dict[str, Any]] = []
    contest = Turns(kind, names=("a", "b"), seed="1", budget_s=budget_s, warm_ups=1, store=kept.append)
    (case,) = contest.run().cases
    return case


def around(base: float, new: float, spread: float) -> Callable[[str], float]:
    coin = random.Random(3)
    return lambda side: (base if side == "base" else new) + spread * coin.uniform(-1, 1)


HIGHER = Quantity(name="x", unit="", is_higher_better=True)


@pytest.mark.parametrize(
    ("number", "quantity", "verdict", "said"),
    [
        (around(10.0, 10.5, 0.05), Quantity(name="x", unit="s"), Verdict.SLOWER, r"^\+(4\.9|5\.[01])\d? % "),
        (around(10.0, 10.5, 0.05), HIGHER, Verdict.FASTER, r"^\+(4\.9|5\.[01])\d? % "),
        (around(10.0, 9.5, 0.05), HIGHER, Verdict.SLOWER, r"^−(4\.9|5\.[01])\d? % "),
        (around(10.0, 10.0, 0.05), Quantity(name="x", unit="B"), Verdict.SAME, r"^[+−]?0\.\d+ % "),
        (around(-10.0, -12.0, 0.05), Quantity(name="x", unit=""), Verdict.FASTER, r"^−(2\.0|1\.9)"),
        (around(-10.0, -12.0, 0.05), HIGHER, Verdict.SLOWER, r"^−(2\.0|1\.9)"),
        (around(0.0, 5.0, 0.05), Quantity(name="x", unit=""), Verdict.SLOWER, r"^\+(5\.0|4\.9)"),
        (around(0.0, 0.0, 0.0), Quantity(name="x", unit=""), Verdict.SAME, r"^0 \(0 to 0\)$"),
        (around(0.0, 0.0, 1.0), Quantity(name="x", unit="", margin=4.0), Verdict.SAME, r"^[+−]?0\.\d+ \("),
        (around(100.0, 104.0, 0.0), Quantity(name="x", unit=""), Verdict.SLOWER, r"^\+4\.000 \("),
    ],
)
def test_numbers_are_judged_by_their_ratio_or_else_by_their_difference(
    number: Callable[[str], float], quantity: Quantity, verdict: Verdict, said: str
):
    case = judged(Told(number, quantity))

    assert verdict is case.verdict
    assert re.search(said, change_of(case)), change_of(case)
    assert LOOKS[0] == case.plain()["pairs"]


def test_what_too_noisy_a_difference_would_show_has_the_unit_of_the_number():
    coin = random.Random(1)
    case = judged(Told(lambda side: coin.uniform(-1, 1), Quantity(name="x", unit="", margin=0.01)), budget_s=1e4)

    assert Verdict.TOO_NOISY is case.verdict
    assert "only differences above " in outlook(case)
    assert "%" not in outlook(case)


def test_which_side_goes_first_is_decided_by_a_coin():
    kind = Told(around(1.0, 1.0, 0.01), Quantity(name="x", unit="s"))
    judged(kind)

    firsts = kind.order[2::2]        # those of the warm-ups aside
    assert {"base", "new"} == set(firsts)
    assert all({"base", "new"} == set(pair) for pair in zip(firsts, kind.order[3::2], strict=True))


def test_a_failed_turn_costs_its_pair_and_stays_visible():
    case = judged(Told(around(1.0, 1.0, 0.001), Quantity(name="x", unit="s"), failing=[7]))

    assert (Verdict.SAME, True) == (case.verdict, case.has_failed)
    assert any("1 of 13 pairs failed, crashed: " in doubt and "it fell" in doubt for doubt in case.doubts)


def test_what_fails_again_and_again_is_given_up():
    kind = Told(around(1.0, 1.0, 0.001), Quantity(name="x", unit="s"), failing=[5, 6, 7, 8])
    case = judged(kind)

    assert (Verdict.INCONCLUSIVE, True) == (case.verdict, case.has_failed)
    assert 7 == len(kind.order)


# Of commands ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        ((*commands("echo 'loss 3.5 ms'", "echo 'loss 4.5 ms'"), "--metric", "loss ([0-9.]+) ms", "--lower"), 1, "+2"),
        ((*commands("echo 1 2", "echo 1 3"), "--metric", r"\d", "--take", "sum", "--higher"), 0, "better"),
        ((*commands("echo 1 2", "echo 1 3"), "--metric", r"\d", "--take", "first", "--higher"), 0, "same"),
        ((*commands("echo 1 2", "echo 1 3"), "--metric", r"\d", "--take", "last", "--lower"), 1, "worse"),
        ((*commands("sh -c 'echo 1 >&2'", "sh -c 'echo 1 >&2'"), "--metric", r"\d", "--lower"), 0, "same"),
        ((*commands("""echo '{"a": [{"b": 2}]}'""", """echo '{"a": [{"b": 3}]}'"""), "--metric-json", "a.0.b",
          "--lower"), 1, "worse"),
    ],
)
def test_a_printed_number_is_judged_in_the_direction_that_is_stated(
    ab: Callable[..., Ended], arguments: tuple[str, ...], code: int, words: str
):
    ended, output, errors = ab(*arguments)

    assert code == ended, errors
    assert words in output


SLEEPS = "sleep 60"


@pytest.mark.parametrize(
    ("new", "arguments", "sentence"),
    [
        ("sh -c 'echo oh no; exit 3'", (), "crashed: new: it ended with exit code 3; last words: oh no"),
        ("sh -c 'kill -9 $$'", (), "crashed: new: it ended with signal 9"),
        (SLEEPS, ("--timeout", "1.5"), "timeout: new: killed after 1.5 s; --timeout allows more"),
        ("echo 2", ("--same-output",), "other_output: new: it did not print the same as the first turn of the base"),
        ("echo nan", ("--metric", ".+", "--lower"), "no_number: new: it printed nan as matched by --metric '.+'"),
        ("echo 1e999", ("--metric", ".+", "--lower"), "no_number: new: it printed inf as matched by --metric '.+'"),
        ("echo one", ("--metric", ".+", "--lower"), "no_number: new: it printed 'one' where a number was asked for"),
        ("echo", ("--metric", ".+", "--lower"), "no_number: new: nothing that it printed is matched by --metric '.+'"),
        ("echo 1 2", ("--metric", r"\d", "--lower"), "no_number: new: 2 numbers that it printed are matched by"),
    ],
)
def test_a_turn_without_a_number_is_a_failure_and_no_verdict(
    ab: Callable[..., Ended], new: str, arguments: tuple[str, ...], sentence: str
):
    ended, output, _ = ab(*commands("echo 1", new), *arguments, "--json")

    (case,) = json.loads(output)["cases"]
    assert 2 == ended
    assert (None, True) == (case["verdict"], case["has_failed"])
    assert case["reason"].startswith(sentence)
    assert sentence.split(": ", maxsplit=1)[0] == records()[0]["pairs"][-1]["failure"]["outcome"]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (commands("true", "nowhere/at-all"), "there is no program 'nowhere/at-all' in "),
        (commands("true", "no-such-program"), "there is no program 'no-such-program' in the folders of PATH"),
        (commands("true", "./plain"), "'./plain' is not executable; chmod +x makes it so"),
        (commands("true", "true | cat"), "no shell runs --new-command, so '|' means nothing in it; write sh -c '...'"),
        (commands("true", "true 'x"), "--new-command 'true 'x' is no command: No closing quotation"),
        (("--base-command", "true"), "two commands are compared; add --new-command"),
        (("--", "true"), "one command is compared in two git revisions or builds; add --base"),
        (("fast", "--base", "default", "--new", "default", "--", "true"), "a suite or a command is judged, not both"),
        (("--base", "default", "--new", "default"), "rigmark ab takes one suite, or a command: name one"),
        (("fast", "--new", "default"), "rigmark ab compares two sides; name them with --base and --new"),
        ((*commands("true", "true"), "--metric", "x"), "nothing says in which direction the number is better"),
        ((*commands("true", "true"), "--metric", "(", "--lower"), "--metric takes a regular expression, but '(' is"),
        ((*commands("true", "true"), "--metric", "(a)(b)", "--lower"), "--metric '(a)(b)' has 2 groups"),
        ((*commands("true", "true"), "--higher"), "--higher is about a number that the command prints"),
        ((*commands("true", "true"), "--take", "most", "--metric", "x"), "no number to take 'most'"),
        ((*commands("true", "true"), "--model", "mlp"), "--model is about suites of networks"),
        ((*commands("true", "true"), "--build-command", "make"), "--build-command builds git revisions"),
        ((*commands("true", "true"), "--threads", "999"), "--threads of a command is the number of cores"),
        (("fast", "--base", "default", "--new", "default", "--same-output"), "--same-output is about commands"),
        (("--base", "default", "--new", "nobody", "--", "true"), "no build, results folder or git revision 'nobody'"),
    ],
)
def test_a_mistake_is_answered_in_a_sentence_before_anything_runs(
    ab: Callable[..., Ended], arguments: tuple[str, ...], sentence: str
):
    Path("plain").write_text("echo")

    code, output, errors = ab(*arguments)

    assert (2, "", 1) == (code, output, errors.count("\n"))
    assert errors.startswith(f"rigmark: {sentence}")
    assert all(not record["pairs"] for record in records())


def test_memory_that_cannot_be_seen_is_a_doubt(ab: Callable[..., Ended]):
    code, output, _ = ab(*commands("true", "true"), "--what", "memory", "--json")

    (case,) = json.loads(output)["cases"]
    assert (0, "peak memory", "B") == (code, case["quantity"], case["unit"])
    assert any("of memory cannot be seen" in doubt for doubt in case["doubts"])


def benchmarks(path: str, **times_ns: float | list[float]) -> str:
    """A command that prints what a Google Benchmark program with these benchmarks does."""
    Path(path).write_text(json.dumps({"context": {}, "benchmarks": [
        {"name": name, "run_name": name, "run_type": "iteration", "real_time": time, "cpu_time": 1.0, "time_unit": "us"}
        for name, times in times_ns.items() for time in (times if isinstance(times, list) else [times])
    ]}))
    return f"cat {path}"


def test_each_benchmark_of_a_google_benchmark_program_is_a_case(ab: Callable[..., Ended]):
    base = benchmarks("base", sort=[90.0, 100.0, 200.0], copy=5.0, old=1.0)
    new = benchmarks("new", sort=120.0, copy=5.0, fresh=1.0)

    code, output, _ = ab(*commands(base, new), "--metric-google", "--json")

    said = json.loads(output)
    assert (1, ["old"], ["fresh"]) == (code, said["only_base"], said["only_new"])
    assert {"sort": "slower", "copy": "same"} == {case["label"]: case["verdict"] for case in said["cases"]}
    assert pytest.approx(100e-6) == said["cases"][0]["base"]["value"]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("Run on (2 X 2000 MHz CPU s)", "its stdout is not the JSON of Google Benchmark"),
        ('{"benchmarks": []}', "it ran no benchmark"),
        ('{"benchmarks": [{"name": "sort", "error_occurred": true, "error_message": "no file"}]}',
         "benchmark sort failed: no file"),
        ('{"benchmarks": [{"name": "sort", "real_time": NaN, "time_unit": "s"}]}', "sort failed: it took nan s"),
        ('{"benchmarks": [{"name": "other", "real_time": 1, "time_unit": "s"}]}', "it gives no number that the other"),
    ],
)
def test_what_is_no_result_of_google_benchmark_is_a_failure(ab: Callable[..., Ended], text: str, sentence: str):
    Path("new").write_text(text)

    code, output, _ = ab(*commands(benchmarks("base", sort=1.0), "cat new"), "--metric-google", "--json")

    (case,) = json.loads(output)["cases"]
    assert (2, None) == (code, case["verdict"])
    assert sentence in case["reason"]


# In revisions and builds ---------------------------------------------------------------------------------------------


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """Two commits of a project whose program prints another number in each; it is built from a source."""
    git(tmp_path, "init", "--quiet")
    for number in (3, 4):
        (tmp_path / "source").write_text(f"echo {number}\n")
        commit(tmp_path)
    return tmp_path


def test_one_command_is_compared_in_two_revisions(ab: Callable[..., Ended], repository: Path):
    (repository / "source").write_text("echo 5\n")

    code, output, errors = ab(
        "--base", "HEAD~1", "--new", "HEAD", "--build-command", "mkdir bin && cp source bin/program", "--metric", ".+",
        "--lower", "--", "sh", "bin/program",
    )

    assert (1, "building HEAD~1\nbuilding HEAD\n") == (code, errors)
    assert "+1.000 (+1.000 to +1.000)" in output
    assert "that are not committed were not measured: HEAD~1, HEAD." in " ".join(output.split())
    assert 1 == len(git(repository, "worktree", "list").splitlines())
    (record,) = records()
    assert [git(repository, "rev-parse", name) for name in ("HEAD~1", "HEAD")] == [
        record[side]["commit"] for side in ("base", "new")
    ]


def test_a_revision_that_cannot_be_built_is_named(ab: Callable[..., Ended], repository: Path):
    code, output, _ = ab(
        "--base", "HEAD~1", "--new", "HEAD", "--build-command", "grep 3 source || (echo no three; exit 1)", "--json",
        "--", "sh", "source",
    )

    (case,) = json.loads(output)["cases"]
    assert 2 == code
    assert case["reason"].startswith(
        "build_broken: new: --build-command ended with exit code 1 in HEAD; last words: no three"
    )
    assert 1 == len(git(repository, "worktree", "list").splitlines())


def test_a_build_brings_its_python_and_its_variables(ab: Callable[..., Ended], tmp_path: Path):
    (tmp_path / "builds.toml").write_text(
        f'[build.mine]\ninterpreter = "{sys.executable}"\nvariables = {{ NUMBER = "7" }}\n'
    )
    program = f"import os, sys; print(os.environ.get('NUMBER', 1) if sys.executable == '{sys.executable}' else 'x')"

    code, output, _ = ab(
        "--base", "default", "--new", "mine", "--metric", ".+", "--higher", "--json", "--",
        "python", "-S", "-c", program,
    )

    (case,) = json.loads(output)["cases"]
    assert (0, 1.0, 7.0) == (code, *(pytest.approx(case[side]["value"]) for side in ("base", "new")))


# What is left --------------------------------------------------------------------------------------------------------


def test_an_interrupt_ends_all_processes_and_keeps_the_finished_pairs(tmp_path: Path):
    token = uuid.uuid4().hex

    def pairs() -> int:
        return max((len(record["pairs"]) for record in records(tmp_path)), default=0)

    slow = "sh -c 'sleep 0.02; sleep 0.3 & setsid sleep 60 &'"
    with start_rigmark("ab", *commands(slow, slow), cwd=tmp_path, **{TOKEN: token}) as command:
        assert eventually(lambda: pairs() >= 3, within_s=30.0)
        command.send_signal(signal.SIGINT)
        _, errors = command.communicate(timeout=30)

    assert 130 == command.returncode
    assert errors.startswith("rigmark: interrupted; finished pairs are stored in results/contests/")
    assert not alive(token)
    (record,) = records(tmp_path)
    assert record["pairs"][1]["base"][0]["left_behind"] >= 1


def test_a_comment_and_a_test_report_say_what_is_judged():
    kind = Told(around(10.0, 9.0, 0.05), Quantity(name="images per second", unit="", is_higher_better=True))
    verdicts = Turns(
        kind, names=("a", "b"), seed="1", budget_s=60.0, warm_ups=1, store=lambda plain: None
    ).run()

    said = markdown.render(document(verdicts))
    assert "1 case: 1 worse." in said
    assert "images per second: higher is better." in said
    assert "Time is that of a step" not in said
    assert '<failure message="worse: −10.' in junit(verdicts)


def test_a_case_whose_first_pair_lacks_it_is_a_failure():
    def number(side: str) -> float:
        kind.labels = ("it", "other")[: 1 + (len(kind.order) in (3, 4))]
        return 1.0

    kind = Changing(number, Quantity(name="x", unit="s"))
    contest = Turns(kind, names=("a", "b"), seed="1", budget_s=60.0, warm_ups=1, store=lambda plain: None)
    cases = contest.run().cases

    assert {"it", "other"} == {case.label for case in cases}
    assert all(case.verdict is None and case.has_failed for case in cases)


class Changing(Told):
    """Sides whose turns have other cases from time to time."""

    labels: Sequence[str] = ("it",)

    def turn(self, unit: str, side: str) -> Turn:
        turn = super().turn(unit, side)
        return Turn(numbers=dict.fromkeys(self.labels, 1.0), wall_time_s=0.1, cpu_time_s=None, facts=turn.facts)


def test_stored_contests_are_judged_again_as_they_were(ab: Callable[..., Ended]):
    base, new = benchmarks("base", sort=100.0, old=1.0), benchmarks("new", sort=120.0)
    _, measured, _ = ab(*commands(base, new), "--metric-google", "--json")
    ab(*commands("true", "echo"), "--metric", "(x)", "--lower")

    code, again, errors = ab("compare", base, new, "--json")

    assert (1, "") == (code, errors)
    assert json.loads(measured) == {**json.loads(again), "cases": [
        {**case, "doubts": told["doubts"], "about_more_s": told["about_more_s"]}
        for case, told in zip(json.loads(again)["cases"], json.loads(measured)["cases"], strict=True)
    ]}
    assert 2 == ab("compare", "true", "echo")[0]
    report = gather.report(existing(Path("results")))
    (section,) = (each for each in report.document.sections if each.id == "contests")
    contested, failed = section.sections
    assert (True, f"{base} against {new}", "true against echo") == (report.is_measured, contested.title, failed.title)
    assert "1 slower" in str(contested.blocks[0])
    assert "1 not compared" in str(failed.blocks[0])

    (path,) = (path for path in Path("results/contests").glob("*.json") if '"sort"' in path.read_text())
    path.write_text(path.read_text().replace('"sort": 0.0001', '"sort": 0.0002'))

    code, _, errors = ab("compare", base, new)
    assert (2, True) == (code, f"contest {path} was left out: a value in it was edited" in errors)


def test_no_secret_of_a_command_is_stored_or_shown(ab: Callable[..., Ended]):
    command = "sh -c 'exit 1' sh --password hunter2secret"

    _, output, _ = ab(*commands(command, command))

    (path,) = Path("results/contests").glob("*.json")
    assert "--password" in path.read_text()
    assert "hunter2secret" not in path.read_text() + output
