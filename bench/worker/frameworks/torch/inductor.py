"""Layers of a network compiled by PyTorch's Inductor, timed in place by marks around its kernels."""

import re

from ...tracing import GRADIENT_ADD

# Inductor's comment before the call of a kernel: its name and the number of the call. "stream0 = ..." may lie between.
_KERNEL_CALL = re.compile(
    r"^( *)# \[Provenance debug handles\] ((\S+):\d+)\n((?:.*\n){0,2}?.*\b\3(?:\.run)?\(.*)$", re.MULTILINE
)


def tells_kernels_apart():
    """Whether this PyTorch's Inductor can tell what each kernel does the work of, as it does from 2.9 on."""
    from torch._inductor import config

    return hasattr(config.trace, "provenance_tracking_level")


class MarkedInductor:
    """The network compiled by Inductor, with marks around the calls of its kernels.

    A compilation of its own, in which Inductor is to tell the nodes of the graph that each kernel does the work of. The
    kernels are those of the plain program, and mostly from Inductor's cache; only the Python code that calls one after
    the other has marks.
    """

    def __init__(self, torch, network, names):
        self._names = names              # of the layers, as the network has them
        self._members = {}               # row -> names of all layers whose work its kernels do
        self._unmarked = []              # names of kernels
        self._timeline = None
        self._network = torch.compile(network, dynamic=False, fullgraph=True, backend=self._compile)

    def bound(self, timeline):
        """The network, whose kernels book their time here from now on."""
        self._timeline = timeline
        return self._network

    def told(self, found):
        """What ``layer_times`` returns, from what the timeline found."""
        for row in found["layers"]:
            members = self._members.get((row["layer"], row["direction"]), ())
            if len(members) > 1:
                row["members"] = sorted(members, key=self._names.index)
        if self._unmarked:
            found["problem"] = (
                f"kernels of Inductor's program that could not be timed: {len(self._unmarked)}, '{self._unmarked[0]}' "
                "among them; what they do is in no row"
            )
        return found

    def _compile(self, module, inputs):
        from torch._inductor.compile_fx import compile_fx

        # A program from the cache comes without the graph that it was made of.
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
            return program               # nothing is to be done in it, or its calls are C++ code
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
    """The function that Inductor wrote, exchanged for ``make`` of it.

    On a GPU another may stand around it, which aligns inputs and calls it by the name of "model"; that one stays.
    """
    names = function.__code__.co_freevars
    if "model" not in names:
        return make(function)
    cell = function.__closure__[names.index("model")]
    cell.cell_contents = exchanged(cell.cell_contents, make)
    return function


def booked(kernels, nodes, names):
    """{kernel: (layer, members)}: what its time is booked to and the names of all layers whose work it does.

    The layer may be GRADIENT_ADD, and None for what is nobody's; of both there are no members. ``kernels`` are
    Inductor's, in order: {"name:call": names of nodes}. ``nodes`` are those of the graph that they were made of, in
    order, and ``names`` the layers as the network has them.
    """
    place = {node.name: index for index, node in enumerate(nodes)}
    listed = {kernel: sorted(place[name] for name in of if name in place) for kernel, of in kernels.items()}
    # The kernels of a library have a dotted name, "extern_kernels.mm". Each does the last of its nodes; in the others
    # its operands were computed. The kernels that did so list that node as well, whose layout they gave to it.
    of_libraries = {kernel: of[-1:] for kernel, of in listed.items() if "." in kernel}
    not_fused = {index for of in of_libraries.values() for index in of}
    found, seen = {}, set()
    for kernel, of in listed.items():
        work = {}
        for index in of_libraries.get(kernel) or [index for index in of if index not in not_fused]:
            # What an earlier kernel lists may only be read here, if this one lists more than that.
            count = _work(nodes[index])
            if count is not None:
                layer = _layer_of(nodes[index], names)
                work.setdefault(layer, []).append((0, 0, 0) if index in seen else count)
        seen.update(of)
        members = [layer for layer in work if layer in names]
        # Of equals the last, into which the others were fused.
        most = max(reversed(members), key=lambda layer: tuple(map(sum, zip(*work[layer]))), default=None)
        found[kernel] = most or (GRADIENT_ADD if GRADIENT_ADD in work else None), members
    return found


def _layer_of(node, names):
    """The layer that a node of the forward or backward graph belongs to, GRADIENT_ADD, or None."""
    if node.meta.get("is_gradient_acc"):
        return GRADIENT_ADD
    for key in ("nn_module_stack", "fwd_nn_module_stack"):
        for path, _ in (node.meta.get(key) or {}).values():
            index = re.search(r"\blayers\W+(\d+)", path)
            if index:
                return names[int(index.group(1))]
    # A weight, or what a pass of Inductor put in, is there for the one that reads it.
    return next((layer for layer in (_layer_of(user, names) for user in node.users) if layer is not None), None)


_HEAVY = re.compile("mm|conv|pool|scatter|sort")             # many operations for each value
_MOVES = ("cat", "clone", "constant_pad_nd", "permute")      # a layer's work, but no arithmetic


def _work(node):
    """(values that heavy operations take, values that any take, values moved); None where nothing is done."""
    moved = max(_elements(node), sum(map(_elements, node.all_input_nodes)))
    name = getattr(node.target, "__name__", "").partition(".")[0]
    if name in _MOVES or node.op == "placeholder":           # as such one is listed where its layout is changed
        return 0, 0, moved
    # Scalars are constants, shared by all that use them, and batch_norm's count of batches. "getitem" has no is_view.
    if getattr(node.target, "is_view", True) or not _elements(node):
        return None
    return moved if _HEAVY.search(name) else 0, moved, moved


def _elements(node):
    """How many values a node gives, all its results together; 0 for a scalar."""
    value = node.meta.get("val")
    results = value if isinstance(value, (list, tuple)) else [value]
    return sum(result.numel() for result in results if getattr(result, "ndim", 0))
