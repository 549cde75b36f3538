"""Results in a notebook: tables with units, and what is shown of them; the example runs."""

from __future__ import annotations

import html
import re
from pathlib import Path

import nbformat
import pytest

import rigmark
from rigmark.bench.errors import UserError
from rigmark.bench.reporting.notebook import Results
from tests.reports import records

EXAMPLE = Path(__file__).parents[2] / "docs/notebook.ipynb"
HOSTILE = "<script>alert(1)</script>\x1b[31m\u202e"


@pytest.fixture(name="results", scope="module")
def _results(tmp_path_factory: pytest.TempPathFactory) -> Results:
    folder = tmp_path_factory.mktemp("results")
    records.stored(folder, records.sweep())
    return rigmark.load(folder)


def test_columns_of_quantities_say_their_unit(results: Results) -> None:
    quantity = re.compile(r"time|throughput|power|energy|memory|bytes")
    unit = re.compile(r"_(s|w|j|bytes|reason|method)$|^bytes_moved$")
    without = [
        name for frame in (results.results, results.layers) for name in frame.columns
        if quantity.search(name) and not unit.search(name)
    ]

    assert not without


def test_each_table_has_its_rows(results: Results) -> None:
    assert {"torch", "jax", "numpy", "tensorflow"} == set(results.results.framework)
    assert len(results.trials) > len(results.results)
    case = results.layers[(results.layers.framework == "torch") & (results.layers["mode"] == "training")]
    assert 1.0 == pytest.approx(case.share.sum())


def test_a_folder_without_results_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no results in"):
        rigmark.load(tmp_path)


def test_results_are_shown_as_text_of_a_table(tmp_path: Path) -> None:
    of = {**records.case("torch"), "model": HOSTILE}
    records.stored(tmp_path, [records.timing(of, 0, 0.01)])
    (tmp_path / "records" / "damaged<b>.json").write_text("{")
    shown = rigmark.load(tmp_path)._repr_html_()

    assert "<script" not in shown
    assert "<b>" not in shown
    assert "&lt;script&gt;alert(1)" in shown
    assert not set("\x1b\u202e") & set(shown)


def test_a_report_is_a_page_in_a_frame_of_its_own(results: Results, tmp_path: Path) -> None:
    report = results.report("zh")
    shown = report._repr_html_()
    (page,) = re.findall(r'srcdoc="([^"]*)"', shown)

    assert 1 == len(re.findall("<", shown)) - 1      # the frame alone is markup of the notebook
    assert "allow-same-origin" not in shown
    assert '<html lang="zh">' in html.unescape(page)
    report.save(tmp_path / "report.html")
    assert html.unescape(page) == (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "难分高下" in repr(report)


@pytest.mark.filterwarnings("ignore")
def test_the_example_notebook_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nbclient = pytest.importorskip("nbclient")
    monkeypatch.setenv("PYTHONPATH", str(EXAMPLE.parents[1]))        # the kernel is a process of its own
    records.stored(tmp_path / "results", records.sweep())
    notebook = nbformat.read(EXAMPLE, as_version=4)      # type: ignore[no-untyped-call]
    resources = {"metadata": {"path": str(tmp_path)}}
    nbclient.NotebookClient(notebook, timeout=300, kernel_name="python3", resources=resources).execute()

    shown = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    assert not [output for output in shown if output.output_type == "error"]
    assert [output for output in shown if "iframe" in output.get("data", {}).get("text/html", "")]
