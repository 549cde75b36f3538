"""Programs compiled by XLA: which layers their instructions belong to, and when each was at work on a CPU.

An instruction carries the name of the operation that it was made from (``op_name``), but XLA makes one of many, and
leaves others without a name, a strided convolution's gradient for its weight among them.
"""

import bisect
import collections
import re

from . import OPTIMIZER
from .trace import outermost

Instruction = collections.namedtuple("Instruction", "name opcode elements operands called op_name")
"""``elements`` in the result; ``operands`` and ``called`` are names, the latter of computations; ``op_name`` or ""."""

Work = collections.namedtuple("Work", "rank elements row")
"""What one operation inside an instruction does: its ``rank`` is its place in HEAVY, or beyond it."""

HEAVY = (
    {"dot", "convolution", "custom-call"},        # custom calls are matrix products and convolutions of libraries
    {"reduce-window", "select-and-scatter", "scatter", "sort"},
)
LIGHT = len(HEAVY)

# They name or arrange what others compute. A layer has no share in a kernel that merely reads its result.
NO_WORK = {
    "parameter", "constant", "tuple", "get-tuple-element", "bitcast", "bitcast-convert", "reshape", "broadcast", "iota",
    "copy", "after-all", "opt-barrier",
}

# They have no arithmetic: a layer has a share in a kernel that does this for it, but not the most of it.
MOVES = {
    "transpose", "concatenate", "slice", "pad", "reverse", "gather", "dynamic-slice", "dynamic-update-slice", "convert",
}

# Of a reduction, "to_apply" is what is done to two elements: one such computation serves the reductions of many layers.
CALLS = ("calls", "body", "branch_computations", "true_computation", "false_computation", "called_computations")


KERNELS_APART = {"XLA_FLAGS": "--xla_gpu_enable_command_buffer="}
"""Variables with which XLA launches each kernel of a GPU by itself. A trace does not tell apart those of a command
buffer, which may hold most of a step (github.com/openxla/xprof/issues/3070)."""


def layers_of(text, row_of, gradient_of=lambda op_name: None):
    """{name of an instruction: (row, members)} of a program as optimized HLO text.

    ``row_of(op_name)`` is the (layer, direction) that an operation was traced for, or None. ``row`` is the one that the
    instruction's time is booked to, or None; ``members`` the names of all layers whose work it does, ``row``'s first,
    empty for that layer alone or for none. ``gradient_of(op_name)`` tells, where an operation of the optimizer says it
    by its name, the row that the gradient it takes is computed in: what leads to the update without having a name is
    booked there.

    An instruction is booked to the heavy operation inside it, a matrix product or convolution before a pooling, the
    first one where there are several; else to the row that has the most elements to compute, where what is computed
    once more for the backward pass counts for nothing; else by its own name; else as the instructions that read it, as
    what prepares an operand is done for its reader; else as what it reads; else as the instruction that calls it.
    """
    return _Resolver(parsed(text), row_of, gradient_of).resolved()


def kernels(text):
    """Names of the instructions that each run of a program executes, those within loops and other calls left out."""
    entry = list(parsed(text).values())[-1]
    return [instruction.name for instruction in entry if instruction.opcode not in NO_WORK]


# Reading the text ------------------------------------------------------------------------------------------------

_BRACKETS_AND_COMMAS = re.compile(r'"(?:[^"\\]|\\.)*"|[()\[\]{},]')
_DIMENSIONS = re.compile(r"\w\[([<=\d,]*)\]")
_OP_NAME = re.compile(r'\bop_name="((?:[^"\\]|\\.)*)"')


def parsed(text):
    """{name of a computation: its Instructions in order}, those that are called before the ones that call them."""
    computations = collections.OrderedDict()
    current = None
    for line in text.splitlines():
        if line.startswith("}"):
            current = None
        elif line.endswith("{") and not line.startswith((" ", "HloModule")):
            name = line[len("ENTRY "):] if line.startswith("ENTRY ") else line
            current = computations.setdefault(_bare(name), [])
        elif current is not None and " = " in line:
            current.append(_instruction(line.strip()))
    return computations


def _instruction(line):
    """From "ROOT %name = f32[2,3]{1,0} opcode(%a, %b), calls=%c, metadata={op_name="d"}"."""
    name, _, rest = line.partition(" = ")
    end_of_shape = _pieces(rest, 1)[1] if rest.startswith("(") else rest.index(" ")
    begin = rest.index("(", end_of_shape)
    operands, end = _pieces(rest, begin + 1)
    opcode = rest[end_of_shape:begin].strip()
    called, op_name = [], ""
    for attribute in _pieces(rest, end + 1)[0]:
        key, _, value = attribute.partition("=")
        if key in CALLS or (key == "to_apply" and opcode == "call"):
            called += [_bare(each) for each in value.strip("{}").split(",") if each]
        elif key == "metadata":
            found = _OP_NAME.search(value)
            op_name = re.sub(r"\\(.)", r"\1", found.group(1)) if found else ""
    return Instruction(
        _bare(name), opcode, _elements(rest[:end_of_shape]),
        [] if opcode in ("constant", "parameter") else [_bare(each) for each in operands if each],
        called, op_name,
    )


