"""Where the time of a step goes: what adapters share to time layers in place. The child's half, Python 3.6 syntax.

``timeline``  books time between marks, for frameworks that run a network layer by layer
``trace``     sums the kernels of a framework's own trace, for those that run it as one program
``xplane``    reads the trace that TensorFlow writes, and tells which layers an operation of its graph belongs to
``hlo``       tells which layers an instruction of a program compiled by XLA belongs to
``torch``     hooks that book the time of PyTorch's modules, ``inductor`` marks around the kernels it compiles to
``jax``       tells which layers the operations belong to that JAX traced

All give *rows*: dicts with

``layer``      a layer of the graph by its name, or one of the names below
``direction``  "forward" or, where the layer has a gradient, "backward"; of the optimizer "update"
``time_s``     seconds of one step, the mean over the instrumented ones, on the device's clock where it has one
``members``    where one kernel does the work of several layers: the names of all of them, in the graph's order, the
               row's own included. Left out for a layer by itself. The time is never split among them; it is booked to
               the one that has the most arithmetic. What else one of them does in kernels of its own is another row.
"""

LOSS, OPTIMIZER, GRADIENT_ADD = "(loss)", "(optimizer)", "(gradient add)"
"""Rows of a step's time that are no layer of the graph: no layer is named so.

The loss has a forward and a backward row. A gradient add, in the backward direction, sums what several readers of one
value send back.
"""
