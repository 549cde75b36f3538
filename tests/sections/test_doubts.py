"""What weakens most results alike is said once, at the top; what is one result's own stays with it."""

from __future__ import annotations

from pathlib import Path

from rigmark.bench.document.document import Document, Fold, Items, Section, Table, Verdict, Verdicts
from tests.reports import records


def document(root: Path, disturbed: int) -> Document:
    """Four results of six trials, all alike, so many of which other work disturbed; jax drifts besides."""
    result = []
    cases = [records.case(framework, mode) for framework in ("torch", "jax") for mode in ("training", "inference")]
    for number, case in enumerate(cases):
        for repetition in range(6):
            more = records.disturbed(0.01) if number < disturbed and repetition >= number else {}
            if case == records.case("jax"):
                more |= {"timings_s": [0.01] * 50 + [0.02] * 50}
            result.append(records.timing(case, repetition, 0.01, more))
    return records.report(records.stored(root, result))


def section(of: Document, id: str) -> Section:
    return next(each for each in of.sections if each.id == id)


def top(of: Document) -> list[str]:
    return [text for block in section(of, "verdict").blocks if isinstance(block, Items) for text in block.texts]


def cards(of: Document) -> list[Verdict]:
    return [card for block in section(of, "verdict").blocks if isinstance(block, Verdicts) for card in block.verdicts]


def notes(of: Document) -> dict[str, tuple[int, ...]]:
    """By framework and mode, the numbers of the findings beside the validity of each result."""
    (table,) = (block for block in section(of, "cases").blocks if isinstance(block, Table))
    titles = [column.title for column in table.columns]
    return {
        f"{row.cells[titles.index('framework')].text} {row.cells[titles.index('mode')].text}":
        tuple(note.number for note in row.cells[titles.index("validity")].notes)
        for row in table.rows
    }


def test_a_machine_that_was_disturbed_throughout_is_stated_once(tmp_path: Path) -> None:
    page = document(tmp_path, disturbed=4)

    assert ["Other work disturbed 4 of 4 results, in 50 % to 100 % of their trials; stop it and repeat."] == top(page)
    assert {(1,), (1, 2)} == set(notes(page).values())
    suspect = [sentence for card in cards(page) for sentence in card.sentences if sentence.startswith("Suspect")]
    assert ["Suspect: jax (see the findings)."] == suspect           # which drifts, besides
    common, fold, own = section(page, "findings").blocks
    assert isinstance(common, Items)
    assert isinstance(fold, Fold)
    assert isinstance(own, Items)
    assert [1, 1] == [len(common.texts), len(own.texts)]
    (single,) = fold.blocks
    assert isinstance(single, Items)
    assert all(framework in " ".join(single.texts) for framework in ("torch", "jax"))


def test_what_less_than_most_results_have_stays_with_each(tmp_path: Path) -> None:
    page = document(tmp_path, disturbed=2)

    assert [] == top(page)
    suspect = [sentence for card in cards(page) for sentence in card.sentences if sentence.startswith("Suspect")]
    assert ["Suspect: torch (see the findings).", "Suspect: torch and jax (see the findings)."] == suspect
