"""The types of stored records: what each field may hold, and in which range.

They hold for every record that analysis or a resumed sweep reads: no text or truth value replaces a number, no number
is infinite, and every figure is in its possible range. Fields that older records lack may be absent, and other names
are ignored; docs/record.schema.json describes what is written today. bench.store.reading decodes records into them.
"""

from __future__ import annotations

import statistics
from datetime import datetime
from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta, Raw, UnsetType

from rigmark.bench.enums import CompileMode, Implementation, Isa, Layout, Mode, Outcome, Precision, StartMethod
from rigmark.bench.store.record import key_of

# Ranges -------------------------------------------------------------------------------------------------------------

LEAST_TIME_S = 1e-10         # no clock has a finer resolution
MOST_TIME_S = 1e8            # three years

Time = Annotated[float, Meta(ge=LEAST_TIME_S, le=MOST_TIME_S)]
Seconds = Annotated[float, Meta(ge=0, le=MOST_TIME_S)]       # of something that may be too short for its clock
Amount = Annotated[float, Meta(ge=0, le=1e18)]
Signed = Annotated[float, Meta(ge=-1e18, le=1e18)]
Share = Annotated[float, Meta(ge=0, le=1.000001)]            # rounding of sums
Ratio = Annotated[float, Meta(ge=0, le=1e6)]
Error = Annotated[float, Meta(ge=0)]
Joules = Annotated[float, Meta(ge=0, le=1e12)]
Index = Annotated[int, Meta(ge=0, le=2**31)]
Number = Annotated[int, Meta(ge=1, le=2**31)]
Count = Annotated[int, Meta(ge=0, le=2**62)]                 # of bytes, FLOPs, parameters

Times = Annotated[list[Time], Meta(min_length=1)]
Side = Literal["base", "new"]
Checksum = Annotated[str, Meta(pattern="^[0-9a-f]{64}$")]
Hash16 = Annotated[str, Meta(pattern="^[0-9a-f]{16}$")]
KindOfTrial = Annotated[str, Meta(pattern="^[a-z][a-z0-9_]*$")]      # see bench.enums.TrialKind
Hash12 = Annotated[str, Meta(pattern="^[0-9a-f]{12}$")]

NULL = Raw(b"null")
PLAIN = msgspec.json.Decoder()


# Parts --------------------------------------------------------------------------------------------------------------


class Part(msgspec.Struct, frozen=True, gc=False):
    """A part of a record; fields with a default may be absent."""


class Case(Part, frozen=True, kw_only=True):
    model: str
    framework: str
    build: str
    compile_mode: CompileMode
    layout: Layout
    precision: Precision
    mode: Mode
    device: Annotated[str, Meta(pattern=r"^[a-z_]+(:[0-9]{1,4})?$")]
    local_batch: Number
    threads: Number
    data: str
    steps_per_timing: Number
    isa: Isa = Isa.NATIVE
    world_size: Number = 1
    devices_per_process: Number = 1
    strategy: str = "single"
    oversubscribed: bool = False
    loss_asked: str = "own"
    optimizer_asked: str = "own"
    prompt_length: Index = 0
    generated_length: Index = 0
    accumulate: Number = 1
    implementation: Implementation = Implementation.LOWERED

    def plain(self) -> dict[str, Any]:
        """As bench.plan.case.Case.plain gives it, also of a record from before some of its facts were told."""
        return msgspec.structs.asdict(self)


class Build(Part, frozen=True, kw_only=True):
    python: str | None
    framework_version: str | None
    packages: dict[str, str | None]
    variables: dict[str, str]
    adapter: str | None = None


class Base(Build, frozen=True, kw_only=True):
    name: str
    code_version: str
    isa: Isa = Isa.NATIVE


class Settings(Part, frozen=True, kw_only=True):
    seed: int
    start_method: StartMethod | None = None
    min_timings: Index | None = None
    min_time_s: Seconds | None = None
    max_time_s: Seconds | None = None
    warm_up_max_s: Seconds | None = None
    turn_precision: Amount | None = None
    turn_time_s: Seconds | None = None
    weights: Hash16 | None = None
    original: Hash16 | None = None


