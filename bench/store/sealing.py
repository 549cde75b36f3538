"""Plain data as text with a checksum of what it says, by which an edited figure is noticed.

The checksum is that of the text without blanks, so that a file may be indented anew. It stands last, and is left out of
what it is made of.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

import msgspec

CONTENT = "content"
EDITED = "a value in it was edited after it was written, since its checksum does not fit"


def sealed(plain: Mapping[str, Any]) -> bytes:
    """A JSON object with its checksum, a new one where it has one already."""
    body = {name: value for name, value in plain.items() if name != CONTENT}
    text = json.dumps(body, indent=1).encode()
    return text.removesuffix(b"\n}") + f',\n "{CONTENT}": "{_digest(_compact(text))}"\n}}'.encode()


def fits(text: bytes, checksum: str) -> bool:
    """Whether a text says what it said when it got this checksum."""
    compact, end = _compact(text), f',"{CONTENT}":"{checksum}"}}'.encode()
    return compact.endswith(end) and _digest(compact.removesuffix(end) + b"}") == checksum


def _compact(text: bytes) -> bytes:
    return msgspec.json.format(text, indent=-1)


def _digest(text: bytes) -> str:
    return hashlib.sha256(text).hexdigest()
