"""Options of all tests."""

from __future__ import annotations

import os

import pytest
from hypothesis import settings

# No test is timed: a busy machine says nothing of the code. A change is tested with the same examples each time, else
# it would have to answer for what another one did; HYPOTHESIS_PROFILE=anew looks for others.
settings.register_profile("rigmark", deadline=None, derandomize=True)
settings.register_profile("anew", deadline=None)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "rigmark"))


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--regenerate-golden", action="store_true", help="write the golden reports anew; look at the diff before commit"
    )
