"""Options of all tests."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

# No test is timed: a busy machine says nothing of the code. A change is tested with the same examples each time, else
# it would have to answer for what another one did; HYPOTHESIS_PROFILE=anew looks for others.
settings.register_profile("rigmark", deadline=None, derandomize=True)
settings.register_profile("anew", deadline=None)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "rigmark"))


SLOW = (
    "ab/test_contest.py", "asv", "builds/test_environments.py", "builds/test_revisions.py", "cli/test_cli.py",
    "cli/test_verdicts.py", "doctor/test_doctor.py", "host/test_hosts.py", "host/test_interrupts.py",
    "host/test_limits.py", "host/test_plain.py", "host/test_workfolder.py", "isa", "launch", "processes",
    "reporting/test_notebook.py", "reporting/test_server.py", "reports/test_html_browser.py", "runner",
    "store/test_cleaning.py", "telemetry/test_doctor.py", "telemetry/test_live.py", "telemetry/test_nvml.py",
    "telemetry/test_recorder.py", "telemetry/test_trials.py", "test_advice.py", "test_exit_codes.py", "test_faults.py",
    "test_one_answer.py", "trials", "worker/frameworks", "worker/strategies", "worker/test_instructions.py",
)
"""Folders and modules whose tests start processes, or import frameworks."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        name = item.path.relative_to(Path(__file__).parent).as_posix()
        if name in SLOW or any(name.startswith(f"{folder}/") for folder in SLOW):
            item.add_marker(pytest.mark.slow)


@pytest.fixture(autouse=True)
def signals_of_this_process() -> Iterator[None]:
    """A test may run the command in this process, which then has the process's signals as its own."""
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGALRM)
    before, hook = {number: signal.getsignal(number) for number in numbers}, sys.unraisablehook
    yield
    sys.unraisablehook = hook
    for number, handler in before.items():
        if signal.getsignal(number) is not handler:
            signal.signal(number, handler)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--regenerate-golden", action="store_true", help="write the golden reports anew; look at the diff before commit"
    )
