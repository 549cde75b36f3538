"""Times the layers of a network of PyTorch modules by hooks."""

from ...tracing import GRADIENT_ADD, LOSS, OPTIMIZER


class LayerHooks:
    """Hooks that assign the time of modules, of their autograd nodes, and of the optimizer.

    The nodes of a layer are those between its output and its inputs. Module.register_full_backward_hook would miss the
    first layer, whose input has no gradient, and it breaks in-place operations.
    """

    def __init__(self, timeline, layers, optimizer, with_gradient):
        self._timeline, self._layers, self._optimizer = timeline, layers, optimizer
        self._with_gradient = with_gradient      # names of the layers with a gradient in training
        self._lasting = []       # handles of hooks on modules and optimizer
        self.forget_step()

    def __enter__(self):
        for name, module in self._layers.items():
            self._timeline.add_row((name, "forward"))
            self._lasting += self._watch_module(name, module)
        step, zero_grad = self._optimizer.step, self._optimizer.zero_grad
        self._optimizer.step = self._timeline.booked((OPTIMIZER, "update"), step)
        self._optimizer.zero_grad = self._timeline.booked((OPTIMIZER, "update"), zero_grad)
        return self

    def __exit__(self, *error):
        del self._optimizer.step, self._optimizer.zero_grad      # those of the class remain
        for handle in self._lasting:
            handle.remove()

    def forget_step(self):
        """Releases the nodes of a step; called between steps."""
        self._nodes = []         # kept, so that their ids are not reused
        self._readers = {}       # how many nodes send a gradient to each (node id, input)
        self._reached = set()    # those with more than one sender that have received a gradient

    def watched_loss(self, function):
        """The loss function, with hooks for its forward and backward time."""
        forward = self._timeline.booked((LOSS, "forward"), function)

        def call(functional, output, y):
            sources = [output.grad_fn]
            loss = forward(functional, output, y)
            self._watch_nodes(LOSS, [loss.grad_fn], sources)
            return loss

        return call

    def _watch_module(self, name, module):
        sources = []

        def before(module, inputs):
            # Before the module runs: a module that works in place turns its input into its output, including grad_fn.
            sources[:] = [tensor.grad_fn for tensor in inputs]
            self._timeline.switch((name, "forward"))

        def after(module, inputs, output):
            outputs = output if isinstance(output, tuple) else (output,)
            # By name, since a parameter that is a value requires a gradient in inference too.
            if module.training and name in self._with_gradient:
                self._timeline.switch(None)
                self._timeline.add_row((name, "backward"))
                self._watch_nodes(name, [each.grad_fn for each in outputs], sources)
            # Otherwise its row stays open until the next layer begins: values that it was the last to read are freed in
            # between, and large ones returned to the system: 7 % of ResNet-50's inference at batch 32.
            sources.clear()      # otherwise the graph of this step, with its hooks on the weights, would outlive it

        return module.register_forward_pre_hook(before), module.register_forward_hook(after)

    def _watch_nodes(self, name, last, sources):
        """Assigns the backward time of the nodes from those of ``last`` back to ``sources``, exclusive."""
        known = {id(node) for node in sources}
        waiting = list(last)
        while waiting:
            node = waiting.pop()
            if node is None or id(node) in known:
                continue
            known.add(id(node))
            self._nodes.append(node)
            edges = [(id(following), slot) for following, slot in node.next_functions if following is not None]
            for edge in edges:
                self._readers[edge] = self._readers.get(edge, 0) + 1
            waiting += [following for following, _ in node.next_functions]
            self._watch_node((name, "backward"), node, edges)

    def _watch_node(self, row, node, edges):
        sends_twice = len(set(edges)) < len(edges)

        def before(gradients):
            self._timeline.switch(row)

        def after(passed_on, gradients):
            # The engine now passes the gradients on, and adds those that are not the first at their place.
            is_added = sends_twice or not self._reached.isdisjoint(edges)
            self._timeline.switch((GRADIENT_ADD, "backward") if is_added else None)
            self._reached.update(edge for edge in edges if self._readers[edge] > 1)

        node.register_prehook(before)
        node.register_hook(after)
