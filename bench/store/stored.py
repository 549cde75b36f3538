"""Reads stored records: each is decoded and checked in one pass, or refused in a sentence.

The types below hold for every record that analysis or a resumed sweep reads: no text or truth value replaces a number,
no number is infinite, and every figure is in its possible range. Fields that older records lack may be absent, and
other names are ignored; docs/record.schema.json describes what is written today.
"""

from __future__ import annotations

import contextlib
import json
import re
import statistics
from collections.abc import Iterable, Iterator
from datetime import datetime
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

import msgspec
from msgspec import UNSET, Meta, Raw, UnsetType

from rigmark.bench.enums import TIMED, CompileMode, Isa, Layout, Mode, Outcome, Precision, StartMethod, TrialKind
from rigmark.bench.errors import UserError
from rigmark.bench.host import files
from rigmark.bench.store import sealing
from rigmark.bench.store.record import SCHEMA, id_of, key_of

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
Hash12 = Annotated[str, Meta(pattern="^[0-9a-f]{12}$")]

NULL = Raw(b"null")


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


class Identity(Part, frozen=True, kw_only=True):
    kind: TrialKind
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


class Texts(Part, frozen=True, kw_only=True):
    """Parts of a record as they stand in its file, for its id and for columns of texts."""

    identity: dict[str, Any]
    machine: Raw
    system: Raw = NULL
    telemetry: Raw = NULL


class Checked(NamedTuple):
    """A record that passed."""

    record: StoredRecord
    texts: Texts


class Head(Part, frozen=True, kw_only=True):
    """What records of all schemas have."""

    schema: Number


RECORD = msgspec.json.Decoder(StoredRecord)
TEXTS = msgspec.json.Decoder(Texts)
HEAD = msgspec.json.Decoder(Head)
PLAIN = msgspec.json.Decoder()
SYSTEM = msgspec.json.Decoder(System)
TELEMETRY = msgspec.json.Decoder(Telemetry)


ANEW = "the same run measures it anew"


def _free(record: StoredRecord, texts: Texts) -> Iterator[Raw]:
    """Parts that may hold anything that is JSON."""
    parts: list[Measurement | Layers | Parity | PairSide | None] = [record.measurement, record.layers, record.parity]
    if record.pair is not None:
        parts += [record.pair.base, record.pair.new]
    yield from (part.facts for part in parts if part is not None)
    yield from (texts.machine, texts.system, texts.telemetry)


@lru_cache(maxsize=512)      # most trials of a machine and a framework say the same
def _decodable(part: bytes) -> None:
    """Raises ValueError or RecursionError for what is valid JSON, but no number or depth that can be read."""
    PLAIN.decode(part)


class LeftOut(UserError):
    """A stored file that is not read: ``what`` it is and why, and what to do."""

    def __init__(self, what: str, to_do: str = ANEW):
        super().__init__(f"{what}; {to_do}")
        self.what = what


class TooNew(LeftOut):
    """A file that a later Rigmark wrote; it is never replaced."""


def read(path: Path) -> Checked:
    """The record in a file; raises LeftOut, TooNew for one of a later schema, files.NotThere where there is none."""
    return check(read_content(path), path)


def read_content(path: Path) -> bytes:
    """What a file of the store holds; raises LeftOut where it cannot be read."""
    try:
        return files.read_bytes(path)
    except files.NotThere:
        raise
    except files.Unreadable as error:
        raise damaged(path, error.reason) from None


def check(content: bytes, path: Path) -> Checked:
    """The record that a file holds; raises as ``read`` does."""
    try:
        if not content.isascii():
            content.decode()         # texts that no field needs are skipped unseen
        record, texts = RECORD.decode(content), TEXTS.decode(content)
        if record.schema > SCHEMA:
            raise too_new("record", path, record.schema, SCHEMA)
        for free in _free(record, texts):
            _decodable(bytes(free))
        if why := next(_contradictions(record), None):
            raise ValueError(why)
    except (ValueError, RecursionError) as error:        # of which msgspec's are
        check_schema("record", content, path, SCHEMA)
        raise damaged(path, reason(error, content)) from None
    computed_id = id_of(texts.identity)
    if record.content is not None and not sealing.fits(content, record.content) and computed_id == record.id:
        raise LeftOut(
            f"record {files.shown(path)} was left out: {sealing.EDITED}",
            ANEW if path.name == f"{record.key}.json" else "delete it",
        )
    if computed_id != record.id:
        raise LeftOut(
            f"record {files.shown(path)} was left out: its facts were edited, since their id is {computed_id} and not "
            f"{files.shown(record.id)}", ANEW if path.name == f"{record.key}.json" else "delete it",
        )
    check_name("record", path, record.key)
    return Checked(record, texts)


def check_name(what: str, path: Path, own_id: str) -> None:
    """Raises LeftOut where a file is not called by the key of what it holds."""
    if path.name != f"{own_id}.json":
        raise LeftOut(
            f"{what} {files.shown(path)} was left out: it is a copy or was renamed, since it holds {own_id}",
            f"delete it, or call it {own_id}.json",
        )


