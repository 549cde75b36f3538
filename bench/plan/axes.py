"""The axes of a case, one row each: how values are named on the command line, headed, said, stored and grouped.

Whatever lists axes (columns of tables, options, labels, what may be compared) is made from these rows. So an axis is
added as a row here, as a field of bench.plan.case.Case and of bench.store.stored.Case, and where its meaning is used;
see docs/add-an-axis.md.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import MISSING, dataclass, field, fields
from enum import StrEnum
from typing import Any, get_type_hints

from rigmark.bench import datasets
from rigmark.bench.devices import Device
from rigmark.bench.document import formatting
from rigmark.bench.document.language import tr, tr_later
from rigmark.bench.enums import CompileMode, Implementation, Isa, Layout, Mode, Precision, Setting
from rigmark.bench.errors import UserError, unknown
from rigmark.bench.ir.training import LOSSES, OWN, optimizer_of
from rigmark.bench.plan.case import Case
from rigmark.bench.plan.reference import is_reference
from rigmark.bench.worker import strategies

USUAL = "usual"              # the strategy that a framework's users know best

BUILD_FACTS = ("python", "framework_version", "packages", "variables", "adapter")
"""What a record knows of a build; the column ``build_facts`` of trials holds all of them."""

DEFAULTS: Mapping[str, Any] = {each.name: each.default for each in fields(Case)}     # MISSING: it must be said
TYPES: Mapping[str, type] = {name: kind for name, kind in get_type_hints(Case).items() if name in DEFAULTS}


@dataclass(frozen=True, kw_only=True)
class Swept:
    """Values that a sweep declares: of an axis of its cases, or of something that one follows from."""

    name: str                            # the field of Sweep: "precisions"
    option: str                          # of rigmark run, ab and noise
    what: str                            # one of them in a sentence: "instruction set"
    types: tuple[type, ...] = (str,)     # that one of them may have
    words: Mapping[str, Any] = field(default_factory=dict)       # on the command line, for what no type can say
    names: Callable[[], Collection[str]] | None = None           # that there are of these; None: any
    check: Callable[[str], object] | None = None                 # raises ValueError for what there is not of others
    brings: Callable[[str], bool] | None = None      # whether a text means something that is not known by name
    is_of_suite: bool = True             # an option limits a suite to these; else it replaces what the suite has
    is_single: bool = False              # a sweep has one of them, and no tuple

    @property
    def word(self) -> str:
        """The option as a word of a program: "compile_mode"."""
        return self.option.removeprefix("--").replace("-", "_")

    def check_types(self, values: Any) -> None:
        """Raises UserError for a value of another type, such as a text that stands for one."""
        if not self.is_single and not isinstance(values, tuple):
            meant = ", ".join(map(_written, values if isinstance(values, list | range | set) else (values,)))
            raise UserError(f"{self.name} of a sweep are a tuple; write {self.name}=({meant},)")
        for value in (values,) if self.is_single else values:
            if type(value) not in self.types and value not in self.words.values():
                members = [member for kind in self.types for member in getattr(kind, "__members__", {}).values()]
                known = f"; known: {', '.join(map(_written, members))}" if members else ""
                kinds = " or ".join(kind.__name__ for kind in self.types)
                raise UserError(f"{_written(value)} in {self.name} of a sweep is not of type {kinds}{known}")

    def check_names(self, values: Any) -> None:
        """Raises UnknownName for what nothing is called, and UserError for a name of another axis."""
        if (check := self.check) is not None:
            try:
                for value in set(values) - set(self.words.values()):
                    check(value)
            except ValueError as error:
                raise UserError(str(error)) from None
        if self.names is None:
            return
        known = self.names()
        for value in values:
            if value not in known and value not in self.words.values() and not (self.brings and self.brings(value)):
                for other in SWEPT.values():
                    if other.names is not None and value in other.names():
                        raise UserError(f"'{value}' is no {self.what} but a {other.what}; name it with {other.option}, "
                                        f"or as {other.name} of a sweep")
                raise unknown(self.what, value, known)


def _written(value: Any) -> str:
    """As a suite writes it: "Precision.BF16", "'torch'"."""
    return f"{type(value).__name__}.{value.name}" if isinstance(value, StrEnum) else repr(value)


@dataclass(frozen=True, kw_only=True)
class Axis:
    """A field of a case, which is a column of trials and results too."""

    name: str
    title: str                           # heads its column: "compile mode"
    said: str = "{}"                     # a value in a list of facts, where it needs words: "batch {}"
    noun: str = ""                       # of what a value is a count: "thread", for 1 thread and 2 threads
    swept: Swept
    is_condition: bool = False           # equal among results that may be compared; else a group of them varies it
    is_of_world: bool = False            # how devices share the work, and how much each has
    is_named: bool = False               # a short name of a case has its value, with no word before it
    is_sent: bool = False                # among the settings of an adapter in a worker
    goes_unsaid: bool = False            # its default is not mentioned among facts
    covers: tuple[str, ...] = ()         # facts that cannot but differ where it does

    @property
    def type(self) -> type:
        return TYPES[self.name]

    @property
    def default(self) -> Any:
        """What a case has unless it says otherwise; dataclasses.MISSING where each case says it."""
        return DEFAULTS[self.name]

    @property
    def is_number(self) -> bool:
        return self.type is int

    def says(self, value: Any) -> bool:
        """Whether a value is worth a mention."""
        return not self.goes_unsaid or value != self.default

    def words(self, value: Any) -> str:
        """A value among other facts: "batch 32", "fp32", "2 threads"."""
        if self.noun:
            return formatting.count(value, self.noun)
        return str(value) if value == Isa.NATIVE else tr(self.said).format(value)      # which holds to nothing


# NumPy comes with these, and --help waits for none.


def _models() -> Collection[str]:
    from rigmark.bench import models

    return models.NAMES


def _microbenchmarks() -> Collection[str]:
    from rigmark.bench.worker import microbenchmarks

    names: Collection[str] = microbenchmarks.NAMES
    return names


def _frameworks() -> Collection[str]:
    from rigmark.bench.worker import frameworks

    names: Collection[str] = frameworks.NAMES
    return names


AXES = (
    Axis(
        name="model", title=tr_later("model"), is_condition=True, is_named=True, covers=("graph_fingerprint",),
        swept=Swept(name="models", option="--model", what="model", names=_models, brings=is_reference),
    ),
    Axis(
        name="mode", title=tr_later("mode"), is_condition=True, is_named=True, is_sent=True,
        swept=Swept(name="modes", option="--mode", what="mode", types=(Mode,)),
    ),
    Axis(
        name="framework", title=tr_later("framework"), is_named=True,
        covers=(*BUILD_FACTS, "compile_mode", "layout", "strategy", "devices_per_process"),
        swept=Swept(name="frameworks", option="--framework", what="framework", names=_frameworks),
    ),
    Axis(
        name="implementation", title=tr_later("implementation"), said=tr_later("as written"), is_sent=True,
        goes_unsaid=True, covers=("adapter", "compile_mode", "layout"),
        swept=Swept(name="implementations", option="--implementation", what="implementation", types=(Implementation,),
                    words={USUAL: None}, is_of_suite=False),
    ),
    Axis(
        name="build", title=tr_later("build"), said=tr_later("{} build"), goes_unsaid=True, covers=BUILD_FACTS,
        swept=Swept(name="builds", option="--build", what="build", is_of_suite=False),
    ),
    Axis(
        name="compile_mode", title=tr_later("compile mode"), is_named=True, is_sent=True, covers=("variables",),
        swept=Swept(name="compile_modes", option="--compile-mode", what="compile mode", types=(Setting, CompileMode)),
    ),
    Axis(
        name="layout", title=tr_later("layout"), is_named=True, is_sent=True,
        swept=Swept(name="layouts", option="--layout", what="layout", types=(Setting, Layout)),
    ),
    Axis(
        name="strategy", title=tr_later("strategy"), is_of_world=True, goes_unsaid=True, covers=("adapter",),
        swept=Swept(
            name="strategies", option="--strategy", what="strategy", names=lambda: (USUAL, *strategies.NAMES),
        ),
    ),
    Axis(
        name="devices_per_process", title=tr_later("devices per process"), is_of_world=True, goes_unsaid=True,
        said=tr_later("{} devices per process"),
        swept=Swept(name="devices_per_process", option="--devices-per-process", what="devices per process",
                    types=(int,), words={"usual": None}, is_of_suite=False, is_single=True),
    ),
    Axis(
        name="local_batch", title=tr_later("batch"), said=tr_later("batch {}"), is_condition=True, is_of_world=True,
        swept=Swept(name="local_batches", option="--batch", what="batch", types=(int,)),
    ),
    Axis(
        name="prompt_length", title=tr_later("prompt"), said=tr_later("prompt of {}"), is_condition=True,
        goes_unsaid=True,
        swept=Swept(name="prompt_lengths", option="--prompt-length", what="prompt length", types=(int,)),
    ),
    Axis(
        name="generated_length", title=tr_later("generated"), said=tr_later("{} generated"), is_condition=True,
        goes_unsaid=True,
        swept=Swept(name="generated_lengths", option="--generated-length", what="generated length", types=(int,)),
    ),
    Axis(
        name="world_size", title=tr_later("devices"), noun="device", is_condition=True, is_of_world=True,
        goes_unsaid=True,
        covers=("variables", "local_batch", "strategy", "devices_per_process", "oversubscribed"),
        swept=Swept(name="world_sizes", option="--world-size", what="world size", types=(int,)),
    ),
    Axis(
        name="oversubscribed", title=tr_later("oversubscribed"), said=tr_later("oversubscribed"), is_condition=True,
        is_of_world=True, goes_unsaid=True,
        swept=Swept(name="oversubscribe", option="--oversubscribe", what="oversubscription", types=(bool,),
                    is_of_suite=False, is_single=True),
    ),
    Axis(
        name="data", title=tr_later("data"), said=tr_later("{} data"), is_condition=True,
        swept=Swept(name="data", option="--data", what="data", names=lambda: datasets.NAMES),
    ),
    Axis(
        name="precision", title=tr_later("precision"), is_condition=True, is_named=True, is_sent=True,
        swept=Swept(name="precisions", option="--precision", what="precision", types=(Precision,)),
    ),
    Axis(
        name="isa", title=tr_later("instruction set"), said=tr_later("limited to {}"), is_condition=True,
        goes_unsaid=True, covers=("variables",),
        swept=Swept(name="isas", option="--isa", what="instruction set", types=(Isa,)),
    ),
    Axis(
        name="device", title=tr_later("device"), is_condition=True, is_named=True, is_sent=True,
        covers=("device_name",),
        swept=Swept(name="devices", option="--device", what="device", types=(Device,), is_of_suite=False),
    ),
    Axis(
        name="threads", title=tr_later("threads"), noun="thread", is_condition=True, is_sent=True,
        covers=("variables",),
        swept=Swept(name="threads", option="--threads", what="threads", types=(int,), is_of_suite=False),
    ),
    Axis(
        name="loss_asked", title=tr_later("loss asked for"), said=tr_later("loss {}"), is_condition=True,
        goes_unsaid=True, covers=("graph_fingerprint",),
        swept=Swept(name="losses", option="--loss", what="loss", names=lambda: (OWN, *LOSSES), is_of_suite=False),
    ),
    Axis(
        name="optimizer_asked", title=tr_later("optimizer asked for"), said=tr_later("optimizer {}"), is_condition=True,
        goes_unsaid=True, covers=("graph_fingerprint",),
        swept=Swept(name="optimizers", option="--optimizer", what="optimizer", words={OWN: OWN}, check=optimizer_of,
                    is_of_suite=False),
    ),
    Axis(
        name="accumulate", title=tr_later("parts of a batch"), said=tr_later("gradients of {} parts added up"),
        is_condition=True, is_sent=True, goes_unsaid=True,
        swept=Swept(name="accumulations", option="--accumulate", what="number of parts of a batch", types=(int,),
                    is_of_suite=False),
    ),
    Axis(
        name="steps_per_timing", title=tr_later("steps per timing"), said=tr_later("{} steps per timing"),
        is_condition=True, goes_unsaid=True,
        swept=Swept(name="steps_per_timing", option="--steps-per-timing", what="steps per timing", types=(int,),
                    is_of_suite=False, is_single=True),
    ),
)
BY_NAME: Mapping[str, Axis] = {axis.name: axis for axis in AXES}
NAMES = tuple(axis.name for axis in fields(Case))
"""Names of the axes, in the order in which a case is stored."""

CONDITIONS = tuple(axis.name for axis in AXES if axis.is_condition)
SETTINGS = tuple(axis.name for axis in AXES if not axis.is_condition)
"""What tells results of one group apart: the framework, and how it is used."""
OF_SOFTWARE = tuple(axis.name for axis in AXES if not axis.is_condition and not axis.is_of_world)
"""Of these, what one device has too."""
OF_WORLD = tuple(axis.name for axis in AXES if axis.is_of_world)
CODE = ("framework", "implementation")
"""What a short name says of the program of a case, in its order."""
SOFTWARE = (*CODE, "framework_version", "compile_mode", "layout")
"""What a short name says of the software, in its order; the build has its own words."""
NAMED = tuple(axis.name for axis in AXES if axis.is_named)
NUMBERS = frozenset(axis.name for axis in AXES if axis.is_number)
COVERS: Mapping[str, tuple[str, ...]] = {axis.name: axis.covers for axis in AXES if axis.covers}
TITLES: Mapping[str, str] = {axis.name: axis.title for axis in AXES}
"""Templates for ``tr``."""

SWEPT: Mapping[str, Swept] = {each.name: each for each in (
    *(axis.swept for axis in AXES),
    Swept(name="microbenchmarks", option="--microbenchmark", what="micro-benchmark", names=_microbenchmarks),
    Swept(name="global_batches", option="--global-batch", what="global batch", types=(int,)),
    Swept(name="buckets_mb", option="--bucket-mb", what="bucket of gradients", types=(float, int),
          words={"usual": None}),
    Swept(name="gradient_compressions", option="--gradient-compression", what="gradient compression",
          words={"none": None}, names=lambda: strategies.COMPRESSIONS),
)}
"""What a sweep declares, by its field."""


def but(*others: str) -> tuple[str, ...]:
    """All axes but these."""
    return tuple(name for name in NAMES if name not in others)


def named_but(*others: str) -> tuple[str, ...]:
    """The axes that a short name of a case has, but for these."""
    return tuple(name for name in NAMED if name not in others)


def sent(case: Case) -> dict[str, Any]:
    """What an adapter in a worker is told of a case, as plain data."""
    plain = case.plain()
    return {axis.name: plain[axis.name] for axis in AXES if axis.is_sent and axis.name in plain}


def whole(case: Mapping[str, Any]) -> dict[str, Any]:
    """A case as an older record has it, with the defaults of the axes that came later."""
    return {**{name: default for name, default in DEFAULTS.items() if default is not MISSING}, **case}


def said(row: Mapping[str, Any], names: Iterable[str]) -> dict[str, str]:
    """{axis: what it says, in words} of these axes of a row, without what goes without saying and is not known."""
    return {
        name: BY_NAME[name].words(row[name]) for name in names
        if row.get(name) is not None and BY_NAME[name].says(row[name])
    }


def label(name: str, fact: Any) -> str:
    """A fact in a short name: "nchw"; of an axis that is a yes or no in words: "(as written)", or nothing."""
    axis = BY_NAME.get(name)
    if axis is None or "{}" in axis.said or axis.noun:
        return str(fact)
    return f"({axis.words(fact)})" if axis.says(fact) else ""


def telling(row: Mapping[str, Any], names: Iterable[str]) -> list[Any]:
    """The facts of these names in a row, without the no of an axis that is a yes or no."""
    return [row[name] for name in names if label(name, row[name])]


def named(row: Mapping[str, Any], names: Iterable[str]) -> str:
    """The facts of these names that a row has, as a short name: "torch (as written) 2.13.0 eager nchw"."""
    told = (label(name, row[name]) for name in names if row.get(name) is not None)
    return " ".join(text for text in told if text)


def software(row: Mapping[str, Any]) -> str:
    """What computes on each device, with its version, as far as a row says it."""
    return named(row, SOFTWARE)


def says(name: str, fact: Any) -> bool:
    """Whether a fact, of an axis or another, is worth a mention."""
    return name not in BY_NAME or BY_NAME[name].says(fact)


def of_one_device() -> dict[str, Any]:
    """What the axes of a world are where a single device does all."""
    return {name: DEFAULTS[name] for name in OF_WORLD if DEFAULTS[name] is not MISSING}


def check(axes: Mapping[str, Collection[Any]]) -> None:
    """Raises UserError for a value in one of these fields of a Sweep that cannot be one, UnknownName for a name."""
    for name, values in axes.items():
        if name in SWEPT:
            each = SWEPT[name]
            each.check_types(values)
            each.check_names(values)
