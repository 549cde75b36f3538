"""What it ran on: facts that are the same everywhere, and, where rows differ, only what differs."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

import pandas as pd

from bench.analysis import formatting
from bench.analysis.document import Block, Cell, Column, Paragraph, Row, Section, Table
from bench.analysis.story.groups import identifier
from bench.analysis.summary import is_nothing

MACHINE_FACTS = {
    "cpu": "processor", "microarchitecture": "microarchitecture", "architecture": "architecture",
    "cores": "physical cores", "logical_cores": "logical cores", "memory_bytes": "memory", "system": "system",
    "gpus": "GPUs", "id": "machine",
}
SYSTEM_FACTS = {
    "operating_system.name": "operating system", "operating_system.kernel": "kernel",
    "operating_system.kernel_options": "kernel options", "operating_system.virtual_machine": "virtual machine",
    "operating_system.container": "container", "processor.microcode": "microcode", "processor.smt": "SMT",
    "frequency.driver": "frequency driver", "frequency.turbo": "turbo", "limits.cpu_quota_cores": "quota of cores",
    "limits.memory_bytes": "memory limit in bytes", "gpu_driver": "GPU driver",
}
"""Of what bench.system tells, what readers ask for first; the record has all."""

UNSET = "not set"


def section(trials: pd.DataFrame) -> Section:
    """Facts of every trial's machine, build and variables."""
    if trials.empty:
        return Section(id="environment", title="Environment", blocks=(Paragraph(text="There are no trials."),))
    stated: dict[str, dict[str, list[str]]] = {}     # fact -> value -> who
    for trial in _environments(trials):
        who = f"{trial['framework']} ({trial['build']})"
        for fact, value in _facts(trial):
            whom = stated.setdefault(fact, {}).setdefault(value, [])
            if who not in whom:
                whom.append(who)
    everybody = list(dict.fromkeys(f"{t['framework']} ({t['build']})" for t in _environments(trials)))
    for fact, by_value in stated.items():
        lacking = [who for who in everybody if not any(who in whom for whom in by_value.values())]
        if lacking and fact.startswith("variable "):     # a package that a framework does not use is no difference
            by_value[UNSET] = lacking
    stated = dict(sorted(stated.items(), key=lambda item: _place(item[0])))
    equal = {fact: next(iter(by_value)) for fact, by_value in stated.items() if len(by_value) == 1}
    different = {fact: by_value for fact, by_value in stated.items() if len(by_value) > 1}
    blocks: list[Block] = [_equal_table(equal)]
    if different:
        blocks.append(_different_table(different))
    else:
        blocks.append(Paragraph(text="Apart from the framework nothing differed between the trials."))
    return Section(id="environment", title="Environment", blocks=tuple(blocks))


def _place(fact: str) -> tuple[int, str]:
    """The machine first, then Python, packages and variables, each by letter."""
    kinds = ("Python", "package ", "variable ", "measuring code")
    found = next((place for place, kind in enumerate(kinds, start=1) if fact.startswith(kind)), 0)
    return found, fact if found else ""


def _environments(trials: pd.DataFrame) -> list[dict[str, Any]]:
    columns = ["framework", "build", "machine_facts", "system_facts", "build_facts", "code_version"]
    unique = trials.drop_duplicates(subset=columns)
    return [{str(name): fact for name, fact in row.items()} for row in unique.to_dict("records")]


def _facts(trial: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    machine, build = (_object(trial[name]) for name in ("machine_facts", "build_facts"))
    for name, title in MACHINE_FACTS.items():
        value = machine.get(name)
        if value is None:
            continue
        if name == "memory_bytes" and isinstance(value, int):
            yield title, f"{formatting.significant(value / 2**30)} GiB"
        elif isinstance(value, list):
            yield title, ", ".join(map(str, value)) or "none"
        else:
            yield title, str(value)
    system = _object(trial["system_facts"])
    for path, title in SYSTEM_FACTS.items():
        *within, name = path.split(".")
        value = (_object(system.get(within[0])) if within else system).get(name)
        if value is not None and value != []:
            yield title, ", ".join(value) if isinstance(value, list) else str(value)
    if build.get("python") is not None:
        yield "Python", str(build["python"])
    for package, version in _object(build.get("packages")).items():
        yield f"package {package}", "not installed" if version is None else str(version)
    for variable, value in _object(build.get("variables")).items():
        yield f"variable {variable}", str(value)
    if not is_nothing(trial["code_version"]):
        yield "measuring code", str(trial["code_version"])


def _object(stated: Any) -> dict[str, Any]:
    """A JSON object, be it parsed or not; empty for anything else."""
    if isinstance(stated, str):
        try:
            stated = json.loads(stated)
        except ValueError:
            return {}
    return stated if isinstance(stated, dict) else {}


def _equal_table(facts: Mapping[str, str]) -> Table:
    return Table(
        id="table.environment", caption="The same for all trials",
        columns=(Column(title="fact"), Column(title="value")),
        rows=tuple(
            Row(id=identifier("environment", fact), cells=(Cell(text=fact), Cell(text=value)))
            for fact, value in facts.items()
        ),
    )


def _different_table(facts: Mapping[str, Mapping[str, list[str]]]) -> Table:
    return Table(
        id="table.differences", caption="What differs between trials",
        columns=(Column(title="fact"), Column(title="value"), Column(title="where")),
        rows=tuple(
            Row(
                id=identifier("difference", fact, value),
                cells=(Cell(text=fact), Cell(text=value), Cell(text=", ".join(whom))),
            )
            for fact, by_value in facts.items() for value, whom in by_value.items()
        ),
    )
