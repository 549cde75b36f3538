"""Worlds to which bad things happen: one typed outcome that names the rank, in time, and nothing left behind."""

from __future__ import annotations

import os
import signal
import socket
import sys
import threading
import time
import uuid
from dataclasses import replace
from importlib.util import find_spec
from multiprocessing import Pipe
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pytest

from rigmark.bench import devices
from rigmark.bench.builds import worker_package
from rigmark.bench.builds.build import Build
from rigmark.bench.enums import CONSEQUENCES, Cause, Mode, Outcome, StartMethod, TrialKind
from rigmark.bench.launch import agents
from rigmark.bench.launch import ranks as world
from rigmark.bench.processes.launch import Launch
from rigmark.bench.processes.spawn import Answer, run_worker
from rigmark.bench.runner.tally import Tally
from rigmark.bench.store.record import Record
from rigmark.bench.store.store import Store
from rigmark.bench.worker import frameworks, jobs, rendezvous, strategies
from tests.fakes import SHORT, TOKEN, alive, eventually, lend_framework, make_case, measure

TWO = {"world_sizes": (2,), "threads": (1,), "repetitions": 1, "oversubscribe": True}


@pytest.fixture
def token(monkeypatch: pytest.MonkeyPatch) -> str:
    name = uuid.uuid4().hex
    monkeypatch.setenv(TOKEN, name)
    return name


