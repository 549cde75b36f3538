"""The judgements of ``asv continuous`` on the slowdowns of ab_power, and the seconds that each takes.

    .venv/bin/python -m evidence.asv_power --framework torch,tensorflow,jax

A repository is created as a user would, with ``rigmark init --asv``, and has a commit for each slowdown: the same extra
work in the same case. ``asv continuous BASE NEW`` measures two commits; its judgement is shown at its default factor,
below which asv reports nothing, and at a factor that every slowdown here exceeds.

To compare it with ``rigmark ab`` on the same machine at the same time, run each on its own core:

    taskset -c 0 .venv/bin/python -m evidence.ab_power & taskset -c 1 .venv/bin/python -m evidence.asv_power
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from evidence.ab_power import EVERY, EXTRA_WORK, NEVER, arguments, true
from rigmark.bench.cli.init import CONFIGURATION, FOLDER

OWN_FACTOR, LOW_FACTOR = 1.1, 1.01           # asv's default; below the smallest slowdown
ROUNDS = 8                                   # processes of each commit, as in the suite that rigmark init writes
HERE = Path(__file__).parents[1]
SUITE = """import sys

from rigmark.bench.asv.benchmark import benchmark

sys.path.append({here!r})
from evidence import ab_power

SWEEPS = (ab_power.case_of({framework!r}, {per_cent!r}, ab_power.arguments(None).parse_args({case!r}), {rounds}),)
track_step_time = benchmark(SWEEPS, __name__)
"""
WORDS = {"+": "slower", "-": "faster", "~": "not significant", "": "not changed", "x": "not comparable", "!": "failed"}
ROW = re.compile(r"^\| *(?P<mark>[-+x!]?) *\|.*\|\s*(?P<doubt>~?)(?P<ratio>[\d.]+|n/a)\s*\|[^|]*\|$", re.M)


def main() -> int:
    options = arguments(__doc__).parse_args()
    print(f"{'framework':<11} {'true':<7} {f'asv, factor {OWN_FACTOR}':<22} {f'factor {LOW_FACTOR}':<22} {'s':>5}")
    for framework in options.framework.split(","):
        for per_cent in map(int, options.slowdown.split(",")):
            with tempfile.TemporaryDirectory() as folder:
                row(Repository(Path(folder)), framework, per_cent, options)
    return 0


class Repository:
    """A project whose commits slow the workers down, ready for asv."""

    def __init__(self, folder: Path):
        self._home = folder
        self.root = folder / "project"
        self.root.mkdir()
        self.run("git", "init", "--quiet")
        self.run(str(Path(sys.executable).with_name("rigmark")), "init", "--asv")
        configuration = json.loads((self.root / CONFIGURATION).read_text())
        (self.root / CONFIGURATION).write_text(json.dumps(configuration | {"branches": ["base"]}))

    def commit(self, name: str, every: int) -> None:
        """A branch whose workers do each so many-th step twice."""
        code = (EXTRA_WORK / "sitecustomize.py").read_text()
        before = f"import os\nos.environ['RIGMARK_EXTRA_EVERY'] = '{every}'\n"
        (self.root / "sitecustomize.py").write_text(before + code)
        who = ("-c", "user.name=evidence", "-c", "user.email=evidence@localhost")
        self.run("git", "checkout", "--quiet", "-b", name)
        self.run("git", "add", "sitecustomize.py")
        self.run("git", *who, "commit", "--quiet", "--no-gpg-sign", "--message", name)

    def asv(self, *arguments: str) -> str:
        """What asv prints; an exit code of 1 says that something changed."""
        return self.run(sys.executable, "-m", "asv", *arguments, codes=(0, 1))

    def run(self, *command: str, codes: tuple[int, ...] = (0,)) -> str:
        done = subprocess.run(
            command, cwd=self.root, env=os.environ | {"HOME": str(self._home)}, text=True, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False,
        )
        if done.returncode not in codes:
            sys.exit(f"{' '.join(command)} ended with {done.returncode}:\n{done.stdout}")
        return done.stdout


def row(repository: Repository, framework: str, per_cent: int, options: argparse.Namespace) -> None:
    """Measure and print one line."""
    case = [f"--model={options.model}", f"--mode={options.mode}", f"--batch={options.batch}",
            f"--threads={options.threads}"]
    suite = SUITE.format(here=str(HERE), framework=framework, per_cent=per_cent, case=case, rounds=ROUNDS)
    (repository.root / FOLDER / "rigmark_networks.py").write_text(suite)
    repository.commit("base", NEVER)
    repository.commit("new", EVERY[per_cent] if per_cent else NEVER - 1)
    repository.asv("machine", "--yes")
    started = time.monotonic()
    said = repository.asv("continuous", "base", "new", "--show-stderr")
    seconds = time.monotonic() - started
    judged = [repository.asv("compare", "base", "new", "--factor", str(f)) for f in (OWN_FACTOR, LOW_FACTOR)]
    matches = [ROW.search(text) for text in judged]
    if None in matches:
        sys.exit(said)
    words = [f"{WORDS[match['mark'] or match['doubt']]} {match['ratio']}" for match in matches if match]
    print(f"{framework:<11} {true(per_cent):<7} {words[0]:<22} {words[1]:<22} {seconds:>5.0f}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
