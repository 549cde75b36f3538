"""Verdicts as JUnit XML, which continuous integration shows beside its tests: a case is a test."""

from __future__ import annotations

from xml.etree import ElementTree

from rigmark.bench.analysis.comparison.verdicts import CaseVerdict, Verdicts, change, outlook
from rigmark.bench.analysis.statistics.decision import Verdict
from rigmark.bench.host.plain import plain_line


def junit(verdicts: Verdicts) -> str:
    """Slower is a failure, a side that failed or is unlike an error, and what could not be told is skipped."""
    marks = [_mark(case) for case in verdicts.cases]
    suite = ElementTree.Element("testsuite", {
        "name": plain_line(f"rigmark {verdicts.base} against {verdicts.new}"), "tests": str(len(marks)),
        **{f"{kind}s" if kind != "skipped" else kind: str(sum(mark[0] == kind for mark in marks))
           for kind in ("failure", "error", "skipped")},
    })
    for case, (kind, words) in zip(verdicts.cases, marks, strict=True):
        element = ElementTree.SubElement(suite, "testcase", {"classname": "rigmark", "name": plain_line(case.label)})
        if kind:
            ElementTree.SubElement(element, kind, {"message": plain_line(words)})
    ElementTree.indent(suite)
    return f'<?xml version="1.0" encoding="utf-8"?>\n{ElementTree.tostring(suite, encoding="unicode")}\n'


def _mark(case: CaseVerdict) -> tuple[str, str]:
    size = change(case.decision.speed_up) if case.decision and case.decision.speed_up else ""
    if case.verdict is Verdict.SLOWER:
        return "failure", f"slower: {size}"
    if case.has_failed:
        return "error", outlook(case) or "; ".join(case.doubts)
    if case.verdict in (Verdict.INCONCLUSIVE, Verdict.TOO_NOISY, None):
        return "skipped", f"{case.verdict or 'not compared'}: {outlook(case)}"
    return "", ""
