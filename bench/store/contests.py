"""Records of contests over things that are not our networks: one JSON file each, in a folder beside that of trials.

A contest cannot be continued, since what a command reads may have changed meanwhile; so each run has a record of its
own, which is written anew after every pair, so that an interrupt loses no finished pair.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from rigmark.bench.errors import UserError
from rigmark.bench.host import files, secrets
from rigmark.bench.host.plain import encodable
from rigmark.bench.store import reading, sealing
from rigmark.bench.store.stored import Checksum, Count, Index, Number, Part, Seconds, Side, Time

CONTESTS = "contests"
SCHEMA = 2                   # 2: cases with quantities of their own
Finite = Annotated[float, Meta(ge=-1e300, le=1e300)]


class Quantity(Part, frozen=True, kw_only=True):
    """As in bench.analysis.comparison.numbers."""

    name: str
    unit: str
    is_higher_better: bool
    margin: Annotated[float, Meta(gt=0, le=1e300)] | None


class Contestant(Part, frozen=True, kw_only=True):
    name: str
    command: str
    commit: str | None = None
    build: str | None = None
    interpreter: str | None = None
    variables: dict[str, str] = msgspec.field(default_factory=dict)
    packages: dict[str, str] | None = None       # by name, with "Python"; None: not known, or no Python


class Turn(Part, frozen=True, kw_only=True):
    numbers: dict[str, Finite]
    wall_time_s: Time
    cpu_time_s: Seconds | None
    left_behind: Index = 0
    largest_process_bytes: Count | None = None
    switches: Count | None = None                # how often it was taken from a core while it could have run


class Failed(Part, frozen=True, kw_only=True):
    side: Side
    outcome: str
    reason: str
    last_words: str


class Pair(Part, frozen=True, kw_only=True):
    unit: str
    is_warm_up: bool
    base: list[Turn]
    new: list[Turn]
    failure: Failed | None = None

    def __post_init__(self) -> None:
        if self.failure is None and not self.is_warm_up and (not self.base or len(self.base) != len(self.new)):
            raise ValueError("a pair has as many turns of each side, and one at least")


class Contest(Part, frozen=True, kw_only=True):
    """A stored contest."""

    schema: Number
    id: str
    recorded_at: str
    label: str
    quantity: Quantity
    base: Contestant
    new: Contestant
    budget_s: Seconds
    pairs: list[Pair]
    content: Checksum
    cpus: tuple[Index, ...] = ()
    quantities: dict[str, Quantity] = msgspec.field(default_factory=dict)    # where not ``quantity``
    only: dict[Side, list[str]] = msgspec.field(default_factory=dict)        # cases that one side has

    def __post_init__(self) -> None:
        datetime.fromisoformat(self.recorded_at)


CONTEST = msgspec.json.Decoder(Contest)


def read(path: Path) -> Contest:
    """The contest in a file; raises reading.LeftOut if it cannot be read."""
    content = reading.read_content(path)
    try:
        contest = CONTEST.decode(content)
        if contest.schema > SCHEMA:
            raise reading.too_new("contest", path, contest.schema, SCHEMA)
    except (ValueError, RecursionError) as error:
        reading.check_schema("contest", content, path, SCHEMA)
        raise reading.damaged(path, reading.reason(error, content)) from None
    if not sealing.fits(content, contest.content):
        raise reading.LeftOut(f"contest {files.shown(path)} was left out: {sealing.EDITED}", "delete it")
    reading.check_name("contest", path, contest.id)
    return contest


def read_all(root: Path) -> tuple[list[Contest], tuple[str, ...]]:
    """The contests of a results folder, oldest first, and a sentence for each that cannot be read."""
    found, problems = [], []
    for path in sorted((root / CONTESTS).glob("*.json")):
        try:
            found.append(read(path))
        except reading.LeftOut as error:
            problems.append(str(error))
    return sorted(found, key=lambda contest: datetime.fromisoformat(contest.recorded_at)), tuple(problems)


def latest(found: Sequence[Contest]) -> list[Contest]:
    """The last of those that contested the same thing, between the same sides, on the same cores."""
    last = {}
    for contest in found:
        sides = [(side.name, side.command, side.commit, side.build) for side in (contest.base, contest.new)]
        last[contest.label, contest.quantity.name, *sides, tuple(contest.cpus)] = contest
    return list(last.values())


class ContestFile:
    """The record of one contest, by its id."""

    def __init__(self, root: Path, identity: str):
        self.path = root / CONTESTS / f"{identity}.json"

    def write(self, plain: Mapping[str, Any]) -> None:
        """Replaces the content atomically; texts contain no secrets. Raises UserError if it cannot be written."""
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            content = {"schema": SCHEMA, "id": self.path.stem, **secrets.cleaned(encodable(dict(plain)))}
            files.write_atomically(self.path, sealing.sealed(content))
        except OSError as error:
            raise UserError(f"cannot store a contest in {files.shown(self.path.parent)}: {error.strerror}") from None
