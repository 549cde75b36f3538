"""What is to be run: a Case, the Sweep that declares many of them, and how long each is timed."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from bench import data, frameworks, limits, models
from bench.isa import Isa
from bench.words import CompileMode, Layout, Mode, Precision, StartMethod, UserError, unknown

BEST = "best"
DEFAULT = "default"
DEFAULT_BUILD = "default"    # the interpreter that runs Rigmark


@dataclass(frozen=True, kw_only=True)
class Case:
    """One combination of everything a user may choose; equal cases may be pooled over repetitions.

    A limit of the machine is a case too: its name is the ``model``, and its mode, batch and data are always the same.
    """

    model: str
    framework: str
    build: str = DEFAULT_BUILD
    compile_mode: CompileMode
    layout: Layout
    precision: Precision = Precision.FP32
    mode: Mode = Mode.INFERENCE
    device: str = "cpu"
    local_batch: int
    threads: int
    data: str = data.SYNTHETIC
    steps_per_timing: int = 1    # 1: each step is synchronised (latency); more: the host may run ahead (throughput)
    isa: Isa = Isa.NATIVE        # that was asked for

    def plain(self) -> dict[str, Any]:
        return {name: str(v) if isinstance(v, str) else v for name, v in asdict(self).items()}

    @property
    def is_limit(self) -> bool:
        return self.model in limits.NAMES

    @property
    def label(self) -> str:
        """A short name for people: "mnist_cnn training, torch eager channels_last fp32, cpu, batch 32"."""
        setting = f"{self.framework} {self.compile_mode} {self.layout} {self.precision}, {self.device}"
        if self.isa != Isa.NATIVE:
            setting += f", held to {self.isa}"
        if self.is_limit:
            return f"{self.model}, {setting}, {self.threads} thread{'s' * (self.threads > 1)}"
        return f"{self.model} {self.mode}, {setting}, batch {self.local_batch}"


@dataclass(frozen=True, kw_only=True)
class Timing:
    """How a trial's process starts, and when it has been timed enough; see bench.worker.measure."""

    start_method: StartMethod = StartMethod.SPAWN

    min_timings: int = 10
    min_time_s: float = 1.0
    max_time_s: float = 20.0
    warm_up_max_s: float = 5.0

    def __post_init__(self) -> None:
        if self.min_time_s <= 0 or self.min_timings < 2:
            raise UserError("a trial needs at least 2 timings and a min time above 0 s")
        if self.min_time_s > self.max_time_s:
            object.__setattr__(self, "max_time_s", self.min_time_s)

    def plain(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True, kw_only=True)
class Sweep:
    """Declared axes whose product is a set of cases.

    ``models`` are networks and limits (see bench.limits); of the axes, a limit has no mode, batch and data, and
    ``steps_per_timing`` is the least it has. ``compile_modes`` and ``layouts`` may hold "best" or "default": each
    framework's best documented setting, or what a new user gets.
    """

    models: tuple[str, ...]
    frameworks: tuple[str, ...]
    builds: tuple[str, ...] = (DEFAULT_BUILD,)
    compile_modes: tuple[str, ...] = (BEST,)
    layouts: tuple[str, ...] = (BEST,)
    precisions: tuple[Precision, ...] = (Precision.FP32,)
    modes: tuple[Mode, ...] = (Mode.INFERENCE, Mode.TRAINING)
    devices: tuple[str, ...] = ("cpu",)
    local_batches: tuple[int, ...] = (32,)
    threads: tuple[int, ...] = ()        # empty: one for each core this process may use
    data: tuple[str, ...] = (data.SYNTHETIC,)
    isas: tuple[str, ...] = (Isa.NATIVE,)
    steps_per_timing: int = 1
    repetitions: int = 10
    layers: bool = False                 # one more trial a case: where the time of a step goes
    timing: Timing = Timing()

    def cases(self, cores: int) -> Iterator[Case]:
        """Every case once, in declared order; raises UserError for a name or a number that cannot be."""
        self._check()
        seen: set[Case] = set()
        for case in itertools.chain.from_iterable(self._cases_of(model, cores) for model in self.models):
            if case not in seen:
                seen.add(case)
                yield case

    def _cases_of(self, model: str, cores: int) -> Iterator[Case]:
        modes, batches, sources, steps = self.modes, self.local_batches, self.data, self.steps_per_timing
        if model in limits.NAMES:
            samples = limits.work(model, Precision.FP32)["samples"]
            modes, batches, sources = (Mode.INFERENCE,), (samples or 1,), (data.SYNTHETIC,)
            steps = max(steps, limits.least_steps_per_timing(model))
        for framework, build, isa, precision, mode, device, batch, threads, source in itertools.product(
            self.frameworks, self.builds, self.isas, self.precisions, modes, self.devices, batches,
            self.threads or (cores,), sources,
        ):
            for compile_mode, layout in self._settings(framework, mode):
                yield Case(
                    model=model, framework=framework, build=build, compile_mode=compile_mode, layout=layout,
                    precision=precision, mode=mode, device=device, local_batch=batch, threads=threads, data=source,
                    steps_per_timing=steps, isa=Isa(isa),
                )

    def _settings(self, framework: str, mode: Mode) -> Iterator[tuple[CompileMode, Layout]]:
        adapter = frameworks.load(framework)
        best = adapter.BEST[mode]
        default = (adapter.COMPILE_MODES[0], adapter.LAYOUTS[0])
        for compile_mode, layout in itertools.product(self.compile_modes, self.layouts):
            named = {BEST: best, DEFAULT: default}
            yield (
                CompileMode(named[compile_mode][0] if compile_mode in named else compile_mode),
                Layout(named[layout][1] if layout in named else layout),
            )

    def _check(self) -> None:
        for what, names, known in (
            ("model", self.models, (*models.NAMES, *limits.NAMES)),
            ("framework", self.frameworks, frameworks.NAMES),
            ("data", self.data, data.NAMES),
            ("compile mode", self.compile_modes, (BEST, DEFAULT, *CompileMode)),
            ("layout", self.layouts, (BEST, DEFAULT, *Layout)),
            ("precision", self.precisions, tuple(Precision)),
            ("mode", self.modes, tuple(Mode)),
            ("instruction set", self.isas, tuple(Isa)),
        ):
            for name in names:
                if name not in known:
                    raise unknown(what, name, known)
        for what, numbers in (
            ("batch", self.local_batches), ("threads", self.threads), ("repetitions", (self.repetitions,)),
            ("steps per timing", (self.steps_per_timing,)),
        ):
            for number in numbers:
                if number < 1:
                    raise UserError(f"{what} must be at least 1, not {number}")
