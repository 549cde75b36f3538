"""What each ATen call is in a graph; one file per family.

``CALLS`` of a family has, by the call's name without overload, a function that takes a ``Call`` and gives its value,
or a list of its values where it has several. ``FILLED`` are calls of which the shape alone counts: their fill.
``CALLS_OF_CHANCE`` are calls that draw numbers even where all that they take is known. ``MOVES`` are calls that give
numbers as they are, in another shape or order, and ``TABLES`` calls of a table and of the rows that are read from it.
``PARTS`` has, by calls that show a part of a value, what the whole becomes where the part is written into.
"""

from ... import registry
from . import arrangement, elementwise

CALLS = registry.tables(__name__, __path__, "CALLS")
FILLED = elementwise.FILLED
CALLS_OF_CHANCE = ("bernoulli",)
MOVES = {*arrangement.CALLS, *elementwise.SAME}
TABLES = ("embedding", "embedding_bag", "index")
PARTS = arrangement.PARTS
