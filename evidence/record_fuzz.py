"""Claim: whatever a results folder contains, no verb ends in a traceback, and no figure is shown that was not measured.

Makes a folder with a record of every kind (proofs, timed trials of one and of several devices, limits, layer trials,
pairs, telemetry) and imported tables, or takes a folder of real results, damages one file at a time, from a seed, and
lets the verbs read it in this process. A mutant is a value of another type, an impossible value, one that is missing
or misnamed, nested deeply, huge, not finite, or a file with bytes flipped, cut or repeated. Half of the damaged files
keep their old checksum, and must be refused if their content differs; the others have none, like older records, and
half of these have the id that belongs to their damaged facts. A refused file is reported in one sentence, and
everything else is read as if it did not exist; with an accepted one, all figures are as before, as without it, or not
known. No mutant looks like another measurement, such as one digit in place of another: an older record does not show
such a change.

An accepted mutant is read by every verb: by ``results`` alone, whose figures are compared, and by the others in one
folder with up to seven more mutants of other files; if a verb ends in a traceback or a refusal there, it reads each of
these alone too. Of the refused mutants, one in two hundred is read by all verbs, since all read records in one way.
Others are read by a sweep that resumes, in a separate folder whose trials are not measured but replayed: it must leave
no problem behind.

Run: .venv/bin/python evidence/record_fuzz.py [--results FOLDER] [--mutants 20000] [--resumes 2000] [--seed 1]
     [--table FILE]
Prints each mutant that breaks the claim, and a table by kind of file and verb; ends with exit code 1 if one does.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import io
import itertools
import json
import math
import os
import random
import shutil
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent))

import typer

from rigmark import reports
from rigmark.bench.builds import build
from rigmark.bench.cli import app
from rigmark.bench.enums import Mode, Outcome, TrialKind
from rigmark.bench.errors import UserError
from rigmark.bench.host import files
from rigmark.bench.machine import hardware
from rigmark.bench.machine.node import node
from rigmark.bench.plan.schedule import Trial, plan
from rigmark.bench.plan.sweep import Sweep
from rigmark.bench.reporting.gather import report
from rigmark.bench.runner.runner import Runner
from rigmark.bench.store import reading, stored, stored_quoted
from rigmark.bench.store.record import Identity, Record, id_of
from rigmark.bench.store.sealing import CONTENT
from rigmark.bench.store.store import Store
from tests import records as made
from tests.fakes import SHORT
from tests.reports import gathered, watched
from tests.reports import records as told

VERBS: dict[str, tuple[str, ...]] = {
    "results": ("--json",), "report": ("--format", "markdown"), "layers": ("--json",), "scaling": ("--json",),
    "claims": ("--json",), "audit": ("--json",), "history": ("--json",), "check": ("--json",),
    "buy rent": ("--json",), "noise fast": ("--budget", "0", "--json"), "compare stable default": ("--json",),
    "store clean": ("--dry-run",),
}
JUNK: tuple[Any, ...] = (
    None, True, -1, -1.5, 2.5, 1e308, 5e-324, -0.5, 10**30, 10**400, math.nan, math.inf, -math.inf, "1_0", "", "x", "0",
    "\x1b[31m", "\ud800", "\0", [], {}, [1], [[1.0]], {"a": 1}, [True], ["1"], [None], [-1.0, 1.0],
)
FIGURES = ("throughput", "step_time", "latency", "energy", "power", "flops_per_s", "bytes_per_s", "peak_memory",
           "prepare_time", "parity_error", "layer_", "trials", "cpu_time")
TOGETHER = 8                 # mutants that are taken, of as many files, which the verbs read in one folder
THOROUGH = 0.005             # of the mutants that are refused, which all verbs read
SHOWN = 40                   # faults that are printed

Verb = Callable[[], str]
Figures = dict[str, dict[str, Any]]


@dataclasses.dataclass(frozen=True)
class Mutant:
    what: str                        # was done
    content: bytes
    name: str                        # of the file that it stands in
    must_be_refused: bool            # it has a checksum, and says something else


# Mutants ------------------------------------------------------------------------------------------------------------


def _places(part: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The way to every value in a plain object."""
    items = part.items() if isinstance(part, dict) else enumerate(part) if isinstance(part, list) else ()
    for name, value in items:
        yield (*at, name)
        yield from _places(value, (*at, name))


