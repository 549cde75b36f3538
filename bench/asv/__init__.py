"""The suites as asv benchmarks, and asv's environment that is the interpreter which runs it."""
