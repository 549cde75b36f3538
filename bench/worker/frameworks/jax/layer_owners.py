"""Assigns the operations of a program that JAX traced to layers."""

import collections

from ...tracing import GRADIENT_ADD, LOSS, OPTIMIZER


class Scopes:
    """The scopes in the names of operations: "jit(_updated)/transpose(jvp(conv1))/conv_general_dilated"."""

    def __init__(self, graph):
        readers = collections.Counter(name for layer in graph["layers"] for name in layer["inputs"])
        self._names = {LOSS, OPTIMIZER, *(layer["name"] for layer in graph["layers"])}
        self._shares_input = {
            layer["name"] for layer in graph["layers"] if any(readers[name] > 1 for name in layer["inputs"])
        }

    def row_of(self, op_name):
        """The (layer, direction) in which an operation was traced, or None."""
        _, _, path = op_name.partition("/")              # the function is outermost
        scope, _, operation = path.partition("/")
        is_backward = scope.startswith("transpose(")
        while scope.startswith(("transpose(", "jvp(")):
            scope = scope.partition("(")[2][:-1]
        if scope not in self._names or not operation:
            return None
        if scope == OPTIMIZER:
            return OPTIMIZER, "update"
        # JAX adds up the gradients from the readers of a value in the scopes of these readers.
        if operation == "add_any" and is_backward and scope in self._shares_input:
            return GRADIENT_ADD, "backward"
        return scope, "backward" if is_backward else "forward"

    def gradient_of(self, op_name):
        """The row of the gradient that an operation of the optimizer reads; None for other operations."""
        _, scope, layer, *_ = [*op_name.split("/"), None, None, None]
        return (layer, "backward") if scope == OPTIMIZER and layer in self._names else None
