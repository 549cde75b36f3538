"""Ranks that torchrun, mpirun or srun started, with the same command on every machine.

The process with rank 0 measures, and is the parent of its own workers as usual. Every other process is an agent: it
connects to rank 0, starts a worker on request, and sends back its answer. Nothing is pickled; agents run their own
build of the same name.
"""

from __future__ import annotations

import contextlib
import json
import socket
import struct
import tempfile
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from multiprocessing import AuthenticationError
from multiprocessing.connection import Client, Connection, answer_challenge, deliver_challenge, wait
from pathlib import Path
from typing import Any

from rigmark.bench.builds import build as builds
from rigmark.bench.builds import worker_package
from rigmark.bench.enums import Cause, Outcome
from rigmark.bench.errors import UserError
from rigmark.bench.host.workfolder import working_folder
from rigmark.bench.launch.here import Here
from rigmark.bench.launch.ranks import LOOPBACK, Place, cpus_of
from rigmark.bench.machine import hardware, isa
from rigmark.bench.plan.case import Case
from rigmark.bench.processes.launch import Launch
from rigmark.bench.processes.spawn import ARRAYS, Answer, Listener, not_run, run_worker

PORT_VARIABLE = "RIGMARK_PORT"
DEFAULT_PORT = 29_517
PATIENCE_S = 120.0           # time for each rank to connect, and then for each of its messages to arrive
RETRY_S = 0.1
STOP = b"stop"
FILES = ("inputs", "weights")        # keys of a job whose values are paths of files; "shards" has several

LAUNCHERS = (
    # Name of the launcher; its variables for rank, number of ranks, rank on this machine, and id of the job.
    ("torchrun", "RANK", "WORLD_SIZE", "LOCAL_RANK", "TORCHELASTIC_RUN_ID"),
    ("mpirun", "OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_LOCAL_RANK", "PMIX_NAMESPACE"),
    ("mpirun", "PMI_RANK", "PMI_SIZE", "MPI_LOCALRANKID", "PMI_ID"),
    ("srun", "SLURM_PROCID", "SLURM_NTASKS", "SLURM_LOCALID", "SLURM_JOB_ID"),
)


@dataclass(frozen=True, kw_only=True)
class Member:
    """The position of this process among those of a launcher."""

    launcher: str
    rank: int
    processes: int
    address: str                 # of the machine of rank 0
    port: int                    # the port at which rank 0 waits for the others
    job: str


def member(variables: Mapping[str, str]) -> Member | None:
    """The position of this process; None if it was started alone. Raises UserError for inconsistent variables."""
    for launcher, rank, size, _, job in LAUNCHERS:
        if rank in variables and size in variables:
            try:
                this = Member(
                    launcher=launcher, rank=int(variables[rank]), processes=int(variables[size]),
                    address=variables.get("MASTER_ADDR") or variables.get("SLURM_LAUNCH_NODE_IPADDR") or LOOPBACK,
                    port=_port(variables), job=variables.get(job, ""),
                )
            except ValueError:
                raise UserError(
                    f"{launcher} states rank '{variables[rank]}' of '{variables[size]}'; unset {rank} and {size} to "
                    "measure in this process alone"
                ) from None
            return this if this.processes > 1 else None
    return None


def _port(variables: Mapping[str, str]) -> int:
    if PORT_VARIABLE in variables:
        return int(variables[PORT_VARIABLE])
    # torchrun itself listens on the port of the master.
    return int(variables["MASTER_PORT"]) + 1 if "MASTER_PORT" in variables else DEFAULT_PORT


@dataclass(frozen=True, kw_only=True)
class Agent:
    """What an agent states about itself when it connects."""

    rank: int
    host: str
    cpus: tuple[int, ...]
    machine: str
    code: str


def _here(rank: int) -> Agent:
    return Agent(
        rank=rank, host=socket.gethostname(), cpus=tuple(hardware.usable_cpus()), machine=hardware.machine().id,
        code=worker_package.package_version(),
    )


# Rank 0 ---------------------------------------------------------------------------------------------------------------


