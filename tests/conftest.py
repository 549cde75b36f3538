"""Options of all tests."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator

import pytest
from hypothesis import settings

# No test is timed: a busy machine says nothing of the code. A change is tested with the same examples each time, else
# it would have to answer for what another one did; HYPOTHESIS_PROFILE=anew looks for others.
settings.register_profile("rigmark", deadline=None, derandomize=True)
settings.register_profile("anew", deadline=None)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "rigmark"))


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
