"""The packages that a Python interpreter finds, beside its own version."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Mapping
from functools import cache
from pathlib import Path

DEADLINE_S = 60.0
PYTHON = re.compile(r"python[0-9.]*(t)?(\.exe)?")
LIST = (
    "import json, platform\n"
    "try:\n    from importlib.metadata import distributions\n"
    "except ImportError:\n    distributions = list\n"
    "found = {str(each.metadata['Name']): each.version for each in distributions()}\n"
    "print(json.dumps({'Python': platform.python_version(), **found}))\n"
)


def is_python(program: str) -> bool:
    """Whether a program is a Python interpreter, by its name."""
    return PYTHON.fullmatch(Path(program).name) is not None


def packages(interpreter: str, cwd: Path, environment: Mapping[str, str]) -> dict[str, str] | None:
    """The versions by name, with "Python"; None if the interpreter does not answer in time."""
    return _packages(interpreter, cwd, tuple(sorted(environment.items())))


@cache
def _packages(interpreter: str, cwd: Path, environment: tuple[tuple[str, str], ...]) -> dict[str, str] | None:
    try:
        ran = subprocess.run(
            [interpreter, "-c", LIST], cwd=cwd, env=dict(environment), stdin=subprocess.DEVNULL, capture_output=True,
            text=True, timeout=DEADLINE_S, check=True,
        )
        return {str(name): str(version) for name, version in json.loads(ran.stdout).items()}
    except (OSError, ValueError, AttributeError, subprocess.SubprocessError):
        return None
