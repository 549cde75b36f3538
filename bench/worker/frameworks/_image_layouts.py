"""Image layouts, shared by the lowerings of frameworks that store images as (height, width, channels)."""


def inverse(axes):
    """The inverse of a permutation."""
    return tuple(sorted(range(len(axes)), key=axes.__getitem__))


ELEMENT_WISE = ("relu", "tanh", "sigmoid", "dropout")


def flattened_images(graph):
    """Which layers can flatten images without a transpose, in a framework with (height, width, channels) order.

    Returns a pair of dicts from the name of a layer to the shape (channels, height, width) of the image:

    the dense layers whose input vector is then in (row, column, channel) order, so that the columns of their weight
    must be permuted by ``channels_last`` when it is loaded, and weight and gradient back by ``channels_first``;

    the layers whose output vector is in that order: flatten layers, and the element-wise ones between them and the
    dense layers. Masks of dropout layers among these must be permuted too.

    A flatten layer that is in neither dict is the output, or is read by a layer that depends on the order: it needs a
    transpose to (channel, row, column) order first.
    """
    layers = graph["layers"]
    readers = {layer["name"]: [reader for reader in layers if layer["name"] in reader["inputs"]] for layer in layers}
    dense, vectors = {}, {}

    def follow(name, image):
        """(dense layers, vectors) that a flattened image reaches; None if one of them depends on the order."""
        if not readers[name]:
            return None
        found_dense, found_vectors = {}, {name: image}
        for reader in readers[name]:
            if reader["op"] == "dense":
                found_dense[reader["name"]] = image
            elif reader["op"] in ELEMENT_WISE or reader["op"] == "flatten":
                behind = follow(reader["name"], image)
                if behind is None:
                    return None
                found_dense.update(behind[0])
                found_vectors.update(behind[1])
            else:
                return None
        return found_dense, found_vectors

    for layer in layers:
        if layer["op"] == "flatten" and len(layer["input_shapes"][0]) == 3:
            found = follow(layer["name"], tuple(layer["input_shapes"][0]))
            if found is not None:
                dense.update(found[0])
                vectors.update(found[1])
    return dense, vectors


def channels_last(array, image):
    """The array with its last axis, a flattened image (channels, height, width), in (row, column, channel) order."""
    channels, height, width = image
    leading = array.shape[:-1]
    return array.reshape((*leading, channels, height * width)).swapaxes(-1, -2).reshape(array.shape)


def channels_first(array, image):
    """The inverse of ``channels_last``."""
    channels, height, width = image
    leading = array.shape[:-1]
    return array.reshape((*leading, height * width, channels)).swapaxes(-1, -2).reshape(array.shape)
