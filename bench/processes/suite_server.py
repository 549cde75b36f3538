"""What the servers of benchmark suites share: each is a script that the interpreter of a side runs, beside this file.

A server reads a request per line from stdin, a JSON object, and answers each with one on stdout. What benchmarks print
goes to stderr. It ends with stdin. It imports no Rigmark, and no module of this folder stays where the suite finds it.
"""

from __future__ import annotations

import ctypes
import json
import math
import os
import sys
import traceback

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

    Answer = dict[str, Any]

PR_SET_PDEATHSIG, SIGKILL = 1, 9


class Channel:
    """The requests and answers of one server."""

    def __init__(self) -> None:
        self._requests, self._answers = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.dup2(2, 1)

    def requests(self) -> Iterator[dict[str, Any]]:
        """One after the other, whoever asks for the next."""
        for line in iter(self._requests.readline, b""):
            yield json.loads(line)

    def answer(self, answer: Answer) -> None:
        sys.stdout.flush()
        self._answers.write(json.dumps(answer).encode() + b"\n")
        self._answers.flush()


class Server:
    """A suite, whose methods answer the requests that have their names."""

    skips: tuple[type[BaseException], ...] = ()      # by which a benchmark says that it is not to be measured here

    def answered(self, request: dict[str, Any]) -> Answer:
        """Never raises: what a benchmark raises is an answer as well."""
        try:
            return getattr(self, request.pop("do"))(**request) or {}
        except self.skips as error:
            return {"skipped": str(error)}
        except BaseException as error:
            return failed(error)


def serve(suite: Callable[..., Server]) -> None:
    """Answers all requests; the suite is made from the channel and the words of the command after the cores."""
    cpus, *words = sys.argv[1:]
    own = os.path.dirname(os.path.abspath(__file__))
    sys.path[:] = [folder for folder in sys.path if os.path.abspath(folder or ".") != own]
    sys.modules.pop("suite_server", None)        # our modules must not hide those of the suite
    end_with_parent()
    if cpus and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, [int(each) for each in cpus.split(",")])
    channel = Channel()
    try:
        server = suite(channel, *words)
    except BaseException as error:
        answer = failed(error)
        for _ in channel.requests():
            channel.answer(answer)
        return
    for request in channel.requests():
        channel.answer(server.answered(request))


def failed(error: BaseException) -> dict[str, str]:
    """An exception as an answer."""
    return {
        "error": "".join(traceback.format_exception_only(type(error), error)).strip().splitlines()[-1],
        "trace": "".join(traceback.format_exception(type(error), error, error.__traceback__))[-2000:],
    }


def imported() -> dict[str, str]:
    """The files of all modules and packages that are imported at the top."""
    return {
        name: file for name, module in list(sys.modules.items())
        if "." not in name and isinstance(file := getattr(module, "__file__", None), str)
    }


def plain(value: Any) -> float | None:
    """What a benchmark returned as a number; None if it is none."""
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return number if math.isfinite(number) else None


def end_with_parent() -> None:
    prctl = getattr(ctypes.CDLL(None), "prctl", None)
    if prctl is not None:        # Linux
        prctl(PR_SET_PDEATHSIG, SIGKILL)
