"""The Sweep, which declares many cases, and how long each is timed."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType

from rigmark.bench import added
from rigmark.bench.datasets import SYNTHETIC
from rigmark.bench.devices import CPU, Device
from rigmark.bench.enums import CompileMode, Implementation, Isa, Layout, Mode, Precision, Setting
from rigmark.bench.errors import UserError
from rigmark.bench.ir.training import OWN
from rigmark.bench.plan import axes, microbenchmarks, reference
from rigmark.bench.plan.axes import USUAL
from rigmark.bench.plan.case import DEFAULT_BUILD, Case, Timing
from rigmark.bench.worker import frameworks, strategies
from rigmark.bench.worker.strategies import SINGLE

Originals = Mapping[str, str]
"""What networks were imported from, by their names in cases, "a PyTorch module"; without those of no other program."""

NO_ORIGINALS: Originals = MappingProxyType({})


@dataclass(frozen=True, kw_only=True)
class Sweep:
    """Declared axes whose product is a set of cases; raises UserError for a value that is not of an axis' type.

    ``models`` are networks; ``microbenchmarks`` (see bench.worker.microbenchmarks) have no mode, batch, data and world,
    and ``steps_per_timing`` is a lower limit for them. ``compile_modes`` and ``layouts`` may contain a Setting: the
    best documented one of each framework, or the framework's default. What the user wrote gets the default in both
    cases, unless a value is named: it is measured as it would run.

    In Mode.DECODE a step generates as many tokens as ``generated_lengths`` say, for each prompt of its batch.

    Equal ``local_batches`` over ``world_sizes`` are weak scaling, equal ``global_batches`` strong scaling. Without
    ``threads``, devices of all world sizes get as many threads as there are per device in the largest world, so that a
    device is the same in all of them. Only those strategies are used that a framework and mode has; one device has
    none.
    """

    models: tuple[str, ...] = ()
    frameworks: tuple[str, ...]
    implementations: tuple[Implementation | None, ...] = (None,)   # None: lowered, and as written beside it if it runs
    microbenchmarks: tuple[str, ...] = ()
    builds: tuple[str, ...] = (DEFAULT_BUILD,)
    compile_modes: tuple[CompileMode | Setting, ...] = (Setting.BEST,)
    layouts: tuple[Layout | Setting, ...] = (Setting.BEST,)
    precisions: tuple[Precision, ...] = (Precision.FP32,)
    modes: tuple[Mode, ...] = (Mode.INFERENCE, Mode.TRAINING)
    devices: tuple[Device, ...] = (CPU,)
    local_batches: tuple[int, ...] = (32,)
    prompt_lengths: tuple[int, ...] = (128,)     # tokens, of Mode.DECODE only
    generated_lengths: tuple[int, ...] = (32,)
    threads: tuple[int, ...] = ()        # empty: one per core that this process may use
    data: tuple[str, ...] = (SYNTHETIC,)
    isas: tuple[Isa, ...] = (Isa.NATIVE,)
    world_sizes: tuple[int, ...] = (1,)
    strategies: tuple[str, ...] = (USUAL,)
    devices_per_process: int | None = None       # None: the strategy decides
    buckets_mb: tuple[float | None, ...] = (None,)               # of messages of gradients; None: as the framework
    gradient_compressions: tuple[str | None, ...] = (None,)      # formats in which gradients are sent; None: unchanged
    global_batches: tuple[int, ...] = ()         # in addition to, or instead of local_batches
    oversubscribe: bool = False
    losses: tuple[str, ...] = (OWN,)             # of training; OWN: as the network is defined
    optimizers: tuple[str, ...] = (OWN,)         # of training; see bench.ir.training.optimizer_of
    accumulations: tuple[int, ...] = (1,)        # of training: parts of a batch whose gradients make one update
    steps_per_timing: int = 1
    repetitions: int = 10
    layers: bool = False                 # also one layer trial per case
    timing: Timing = Timing()

    def __post_init__(self) -> None:
        for name, swept in axes.SWEPT.items():
            swept.check_types(getattr(self, name))

    @property
    def shortened(self) -> Sweep:
        """The sweep with the names that cases have in place of references."""
        return replace(self, models=reference.names(self.models))

    def cases(
        self, cores: int, world_cores: int | None = None, originals: Originals = NO_ORIGINALS,
    ) -> Iterator[Case]:
        """Every case once, in declared order; raises UserError for an unknown name or an invalid number.

        ``world_cores`` is the number of cores of all machines on which ranks may run; None: only this machine.
        """
        self._check()
        seen: set[Case] = set()
        of_models = (
            self._cases_of(model, cores, world_cores or cores, originals.get(model)) for model in self.models
        )
        for case in itertools.chain(*of_models, microbenchmarks.cases(self, cores)):
            if case not in seen:
                seen.add(case)
                yield case

    def _cases_of(self, model: str, cores: int, world_cores: int, original: str | None) -> Iterator[Case]:
        worlds = {key: tuple(self._worlds(*key)) for key in itertools.product(self.frameworks, self.modes)}
        threads_each = self.threads or (self._threads_of_a_device(cores, world_cores),)
        for framework, build, isa, precision, mode, device in itertools.product(
            self.frameworks, self.builds, self.isas, self.precisions, self.modes, self.devices
        ):
            for world in worlds[framework, mode]:
                local_batches = dict.fromkeys(
                    [*self.local_batches, *(_divided(batch, world.size) for batch in self.global_batches)]
                )
                settings = [
                    (implementation, *setting)
                    for implementation in self._implementations(framework, mode, precision, world, original)
                    for setting in self.settings(framework, mode, implementation)
                ]
                for batch, (prompt, generated), threads, source, (loss, optimizer, parts), (
                    implementation, compile_mode, layout
                ) in itertools.product(
                    local_batches, self._lengths(mode), threads_each, self.data, self._trainings(mode), settings,
                ):
                    yield Case(
                        model=model, framework=framework, implementation=implementation, build=build,
                        compile_mode=compile_mode, layout=layout,
                        precision=precision, mode=mode, device=device, local_batch=batch, threads=threads, data=source,
                        loss_asked=loss, optimizer_asked=optimizer, accumulate=_parts(parts, batch, world, source),
                        steps_per_timing=self.steps_per_timing, isa=isa,
                        world_size=world.size, strategy=world.strategy,
                        devices_per_process=world.devices_per_process,
                        prompt_length=prompt, generated_length=generated, oversubscribed=self.is_oversubscribed(
                            world.size, threads, cores if world.size == 1 else world_cores, device
                        ),
                    )

    def _implementations(
        self, framework: str, mode: Mode, precision: Precision, world: World, original: str | None,
    ) -> Iterator[Implementation]:
        for asked in dict.fromkeys(self.implementations):
            if asked is not None:
                yield asked
                continue
            yield Implementation.LOWERED
            if world.size == 1 and frameworks.original_refusal(framework, original, mode, precision) is None:
                yield Implementation.AS_WRITTEN

    def _lengths(self, mode: Mode) -> tuple[tuple[int, int], ...]:
        """(of the prompt, of what is generated), in tokens."""
        if mode is not Mode.DECODE:
            return ((0, 0),)
        return tuple(itertools.product(self.prompt_lengths, self.generated_lengths))

    def _threads_of_a_device(self, cores: int, world_cores: int) -> int:
        fitting = [size for size in self.world_sizes if size <= world_cores]
        return max(1, min(cores, world_cores // max(fitting, default=world_cores)))

    def is_oversubscribed(self, world_size: int, threads: int, cores: int, device: Device) -> bool:
        """Whether there are more threads than cores; raises UserError if so, unless the user asked for it."""
        needed = world_size * threads
        if needed <= cores or not device.is_host:
            return False
        if not self.oversubscribe:
            each = f"{threads} thread{'s' * (threads > 1)}"
            asked = each if world_size == 1 else f"{world_size} devices of {each} each"
            raise UserError(
                f"{asked} need {needed} cores, but {cores} may be used; ask for fewer, or allow threads to share cores "
                "with --oversubscribe (rigmark doctor shows what limits the cores)"
            )
        return True

    def _trainings(self, mode: Mode) -> Sequence[tuple[str, str, int]]:
        """The losses, optimizers and parts of a batch of a mode."""
        if mode is not Mode.TRAINING:
            return ((OWN, OWN, 1),)
        return tuple(itertools.product(self.losses, self.optimizers, self.accumulations))

    def _worlds(self, framework: str, mode: Mode) -> Iterator[World]:
        """The worlds of a framework in a mode; none if it has none of the strategies of the sweep."""
        named = [strategies.usual(framework, mode) if name == USUAL else name for name in self.strategies]
        fitting = [
            name for each in dict.fromkeys(named) if each is not None and strategies.fits(each, framework, mode)
            for name in self._with_options(each)
        ]
        for size in self.world_sizes:
            if size == 1 and (fitting or len(self.world_sizes) == 1):
                yield ONE_DEVICE
            for strategy in fitting if size > 1 else ():
                yield World(size, strategy, self._devices_of_a_process(strategy, size))

    def _with_options(self, strategy: str) -> Iterator[str]:
        """The strategy with each combination of options for its gradients."""
        if not strategies.load(strategy).SUMS_GRADIENTS:
            yield strategy
            return
        for bucket_mb, compression in itertools.product(self.buckets_mb, self.gradient_compressions):
            asked = {
                strategies.BUCKET_MB: None if bucket_mb is None else f"{bucket_mb:g}",
                strategies.GRADIENT_COMPRESSION: compression,
            }
            yield str(strategies.Strategy(
                strategy, {option: value for option, value in asked.items() if value is not None}
            ))

    def _devices_of_a_process(self, strategy: str, world_size: int) -> int:
        possible = strategies.load(strategy).PROCESSES
        usual = 1 if possible == strategies.EACH else world_size
        asked = usual if self.devices_per_process is None else self.devices_per_process
        if asked != usual and possible != strategies.ANY:
            raise UserError(
                f"strategy '{strategy}' has {usual} of {world_size} devices in a process, not {asked}; leave "
                "--devices-per-process out"
            )
        if world_size % asked:
            raise UserError(f"{world_size} devices cannot be divided into processes of {asked}; choose a divisor")
        return asked

    def settings(
        self, framework: str, mode: Mode, implementation: Implementation = Implementation.LOWERED
    ) -> Iterator[tuple[CompileMode, Layout]]:
        """The compile modes and layouts of a framework in a mode, with a name in place of each Setting."""
        adapter = frameworks.load(framework)
        default = adapter.COMPILE_MODES[0], adapter.LAYOUTS[0]
        best = adapter.BEST.get(mode, adapter.BEST[Mode.INFERENCE])
        settings = {
            Setting.BEST: default if implementation is Implementation.AS_WRITTEN else best, Setting.DEFAULT: default,
        }
        for compile_mode, layout in itertools.product(self.compile_modes, self.layouts):
            yield (
                CompileMode(settings[compile_mode][0]) if isinstance(compile_mode, Setting) else compile_mode,
                Layout(settings[layout][1]) if isinstance(layout, Setting) else layout,
            )

    def _check(self) -> None:
        axes.check(vars(self))
        for framework in self.frameworks:
            with added.mistakes_in("rigmark.bench.worker.frameworks", framework, "framework"):
                frameworks.load(framework)
        for what, numbers in (
            ("batch", self.local_batches), ("threads", self.threads), ("repetitions", (self.repetitions,)),
            ("steps per timing", (self.steps_per_timing,)), ("world size", self.world_sizes),
            ("global batch", self.global_batches), ("prompt length", self.prompt_lengths),
            ("generated length", self.generated_lengths),
            ("number of parts of a batch", self.accumulations),
            ("devices per process", (1 if self.devices_per_process is None else self.devices_per_process,)),
        ):
            for number in numbers:
                if number < 1:
                    raise UserError(f"{what} must be at least 1, not {number}")
        self._check_gradients()
        if not self.models and not self.microbenchmarks:
            raise UserError("a sweep needs models or microbenchmarks")
        if Mode.DECODE in self.modes and set(self.world_sizes) != {1}:
            raise UserError("text is generated on one device so far; leave --world-size out with --mode decode")
        if not self.local_batches and not self.global_batches:
            raise UserError("a sweep needs a batch, local or global")
        for framework in self.frameworks if max(self.world_sizes) > 1 else ():
            if not any(name == USUAL or strategies.fits(name, framework) for name in self.strategies):
                possible = [name for name in strategies.NAMES if strategies.fits(name, framework)]
                raise UserError(
                    f"{framework} has no strategy '{self.strategies[0]}'; it has: {', '.join(possible) or 'none'}"
                )

    def _check_gradients(self) -> None:
        if any(bucket_mb is not None and not 0 < bucket_mb < math.inf for bucket_mb in self.buckets_mb):
            raise UserError("--bucket-mb must be above 0 MB")
        asks_of_gradients = (self.buckets_mb, self.gradient_compressions) != ((None,), (None,))
        if asks_of_gradients and (max(self.world_sizes) == 1 or Mode.TRAINING not in self.modes):
            raise UserError(
                "buckets and compression need gradients that devices share; add --world-size 2 and --mode training"
            )


@dataclass(frozen=True)
class World:
    """A number of devices, and how they share the work."""

    size: int
    strategy: str
    devices_per_process: int


ONE_DEVICE = World(1, SINGLE, 1)


def _parts(parts: int, batch: int, world: World, source: str) -> int:
    if parts > 1 and (batch % parts or world.size > 1 or source != SYNTHETIC):
        why = (f"a batch of {batch} cannot be divided into {parts} equal parts" if batch % parts else
               "gradients are added up on one device alone" if world.size > 1 else
               f"gradients are added up of {SYNTHETIC} data alone")
        raise UserError(f"{why}; choose another --batch or --accumulate, with --world-size 1 and --data {SYNTHETIC}")
    return parts


def _divided(global_batch: int, world_size: int) -> int:
    if global_batch % world_size:
        raise UserError(
            f"a global batch of {global_batch} cannot be divided equally among {world_size} devices; choose a multiple"
        )
    return global_batch // world_size
