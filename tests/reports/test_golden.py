"""The reports on a fixed set of records, letter by letter."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import reports
from bench.analysis import language
from tests.reports import records

GOLDEN = Path(__file__).parent / "golden"


def without_files(text: str) -> str:
    """The report without the content of the files in it, and of its script."""
    text = re.sub(r"<script>.*?</script>", "<script>…</script>", text, flags=re.DOTALL)
    text = re.sub(r"script-src '[^;]*;", "script-src …;", text)
    return re.sub(r"SHA-256 [0-9a-f]{64}", "SHA-256 …", re.sub(r'"data:[^"]*"', '"data:…"', text))


@pytest.mark.parametrize("spoken", language.names())
@pytest.mark.parametrize("name", reports.NAMES)
def test_the_report_is_as_it_was_last_looked_at(
    name: str, spoken: str, tmp_path: Path, pytestconfig: pytest.Config
) -> None:
    with language.speaking(spoken):
        document = records.report(records.stored(tmp_path, records.sweep()))
    text = without_files(reports.render(name, document))
    suffix = reports.medium(name).SUFFIX
    golden = GOLDEN / (f"report{suffix}" if spoken == language.ENGLISH else f"report.{spoken}{suffix}")
    if pytestconfig.getoption("--regenerate-golden"):
        golden.write_text(text, encoding="utf-8")

    assert golden.read_text(encoding="utf-8") == text
