"""How a worker is started: one value, made once, that holds all that whoever starts it must know."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from rigmark.bench.builds.build import Build
from rigmark.bench.builds.variables import environment, extended
from rigmark.bench.enums import Isa


@dataclass(frozen=True, kw_only=True)
class Fork:
    """That a worker may be forked from a process that has imported a framework and done nothing more."""

    group: tuple[object, ...]        # of workers that may share such processes, which end when another group begins
    framework: str


@dataclass(frozen=True, kw_only=True)
class Launch:
    """One worker, before it is started."""

    build: Build                     # whose interpreter it runs in
    package: Path                    # the worker package
    environment: Mapping[str, str] = field(repr=False)       # every variable that it starts with
    cpus: tuple[int, ...]            # numbers of the cores that it is limited to
    threads: int                     # of all its devices together
    deadline_s: float                # for each of its answers
    isa: str = Isa.NATIVE            # the instruction set that its environment limits its framework to
    fork: Fork | None = None         # None: it starts as a fresh interpreter
    rank: int | None = None          # in a world of several processes; None: it is alone

    @classmethod
    def of(
        cls, build: Build, package: Path, *, cpus: Sequence[int], threads: int, deadline_s: float,
        cache: Path | None = None, more: Sequence[Mapping[str, str]] = (), isa: str = Isa.NATIVE,
        fork: Fork | None = None, rank: int | None = None,
    ) -> Launch:
        """A worker of a build with its variables, and with ``more``; ``cache`` is as bench.builds.variables has it."""
        variables = environment(build, threads, cache)
        for each in more:
            variables = extended(variables, each)
        return cls(
            build=build, package=package, environment=variables, cpus=tuple(cpus), threads=threads,
            deadline_s=deadline_s, isa=isa, fork=fork, rank=rank,
        )