def _pieces(text, begin):
    """What stands from ``begin`` to the bracket that closes there, or to the end, split at its commas; the end."""
    pieces, depth, start = [], 0, begin
    for found in _BRACKETS_AND_COMMAS.finditer(text, begin):
        mark = found.group()
        if mark in ("(", "[", "{"):
            depth += 1
        elif mark == "," and depth == 0:
            pieces.append(text[start:found.start()].strip())
            start = found.end()
        elif mark in (")", "]", "}"):
            if depth == 0:
                return [*pieces, text[start:found.start()].strip()], found.end()
            depth -= 1
    return [*pieces, text[start:].strip()], len(text)


def _bare(text):
    """The name in "%name", "f32[2]{0} %name", "/*index=5*/%name", "%name (a: f32[2]) -> f32[2] {" or "name {"."""
    text = text.partition("*/")[2] if text.startswith("/*") else text
    if "%" in text:
        return re.match(r"[^\s(){},]*", text.partition("%")[2]).group()
    words = text.partition("(")[0].replace("{", " ").split()
    return words[0] if text.endswith("{") else words[-1]


def _elements(shape):
    """How many numbers a shape holds, all parts of a tuple together."""
    total = 0
    for dimensions in _DIMENSIONS.findall(shape):
        count = 1
        for size in dimensions.replace("<=", "").split(","):
            count *= int(size or 1)
        total += count
    return total


# Finding the rows ------------------------------------------------------------------------------------------------


class _Resolver(object):
    def __init__(self, computations, row_of, gradient_of):
        self._computations = computations
        self._row_of, self._gradient_of = row_of, gradient_of
        self._works = {}           # by computation
        self._rows = {}            # by instruction, as all below
        self._members = {}
        self._helpers = set()      # of those that only do forward work, the ones without a name
        self._gradients = {}       # of what the optimizer does: the row of the gradient that it takes

    def resolved(self):
        for name in self._computations:
            self._works_in(name)
        for computation in reversed(self._computations.values()):
            for instruction in computation:
                for inner in self._inside(instruction):
                    if self._rows[inner.name] is None:
                        self._rows[inner.name] = self._rows[instruction.name]
        return {name: (row, self._members[name] if row else ()) for name, row in self._rows.items()}

    def _inside(self, instruction):
        return [inner for name in instruction.called for inner in self._computations.get(name, ())]

    def _works_in(self, name):
        """The Works of a computation, what it calls included; finds the rows of its instructions by the way."""
        if name not in self._works:
            self._works[name] = []
            computation = self._computations.get(name, [])
            by_name = {instruction.name: instruction for instruction in computation}
            works = {}
            for instruction in computation:
                works[instruction.name] = self._works_of(instruction, by_name)
                self._rows[instruction.name] = self._by_itself(instruction, works[instruction.name])
                self._gradients[instruction.name] = self._gradient_taken(instruction)
            self._by_neighbours(computation, by_name)
            for instruction in computation:
                row = self._rows[instruction.name]
                # A heavy operation without a name has now found its row among its neighbours.
                found = [
                    work._replace(row=work.row or row) if work.rank < LIGHT else work
                    for work in works[instruction.name]
                ]
                self._members[instruction.name] = _members(row, found)
                self._works[name] += found
        return self._works[name]

    def _works_of(self, instruction, by_name):
        if instruction.called:
            return [work for name in instruction.called for work in self._works_in(name)]
        if instruction.opcode in NO_WORK:
            return []
        rank = next((rank for rank, opcodes in enumerate(HEAVY) if instruction.opcode in opcodes), LIGHT)
        elements = 0 if instruction.opcode in MOVES else instruction.elements
        if instruction.opcode == "reduce":
            elements = max([elements, *(by_name[each].elements for each in instruction.operands if each in by_name)])
        return [Work(rank, elements, self._row_of(instruction.op_name))]

    def _by_itself(self, instruction, works):
        """The row that an instruction tells without its neighbours, None if it does not."""
        rank = min([work.rank for work in works], default=LIGHT)
        if rank < LIGHT:
            return next((work.row for work in works if work.rank == rank and work.row), None)
        own = self._row_of(instruction.op_name)
        named = [work for work in works if work.row]
        if named:
            is_forward = all(work.row[1] == "forward" for work in named)
            if is_forward and own is None:
                self._helpers.add(instruction.name)
            elements = collections.Counter()
            for work in named:
                if (work.row[1] == "forward") == is_forward:
                    elements[work.row] += work.elements
            return max(elements, key=lambda row: (elements[row], row == own))
        return own or next(filter(None, (self._row_of(each.op_name) for each in self._inside(instruction))), None)

    def _gradient_taken(self, instruction):
        named = [instruction, *self._inside(instruction)]
        return next(filter(None, (self._gradient_of(each.op_name) for each in named)), None)

    def _by_neighbours(self, computation, by_name):
        users = collections.defaultdict(list)
        for instruction in computation:
            for operand in instruction.operands:
                users[operand].append(instruction.name)
        given = set()              # parameters, and what only hands them on
        for instruction in computation:
            if instruction.opcode == "parameter" or (
                instruction.opcode in NO_WORK and given.issuperset(instruction.operands)
            ):
                given.add(instruction.name)

        def of_users(instruction):
            rows = [(self._rows[user], self._gradients[user]) for user in users[instruction.name] if self._rows[user]]
            updates = [row for row, _ in rows if row[0] == OPTIMIZER]
            if instruction.name in given:
                # Weights are copied because the update writes over them, whoever else reads the copy.
                return next(iter(updates), None) or next((row for row, _ in rows), None)
            return next(filter(None, (gradient if row in updates else row for row, gradient in rows)), None)

        def of_operands(instruction):
            operands = [each for each in instruction.operands if each in by_name]
            return next(filter(None, (self._rows[each] for each in operands)), None)

        def only_prepares_the_backward_pass(instruction):
            """Whether XLA made it, without a name, to compute forward results once more in another order."""
            directions = {self._rows[user][1] for user in users[instruction.name] if self._rows[user]}
            return instruction.name in self._helpers and directions and "forward" not in directions

        # Instructions stand in an order in which they can run, so that one pass carries a row to the end of a chain.
        backwards = computation[::-1]
        for order, ask in ((backwards, of_users), (computation, of_operands), (backwards, of_users)):
            for instruction in order:
                row = self._rows[instruction.name]
                if row is None or (ask is of_users and only_prepares_the_backward_pass(instruction)):
                    self._rows[instruction.name] = ask(instruction) or row


