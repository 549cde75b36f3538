"""Programs compiled by XLA: which layers their instructions belong to, and when each of them ran on a CPU.

An instruction has the name of the operation that it was made from (``op_name``), but XLA fuses many operations into
one, and leaves others without a name, for example the weight gradient of a strided convolution.
"""

import bisect
import collections
import re

from . import OPTIMIZER
from .trace import outermost

Instruction = collections.namedtuple("Instruction", "name opcode elements operands called op_name")
"""``elements`` is the size of the result; ``operands`` and ``called`` are names, the latter those of computations;
``op_name`` may be ""."""

Work = collections.namedtuple("Work", "rank elements row")
"""The work of one operation inside an instruction; ``rank`` is its position in HEAVY, or beyond."""

HEAVY = (
    {"dot", "convolution", "custom-call"},        # custom calls: matrix products and convolutions of libraries
    {"reduce-window", "select-and-scatter", "scatter", "sort"},
)
LIGHT = len(HEAVY)

# These only name or arrange values. A layer has no share in a kernel that merely reads its result.
NO_WORK = {
    "parameter", "constant", "tuple", "get-tuple-element", "bitcast", "bitcast-convert", "reshape", "broadcast", "iota",
    "copy", "after-all", "opt-barrier",
}

# These have no arithmetic: they give a layer a share in a kernel, but not the main share.
MOVES = {
    "transpose", "concatenate", "slice", "pad", "reverse", "gather", "dynamic-slice", "dynamic-update-slice", "convert",
}

# "to_apply" of a reduction is the operation on two elements; reductions of many layers share one such computation.
CALLS = ("calls", "body", "branch_computations", "true_computation", "false_computation", "called_computations")


KERNELS_APART = {"XLA_FLAGS": "--xla_gpu_enable_command_buffer="}
"""Variables with which XLA launches every GPU kernel separately. A trace does not distinguish the kernels of a command
buffer, which may contain most of a step (github.com/openxla/xprof/issues/3070)."""


def layers_of(text, row_of, gradient_of=lambda op_name: None):
    """{name of an instruction: (row, members)} for a program in the form of optimized HLO text.

    ``row_of(op_name)`` returns the (layer, direction) of an operation, or None. ``row`` is the row to which the time of
    the instruction is assigned, or None; ``members`` are the names of all layers whose work it does, that of ``row``
    first, empty for a single layer or none. ``gradient_of(op_name)`` returns, for an operation of the optimizer whose
    name states it, the row in which its gradient is computed: nameless instructions that lead to the update belong to
    that row.

    An instruction belongs to the heavy operation inside it, a matrix product or convolution before a pooling, and the
    first of several; else to the row with the most computed elements, not counting what is recomputed for the backward
    pass; else it is assigned by its own name; else like the instructions that read it, since preparing an operand is
    done for its reader; else like what it reads; else like the instruction that calls it.
    """
    return _Resolver(parsed(text), row_of, gradient_of).resolved()


def kernels(text):
    """The names of the instructions that every run of a program executes, without those in loops and other calls."""
    entry = list(parsed(text).values())[-1]
    return [instruction.name for instruction in entry if instruction.opcode not in NO_WORK]


# Reading the text ------------------------------------------------------------------------------------------------

_BRACKETS_AND_COMMAS = re.compile(r'"(?:[^"\\]|\\.)*"|[()\[\]{},]')
_DIMENSIONS = re.compile(r"\w\[([<=\d,]*)\]")
_OP_NAME = re.compile(r'\bop_name="((?:[^"\\]|\\.)*)"')


def parsed(text):
    """{name of a computation: its Instructions in order}; called computations come before their callers."""
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
    """The Instruction in a line: "ROOT %name = f32[2,3]{1,0} opcode(%a, %b), calls=%c, metadata={op_name="d"}"."""
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
            match = _OP_NAME.search(value)
            op_name = re.sub(r"\\(.)", r"\1", match.group(1)) if match else ""
    return Instruction(
        _bare(name), opcode, _elements(rest[:end_of_shape]),
        [] if opcode in ("constant", "parameter") else [_bare(each) for each in operands if each],
        called, op_name,
    )


