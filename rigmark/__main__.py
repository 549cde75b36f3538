"""``python -m rigmark``: the same as the command ``rigmark``."""

from rigmark.bench.__main__ import main

main()