def of_json(path: Path, content: bytes, chance: random.Random) -> Mutant:
    """One value of a record or a table is another, missing or misnamed."""
    plain = json.loads(content)
    checksum = plain.pop(CONTENT, None)
    # Each value of a long list is as good as any other; parts that are short are met as often.
    *way, last = chance.choice([place for place in _places(plain) if not isinstance(place[-1], int) or place[-1] < 2])
    part = plain
    for name in way:
        part = part[name]
    what = chance.choice(("value", "value", "value", "missing", "misnamed", "nested"))
    if what == "missing":
        del part[last]
    elif what == "misnamed" and isinstance(part, dict):
        part[f"u{last}"] = part.pop(last)
    elif what == "nested":
        part[last] = "NESTED"
    else:
        is_figure = isinstance(part[last], float)
        part[last] = chance.choice([each for each in JUNK if not (is_figure and each in (2.5, 5e-324))])
        what = f"{part[last]!r:.40}"
    name, is_sealed = path.name, checksum is not None and chance.random() < 0.5
    if is_sealed:
        plain[CONTENT] = checksum
    elif chance.random() < 0.5 and isinstance(facts := plain.get("identity"), dict):
        plain["id"] = id_of(facts)
        name = f"{plain['id']}-{plain['node']}.json" if isinstance(plain.get("node"), str) else f"{plain['id']}.json"
        name = name.replace("/", "_").replace("\0", "_")
    text = json.dumps(plain).encode()
    deep = 100_000
    return Mutant(
        what=f"{'.'.join(map(str, (*way, last)))}: {what}{', sealed' if is_sealed else ''}",
        content=text.replace(b'"NESTED"', b"[" * deep + b"]" * deep), name=name,
        must_be_refused=is_sealed and plain != json.loads(content),
    )


def of_bytes(path: Path, content: bytes, chance: random.Random) -> Mutant:
    """Bytes of a file are flipped, cut or repeated."""
    spoilt = bytearray(content)
    at = chance.randrange(len(spoilt))
    while path.suffix == ".json" and chr(spoilt[at]).isdigit():         # of another digit an older record cannot tell
        at = chance.randrange(len(spoilt))
    what = chance.choice(("flip", "flip", "cut", "repeat", "zero"))
    if what == "flip":
        spoilt[at] ^= 1 << chance.randrange(8)
    elif what == "cut":
        del spoilt[at:]
    elif what == "repeat":
        spoilt[at:at] = spoilt[max(0, at - 50):at]
    else:
        spoilt[at:at + 50] = bytes(min(50, len(spoilt) - at))
    return Mutant(what=f"byte {at}: {what}", content=bytes(spoilt), name=path.name, must_be_refused=False)


def spoilt_of(path: Path, content: bytes, chance: random.Random) -> Mutant:
    is_whole = path.suffix == ".json" and chance.random() < 0.8
    return (of_json if is_whole else of_bytes)(path, content, chance)


# What is read of a folder -------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Read:
    """What a verb said of a folder."""

    out: str
    broken: str | None               # the end of a traceback


@contextlib.contextmanager
def heard() -> Iterator[io.BytesIO]:
    """What is printed meanwhile."""
    with contextlib.redirect_stderr(io.StringIO()):
        out = io.BytesIO()
        with contextlib.redirect_stdout(io.TextIOWrapper(out, encoding="utf-8", write_through=True)) as text:
            yield out
            text.detach()


