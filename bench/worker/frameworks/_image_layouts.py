"""Image layouts, shared by the lowerings of frameworks that store images as (height, width, channels)."""

from ..graphs import canonical_keys, inputs_of, output_names, outputs_of
from . import Unsupported


def inverse(axes):
    """The inverse of a permutation."""
    return tuple(sorted(range(len(axes)), key=axes.__getitem__))


UNARY = (
    "relu", "tanh", "sigmoid", "dropout", "clip", "gelu", "silu", "exp", "log", "sqrt", "abs", "negative", "sin", "cos",
    "leaky_relu", "elu", "selu", "softplus", "hard_sigmoid", "hard_swish", "power", "reciprocal", "erf",
)
ELEMENT_WISE = (*UNARY, "add", "subtract", "multiply", "divide", "maximum", "minimum")
OF_IMAGES = (
    "conv2d", "conv_transpose2d", "resize", "max_pool", "max_unpool", "avg_pool", "global_avg_pool", "batch_norm",
    "local_response_norm", "group_norm",
)


class Plan:
    """Which values are kept as (height, width, channels), decided once for the whole graph.

    Those are the outputs of operations on images; outputs of element-wise operations and concat on these; and the
    inputs of the graph that lead to an operation on images. All other values are in canonical order. So a transpose is
    needed only if a layer takes a value in another order than that in which it is kept.

    ``images`` are the names of such values. A framework that keeps images in canonical
    order has none.
    """

    def __init__(self, graph, has_images=True):
        inputs = inputs_of(graph)
        self._values = {each["name"]: {"shape": [1, *each["shape"]], "batch": 0} for each in inputs}
        for layer in graph["layers"]:
            self._values.update(zip(outputs_of(layer), layer["outputs"]))
        self.images = set()
        self.dense, self.vectors = {}, {}        # see flattened_images
        if not has_images:
            return
        for each in inputs:
            if self._may_be_image(each["name"]) and self._leads_to_images(graph, each["name"]):
                self.images.add(each["name"])
        for layer in graph["layers"]:
            if self._may_be_image(layer["name"]) and self._gives_image(layer):
                self.images.update(filter(self._may_be_image, outputs_of(layer)))
        self.dense, self.vectors = flattened_images(graph, self.images)

    def refuse_copies(self, copied):
        """Raises Unsupported for {key: key of what it becomes} if the weights of these layers are kept differently."""
        for key, source in copied.items():
            target, name = key.rpartition("/")[0], source.rpartition("/")[0]
            if self.dense.get(target) != self.dense.get(name):
                raise Unsupported("'%s' cannot become '%s': their columns are kept in different orders" % (key, source))

    def _may_be_image(self, name):
        return self._values[name]["batch"] == 0 and self._has_four_axes(name)

    def _follows(self, layer):
        """Whether its output is an image exactly if its inputs are images."""
        if layer["op"] in ("concat", "prelu", "pad"):
            return True
        return layer["op"] in ELEMENT_WISE and all(map(self._fits_any_order, layer["inputs"]))

    def _fits_any_order(self, name):
        """Whether a value can be brought to the order of images, or is one number, which has none."""
        return self._has_four_axes(name) or all(size == 1 for size in self._values[name]["shape"])

    def _has_four_axes(self, name):
        return len(self._values[name]["shape"]) == 4

    def _gives_image(self, layer):
        if layer["op"] in OF_IMAGES:
            return True
        return self._follows(layer) and not self.images.isdisjoint(layer["inputs"])

    def _leads_to_images(self, graph, name):
        readers = [layer for layer in graph["layers"] if name in layer["inputs"]]
        return any(
            layer["op"] in OF_IMAGES or (self._follows(layer) and self._leads_to_images(graph, layer["name"]))
            for layer in readers
        )

    def turns(self, layer):
        """For each input the order into which it must be transposed, "kept" or "canonical", or None."""
        if layer["name"] in self.vectors:
            return [None] * len(layer["inputs"])                 # which takes an image in any order
        takes_images = layer["op"] in OF_IMAGES or layer["name"] in self.images
        return [self._turn(name, takes_images) for name in layer["inputs"]]

    def _turn(self, name, takes_images):
        is_image = name in self.images
        if is_image == takes_images or not self._has_four_axes(name):
            return None
        return "kept" if takes_images else "canonical"


def flattened_images(graph, images):
    """Which layers can flatten these images without a transpose, in a framework with (height, width, channels) order.

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
    shared, results = canonical_keys(graph), output_names(graph)
    dense, vectors = {}, {}

    def follow(name, image):
        """(dense layers, vectors) that a flattened image reaches; None if one of them depends on the order."""
        if name in results:
            return None
        found_dense, found_vectors = {}, {name: image}
        for reader in readers[name]:
            if reader["op"] == "dense" and reader["parameters"][0]["key"] not in shared:
                found_dense[reader["name"]] = image
            elif reader["op"] in UNARY or reader["op"] == "flatten":
                behind = follow(reader["name"], image)
                if behind is None:
                    return None
                found_dense.update(behind[0])
                found_vectors.update(behind[1])
            else:
                return None
        return found_dense, found_vectors

    for layer in layers:
        if layer["op"] == "flatten" and layer["inputs"][0] in images:
            orders = follow(layer["name"], tuple(layer["input_shapes"][0]))
            if orders is not None:
                dense.update(orders[0])
                vectors.update(orders[1])
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
