"""Every sentence of a document is in every catalogue, with the same values; and a language ends where it should."""

from __future__ import annotations

import ast
import string
import threading
from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path

import jinja2
import pytest

from rigmark.bench.analysis.layers.roofline import Bound
from rigmark.bench.analysis.results.validity import Validity
from rigmark.bench.analysis.statistics.decision import Verdict
from rigmark.bench.claims import load
from rigmark.bench.claims.claim import Standing as Outcomes
from rigmark.bench.document import formatting, language
from rigmark.bench.document.document import Document, Family, Origin, Standing
from rigmark.bench.document.language import speaking, tr
from rigmark.bench.enums import MIXED, NOT_PROVEN, Mode, Outcome, Scaling, TrialKind
from rigmark.bench.errors import UnknownName

ROOT = Path(__file__).parents[2]
OTHERS = [name for name in language.names() if name != language.ENGLISH]
STORED: tuple[type[StrEnum], ...] = (
    Bound, Family, Mode, Origin, Outcome, Scaling, Standing, TrialKind, Validity, Verdict, Outcomes,
)
"""Words that records and documents hold, which are said by ``word``."""

ALSO_STORED = (
    MIXED, NOT_PROVEN, "forward", "backward", "update", "loss", "optimizer", "gradient add", "unattributed",
    "too short to time",
)
NOT_YET: frozenset[str] = frozenset()
"""Files of the story whose sentences are still to be said through ``tr``."""

Template = tuple[str, str]           # and where it stands


def sources() -> list[Path]:
    folders = (
        "bench/ab", "bench/analysis", "bench/buying", "bench/claims", "bench/cli", "bench/document", "bench/plan",
        "bench/sections", "reports",
    )
    return [path for folder in folders for path in sorted((ROOT / folder).rglob("*.py"))]


def called(node: ast.AST) -> str:
    if not isinstance(node, ast.Call):
        return ""
    return node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")


def literal(node: ast.Call, place: int) -> str | None:
    """The text at a place of a call; None where it is no literal."""
    argument = node.args[place] if place < len(node.args) else None
    return argument.value if isinstance(argument, ast.Constant) and isinstance(argument.value, str) else None


def said(path: Path) -> Iterator[Template]:
    """Every template in a file of code."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        where = f"{path.relative_to(ROOT)}:{getattr(node, 'lineno', 0)}"
        if called(node) in ("tr", "tr_later") and isinstance(node, ast.Call) and (text := literal(node, 0)):
            yield text, where
        if called(node) == "count" and isinstance(node, ast.Call) and (noun := literal(node, 1)):
            yield f"{{n}} {literal(node, 2) or noun + 's'}", where


def in_claims() -> Iterator[Template]:
    """The sentences that are shipped to be held against results, and how each is."""
    for claim in load.shipped():
        for text in (claim.says, claim.how, claim.note, claim.source, str(claim.where.get("why", ""))):
            if text:
                yield text, f"claims.toml: {claim.id}"


def in_templates() -> Iterator[Template]:
    """Those of the page's templates."""
    for path in sorted((ROOT / "reports/templates").glob("*.html")):
        for call in jinja2.Environment().parse(path.read_text(encoding="utf-8")).find_all(jinja2.nodes.Call):
            if isinstance(call.node, jinja2.nodes.Name) and call.node.name == "tr":
                first = call.args[0]
                assert isinstance(first, jinja2.nodes.Const), f"{path.name}:{call.lineno}: tr takes a literal"
                yield first.value, f"{path.name}:{call.lineno}"


def stored() -> Iterator[Template]:
    for words in STORED:
        yield from ((str(each).replace("_", " "), words.__name__) for each in words)
    yield from ((text, "stored") for text in ALSO_STORED)
    yield from ((noun, "nouns") for noun in ("{n} timed trials", "{n} proofs"))       # story.summary
    yield from ((f"{{n}} more {noun}s", "nouns") for noun in ("pair", "repetition", "session"))   # verdicts.outlook


EVERY = [*(template for path in sources() for template in said(path)), *in_templates(), *in_claims(), *stored()]


def catalogue(name: str) -> dict[str, str]:
    return language.read((ROOT / f"bench/document/languages/{name}.po").read_text(encoding="utf-8"))


def values_of(template: str) -> list[tuple[str, str]]:
    """Its placeholders with their formats, sorted."""
    return sorted((name, spec or "") for _, name, spec, _ in string.Formatter().parse(template) if name is not None)


def values_alike(template: str, translation: str) -> bool:
    """Whether both have the same placeholders; a number that words agree with, ``{n:is|are}``, need not be shown."""
    agreeing = {name for name, spec in values_of(template) if "|" in spec}
    one, other = ([each for each in values_of(text) if each[0] not in agreeing] for text in (template, translation))
    return one == other and agreeing >= {name for name, spec in values_of(translation) if "|" in spec}


