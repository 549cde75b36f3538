"""asv's environment type "rigmark", which installs nothing. Only asv itself imports this, as a plugin."""

from __future__ import annotations

import os
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from asv import util
from asv.environment import Environment, EnvironmentUnavailable

from rigmark.bench.builds import build as builds

START = datetime.now(UTC).isoformat(timespec="seconds")


class ThisInterpreter(Environment):  # type: ignore[misc]
    """The interpreter that runs asv, with a checkout of the measured commit first on its path.

    Of Rigmark ``bench`` is that of the commit and ``suites`` that of the working tree, as asv has it for every
    project. Of another project the workers import what the commit holds; they run in a build of its name.
    """

    tool_name = "rigmark"

    def __init__(self, conf: Any, python: str, requirements: dict[str, str], variables: dict[tuple[str, str], str]):
        this = f"{sys.version_info.major}.{sys.version_info.minor}"
        if python != this:
            raise EnvironmentUnavailable(
                f"'{self.tool_name}' measures with the Python that runs asv, {this}, not {python}; name other "
                f"interpreters in {builds.FILE} and list them under RIGMARK_BUILD in asv.conf.json"
            )
        self._requirements = requirements    # asv's own constructor reads it before it sets it
        super().__init__(conf, python, requirements, variables)

    def check_presence(self) -> bool:
        return True

    def install_project(self, conf: Any, repo: Any, commit_hash: str) -> None:
        if self.installed_commit_hash != commit_hash:
            self._set_installed_commit_hash(None)
            self.checkout_project(repo, commit_hash)
            self._set_installed_commit_hash(commit_hash)

    def run(self, args: list[str], **options: Any) -> Any:
        # Environments that differ in RIGMARK_BUILD only share a checkout; asv tells the commit to the first alone.
        self._set_commit_hash(self.installed_commit_hash)
        # Both paths: asv's own run_executable sets PYTHONPATH only, and benchmark.py then takes it away again.
        root = Path(self._build_root)
        found = os.pathsep.join(str(folder) for folder in (root / "src", root) if folder.is_dir())
        paths = dict.fromkeys(("PYTHONPATH", "ASV_PYTHONPATH"), found)
        own = {"RIGMARK_SESSION": START, "RIGMARK_CHECKOUT": self._build_root}
        env = {**options.pop("env", os.environ), **self._global_env_vars, **paths, **own}
        return util.check_output([sys.executable, *args], env=env, **options)
