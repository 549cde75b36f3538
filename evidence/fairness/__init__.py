"""Is Rigmark's step as fast as what a skilled user writes by hand? ``python -m evidence.fairness --help``."""
