"""The parent's side of telemetry: one telemetry process serves all trials of a sweep, and no trial waits for it.

Whatever happens to that process, the sampler, is a ``problem`` in the record of a trial, never a failure of the trial.
There is one process per sweep, since starting one for each trial would take more CPU time than its readings, and since
a driver that is no longer in use may reset its counters.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

import rigmark
from rigmark.bench.devices import CPU, Device
from rigmark.bench.telemetry import regions, sampler, series
from rigmark.bench.telemetry.sampler import GPU
from rigmark.bench.telemetry.series import Described
from rigmark.bench.telemetry.sources import DEFAULT_RATE_HZ, NAMES, load

ROOT = Path(rigmark.__file__).parents[1]      # where the new process finds the package
OPEN_S = 3.0                     # the first trial of a sweep waits so long for sources; later ones join when they open
READY_S = OPEN_S + 5.0           # time for a sampler to start; only that first trial may have to wait
STOP_S = 2.0                     # time to answer at the end of a trial; after that it is killed
POLL_S = 0.02
SILENT_S = 0.5                   # beside GAP_PERIODS: a source without readings for so long before the end has stopped
MOST_FAILURES = 3                # consecutive trials in which a sampler failed, after which none is started
FILE = "readings.bin"


class Failed(Exception):
    """The sampler failed; the message is a sentence for people."""


@dataclass(frozen=True, kw_only=True)
class Recording:
    """What was recorded of one trial."""

    block: dict[str, Any]            # the part "telemetry" of a record; see docs/record.schema.json
    readings: NDArray[Any]           # in the form of bench.telemetry.series.read; may be empty
    sources: tuple[Described, ...]   # the sources that the readings refer to

    def write_parquet(self, path: Path) -> None:
        """Writes the readings as a table, see bench.telemetry.series.table; raises OSError if that fails."""
        series.write_parquet(path, self.readings, self.sources)


class Recorder:
    """Records one trial after another: ``begin``, then ``started`` and ``marked`` when the worker reports it, then
    ``end``.

    ``rate_hz`` is how often each source is read; None for the usual rate of each source. Close it after the sweep.
    """

    def __init__(self, directory: Path, rate_hz: float | None = None):
        self._directory = directory
        self._rate_hz = rate_hz
        self._sampler: _Sampler | None = None
        self._failures = 0
        self._problem: str | None = None

    def start(self) -> None:
        """Starts the sampler before a trial, so that the trial need not wait for it."""
        if self._sampler is None and self._failures < MOST_FAILURES:
            with self._noting():
                self._sampler = _started(self._directory, self._rate_hz)

    def wait_until_open(self, within_s: float) -> tuple[str, ...]:
        """Waits until every source is open or has failed to open; returns the names of those that are still opening."""
        until = time.monotonic() + within_s
        while (opening := self._sampler.opening() if self._sampler else ()) and time.monotonic() < until:
            time.sleep(POLL_S)
        return opening

    def begin(
        self, cpus: Collection[int], device: Device = CPU, variables: Mapping[str, str] = MappingProxyType({}),
        sources: Collection[str] | None = None, devices: int = 1,
    ) -> None:
        """Call this before a trial starts on a device, on these cores, with these variables.

        Of a process group, ``device`` is the first of its ``devices`` on this machine, and the cores are those of all
        its processes. The sampler runs on the other cores, if there are any. It reads ``sources``; None means all,
        except that GPUs are read only for a trial on a GPU.
        """
        self._problem = None
        self._processes: list[int] = []
        self._device, self._devices, self._variables = device, devices, variables
        usable = set(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else set()
        self._cpus = sorted(usable - set(cpus) or usable)
        self.start()
        self._begin_ns = time.perf_counter_ns()
        with self._noting():
            self._running().begin(self._cpus, sources, is_on_gpu=not device.is_host)

    def started(self, pid: int) -> None:
        """Call this when a process of the trial has started."""
        self._processes.append(pid)
        with self._noting():
            self._running().say("processes", *self._processes)

    def marked(self, name: str, at_s: float) -> None:
        """Call this when the worker reaches a mark, at which its device was synchronised."""
        if any(name in marks for marks in regions.REGIONS.values()):
            with self._noting():
                self._running().say("mark")

    def end(self, marks: Mapping[str, float]) -> Recording:
        """Returns what was recorded since ``begin``; ``marks`` are seconds of time.perf_counter."""
        with self._noting():
            self._running().stop_reading()
        end_ns = time.perf_counter_ns()
        readings = series.read_bytes(b"")
        state = _SamplerState(end_ns=end_ns)
        if self._sampler is not None:
            state = self._sampler.state(end_ns)
            readings = series.sifted(self._sampler.readings(), state.sources)
        sources, active = state.sources, state.active
        with self._noting():
            _check(readings, state, self._begin_ns)
        self._failures = self._failures + 1 if self._problem else 0
        if self._problem:
            self.close()
        devices, described = self._described(readings, sources, marks, active)
        return Recording(readings=readings, sources=sources, block={
            "rate_hz": self._rate_hz or max((s.rate_hz for s in sources if s.name in active), default=DEFAULT_RATE_HZ),
            "series": None, "problem": self._problem, "unavailable": state.unavailable,
            "sampler": {
                **_own_figures(readings), "cpus": self._cpus, "niceness": sampler.NICENESS, "open_s": state.open_s,
            },
            "devices": devices,
            "regions": described,
        })

    def _described(
        self, readings: NDArray[Any], sources: Sequence[Described], marks: Mapping[str, float], active: Collection[str]
    ) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
        try:
            used = self._used(sources)
            devices, described = regions.described(readings, sources, marks, active)
        except Exception as error:       # a measured trial must not be lost because of its telemetry
            self._problem = self._problem or f"its readings are inconsistent: {type(error).__name__}: {error}"
            return [], []
        return [
            {**plain, "used": used(plain["id"]) if plain["kind"] == GPU else True} for plain in devices
        ], described

    def close(self) -> None:
        """Ends the sampler."""
        if self._sampler is not None:
            self._sampler.close()
            self._sampler = None

    @contextlib.contextmanager
    def _noting(self) -> Iterator[None]:
        """A context in which the first failure becomes the ``problem`` of the trial."""
        try:
            yield
        except Failed as failure:
            self._problem = self._problem or str(failure)

    def _running(self) -> _Sampler:
        if self._sampler is None:
            raise Failed(f"telemetry was given up, because it failed in {MOST_FAILURES} consecutive trials")
        return self._sampler

    def _used(self, sources: Sequence[Described]) -> Callable[[str], bool | None]:
        """Whether the trial ran on the GPU with an id; None if that is not known, or if it used a part of it (MIG)."""
        number = self._device.first
        visible: tuple[str, ...] | None = None
        parts: dict[str, set[str]] = {}
        for source in sources:
            gpus = [device for device in source.devices if device.kind == GPU]
            if gpus and source.name == self._device.telemetry and hasattr(load(source.name), "visible_gpus"):
                visible = load(source.name).visible_gpus(self._variables, gpus)
                parts = {gpu.id: set(gpu.facts.get("mig_instances", ())) for gpu in gpus}
        if visible is None or number + self._devices > len(visible):
            return lambda _: None
        mine = visible[number:number + self._devices]
        return lambda device: None if parts.get(device, set()) & set(mine) else device in mine


def _started(directory: Path, rate_hz: float | None) -> _Sampler:
    try:
        return _Sampler(Path(tempfile.mkdtemp(dir=directory)), rate_hz)
    except OSError as error:
        raise Failed(f"the sampler cannot be started: {error.strerror}") from None


@dataclass(frozen=True, kw_only=True)
class _SamplerState:
    """What a sampler has reported about its sources, up to the end of a trial."""

    end_ns: int
    sources: tuple[Described, ...] = ()          # in the order of their numbers in the file
    active: tuple[str, ...] = ()                 # names of the sources that were read in the trial
    unavailable: Mapping[str, str] = field(default_factory=dict)         # source -> why it has no readings
    open_s: Mapping[str, float | None] = field(default_factory=dict)     # that each took to open; None: not open
    opened_ns: Mapping[str, int] = field(default_factory=dict)           # time at which it was open

    @property
    def readers(self) -> Iterator[tuple[int, str, Described]]:
        """(position, name, source) of each thread that read in the trial."""
        by_name = {source.name: source for source in self.sources if source.name in self.active}
        for position, reader in enumerate(self.sources[0].devices if self.sources else ()):
            if reader.facts["source"] in by_name:
                yield position, reader.id, by_name[reader.facts["source"]]


class _Sampler:
    """A running sampler; raises Failed if it does not do what it is told."""

    def __init__(self, directory: Path, rate_hz: float | None):
        self._directory = directory
        self._is_ready = False
        self._pending = b""
        self._asked = sampler.ALL        # SOURCES of the trial: see sampler.is_read
        self._started = time.monotonic()
        (directory / sampler.SETTINGS).write_text(json.dumps({
            "rate_hz": rate_hz, "sources": NAMES, "gpus": [], "open_s": OPEN_S,
        }))
        path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
        with open(directory / "stderr", "wb") as stderr:
            self._process = subprocess.Popen(
                # -P: a folder "bench" in the working directory is not ours. A new session: only the parent gets Ctrl-C.
                [sys.executable, "-P", "-m", "rigmark.bench.telemetry.sampler", str(directory)],
                env={**os.environ, "PYTHONPATH": path}, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=stderr,
                start_new_session=True, bufsize=0,
            )
        assert self._process.stdin is not None
        os.set_blocking(self._process.stdin.fileno(), False)     # a full pipe must not delay the trial

    def begin(self, cpus: Sequence[int], sources: Collection[str] | None, *, is_on_gpu: bool) -> None:
        if not self._is_ready:
            self._answer("ready", READY_S)
            self._is_ready = True
        self._asked = ",".join(sources) if sources is not None else sampler.ALL if is_on_gpu else sampler.BUT_GPUS
        (self._directory / FILE).unlink(missing_ok=True)
        self.say("begin", FILE, self._asked, ",".join(map(str, cpus)))

    def say(self, *words: object) -> None:
        assert self._process.stdin is not None
        try:
            self._process.stdin.write((" ".join(map(str, words)) + "\n").encode())
        except BrokenPipeError:
            raise Failed(self._how_it_ended()) from None
        except BlockingIOError:
            raise Failed("the sampler no longer reads its commands") from None

    def stop_reading(self) -> None:
        self.say("end")
        hanging = json.loads(self._answer("ended", STOP_S))
        if hanging:
            raise Failed(f"{' and '.join(hanging)} no longer answered at the end of the trial")

    def opening(self) -> tuple[str, ...]:
        """The names of the sources that are still opening; none once the sampler has ended."""
        if self._process.poll() is not None:
            return ()
        written = self._devices()
        return tuple(NAMES) if written is None else tuple(
            name for name, opening in written["openings"].items() if opening["problem"] is opening["opened_ns"] is None
        )

    def _devices(self) -> dict[str, Any] | None:
        try:
            written: dict[str, Any] = json.loads((self._directory / sampler.DEVICES).read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None
        return written

    def state(self, end_ns: int) -> _SamplerState:
        """What it has reported about its sources until ``end_ns``; nothing if it never began."""
        written = self._devices()
        if written is None:
            return _SamplerState(end_ns=end_ns)
        sources = tuple(series.described(plain) for plain in written["sources"])
        opened_ns = {
            name: opening["opened_ns"] for name, opening in written["openings"].items()
            if opening["opened_ns"] is not None and opening["opened_ns"] < end_ns
        }
        waited_s = time.monotonic() - self._started
        return _SamplerState(
            end_ns=end_ns, sources=sources, opened_ns=opened_ns,
            active=tuple(s.name for s in sources if s.name in opened_ns and sampler.is_read(self._asked, s)),
            unavailable={
                name: opening["problem"] or f"was still being opened at the end of the trial, after {waited_s:.0f} s"
                for name, opening in written["openings"].items() if name not in opened_ns
            },
            open_s={name: opening["open_s"] for name, opening in written["openings"].items()},
        )

    def readings(self) -> NDArray[Any]:
        try:
            return series.read(self._directory / FILE)
        except FileNotFoundError:        # it never began
            return series.read_bytes(b"")

    def _answer(self, word: str, within_s: float) -> str:
        """Waits for the answer ``word`` of the sampler; returns the rest of the line."""
        assert self._process.stdout is not None
        until = time.monotonic() + within_s
        while b"\n" not in self._pending:
            ready, _, _ = select.select([self._process.stdout], [], [], max(0.0, until - time.monotonic()))
            if not ready:
                raise Failed(f"the sampler did not answer '{word}' within {within_s:g} s")
            chunk = os.read(self._process.stdout.fileno(), 1 << 16)
            if not chunk:
                raise Failed(self._how_it_ended())
            self._pending += chunk
        line, _, self._pending = self._pending.partition(b"\n")
        first, _, rest = line.decode().partition(" ")
        if first != word:
            raise Failed(f"the sampler answered '{first}' instead of '{word}'")
        return rest

    def _how_it_ended(self) -> str:
        try:
            code: int | str = self._process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            code = "not known yet"
        last_words = (self._directory / "stderr").read_text(errors="replace").strip().splitlines()[-1:]
        return f"the sampler ended with exit code {code}" + "".join(f": {line}" for line in last_words)

    def close(self) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        try:
            self._process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            with contextlib.suppress(subprocess.TimeoutExpired):     # a driver may delay even that
                self._process.wait(STOP_S)
        self._process.stdout.close()


def _check(readings: NDArray[Any], state: _SamplerState, begin_ns: int) -> None:
    """Raises Failed if the readings do not belong to this trial, or if a reader stopped before its end."""
    if len(readings) and (readings["begin_ns"].min() < begin_ns or readings["end_ns"].max() > state.end_ns):
        raise Failed("the sampler's clock is not that of the trial; they may be in different time namespaces")
    own = readings[readings["source"] == 0]
    for position, name, source in state.readers:
        ends_ns = own["end_ns"][own["device"] == position]
        since_ns = int(ends_ns.max()) if len(ends_ns) else max(begin_ns, state.opened_ns[source.name])
        silent_s = (state.end_ns - since_ns) * 1e-9
        if silent_s > regions.GAP_PERIODS / source.rate_hz + SILENT_S:
            raise Failed(f"{name} gave no readings in the last {silent_s:.1f} s of the trial")


def _own_figures(readings: NDArray[Any]) -> dict[str, float | int | None]:
    """What the sampler recorded about itself: its delays, missed reads and CPU time."""
    names = [field.name for field in series.OWN_FIELDS]
    own = readings[readings["source"] == 0]
    late_s, cpu_time_s = (own["value"][own["field"] == names.index(name)] for name in ("late_s", "cpu_time_s"))
    overruns = own[own["field"] == names.index("overruns")]
    of_sources = [overruns["value"][overruns["device"] == device] for device in np.unique(overruns["device"])]
    return {
        "samples": len(late_s), "overruns": int(sum(values[-1] - values[0] for values in of_sources)),
        "cpu_time_s": float(cpu_time_s.max() - cpu_time_s.min()) if len(cpu_time_s) else None,
        "late_p95_s": float(np.quantile(late_s, 0.95)) if len(late_s) else None,
    }
