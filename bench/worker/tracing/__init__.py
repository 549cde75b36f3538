"""Per-layer profiles: what adapters share to time layers in place. Part of the worker package, Python 3.6 syntax.

``timeline``  assigns the time between marks to layers, for frameworks that run a network layer by layer
``trace``     sums the kernels of a framework's own trace, for frameworks that run it as one program
``xplane``    reads the trace that TensorFlow writes, and finds the layers of an operation of its graph
``hlo``       finds the layers of an instruction of a program compiled by XLA

In the folders of frameworks: ``torch/layer_hooks`` for the time of PyTorch's modules, ``torch/inductor`` for that of
compiled kernels, ``jax/layer_owners`` for the layers of operations that JAX traced.

All return *rows*: dicts with

``layer``      the name of a layer of the graph, or one of the names below
``direction``  "forward" or, if the layer has a gradient, "backward"; "update" for the optimizer
``time_s``     seconds per step, the mean over the instrumented steps, on the device's clock if it has one
``members``    if one kernel does the work of several layers: the names of all of them, in the order of the graph,
               including that of the row. Missing for a single layer. The time is never divided among them; it belongs
               to the one with the most arithmetic. What a member does in kernels of its own is another row.
"""

LOSS, OPTIMIZER, GRADIENT_ADD = "(loss)", "(optimizer)", "(gradient add)"
"""Names of rows that are not layers of the graph; no layer has such a name.

The loss has a forward and a backward row. A gradient add, in the backward direction, sums the gradients from several
readers of one value.
"""
