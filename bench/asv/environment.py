"""The asv environment type "rigmark", which installs nothing. Only asv itself imports this module, as a plug-in."""

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

    If the project is Rigmark, ``bench`` comes from the commit and ``suites`` from the working tree, as benchmarks of
    asv always do. If it is another project, the workers import the commit; they run in a build named after it.
    """

    tool_name = "rigmark"

    def __init__(self, conf: Any, python: str, requirements: dict[str, str], variables: dict[tuple[str, str], str]):
        this = f"{sys.version_info.major}.{sys.version_info.minor}"
        if python != this:
            raise EnvironmentUnavailable(
                f"'{self.tool_name}' uses the Python that runs asv, {this}, not {python}; for other interpreters, name "
                f"builds in {builds.FILE} and list them under RIGMARK_BUILD in asv.conf.json"
            )
        self._requirements = requirements    # the constructor of asv reads it before it sets it
        super().__init__(conf, python, requirements, variables)

    def check_presence(self) -> bool:
        return True

    def install_project(self, conf: Any, repo: Any, commit_hash: str) -> None:
        if self.installed_commit_hash != commit_hash:
            self._set_installed_commit_hash(None)
            self.checkout_project(repo, commit_hash)
            self._set_installed_commit_hash(commit_hash)

    def run(self, args: list[str], **options: Any) -> Any:
        # Environments that differ only in RIGMARK_BUILD share a checkout; asv names the commit to the first one only.
        self._set_commit_hash(self.installed_commit_hash)
        # Both paths: run_executable of asv sets only PYTHONPATH, which benchmark.py then removes again.
        root = Path(self._build_root)
        search_path = os.pathsep.join(str(folder) for folder in (root / "src", root) if folder.is_dir())
        paths = dict.fromkeys(("PYTHONPATH", "ASV_PYTHONPATH"), search_path)
        own = {"RIGMARK_SESSION": START, "RIGMARK_CHECKOUT": self._build_root}
        env = {**options.pop("env", os.environ), **self._global_env_vars, **paths, **own}
        return util.check_output([sys.executable, *args], env=env, **options)
