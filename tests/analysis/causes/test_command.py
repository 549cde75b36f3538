"""The cause of a verdict on a command, from what both sides have and from whether one of them waited."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rigmark.bench.analysis.causes.cause import Cause, Kind
from rigmark.bench.analysis.causes.command import Seen, of_contestants, with_cause
from rigmark.bench.analysis.comparison import numbers
from rigmark.bench.analysis.comparison.numbers import Numbers, Quantity
from rigmark.bench.analysis.statistics.decision import decide

QUANTITY = Quantity(name="wall time", unit="s")
SIDE: dict[str, Any] = {
    "command": "python run.py", "commit": None, "interpreter": None, "variables": {"OMP_NUM_THREADS": "2"},
    "packages": {"Python": "3.11.7", "numpy": "2.4.6"},
}


def pairs(base_s: float, new_s: float) -> list[Numbers]:
    return [Numbers(base=(base_s + 0.001 * index,), new=(new_s + 0.001 * index,)) for index in range(12)]


def cause(
    wall: tuple[float, float] = (1.0, 1.5), cpu: tuple[float, float] = (1.0, 1.5), *, seen: Seen | None = None,
    **of_new: Any,
) -> Cause | None:
    measured = pairs(*wall)
    verdict = numbers.case_verdict(
        "run.py", QUANTITY, measured, decide(numbers.log_speed_ups(QUANTITY, measured)), facts={},
    )
    return with_cause(verdict, measured, pairs(*cpu), [seen or Seen()] * 12, of_contestants(SIDE, {**SIDE, **of_new}))\
        .cause


def told(found: Cause | None) -> tuple[Kind, str]:
    assert found is not None
    return found.kind, found.text


def package(**versions: str) -> Mapping[str, Any]:
    return {"packages": {**SIDE["packages"], **versions}}


def test_the_only_package_that_differs_is_the_cause():
    assert told(cause(**package(numpy="2.5.0"))) == (
        Kind.SIDES, "Of all that is known, the sides differ only in numpy 2.4.6 against 2.5.0.")


def test_of_several_differences_none_is_called_the_cause():
    kind, text = told(cause(**package(numpy="2.5.0"), variables={}))

    assert kind is Kind.NOT_LOCATED
    assert "OMP_NUM_THREADS 2 against not set; numpy 2.4.6 against 2.5.0" in text


def test_equal_sides_have_no_cause_that_is_known():
    assert told(cause()) == (Kind.NOT_LOCATED, "Not located: nothing is known to differ between the sides.")


def test_a_side_that_waited_is_told_from_one_that_worked():
    kind, text = told(cause(cpu=(1.0, 1.0)))

    assert kind is Kind.MACHINE
    assert "The slower side waited for all of the difference" in text


def test_cpu_time_of_several_threads_tells_nothing_of_waiting():
    assert told(cause(cpu=(3.0, 3.0)))[0] is Kind.NOT_LOCATED


def test_what_else_was_seen_is_told_where_it_differs_in_every_pair():
    _, text = told(cause(seen=Seen(memory_bytes=(2**30, 2**31), switches=(10, 400))))

    assert "Peak memory: 1,020 MiB against 2,050 MiB. Taken from its core 10.0 against 400 times per turn." in text


def test_the_names_of_interpreters_do_not_count_where_their_packages_are_known():
    assert told(cause(interpreter="/other/bin/python"))[0] is Kind.NOT_LOCATED
    assert told(cause(packages=None, interpreter="/other/bin/python"))[0] is Kind.SIDES


def test_what_did_not_change_has_no_cause():
    assert cause((1.0, 1.0)) is None
