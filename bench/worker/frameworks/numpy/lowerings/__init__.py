"""NumPy: forward and backward of each operation, written for clarity and accuracy; one file per family."""

from .... import registry

LOWERINGS = registry.tables(__name__, __path__, "LOWERINGS")
