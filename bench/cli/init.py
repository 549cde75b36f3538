"""``rigmark init``: files that make Rigmark measure another project's commits: asv's configuration and a suite."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import Annotated, Any

import typer

from rigmark.bench.errors import UserError
from rigmark.bench.host import files

NEEDS_ARGUMENTS = True
CONFIGURATION = "asv.conf.json"
FOLDER = "benchmarks"
LOCK_FILES = ("requirements.lock", "requirements.txt")

SUITE = '''"""Networks of Rigmark on the commits of this project: seconds per step, less is better.

Every case is proven to compute the same as a float64 oracle before it is timed; the records are in
.asv/rigmark-results. Change the cases as you like; `rigmark run --help` tells the words.
"""

from rigmark import Mode, Sweep, Timing, benchmark

STEADY = Timing(min_timings=20, min_time_s=0.5, max_time_s=3.0, warm_up_max_s=1.0)

SWEEPS = (
    Sweep(
        models=("mnist_cnn",), frameworks=({framework!r},), modes=(Mode.INFERENCE, Mode.TRAINING), local_batches=(16,),
        threads=(1,), repetitions=8, timing=STEADY,
    ),
)
track_step_time = benchmark(SWEEPS, __name__)
'''


def command(
    asv: Annotated[bool, typer.Option("--asv", help=f"Write {CONFIGURATION} and a suite.")] = False,
    folder: Annotated[Path, typer.Argument(help="The project, a git repository.")] = Path(),
    lock: Annotated[Path | None, typer.Option(help="Lock file whose commits date a framework's upgrade.")] = None,
    framework: Annotated[str, typer.Option(help="What the first case runs on.")] = "torch",
    rigmark: Annotated[str, typer.Option(help="What pip installs Rigmark from: a name, folder or URL.")] = "rigmark",
) -> None:
    """Make a project ready for asv with the networks of Rigmark: your commits, our cases.

    With a lock file, each commit is measured with what that file pins, so that asv dates a slowdown to the upgrade.
    Without one, workers import what each commit's checkout (or its folder src) holds before all else, and nothing is
    installed: enough for pure Python, while a project that is compiled wants 'rigmark ab', which installs each
    revision. Files that are there already are never overwritten.

    Examples:

    rigmark init --asv

    rigmark init --asv ../project --lock requirements.lock --framework jax
    """
    from rigmark.bench.cli import say
    from rigmark.bench.errors import unknown
    from rigmark.bench.worker import frameworks

    if not asv:
        raise UserError("say what to make ready for: rigmark init --asv")
    if framework not in frameworks.NAMES:
        raise unknown("framework", framework, frameworks.NAMES)
    if not _in_git(folder):
        raise UserError(f"{folder} is no git repository, and asv measures commits; git init makes one")
    found = lock or next((Path(name) for name in LOCK_FILES if (folder / name).is_file()), None)
    if lock is not None and not (folder / lock).is_file():
        raise UserError(f"no lock file {folder / lock}; leave --lock out to install nothing")
    configuration = folder / CONFIGURATION
    benchmarks = _benchmark_dir(configuration) if configuration.is_file() else FOLDER
    files = {
        configuration: json.dumps(_configuration(folder, found, rigmark), indent=4) + "\n",
        folder / benchmarks / "__init__.py": "",
        folder / benchmarks / "rigmark_networks.py": SUITE.replace("{framework!r}", repr(framework)),
    }
    for path, text in files.items():
        if path.exists():
            say(f"{path} is there already, and left as it is")
            continue
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        except OSError as error:
            raise UserError(f"cannot write {path}: {error.strerror}") from None
        say(f"wrote {path}")
    pinned = f"each commit with what {found} pins" if found else "each commit's checkout in this interpreter"
    say(f"measures {pinned}; keep .asv out of git (.gitignore)")
    say("next: asv machine --yes; asv run --quick; asv run NEW; rigmark check --asv .")


def _configuration(folder: Path, lock: Path | None, rigmark: str) -> dict[str, Any]:
    """asv.conf.json; with a lock file an environment whose packages follow the commits, else none of its own."""
    common: dict[str, Any] = {
        "version": 1, "project": folder.resolve().name, "project_url": "#", "repo": ".", "dvcs": "git",
        "branches": ["HEAD"], "benchmark_dir": FOLDER, "env_dir": ".asv/env", "results_dir": ".asv/results",
        "html_dir": ".asv/html", "launch_method": "spawn",
    }
    if lock is None:
        return {
            **common, "plugins": [".rigmark.bench.asv.environment"], "environment_type": "rigmark",
            "matrix": {"env_nobuild": {"RIGMARK_BUILD": ["default"]}},
        }
    # Nothing is built: one environment is upgraded in place, commit by commit.
    return {
        **common, "environment_type": "virtualenv", "build_command": [], "uninstall_command": [],
        "install_command": [
            f"in-dir={{env_dir}} python -m pip install {rigmark}",
            f"in-dir={{env_dir}} python -m pip install -r {{build_dir}}/{lock.as_posix()}",
        ],
        "install_timeout": 1800,
    }


def _in_git(folder: Path) -> bool:
    if not folder.is_dir():
        raise UserError(f"no folder {folder}")
    found = subprocess.run(
        ["git", "-C", str(folder), "rev-parse", "--is-inside-work-tree"], capture_output=True, check=False
    )
    return found.returncode == 0


def _benchmark_dir(configuration: Path) -> str:
    """Where an asv.conf.json that is there already has its benchmarks; it may hold comments."""
    named = re.search(r'^\s*"benchmark_dir"\s*:\s*"([^"]+)"', files.read_text(configuration), re.M)
    return named[1] if named else FOLDER
