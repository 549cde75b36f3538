"""NumPy: forward and backward of each operation, written to be read and to be right; a family of them per file."""

from .... import registry

LOWERINGS = registry.tables(__name__, __path__, "LOWERINGS")
