"""Times the layers of a network that PyTorch's Inductor compiled, by marks around its kernels."""

import re

from ...tracing import GRADIENT_ADD

# Inductor's comment before the call of a kernel: its name and the number of the call. "stream0 = ..." may be between.
_KERNEL_CALL = re.compile(
    r"^( *)# \[Provenance debug handles\] ((\S+):\d+)\n((?:.*\n){0,2}?.*\b\3(?:\.run)?\(.*)$", re.MULTILINE
)


def tells_kernels_apart():
    """Whether this PyTorch's Inductor can list the nodes that each kernel computes, as since 2.9."""
    from torch._inductor import config

    return hasattr(config.trace, "provenance_tracking_level")


class MarkedInductor:
    """The network compiled by Inductor, with marks around the calls of its kernels.

    In this separate compilation, Inductor lists the nodes of the graph that each kernel computes. The kernels
    are those of the plain program, and mostly from Inductor's cache; only the Python code that calls them has marks.
    """

    def __init__(self, torch, network, names):
        self._names = names              # of the layers in the network
        self._members = {}               # row -> names of all layers whose work its kernels do
        self._unmarked = []              # names of kernels
        self._timeline = None
        self._network = torch.compile(network, dynamic=False, fullgraph=True, backend=self._compile)

    def bound(self, timeline):
        """The network; from now on, the times of its kernels are assigned in this timeline."""
        self._timeline = timeline
        return self._network

    def told(self, profile):
        """The result of ``layer_times``, from the times in the timeline."""
        for row in profile["layers"]:
            members = self._members.get((row["layer"], row["direction"]), ())
            if len(members) > 1:
                row["members"] = sorted(members, key=self._names.index)
        if self._unmarked:
            profile["problem"] = (
                f"kernels of Inductor's program that could not be timed: {len(self._unmarked)}, '{self._unmarked[0]}' "
                "among them; what they do is in no row"
            )
        return profile

    def _compile(self, module, inputs):
        from torch._inductor.compile_fx import compile_fx

        # A program from the cache comes without its graph.
        options = {"trace.provenance_tracking_level": 1, "fx_graph_cache": False}
        return compile_fx(module, inputs, inner_compile=self._compile_pass, config_patches=options)

    def _compile_pass(self, module, inputs, **settings):
        """Inductor's program of the forward or of the backward pass, with marks."""
        from torch._inductor import debug
        from torch._inductor.compile_fx import compile_fx_inner

        with debug.reset_provenance_globals():
            program = compile_fx_inner(module, inputs, **settings)
            kernels = dict(debug._inductor_triton_kernel_to_post_grad_node_info)
        _, end_of_kernels, calls = getattr(program, "source_code", "").partition("del async_compile\n")
        self._unmarked += sorted(kernels.keys() - {match.group(2) for match in _KERNEL_CALL.finditer(calls)})
        if not end_of_kernels:
            return program               # it has no kernels, or its calls are C++ code
        rows = {}
        direction = "backward" if settings.get("is_backward") else "forward"
        for kernel, (layer, members) in booked(kernels, list(module.graph.nodes), self._names).items():
            rows[kernel] = None if layer is None else (layer, direction)
            self._members.setdefault(rows[kernel], set()).update(members)

        def marked(function):
            namespace = dict(function.__globals__)
            namespace["_switch"] = lambda kernel: self._timeline.switch(rows.get(kernel))
            exec(_KERNEL_CALL.sub(r"\1_switch('\2')\n\4\n\1_switch(None)", calls), namespace)
            return namespace["call"]

        program.current_callable = exchanged(program.current_callable, marked)
        return program


def exchanged(function, make):
    """Replaces the function that Inductor wrote by ``make`` of it.

    On a GPU another function may wrap it, which aligns inputs and calls it by the name "model"; that one is kept.
    """
    names = function.__code__.co_freevars
    if "model" not in names:
        return make(function)
    cell = function.__closure__[names.index("model")]
    cell.cell_contents = exchanged(cell.cell_contents, make)
    return function


def booked(kernels, nodes, names):
    """{kernel: (layer, members)}: the layer to which its time is assigned, and all layers whose work it does.

    The layer may be GRADIENT_ADD, or None for no layer; both have no members. ``kernels`` are those of Inductor in
    order: {"name:call": names of nodes}. ``nodes`` are those of the graph in order, and ``names`` the layers of the
    network.
    """
    place = {node.name: index for index, node in enumerate(nodes)}
    listed = {kernel: sorted(place[name] for name in of if name in place) for kernel, of in kernels.items()}
    # The kernels of a library have a dotted name, "extern_kernels.mm". Each computes the last of its nodes; the others
    # are its operands. The kernels that computed these list that node as well, since they chose its layout.
    of_libraries = {kernel: of[-1:] for kernel, of in listed.items() if "." in kernel}
    not_fused = {index for of in of_libraries.values() for index in of}
    by_kernel, seen = {}, set()
    for kernel, of in listed.items():
        work = {}
        for index in of_libraries.get(kernel) or [index for index in of if index not in not_fused]:
            # Nodes that an earlier kernel lists may only be read here, if this one lists more nodes.
            count = _work(nodes[index])
            if count is not None:
                layer = _layer_of(nodes[index], names)
                work.setdefault(layer, []).append((0, 0, 0) if index in seen else count)
        seen.update(of)
        members = [layer for layer in work if layer in names]
        # The last of equal ones, into which the others were fused.
        most = max(reversed(members), key=lambda layer: tuple(map(sum, zip(*work[layer]))), default=None)
        by_kernel[kernel] = most or (GRADIENT_ADD if GRADIENT_ADD in work else None), members
    return by_kernel


def _layer_of(node, names):
    """The layer of a node of the forward or backward graph, GRADIENT_ADD, or None."""
    if node.meta.get("is_gradient_acc"):
        return GRADIENT_ADD
    for key in ("nn_module_stack", "fwd_nn_module_stack"):
        for path, _ in (node.meta.get(key) or {}).values():
            index = re.search(r"\blayers\W+(\d+)", path)
            if index:
                return names[int(index.group(1))]
    # A weight, or a node from a pass of Inductor, belongs to its reader.
    return next((layer for layer in (_layer_of(user, names) for user in node.users) if layer is not None), None)


_HEAVY = re.compile("mm|conv|pool|scatter|sort")             # many operations for each value
_MOVES = ("cat", "clone", "constant_pad_nd", "permute")      # work of a layer, but not arithmetic


def _work(node):
    """(inputs of heavy operations, inputs of all operations, values moved); None if there is no work."""
    moved = max(_elements(node), sum(map(_elements, node.all_input_nodes)))
    name = getattr(node.target, "__name__", "").partition(".")[0]
    if name in _MOVES or node.op == "placeholder":           # a placeholder is listed if its layout is changed
        return 0, 0, moved
    # Scalars are constants, shared by all that use them, and batch_norm's count of batches. "getitem" has no is_view.
    if getattr(node.target, "is_view", True) or not _elements(node):
        return None
    return moved if _HEAVY.search(name) else 0, moved, moved


def _elements(node):
    """The number of values of all results of a node; 0 for a scalar."""
    value = node.meta.get("val")
    results = value if isinstance(value, (list, tuple)) else [value]
    return sum(result.numel() for result in results if getattr(result, "ndim", 0))
