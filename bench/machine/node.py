"""Which machine this is among its likes: the node, known by a salted hash, so that no record holds what it comes from.

``hardware.machine`` is the kind of a machine, which nodes of a cluster have in common. Only files are read that
everybody may read, so that a node is the same for every user.
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
"""What stands, in small letters, in the place of an id or a serial number that nobody gave."""


@dataclass(frozen=True, kw_only=True)
class Node:
    """This machine, and the time since it was started; two machines of one ``id`` are clones of one image."""

    id: str
    boot: str | None         # None where the system does not tell its starts apart


def node(salt: str) -> Node:
    """This machine, by hashes that only this salt gives.

    Raises UserError where the system tells nothing of its own, and no random id can be kept in its place.
    """
    facts = sorted(_facts()) or [_random_id()]
    boot = kernel.text(BOOT_ID)
    return Node(id=_hash(salt, *facts), boot=boot and _hash(salt, *facts, boot))


def _hash(*texts: str) -> str:
    return hashlib.sha256("\n".join(texts).encode()).hexdigest()[:12]


def _facts() -> Iterator[str]:
    """What no other machine has."""
    for name, paths in (("machine-id", MACHINE_IDS), ("serial", SERIALS)):
        known = (_readable_by_all(path) for path in paths)
        if found := next((fact for fact in known if fact and fact.lower() not in NOT_SET), None):
            yield f"{name} {found}"
    yield from (f"gpu {uuid}" for uuid in hardware.nvidia_gpu_uuids())


def _readable_by_all(path: str) -> str | None:
    """What root alone may read would make root's node another than that of other users."""
    try:
        if not os.stat(kernel.ROOT / path).st_mode & stat.S_IROTH:
            return None
    except OSError:
        return None
    return (kernel.text(path) or "").strip("\0") or None


def _random_id() -> str:
    """One of this user's on this machine, made at the first call."""
    path = platformdirs.user_state_path("rigmark") / "node"
    try:
        return files.once(path, secrets.token_hex(16))
    except UserError as error:
        raise UserError(
            f"cannot tell this machine from others of its kind: it has no /{MACHINE_IDS[0]}, and a random id cannot be "
            f"kept in its place ({error}); give it one with systemd-machine-id-setup, or set XDG_STATE_HOME to a "
            "folder that stays and can be written to"
        ) from None