def _members(row, works):
    """The names of the layers that have work in an instruction booked to a row."""
    if row is None:
        return ()
    is_forward = row[1] == "forward"
    others = [work.row[0] for work in works if work.row and (work.row[1] == "forward") == is_forward]
    names = tuple(collections.OrderedDict.fromkeys([row[0], *others]))
    return names if len(names) > 1 else ()


# When they were at work ------------------------------------------------------------------------------------------

# A piece of work of XLA's thread pool: when it was handed to the pool, began and ended.
_HANDED_IN, _BEGIN, _END = ["ThreadpoolListener::" + name for name in ("Record", "StartRegion", "StopRegion")]


def spans(lines, module):
    """[(begin, end, instruction)]: when the outermost instructions of a module were at work, on all threads together.

    ``lines`` has the events of each thread of a CPU as the trace tells them, (begin, end, name, stats). An event of an
    instruction ends when the instruction has handed its work to the thread pool. The pieces of that work are events of
    their own, with the number under which they were handed in; what instructions do within a piece is not part of it.
    """
    found, pieces, handed_in = [], [], {}
    for line in lines:
        own = outermost((begin, end, stats["hlo_op"]) for begin, end, _, stats in line if is_of(module, stats))
        found += own
        begins = [span[0] for span in own]
        piece = None
        for begin, _, name, stats in sorted(line, key=lambda event: event[0]):
            if name == _BEGIN:
                piece = (begin, stats.get("_c"))
            elif name == _END and piece:
                pieces.append((piece[0], begin, piece[1], own, begins))
                piece = None
            elif name == _HANDED_IN:
                before = bisect.bisect_right(begins, begin) - 1
                runs = before >= 0 and begin <= own[before][1]
                handed_in[stats.get("_p")] = (own[before][2] if runs else None, piece and piece[1])
    for begin, end, number, own, begins in pieces:
        instruction, outer = handed_in.get(number, (None, None))
        while instruction is None and outer in handed_in:        # by a piece that had been handed in itself
            instruction, outer = handed_in[outer]
        if instruction is not None:
            found += [(from_, to, instruction) for from_, to in _between(begin, end, own, begins)]
    return found


def lack(lines, modules, steps, owners, kernels):
    """What a trace lacks of so many steps of a program with these modules and instructions, "holds ..."; None: nothing.

    ``owners`` are what layers_of gives, ``kernels`` the names of what each run executes.
    """
    counts = collections.Counter(
        stats["hlo_op"] for line in lines for _, _, _, stats in line if any(is_of(each, stats) for each in modules)
    )
    if not counts:
        return "holds no operation of the step"
    strange = [name for name in counts if name not in owners]
    if strange:
        return "holds '%s', which the program has not" % strange[0]
    name = min(kernels, key=lambda name: counts[name])
    if counts[name] < steps:
        return "holds %d of %d runs of '%s'" % (counts[name], steps, name)
    return None


def is_of(module, stats):
    """Whether an event with these stats is one of an instruction of this module."""
    return stats.get("hlo_module") == module and "hlo_op" in stats


def _between(begin, end, spans, begins):
    """The parts of a time in which none of these spans was."""
    for span in spans[max(bisect.bisect_right(begins, begin) - 1, 0):bisect.bisect_left(begins, end)]:
        if begin < span[0]:
            yield begin, span[0]
        begin = max(begin, span[1])
    if begin < end:
        yield begin, end
