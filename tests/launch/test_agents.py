"""Ranks that a launcher started: they find each other by its variables, and are measured as one world."""

from __future__ import annotations

import json
import socket
import threading
import uuid
from multiprocessing.connection import Connection
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from rigmark.bench.enums import Outcome, TrialKind
from rigmark.bench.errors import UserError
from rigmark.bench.launch import agents, ranks
from rigmark.bench.machine import hardware
from rigmark.bench.plan.case import Case
from tests.fakes import TOKEN, Answering, alive, eventually, make_case, measure, start_rigmark

RUN = (
    "run", "--model", "mlp", "--framework", "numpy", "--mode", "inference", "--batch", "2", "--threads", "1",
    "--repetitions", "1", "--min-time", "0.01", "--world-size", "2", "--oversubscribe",
)


@pytest.mark.parametrize(
    ("launcher", "variables"),
    [
        ("torchrun", {"RANK": "1", "WORLD_SIZE": "4", "MASTER_ADDR": "node0", "MASTER_PORT": "29500"}),
        ("mpirun", {"OMPI_COMM_WORLD_RANK": "1", "OMPI_COMM_WORLD_SIZE": "4"}),
        ("srun", {"SLURM_PROCID": "1", "SLURM_NTASKS": "4", "SLURM_LAUNCH_NODE_IPADDR": "10.0.0.1"}),
    ],
)
def test_a_launchers_variables_tell_a_process_its_place(launcher: str, variables: dict[str, str]):
    result = agents.member(variables)

    assert result is not None
    assert (launcher, 1, 4) == (result.launcher, result.rank, result.processes)
    assert result.address == variables.get("MASTER_ADDR", variables.get("SLURM_LAUNCH_NODE_IPADDR", ranks.LOOPBACK))


def test_a_process_that_is_alone_has_no_place():
    assert agents.member({}) is None
    assert agents.member({"SLURM_PROCID": "0", "SLURM_NTASKS": "1"}) is None


def test_variables_that_make_no_sense_are_answered_in_a_sentence():
    with pytest.raises(UserError, match="torchrun states rank 'x' of '2'; unset RANK and WORLD_SIZE"):
        agents.member({"RANK": "x", "WORLD_SIZE": "2"})


def test_ranks_of_one_command_are_measured_as_one_world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    token = uuid.uuid4().hex
    monkeypatch.setenv(TOKEN, token)
    port, = ranks.free_ports(1)
    places = [{"RANK": str(rank), "WORLD_SIZE": "2", agents.PORT_VARIABLE: str(port)} for rank in (0, 1)]
    folders = [tmp_path / "node0", tmp_path / "node1"]
    for folder in folders:
        folder.mkdir()

    with (
        start_rigmark(*RUN, cwd=folders[0], **places[0]) as first,
        start_rigmark(*RUN, cwd=folders[1], **places[1]) as second,
    ):
        ended = [process.communicate(timeout=120) for process in (first, second)]

    assert [0, 0] == [first.returncode, second.returncode], ended
    records = [json.loads(path.read_text()) for path in folders[0].glob("results/records/*.json")]
    (timing,) = (record for record in records if record["identity"]["kind"] == "timing")
    assert "ok" == timing["outcome"]
    assert (2, 1) == (timing["world"]["processes"], timing["world"]["nodes"])
    assert 2 == len(timing["world"]["rank_timings_s"])
    assert not (folders[1] / "results").exists()         # one of them measures
    assert eventually(lambda: not alive(token), within_s=20.0)


def alone(monkeypatch: pytest.MonkeyPatch) -> agents.Member:
    """Rank 0 of 2, which is patient for half a second; who connects to its port before it listens is heard then."""
    server = socket.create_server((ranks.LOOPBACK, 0))
    monkeypatch.setattr(socket, "create_server", lambda _: server)
    monkeypatch.setattr(agents, "PATIENCE_S", 0.5)
    return agents.Member(
        launcher="torchrun", rank=0, processes=2, address=ranks.LOOPBACK, port=server.getsockname()[1], job="")


def test_a_rank_that_connects_and_then_hangs_is_named_by_its_machine(monkeypatch: pytest.MonkeyPatch):
    at, there = alone(monkeypatch), []
    hung = threading.Thread(target=lambda: there.append(agents._connected(at)))
    hung.start()

    with pytest.raises(UserError, match=r"a rank on 127.0.0.1 connected, but did not say within 0.5 s .*missing: 1"):
        agents.Agents(at)

    hung.join()
    there[0].close()


def test_a_stranger_that_connects_and_says_nothing_does_not_end_the_wait_for_the_ranks(
    monkeypatch: pytest.MonkeyPatch
):
    at = alone(monkeypatch)

    with (
        socket.create_connection((at.address, at.port)),
        pytest.raises(UserError, match=r"of 2 ranks these did not connect within 0.5 s: 1"),
    ):
        agents.Agents(at)


def test_an_agent_that_does_not_answer_after_the_deadline_is_a_failure_of_its_rank(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(agents, "PATIENCE_S", 0.0)
    there, (ours, theirs) = agents_on("ab"), socket.socketpair()
    there._connections = {1: Connection(ours.detach())}
    launch: Any = SimpleNamespace(
        rank=1, build=SimpleNamespace(name="default"), isa="native", cpus=[0], threads=1, deadline_s=0.0)

    hung, next_one = (there.start(launch, {}, tmp_path) for _ in range(2))

    theirs.close()
    assert (Outcome.CRASHED, "its agent on b does not answer; see whether that machine hangs") == (
        hung.outcome, hung.reason)
    assert (Outcome.CRASHED, "its agent on b has ended") == (next_one.outcome, next_one.reason)      # no late answer


def agents_on(hosts: str) -> agents.Agents:
    """Agents that have come from hosts of these names, of one core each."""
    there = agents.Agents.__new__(agents.Agents)
    there.processes = len(hosts)
    there._of = [
        agents.Agent(rank=rank, host=host, cpus=(0,), machine="m", code="c") for rank, host in enumerate(hosts)
    ]
    return there


def test_a_rank_has_a_number_among_those_on_its_machine():
    case = make_case(framework="torch", strategy="ddp", world_size=4)

    assert [("a", 0), ("a", 1), ("b", 0), ("b", 1)] == [
        (place.host, place.local_rank) for place in agents_on("aabb").places(case)
    ]


def test_a_refused_world_has_the_places_that_there_are():
    """A record of it holds their cores; to look for those of ranks that were not started would end the sweep."""
    case = make_case(framework="torch", strategy="ddp", world_size=4)

    assert "4 processes are needed and 2 were started" in str(agents_on("ab").refusal(case))
    assert ["a", "b"] == [place.host for place in agents_on("ab").places(case)]


class Few(Answering):
    """A launcher that has started fewer processes than a world needs."""

    def refusal(self, case: Case) -> str | None:
        return "too few were started" if case.processes > 1 else None

    def places(self, case: Case) -> list[ranks.Place]:
        return super().places(case)[:1]


def test_what_a_launcher_refuses_is_a_record_and_the_rest_is_measured(tmp_path: Path):
    tally = measure(tmp_path, launcher=Few(), world_sizes=(1, 2), threads=(1,), oversubscribe=True)

    timed = {r.identity.case["world_size"]: r for r in tally.stored if r.identity.kind == TrialKind.TIMING}
    assert (Outcome.OK, None) == (timed[1].outcome, timed[1].reason)
    assert (Outcome.UNSUPPORTED, "too few were started") == (timed[2].outcome, timed[2].reason)
    assert [hardware.usable_cpus()[0]] == timed[2].cpus