class Identity(Part, frozen=True, kw_only=True):
    kind: KindOfTrial
    case: Case
    repetition: Index
    session: str
    graph_fingerprint: str
    build: Build
    machine: str
    code_version: str
    settings: Settings
    base: Base | None = None


class FlopsPerSample(Part, frozen=True, kw_only=True):
    inference: Count
    training: Count
    decode: Count | None = None


class Graph(Part, frozen=True, kw_only=True):
    name: str
    parameters: Count
    flops_per_sample: FlopsPerSample
    optimizer: str
    multiply_adds: Count | None = None
    loss: str | None = None


class Work(Part, frozen=True, kw_only=True):
    name: str
    flops: Count | None
    bytes: Count | None
    samples: Count | None


class Machine(Part, frozen=True, kw_only=True):
    id: str
    cpu: str
    memory_bytes: Annotated[int, Meta(ge=1, le=2**62)]
    microarchitecture: str | None = None
    architecture: str | None = None
    cores: Number | None = None
    logical_cores: Number | None = None
    system: str | None = None
    gpus: list[str] = []
    numa_nodes: Number | None = None
    huge_pages: str | None = None


class Volatile(Part, frozen=True, kw_only=True):
    on_battery: bool | None = None
    battery_ratio: Ratio | None = None
    governors: list[str] | None = None


class System(Part, frozen=True, kw_only=True):
    fingerprint: str
    facts: Raw
    volatile: Volatile = Volatile()

    @property
    def known(self) -> dict[str, Any]:
        """All facts, as bench.machine.system describes them."""
        facts: dict[str, Any] = PLAIN.decode(self.facts)
        return facts


# What was measured --------------------------------------------------------------------------------------------------

Marks = dict[str, Signed]


def _check_alike(part: Any, *names: str) -> None:
    """Raises ValueError where lists are not of one length."""
    if len({len(getattr(part, name)) for name in names}) > 1:
        raise ValueError(f"{', '.join(names)} are not equally many")


class Policy(Part, frozen=True, kw_only=True):
    weights: str
    activations: str
    products: str
    sums: str
    is_loss_scaled: bool


class LastCheck(Part, frozen=True, kw_only=True):
    """What was held to the oracle after the timed steps."""

    loss: float | None
    expected_loss: float | None
    allowed_difference: Error | None
    output_error: Error | None
    allowed_output_error: Error | None
    output_distance: Error | None
    are_parameters_moved: bool | None


class Steps(Part, frozen=True, kw_only=True):
    """Shared by all processes that ran steps."""

    warm_up_timings_s: list[Seconds]
    prepare_time_s: Seconds | None = None
    first_step_s: Seconds | None = None
    first_loss: float | None = None
    expected_loss: float | None = None
    last_loss: float | None = None
    batches: Number | None = None
    last_check: LastCheck | None = None
    facts: Raw = NULL
    marks: Marks = {}
    peak_memory_bytes: Count | None = None
    peak_memory_method: str | None = None


class Dispatched(Part, frozen=True, kw_only=True):
    level: Isa | None            # the highest level that ran; None: not proven
    evidence: str
    statement: str | None = None


class IsaProof(Part, frozen=True, kw_only=True):
    asked: Isa
    proof: dict[str, Dispatched]
    summary: str


class Measurement(Steps, frozen=True, kw_only=True):
    timings_s: Times
    host_times_s: Times
    cpu_times_s: list[Seconds]
    steps_per_timing: Number | None = None
    clock: Literal["host", "device"] | None = None
    policy: Policy | None = None
    overflow_steps: Count | None = None
    result_error: Error | None = None
    other_cpu_time_s: Seconds | None = None
    first_token_times_s: Times | None = None     # of generated text, where each token was waited for
    token_times_s: list[Time] | None = None      # from each token to the next, one step after the other

    def __post_init__(self) -> None:
        _check_alike(self, "timings_s", "host_times_s", "cpu_times_s")


class PairSide(Steps, frozen=True, kw_only=True):
    times_s: Times
    host_times_s: Times
    cpu_times_s: list[Seconds]
    idle_cpu_times_s: list[Seconds | None]
    certificate: str
    isa: IsaProof | None = None

    def __post_init__(self) -> None:
        _check_alike(self, "times_s", "host_times_s", "cpu_times_s", "idle_cpu_times_s")


