"""rigmark import and audit as people meet them, and where quoted results may and may not appear."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from rigmark.bench.cli import main
from rigmark.bench.store.store import Store
from tests.records import timing_records

DATA = Path(__file__).parent / "data"
TIMM = str(DATA / "timm/benchmark-infer-amp-nchw-pt240-cu124-rtx4090.csv")


@dataclass(frozen=True)
class Ended:
    code: int
    output: str
    errors: str


Command = Callable[..., Ended]


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Command:
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str) -> Ended:
        monkeypatch.setattr(sys, "argv", ["rigmark", *arguments])
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            sys.exit(main())
        shown = capsys.readouterr()
        return Ended(int(ended.value.code or 0), shown.out, shown.err)

    return run


def test_a_table_is_stored_once_whatever_its_file_is_called(command: Command, tmp_path: Path):
    copy = tmp_path / "copy.csv"
    copy.write_bytes(Path(TIMM).read_bytes())

    first, again = command("import", "timm", TIMM, "--licence", "Apache-2.0"), command("import", "timm", str(copy))

    assert (0, True) == (first.code, "3 results stored as" in first.errors)
    assert "stored already as" in again.errors
    assert 1 == len(list(Path("results/quoted").glob("*.json")))


def test_again_replaces_what_was_stated_wrongly(command: Command):
    command("import", "timm", TIMM, "--set", "device_name=rtx3090")
    command("import", "timm", TIMM, "--set", "device_name=rtx4090", "--again")

    (table,) = Store(Path("results")).quoted.all()[0]
    assert {"rtx4090"} == {row.device_name for row in table.rows}
    assert {"device_name": "rtx4090"} == table.source.stated_by_user


def test_a_note_on_several_files_is_stated_once(command: Command, tmp_path: Path):
    for name in ("a.csv", "b.csv"):
        (tmp_path / name).write_text(f"model,throughput_samples_per_s\n{name},12.5")

    ended = command("import", "csv", "a.csv", "b.csv")

    assert "2 files: does not state mode, precision, local_batch, device_name, so" in ended.errors
    assert "2 files: its last line has no line break: if the file was cut off there, the last figure" in ended.errors


def test_nothing_is_stored_where_one_of_the_files_is_wrong(command: Command, tmp_path: Path):
    (tmp_path / "wrong.csv").write_text("colour\nred\n")

    ended = command("import", "timm", TIMM, "wrong.csv")

    assert (2, "rigmark: wrong.csv is not a result table of timm's benchmark.py: it has no columns 'model' and "
            "'infer_samples_per_sec' or 'train_samples_per_sec'\n") == (ended.code, ended.errors)
    assert not Path("results").exists()


@pytest.mark.parametrize(("arguments", "words"), [
    (("--set", "device"), "--set takes NAME=VALUE, not 'device'"),
    (("--set", "device=a", "--set", "device=b"), "--set names 'device' twice"),
    (("--published", "last year"), "--published takes a date such as 2017"),
    (("--published", "2017-13"), "--published takes a date such as 2017"),
])
def test_wrong_options_are_reported(command: Command, arguments: tuple[str, ...], words: str):
    ended = command("import", "timm", TIMM, *arguments)

    assert (2, True) == (ended.code, words in ended.errors)


def test_quoted_results_stand_beside_measured_ones_and_never_among_them(command: Command):
    store = Store(Path("results")).create()
    for record in timing_records([0.01] * 6):
        store.put(record)
    command("import", "timm", TIMM)

    rows = json.loads(command("results", "--json").output)
    page = command("report", "--format", "markdown").output

    assert ["measured", "quoted", "quoted", "quoted"] == [row["origin"] for row in rows]
    assert [None, "quoted"] == [rows[0]["source"], rows[1]["kind"]]
    assert f"{Path(TIMM).name}, line 2 (test_vit)" in [row["source"] for row in rows]
    before, after = page.split("Quoted: published by others")
    assert "test_vit" not in before
    assert "❝ test_vit" in after


def test_a_folder_with_nothing_but_quoted_results_has_a_report(command: Command):
    command("import", "timm", TIMM)

    ended = command("report", "--format", "markdown")

    assert (0, True) == (ended.code, "❝ test_vit" in ended.output)


def test_a_damaged_table_is_reported_and_the_others_are_shown(command: Command):
    command("import", "timm", TIMM)
    Path("results/quoted/0123456789abcdef.json").write_text('{"schema": 1}')

    ended = command("results", "--json")

    assert (2, 3) == (ended.code, len(json.loads(ended.output)))
    assert "0123456789abcdef.json is damaged and was left out" in ended.errors


def test_an_audit_of_a_file_stores_nothing_and_fails_on_what_is_wrong(command: Command, tmp_path: Path):
    (tmp_path / "table.csv").write_text("model,throughput_samples_per_s\na,100\nb,0\n")

    ended = command("audit", "--as", "csv", "table.csv", "--json")

    content = json.loads(ended.output)
    assert (2, ["zero_for_missing"]) == (ended.code, [finding["id"] for finding in content["findings"]])
    assert ["table.csv, line 3 (b)"] == content["findings"][0]["lines"]
    assert not Path("results").exists()


def test_an_audit_of_a_sound_table_ends_well_and_says_what_it_could_not_check(command: Command):
    command("import", "timm", TIMM)

    ended = command("audit", "--format", "markdown")

    assert 0 == ended.code
    assert "no line has FLOPs and a device whose peak is known" in ended.output


@pytest.mark.parametrize(("arguments", "code", "words"), [
    (("table.csv",), 2, "name the format of the files with --as"),
    (("--as", "csv"), 2, "--as, --set and --column describe files; name the files to check"),
    (("--results", "nowhere"), 2, "no results in nowhere"),
    (("--as", "timm", TIMM, "--peak", "fast"), 2, "--peak takes DEVICE/PRECISION=FLOP/s"),
    (("--as", "timm", TIMM, "--peak", "rtx4091/fp16=1e12"), 2, "--peak: no line of 'rtx4091/fp16'; did you mean"),
])
def test_an_audit_of_nothing_is_reported(command: Command, arguments: tuple[str, ...], code: int, words: str):
    ended = command("audit", *arguments)

    assert (code, True) == (ended.code, words in ended.errors)


def test_lines_that_cannot_be_are_told_one_by_one_and_end_the_command_with_2_after_the_others_are_stored(
    command: Command, tmp_path: Path
):
    wrong = "".join(f"b{index},-1\n" for index in range(25))
    (tmp_path / "table.csv").write_text(f"model,step_time_s\na,0.5\n{wrong}")

    imported = command("import", "csv", "table.csv")
    looked = command("audit", "--as", "csv", "table.csv")

    assert (2, True) == (imported.code, "table.csv: 1 result stored as" in imported.errors)
    assert "table.csv: refused line 3 (b0): step_time_s is -1, and must not be negative" in imported.errors
    assert 20 == imported.errors.count("refused line")
    assert "table.csv: 25 lines refused, because they cannot be results" in imported.errors
    (table,), problems = Store(Path("results")).quoted.all()
    assert (["a"], []) == ([row.model for row in table.rows], problems)
    assert any("25 results cannot be and were left out: line 3 (b0)" in note for note in table.notes)
    assert (2, True) == (looked.code, "25 results cannot be and were left out" in looked.errors)


def test_decimal_commas_are_read_once_they_are_stated(command: Command, tmp_path: Path):
    (tmp_path / "table.csv").write_text('model,step_time_s\nalexnet,"0,123"\n')

    untold, told = (command("import", "csv", "table.csv", *more) for more in ((), ("--decimal", ",")))

    assert (2, True) == (untold.code, "which has a decimal comma; state it with --decimal ," in untold.errors)
    assert 0 == told.code
    assert [0.123] == [row.step_time_s for row in Store(Path("results")).quoted.all()[0][0].rows]
    assert 0 == command("audit", "--as", "csv", "table.csv", "--decimal", ",").code
    assert "--decimal describes files" in command("audit", "--decimal", ",").errors
