"""The releases of a package as pip sees them: which there are for this Python, and what they would download."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

from packaging.version import InvalidVersion, Version

from rigmark.bench.errors import UserError

PIP = (sys.executable, "-m", "pip")
QUIET = ("--disable-pip-version-check", "--no-input")
LONGEST_S = 600.0
ANSWER_S = 20.0              # for one file of the index
LISTED = re.compile(r"^Available versions: (.+)$", re.MULTILINE)


@dataclass(frozen=True, kw_only=True)
class Release:
    """One version of a package, and where it comes from."""

    package: str
    version: str
    index: str | None = None     # the index of nightly builds that has it; None: the usual index

    @property
    def requirements(self) -> tuple[str, ...]:
        """For pip."""
        pinned = f"{self.package}=={self.version}"
        return (pinned,) if self.index is None else (pinned, f"--extra-index-url={self.index}")


def latest(package: str, count: int) -> list[Release]:
    """The last stable releases for this Python, oldest first; raises UserError if there are fewer than two."""
    stable = [each for each in _versions(package) if not each.is_prerelease]
    if len(stable) < 2:
        raise UserError(f"pip finds {len(stable)} stable releases of {package} for this Python, and two are compared")
    return [Release(package=package, version=str(each)) for each in stable[-count:]]


def nightly(package: str, index: str) -> Release:
    """The newest version on an index of nightly builds; raises UserError if there is none."""
    versions = _versions(package, "--pre", f"--index-url={index}")
    return Release(package=package, version=str(versions[-1]), index=index)


def _versions(package: str, *more: str) -> list[Version]:
    """All versions for this Python, in order; raises UserError if pip finds none."""
    text = _pip("index", "versions", "--only-binary=:all:", *more, package, what=f"list the releases of {package}")
    match = LISTED.search(text)
    versions = []
    for word in match[1].split(",") if match else ():
        try:
            versions.append(Version(word.strip()))
        except InvalidVersion:
            continue
    if not versions:
        raise UserError(f"pip lists no release of {package} for this Python")
    return sorted(versions)


@dataclass(frozen=True, kw_only=True)
class Download:
    """What installing would download."""

    packages: int
    size_bytes: int | None       # None: the index does not state the size of each


def download(requirements: Sequence[str]) -> Download:
    """What installing these requirements into a new environment would download; nothing is installed.

    Raises UserError if pip cannot resolve them.
    """
    text = _pip(
        "install", "--dry-run", "--ignore-installed", "--quiet", "--report", "-", *requirements,
        what=f"resolve {requirements[0]}",
    )
    urls = [each["download_info"]["url"] for each in json.loads(text)["install"]]
    sizes = [_size_bytes(url) for url in urls]
    known = [size for size in sizes if size is not None]
    return Download(packages=len(urls), size_bytes=sum(known) if len(known) == len(sizes) else None)


def _size_bytes(url: str) -> int | None:
    parts = urlsplit(url)
    try:
        if parts.scheme == "file":
            return Path(unquote(parts.path)).stat().st_size
        with urllib.request.urlopen(urllib.request.Request(url, method="HEAD"), timeout=ANSWER_S) as answer:
            length = answer.headers.get("Content-Length")
            return int(length) if length else None
    except (OSError, ValueError):
        return None


def _pip(command: str, *words: str, what: str) -> str:
    """What pip prints; raises UserError with its last words if it fails."""
    try:
        done = subprocess.run(
            [*PIP, command, *QUIET, *words], capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL,
            timeout=LONGEST_S,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise UserError(f"pip cannot {what}: {error}") from None
    if done.returncode:
        last = next((line for line in reversed(done.stderr.splitlines()) if line.strip()), "it does not say why")
        raise UserError(f"pip cannot {what}: {last.strip()}")
    return done.stdout
