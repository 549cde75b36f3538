"""The node: identifies this machine among identical ones by a salted hash, so that records do not reveal its id.

``hardware.machine`` is the kind of machine, which is equal for the nodes of a cluster. Only files that every user may
read are used, so that all users get the same node.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import stat
from collections.abc import Iterator
from dataclasses import dataclass

import platformdirs

from rigmark.bench.errors import UserError
from rigmark.bench.host import files, kernel
from rigmark.bench.machine import hardware

MACHINE_IDS = ("etc/machine-id", "var/lib/dbus/machine-id")
SERIALS = ("sys/class/dmi/id/board_serial", "proc/device-tree/serial-number")
BOOT_ID = "proc/sys/kernel/random/boot_id"
NOT_SET = frozenset({"uninitialized", "none", "default string", "to be filled by o.e.m.", "0", "not specified"})
"""Placeholders, in lower case, that stand for an id or a serial number that was never set."""


@dataclass(frozen=True, kw_only=True)
class Node:
    """This machine and its current boot. Two machines with the same ``id`` are clones of one image."""

    id: str
    boot: str | None         # None if the system has no id of each boot


def node(salt: str) -> Node:
    """This machine, identified by hashes that depend on ``salt``.

    Raises UserError if the system has no identifying facts, and no random id can be stored instead.
    """
    facts = sorted(_facts()) or [_random_id()]
    boot = kernel.text(BOOT_ID)
    return Node(id=_hash(salt, *facts), boot=boot and _hash(salt, *facts, boot))


def _hash(*texts: str) -> str:
    return hashlib.sha256("\n".join(texts).encode()).hexdigest()[:12]


def _facts() -> Iterator[str]:
    """The facts that no other machine has."""
    for name, paths in (("machine-id", MACHINE_IDS), ("serial", SERIALS)):
        known = (_readable_by_all(path) for path in paths)
        if known_fact := next((fact for fact in known if fact and fact.lower() not in NOT_SET), None):
            yield f"{name} {known_fact}"
    yield from (f"gpu {uuid}" for uuid in hardware.nvidia_gpu_uuids())


def _readable_by_all(path: str) -> str | None:
    """The content of a file that every user may read, else None: otherwise root would get another node."""
    try:
        if not os.stat(kernel.ROOT / path).st_mode & stat.S_IROTH:
            return None
    except OSError:
        return None
    return (kernel.text(path) or "").strip("\0") or None


def _random_id() -> str:
    """A random id of this user on this machine, created at the first call."""
    path = platformdirs.user_state_path("rigmark") / "node"
    try:
        return files.once(path, secrets.token_hex(16))
    except UserError as error:
        raise UserError(
            f"cannot identify this machine among identical ones: it has no /{MACHINE_IDS[0]}, and a random id cannot "
            f"be stored instead ({error}); create one with systemd-machine-id-setup, or set XDG_STATE_HOME to a "
            "permanent folder that can be written to"
        ) from None
