"""Entry of the command ``rigmark``, and of ``python -m rigmark``: ready for Ctrl-C before the slow imports begin."""

from __future__ import annotations

import sys

from rigmark.bench.host.interrupts import EXIT_CODE, Interrupted, Interrupts


def main() -> None:
    """As bench.cli.main."""
    interrupts = Interrupts()
    try:
        interrupts.catch()
        from rigmark.bench.cli import main as command

        command(interrupts)
    except BaseException as error:
        interrupts.leave_to_system()
        is_ended = isinstance(error, SystemExit)     # in words of the command
        if is_ended or not (isinstance(error, Interrupted) or interrupts.have_come):
            raise
        if sys.stderr is not None:
            print("rigmark: interrupted", file=sys.stderr)
        sys.exit(EXIT_CODE)