class Pair(Part, frozen=True, kw_only=True):
    design: Literal["turns", "alternating"]
    base: PairSide
    new: PairSide
    started_first: Side
    first: list[Side]
    timings_per_turn: Number
    why: str | None = None


class LayerRow(Part, frozen=True, kw_only=True):
    layer: str
    direction: Literal["forward", "backward", "update"] | None
    time_s: Annotated[float, Meta(ge=-MOST_TIME_S, le=MOST_TIME_S)]      # the residual is negative if rows overlap
    share: Annotated[float, Meta(ge=-1e6, le=1e6)]
    method: Literal["in_place", "replayed"]
    op: str | None
    flops: Count | None
    bytes_moved: Count | None
    members: list[str] = []
    turn_times_s: list[Annotated[float, Meta(ge=-MOST_TIME_S, le=MOST_TIME_S)]] = []     # older records have the mean

    @property
    def usual_s(self) -> float:
        """Seconds in one step: the median over the turns, in which a long step is outvoted."""
        return statistics.median(self.turn_times_s) if self.turn_times_s else self.time_s


class Layers(Steps, frozen=True, kw_only=True):
    rows: Annotated[list[LayerRow], Meta(min_length=1)]
    step_times_s: Times
    plain_step_times_s: Times
    attributed_time_s: Seconds
    cover: Ratio
    overhead: Ratio
    variables: dict[str, str]
    problem: str | None = None
    resolution_s: Seconds | None = None
    without_kernel: list[tuple[str, str]] = []


class Tolerance(Part, frozen=True, kw_only=True):
    """None is what was not compared, as of a precision without training."""

    output: Amount
    loss: Amount | None = None
    gradient: Amount | None = None
    second_loss: Amount | None = None
    third_loss: Amount | None = None


Losses = list[float | None]


class Parity(Part, frozen=True, kw_only=True):
    output_error: Error | None
    loss_error: Error | None
    gradient_error: Error | None
    second_loss_error: Error | None
    tolerance: Tolerance
    losses: Losses
    oracle_losses: Losses
    third_loss_error: Error | None = None
    worst_gradient: str | None = None
    learning_losses: Losses | None = None
    oracle_learning_losses: Losses | None = None
    learning_accuracy: Share | None = None
    oracle_learning_accuracy: Share | None = None
    wrong_tokens: Count | None = None        # of generated text
    open_tokens: Count | None = None
    facts: Raw = NULL
    prepare_time_s: Seconds | None = None


class Communication(Part, frozen=True, kw_only=True):
    problem: str | None = None
    time_s: Seconds | None = None
    exposed_s: Seconds | None = None
    buckets: Count | None = None
    reduced_bytes: Count | None = None
    step_times_s: list[Seconds] | None = None

    def __post_init__(self) -> None:
        if self.problem is None and (self.time_s is None or self.exposed_s is None):
            raise ValueError("its time is missing, but no problem is stated")


class World(Part, frozen=True, kw_only=True):
    processes: Number
    nodes: Number | None = None
    rank_timings_s: Annotated[list[Times], Meta(min_length=1)] | None = None
    rank_cpu_times_s: Annotated[list[Annotated[list[Seconds], Meta(min_length=1)]], Meta(min_length=1)] | None = None
    sent_bytes: Count | None = None
    communication: Communication | None = None


# Telemetry ----------------------------------------------------------------------------------------------------------


class Gauge(Part, frozen=True, kw_only=True):
    """A field in a region: mean and extremes of a gauge, growth of a counter."""

    mean: Signed | None = None
    min: Signed | None = None
    max: Signed | None = None
    difference: Amount | None = None


class EnergyCheck(Part, frozen=True, kw_only=True):
    energy_j: Joules
    energy_method: str
    energy_bound_j: Joules


class Implausible(Part, frozen=True, kw_only=True):
    """Implausible readings of a sensor or driver."""

    said: float
    low: float
    high: float
    reads: Count
    of: Count
    per_second: bool


