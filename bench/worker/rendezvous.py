"""The processes of one world, as each of them sees the others: they meet at a port, wait for each other, and agree.

This is beside the framework's own communication, and never between two readings of the clock.
"""

import hashlib
import json
import socket
import time

import numpy as np

RETRY_S = 0.02


class Lost(Exception):
    """Another rank is gone, or never came."""


class Gang(object):
    """``world`` is described by bench.worker.strategies; raises Lost where not all ranks come in its time."""

    def __init__(self, world):
        self.rank, self.processes = world["rank"], world["processes"]
        self.devices, self._size = world["devices_per_process"], world["size"]
        self._peers = []                 # of rank 0: a file for each other rank, in order; of others: that of rank 0
        if self.processes > 1:
            meet = self._receive if self.rank == 0 else self._connect
            meet(world["address"], world["ports"][0], time.time() + world["patience_s"])

    def exchanged(self, value):
        """[what each rank has given here], when all have; plain data only."""
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
        """What rank 0 has given here, in all ranks, when all have come; they go on at the same time."""
        return self.exchanged(value)[0]

    def part(self, samples):
        """Which of the samples of a global batch are this process's: a slice."""
        own = samples // self._size * self.devices
        return slice(self.rank * own, (self.rank + 1) * own)

    def _receive(self, address, port, until):
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((address, port))
        listener.listen(self.processes)
        found = {}
        while len(found) < self.processes - 1:
            listener.settimeout(max(RETRY_S, until - time.time()))
            try:
                connection = listener.accept()[0]
            except socket.timeout:
                missing = sorted(set(range(1, self.processes)) - set(found))
                raise Lost("rank %d never came to %s:%d" % (missing[0], address, port)) from None
            peer = _file(connection)
            found[_read(peer, -1)] = peer
        listener.close()
        self._peers = [found[rank] for rank in sorted(found)]

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
    connection.settimeout(None)          # the parent has the deadline
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


ALONE = Gang({"rank": 0, "processes": 1, "devices_per_process": 1, "size": 1})
"""Of a case on one device."""


def of(job):
    """The gang of a job's world; ALONE where it has none."""
    return Gang(job["world"]) if job.get("world") else ALONE


def digests(prepared, graph):
    """[{key: digest of a trainable parameter}], one for each device of this process."""
    trainable = {
        layer["name"] + "/" + parameter["name"]
        for layer in graph["layers"] for parameter in layer["parameters"] if parameter["is_trainable"]
    }
    return [
        {
            key: hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest()[:16]
            for key, array in weights.items() if key in trainable
        }
        for weights in prepared.replicas()
    ]
