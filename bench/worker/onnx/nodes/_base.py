"""What several families write alike."""


def named(op):
    """The rule that is one node of this operator, which takes what the layer takes."""
    def write(network, layer):
        network.node(layer, op, layer["inputs"])

    return write
