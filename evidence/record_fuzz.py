"""Claim: whatever a results folder holds, no verb ends in a traceback, and no figure is shown that was not measured.

Takes a folder of real results (or measures a small one: proofs, timed and layer trials, a pair, telemetry, an imported
table), spoils one of its files at a time, from a seed, and has every verb that reads results read it. A mutant is a
value of another type, one that cannot be, one that is missing or misnamed, nested deeply, huge, not finite, or a file
with bytes flipped, cut or repeated; half of the spoilt records bear the id that their spoilt facts have. Then either a
sentence tells that the file was left out, and all figures are as without it, or all are as before, or not known. A
mutant of a record that is measured again (``--resumes``) must leave a folder without problems. No mutant is made that
is another measurement, such as a digit in the place of a digit: a record alone does not tell.

Run: .venv/bin/python evidence/record_fuzz.py [--results FOLDER] [--mutants 2000] [--resumes 50] [--seed 1]
Prints each mutant that breaks the claim, and ends with exit code 1 where there is one.
"""

from __future__ import annotations

import argparse
import copy
import json
import math
import random
import shutil
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent))

from typer.testing import CliRunner

from rigmark.bench.cli import app
from rigmark.bench.errors import UserError
from rigmark.bench.host import files
from rigmark.bench.store.record import id_of
from rigmark.bench.store.store import Store

VERBS = (
    ("results", "--json"), ("report", "--format", "markdown"), ("layers", "--json"), ("scaling", "--json"),
    ("claims", "--json"), ("audit", "--json"), ("history", "--json"), ("buy", "rent", "--json"),
)
JUNK: tuple[Any, ...] = (
    None, True, -1, -1.5, 2.5, 1e308, 5e-324, -0.5, 10**30, 10**400, math.nan, math.inf, -math.inf, "1_0", "", "x", "0",
    "\x1b[31m", "\ud800", "\0", [], {}, [1], [[1.0]], {"a": 1}, [True], ["1"], [None], [-1.0, 1.0],
)
FIGURES = ("throughput", "step_time", "latency", "energy", "power", "flops_per_s", "bytes_per_s", "peak_memory",
           "prepare_time", "parity_error", "layer_", "trials", "cpu_time")
THOROUGH = 0.05              # of the mutants that are left out are read by all verbs; of the others, all
SMALL = ("--threads", "1", "--batch", "2", "--repetitions", "1", "--min-time", "0.02")

Mutant = tuple[str, bytes, str]
"""What was done, the spoilt content, and the name of the file that it stands in."""


# Mutants ------------------------------------------------------------------------------------------------------------


