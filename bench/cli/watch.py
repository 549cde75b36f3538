"""``rigmark watch``: in which of the last releases of a framework did our networks become slower or faster?"""

from __future__ import annotations

import itertools
import json as json_format
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rigmark.bench.cli import Language, Medium
from rigmark.bench.cli import _options as options
from rigmark.bench.document.language import tr
from rigmark.bench.enums import Clock
from rigmark.bench.errors import UserError, unknown

if TYPE_CHECKING:
    from rigmark.bench.analysis.comparison.verdicts import Verdicts
    from rigmark.bench.builds.build import Build
    from rigmark.bench.builds.releases import Release
    from rigmark.bench.cli import Exit
    from rigmark.bench.document.document import Document

NEEDS_ARGUMENTS = True


def command(
    suite: Annotated[str, typer.Argument(help="Name of a suite.")],
    framework: Annotated[str, typer.Option(help="The framework whose releases are compared.")],
    package: Annotated[
        str | None, typer.Option(help="Its package, if it has several: tensorflow-cpu.")
    ] = None,
    releases: Annotated[int, typer.Option(min=1, help="Number of the last stable releases.")] = 6,
    nightly: Annotated[
        str | None, typer.Option(help="URL of an index of nightly builds, whose newest is compared as well.")
    ] = None,
    keep: Annotated[
        int | None, typer.Option(min=0, help="Keep the builds of so many of the newest; without it, all are kept.")
    ] = None,
    budget: Annotated[
        str, typer.Option(help="Time that measuring may take, for all releases together: 10m, 1h.")
    ] = "30m",
    clock: Annotated[
        Clock, typer.Option(help="Judge by wall time, or by CPU time if the machine is busy.")
    ] = Clock.WALL,
    model: Annotated[str | None, typer.Option(help="Only these networks, separated by commas.")] = None,
    mode: Annotated[str | None, typer.Option(help="Only inference, or only training.")] = None,
    batch: Annotated[str | None, typer.Option(help="Samples per step instead of the suite's.")] = None,
    threads: Annotated[str | None, typer.Option(help="CPU threads instead of the suite's.")] = None,
    timeout: Annotated[float, typer.Option(help="Seconds after which a worker is killed.")] = 600.0,
    results: Annotated[Path, typer.Option(help="Results folder.")] = Path("results"),
    session: Annotated[str, typer.Option(help="Name of the session; a new name measures everything again.")] = "watch",
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be installed, and what that downloads; install nothing.")
    ] = False,
    format: Medium = None,
    json: Annotated[bool, typer.Option("--json", help="Short for --format json.")] = False,
    junit: Annotated[Path | None, typer.Option(help="Also write JUnit XML to this file.")] = None,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="File to write to instead of stdout.")] = None,
    lang: Language = "en",
) -> None:
    """Install the last releases of a framework as builds, measure neighbours in turns, and say what changed in which.

    Each release gets a build of its own, which is kept unless --keep says otherwise; what pip would download is said
    first. Each is measured against the one before it, as 'rigmark ab' does it, and all verdicts are judged together.
    A release that does not install here is told, and its neighbours are compared with each other.
    Exit code: 1 if the newest is slower than the one before it, 2 if a release failed, 4 if there is no verdict on it.

    Examples:

    rigmark watch fast --framework jax --releases 6

    rigmark watch fast --framework tensorflow --package tensorflow-cpu --keep 2 --format markdown -o releases.md

    rigmark watch fast --framework torch --nightly https://download.pytorch.org/whl/nightly/cpu --dry-run
    """
    from rigmark.bench.builds import releases as index
    from rigmark.bench.cli import Exit, medium_of, run
    from rigmark.bench.cli.ab import decided
    from rigmark.bench.store.store import Store

    medium = medium_of(format, output, json=json)
    budget_s = options.seconds("--budget", budget)
    options.above("--timeout", timeout, "s")
    distribution = _package(framework, package)
    sweeps = run.declared(
        suite, run.asked_for({"model": model, "mode": mode}), {},
        instead=run.asked_for({"framework": framework, "batch": batch, "threads": threads}),
    )
    found = index.latest(distribution, releases if nightly else max(releases, 2))
    if nightly is not None:
        found.append(index.nightly(distribution, nightly))
    broken = _foretell(found)
    if dry_run:
        raise typer.Exit(Exit.BAD if broken else Exit.DONE)
    builds = _made_ready(found, broken)
    neighbours = list(itertools.pairwise(builds))
    count = len({case for sweep in sweeps for case in sweep.cases(1)})
    try:
        verdicts = [
            decided(
                f"build:{base.name}", f"build:{new.name}", sweeps, Store(results), budget_s=budget_s / len(neighbours),
                suite=suite, session=session, deadline_s=timeout, clock=clock, others=count * (len(neighbours) - 1),
            )
            for base, new in neighbours
        ]
    finally:
        if keep is not None:
            _remove(builds[:max(len(builds) - keep, 0)])
    _show(framework, verdicts, broken, medium, output, junit)
    raise typer.Exit(Exit.BAD if broken else _conclusion(verdicts))


def _package(framework: str, package: str | None) -> str:
    """The name of the package on the index; raises UserError for one that is not of the framework."""
    from rigmark.bench.worker import frameworks

    if framework not in frameworks.NAMES:
        raise unknown("framework", framework, frameworks.NAMES)
    known = frameworks.load(framework).DISTRIBUTIONS
    if package is not None and package not in known:
        raise unknown(f"package of {framework}", package, known)
    return package or str(known[0])


