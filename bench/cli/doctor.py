"""``rigmark doctor``: what this machine can measure, what would disturb measurements, and how to fix it."""

from __future__ import annotations

import json as json_format
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rigmark.bench.doctor import Examination
    from rigmark.bench.doctor.builds import Usable

MARKS = {"prevents": "✗", "problem": "!", "noise": "~", "ok": " "}
COLORS = {"prevents": "bold red", "problem": "yellow", "noise": "cyan", "ok": "dim"}


def command(
    results: Annotated[Path, typer.Option(help="Results folder that you mean to use.")] = Path("results"),
    json: Annotated[bool, typer.Option("--json", help="All facts and checks as JSON, for scripts.")] = False,
) -> None:
    """Check this machine: processor, memory, GPUs, drivers, builds and noise. Each problem comes with a fix.

    Takes some seconds, most of them to start each build; what depends on no GPU is shown before one that hangs is given
    up. Exit code: 2 if something prevents measuring.

    Example: rigmark doctor --json
    """
    from rigmark.bench import doctor
    from rigmark.bench.cli import Exit, say

    earlier: list[Examination] = []

    def waiting(examination: Examination, why: str) -> None:
        if not json:
            _show(examination)
            earlier.append(examination)
        say(why)

    examination = doctor.examine(results, waiting)
    if json:
        sys.stdout.write(json_format.dumps(doctor.plain(examination), indent=1) + "\n")
    else:
        _show(examination, *earlier)
    if not examination.can_measure:
        raise typer.Exit(Exit.BAD)


def _show(examination: Examination, earlier: Examination | None = None) -> None:
    """Shows the facts and checks that the earlier examination did not have; ends with a count if GPUs are examined."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from rigmark.bench.host.plain import plain_lines

    console = Console(file=sys.stdout, width=None if sys.stdout.isatty() else 120, highlight=False)
    facts, known = Table.grid(padding=(0, 2)), () if earlier is None else (*_facts(earlier), *earlier.checks)
    for name, text in _facts(examination):
        if (name, text) not in known:
            facts.add_row(Text(name, style="bold"), Text(plain_lines(text)))
    console.print(facts)
    checks = Table.grid(padding=(0, 2))
    for severity, mark in MARKS.items():
        for check in (each for each in examination.checks if each.severity == severity and each not in known):
            finding = Text(plain_lines(check.text))
            if check.fix:
                finding.append(f"\n→ {plain_lines(check.fix)}", style="dim")
            checks.add_row(Text(plain_lines(f"{mark} {check.topic}"), style=COLORS[severity]), finding)
    if checks.row_count:
        console.print()
        console.print(checks)
    console.print()
    if examination.gpus is None:
        return
    counts = {severity: sum(check.severity == severity for check in examination.checks) for severity in MARKS}
    listed = ", ".join(
        f"{count} {_counted(severity, count)}" for severity, count in counts.items() if count and severity != "ok"
    )
    console.print(Text(f"{MARKS['prevents']} = prevents measuring, ! = problem, ~ = noise: {listed or 'none found'}"))


def _counted(severity: str, count: int) -> str:
    return {"prevents": "preventing", "problem": "problem" if count == 1 else "problems", "noise": "of noise"}[severity]


def _facts(examination: Examination) -> Iterator[tuple[str, str]]:
    from rigmark.bench.doctor.gpus import name_of
    from rigmark.bench.machine import hardware

    facts, now, machine = examination.system["facts"], examination.system["volatile"], hardware.machine()
    levels = [level for level, has in examination.instruction_sets.items() if has]
    cores = f"{machine.cores} cores, " if machine.cores else ""
    yield "processor", (
        f"{machine.cpu} ({machine.microarchitecture}), {cores}{machine.logical_cores} logical; "
        f"{', '.join(levels) or 'none of the x86-64 levels'}"
    )
    yield "memory", f"{machine.memory_bytes / 2**30:.1f} GiB, {now['free_memory_bytes'] / 2**30:.1f} GiB free"
    system = facts["operating_system"]
    around = [f"virtual machine ({system['virtual_machine']})" if system["virtual_machine"] else "",
              f"container ({system['container']})" if system["container"] else ""]
    yield "system", ", ".join(filter(None, [system["name"], f"kernel {system['kernel']}", *around]))
    gpus = () if examination.gpus is None else examination.gpus.devices
    for gpu in gpus:
        size, unknown = gpu.facts.get("memory_bytes"), "not known"
        yield "gpu", ", ".join((
            name_of(gpu), f"{size / 2**30:.0f} GiB" if size else f"memory {unknown}",
            f"driver {gpu.facts.get('driver') or unknown}", f"CUDA up to {gpu.facts.get('cuda') or unknown}",
            f"compute capability {gpu.facts.get('compute_capability') or unknown}",
        ))
    if examination.gpus is not None and not gpus:
        yield "gpus", "none that telemetry sees"
    for usable in examination.builds:
        yield f"build {usable.build.name}", _build(usable)
    yield "fingerprint", f"machine {machine.id}, system {examination.system['fingerprint']}"


def _build(usable: Usable) -> str:
    from rigmark.bench.doctor.builds import framework_version, usable_levels
    from rigmark.bench.machine import hardware

    if usable.problem is not None:
        return f"{usable.build.interpreter}: {usable.problem}"
    features = hardware.cpu_features()
    parts = []
    for name in usable.frameworks:
        levels = usable_levels(name, usable.build.isa, features)
        parts.append(f"{name} {framework_version(usable, name)} ({', '.join(levels) or 'native only'})")
    cuda = f"; CUDA {usable.cuda}, cuDNN {usable.cudnn or 'not stated'}" if usable.cuda else "; no CUDA"
    return f"Python {usable.python}: {', '.join(parts) or 'no framework'}{cuda}"