def verbs(folder: Path) -> dict[str, Verb]:
    """Every verb that reads a results folder, as a function of nothing that gives what it prints."""
    command = typer.main.get_command(app)

    def of(words: str, options: tuple[str, ...]) -> Verb:
        arguments = [*words.split(), *options, "--results", str(folder)]

        def call() -> str:
            with heard() as out:
                command.main(args=arguments, standalone_mode=False)
            return out.getvalue().decode()
        return call

    def served() -> str:
        return reports.render("html", report(Store(folder)).document)

    def imported_again() -> str:
        """What results exports as CSV goes through the importer into another folder, and is audited there."""
        with tempfile.TemporaryDirectory() as name, heard() as out:
            table = Path(name) / "table.csv"
            command.main(
                args=["results", "--results", str(folder), "--format", "csv", "-o", str(table)], standalone_mode=False)
            for arguments in (
                ("import", "csv", str(table), "--results", name), ("audit", "--results", name, "--json"),
            ):
                with contextlib.suppress(UserError):
                    command.main(args=list(arguments), standalone_mode=False)
        return out.getvalue().decode()

    return {**{words: of(words, options) for words, options in VERBS.items()}, "serve": served,
            "import": imported_again}


def read(verb: Verb) -> Read:
    try:
        return Read(verb(), None)
    except (UserError, SystemExit):
        return Read("", None)
    except Exception:
        return Read("", traceback.format_exc(limit=-3))


def figures_of(said: Read) -> Figures:
    """Of what results prints, by case."""
    return {_case(row): _figures(row) for row in json.loads(said.out)} if said.out.startswith("[") else {}


def _case(row: dict[str, Any]) -> str:
    names = ("origin", "source", "kind", "model", "framework", "build", "mode", "precision", "isa", "world_size",
             "layout", "compile_mode", "local_batch", "threads", "data", "session", "settings", "code_version",
             "build_facts", "graph_fingerprint", "machine", "node", "strategy", "devices_per_process",
             "steps_per_timing")
    return json.dumps([row.get(name) for name in names])


def _figures(row: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in row.items() if name.startswith(FIGURES)}


def wrong(shown: Figures, allowed: list[Figures]) -> Iterator[str]:
    """Figures that none of the allowed readings of the folder has."""
    for case, figures in shown.items():
        known = [each[case] for each in allowed if case in each]
        for name, value in figures.items() if known else ():
            if value is not None and value not in [each[name] for each in known]:
                yield f"{name} is {value}, and not {' or '.join(str(each[name]) for each in known)}, of {case}"


def is_refused(path: Path) -> bool:
    """Whether the door leaves a file out, with a sentence; series of telemetry are no record, and never refused."""
    if path.suffix != ".json":
        return False
    if path.parent.name == "quoted":
        return bool(stored_quoted.read_all([path])[1])
    try:
        reading.read(path)
    except (reading.LeftOut, files.NotThere):
        return True
    return False


# Results to spoil ---------------------------------------------------------------------------------------------------


def everything(folder: Path) -> None:
    """A record of each kind and of each part that one may have, and what was imported."""
    here, this = hardware.machine(), node(Store(folder).create().salt).id
    of, inference = told.case("torch"), told.case("torch", "inference")
    together = told.case("torch", world_size=2, strategy="ddp")
    system = {
        "fingerprint": "f" * 12, "facts": {"software": {"kernel": "6.1"}},
        "volatile": {"on_battery": True, "battery_ratio": 0.5, "governors": ["powersave"]},
    }
    told.stored(folder, [
        told.proof(of), told.proof(inference),
        told.proof(told.case("tensorflow"), outcome=Outcome.UNSUPPORTED, reason="torch has no such layer", parity=None),
        *(told.timing(of, repetition, 0.0101, system=system) for repetition in range(2)),
        told.timing(told.case("jax"), 0, 0.0103), told.timing(together, 0, 0.0112, world=made.WORLD),
        *(told.timing({**inference, "isa": isa}, 0, 0.0021, isa=made.watched(isa)) for isa in ("native", "sse41")),
        *itertools.islice(told.layer_profiles(), 2),
        *told.limit("copy_2MiB", "torch", 3.1e-5, bytes=2**22, repetitions=1),
        told.failed(told.case("jax", "inference"), Outcome.CRASHED, "it ended with signal 11", last_words="Killed\n"),
        watched.trial(), dataclasses.replace(
            watched.trial(1), telemetry=watched.block(regions=[{"name": "timed", "duration_s": 6.0, "devices": [GPU]}])
        ),
        *(made.make_record(
            TrialKind.PAIR, repetition=number, suite="fast", machine=here, node=this,
            pair=made.pair([0.01] * 10, [0.01 + 0.0001 * number] * 10),
        ) for number in range(2)),
        *(_with_itself(made.make_record(
            TrialKind.PAIR, repetition=number, suite="fast", machine=here, node=this, session="noise",
        )) for number in range(2)),
    ])
    store = Store(folder)
    store.put_series(watched.trial().key, gathered.write_readings)
    store.quoted.put(gathered.QUOTED)
    store.quoted.put(dataclasses.replace(gathered.QUOTED, source=dataclasses.replace(
        gathered.QUOTED.source, format="csv", sha256="6" * 64, file="table.csv"), rows=gathered.QUOTED.rows[:1]))


