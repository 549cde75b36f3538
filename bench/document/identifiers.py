"""Ids for links into a report."""

from __future__ import annotations

import hashlib
import re
from typing import Any


def identifier(*parts: Any) -> str:
    """An id for a link that stays the same as long as its parts do: "mnist_cnn.training.batch-32"."""
    written = ".".join(str(part) for part in parts)
    spelled = re.sub(r"[ ,]+", "-", written.lower())
    slug = re.sub(r"[^a-z0-9_.-]+", "-", spelled).strip("-.")[:120]
    if slug == spelled:
        return slug
    # Removed characters must not make two ids equal.
    return f"{slug[:40].strip('-.') or 'x'}-{hashlib.sha256(written.encode(errors='replace')).hexdigest()[:6]}"
