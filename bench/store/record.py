"""The record of one trial: plain data, written once, never edited. docs/record.schema.json describes it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from rigmark.bench.enums import Outcome
from rigmark.bench.host import secrets
from rigmark.bench.host.plain import encodable

SCHEMA = 1
SORTED = json.JSONEncoder(sort_keys=True).encode         # created once: the id of every record that is read is computed
BASE, NEW = SIDES = ("base", "new")     # the sides of a pair


@dataclass(frozen=True, kw_only=True)
class Identity:
    """The identity of a trial: if any of these facts differs, it is another trial. Its hash is the trial's id."""

    kind: str                # the name of a file in bench.trials.kinds
    case: dict[str, Any]             # Case.plain(); for a proof, only the facts that it covers
    repetition: int
    session: str
    graph_fingerprint: str           # for a micro-benchmark, the hash of its work
    build: dict[str, Any]            # Python, packages, variables that change results
    machine: str                     # Machine.id
    code_version: str                # hash of the code that every trial runs
    settings: dict[str, Any]         # settings of the timing, seed
    base: dict[str, Any] | None = None       # of a pair: the base build, and its code_version

    def plain(self) -> dict[str, Any]:
        """The identity as it is stored and hashed."""
        plain: dict[str, Any] = encodable(asdict(self))
        return plain

    @property
    def id(self) -> str:
        return id_of(self.plain())


def id_of(facts: Mapping[str, Any]) -> str:
    """The id of the trial with this identity as plain data; a stored identity may have fewer facts."""
    if facts.get("base") is None:    # so that trials keep the ids from before there were pairs
        facts = {name: fact for name, fact in facts.items() if name != "base"}
    return hashlib.sha256(SORTED(facts).encode()).hexdigest()[:16]


def key_of(trial_id: str, node: str | None) -> str:
    """The key of a record in its store, which differs between nodes. Old records do not state their node."""
    return trial_id if node is None else f"{trial_id}-{node}"


def key_of_plain(record: Mapping[str, Any]) -> str:
    """The key of a stored record."""
    return key_of(record["id"], record.get("node"))


@dataclass(frozen=True, kw_only=True)
class Record:
    """One trial and its result."""

    identity: Identity
    suite: str
    run_id: str                      # id of the command that measured it
    command: str                     # the command line that repeats it
    recorded_at: str                 # UTC, ISO 8601
    outcome: Outcome
    reason: str | None               # a sentence; None if ok
    last_words: str = ""             # end of the worker's stderr if it failed
    graph: dict[str, Any] | None     # name, parameters, multiply_adds, flops_per_sample, optimizer; None for a limit
    work: dict[str, Any] | None = None           # of one execution of a micro-benchmark; None for a network
    interpreter: str                 # the interpreter of the worker
    machine: dict[str, Any]          # Machine.plain()
    node: str | None = None          # which machine of that kind, see bench.machine.node; None in older records
    boot: str | None = None          # its boot, likewise; None also if the system has no id of it
    system: dict[str, Any] | None = None         # fingerprint, facts and volatile facts; see bench.machine.system
    telemetry: dict[str, Any] | None = None      # telemetry of the trial, see bench.telemetry; None: off
    load_before: float | None        # load average when the trial started
    wall_time_s: float               # of the whole trial, from the start of its process to its end
    measurement: dict[str, Any] | None = None    # of a successful timed trial; see bench.worker.measure
    layers: dict[str, Any] | None = None         # of a successful layer trial; see bench.trials.kinds.layers
    parity: dict[str, Any] | None = None         # of a proof; see bench.trials.parity
    pair: dict[str, Any] | None = None           # of a successful pair; see bench.trials.kinds.pair
    isa: dict[str, Any] | None = None            # instruction sets that were asked for and that ran; None: not asked
    cpus: list[int] = field(default_factory=list)    # numbers of the cores that the worker was limited to
    world: dict[str, Any] | None = None      # facts of each rank, see bench.launch.ranks; None for one device
    certificate: str | None = None   # key of the proof of a timing or layer trial
    origin: str = "measured"
    schema: int = field(default=SCHEMA)

    @property
    def id(self) -> str:
        return self.identity.id

    @property
    def key(self) -> str:
        return key_of(self.id, self.node)

    def plain(self) -> dict[str, Any]:
        """The record as it is stored. Free texts contain no secrets; variables contain none from the start."""
        plain = encodable(asdict(self))
        return {"schema": self.schema, "id": self.id, **secrets.cleaned(plain), "identity": plain["identity"]}
