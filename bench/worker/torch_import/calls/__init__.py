"""What each ATen call is in a graph; one file per family.

``CALLS`` of a family has, by the call's name without overload, a function that takes a ``Call`` and gives its value,
or a list of its values where it has several. ``FILLED`` are calls of which the shape alone counts: their fill.
``CALLS_OF_CHANCE`` are calls that draw numbers even where all that they take is known.
"""

from ... import registry
from . import elementwise

CALLS = registry.tables(__name__, __path__, "CALLS")
FILLED = elementwise.FILLED
CALLS_OF_CHANCE = ("bernoulli",)
