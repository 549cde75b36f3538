"""Arrays in a file, as ``numpy.load`` reads them."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

import numpy as np


def write(file: Path | IO[bytes], arrays: Mapping[str, Any]) -> None:
    """As numpy.savez, but the file's bytes depend on nothing but the arrays, and no clock is too wrong for it."""
    with zipfile.ZipFile(file, "w") as archive:
        for name, array in arrays.items():
            # Without a time of its own an entry has the first that there is, 1980; by the clock it may be none.
            with archive.open(zipfile.ZipInfo(f"{name}.npy"), "w", force_zip64=True) as entry:
                np.lib.format.write_array(entry, np.asanyarray(array), allow_pickle=False)
