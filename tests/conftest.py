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
    "ab/test_commands.py", "ab/test_contest.py", "ab/test_pytest_suites.py", "asv", "builds/test_environments.py",
    "builds/test_revisions.py",
    "cli/test_cli.py", "cli/test_init.py", "cli/test_verdicts.py", "doctor/test_doctor.py", "host/test_hosts.py",
    "host/test_interrupts.py", "host/test_limits.py", "host/test_plain.py", "host/test_workfolder.py", "isa", "launch",
    "networks/test_exporting.py", "plan/test_sessions.py", "processes", "reporting/test_notebook.py",
    "reporting/test_server.py",
    "reports/test_html_browser.py", "runner", "store/test_cleaning.py", "telemetry/test_doctor.py",
    "telemetry/test_faults.py", "telemetry/test_host.py", "telemetry/test_live.py", "telemetry/test_nvml.py",
    "telemetry/test_nvml_recorded.py", "telemetry/test_recorder.py", "telemetry/test_trials.py", "test_action.py",
    "test_advice.py", "test_exit_codes.py", "test_faults.py", "test_one_answer.py",
    "test_project_with_such_names.py", "trials",
    "worker/frameworks", "worker/microbenchmarks", "worker/strategies", "worker/test_instructions.py",
    "worker/test_torch_import.py", "worker/test_keras_import.py", "networks/test_modules.py",
    "architecture/test_imports.py::test_the_parts_are_imported_as_parts_of_the_package",
    "ir/test_weights.py::test_no_two_random_arrays_share_a_stream",
    "store/test_store.py::test_records_on_disk_are_as_the_schema_says",
)
"""Folders, modules and tests that start processes, import frameworks, or compute for seconds."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        name = f"{item.path.relative_to(Path(__file__).parent).as_posix()}::{item.name}"
        if any(name == each or name.startswith((f"{each}/", f"{each}::", f"{each}[")) for each in SLOW):
            item.add_marker(pytest.mark.slow)


@pytest.fixture(scope="session", autouse=True)
def data_of_the_user(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """What a test installs, such as the environment of a build, is never among that of whoever runs the tests."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("XDG_DATA_HOME", str(tmp_path_factory.mktemp("data")))
        yield


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