@pytest.fixture
def ports(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The ports that worlds of this test meet at."""
    taken: list[int] = []
    free_ports = world.free_ports

    def remembered(count: int, address: str = world.LOOPBACK) -> list[int]:
        result = free_ports(count, address)
        taken.extend(result)
        return result

    monkeypatch.setattr(world, "free_ports", remembered)
    return taken


def timing(tally: Tally) -> Record:
    (record,) = (r for r in tally.stored if r.identity.kind == TrialKind.TIMING)
    return record


def is_free(port: int) -> bool:
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((world.LOOPBACK, port))
        except OSError:
            return False
    return True


# A world that goes well ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("start_method", StartMethod)
def test_replicas_are_timed_together_and_a_step_is_that_of_the_slowest(
    tmp_path: Path, start_method: StartMethod, token: str
):
    record = timing(measure(tmp_path, **TWO, timing=replace(SHORT, start_method=start_method)))

    assert (Outcome.OK, None) == (record.outcome, record.reason)
    assert record.measurement is not None
    assert record.world is not None
    ranks = record.world["rank_timings_s"]
    assert 2 == len(ranks) == record.world["processes"]
    assert record.measurement["timings_s"] == [max(timings) for timings in zip(*ranks, strict=True)]
    assert "nothing is communicated" == record.world["communication"]["problem"]
    assert eventually(lambda: not alive(token), within_s=20.0)


def test_a_record_of_several_devices_states_their_number_and_strategy(tmp_path: Path):
    record = timing(measure(tmp_path, **TWO, local_batches=(2,)))
    case = record.identity.case

    assert (2, 1, "replicas") == (case["world_size"], case["devices_per_process"], case["strategy"])
    assert case["oversubscribed"] == (len(os.sched_getaffinity(0)) < 2)
    stored = Store(tmp_path / "results").trials().table
    row = stored[stored.id == record.key].iloc[0]
    assert (2, "replicas") == (row.world_size, row.strategy)
    assert 2 == len(row.rank_timings_s)


def test_buckets_and_compression_are_those_that_were_asked_for(tmp_path: Path):
    if find_spec("torch") is None:
        pytest.skip("torch is not installed")
    record = timing(measure(
        tmp_path, **TWO, frameworks=("torch",), modes=(Mode.TRAINING,), buckets_mb=(0.02,),
        gradient_compressions=("fp16",), deadline_s=300.0,
    ))

    assert (Outcome.OK, None) == (record.outcome, record.reason)
    assert "ddp bucket_mb=0.02 gradient_compression=fp16" == record.identity.case["strategy"]
    assert record.world is not None
    assert record.graph is not None
    assert 2 == record.world["communication"]["buckets"]     # usually one: the first layer's weights fill no 25 MB
    sent_bytes = 2 * record.graph["parameters"]
    assert [sent_bytes] * 2 == [record.world["communication"]["reduced_bytes"], record.world["sent_bytes"]]


def test_what_a_strategy_lacks_is_unsupported_and_starts_no_worker(tmp_path: Path):
    tally = measure(
        tmp_path, **TWO, frameworks=("tensorflow",), modes=(Mode.TRAINING,), buckets_mb=(5.0,), strategies=("mirrored",)
    )

    assert {Outcome.UNSUPPORTED} == {record.outcome for record in tally.stored}
    assert all("without buckets" in str(record.reason) for record in tally.stored)


# Worlds that fail ----------------------------------------------------------------------------------------------------

MISBEHAVING = """
import json, os, time
from .numpy import adapter as honest

class Odd(honest.Network):
    def step(self):
        if json.load(open("job.json"))["world"]["rank"] == 1:
            {behaviour}
        super().step()

def prepare(graph, weights, settings):
    with open("job.json") as file:
        kind = Odd if json.load(file)["kind"] == "timing" else honest.Network
    return kind(graph, weights, settings)
"""


@pytest.mark.parametrize(
    ("behaviour", "outcome", "reason"),
    [
        ("os.kill(os.getpid(), 9)", Outcome.CRASHED, "rank 1 of 2: killed by SIGKILL after 'loaded'"),
        ("time.sleep(60)", Outcome.TIMEOUT, "of 2: no answer within 5 s; killed after 'loaded'"),
        ("raise MemoryError('no room')", Outcome.OUT_OF_MEMORY, "rank 1 of 2: MemoryError: no room"),
        ("raise ValueError('odd')", Outcome.CRASHED, "rank 1 of 2: ValueError: odd"),
    ],
)
def test_the_worst_rank_is_named_in_time_and_nothing_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, token: str, ports: list[int], behaviour: str, outcome: Outcome,
    reason: str,
):
    lend_framework(monkeypatch, "odd", MISBEHAVING.format(behaviour=behaviour))
    begin = time.monotonic()

    record = timing(measure(tmp_path, **TWO, frameworks=("odd",), deadline_s=5.0))

    assert outcome is record.outcome
    assert reason in str(record.reason)
    assert time.monotonic() - begin < 55
    assert eventually(lambda: not alive(token), within_s=20.0)
    assert ports
    assert all(is_free(port) for port in ports)


def test_a_rank_killed_from_outside_takes_its_world_with_it(tmp_path: Path, token: str, ports: list[int]):
    """PyTorch's own communication is in the middle of a sum then."""
    pytest.importorskip("torch")

    def kill_one() -> None:
        workers = eventually_many(token)
        workers[-1].send_signal(signal.SIGKILL)

    killer = threading.Thread(target=kill_one)
    killer.start()
    begin = time.monotonic()
    record = timing(measure(
        tmp_path, **TWO, frameworks=("torch",), modes=(Mode.TRAINING,), deadline_s=90.0,
        timing=replace(SHORT, min_time_s=30.0, max_time_s=30.0),
    ))
    killer.join()

    assert Outcome.CRASHED is record.outcome
    assert "killed by SIGKILL" in str(record.reason)
    assert time.monotonic() - begin < 100
    assert eventually(lambda: not alive(token), within_s=20.0)
    assert all(is_free(port) for port in ports)


def eventually_many(token: str) -> list[psutil.Process]:
    """The spawned workers of a world whose ranks have met, both for Rigmark and for PyTorch."""
    result: list[psutil.Process] = []

    def have_met() -> bool:
        result[:] = [process for process in alive(token) if is_rank(process)]
        return len(result) == 2 and all(connections(process) >= MEETINGS for process in result)

    assert eventually(have_met, within_s=90.0)
    return result


MEETINGS = 3         # of a rank: with the rank group, with PyTorch's store, with its peer


def is_rank(process: psutil.Process) -> bool:
    try:
        command = process.cmdline()
    except psutil.Error:
        return False
    return len(command) > 1 and command[1].endswith("worker.zip") and "--serve" not in command


def connections(process: psutil.Process) -> int:
    try:
        return sum(each.status == psutil.CONN_ESTABLISHED for each in process.net_connections("tcp"))
    except psutil.Error:
        return 0


# What a world answers ------------------------------------------------------------------------------------------------


def answer(outcome: Outcome = Outcome.OK, reason: str | None = None, **result: Any) -> Answer:
    return Answer(outcome=outcome, reason=reason, result=result, marks={}, last_words="", wall_time_s=1.0)


DDP = make_case(framework="torch", strategy="ddp", world_size=2, mode=Mode.TRAINING)


def test_devices_that_end_with_other_parameters_have_failed_parity():
    ranks = [answer(digests=[{"a": "1", "b": "2"}]), answer(digests=[{"a": "1", "b": "3"}])]

    joined = world.joined(DDP, ranks)

    assert Outcome.PARITY_FAILED is joined.outcome
    assert "1 of 2 parameters of device 1 differ from those of device 0, 'b' among them" in str(joined.reason)


def test_a_lost_peer_is_not_the_cause_where_another_ran_out_of_memory():
    lost = replace(answer(Outcome.CRASHED, "rank 1 is gone"), cause=Cause.PEER_LOST)

    assert "rank 1 of 2: too much" == world.joined(DDP, [lost, answer(Outcome.OUT_OF_MEMORY, "too much")]).reason


@pytest.mark.parametrize("cause", sorted(CONSEQUENCES))
def test_the_guilty_rank_is_told_by_the_cause_of_each_and_not_by_its_words(cause: Cause):
    """The outcomes are equal, and the guilty one lived longer: nothing else tells them apart."""
    guilty = replace(answer(Outcome.CRASHED, "Lost: the connection to the licence server"), wall_time_s=2.0)
    met = replace(answer(Outcome.CRASHED, "anything"), cause=cause)

    assert "rank 1 of 2: Lost: the connection to the licence server" == world.joined(DDP, [met, guilty]).reason


def test_a_worker_whose_peer_never_came_says_so_by_its_cause():
    assert ("crashed", "rank 1 is gone", Cause.PEER_LOST.value) == jobs.classified(rendezvous.Lost("rank 1 is gone"))
    assert jobs.classified(ValueError("Lost: rank 1 is gone"))[2] is None


def test_a_rank_that_finds_no_other_is_not_taken_for_the_guilty_one(tmp_path: Path):
    """Over the pipe from its worker, and over the network as an agent passes it on."""
    port, *_ = world.free_ports(1)
    job = {"kind": "proof", "world": {
        "rank": 1, "processes": 2, "devices_per_process": 1, "size": 2, "address": world.LOOPBACK, "ports": [port],
        "patience_s": 0.1,
    }}
    launch = Launch.of(
        Build(name="here", interpreter=sys.executable), worker_package.write(tmp_path),
        cpus=sorted(os.sched_getaffinity(0)), threads=1, deadline_s=60.0,
    )

    ran = run_worker(launch, job, tmp_path)

    assert (Outcome.CRASHED, Cause.PEER_LOST) == (ran.outcome, ran.cause)
    here, there = Pipe()
    agents.send_answer(there, ran, tmp_path / "answer.npz")
    assert ran == agents.receive_answer(here, tmp_path / "received.npz")


def test_strangers_cpu_time_is_not_that_of_other_ranks():
    def rank(**changes: Any) -> Answer:
        times = {"timings_s": [1.0, 1.0], "host_times_s": [1.0, 1.0], "warm_up_timings_s": [1.0]}
        return answer(digests=[{}], communication={"problem": "no"}, **{
            **times, "cpu_times_s": [0.9, 0.9], "other_cpu_time_s": 2.0, "prepare_time_s": 0.1, "first_step_s": 1.0,
            "peak_memory_bytes": 100, **changes,
        })

    joined = world.joined(DDP, [rank(), rank(timings_s=[1.0, 3.0], peak_memory_bytes=300)]).result

    assert [1.0, 3.0] == joined["timings_s"]
    assert [1.8, 1.8] == joined["cpu_times_s"]
    assert 300 == joined["peak_memory_bytes"]
    assert 0.2 == pytest.approx(joined["other_cpu_time_s"])


def test_ranks_have_cores_of_their_own_until_there_are_too_few():
    four = make_case(framework="torch", strategy="ddp", world_size=4, mode=Mode.TRAINING)

    assert [[0], [1], [2], [3]] == [world.cpus_of(four, rank, range(4)) for rank in range(4)]
    assert [[5], [7], [5], [7]] == [world.cpus_of(four, rank, (5, 7)) for rank in range(4)]
    assert [0, 1, 2, 3] == world.cpus_of(replace(four, devices_per_process=4), 0, range(8))


def test_each_rank_has_a_device_of_its_own_counted_from_the_one_that_was_asked_for():
    on_node = [{"local_rank": rank} for rank in range(2)]

    assert ["cuda:2", "cuda:3"] == [strategies.device_of("cuda:2", rank) for rank in on_node]
    assert ["cuda:0", "cuda:1"] == [strategies.device_of("cuda", rank) for rank in on_node]
    assert ["cpu", "cpu"] == [strategies.device_of("cpu", rank) for rank in on_node]


@pytest.mark.parametrize("strategy", ["replicas", "ddp", "fsdp"])
def test_every_strategy_of_one_device_a_process_gives_each_its_own(strategy: str, monkeypatch: pytest.MonkeyPatch):
    """Replicas that all ran on the first GPU would pass for a world."""
    torch = pytest.importorskip("torch")
    monkeypatch.setattr(torch.distributed, "init_process_group", lambda *_, **__: None)
    monkeypatch.setattr(torch.distributed, "is_nccl_available", lambda: True)
    monkeypatch.setattr(frameworks.load("torch"), "start_cuda", lambda *_: None)
    monkeypatch.setattr(strategies.load("ddp"), "start_cuda", lambda *_: None)
    given: list[str] = []
    adapter = SimpleNamespace(prepare=lambda graph, weights, settings, *kind: given.append(settings["device"]))
    settings = {"device": "cuda:1", "compile_mode": "eager", "precision": "fp32", "seed": 1}
    for rank in range(2):
        strategies.load(strategy).prepare(adapter, {"layers": []}, {}, settings, {
            "rank": rank, "local_rank": rank, "address": world.LOOPBACK, "ports": [1, 2], "processes": 2,
            "patience_s": 1.0, "options": {},
        })

    assert ["cuda:1", "cuda:2"] == given


@pytest.mark.skipif(find_spec("torch") is None, reason="needs torch")
def test_a_world_on_gpus_that_are_not_there_is_unsupported(tmp_path: Path):
    tally = measure(tmp_path, frameworks=("torch",), modes=(Mode.TRAINING,), devices=(devices.parsed("cuda:0"),), **TWO)

    assert {Outcome.UNSUPPORTED} == {record.outcome for record in tally.stored}


# How ranks agree -----------------------------------------------------------------------------------------------------


def joined_groups(count: int) -> list[rendezvous.RankGroup]:
    port, *_ = world.free_ports(1)
    result: dict[int, rendezvous.RankGroup] = {}

    def join(rank: int) -> None:
        result[rank] = rendezvous.RankGroup({
            "rank": rank, "processes": count, "devices_per_process": 1, "size": count, "address": world.LOOPBACK,
            "ports": [port], "patience_s": 10.0,
        })

    threads = [threading.Thread(target=join, args=(rank,)) for rank in reversed(range(count))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return [result[rank] for rank in range(count)]


def test_every_rank_hears_what_all_have_said_and_rank_0_decides():
    groups = joined_groups(3)
    heard: dict[int, Any] = {}

    def speak(rank: int) -> None:
        heard[rank] = groups[rank].exchanged(rank * 10), groups[rank].decided(f"by {rank}")

    threads = [threading.Thread(target=speak, args=(rank,)) for rank in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert dict.fromkeys(range(3), ([0, 10, 20], "by 0")) == heard


def test_a_rank_that_never_comes_is_named():
    port, *_ = world.free_ports(1)

    with pytest.raises(rendezvous.Lost, match="rank 1 never connected to"):
        rendezvous.RankGroup({
            "rank": 0, "processes": 2, "devices_per_process": 1, "size": 2, "address": world.LOOPBACK, "ports": [port],
            "patience_s": 0.1,
        })


def test_each_process_has_its_part_of_a_global_batch():
    first, second = joined_groups(2)

    assert (slice(0, 4), slice(4, 8)) == (first.part(8), second.part(8))
