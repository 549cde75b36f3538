"""The sampler: reads every telemetry source while trials run, in a separate process that loads no framework.

``python -m rigmark.bench.telemetry.sampler DIRECTORY``

DIRECTORY contains settings.json: {"rate_hz": of each source, null for its usual rate, "sources": names, "gpus": ids,
"open_s": how long it waits for sources to open before it prints "ready"}. The sampler writes devices.json there, which
states for each source whether it could be opened; a source that opens later is added to the running trial. After
"ready" it waits for lines on stdin:

begin FILE SOURCES CPUS    read these sources (comma-separated names, ALL or BUT_GPUS), append the readings to this new
                           file in the directory, and run on these cores
processes PID...           these are the processes of the trial
mark                       read the FAST and EVENTS tiers at once: a region of the trial begins or ends
end                        stop reading, and print "ended" with a JSON list of the readers that have not stopped

The end of stdin ends the sampler, so that it never outlives its parent; on Linux the kernel ends it as well.

Each source is read in a thread of its own, and so is each device of a source whose devices may hang one by one. A
library that hangs, such as a driver, then blocks only its own thread, because calls into libraries release the
interpreter's lock. One process per source would multiply the cost.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import queue
import sys
import threading
import time
import traceback
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rigmark.bench.telemetry import series
from rigmark.bench.telemetry.series import Described, Writer
from rigmark.bench.telemetry.sources import (
    DEFAULT_RATE_HZ,
    EVERY_MEDIUM,
    Device,
    Reading,
    Source,
    Tier,
    Unavailable,
    Wanted,
    load,
    parts,
)
from rigmark.bench.worker.main import die_with_parent_on_linux

NICENESS = 5                 # lower priority: if both need a core, the trial gets it
STOP_S = 1.0                 # a reader that has not stopped by then hangs

SETTINGS, DEVICES = "settings.json", "devices.json"
GPU = "gpu"                  # the kind of device that is read only for trials on such devices
ALL, BUT_GPUS = "all", "but-gpus"


def is_read(sources: str, of: Described) -> bool:
    """Whether a trial that began with this SOURCES argument reads the source."""
    if sources in (ALL, BUT_GPUS):
        return bool(of.devices) and (sources == ALL or any(device.kind != GPU for device in of.devices))
    return of.name in sources.split(",")


class Reader(threading.Thread):
    """Reads a source, or one part of it. ``commands`` is a queue of callables that run in this thread."""

    def __init__(self, name: str, source: Source, *, rate_hz: float, number: int, position: int):
        super().__init__(name=name, daemon=True)
        self.commands: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._source = source
        self._rate_hz = rate_hz
        self._period_ns = round(1e9 / rate_hz)
        self._number = number                # number of its source in the file; the sampler itself has 0
        self._position = position            # position among the readers of the sampler
        self._writer: Writer | None = None   # None: not reading
        self._overruns = 0

    def run(self) -> None:
        while True:
            wait_s = None if self._writer is None else max(0.0, (self._deadline_ns - time.perf_counter_ns()) * 1e-9)
            try:
                command = self.commands.get(timeout=wait_s)
            except queue.Empty:
                command = self.tick
            try:
                command()
            except Exception:            # no further readings of this source in this trial, which the series shows
                traceback.print_exc()
                self._writer = None

    # Commands -------------------------------------------------------------------------------------------------------

    def begin(self, writer: Writer) -> None:
        self._source.watch(())
        self._writer, self._ticks, self._next = writer, 0, dict.fromkeys(Tier, 0)
        self._deadline_ns = time.perf_counter_ns()

    def watch(self, processes: Sequence[int]) -> None:
        self._source.watch(processes)

    def mark(self) -> None:
        if self._writer is not None:
            for tier in (Tier.FAST, Tier.EVENTS):
                self._write(self._writer, self._source.read(tier))

    def end(self, stopped: threading.Event) -> None:
        self._writer = None
        self._source.watch(())
        stopped.set()

    # Reading --------------------------------------------------------------------------------------------------------

    def tick(self) -> None:
        """Reads what is due now."""
        assert self._writer is not None
        begin_ns = time.perf_counter_ns()
        late_s = (begin_ns - self._deadline_ns) * 1e-9
        for tier in self._due():
            self._write(self._writer, self._source.read(tier))
        own, end_ns = (late_s, self._overruns, time.process_time()), time.perf_counter_ns()
        self._writer.append(0, [
            Reading(self._position, field, begin_ns, end_ns, value, None) for field, value in enumerate(own)
        ])
        self._ticks += 1
        self._deadline_ns += self._period_ns
        missed = max(0, math.ceil((time.perf_counter_ns() - self._deadline_ns) / self._period_ns))
        self._overruns += missed
        self._ticks += missed
        self._deadline_ns += missed * self._period_ns

    def _due(self) -> Iterator[Tier]:
        for tier, every in (
            (Tier.FAST, 1), (Tier.MEDIUM, EVERY_MEDIUM), (Tier.EVENTS, math.ceil(self._rate_hz)),
            (Tier.SLOW, math.ceil(self._rate_hz)),
        ):
            if self._ticks >= self._next[tier]:
                self._next[tier] = self._ticks + every
                yield tier

    def _write(self, writer: Writer, readings: Iterator[Reading]) -> None:
        writer.append(self._number, readings)


@dataclass
class Opening:
    """The result of opening a source."""

    described: Described                 # without devices until it is open, and if it cannot be opened
    problem: str | None = None           # why it could not be opened
    open_s: float | None = None          # time that it took; None while it is opening, or if it failed
    opened_ns: int | None = None         # time at which it was open


@dataclass(frozen=True)
class Trial:
    """The running trial."""

    writer: Writer
    sources: str                         # the SOURCES argument, see is_read
    readers: list[Reader]
    processes: list[int]


class Sampler:
    """All readers, and the commands for them."""

    def __init__(self, directory: Path):
        self._directory = directory
        settings = json.loads((directory / SETTINGS).read_text(encoding="utf-8"))
        self._rate_hz: float | None = settings["rate_hz"]
        self._wanted = Wanted(gpus=tuple(settings["gpus"]))
        self._open_s: float = settings["open_s"]
        self._openings = [
            Opening(Described(name=name, rate_hz=0.0, fields=(), devices=())) for name in settings["sources"]
        ]
        self._lock = threading.Lock()        # for everything below: sources may open at any time, even during a trial
        self._readers: list[tuple[Opening, Reader]] = []
        self._trial: Trial | None = None

    def open(self) -> None:
        """Opens all sources at the same time; returns when all are open, or after ``open_s``."""
        with self._lock:
            self._tell()
            threads = [
                threading.Thread(target=self._open, args=(number, opening), daemon=True)
                for number, opening in enumerate(self._openings, 1)
            ]
            for thread in threads:
                thread.start()
        until = time.monotonic() + self._open_s
        for thread in threads:
            thread.join(max(0.0, until - time.monotonic()))

    def _open(self, number: int, opening: Opening) -> None:
        name, begin_s = opening.described.name, time.monotonic()
        try:
            module = load(name)
            source: Source = module.open_source(self._wanted)
            usual_hz: float = getattr(module, "RATE_HZ", DEFAULT_RATE_HZ)
            rate_hz = self._rate_hz or usual_hz
            described = Described(
                name=name, rate_hz=rate_hz, fields=tuple(module.FIELDS), devices=tuple(source.devices)
            )
            json.dumps(described.plain())    # a source that cannot be described must not affect the others
        except Exception as error:           # a broken source must not affect the others
            is_said = isinstance(error, Unavailable)
            with self._lock:
                opening.problem = str(error) if is_said else f"could not be opened: {type(error).__name__}: {error}"
                self._tell()
            if not is_said:
                traceback.print_exc()
            return
        with self._lock:
            opening.described, opening.open_s = described, time.monotonic() - begin_s
            opening.opened_ns = time.perf_counter_ns()
            readers: list[Reader] = []
            for part in parts(source):
                own_name = name if part is source or len(described.devices) == 1 else f"{name} of {part.devices[0].id}"
                readers.append(Reader(
                    own_name, part, rate_hz=rate_hz, number=number, position=len(self._readers) + len(readers)
                ))
            self._readers += [(opening, reader) for reader in readers]
            self._tell()
            for reader in readers:
                reader.start()
            if self._trial is not None and is_read(self._trial.sources, described):
                self._join(self._trial, readers)

    def _tell(self) -> None:
        """Writes devices.json."""
        itself = Described(
            name=series.SAMPLER, rate_hz=0.0, fields=series.OWN_FIELDS,
            devices=tuple(
                Device(id=reader.name, kind="sampler", name=reader.name, facts={"source": opening.described.name})
                for opening, reader in self._readers
            ),
        )
        _write_whole(self._directory / DEVICES, {
            # Sources that could not be opened keep an entry, so that numbers in the file stay positions.
            "sources": [itself.plain(), *(opening.described.plain() for opening in self._openings)],
            "openings": {
                opening.described.name: {
                    "problem": opening.problem, "open_s": opening.open_s, "opened_ns": opening.opened_ns,
                } for opening in self._openings
            },
        })

    def begin(self, file: str, sources: str, cpus: Sequence[int]) -> None:
        for thread in os.listdir("/proc/self/task") if cpus and hasattr(os, "sched_setaffinity") else ():
            with contextlib.suppress(OSError):
                os.sched_setaffinity(int(thread), cpus)
        with self._lock:
            self._trial = Trial(Writer(self._directory / file), sources, [], [])
            self._join(self._trial, [
                reader for opening, reader in self._readers if is_read(sources, opening.described)
            ])

    def _join(self, trial: Trial, readers: Sequence[Reader]) -> None:
        for reader in readers:
            reader.commands.put(_call(reader.begin, trial.writer))
            if trial.processes:
                reader.commands.put(_call(reader.watch, trial.processes))
        trial.readers.extend(readers)

    def watch(self, processes: Sequence[int]) -> None:
        with self._lock:
            if self._trial is not None:
                self._trial.processes[:] = processes
                for reader in self._trial.readers:
                    reader.commands.put(_call(reader.watch, list(processes)))

    def mark(self) -> None:
        with self._lock:
            for reader in () if self._trial is None else self._trial.readers:
                reader.commands.put(reader.mark)

    def end(self) -> list[str]:
        """Stops all readers; returns the names of those that did not stop, because they hang."""
        with self._lock:
            trial, self._trial = self._trial, None
        if trial is None:
            return []
        events = {reader.name: threading.Event() for reader in trial.readers}
        for reader in trial.readers:
            reader.commands.put(_call(reader.end, events[reader.name]))
        until = time.monotonic() + STOP_S
        hanging = [name for name, event in events.items() if not event.wait(max(0.0, until - time.monotonic()))]
        trial.writer.close()
        return hanging


def _call(function: Any, *arguments: Any) -> Any:
    return lambda: function(*arguments)


def _write_whole(path: Path, content: Any) -> None:
    beside = path.with_suffix(".tmp")
    beside.write_text(json.dumps(content), encoding="utf-8")
    os.replace(beside, path)


def _numbers(text: str) -> list[int]:
    return [int(part) for part in text.split(",") if part]


def main(directory: str) -> None:
    die_with_parent_on_linux()               # a stopped process does not notice the end of stdin
    with contextlib.suppress(OSError):
        os.nice(NICENESS)
    with contextlib.suppress(OSError):       # a new session, which Linux may schedule as a group: autogroup, sched(7)
        Path("/proc/self/autogroup").write_text(str(NICENESS))
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w", buffering=1)
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())        # libraries may print anything
    sampler = Sampler(Path(directory))
    sampler.open()
    print("ready", file=answers)
    for line in sys.stdin:
        match line.split():
            case ["begin", file, sources, *cpus]:
                sampler.begin(file, sources, _numbers(",".join(cpus)))
            case ["processes", *numbers]:
                sampler.watch([int(number) for number in numbers])
            case ["mark"]:
                sampler.mark()
            case ["end"]:
                print("ended", json.dumps(sampler.end()), file=answers)
    os._exit(0)              # a source that hangs would prevent the process from ending


if __name__ == "__main__":
    main(sys.argv[1])
