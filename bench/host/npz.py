"""Writes arrays to a file that ``numpy.load`` reads."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

import numpy as np


def write(file: Path | IO[bytes], arrays: Mapping[str, Any]) -> None:
    """As numpy.savez, but the bytes of the file depend only on the arrays, and it works with a wrong clock."""
    with zipfile.ZipFile(file, "w") as archive:
        for name, array in arrays.items():
            # Without an explicit time an entry is dated 1980, the earliest date of the format; the clock may be wrong.
            with archive.open(zipfile.ZipInfo(f"{name}.npy"), "w", force_zip64=True) as entry:
                np.lib.format.write_array(entry, np.asanyarray(array), allow_pickle=False)
