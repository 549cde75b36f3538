"""Checks of the builds of this machine: what each can run, and which of its packages are incompatible."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from rigmark.bench.builds import build as builds_module
from rigmark.bench.builds import environments, interpreters
from rigmark.bench.builds.build import Build
from rigmark.bench.builds.variables import environment
from rigmark.bench.devices import CPU
from rigmark.bench.doctor import compatibility
from rigmark.bench.doctor.checks import Check, Severity
from rigmark.bench.enums import LEVELS, Isa
from rigmark.bench.machine import isa
from rigmark.bench.processes import probe
from rigmark.bench.worker import frameworks

NOT_CREATED = "not created yet"
"""The problem of a build that is only a recipe so far."""


@dataclass(frozen=True, kw_only=True)
class Usable:
    """One build, with what its interpreter reports."""

    build: Build
    python: str | None
    versions: Mapping[str, str | None]           # of the packages that contain frameworks
    frameworks: tuple[str, ...]
    problem: str | None                          # why it cannot be used; None if it can
    installed: compatibility.Installed | None    # all its packages; None if it does not start

    @property
    def cuda(self) -> str | None:
        return None if self.installed is None else compatibility.cuda(self.installed.versions)

    @property
    def cudnn(self) -> str | None:
        return None if self.installed is None else compatibility.cudnn(self.installed.versions)


def usable_builds() -> list[Usable]:
    """Every build of builds.toml and the default one, with what its interpreter reports."""
    return [_usable(build) for build in builds_module.load().values()]


def _usable(build: Build) -> Usable:
    if build.is_managed and not environments.is_finished(build):
        return Usable(
            build=build, python=None, versions={}, frameworks=(), problem=NOT_CREATED, installed=None
        )
    facts, problem = probe.facts(build)
    versions = facts.get("packages", {})
    names = tuple(
        name for name in frameworks.NAMES if any(versions.get(d) for d in frameworks.load(name).DISTRIBUTIONS)
    )
    return Usable(
        build=build, python=facts.get("python"), versions=versions, frameworks=names, problem=problem,
        installed=compatibility.installed(build.interpreter, environment(build, threads=1)),
    )


def compilers() -> dict[str, bool]:
    """Whether each compiler of the table is installed, by its name."""
    return {
        name: any(shutil.which(program) for program in filter(None, (os.environ.get(variable), *programs)))
        for name, (variable, programs) in compatibility.COMPILERS.items()
    }


def build_checks(every: Sequence[Usable], driver: str | None, has_compiler: Mapping[str, bool]) -> Iterator[Check]:
    """What each build lacks, and which of its parts are incompatible."""
    for usable in every:
        name = usable.build.name
        if usable.problem == NOT_CREATED:
            yield Check(
                topic="builds", severity=Severity.PROBLEM, text=f"build '{name}' is a recipe, not installed yet",
                fix=f"rigmark builds create {name}",
            )
        elif usable.problem is not None:
            yield Check(
                topic="builds", severity=Severity.PREVENTS, text=f"build '{name}' cannot be used: {usable.problem}",
                fix=f"repair {usable.build.interpreter}, or remove the build: rigmark builds remove {name}",
            )
        elif usable.installed is not None:
            yield from _clashes(usable, usable.installed, driver, has_compiler)
    measured = {name for usable in every for name in usable.frameworks} - {"numpy"}
    if not measured:
        yield Check(
            topic="builds", severity=Severity.PREVENTS, text="no build has a framework except NumPy, the oracle",
            fix=f"rigmark builds create torch ({_needs_python('torch')}), or install a framework beside Rigmark",
        )
    for name in sorted(set(compatibility.PYTHONS) - measured):
        yield Check(
            topic="builds", severity=Severity.OK, text=f"no build has {name}",
            fix=f"to measure it: rigmark builds create {name} ({_needs_python(name)})",
        )


    for name, recipe in builds_module.recipes().items():
        if name in measured:
            continue
        found = next((release for release in recipe["pythons"] if interpreters.find(release) is not None), None)
        lacking = f"it needs {interpreters.lacking(recipe['pythons'])}"
        python = lacking if found is None else f"from this machine's Python {found}"
        yield Check(
            topic="builds", severity=Severity.OK, text=f"no build has {name}",
            fix=f"to measure it: rigmark builds create {name} ({python})",
        )


def _needs_python(framework: str) -> str:
    release, python = compatibility.PYTHONS[framework]
    return f"{framework} {release} needs Python {python}"


def _clashes(
    usable: Usable, installed: compatibility.Installed, driver: str | None, has_compiler: Mapping[str, bool]
) -> Iterator[Check]:
    name = usable.build.name
    roots = tuple(d for framework in usable.frameworks for d in frameworks.load(framework).DISTRIBUTIONS)
    for wanted, sentence in compatibility.clashes(installed, roots):
        yield Check(
            topic="builds", severity=Severity.PROBLEM, text=f"build '{name}': {sentence}",
            fix="create the build from another Python" if wanted is None
            else f"{usable.build.interpreter} -m pip install '{wanted}'",
        )
    for need, sentence in compatibility.unmet(installed, has_compiler):
        package = need.needs.removeprefix("a ").lower()
        compiler = f"install {package}: apt install build-essential, or dnf install gcc-c++"
        yield Check(
            topic="builds", severity=Severity.PROBLEM, text=f"build '{name}': {sentence} [{need.source}]",
            fix=compiler if need.needs in has_compiler
            else f"{usable.build.interpreter} -m pip install '{need.needs}'" if not need.needs.startswith("python")
            else f"create the build from another Python ({need.needs.removeprefix('python')})",
        )
    if usable.cuda and driver and compatibility.is_too_old(driver, usable.cuda):
        yield Check(
            topic="builds", severity=Severity.PREVENTS,
            text=f"build '{name}' is for CUDA {usable.cuda}, which needs an NVIDIA driver of "
                 f"{compatibility.driver_needed(usable.cuda)} or newer, but {driver} is loaded",
            fix="install a newer driver, or a build for an older CUDA",
        )


def framework_version(usable: Usable, framework: str) -> str | None:
    """The version of a framework in a build; None if the build does not have it."""
    return next((v for d in frameworks.load(framework).DISTRIBUTIONS if (v := usable.versions.get(d))), None)


def usable_levels(framework: str, of_build: str, features: frozenset[str]) -> list[str]:
    """The instruction sets that a framework can be limited to on a processor with these features.

    A build that is limited to an instruction set itself can run only that one.
    """
    levels = LEVELS if of_build == Isa.NATIVE else (Isa(of_build),)
    return [level for level in levels if isa.refusal(framework, level, CPU, features) is None]
