"""Which layers the operations of a program belong to that JAX traced."""

import collections

from ...tracing import GRADIENT_ADD, LOSS, OPTIMIZER


class Scopes:
    """What the names of operations tell: "jit(_updated)/transpose(jvp(conv1))/conv_general_dilated"."""

    def __init__(self, graph):
        readers = collections.Counter(name for layer in graph["layers"] for name in layer["inputs"])
        self._names = {LOSS, OPTIMIZER, *(layer["name"] for layer in graph["layers"])}
        self._shares_input = {
            layer["name"] for layer in graph["layers"] if any(readers[name] > 1 for name in layer["inputs"])
        }

    def row_of(self, op_name):
        """The (layer, direction) that an operation was traced in, None if in none."""
        _, _, path = op_name.partition("/")              # the function is outermost
        scope, _, operation = path.partition("/")
        is_backward = scope.startswith("transpose(")
        while scope.startswith(("transpose(", "jvp(")):
            scope = scope.partition("(")[2][:-1]
        if scope not in self._names or not operation:
            return None
        if scope == OPTIMIZER:
            return OPTIMIZER, "update"
        # JAX adds what the readers of a value send back as it comes to each of them, in that one's scope.
        if operation == "add_any" and is_backward and scope in self._shares_input:
            return GRADIENT_ADD, "backward"
        return scope, "backward" if is_backward else "forward"

    def gradient_of(self, op_name):
        """The row in which the gradient is computed that an operation of the optimizer takes, None for others."""
        _, scope, layer, *_ = [*op_name.split("/"), None, None, None]
        return (layer, "backward") if scope == OPTIMIZER and layer in self._names else None
