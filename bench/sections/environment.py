"""The environment of trials: facts that are the same for all, and facts that differ."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

import pandas as pd

from rigmark.bench.analysis.results.summary import is_nothing
from rigmark.bench.document import formatting
from rigmark.bench.document.document import Block, Cell, Column, Paragraph, Row, Section, Table
from rigmark.bench.document.identifiers import identifier
from rigmark.bench.document.language import tr, tr_later

MACHINE_FACTS = {
    "cpu": tr_later("processor"), "microarchitecture": tr_later("microarchitecture"),
    "architecture": tr_later("architecture"), "cores": tr_later("physical cores"),
    "logical_cores": tr_later("logical cores"), "memory_bytes": tr_later("memory"), "system": tr_later("system"),
    "gpus": tr_later("GPUs"), "id": tr_later("machine"),
}
SYSTEM_FACTS = {
    "operating_system.name": tr_later("operating system"), "operating_system.kernel": tr_later("kernel"),
    "operating_system.kernel_options": tr_later("kernel options"),
    "operating_system.virtual_machine": tr_later("virtual machine"),
    "operating_system.container": tr_later("container"), "processor.microcode": tr_later("microcode"),
    "processor.smt": "SMT", "frequency.driver": tr_later("frequency driver"), "frequency.turbo": tr_later("turbo"),
    "limits.cpu_quota_cores": tr_later("quota of cores"), "limits.memory_bytes": tr_later("memory limit in bytes"),
    "gpu_driver": tr_later("GPU driver"),
}
"""The facts of bench.machine.system that matter most to readers; the record has all."""

UNSET = tr_later("not set")

PARTS = {
    "package ": tr_later("package {name}"), "variable ": tr_later("variable {name}"),
    "measuring code": tr_later("measuring code"),
}
"""Prefixes of facts, and their titles."""


def section(trials: pd.DataFrame) -> Section:
    """The machine, build and variables of all trials."""
    if trials.empty:
        return Section(id="environment", title=tr("Environment"), blocks=(Paragraph(text=tr("There are no trials.")),))
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
        if lacking and fact.startswith("variable "):     # a package that a framework does not use is not a difference
            by_value[tr(UNSET)] = lacking
    stated = dict(sorted(stated.items(), key=lambda item: _place(item[0])))
    equal = {fact: next(iter(by_value)) for fact, by_value in stated.items() if len(by_value) == 1}
    different = {fact: by_value for fact, by_value in stated.items() if len(by_value) > 1}
    blocks: list[Block] = [_equal_table(equal)]
    if different:
        blocks.append(_different_table(different))
    else:
        blocks.append(Paragraph(text=tr("Apart from the framework nothing differed between the trials.")))
    return Section(id="environment", title=tr("Environment"), blocks=tuple(blocks))


def _place(fact: str) -> tuple[int, str]:
    """Sorting key: the machine, then Python, packages and variables, each in alphabetical order."""
    kinds = ("Python", "package ", "variable ", "measuring code")
    rank = next((place for place, kind in enumerate(kinds, start=1) if fact.startswith(kind)), 0)
    return rank, fact if rank else ""


def _environments(trials: pd.DataFrame) -> list[dict[str, Any]]:
    columns = ["framework", "build", "machine_facts", "system_facts", "build_facts", "code_version"]
    unique = trials.drop_duplicates(subset=columns)
    return [{str(name): fact for name, fact in row.items()} for row in unique.to_dict("records")]


def _title(fact: str) -> str:
    """The title of a fact."""
    start = next((start for start in PARTS if fact.startswith(start)), None)
    return tr(fact) if start is None else tr(PARTS[start], name=fact.removeprefix(start))


def _facts(trial: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    machine, build = (_object(trial[name]) for name in ("machine_facts", "build_facts"))
    for name, title in MACHINE_FACTS.items():
        value = machine.get(name)
        if value is None:
            continue
        if name == "memory_bytes" and isinstance(value, int):
            yield title, f"{formatting.significant(value / 2**30)} GiB"
        elif isinstance(value, list):
            yield title, ", ".join(map(str, value)) or tr("none")
        else:
            yield title, str(value)
    system = _object(trial["system_facts"])
    for path, title in SYSTEM_FACTS.items():
        *within, name = path.split(".")
        value = (_object(system.get(within[0])) if within else system).get(name)
        if value is not None and value != []:
            yield title, ", ".join(map(str, value)) if isinstance(value, list) else str(value)
    if build.get("python") is not None:
        yield "Python", str(build["python"])
    for package, version in _object(build.get("packages")).items():
        yield f"package {package}", tr("not installed") if version is None else str(version)
    for variable, value in _object(build.get("variables")).items():
        yield f"variable {variable}", str(value)
    if not is_nothing(trial["code_version"]):
        yield "measuring code", str(trial["code_version"])


def _object(stated: Any) -> dict[str, Any]:
    """A JSON object, parsed or not; empty for anything else."""
    if isinstance(stated, str):
        try:
            stated = json.loads(stated)
        except ValueError:
            return {}
    return stated if isinstance(stated, dict) else {}


def _equal_table(facts: Mapping[str, str]) -> Table:
    return Table(
        id="table.environment", caption=tr("The same for all trials"),
        columns=(Column(title=tr("fact")), Column(title=tr("value"))),
        rows=tuple(
            Row(id=identifier("environment", fact), cells=(Cell(text=_title(fact)), Cell(text=value)))
            for fact, value in facts.items()
        ),
    )


def _different_table(facts: Mapping[str, Mapping[str, list[str]]]) -> Table:
    return Table(
        id="table.differences", caption=tr("What differs between trials"),
        columns=(Column(title=tr("fact")), Column(title=tr("value")), Column(title=tr("where"))),
        rows=tuple(
            Row(
                id=identifier("difference", fact, value),
                cells=(Cell(text=_title(fact)), Cell(text=value), Cell(text=", ".join(whom))),
            )
            for fact, by_value in facts.items() for value, whom in by_value.items()
        ),
    )