def _pieces(text, begin):
    """(the text from ``begin`` to the closing bracket or the end, split at its commas; the position of that end)."""
    pieces, depth, start = [], 0, begin
    for match in _BRACKETS_AND_COMMAS.finditer(text, begin):
        mark = match.group()
        if mark in ("(", "[", "{"):
            depth += 1
        elif mark == "," and depth == 0:
            pieces.append(text[start:match.start()].strip())
            start = match.end()
        elif mark in (")", "]", "}"):
            if depth == 0:
                return [*pieces, text[start:match.start()].strip()], match.end()
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
    """The number of elements of a shape, of all parts of a tuple together."""
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
        self._rows = {}            # by instruction, like everything below
        self._members = {}
        self._helpers = set()      # nameless instructions that only do forward work
        self._gradients = {}       # for operations of the optimizer: the row of their gradient

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
        """The Works of a computation including what it calls; also finds the rows of its instructions."""
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
                # By now the row of a nameless heavy operation is known from its neighbours.
                placed = [
                    work._replace(row=work.row or row) if work.rank < LIGHT else work
                    for work in works[instruction.name]
                ]
                self._members[instruction.name] = _members(row, placed)
                self._works[name] += placed
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
        """The row of an instruction without looking at its neighbours; None if it is not known."""
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
        given = set()              # parameters, and instructions that only pass them on
        for instruction in computation:
            if instruction.opcode == "parameter" or (
                instruction.opcode in NO_WORK and given.issuperset(instruction.operands)
            ):
                given.add(instruction.name)

        def of_users(instruction):
            rows = [(self._rows[user], self._gradients[user]) for user in users[instruction.name] if self._rows[user]]
            updates = [row for row, _ in rows if row[0] == OPTIMIZER]
            if instruction.name in given:
                # Weights are copied because the update overwrites them, whoever else reads the copy.
                return next(iter(updates), None) or next((row for row, _ in rows), None)
            return next(filter(None, (gradient if row in updates else row for row, gradient in rows)), None)

        def of_operands(instruction):
            operands = [each for each in instruction.operands if each in by_name]
            return next(filter(None, (self._rows[each] for each in operands)), None)

        def only_prepares_the_backward_pass(instruction):
            """Whether XLA made this nameless instruction to recompute forward results in another order."""
            directions = {self._rows[user][1] for user in users[instruction.name] if self._rows[user]}
            return instruction.name in self._helpers and directions and "forward" not in directions

        # Instructions are in an order in which they can run, so one pass propagates a row to the end of a chain.
        backwards = computation[::-1]
        for order, ask in ((backwards, of_users), (computation, of_operands), (backwards, of_users)):
            for instruction in order:
                row = self._rows[instruction.name]
                if row is None or (ask is of_users and only_prepares_the_backward_pass(instruction)):
                    self._rows[instruction.name] = ask(instruction) or row


def _members(row, works):
    """The names of the layers that have work in an instruction assigned to a row."""
    if row is None:
        return ()
    is_forward = row[1] == "forward"
    others = [work.row[0] for work in works if work.row and (work.row[1] == "forward") == is_forward]
    names = tuple(collections.OrderedDict.fromkeys([row[0], *others]))
    return names if len(names) > 1 else ()


# When instructions ran ------------------------------------------------------------------------------------------

# A piece of work of XLA's thread pool: when it was submitted, when it began and when it ended.
_HANDED_IN, _BEGIN, _END = ["ThreadpoolListener::" + name for name in ("Record", "StartRegion", "StopRegion")]


def spans(lines, module):
    """[(begin, end, instruction)]: when the outermost instructions of a module ran, on all threads together.

    ``lines`` has the events of each CPU thread in the trace, (begin, end, name, stats). The event of an instruction
    ends when it has submitted its work to the thread pool. The pieces of that work are separate events with the number
    of their submission; instructions within a piece are not part of it.
    """
    ran, pieces, handed_in = [], [], {}
    for line in lines:
        own = outermost((begin, end, stats["hlo_op"]) for begin, end, _, stats in line if is_of(module, stats))
        ran += own
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
            ran += [(from_, to, instruction) for from_, to in _between(begin, end, own, begins)]
    return ran


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