def _places(part: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The way to every value in a plain object."""
    items = part.items() if isinstance(part, dict) else enumerate(part) if isinstance(part, list) else ()
    for name, value in items:
        yield (*at, name)
        yield from _places(value, (*at, name))


def of_json(path: Path, chance: random.Random) -> Mutant:
    """One value of a record or a table is another, missing or misnamed."""
    plain = copy.deepcopy(json.loads(path.read_bytes()))
    places = list(_places(plain))
    # Each value of a long list is as good as any other; parts that are short are met as often.
    *way, last = chance.choice([place for place in places if not isinstance(place[-1], int) or place[-1] < 2])
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
        part[last] = chance.choice([each for each in JUNK if each != 2.5 or not isinstance(part[last], float)])
        what = f"{part[last]!r:.40}"
    name = path.name
    if chance.random() < 0.5 and isinstance(facts := plain.get("identity"), dict):
        plain["id"] = id_of(facts)
        name = f"{plain['id']}.json"
    content = json.dumps(plain).encode()
    deep = 100_000
    return f"{'.'.join(map(str, (*way, last)))}: {what}", content.replace(b'"NESTED"', b"[" * deep + b"]" * deep), name


def of_bytes(path: Path, chance: random.Random) -> Mutant:
    """Bytes of a file are flipped, cut or repeated."""
    content = bytearray(path.read_bytes())
    at = chance.randrange(len(content))
    while path.suffix == ".json" and chr(content[at]).isdigit():         # of another digit nothing can tell
        at = chance.randrange(len(content))
    what = chance.choice(("flip", "flip", "cut", "repeat", "zero"))
    if what == "flip":
        content[at] ^= 1 << chance.randrange(8)
    elif what == "cut":
        del content[at:]
    elif what == "repeat":
        content[at:at] = content[max(0, at - 50):at]
    else:
        content[at:at + 50] = bytes(min(50, len(content) - at))
    return f"byte {at}: {what}", bytes(content), path.name


# What is read of a folder -------------------------------------------------------------------------------------------


def read(folder: Path) -> tuple[dict[str, dict[str, Any]], str, list[str]]:
    """(figures of each case, all that was said, what broke)."""
    figures: dict[str, dict[str, Any]] = {}
    said, broken = "", []
    for verb, *options in VERBS:
        done = CliRunner().invoke(app, [verb, *options, "--results", str(folder)])
        said += done.stderr
        error = done.exception
        if error is not None and not isinstance(error, SystemExit | UserError):
            broken.append(f"{verb}: {''.join(traceback.format_exception(error)[-3:])}")
        said += f"{error}\n" if isinstance(error, UserError) else ""
        if verb == "results" and done.stdout.startswith("["):
            figures = {_case(row): _figures(row) for row in json.loads(done.stdout)}
    return figures, said, broken


def _case(row: dict[str, Any]) -> str:
    names = ("origin", "source", "kind", "model", "framework", "build", "mode", "precision", "isa", "world_size",
             "layout", "compile_mode", "local_batch", "threads", "data", "session", "settings", "code_version")
    return json.dumps([row[name] for name in names])


def _figures(row: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in row.items() if name.startswith(FIGURES)}


def wrong(found: dict[str, Any], allowed: list[dict[str, Any]]) -> Iterator[str]:
    """Figures that none of the allowed readings of the folder has."""
    for case, figures in found.items():
        known = [each[case] for each in allowed if case in each]
        for name, value in figures.items() if known else ():
            if value is not None and value not in [each[name] for each in known]:
                yield f"{name} is {value}, and not {' or '.join(str(each[name]) for each in known)}, of {case}"


def is_left_out(folder: Path, name: str) -> bool:
    """Whether a file of records or tables was refused; every verb is then told the same, as if it were not there."""
    store = Store(folder)
    return any(files.shown(name) in problem for problem in (*store.trials().problems, *store.quoted()[1]))


def broken_by(
    folder: Path, path: Path, mutant: Mutant, whole: dict[str, Any], without: dict[str, Any], sample: float
) -> list[str]:
    """How a mutant breaks the claim; the folder is as before afterwards."""
    _, content, name = mutant
    before, place = path.read_bytes(), path.with_name(name)
    path.unlink()
    place.write_bytes(content)
    try:
        if is_left_out(folder, name) and sample > THOROUGH:
            return []
        found, _, broken = read(folder)
        return broken + list(wrong(found, [whole, without]))
    finally:
        place.unlink()
        path.write_bytes(before)


# Results to spoil ---------------------------------------------------------------------------------------------------


def measured(folder: Path) -> None:
    """A small sweep of all kinds of trial, and an imported table."""
    rigmark = str(Path(sys.executable).with_name("rigmark"))
    table = folder / "table.csv"
    table.write_text("model,framework,mode,local_batch,step_time_s\nvgg16,torch,inference,16,0.25\n")
    for words in (
        ("run", "--model", "mlp", "--framework", "numpy", "--mode", "training", "--layers", *SMALL),
        ("run", "--model", "mlp", "--framework", "torch", "--mode", "training", "--world-size", "1,2", *SMALL),
        ("run", "--model", "mlp", "--framework", "torch", "--mode", "inference", "--isa", "avx2", *SMALL),
        ("run", "--model", "copy_2MiB", "--framework", "numpy", "--threads", "1", "--repetitions", "1"),
        ("ab", "fast", "--base", "default", "--new", "default", "--framework", "numpy", "--model", "mlp", "--mode",
         "inference", "--batch", "2", "--threads", "1", "--budget", "10s"),
        ("import", "csv", str(table)),
    ):
        subprocess.run([rigmark, *words, "--results", str(folder)], check=False, stdout=subprocess.DEVNULL)


def resumed(count: int, chance: random.Random) -> Iterator[str]:
    """What a sweep that finds spoilt records of its own leaves undone, or ends in."""
    from tests.fakes import measure

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        measure(folder)
        records = sorted((folder / "results" / "records").iterdir())
        for _ in range(count):
            path = chance.choice(records)
            what, content, _ = (of_json if chance.random() < 0.7 else of_bytes)(path, chance)
            path.write_bytes(content)
            try:
                measure(folder)
            except Exception:
                yield f"resuming with {path.name}, {what}: {traceback.format_exc(limit=-2)}"
            if problems := Store(folder / "results").trials().problems:
                yield f"resuming with {path.name}, {what}, leaves {problems}"
                shutil.rmtree(folder / "results" / "records")
                measure(folder)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--results", type=Path)
    parser.add_argument("--mutants", type=int, default=2000)
    parser.add_argument("--resumes", type=int, default=50)
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    chance = random.Random(asked.seed)
    failures = 0
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "results"
        if asked.results is None:
            folder.mkdir()
            measured(folder)
        else:
            shutil.copytree(asked.results, folder, ignore=shutil.ignore_patterns("cache", "oracle"))
        whole, _, broken = read(folder)
        assert not broken, broken
        paths = [path for kind in ("records", "quoted", "telemetry") for path in sorted((folder / kind).glob("*.*"))]
        print(f"{asked.mutants} mutants of {len(paths)} files, seed {asked.seed}; {len(whole)} rows of results")
        without: dict[Path, dict[str, Any]] = {}
        for number in range(asked.mutants):
            path = chance.choice(paths)
            if path not in without:
                content = path.read_bytes()
                path.unlink()
                without[path] = read(folder)[0]
                path.write_bytes(content)
            spoil: Callable[[Path, random.Random], Mutant] = (
                of_bytes if path.suffix != ".json" or chance.random() < 0.25 else of_json
            )
            mutant = spoil(path, chance)
            for fault in broken_by(folder, path, mutant, whole, without[path], chance.random()):
                failures += 1
                print(f"mutant {number}, {path.parent.name}/{path.name}, {mutant[0]}: {fault}", flush=True)
    for fault in resumed(asked.resumes, chance):
        failures += 1
        print(fault, flush=True)
    print(f"{failures} of {asked.mutants + asked.resumes} mutants broke the claim")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