class Agents:
    """The connected agents of a launcher. Use it as a context manager; at its end they end too.

    Raises UserError if an agent does not connect, is on another kind of machine, or has other code.
    """

    def __init__(self, at: Member):
        self.address, self.processes = at.address, at.processes
        self._here = Here()
        self._of: list[Agent] = [_here(0)]
        self._connections: dict[int, Connection] = {}
        try:
            with socket.create_server((at.address, at.port)) as server:
                server.settimeout(PATIENCE_S)        # for each connection, since a rank that crashed never connects
                self._gather(server, at)
        except OSError as error:
            raise UserError(
                f"cannot wait for {at.launcher}'s other ranks at {at.address}:{at.port}: {error.strerror or error}; "
                f"set {PORT_VARIABLE} to a free port, the same for all ranks"
            ) from None
        self._of.sort(key=lambda agent: agent.rank)
        for agent in self._of[1:]:
            for what, own, ours in (
                ("measuring code", agent.code, self._of[0].code),
                ("kind of machine", agent.machine, self._of[0].machine),
            ):
                if own != ours:
                    self.__exit__()
                    raise UserError(f"rank {agent.rank} on {agent.host} has another {what} than rank 0; devices of a "
                                    "world must be alike")

    def _gather(self, server: socket.socket, at: Member) -> None:
        while len(self._connections) < at.processes - 1:
            missing = ", ".join(map(str, sorted(set(range(1, at.processes)) - self._connections.keys())))
            try:
                accepted, (host, *_) = server.accept()
            except TimeoutError:
                raise UserError(
                    f"of {at.processes} ranks these did not connect within {PATIENCE_S:g} s: {missing}") from None
            try:
                connection = _greeted(accepted, _key(at))
            except (AuthenticationError, EOFError, OSError):
                continue             # no process of this job, or one that will try again
            try:
                hello = json.loads(connection.recv_bytes())
            except (EOFError, OSError):
                raise UserError(
                    f"a rank on {host} connected, but did not say within {PATIENCE_S:g} s which it is; still missing: "
                    f"{missing}; see whether that machine hangs"
                ) from None
            agent = Agent(**{**hello, "cpus": tuple(hello["cpus"])})
            self._connections[agent.rank] = connection
            self._of.append(agent)

    def __enter__(self) -> Agents:
        return self

    def __exit__(self, *error: object) -> None:
        for connection in self._connections.values():
            connection.close()

    @property
    def cores(self) -> int:
        """The number of cores of all machines; cores that several ranks may use are counted once."""
        return len({(agent.host, cpu) for agent in self._of for cpu in agent.cpus})

    def places(self, case: Case) -> list[Place]:
        """As Launcher.places: each rank gets its own share of the cores that it and the ranks before it may use."""
        places: list[Place] = []
        for rank, own in enumerate(self._of[:case.processes]):
            before = self._of[:rank]
            sharing = sum((agent.host, agent.cpus) == (own.host, own.cpus) for agent in before)
            places.append(Place(
                host=own.host, cpus=tuple(cpus_of(case, sharing, own.cpus)),
                local_rank=sum(agent.host == own.host for agent in before),
            ))
        return places

    def refusal(self, case: Case) -> str | None:
        """Why the launcher's processes cannot run a case; None if they can."""
        if case.processes <= self.processes:
            return None
        return (f"{case.processes} processes are needed and {self.processes} were started; start as many, or fewer "
                "devices")

    def start(
        self, launch: Launch, job: Mapping[str, Any], directory: Path, *, listener: Listener | None = None,
        stop: int | None = None,
    ) -> Answer:
        """As Launcher.start; ranks other than 0 use the build of that name on their own machine."""
        if launch.rank is None:
            return self._here.start(launch, job, directory, listener=listener, stop=stop)
        if launch.rank == 0:         # as fresh an interpreter as those of the other ranks
            return self._here.start(replace(launch, fork=None), job, directory, listener=listener, stop=stop)
        connection = self._connections[launch.rank]
        try:
            _send_job(connection, launch, job)
            # The agent itself ends a worker at its deadline.
            ready = wait([connection, *([] if stop is None else [stop])], launch.deadline_s + PATIENCE_S)
            if not ready:
                raise BlockingIOError
            if connection not in ready:
                connection.send_bytes(STOP)
            return receive_answer(connection, directory / ARRAYS)
        except BlockingIOError:
            connection.close()       # an answer that still came would be taken for that of the next job
            return not_run(Outcome.CRASHED, f"its agent on {self._of[launch.rank].host} does not answer; see whether "
                           "that machine hangs")
        except (OSError, EOFError):
            return not_run(Outcome.CRASHED, f"its agent on {self._of[launch.rank].host} has ended")

    def release(self) -> None:
        self._here.release()


def _greeted(accepted: socket.socket, key: bytes) -> Connection:
    """The connection of a process that has connected, and that has the right key (multiprocessing.connection.Client).

    Raises AuthenticationError for another key. Here and later, BlockingIOError is raised for a process that hangs: if
    it sends or receives nothing for PATIENCE_S.
    """
    accepted.setblocking(True)
    for limit in (socket.SO_RCVTIMEO, socket.SO_SNDTIMEO):
        accepted.setsockopt(socket.SOL_SOCKET, limit, struct.pack("@ll", *divmod(round(PATIENCE_S * 1e6), 1_000_000)))
    connection = Connection(accepted.detach())
    try:
        deliver_challenge(connection, key)
        answer_challenge(connection, key)
    except BaseException:
        connection.close()
        raise
    return connection


