"""The suites as asv benchmarks, and an asv environment that is the interpreter which runs asv."""