GPU: dict[str, Any] = {
    "device": 0, "values": {"power_w": {"mean": 300.0, "min": 250.0, "max": 350.0, "difference": None},
                            "busy_ratio": {"mean": 0.9, "min": 0.5, "max": 1.0, "difference": None},
                            "pcie_link_width": {"mean": 8.0, "min": 8.0, "max": 8.0, "difference": None},
                            "throttled_power_s": {"mean": None, "min": None, "max": None, "difference": 1.5}},
    "unknown": {"sm_clock_hz": "not_supported"}, "event_shares": {"power_cap": 0.4, "thermal": 0.1}, "coverage": 0.99,
    "implausible": {"temperature_c": {"said": 999.0, "low": -50.0, "high": 150.0, "reads": 2, "of": 100,
                                      "per_second": False}},
    "energy_j": 1800.0, "energy_method": "counter_ticks", "energy_bound_j": 5.0, "lost_s": None,
    "energy_check": {"energy_j": 1790.0, "energy_method": "power_instant", "energy_bound_j": 20.0},
}


def _with_itself(record: Record) -> Record:
    base = {"name": "default", "isa": "native", "code_version": record.identity.code_version, **record.identity.build}
    return dataclasses.replace(record, identity=dataclasses.replace(record.identity, base=base))


def kind_of(path: Path) -> str:
    """What kind of file it is, for the table."""
    if path.parent.name != "records":
        return {"quoted": "imported table", "telemetry": "telemetry series"}.get(path.parent.name, path.parent.name)
    plain = json.loads(path.read_bytes())
    return "record with telemetry" if plain["telemetry"] else f"record of a {plain['identity']['kind']}"


# Resuming -----------------------------------------------------------------------------------------------------------


class Remembering(Runner):
    """Gives each trial the record that it once had, instead of measuring it."""

    known: Mapping[str, Record] = {}

    def _measure(self, trial: Trial, identity: Identity, known: stored.StoredRecord | None) -> Record:
        if identity.id in self.known:
            now = datetime.now(UTC).isoformat(timespec="microseconds")
            return dataclasses.replace(self.known[identity.id], recorded_at=now)
        return super()._measure(trial, identity, known)


class Resumed:
    """A sweep of a proof, a timed trial and a layer trial that is resumed again and again."""

    def __init__(self, folder: Path):
        self._store = Store(folder).create()
        sweep = Sweep(
            models=("mlp",), frameworks=("numpy",), modes=(Mode.TRAINING,), local_batches=(2,), threads=(1,),
            repetitions=1, timing=SHORT, layers=True,
        )
        self._trials = plan([sweep], cores=len(hardware.usable_cpus()), seed=1)
        self._runner = Remembering(self._store, build.load(), suite="test", command="rigmark run", telemetry=False)

    def __enter__(self) -> Resumed:
        self._runner.__enter__()
        self._runner.known = {record.id: record for record in self._runner.run(self._trials).stored}
        self._paths = sorted(self._store.records_folder.iterdir())
        return self

    def __exit__(self, *error: object) -> None:
        self._runner.__exit__(*error)

    def once(self, chance: random.Random) -> tuple[str, str | None]:
        """(the kind of file, what a sweep that finds it spoilt leaves undone or ends in)."""
        path = chance.choice(self._paths)
        content = path.read_bytes()
        kind, mutant = kind_of(path), spoilt_of(path, content, chance)
        path.write_bytes(mutant.content)
        fault = None
        try:
            tally = self._runner.run(self._trials)
            if problems := self._store.trials().problems:
                fault = f"leaves {problems}"
            elif mutant.must_be_refused and not tally.stored:
                fault = "was taken, and says what was not measured"
        except UserError as error:
            # A record that stands for one of a later Rigmark, or of another trial's place, is not replaced.
            fault = None if isinstance(error, reading.TooNew) else f"{error}"
        except Exception:
            fault = traceback.format_exc(limit=-3)
        path.write_bytes(content)
        for other in set(self._store.records_folder.iterdir()) - set(self._paths):
            other.unlink()
        return kind, None if fault is None else f"resuming with {path.name}, {mutant.what}: {fault}"


