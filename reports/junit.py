"""Verdicts and series as JUnit XML, which continuous integration shows beside its tests: a case or series is a test."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from xml.etree import ElementTree

from rigmark.bench.analysis.comparison.verdicts import CaseVerdict, Verdicts, change_of, outlook, said
from rigmark.bench.analysis.history import Watched, better_is, changed_by, labels
from rigmark.bench.analysis.statistics.decision import Verdict
from rigmark.bench.host.plain import plain_line

COUNTS = {"failure": "failures", "error": "errors", "skipped": "skipped"}


@dataclass(frozen=True, kw_only=True)
class Test:
    """One of a suite; ``kind`` is "failure", "error", "skipped", or empty where it passed."""

    name: str
    kind: str = ""
    why: str = ""
    remark: str = ""             # what is to be known of it however it ended


def junit(verdicts: Verdicts) -> str:
    """Slower is a failure, a side that failed or is unlike an error, and what could not be told is skipped."""
    return _suite(f"rigmark {verdicts.base} against {verdicts.new}", _tests(verdicts))


def junit_of_neighbours(name: str, neighbours: Sequence[Verdicts], broken: Mapping[str, str]) -> str:
    """The same of several contests, of which each has another pair of sides; a side that could not be made ready is an
    error, with the reason.
    """
    return _suite(name, [
        *(Test(name=side, kind="error", why=f"does not install here: {reason}") for side, reason in broken.items()),
    ] + [
        replace(test, name=f"{test.name}: {verdicts.base} against {verdicts.new}")
        for verdicts in neighbours for test in _tests(verdicts)
    ])


def junit_of_series(
    series: Sequence[Watched], *, name: str, last: int, problems: Sequence[str] = (),
    verdicts: Sequence[Verdicts] | None = None, others: Collection[str] = (),
) -> str:
    """A series that got worse is a failure, one that fails now an error, and one that is not judged is skipped; each
    says which way is better. Where some were measured again in pairs, the ``verdicts`` on these decide, and series that
    are among the ``others`` still fail. What could not be read is an error.
    """
    tests = [Test(name=problem, kind="error", why=problem) for problem in problems]
    for each, label in zip(series, labels([each.series for each in series]), strict=True):
        kind, why = _standing(each, last)
        if kind == "failure" and verdicts is not None and each.series.label not in others:
            kind, why = "skipped", f"{why}; measured again in pairs, which decide"
        tests.append(Test(name=label, kind=kind, why=why, remark=f"better is {better_is(each.series.direction)}"))
    return _suite(f"rigmark check of {name}", [*tests, *(test for each in verdicts or () for test in _tests(each))])


def _standing(each: Watched, last: int) -> tuple[str, str]:
    better = f"better is {better_is(each.series.direction)}"
    if each.retirement is not None:
        return "skipped", each.retirement.text
    if each.failure is not None:
        return "error", f"fails since {each.failure.since}: {each.failure.reason}"
    for kind, steps in (("failure", each.worse(last)), ("skipped", each.changed(last))):
        if steps:
            return kind, "; ".join(
                f"{changed_by(step.change.ratio)} between {step.last_before} and {step.first_after}" for step in steps
            ) + f"; {better}"
    return ("skipped", each.reason) if each.reason else ("", "")


def _tests(verdicts: Verdicts) -> list[Test]:
    return [
        Test(name=case.label, kind=kind, why=text) for case in verdicts.cases for kind, text in (_mark(case),)
    ]


def _suite(name: str, tests: Sequence[Test]) -> str:
    counts = Counter(test.kind for test in tests)
    suite = ElementTree.Element("testsuite", {
        "name": plain_line(name), "tests": str(len(tests)), **{COUNTS[kind]: str(counts[kind]) for kind in COUNTS},
    })
    for test in tests:
        element = ElementTree.SubElement(suite, "testcase", {"classname": "rigmark", "name": plain_line(test.name)})
        if test.kind:
            ElementTree.SubElement(element, test.kind, {"message": plain_line(test.why)})
        if test.remark:
            ElementTree.SubElement(element, "system-out").text = plain_line(test.remark)
    ElementTree.indent(suite)
    return f'<?xml version="1.0" encoding="utf-8"?>\n{ElementTree.tostring(suite, encoding="unicode")}\n'


def _mark(case: CaseVerdict) -> tuple[str, str]:
    if case.verdict is Verdict.SLOWER:
        cause = f"; {case.cause.text}" if case.cause else ""
        return "failure", f"{said(case)}: {change_of(case)}{cause}"
    if case.has_failed:
        return "error", outlook(case) or "; ".join(case.doubts)
    if case.verdict in (Verdict.INCONCLUSIVE, Verdict.TOO_NOISY, None):
        return "skipped", f"{case.verdict or 'not compared'}: {outlook(case)}"
    return "", ""
