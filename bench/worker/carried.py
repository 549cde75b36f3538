"""State that a network carries from step to step: inputs that take what the step before gave."""

from .graphs import carried, inputs_of, output_names
from .samples import packed, unpacked


class State(object):
    """What the last step left for the next one, as arrays of the framework; nothing before the first step."""

    def __init__(self, graph):
        pairs = carried(graph)
        self.inputs = [name for name, _ in pairs]
        names, outputs = [each["name"] for each in inputs_of(graph)], output_names(graph)
        self.places = [names.index(name) for name in self.inputs]             # among the inputs
        self.values = [outputs.index(value) for _, value in pairs]            # among the outputs
        self.arrays = ()

    def into(self, x):
        """The inputs of a step: those of the batch, of which the carried ones are replaced by what was kept."""
        if not self.arrays:
            return x
        parts = list(unpacked(x))
        for place, array in zip(self.places, self.arrays):
            parts[place] = array
        return packed(parts)

    def keep(self, arrays):
        """Keeps these arrays, one for each carried input, for the next step."""
        self.arrays = tuple(arrays)

    def of_outputs(self, outputs):
        """Those of all outputs of the network that are carried."""
        parts = unpacked(outputs) if self.values else ()
        return [parts[index] for index in self.values]

    def forget(self):
        self.arrays = ()
