"""Claim: however and whenever a sweep is ended, no finished trial is lost or measured twice, and no process remains.

A real sweep (NumPy, the network mlp) is ended at random moments, resumed each time, and finally completes. In turn
it is killed, killed while its children are stopped, interrupted by Ctrl-C once and twice, terminated, and hung up on.
After every end it is checked that

- all earlier records exist, unchanged in every byte, and every record is complete,
- the command resumes: it measures exactly the trials that have no record yet,
- no process of the sweep is alive a second later,
- a sweep that was asked to end says so in one line, without a traceback, and ends with exit code 130,
- the completed sweep leaves no temporary file in its folder.

Run: .venv/bin/python evidence/kill_sweep.py [--kills 20] [--seed 1]
Prints a line for each kill, and ends with exit code 1 if a check failed.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import json
import os
import random
import re
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from pathlib import Path

import psutil

from rigmark.bench.store.record import key_of_plain

ROOT = Path(__file__).parents[1]
TOKEN = "RIGMARK_KILL_SWEEP"     # a variable that every process of the sweep inherits, however it detaches itself
ENDS: dict[str, tuple[signal.Signals, ...]] = {
    "SIGKILL": (signal.SIGKILL,), "stopped": (signal.SIGKILL,), "SIGINT twice": (signal.SIGINT, signal.SIGINT),
    "SIGINT": (signal.SIGINT,), "SIGTERM": (signal.SIGTERM,), "SIGHUP": (signal.SIGHUP,),
}
INTERRUPTED = "rigmark: interrupted; finished trials are stored; the same command continues from there\n"
LONGEST_S = 3.0                  # from the first moment of measuring to the kill: as long as some trials take
GONE_WITHIN_S = 1.0


def hashes(results: Path) -> dict[str, str]:
    """{file name: hash of the content} of all records."""
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in results.glob("records/*.json")}


def unreadable(results: Path) -> list[str]:
    """Names of records that are not whole."""
    bad = []
    for path in results.glob("records/*.json"):
        try:
            if key_of_plain(json.loads(path.read_text())) != path.stem:
                bad.append(path.name)
        except (ValueError, KeyError):
            bad.append(path.name)
    return bad


def alive(token: str) -> list[int]:
    """Process ids of what inherited the token and has not ended."""
    ids = []
    for process in psutil.process_iter():
        try:
            if process.status() != psutil.STATUS_ZOMBIE and process.environ().get(TOKEN) == token:
                ids.append(process.pid)
        except psutil.Error:
            continue
    return ids


def orphans(token: str) -> list[int]:
    """Those still alive when a second has passed."""
    until = time.monotonic() + GONE_WITHIN_S
    while (ids := alive(token)) and time.monotonic() < until:
        time.sleep(0.02)
    return ids


def start(folder: Path, repetitions: int, token: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [
            sys.executable, "-m", "rigmark", "run", "--model", "mlp", "--framework", "numpy", "--batch", "2",
            "--threads", "1", "--mode", "inference", "--repetitions", str(repetitions), "--min-time", "0.05",
        ],
        cwd=folder, env={**os.environ, TOKEN: token, "PYTHONPATH": str(ROOT)}, stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE, text=True,
    )


def end(command: subprocess.Popen[str], how: str, token: str) -> str:
    """Ends the command; what it said."""
    if how == "stopped":
        for pid in alive(token):
            if pid != command.pid:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGSTOP)
    for number in ENDS[how]:
        command.send_signal(number)
    _, errors = command.communicate()
    return errors


def await_lock(results: Path, command: subprocess.Popen[str]) -> None:
    """Until the command has opened the lock of the folder, which is when it begins to measure."""
    opened_before = lock_time(results)
    while lock_time(results) == opened_before and command.poll() is None:
        time.sleep(0.002)


def lock_time(results: Path) -> int:
    try:
        return (results / "lock").stat().st_mtime_ns
    except FileNotFoundError:
        return 0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--folder", type=Path, help="where to measure; a temporary folder if left out")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        violations = sweep(arguments.folder or Path(temporary), arguments.kills, random.Random(arguments.seed))
    for violation in violations:
        print(f"VIOLATION: {violation}")
    if not violations:
        print(f"{arguments.kills} kills: nothing lost, nothing repeated, no process and no temporary file left")
    return 1 if violations else 0


def sweep(folder: Path, kills: int, moments: random.Random) -> list[str]:
    """Violations, a sentence each."""
    results, token, violations = folder / "results", uuid.uuid4().hex, []
    repetitions = 6 * kills              # about as many as the killed commands finish
    before: dict[str, str] = {}
    print(" kill  by             after  records  temporary files")
    for kill in range(1, kills + 1):
        after_s, how = moments.uniform(0, LONGEST_S), list(ENDS)[(kill - 1) % len(ENDS)]
        with start(folder, repetitions, token) as command:
            await_lock(results, command)
            time.sleep(after_s)
            has_ended = command.poll() is not None       # by itself: all is measured
            errors = end(command, how, token)
        was_asked = ENDS[how] != (signal.SIGKILL,) and not has_ended
        if was_asked and (command.returncode, errors) != (130, INTERRUPTED):
            violations.append(f"kill {kill} by {how}: exit code {command.returncode}, and it said: {errors}")
        if left := orphans(token):
            violations.append(f"kill {kill}: processes {left} are alive {GONE_WITHIN_S:g} s later")
        now = hashes(results)
        if not before.items() <= now.items():
            violations.append(f"kill {kill}: finished records were lost or changed")
        violations += [f"kill {kill}: record {name} is not whole" for name in unreadable(results)]
        print(f"{kill:5}  {how:12} {after_s:6.2f}s {len(now):8} {len(temporary_files(results)):16}")
        before = now
    with start(folder, repetitions, token) as command:
        _, errors = command.communicate()
    now, trials = hashes(results), 1 + repetitions           # a proof before them
    print(f"  end                       {len(now):9} {len(temporary_files(results)):16}")
    said = re.compile(r"^(\d+) trials? measured in [^,;]*(?:, (\d+) w(?:as|ere) stored already)?", re.MULTILINE)
    counts = said.search(errors)
    expected = (trials - len(before), len(before))
    if command.returncode or counts is None or (int(counts[1]), int(counts[2] or 0)) != expected:
        violations.append(f"the last command did not measure {expected[0]} and skip {expected[1]} trials: {errors}")
    if not before.items() <= now.items() or len(now) != trials:
        violations.append(f"at the end there are {len(now)} records of {trials} trials, or some changed")
    if temporary_files(results):
        violations.append(f"temporary files stayed: {temporary_files(results)}")
    if left := orphans(token):
        violations.append(f"processes {left} outlive the finished command")
    return violations


def temporary_files(results: Path) -> list[str]:
    return [path.name for path in results.glob("*/*") if path.suffix not in (".json", ".npz", ".parquet")]


if __name__ == "__main__":
    sys.exit(main())
