"""Answers of the oracle, kept for later sweeps: one .npz file each, by a key of what was asked."""

from __future__ import annotations

import contextlib
import hashlib
import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rigmark.bench.host import files, npz

DIGEST = "sha256"            # of all arrays of an answer and its key, stored with them


class OracleAnswers:
    """The folder of them. What is lost or damaged is only computed again."""

    def __init__(self, folder: Path):
        self.folder = folder

    def get(self, key: str) -> dict[str, NDArray[Any]] | None:
        """The arrays that the oracle stored under this key; None if there are none, or if they are damaged."""
        path = self.folder / f"{key}.npz"
        try:
            if not path.is_file():       # reading a named pipe would block
                return None
            with np.load(path) as content:
                arrays = {name: content[name] for name in content.files}
            digest = str(arrays.pop(DIGEST))
        except Exception:        # NumPy, zipfile and zlib raise many kinds for an invalid file
            return None
        return arrays if digest == _digest(key, arrays) else None

    def put(self, key: str, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Stores arrays for later sweeps; if the disk is full, they are only computed again."""
        content = io.BytesIO()
        kept = {name: np.asarray(array) for name, array in arrays.items()}
        npz.write(content, {**kept, DIGEST: np.array(_digest(key, kept))})
        with contextlib.suppress(OSError):
            files.write_atomically(self.folder / f"{key}.npz", content.getvalue())


def _digest(key: str, arrays: Mapping[str, NDArray[Any]]) -> str:
    digest = hashlib.sha256(key.encode())
    for name in sorted(arrays):
        array = arrays[name]
        digest.update(f"{name} {array.dtype.str} {array.shape}".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()
