"""The number that a turn of a command is asked for, in what the command prints."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from rigmark.bench.ab.kinds import Ending, TurnFailed
from rigmark.bench.errors import UserError
from rigmark.bench.history.sources import google as google_benchmark


class Take(StrEnum):
    """Which number counts where a command prints several."""

    FIRST = "first"
    LAST = "last"
    SUM = "sum"


CHOICES: dict[Take, Callable[[Sequence[float]], float]] = {
    Take.FIRST: lambda numbers: numbers[0], Take.LAST: lambda numbers: numbers[-1], Take.SUM: math.fsum,
}


@dataclass(frozen=True, kw_only=True)
class Metric:
    """Where the number is: a regular expression with one group at the most, or the path of a key in JSON."""

    pattern: re.Pattern[str] | None = None
    keys: tuple[str, ...] = ()
    take: Take | None = None

    @property
    def name(self) -> str:
        return ".".join(self.keys) if self.pattern is None else self.pattern.pattern

    def number(self, stdout: str, stderr: str) -> float:
        """The number of one turn; raises TurnFailed where there is not exactly one, or it is not finite."""
        found = list(self._in_json(stdout)) if self.pattern is None else [
            match[match.re.groups] for text in (stdout, stderr) for match in self.pattern.finditer(text)
        ]
        if not found:
            raise _no_number(f"nothing that it printed is {self._described}")
        if len(found) > 1 and self.take is None:
            raise _no_number(
                f"{len(found)} numbers that it printed are {self._described}; say with --take first, last or sum which "
                "of them counts"
            )
        number = CHOICES[self.take or Take.FIRST]([_number(each) for each in found])
        if not math.isfinite(number):
            raise _no_number(f"it printed {number} as {self._described}")
        return number

    @property
    def _described(self) -> str:
        return f"the key '{self.name}' of JSON" if self.pattern is None else f"matched by --metric '{self.name}'"

    def _in_json(self, stdout: str) -> Iterator[Any]:
        """The values of the key: in the output as one JSON text, or else in each line that is one."""
        for texts in ([stdout], stdout.splitlines()):
            values = [value for text in texts for value in _at(text, self.keys)]
            if values:
                yield from values
                return


def google(stdout: str, *, cpu: bool) -> dict[str, float]:
    """Seconds per iteration of each benchmark in the JSON that a Google Benchmark program prints.

    Of several repetitions it is the median. Raises TurnFailed if the text is no such JSON, or if a benchmark failed.
    """
    try:
        numbers, failures = google_benchmark.times(
            json.loads(stdout)["benchmarks"], clock="cpu_time" if cpu else "real_time"
        )
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        raise _no_number(
            "its stdout is not the JSON of Google Benchmark that --metric-google reads; add --benchmark_format=json to "
            "the command"
        ) from None
    for name, reason in failures.items():
        raise _no_number(f"benchmark {name} failed: {reason}")
    if not numbers:
        raise _no_number("it ran no benchmark")
    return numbers


def metric(pattern: str | None, path: str | None, take: Take | None) -> Metric | None:
    """The metric that the options mean; None without one. Raises UserError for options that mean none."""
    if pattern is not None and path is not None:
        raise UserError("--metric and --metric-json both say where the number is; leave one of them out")
    if pattern is None and path is None:
        if take is not None:
            raise UserError("--take chooses among numbers that a command prints; say with --metric which these are")
        return None
    if path is not None:
        keys = tuple(path.split("."))
        if not all(keys):
            raise UserError(f"--metric-json takes keys separated by dots, such as results.time, not '{path}'")
        return Metric(keys=keys, take=take)
    try:
        compiled = re.compile(str(pattern), re.MULTILINE)
    except re.error as error:
        raise UserError(f"--metric takes a regular expression, but '{pattern}' is none: {error}") from None
    if compiled.groups > 1:
        raise UserError(
            f"--metric '{pattern}' has {compiled.groups} groups; put only the number in brackets, and write (?:...) "
            "for others"
        )
    return Metric(pattern=compiled, take=take)


def _at(text: str, keys: Sequence[str]) -> Iterator[Any]:
    try:
        value = json.loads(text)
        for key in keys:
            value = value[int(key)] if isinstance(value, list) else value[key]
    except (ValueError, LookupError, TypeError, RecursionError):
        return
    yield value


def _number(found: Any) -> float:
    try:
        if isinstance(found, bool) or not isinstance(found, str | int | float):
            raise ValueError
        return float(found)
    except (ValueError, OverflowError):
        raise _no_number(f"it printed {str(found)[:40]!r} where a number was asked for") from None


def _no_number(reason: str) -> TurnFailed:
    return TurnFailed(Ending.NO_NUMBER, reason)