def _key(at: Member) -> bytes:
    """A key of the job, so that processes of another job that connect by mistake are refused."""
    return f"rigmark {at.job} {at.processes}".encode()


def _paths(job: Mapping[str, Any]) -> list[str]:
    return [*(job[name] for name in FILES if name in job), *job.get("shards", ())]


def _order(launch: Launch, job: Mapping[str, Any]) -> dict[str, Any]:
    """The message that tells an agent what to start; the contents of its files follow."""
    return {
        "job": job, "build": launch.build.name, "isa": launch.isa, "cpus": launch.cpus, "threads": launch.threads,
        "deadline_s": launch.deadline_s, "files": sorted(set(_paths(job))),
    }


def _send_job(connection: Connection, launch: Launch, job: Mapping[str, Any]) -> None:
    order = _order(launch, job)
    connection.send_bytes(json.dumps(order).encode())
    for path in order["files"]:
        connection.send_bytes(Path(path).read_bytes())


def send_answer(connection: Connection, answer: Answer, arrays: Path) -> None:
    """Sends the answer of a worker, with the arrays that it may have left in a file, to ``receive_answer``."""
    has_arrays = answer.outcome is Outcome.OK and arrays.exists()
    connection.send_bytes(json.dumps({**asdict(answer), "has_arrays": has_arrays}).encode())
    if has_arrays:
        connection.send_bytes(arrays.read_bytes())


def receive_answer(connection: Connection, arrays: Path) -> Answer:
    """The answer that ``send_answer`` sent; its arrays, if there are any, are written to the file ``arrays``."""
    plain = json.loads(connection.recv_bytes())
    has_arrays = plain.pop("has_arrays")
    cause = None if plain["cause"] is None else Cause(plain["cause"])
    answer = Answer(**{**plain, "outcome": Outcome(plain["outcome"]), "cause": cause})
    if has_arrays:
        arrays.write_bytes(connection.recv_bytes())
    return answer


# Every other rank -----------------------------------------------------------------------------------------------------


def serve(at: Member) -> None:
    """Runs as an agent until rank 0 is done; raises UserError if there is no rank 0."""
    connection = _connected(at)
    with contextlib.closing(connection), working_folder() as folder:
        package, known = worker_package.write(folder), builds.load()
        connection.send_bytes(json.dumps(asdict(_here(at.rank))).encode())
        with contextlib.suppress(EOFError, OSError):         # rank 0 is done, or has ended
            while True:
                message = connection.recv_bytes()
                if message != STOP:                          # STOP may come after an answer was sent
                    _do(json.loads(message), connection, folder, package, known)


def _connected(at: Member) -> Connection:
    until = time.monotonic() + PATIENCE_S
    while True:
        try:
            return Client((at.address, at.port), authkey=_key(at))
        except AuthenticationError:
            raise UserError(
                f"at {at.address}:{at.port} another job is waiting; set {PORT_VARIABLE} to a free port, the same for "
                "all ranks"
            ) from None
        except (OSError, EOFError) as error:
            if time.monotonic() > until:
                raise UserError(f"no rank 0 at {at.address}:{at.port}: {error}") from None
            time.sleep(RETRY_S)


def _do(
    order: Mapping[str, Any], connection: Connection, folder: Path, package: Path, known: Mapping[str, builds.Build]
) -> None:
    received = {}
    for index, path in enumerate(order["files"]):
        received[path] = str(folder / f"file-{index}.npz")
        Path(received[path]).write_bytes(connection.recv_bytes())
    job = dict(order["job"])
    job |= {name: received[job[name]] for name in FILES if name in job}
    if "shards" in job:
        job["shards"] = [received[path] for path in job["shards"]]
    build = known.get(order["build"])
    with tempfile.TemporaryDirectory(dir=folder) as name:
        directory = Path(name)
        if build is None:
            answer = not_run(
                Outcome.NOT_INSTALLED, f"no build '{order['build']}' on {socket.gethostname()}"
            )
        else:
            launch = Launch.of(
                build, package, cpus=order["cpus"], threads=order["threads"], deadline_s=order["deadline_s"],
                more=[isa.variables(job["framework"], order["isa"])], isa=order["isa"],
            )
            # Anything from rank 0 while a worker runs, even the end of the connection, means that it must stop.
            answer = run_worker(launch, job, directory, stop=connection.fileno())
        send_answer(connection, answer, directory / ARRAYS)
