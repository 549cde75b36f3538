"""One case: a model, framework, build, precision, device and value of each other axis; and how it is timed."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, fields
from typing import Any, ClassVar

from rigmark.bench.datasets import SYNTHETIC
from rigmark.bench.devices import CPU, Device
from rigmark.bench.enums import CompileMode, Implementation, Isa, Layout, Mode, Precision, StartMethod, TrialKind
from rigmark.bench.errors import UserError
from rigmark.bench.ir.training import OWN
from rigmark.bench.worker.strategies import SINGLE

LATER = {"is_later": True}
DEFAULT_BUILD = "default"    # the interpreter that runs Rigmark


def _later(default: Any) -> Any:
    """The field of an axis that came after records were stored without it, and is left out of them at its default."""
    return field(default=default, metadata=LATER)


@dataclass(frozen=True, kw_only=True)
class Case:
    """One combination of everything that a user can choose; repetitions of equal cases may be pooled.

    This is the case of a network; for that of another kind of trial see bench.plan.microbenchmarks.
    """

    timed_as: ClassVar[TrialKind] = TrialKind.TIMING     # the kind of trial that measures its speed
    is_limit: ClassVar[bool] = False                     # whether it is a micro-benchmark

    model: str
    framework: str
    build: str = DEFAULT_BUILD
    compile_mode: CompileMode
    layout: Layout
    precision: Precision = Precision.FP32
    mode: Mode = Mode.INFERENCE
    device: Device = CPU
    local_batch: int
    threads: int
    data: str = SYNTHETIC
    steps_per_timing: int = 1    # 1: each step is synchronised (latency); more: the host may run ahead (throughput)
    isa: Isa = Isa.NATIVE        # the highest instruction set that was asked for
    world_size: int = 1          # number of devices; threads and local batch are per device
    devices_per_process: int = 1
    strategy: str = SINGLE
    oversubscribed: bool = False         # whether there are more threads than cores
    loss_asked: str = _later(OWN)  # OWN: as the network is defined; another one is for training alone
    optimizer_asked: str = _later(OWN)  # as optimizer_of reads it
    prompt_length: int = _later(0)  # tokens of the prompt, and tokens that follow it; 0 in modes without text
    generated_length: int = _later(0)
    accumulate: int = _later(1)  # equal parts of a batch whose gradients are added up for one update
    implementation: Implementation = field(default=Implementation.LOWERED, metadata=LATER)

    def plain(self) -> dict[str, Any]:
        """As records and jobs hold it: texts, whole numbers and truth values.

        Axes that came later are left out at their defaults, so that trials keep the ids from before.
        """
        values = {each.name: getattr(self, each.name) for each in fields(self)
                  if not each.metadata or getattr(self, each.name) != each.default}
        return {name: value if isinstance(value, int) else str(value) for name, value in values.items()}

    @property
    def processes(self) -> int:
        return self.world_size // self.devices_per_process

    @property
    def global_batch(self) -> int:
        """Samples per step on all devices."""
        return self.local_batch * self.world_size

    @property
    def label(self) -> str:
        """A short name for people: "mnist_cnn training, torch eager channels_last fp32, cpu, batch 32"."""
        written = ", as written," if self.implementation is Implementation.AS_WRITTEN else ""
        setting = f"{self.framework}{written} {self.compile_mode} {self.layout} {self.precision}, {self.device}"
        if self.isa != Isa.NATIVE:
            setting += f", limited to {self.isa}"
        label = f"{self.subject}, {setting}, {self.amount}"
        return f"{label}, oversubscribed" if self.oversubscribed else label

    @property
    def subject(self) -> str:
        """What runs, at the beginning of the label."""
        return f"{self.model} {self.mode}"

    @property
    def amount(self) -> str:
        """How much of it a step does and on what, at the end of the label."""
        together = f" on each of {self.world_size} devices ({self.strategy})" if self.world_size > 1 else ""
        text = f", {self.generated_length} tokens after {self.prompt_length}" if self.mode is Mode.DECODE else ""
        return f"batch {self.local_batch}{text}{together}"


@dataclass(frozen=True, kw_only=True)
class Timing:
    """How the process of a trial starts, and how long it is timed; see bench.worker.measure."""

    start_method: StartMethod = StartMethod.SPAWN

    min_timings: int = 10
    min_time_s: float = 1.0
    max_time_s: float = 20.0
    warm_up_max_s: float = 5.0

    def __post_init__(self) -> None:
        given: object = self.start_method
        if not isinstance(given, StartMethod):
            known = ", ".join(f"StartMethod.{each.name}" for each in StartMethod)
            raise UserError(f"the start_method of a Timing is not {given!r}; known: {known}")
        if self.min_time_s <= 0 or self.min_timings < 2:
            raise UserError("a trial needs at least 2 timings and a min time above 0 s")
        if self.min_time_s > self.max_time_s:
            object.__setattr__(self, "max_time_s", self.min_time_s)

    def plain(self) -> dict[str, Any]:
        return asdict(self)
