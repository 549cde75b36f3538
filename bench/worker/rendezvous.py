"""The rank group: the processes of one trial meet at a port, wait for each other, and agree on decisions.

This is independent of the framework's communication, and never happens between two readings of the clock.
"""

import hashlib
import json
import socket
import time

import numpy as np

from . import graphs

RETRY_S = 0.02


class Lost(Exception):
    """Another rank has ended, or never started."""


class RankGroup(object):
    """The ranks of a ``world`` (see bench.worker.strategies); raises Lost if not all of them connect in time."""

    def __init__(self, world):
        self.rank, self.processes = world["rank"], world["processes"]
        self.devices, self._size = world["devices_per_process"], world["size"]
        self._peers = []                 # in rank 0: one file per other rank, in order; in the others: that of rank 0
        if self.processes > 1:
            meet = self._receive if self.rank == 0 else self._connect
            meet(world["address"], world["ports"][0], time.time() + world["patience_s"])

    def exchanged(self, value):
        """The list of the values of all ranks, once all have called it; plain data only."""
        if self.processes == 1:
            return [value]
        if self.rank == 0:
            values = [value] + [_read(peer, index + 1) for index, peer in enumerate(self._peers)]
            for index, peer in enumerate(self._peers):
                _write(peer, values, index + 1)
            return values
        _write(self._peers[0], value, 0)
        return _read(self._peers[0], 0)

    def decided(self, value):
        """The value of rank 0, in all ranks, once all have called it; they continue at the same time."""
        return self.exchanged(value)[0]

    def part(self, samples):
        """The slice of the samples of a global batch that belong to this process."""
        own = samples // self._size * self.devices
        return slice(self.rank * own, (self.rank + 1) * own)

    def _receive(self, address, port, until):
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((address, port))
        listener.listen(self.processes)
        peers = {}
        while len(peers) < self.processes - 1:
            listener.settimeout(max(RETRY_S, until - time.time()))
            try:
                connection = listener.accept()[0]
            except socket.timeout:
                missing = sorted(set(range(1, self.processes)) - set(peers))
                raise Lost("rank %d never connected to %s:%d" % (missing[0], address, port)) from None
            peer = _file(connection)
            peers[_read(peer, -1)] = peer
        listener.close()
        self._peers = [peers[rank] for rank in sorted(peers)]

    def _connect(self, address, port, until):
        while True:
            try:
                connection = socket.create_connection((address, port), timeout=max(RETRY_S, until - time.time()))
                break
            except OSError as error:
                if time.time() > until:
                    raise Lost("no rank 0 at %s:%d: %s" % (address, port, error)) from None
                time.sleep(RETRY_S)
        self._peers = [_file(connection)]
        _write(self._peers[0], self.rank, 0)


def _file(connection):
    connection.settimeout(None)          # the parent enforces the deadline
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection.makefile("rwb")


def _write(peer, value, rank):
    try:
        peer.write(json.dumps(value).encode() + b"\n")
        peer.flush()
    except OSError as error:
        raise Lost("rank %d is gone: %s" % (rank, error)) from None


def _read(peer, rank):
    try:
        line = peer.readline()
    except OSError as error:
        raise Lost("rank %d is gone: %s" % (rank, error)) from None
    if not line.endswith(b"\n"):
        raise Lost("rank %d is gone" % rank)
    return json.loads(line.decode())


ALONE = RankGroup({"rank": 0, "processes": 1, "devices_per_process": 1, "size": 1})
"""The group of a case on one device."""


def of(job):
    """The rank group of a job; ALONE if the job has only one process."""
    return RankGroup(job["world"]) if job.get("world") else ALONE


def digests(prepared, graph):
    """[{key: digest of a trainable parameter}], one dict per device of this process."""
    trainable = {key for key, parameter in graphs.parameters_of(graph).items() if parameter["is_trainable"]}
    return [
        {
            key: hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest()[:16]
            for key, array in weights.items() if key in trainable
        }
        for weights in prepared.replicas()
    ]
