"""``rigmark init``: writes an asv configuration and a suite, so that the commits of another project are measured."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import tomllib
from importlib import metadata
from pathlib import Path
from typing import Annotated, Any

import typer

from rigmark.bench.errors import UserError
from rigmark.bench.host import files
from rigmark.bench.version import __version__

NEEDS_ARGUMENTS = True
CONFIGURATION = "asv.conf.json"
FOLDER = "benchmarks"
LOCK_FILES = ("requirements.lock", "requirements.txt")

SUITE = '''"""Networks of Rigmark, timed at each commit of this project: seconds per step, less is better.

They do not import this project. {depends}
Every case is proven to compute the same as a float64 oracle before it is timed; the records are in
.asv/rigmark-results. Change the cases as you like; `rigmark run --help` lists the values.
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
WITH_LOCK = '''Their times change with what {lock} pins at a commit, such as an upgrade of
{framework}, and not with the project's own code.
'''
WITHOUT_LOCK = '''Their times change with its commits only if {framework} uses it, for example as
a plug-in; otherwise they show the noise of this machine. Put benchmarks of your own code into files beside this one.
'''

OWN = '''"""Benchmarks of this project's own code, measured by asv alone: https://asv.readthedocs.io/en/stable/writing_benchmarks.html

The first one measures how long it takes to import the project, in a new process.
"""


def timeraw_import():
    return "import {package}"


timeraw_import.number = 1
'''


def command(
    asv: Annotated[bool, typer.Option("--asv", help=f"Write {CONFIGURATION} and a suite.")] = False,
    folder: Annotated[Path, typer.Argument(help="Folder of the project, a git repository.")] = Path(),
    lock: Annotated[
        Path | None, typer.Option(help="Lock file that pins the framework; each commit is measured with its versions.")
    ] = None,
    framework: Annotated[str, typer.Option(help="Framework of the first case.")] = "torch",
    rigmark: Annotated[
        str | None, typer.Option(help="What pip installs Rigmark from. By default what this Rigmark came from.")
    ] = None,
) -> None:
    """Set up a project so that asv measures the networks of Rigmark at each of its commits.

    The networks do not import the project. With a lock file, each commit is measured with the versions that the file
    pins there, so that asv can tell which upgrade made it slower. Without one, nothing is installed: the checkout of
    each commit (or its folder src) comes first on the import path. That suffices for pure Python; for a project that
    must be compiled use 'rigmark ab', which installs each revision. In this case a benchmark that imports the project
    is written too. Existing files are never overwritten.

    Examples:

    rigmark init --asv

    rigmark init --asv ../project --lock requirements.lock --framework jax
    """
    from rigmark.bench.analysis.statistics.changepoints import FEWEST
    from rigmark.bench.cli import say
    from rigmark.bench.errors import unknown
    from rigmark.bench.worker import frameworks

    if not asv:
        raise UserError("name what to set up: rigmark init --asv")
    if framework not in frameworks.NAMES:
        raise unknown("framework", framework, frameworks.NAMES)
    if not _in_git(folder):
        raise UserError(f"{folder} is no git repository, but asv measures commits; create one with git init")
    lock_file = lock or next((Path(name) for name in LOCK_FILES if (folder / name).is_file()), None)
    if lock is not None and not (folder / lock).is_file():
        raise UserError(f"there is no lock file {folder / lock}; correct --lock, or leave it out to install nothing")
    configuration = folder / CONFIGURATION
    benchmarks = _benchmark_dir(configuration) if configuration.is_file() else FOLDER
    source, package = rigmark or _installed_from(), None if lock_file else _package(folder)
    depends = (WITH_LOCK if lock_file else WITHOUT_LOCK).format(lock=lock_file, framework=framework)
    files = {
        configuration: json.dumps(_configuration(folder, lock_file, source), indent=4) + "\n",
        folder / benchmarks / "__init__.py": "",
        folder / benchmarks / "rigmark_networks.py": SUITE.format(framework=framework, depends=depends),
        **({} if package is None else {folder / benchmarks / "own_code.py": OWN.format(package=package)}),
    }
    for path, text in files.items():
        if path.exists():
            say(f"{path} exists already, and was not changed")
            continue
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        except OSError as error:
            raise UserError(f"cannot write {path}: {error.strerror}") from None
        say(f"wrote {path}")
    pinned = f"each commit with what {lock_file} pins" if lock_file else "each commit's checkout in this interpreter"
    say(f"measures {pinned}; keep .asv out of git (.gitignore)")
    if lock_file:
        say(f"installs Rigmark from {source}; for other machines name a source with --rigmark git+https://...")
    say(f"the networks do not import this project. {' '.join(depends.split())}")
    say("next: asv machine --yes; asv run --quick; asv run NEW; and rigmark check --asv ., which needs "
        f"at least {FEWEST} measured commits")


def _configuration(folder: Path, lock: Path | None, rigmark: str) -> dict[str, Any]:
    """The content of asv.conf.json: with a lock file, asv installs the packages of each commit; without, nothing."""
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
    # The project is not built: one environment is upgraded in place, commit by commit.
    return {
        **common, "environment_type": "virtualenv", "build_command": [], "uninstall_command": [],
        "install_command": [
            f"in-dir={{env_dir}} python -m pip install {rigmark}",
            f"in-dir={{env_dir}} python -m pip install -r {{build_dir}}/{lock.as_posix()}",
        ],
        "install_timeout": 1800,
    }


def _installed_from() -> str:
    """What pip can install this Rigmark from: its checkout, or the repository or file that it was installed from, or
    its version on the package index.
    """
    checkout = Path(__file__).resolve().parents[2]
    if (checkout / "pyproject.toml").is_file():
        return shlex.quote(str(checkout))
    try:
        direct = json.loads(metadata.distribution("rigmark").read_text("direct_url.json") or "{}")
    except metadata.PackageNotFoundError:
        direct = {}
    if "url" not in direct:
        return f"rigmark=={__version__}"
    commit = direct.get("vcs_info")
    url: str = direct["url"]
    return shlex.quote(f"{commit['vcs']}+{url}@{commit['commit_id']}" if commit else url)


def _package(folder: Path) -> str | None:
    """The import name of the project, from its name or that of its folder; None if there is no such package."""
    try:
        named = str(tomllib.loads(files.read_text(folder / "pyproject.toml"))["project"]["name"])
    except (files.Unreadable, tomllib.TOMLDecodeError, KeyError, TypeError):
        named = folder.resolve().name
    name = re.sub(r"[-.]+", "_", named)
    for where in (folder / "src", folder):
        for candidate in dict.fromkeys((name, name.lower())):
            if (where / candidate / "__init__.py").is_file() or (where / f"{candidate}.py").is_file():
                return candidate if candidate.isidentifier() else None
    return None


def _in_git(folder: Path) -> bool:
    if not folder.is_dir():
        raise UserError(f"no folder {folder}")
    answer = subprocess.run(
        ["git", "-C", str(folder), "rev-parse", "--is-inside-work-tree"], capture_output=True, check=False
    )
    return answer.returncode == 0


def _benchmark_dir(configuration: Path) -> str:
    """The benchmark folder of an existing asv.conf.json, which may contain comments."""
    named = re.search(r'^\s*"benchmark_dir"\s*:\s*"([^"]+)"', files.read_text(configuration), re.M)
    return named[1] if named else FOLDER
