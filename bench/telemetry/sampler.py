"""The sampler: reads every source of telemetry while trials run, in a process of its own that loads no framework.

``python -m bench.telemetry.sampler DIRECTORY``

DIRECTORY holds settings.json: {"rate_hz": of each source, null for its own, "sources": names, "gpus": ids,
"open_s": after which a source that is not open is left out}. When its sources are open the sampler writes devices.json
there, says "ready", and waits for lines on stdin:

begin FILE SOURCES CPUS    read these sources, and append to this new file of the directory; run on these cores
processes PID...           the trial is these processes
mark                       read the FAST tier at once: the trial has come to where a region begins or ends
end                        stop reading, and say "ended", with the sources that have stopped

The end of stdin ends the sampler, so that it never outlives the one who started it.

Each source is read in a thread of its own. A library that hangs, as a driver may, then holds up its own thread alone,
since calls into libraries let the others run; a process each would cost as much again for every source.
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
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from bench.telemetry import series
from bench.telemetry.series import Described, Writer
from bench.telemetry.sources import (
    DEFAULT_RATE_HZ,
    EVERY_MEDIUM,
    Device,
    Reading,
    Source,
    Tier,
    Unavailable,
    Wanted,
    load,
)

NICENESS = 5                 # of two that want a core, the trial is to have it
STOP_S = 1.0                 # one that has not stopped by then hangs

SETTINGS, DEVICES = "settings.json", "devices.json"


class Reader(threading.Thread):
    """Reads one source at its rate, as told through ``commands``; callables that run in this thread."""

    def __init__(self, name: str, number: int, settings: Mapping[str, Any]):
        super().__init__(name=name, daemon=True)
        self.commands: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self.opened = threading.Event()
        self.problem: str | None = f"did not answer within {settings['open_s']:g} s of being opened"
        self.described: Described | None = None
        self._number = number                # in the file; the sampler itself is 0
        self._settings = settings
        self._writer: Writer | None = None   # None: not reading
        self._overruns = 0

    def run(self) -> None:
        try:
            module = load(self.name)
            self._rate_hz = self._settings["rate_hz"] or getattr(module, "RATE_HZ", DEFAULT_RATE_HZ)
            self._period_ns = round(1e9 / self._rate_hz)
            self._source: Source = module.open_source(Wanted(gpus=tuple(self._settings["gpus"])))
            self.described = Described(
                name=self.name, rate_hz=self._rate_hz, fields=tuple(module.FIELDS),
                devices=tuple(self._source.devices),
            )
            self.problem = None
        except Unavailable as error:
            self.problem = str(error)
        except Exception as error:           # one broken source must not cost the others
            self.problem = f"could not be opened: {type(error).__name__}: {error}"
            traceback.print_exc()
        self.opened.set()
        if self.problem is None:
            self._serve()

    def _serve(self) -> None:
        while True:
            wait_s = None if self._writer is None else max(0.0, (self._deadline_ns - time.perf_counter_ns()) * 1e-9)
            try:
                command = self.commands.get(timeout=wait_s)
            except queue.Empty:
                command = self._tick
            try:
                command()
            except Exception:            # nothing more of this source in this trial, which its series shows
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
            self._write(self._writer, self._source.read(Tier.FAST))

    def end(self, stopped: threading.Event) -> None:
        self._writer = None
        self._source.watch(())
        stopped.set()

    # Reading --------------------------------------------------------------------------------------------------------

    def _tick(self) -> None:
        assert self._writer is not None
        begin_ns = time.perf_counter_ns()
        late_s = (begin_ns - self._deadline_ns) * 1e-9
        for tier in self._due():
            self._write(self._writer, self._source.read(tier))
        own = (late_s, self._overruns, time.process_time())
        self._writer.append(0, [
            Reading(self._number - 1, field, begin_ns, begin_ns, value, None) for field, value in enumerate(own)
        ])
        self._ticks += 1
        self._deadline_ns += self._period_ns
        missed = max(0, math.ceil((time.perf_counter_ns() - self._deadline_ns) / self._period_ns))
        self._overruns += missed
        self._ticks += missed
        self._deadline_ns += missed * self._period_ns

    def _due(self) -> Iterator[Tier]:
        for tier, every in (
            (Tier.FAST, 1), (Tier.MEDIUM, EVERY_MEDIUM), (Tier.SLOW, math.ceil(self._rate_hz)),
        ):
            if self._ticks >= self._next[tier]:
                self._next[tier] = self._ticks + every
                yield tier

    def _write(self, writer: Writer, readings: Iterator[Reading]) -> None:
        writer.append(self._number, readings)


class Sampler:
    """The readers, and what is done with all of them."""

    def __init__(self, directory: Path):
        self._directory = directory
        settings = json.loads((directory / SETTINGS).read_text(encoding="utf-8"))
        self._open_s: float = settings["open_s"]
        self._readers = [Reader(name, 1 + i, settings) for i, name in enumerate(settings["sources"])]
        self._writer: Writer | None = None
        self._active: list[Reader] = []

    def open(self) -> None:
        """Open every source, and tell in devices.json what came of it."""
        until = time.monotonic() + self._open_s
        for reader in self._readers:
            reader.start()
        for reader in self._readers:
            reader.opened.wait(max(0.0, until - time.monotonic()))
        problems = {reader.name: reader.problem for reader in self._readers}
        usable = [reader for reader in self._readers if problems[reader.name] is None]
        itself = Described(
            name=series.SAMPLER, rate_hz=0.0, fields=series.OWN_FIELDS,
            devices=tuple(Device(id=reader.name, kind="sampler", name=reader.name) for reader in self._readers),
        )
        sources = [itself, *(reader.described or _unopened(reader) for reader in self._readers)]
        _write_whole(self._directory / DEVICES, {
            "sources": [source.plain() for source in sources],
            "unavailable": {name: problem for name, problem in problems.items() if problem is not None},
            "clock": {"perf_counter_ns": time.perf_counter_ns(), "wall_s": time.time()},
        })
        self._readers = usable

    def begin(self, file: str, sources: Sequence[str], cpus: Sequence[int]) -> None:
        for thread in os.listdir("/proc/self/task") if cpus and hasattr(os, "sched_setaffinity") else ():
            with contextlib.suppress(OSError):
                os.sched_setaffinity(int(thread), cpus)
        self._writer = Writer(self._directory / file)
        self._active = [reader for reader in self._readers if reader.name in sources]
        for reader in self._active:
            reader.commands.put(_call(reader.begin, self._writer))

    def watch(self, processes: Sequence[int]) -> None:
        for reader in self._active:
            reader.commands.put(_call(reader.watch, processes))

    def mark(self) -> None:
        for reader in self._active:
            reader.commands.put(reader.mark)

    def end(self) -> list[str]:
        """Names of the sources that have stopped; the others hang, or have failed."""
        events = {reader.name: threading.Event() for reader in self._active}
        for reader in self._active:
            reader.commands.put(_call(reader.end, events[reader.name]))
        until = time.monotonic() + STOP_S
        stopped = [name for name, event in events.items() if event.wait(max(0.0, until - time.monotonic()))]
        if self._writer is not None:
            self._writer.close()
        self._writer, self._active = None, []
        return stopped


def _call(function: Any, *arguments: Any) -> Any:
    return lambda: function(*arguments)


def _unopened(reader: Reader) -> Described:
    """A place for a source that is not there, so that numbers in the file stay positions."""
    return Described(name=reader.name, rate_hz=0.0, fields=(), devices=())


def _write_whole(path: Path, content: Any) -> None:
    beside = path.with_suffix(".tmp")
    beside.write_text(json.dumps(content), encoding="utf-8")
    os.replace(beside, path)


def _numbers(text: str) -> list[int]:
    return [int(part) for part in text.split(",") if part]


def main(directory: str) -> None:
    with contextlib.suppress(OSError):
        os.nice(NICENESS)
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w", buffering=1)
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())        # libraries print what they please
    sampler = Sampler(Path(directory))
    sampler.open()
    print("ready", file=answers)
    for line in sys.stdin:
        match line.split():
            case ["begin", file, sources, *cpus]:
                sampler.begin(file, sources.split(","), _numbers(",".join(cpus)))
            case ["processes", *numbers]:
                sampler.watch([int(number) for number in numbers])
            case ["mark"]:
                sampler.mark()
            case ["end"]:
                print("ended", *sampler.end(), file=answers)
    os._exit(0)              # a source that hangs would keep it from ending


if __name__ == "__main__":
    main(sys.argv[1])
