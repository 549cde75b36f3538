"""What each layer of Keras is in a graph; one file per family.

``LAYERS`` of a family has, by the name of a class in keras.layers, a function that takes a ``Call`` and gives its
value, or a list of its values; ``OPERATIONS`` has the same for functions of keras.ops, by the name of their class.
``ACTIVATIONS`` has, by the name of a function in keras.activations, a function of a call and a value.
"""

from ... import registry

LAYERS = registry.tables(__name__, __path__, "LAYERS")
OPERATIONS = registry.tables(__name__, __path__, "OPERATIONS")


def lowering(keras, op):
    """The function for a layer or operation of Keras's own; None where a class is the user's, or not known."""
    kind = type(op)
    if not kind.__module__.startswith("keras."):
        return None
    table = LAYERS if isinstance(op, keras.layers.Layer) else OPERATIONS
    return table.get(kind.__name__)


def activation(function):
    """The function for one of keras.activations; None where it is the user's, or not known."""
    from .elementwise import ACTIVATIONS

    if not str(getattr(function, "__module__", "")).startswith("keras."):
        return None
    return ACTIVATIONS.get(getattr(function, "__name__", ""))
