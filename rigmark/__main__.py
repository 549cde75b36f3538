"""``python -m rigmark``: the same as the command ``rigmark``."""

from rigmark.bench.cli import main

main()