@pytest.mark.parametrize("name", OTHERS)
def test_every_sentence_is_translated_and_no_translation_is_left_over(name: str) -> None:
    translations = catalogue(name)
    lacking = [f"{where}: {text!r}" for text, where in EVERY if text not in translations]

    assert not lacking, "\n".join(["without a translation:", *lacking])
    assert not translations.keys() - {text for text, _ in EVERY}


@pytest.mark.parametrize("name", OTHERS)
def test_a_translation_has_the_values_of_its_template(name: str) -> None:
    assert not {text: result for text, result in catalogue(name).items() if not values_alike(text, result)}


@pytest.mark.parametrize("name", OTHERS)
def test_a_template_stands_once_in_a_catalogue(name: str) -> None:
    text = (ROOT / f"bench/document/languages/{name}.po").read_text(encoding="utf-8")

    assert text.count("\nmsgid ") - 1 == len(catalogue(name))       # but for the head


def test_the_story_says_no_sentence_past_the_catalogue() -> None:
    """What a block shows is said through tr, or made of what is."""
    spoken = ("text", "title", "caption", "description", "x_title", "y_title")
    past = [
        f"{path.name}:{keyword.value.lineno}: {ast.unparse(keyword.value)}"
        for path in sorted((ROOT / "bench/sections").glob("*.py")) if path.stem not in NOT_YET
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if isinstance(node, ast.Call)
        for keyword in node.keywords if keyword.arg in spoken and _is_bare(keyword.value)
    ]

    assert not past, "\n".join(past)


def _is_bare(node: ast.expr) -> bool:
    """Words between quotes, but for names of units and quantities that are the same everywhere."""
    parts = node.values if isinstance(node, ast.JoinedStr) else [node]
    text = " ".join(part.value for part in parts if isinstance(part, ast.Constant) and isinstance(part.value, str))
    return any(word.isalpha() and len(word) > 1 for word in text.split()) and text not in ("MFU", "FLOP/s", "FLOP/byte")


# Speaking -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("n", "sentence"), [
    (0, "all 0 were < 1.0, as they are"), (1, "it was < 1.0, as it is"), (1_000, "all 1,000 were < 1.0, as they are"),
])
def test_words_agree_with_a_number(n: int, sentence: str) -> None:
    assert sentence == tr("{n:it was|all {n:,} were} < {limit:.1f}, as {n:it is|they are}", n=n, limit=1)


def test_a_language_ends_with_its_block_and_is_not_heard_in_other_threads() -> None:
    heard: list[str] = []
    with speaking("zh"):
        other = threading.Thread(target=lambda: heard.append(tr("Verdict")))
        other.start()
        other.join()
        inside = tr("Verdict")

    assert ["Verdict"] == heard
    assert "结论" == inside
    assert "Verdict" == tr("Verdict")


def test_a_language_ends_although_its_document_failed() -> None:
    with pytest.raises(RuntimeError), speaking("zh"):
        raise RuntimeError

    assert "en" == language.current()


def test_a_document_remembers_its_language() -> None:
    with speaking("zh"):
        document = Document(title="t", summary=(), sections=())

    assert "zh" == document.language
    assert "en" == Document(title="t", summary=(), sections=()).language


def test_a_wrong_language_is_answered_with_the_known_ones() -> None:
    with pytest.raises(UnknownName, match="en, zh"), speaking("chinese"):
        pass


def test_what_a_record_says_is_no_template() -> None:
    """Braces of a record are text: nothing is looked up in values, and nothing fails."""
    hostile = "{0} {name.__class__} {"

    assert hostile == tr(hostile)
    assert f"{hostile} data" == tr("{data} data", data=hostile)


def test_numbers_are_counted_and_listed_as_a_language_does() -> None:
    assert ["1 trial", "2 trials"] == [formatting.count(n, "trial") for n in (1, 2)]
    assert "a, b and c" == formatting.listed(["a", "b", "c"])
    with speaking("zh"):
        assert ["1 次试验", "2 次试验"] == [formatting.count(n, "trial") for n in (1, 2)]
        assert "a、b、c" == formatting.listed(["a", "b", "c"])
        assert "4.8 倍（4.6 至 5.0）" == formatting.ratio(4.8, 4.6, 5.0, ())


def test_a_catalogue_is_gettext_s() -> None:
    """Long texts are broken into lines, what a translator is unsure of is not used, and quotes are escaped."""
    result = language.read(
        'msgid ""\nmsgstr ""\n"Language: zh\\n"\n\n'
        '#. a remark\n#: file.py:3\nmsgid ""\n"a \\"b\\" "\n"c"\nmsgstr "甲"\n\n'
        '#, fuzzy\nmsgid "d"\nmsgstr "?"\n\n'
        'msgid "e"\nmsgstr ""\n'
    )

    assert {'a "b" c': "甲"} == result
