"""Entry point of ``rigmark`` and ``python -m rigmark`` (or rigmark.bench): handles Ctrl-C from before the slow imports.

Only ``sys`` is imported above ``main``, since a Ctrl-C during these imports ends in a message of Python itself.
"""

from __future__ import annotations

import sys


def main() -> None:
    """As bench.cli.main."""
    interrupts = None
    try:
        from rigmark.bench.host.interrupts import Interrupts

        interrupts = Interrupts()
        interrupts.catch()
        from rigmark.bench.cli import main as command

        command(interrupts)
    except BaseException as error:
        from rigmark.bench.host.interrupts import EXIT_CODE, Interrupted

        if interrupts is not None:
            interrupts.leave_to_system()
        is_ended = isinstance(error, SystemExit)     # in words of the command
        is_interrupt = isinstance(error, (Interrupted, KeyboardInterrupt))       # the latter before signals are caught
        if is_ended or not (is_interrupt or (interrupts is not None and interrupts.have_come)):
            raise
        if sys.stderr is not None:
            print("rigmark: interrupted", file=sys.stderr)
        sys.exit(EXIT_CODE)


if __name__ == "__main__":
    main()