class RegionDevice(Part, frozen=True, kw_only=True):
    device: Index
    values: dict[str, Gauge] = {}
    unknown: dict[str, str] = {}
    implausible: dict[str, Implausible] = {}
    lost_s: Seconds | UnsetType | None = UNSET       # older records do not tell the moment
    energy_j: Joules | None = None
    energy_method: str | None = None
    energy_bound_j: Joules | None = None
    energy_check: EnergyCheck | None = None
    event_shares: dict[str, Share] | None = None
    coverage: Share | None = None

    def __post_init__(self) -> None:
        for name, of in self.values.items():
            is_below = (of.min is not None and of.min < 0) or (of.mean is not None and of.mean < 0)
            if is_below and not name.endswith("_c"):     # only temperatures may be negative
                raise ValueError(f"{name} is below 0")


class Region(Part, frozen=True, kw_only=True):
    name: str
    duration_s: Seconds
    devices: list[RegionDevice]


class DeviceFacts(Part, frozen=True, kw_only=True):
    index: Index | None = None
    mig: bool | None = None
    power_scope: str | None = None
    power_limit_w: Amount | None = None
    power_limit_default_w: Amount | None = None
    pcie_link_generation_max: Index | None = None
    pcie_link_width_max: Index | None = None
    logical_cores: Index | None = None


class WatchedDevice(Part, frozen=True, kw_only=True):
    kind: str
    name: str
    source: str
    id: str
    used: bool | None = None
    rate_hz: Amount | None = None
    facts: DeviceFacts = DeviceFacts()
    unknown: dict[str, str] = {}

    @property
    def label(self) -> str:
        """With its index, since a machine's GPUs mostly are of one kind."""
        is_numbered = self.kind == "gpu" and self.facts.index is not None
        return f"{self.name} (GPU {self.facts.index})" if is_numbered else self.name


class Sampler(Part, frozen=True, kw_only=True):
    cpu_time_s: Seconds | None = None
    samples: Count | None = None
    overruns: Count | None = None
    late_p95_s: Seconds | None = None
    cpus: list[Index] = []
    niceness: int | None = None
    open_s: dict[str, Seconds | None] = {}


class Telemetry(Part, frozen=True, kw_only=True):
    devices: list[WatchedDevice]
    regions: list[Region]
    rate_hz: Amount | None = None
    series: str | None = None
    problem: str | None = None
    unavailable: dict[str, str] = {}
    sampler: Sampler | None = None

    def __post_init__(self) -> None:
        if any(part.device >= len(self.devices) for region in self.regions for part in region.devices):
            raise ValueError("a region refers to a device that is not listed")


# Records ------------------------------------------------------------------------------------------------------------


class StoredRecord(Part, frozen=True, kw_only=True):
    """One trial and what became of it; see bench.store.record."""

    schema: Number
    id: str
    identity: Identity
    suite: str
    run_id: str
    command: str
    recorded_at: str
    outcome: Outcome
    reason: str | None
    machine: Machine
    wall_time_s: Seconds
    node: Hash12 | None = None
    boot: Hash12 | None = None
    last_words: str = ""
    interpreter: str = ""
    load_before: Amount | None = None
    graph: Graph | None = None
    work: Work | None = None
    system: System | None = None
    telemetry: Telemetry | None = None
    measurement: Measurement | None = None
    layers: Layers | None = None
    parity: Parity | None = None
    pair: Pair | None = None
    isa: IsaProof | None = None
    cpus: list[Index] = []
    world: World | None = None
    certificate: str | None = None
    origin: Literal["measured", "quoted", "predicted", "entered"] = "measured"
    content: Checksum | None = None          # None in older records

    @property
    def key(self) -> str:
        return key_of(self.id, self.node)

    @property
    def taken(self) -> Pair | None:
        """The pair of a trial that went well."""
        return self.pair if self.outcome is Outcome.OK else None

    def __post_init__(self) -> None:
        try:
            is_absolute = datetime.fromisoformat(self.recorded_at).tzinfo is not None
        except ValueError:
            is_absolute = False
        if not is_absolute:
            raise ValueError("recorded_at is no moment with its time zone")
        if (self.outcome is Outcome.OK) != (self.reason is None):
            raise ValueError("a trial that is ok has no reason, and any other has one")


SYSTEM = msgspec.json.Decoder(System)
TELEMETRY = msgspec.json.Decoder(Telemetry)