def _build(release: Release) -> Build:
    from rigmark.bench.builds import build as builds
    from rigmark.bench.builds import environments

    table = {"packages": [*release.requirements, *environments.needed_beside(release.requirements[:1])]}
    return builds.described(Path.cwd() / builds.FILE, environments.name_of(release.requirements[0].replace("==", "-")),
                            table)


def _foretell(found: Sequence[Release]) -> dict[str, str]:
    """Says what each release would download; returns why some do not install here, by the names of their builds."""
    from rigmark.bench.builds import environments
    from rigmark.bench.builds import releases as index
    from rigmark.bench.cli import say
    from rigmark.bench.document import formatting

    broken = {}
    for release in found:
        build = _build(release)
        if environments.is_finished(build):
            say(f"{build.name}: there already")
            continue
        try:
            needed = index.download((release.requirements[0], environments.NEEDED, *build.packages[1:]))
        except UserError as error:
            broken[build.name] = str(error)
            say(f"{build.name} does not install here: {error}")
            continue
        size = "of unknown size" if needed.size_bytes is None else f"{needed.size_bytes / 1e6:,.0f} MB"
        say(f"{build.name}: {formatting.count(needed.packages, 'package')} to download, {size}")
    return broken


def _made_ready(found: Sequence[Release], broken: dict[str, str]) -> list[Build]:
    """The builds of those releases that install; ``broken`` gets why the others do not, by the names of their builds.
    """
    from rigmark.bench.cli import say

    made = []
    for release in found:
        build = _build(release)
        if build.name in broken:
            continue
        _check_own(build)
        try:
            made.append(_made(build))
        except UserError as error:
            broken[build.name] = str(error)
            say(f"{build.name} does not install here: {error}")
    return made


def _check_own(build: Build) -> None:
    """Raises UserError if builds.toml has another build of this name."""
    from rigmark.bench.builds import build as builds

    known = builds.load().get(build.name)
    if known is not None and known.packages != build.packages:
        raise UserError(f"build '{build.name}' of builds.toml is another one than {' '.join(build.packages)}; "
                        "rename or remove it")


def _made(build: Build) -> Build:
    """The build of a release, which is created if there is none, and stands in the builds.toml of the folder; raises
    UserError if it cannot be.
    """
    from rigmark.bench.builds import build as builds
    from rigmark.bench.builds import environments
    from rigmark.bench.cli import say

    if not environments.is_finished(build):
        say(f"installing {build.name}")
        environments.create(build, lambda line: None)
    if build.name not in builds.load():
        environments.write(Path.cwd() / builds.FILE, build.name, {"packages": list(build.packages)})
    return build


def _remove(old: Sequence[Build]) -> None:
    from rigmark.bench.builds import build as builds
    from rigmark.bench.builds import environments
    from rigmark.bench.cli import say

    for build in old:
        environments.erase(Path.cwd() / builds.FILE, build.name)
        say(f"removed build '{build.name}'; {environments.remove(build) / 1e9:.2f} GB freed")


def _show(
    framework: str, verdicts: Sequence[Verdicts], broken: Mapping[str, str], medium: str, output: Path | None,
    junit: Path | None,
) -> None:
    from rigmark.bench.analysis.statistics.decision import Verdict
    from rigmark.bench.cli import JSON, write, write_document

    if medium == JSON:
        changed = [
            {"release": each.new, "before": each.base, "label": case.label, "verdict": case.verdict,
             "change": case.change, "cause": case.cause and case.cause.plain()}
            for each in verdicts for case in each.having(Verdict.SLOWER, Verdict.FASTER)
        ]
        write(json_format.dumps({
            "framework": framework, "not_installed": broken, "changed": changed,
            "neighbours": [each.plain() for each in verdicts],
        }, indent=1) + "\n", output)
    else:
        write_document(_document(framework, verdicts, broken), medium, output)
    if junit is not None:
        from rigmark.reports.junit import junit_of_neighbours

        write(junit_of_neighbours(f"rigmark watch of {framework}", verdicts, broken), junit)


def _document(framework: str, verdicts: Sequence[Verdicts], broken: Mapping[str, str]) -> Document:
    """What changed in which release, then the verdicts on each pair of neighbours, newest first."""
    from rigmark.bench.analysis.comparison import verdicts as comparison
    from rigmark.bench.analysis.statistics.decision import Verdict
    from rigmark.bench.document.document import Document, Items, Section

    changed = tuple(
        tr("{release}: {case} is {verdict}, {change}, than in {before}{cause}", release=comparison.name_of(each.new),
           case=case.label, verdict=comparison.said(case), change=comparison.change_of(case),
           before=comparison.name_of(each.base), cause=f"; {case.cause.text}" if case.cause else "")
        for each in reversed(verdicts) for case in each.having(Verdict.SLOWER, Verdict.FASTER)
    )
    return Document(
        title=tr("Releases of {framework}", framework=framework), summary=(), sections=(
            Section(id="changed", title=tr("What changed"), blocks=(
                Items(texts=(
                    *(tr("{release} does not install here: {reason}", release=name, reason=reason)
                      for name, reason in [*broken.items()][::-1]),
                    *(changed or (tr("No release is known to be slower or faster than the one before it."),)),
                )),
            )), *comparison.neighbours(verdicts[::-1]),
        ),
    )


def _conclusion(verdicts: Sequence[Verdicts]) -> Exit:
    """That of the newest release, unless another failed; there may be none to compare."""
    from rigmark.bench.cli import Exit
    from rigmark.bench.cli.compare import conclude

    if not verdicts:
        return Exit.NOTHING_MEASURED
    return Exit.BAD if any(each.has_failed for each in verdicts) else conclude(verdicts[-1])