# The run ------------------------------------------------------------------------------------------------------------


class Fuzz:
    """Mutants of a folder's files, and how each verb took them."""

    def __init__(self, folder: Path, chance: random.Random):
        self._folder, self._chance = folder, chance
        self._verbs = verbs(folder)
        self._whole = {name: read(verb) for name, verb in self._verbs.items()}
        assert not (broken := [each.broken for each in self._whole.values() if each.broken]), broken[0]
        self.rows = len(figures_of(self._whole["results"]))
        parts = ("records", "quoted", "telemetry")
        self._paths = [path for part in parts for path in sorted((folder / part).glob("*.*"))]
        self._plain = [path for path in self._paths if path.suffix == ".json"]      # a series is never refused
        self._contents = {path: path.read_bytes() for path in self._paths}
        self._kinds = {path: kind_of(path) for path in self._paths}
        self._without: dict[Path, Figures] = {}
        self._waiting: dict[Path, list[Mutant]] = {}         # mutants that are taken, by the file that each replaces
        self.counts: Counter[tuple[str, str, str]] = Counter()      # (kind of file, verb, what became of it)

    def once(self) -> Iterator[str]:
        """How one more mutant breaks the claim, and those that are read with it."""
        path = self._chance.choice(self._paths if self._chance.random() < 0.1 else self._plain)
        mutant = spoilt_of(path, self._contents[path], self._chance)
        with self._in_place({path: mutant}) as (place,):
            try:
                refused = is_refused(place)
            except Exception:
                self._count(path, "door", "traceback")
                yield self._said(path, mutant, traceback.format_exc(limit=-3))
                return
            self._count(path, "door", "refused" if refused else "read")
            if mutant.must_be_refused and not refused:
                self._count(path, "door", "wrong")
                yield self._said(path, mutant, "it has a checksum that does not fit, and was read")
            if refused and self._chance.random() < THOROUGH:
                for name in self._verbs:
                    yield from self._alone(path, mutant, place, name, "refused")
            if not refused:
                yield from self._alone(path, mutant, place, "results", "read")
                self._waiting.setdefault(path, []).append(mutant)
        if len(self._waiting) >= TOGETHER:
            yield from self._together()

    def rest(self) -> Iterator[str]:
        """How the mutants break the claim that are still waiting for others."""
        while self._waiting:
            yield from self._together()

    def _together(self) -> Iterator[str]:
        these = {path: self._waiting[path].pop() for path in list(self._waiting)[:TOGETHER]}
        self._waiting = {path: mutants for path, mutants in self._waiting.items() if mutants}
        names = [name for name in self._verbs if name != "results"]
        with self._in_place(these):
            said = {name: read(self._verbs[name]) for name in names}
        alone = [name for name in names if said[name].broken or (self._whole[name].out and not said[name].out)]
        is_found = False
        for path, mutant in these.items():
            for name in names:
                if name not in alone:
                    self._count(path, name, "read")
            if alone:
                with self._in_place({path: mutant}) as (place,):
                    for fault in itertools.chain(*(self._alone(path, mutant, place, name, "read") for name in alone)):
                        is_found = True
                        yield fault
        if (broken := next((each.broken for each in said.values() if each.broken), None)) and not is_found:
            yield f"together, {'; '.join(f'{path.name}, {mutant.what}' for path, mutant in these.items())}: {broken}"

    def _alone(self, path: Path, mutant: Mutant, place: Path, name: str, became: str) -> Iterator[str]:
        """How a verb that reads one mutant breaks the claim."""
        said = read(self._verbs[name])
        if said.broken:
            became = "traceback"
            yield self._said(path, mutant, f"{name}: {said.broken}")
        elif name == "results" and (faults := list(wrong(figures_of(said), self._allowed(path, place)))):
            became = "wrong"
            yield from (self._said(path, mutant, fault) for fault in faults)
        self._count(path, name, became)

    @contextlib.contextmanager
    def _in_place(self, mutants: Mapping[Path, Mutant]) -> Iterator[list[Path]]:
        """The mutants are in the folder meanwhile, in place of their files: where they are."""
        places = [path.with_name(mutant.name) for path, mutant in mutants.items()]
        for path in mutants:
            path.unlink()
        for place, mutant in zip(places, mutants.values(), strict=True):
            place.write_bytes(mutant.content)
        try:
            yield places
        finally:
            for place in places:
                place.unlink(missing_ok=True)        # two may have one name
            for path in mutants:
                path.write_bytes(self._contents[path])

    def _count(self, path: Path, verb: str, became: str) -> None:
        self.counts[self._kinds[path], verb, became] += 1

    def _said(self, path: Path, mutant: Mutant, fault: str) -> str:
        return f"{path.parent.name}/{path.name}, {mutant.what}: {fault}"

    def _allowed(self, path: Path, place: Path) -> list[Figures]:
        """The figures with the whole file, and without it."""
        if path not in self._without:
            spoilt = place.read_bytes()
            place.unlink()
            self._without[path] = figures_of(read(self._verbs["results"]))
            place.write_bytes(spoilt)
        return [figures_of(self._whole["results"]), self._without[path]]


