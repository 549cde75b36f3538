"""A graph as ``rigmark export --format graph`` writes it: NAME.json, and NAME.npz beside it if weights are given."""

from __future__ import annotations

import hashlib
import io
import zipfile
from pathlib import Path

import numpy as np

from rigmark.bench.host import files
from rigmark.bench.networks.forms import Arrays, Ask, Imported, Options

DISTRIBUTIONS = ()
MOST_WEIGHT_BYTES = 2**34        # 4 billion parameters


def fits(reference: str) -> bool:
    return reference.lower().endswith(".json")


def content(reference: str, options: Options, ask: Ask) -> str:
    digest = hashlib.sha256(files.read_bytes(Path(reference)))
    if _weights_file(reference).exists():
        digest.update(files.read_bytes(_weights_file(reference), MOST_WEIGHT_BYTES))
    return digest.hexdigest()


def bring(reference: str, options: Options, ask: Ask) -> Imported:
    plain = files.read_json(Path(reference))
    if isinstance(plain, dict) and "graph" in plain:
        plain = plain["graph"]
    beside = _weights_file(reference)
    return Imported(plain=plain, weights=_weights(beside) if beside.exists() else None)


def _weights_file(reference: str) -> Path:
    return Path(reference).with_suffix(".npz")


def _weights(path: Path) -> Arrays:
    try:
        with np.load(io.BytesIO(files.read_bytes(path, MOST_WEIGHT_BYTES)), allow_pickle=False) as stored:
            return {name: stored[name] for name in stored.files}
    except (ValueError, zipfile.BadZipFile, EOFError, KeyError, AttributeError, NotImplementedError, OSError):
        raise files.Unreadable(path, "it is not a .npz file of arrays, as numpy.savez writes it") from None
