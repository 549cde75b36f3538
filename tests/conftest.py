"""Options of all tests."""

from __future__ import annotations

import pytest
from hypothesis import settings

settings.register_profile("rigmark", deadline=None)      # no test is timed: a busy machine says nothing of the code
settings.load_profile("rigmark")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--regenerate-golden", action="store_true", help="write the golden reports anew; look at the diff before commit"
    )