COLUMNS = ("refused", "read", "traceback", "wrong")


def table(counts: Mapping[tuple[str, str, str], int]) -> str:
    """As Markdown: how many mutants of each kind of file each verb read, and what became of them."""
    lines = [f"| file | verb | mutants | {' | '.join(COLUMNS)} |", "| --- | --- |" + " ---: |" * (1 + len(COLUMNS))]
    for kind, verb in dict.fromkeys((kind, verb) for kind, verb, _ in sorted(counts)):
        each = [counts.get((kind, verb, became), 0) for became in COLUMNS]
        lines.append(f"| {kind} | {verb} | {sum(each[:3]) or sum(each)} | {' | '.join(map(str, each))} |")
    return "\n".join(lines) + "\n"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--results", type=Path)
    parser.add_argument("--mutants", type=int, default=20_000)
    parser.add_argument("--resumes", type=int, default=2_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--table", type=Path, help="file for the table")
    asked = parser.parse_args()
    chance, failures, started = random.Random(asked.seed), 0, time.monotonic()
    with tempfile.TemporaryDirectory() as name:
        os.chdir(name)
        folder = Path(name) / "results"
        if asked.results is None:
            everything(folder)
        else:
            shutil.copytree(asked.results, folder, ignore=shutil.ignore_patterns("cache", "oracle"))
        fuzz = Fuzz(folder, chance)
        print(f"{asked.mutants} mutants of {len(fuzz._paths)} files, seed {asked.seed}; {fuzz.rows} rows of results")
        for number in range(asked.mutants + 1):
            for fault in fuzz.once() if number < asked.mutants else fuzz.rest():
                failures += 1
                if failures <= SHOWN:
                    print(f"mutant {number}, {fault}", flush=True)
            if number % 1000 == 999:
                print(f"{number + 1} mutants, {failures} faults, {time.monotonic() - started:.0f} s", flush=True)
        with Resumed(Path(name) / "resumed") as resumed:
            for _ in range(asked.resumes):
                kind, undone = resumed.once(chance)
                fuzz.counts[kind, "run, resuming", "read" if undone is None else "wrong"] += 1
                if undone is not None:
                    failures += 1
                    if failures <= SHOWN:
                        print(undone, flush=True)
        text = table(fuzz.counts)
        print(text)
        if asked.table is not None:
            asked.table.write_text(text)
    print(f"{failures} faults in {asked.mutants + asked.resumes} mutants")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
