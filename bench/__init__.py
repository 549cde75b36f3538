"""Rigmark's engine. What notebooks and authors of suites need is in the package ``rigmark``."""
