"""The reports on fixed sets of records, letter by letter."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from rigmark import reports
from rigmark.bench.document import language
from rigmark.bench.document.document import Document
from rigmark.bench.reporting import gather
from tests.reports import advised, gathered, records

GOLDEN = Path(__file__).parent / "golden"
DOCUMENTS: dict[str, Callable[[Path], Document]] = {
    "report": lambda root: records.report(records.stored(root, records.sweep())),
    "variations": lambda root: records.report(records.stored(root, records.variations())),
    "gathered": lambda root: gather.report(gathered.store(root)).document,
    "advice": lambda root: advised.document(),
}


def without_files(text: str) -> str:
    """The report without the content of the files in it, and of its script."""
    text = re.sub(r"<script>.*?</script>", "<script>…</script>", text, flags=re.DOTALL)
    text = re.sub(r"script-src '[^;]*;", "script-src …;", text)
    return re.sub(r"SHA-256 [0-9a-f]{64}", "SHA-256 …", re.sub(r'"data:[^"]*"', '"data:…"', text))


@pytest.mark.parametrize("spoken", language.names())
@pytest.mark.parametrize("name", reports.NAMES)
@pytest.mark.parametrize("stem", DOCUMENTS)
def test_the_report_is_as_it_was_last_looked_at(
    stem: str, name: str, spoken: str, tmp_path: Path, pytestconfig: pytest.Config
) -> None:
    with language.speaking(spoken):
        document = DOCUMENTS[stem](tmp_path)
    text = without_files(reports.render(name, document))
    suffix = reports.medium(name).SUFFIX
    golden = GOLDEN / (f"{stem}{suffix}" if spoken == language.ENGLISH else f"{stem}.{spoken}{suffix}")
    if pytestconfig.getoption("--regenerate-golden"):
        golden.write_text(text, encoding="utf-8")

    assert golden.read_text(encoding="utf-8") == text
