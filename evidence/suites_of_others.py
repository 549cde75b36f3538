"""``rigmark ab`` on suites of benchmarks that other projects ship in their source packages on PyPI.

    python -m evidence.suites_of_others pydicom --interpreter PYTHON --budget 12          # or another of SUITES
    python -m evidence.suites_of_others pydicom --interpreter PYTHON --only slower        # alone on the machine

PYTHON is an interpreter with what the suite needs beside the project: asv or pytest-benchmark, and the packages that
SUITES names. The source package and two releases are downloaded and installed by pip into --folder.

- two releases: what changed from one to the next, by one contest.
- against itself: --times contests of the older release with itself. No verdict of faster or slower may appear. Their
  pairs are then drawn --draws times, each with the sign of a coin, and the draws that get such a verdict are counted,
  with the exact 95 % interval. At most 1 % is claimed.
- slower: each call of a benchmarked function lasts 3, 5 or 10 % of its time longer (evidence/slower_calls), and the
  seconds until ``rigmark ab`` has its verdicts.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import subprocess
import sys
import tarfile
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy import stats

from rigmark.bench.ab import kinds
from rigmark.bench.ab.kinds import _suites
from rigmark.bench.ab.turns import Turns
from rigmark.bench.analysis.comparison.numbers import Numbers, Quantity, log_speed_ups
from rigmark.bench.analysis.comparison.verdicts import SAID, Verdicts, change_of
from rigmark.bench.analysis.statistics.decision import LOOKS, Verdict, decide_all
from rigmark.bench.builds.build import Build
from rigmark.bench.machine import hardware
from rigmark.bench.store.record import SIDES

SLOWER = Path(__file__).parent / "slower_calls"
FALSE = (Verdict.FASTER, Verdict.SLOWER)


@dataclass(frozen=True, kw_only=True)
class Source:
    """A suite in a source package, and the releases that it judges."""

    kind: str
    suite: str                   # the requirement of the source package
    path: str                    # in the source package
    releases: tuple[str, str]
    bench: str
    needs: str = ""              # other packages
    without: str = ""            # files of it that download what they measure, when they are imported


SUITES = {
    "pydicom": Source(
        kind="asv", suite="pydicom==3.0.2", path=".", releases=("pydicom==3.0.1", "pydicom==3.0.2"),
        bench="time_iterate_nested_elems", needs="numpy", without="benchmarks/bench_[ehpr]*.py",
    ),
    "xarray": Source(
        kind="asv", suite="xarray==2024.9.0", path="asv_bench", releases=("xarray==2024.9.0", "xarray==2025.12.0"),
        bench=r"^repr\.Repr\.time_repr$", needs="numpy pandas",
    ),
    "sparse": Source(
        kind="asv", suite="sparse==0.15.4", path=".", releases=("sparse==0.15.4", "sparse==0.15.5"),
        bench="coo.IndexingSuite.time_index_slice$", needs="numpy numba scipy",
    ),
    "cattrs": Source(
        kind="pytest", suite="cattrs==26.2.1", path="bench", releases=("cattrs==25.3.0", "cattrs==26.2.1"),
        bench=r"homo_tuple\[False-Converter", needs="attrs",
    ),
    "pint": Source(
        kind="pytest", suite="pint==0.25.3", path="pint/testsuite/benchmarks",
        releases=("pint==0.24.4", "pint==0.25.3"), bench=r"test_parse_unit_name\[True-(kilometer|ms)\]",
        needs="flexparser flexcache platformdirs",
    ),
}


def pip(*words: str) -> None:
    """Runs pip, or ends with what it says."""
    done = subprocess.run(
        (sys.executable, "-m", "pip", *words), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    if done.returncode:
        sys.exit(done.stdout)


def installed(requirement: str, folder: Path, interpreter: str) -> Path:
    """A folder that holds a release and nothing else."""
    place = folder / requirement
    if not place.is_dir():
        pip("--python", interpreter, "install", "--quiet", "--no-deps", "--target", str(place), requirement)
    return place


def unpacked(source: Source, folder: Path) -> Path:
    """The root of a source package."""
    place = folder / "source" / source.suite
    if not place.is_dir():
        pip("download", "--quiet", "--no-deps", "--no-binary", ":all:", "--dest", str(place), source.suite)
        (archive,) = place.glob("*.tar.gz")
        with tarfile.open(archive) as file:
            file.extractall(place, filter="data")
    (root,) = (each for each in place.iterdir() if each.is_dir())
    for path in root.glob(source.without) if source.without else ():
        path.unlink()
    return root


def side(name: str, release: Path, interpreter: str, slower: float | None = None) -> _suites.Side:
    """A release as a build; ``slower`` is a share of the time of each call, None: it is as it is."""
    paths = [str(release)] if slower is None else [str(SLOWER), str(release)]
    variables = {"PYTHONPATH": ":".join(paths), "PYTHONDONTWRITEBYTECODE": "1"}
    if slower is not None:
        variables["RIGMARK_SLOWER"] = f"{slower:.3f}"
    return _suites.Side(name=name, build=Build(name=name, interpreter=interpreter, variables=variables))


@dataclass(frozen=True, kw_only=True)
class Contested:
    """What a contest said, its pairs by case, and the seconds that it took."""

    verdicts: Verdicts
    pairs: Mapping[str, list[Numbers]]
    seconds: float


def contested(source: Source, root: Path, sides: tuple[_suites.Side, _suites.Side], budget_s: float, seed: str
              ) -> Contested:
    """One contest."""
    module = kinds.module(source.kind)
    settings = _suites.Settings(bench=source.bench, cpus=hardware.usable_cpus()[:1])
    with contextlib.chdir(root):
        kind = module.KIND(module.suite(root / source.path), *sides, settings, lambda line: None)
        kept: list[dict[str, Any]] = []
        started = time.monotonic()
        verdicts = Turns(
            kind, names=(sides[0].name, sides[1].name), seed=seed, budget_s=budget_s, warm_ups=1, store=kept.append,
            has_causes=False,
        ).run()
        seconds = time.monotonic() - started
    pairs: dict[str, list[Numbers]] = {}
    for pair in json.loads(json.dumps(kept[-1]["pairs"])):
        if not pair["is_warm_up"] and "failure" not in pair:
            pairs.setdefault(pair["unit"], []).append(
                Numbers(**{side: tuple(turn["numbers"][pair["unit"]] for turn in pair[side]) for side in SIDES})
            )
    return Contested(verdicts=verdicts, pairs=pairs, seconds=seconds)


def told(contest: Contested) -> str:
    """How many cases got which verdict."""
    counts = Counter(SAID[case.verdict] if case.verdict else "failed" for case in contest.verdicts.cases)
    return ", ".join(f"{count} {verdict}" for verdict, count in sorted(counts.items()))


def cases(contest: Contested) -> str:
    """Each case, and its change."""
    return "\n".join(
        f"    {case.label}: {SAID[case.verdict] if case.verdict else 'failed'}, "
        f"{change_of(case) or case.reason}, {len(contest.pairs.get(case.label, ()))} pairs"
        for case in contest.verdicts.cases
    )


def false_draws(banks: Mapping[str, list[float]], draws: int) -> int:
    """How many draws of the suite get a verdict of faster or slower at any look, with signs of a coin."""
    rng, false = np.random.default_rng(0), 0
    for _ in range(draws):
        drawn = {
            case: list(rng.choice(bank, LOOKS[-1]) * rng.choice([-1.0, 1.0], LOOKS[-1]))
            for case, bank in banks.items()
        }
        false += any(
            decision.verdict in FALSE
            for look in LOOKS for decision in decide_all({case: each[:look] for case, each in drawn.items()}).values()
        )
    return false


def against_itself(
    source: Source, root: Path, release: Path, options: argparse.Namespace, quantity: Quantity
) -> None:
    banks: dict[str, list[float]] = {}
    false = seconds = 0.0
    verdicts: Counter[str] = Counter()
    for seed in range(options.times):
        both = (side("base", release, options.interpreter), side("itself", release, options.interpreter))
        contest = contested(source, root, both, options.budget, f"{seed}")
        seconds += contest.seconds
        false += any(case.verdict in FALSE for case in contest.verdicts.cases)
        verdicts.update(SAID[case.verdict] if case.verdict else "failed" for case in contest.verdicts.cases)
        for case, pairs in contest.pairs.items():
            banks.setdefault(case, []).extend(log_speed_ups(quantity, pairs))
    said = ", ".join(f"{count} {verdict}" for verdict, count in sorted(verdicts.items()))
    print(f"against itself, {options.times} times {len(banks)} benchmarks, {seconds:.0f} s: {false:.0f} contests with "
          f"a false verdict ({said})", flush=True)
    (options.folder / f"{options.name}.json").write_text(json.dumps(banks))
    enough = {case: bank for case, bank in banks.items() if len(bank) >= LOOKS[0]}
    wrong = false_draws(enough, options.draws)
    interval = stats.binomtest(wrong, options.draws).proportion_ci(0.95, "exact")
    print(f"{options.draws} draws of {sum(map(len, enough.values()))} recorded pairs: {wrong} with a false verdict, "
          f"{wrong / options.draws:.2%} ({interval.low:.2%} to {interval.high:.2%})", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", choices=SUITES)
    parser.add_argument("--interpreter", default=sys.executable)
    parser.add_argument("--folder", type=Path, default=Path("suites-of-others"))
    parser.add_argument("--budget", type=float, default=12.0)
    parser.add_argument("--times", type=int, default=20)
    parser.add_argument("--draws", type=int, default=5000)
    parser.add_argument("--only", choices=("releases", "itself", "slower"))
    options = parser.parse_args()
    source, folder = SUITES[options.name], options.folder.resolve()
    root = unpacked(source, folder)
    base, new = (installed(each, folder, options.interpreter) for each in source.releases)
    print(f"{options.name}: {source.kind} suite of {source.suite}, --bench '{source.bench}', --budget "
          f"{options.budget:.0f}s, load {hardware.load_average() or 0:.1f}", flush=True)
    if options.only in (None, "releases"):
        first, last = (
            side(name, place, options.interpreter) for name, place in zip(source.releases, (base, new), strict=True)
        )
        contest = contested(source, root, (first, last), options.budget, "releases")
        print(f"{' against '.join(source.releases)}: {told(contest)}, {contest.seconds:.0f} s\n{cases(contest)}",
              flush=True)
    if options.only in (None, "itself"):
        with contextlib.redirect_stderr(io.StringIO()):
            against_itself(source, root, base, options, Quantity(name="time per call", unit="s"))
    for slower in (0.03, 0.05, 0.1) if options.only in (None, "slower") else ():
        sides = (side("base", base, options.interpreter, 0.0), side("slower", base, options.interpreter, slower))
        contest = contested(source, root, sides, 10 * options.budget, f"{slower}")
        print(f"{slower:.0%} slower: {told(contest)}, {contest.seconds:.0f} s\n{cases(contest)}", flush=True)
    print(f"load {hardware.load_average() or 0:.1f}")


if __name__ == "__main__":
    main()
