"""The page as text: what is vendored, what its policy allows, what its script reads."""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import math
import re
from importlib import resources

import numpy as np
import pytest

from rigmark import reports
from rigmark.bench.document.document import (
    Align,
    Attachment,
    Block,
    Cell,
    Column,
    Document,
    Panel,
    Row,
    Section,
    Span,
    Table,
    Timeline,
    Trace,
)
from rigmark.reports.media import html

TEMPLATES = resources.files("rigmark.reports") / "templates"


def document(*blocks: Block) -> Document:
    return Document(title="t", summary=(), sections=(Section(id="s", title="S", blocks=blocks),))


def timeline() -> Timeline:
    trace = Trace(label="</script><b>", values=(1.0, math.nan, 3.0))
    return Timeline(
        id="timeline.a", title="a", begin_s=0.0, duration_s=2.0, table="table.a",
        panels=(Panel(title="power", unit="W", step_s=1.0, traces=(trace,)),),
        spans=(Span(label="timed", begin_s=0.0, end_s=2.0),),
    )


@pytest.mark.parametrize("name", html.UPLOT)
def test_what_is_vendored_is_what_was_published(name: str) -> None:
    assert html.UPLOT[name] == hashlib.sha256((TEMPLATES / name).read_bytes()).hexdigest()


def test_what_is_vendored_is_in_a_page_that_draws_with_it_alone_and_with_its_licence() -> None:
    without, drawn = (reports.render("html", document(*blocks)) for blocks in ((), (timeline(),)))

    assert "uPlot" not in without
    assert "Permission is hereby granted" in drawn
    assert "(v1.6.32)" in drawn


def test_the_policy_allows_the_scripts_of_the_page_by_their_hashes_and_nothing_else() -> None:
    text = reports.render("html", document(timeline()))
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', text)
    assert policy
    scripts = re.findall(r"<script>(.*?)</script>", text, re.DOTALL)
    hashes = {f"'sha256-{base64.b64encode(hashlib.sha256(s.encode()).digest()).decode()}'" for s in scripts}
    said = dict(part.strip().split(" ", 1) for part in policy.group(1).split(";"))

    assert 3 == len(scripts)
    assert hashes == set(said.pop("script-src").split())
    assert "'none'" == said.pop("default-src")
    assert not [value for value in said.values() if "unsafe" in value or "http" in value or "*" in value]


def test_the_script_is_small() -> None:
    assert 320 >= len((TEMPLATES / "report.js").read_text(encoding="utf-8").splitlines())


def test_readings_keep_to_half_a_step_of_sixteen_bits_and_gaps_stay_gaps() -> None:
    values = (*np.linspace(-3.0, 700.0, 101).tolist(), math.nan)
    packed = html.steps(Trace(label="a", values=values))
    numbers = np.frombuffer(base64.b64decode(packed["data"]), "<i2")

    assert html.EMPTY == numbers[-1]
    assert html.EMPTY not in numbers[:-1]
    error = np.abs(packed["offset"] + packed["scale"] * numbers[:-1] - np.array(values[:-1]))
    assert error.max() <= 0.5 * 703.0 / 65_534 * (1 + 1e-6)


def test_a_label_cannot_end_the_data_of_a_figure() -> None:
    text = reports.render("html", document(timeline()))
    (data,) = re.findall(r'<script type="application/json">(.*?)</script>', text, re.DOTALL)

    assert "</script><b>" == json.loads(data)["panels"][0]["traces"][0]["label"]


def test_a_long_file_is_compressed_and_its_checksum_is_that_of_what_is_saved() -> None:
    content = "a,b\n" * 30_000
    attached = Attachment(name="all.csv", mime_type="text/csv", content=content, description="all")
    text = reports.render("html", document(attached))
    link = re.search(r'download="([^"]*)" href="data:[^,]*;base64,([^"]*)"', text)
    assert link
    saved = base64.b64decode(link.group(2))

    assert "all.csv.gz" == link.group(1)
    assert content == gzip.decompress(saved).decode()
    assert f"SHA-256 {hashlib.sha256(saved).hexdigest()}" in text


def test_a_value_is_written_only_where_the_text_does_not_tell_it() -> None:
    def table(text: str) -> Table:
        return Table(
            id="table", caption="c", columns=(Column(title="a"), Column(title="b", align=Align.RIGHT)),
            rows=(Row(id="row", cells=(Cell(text="x"), Cell(text=text, value=0.0123))),),
        )

    assert "data-value" not in reports.render("html", document(table("12.3")))
    assert 'data-value="0.0123"' in reports.render("html", document(table("12.3 (12.1 to 12.5)")))