def check_schema(what: str, content: bytes, path: Path, newest: int) -> None:
    """Raises TooNew where a content that could not be read is of a later schema."""
    try:
        schema = HEAD.decode(content).schema
    except (ValueError, RecursionError):
        return
    if schema > newest:
        raise too_new(what, path, schema, newest)


def keep_newer(what: str, path: Path, newest: int) -> None:
    """Raises TooNew if the file at ``path`` has a later schema."""
    with contextlib.suppress(files.Unreadable):
        check_schema(what, files.read_bytes(path), path, newest)


def too_new(what: str, path: Path, schema: int, newest: int) -> TooNew:
    return TooNew(
        f"{what} {files.shown(path)} has schema {schema}, newer than this Rigmark reads ({newest})",
        "upgrade Rigmark to read it",
    )


def damaged(path: Path, why: str) -> LeftOut:
    return LeftOut(f"record {files.shown(path)} is damaged and was left out ({why})")


# Checks over several fields -----------------------------------------------------------------------------------------


def _check_alike(part: Any, *names: str) -> None:
    """Raises ValueError where lists are not of one length."""
    if len({len(getattr(part, name)) for name in names}) > 1:
        raise ValueError(f"{', '.join(names)} are not equally many")


FOUND_BY = {
    TrialKind.PROOF: "parity", TrialKind.TIMING: "measurement", TrialKind.LAYERS: "layers",
    TrialKind.LIMIT: "measurement", TrialKind.PAIR: "pair",
}
"""The part of a record that holds what a trial found, by its kind."""


def _contradictions(record: StoredRecord) -> Iterator[str]:
    """What cannot be true at once, a clause each."""
    identity, is_ok = record.identity, record.outcome is Outcome.OK
    kind, case = identity.kind, identity.case
    if case.world_size % case.devices_per_process:
        yield f"identity.case: {case.world_size} devices cannot be had with {case.devices_per_process} per process"
    if record.system is not None and bytes(record.system.facts)[:1] != b"{":
        yield "system.facts is no object"
    if record.machine.id != identity.machine:
        yield f"machine.id is {record.machine.id!r}, and {identity.machine!r} in its identity"
    if is_ok and getattr(record, FOUND_BY[kind]) is None:
        yield f"it is ok, and {FOUND_BY[kind]} is missing"
    if kind is TrialKind.PAIR and identity.base is None:
        yield "it is a pair, and identity.base is missing"
    if kind in TIMED and is_ok and record.measurement is not None:
        steps = record.measurement.steps_per_timing
        if steps is not None and steps != case.steps_per_timing:
            yield f"measurement.steps_per_timing is {steps}, and {case.steps_per_timing} in its identity"
    if kind is TrialKind.LIMIT and record.work is None:
        yield "it is of a limit, and work is missing"
    if kind is not TrialKind.LIMIT and record.graph is None:
        yield "it is of a network, and graph is missing"


# Reasons ------------------------------------------------------------------------------------------------------------


WHERE = re.compile(r"(?P<said>.*?)(?: - at `(?P<key>key in )?\$(?P<path>[^`]*)`)?", re.DOTALL)
LONGEST_VALUE = 60


def reason(error: Exception, content: bytes) -> str:
    """A clause on what does not fit, with its place and value: "work.flops is -1: expected int >= 0"."""
    if isinstance(error, RecursionError):
        return files.NESTED
    match = WHERE.fullmatch(str(error))
    assert match is not None
    said = match["said"].replace("`", "")
    said = said if said[:2].isupper() else said[:1].lower() + said[1:]       # "JSON is malformed" begins with a name
    path = (match["path"] or "").lstrip(".")
    if not path:
        return files.shown(said)
    value = _value(content, path)
    is_shown = value is not None and match["key"] is None
    return files.shown(f"{path} is {value}: {said}" if is_shown else f"{path}: {said}")


def _value(content: bytes, path: str) -> str | None:
    """What stands at a path, as JSON; None where that is a list, an object or nothing."""
    try:
        value = json.loads(content)
        for name in re.findall(r"[^.\[\]]+", path):
            value = value[int(name)] if isinstance(value, list) else value[name]
    except (ValueError, LookupError, TypeError, RecursionError):
        return None
    if isinstance(value, dict | list):
        return None
    words = json.dumps(value)
    return words if len(words) <= LONGEST_VALUE else f"{words[:LONGEST_VALUE]}…"


def read_all(paths: Iterable[Path], problems: list[str]) -> Iterator[Checked]:
    """The records of some files; a sentence for each that is left out is added to ``problems``, by name."""
    for path in sorted(paths, key=str):
        try:
            yield read(path)
        except files.NotThere:
            continue                 # a sweep that goes on has put another in its place since
        except LeftOut as error:
            problems.append(str(error))
