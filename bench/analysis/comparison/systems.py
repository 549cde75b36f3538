"""Compares the systems of two sides, fact by fact, as their records state them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from rigmark.bench.document.language import tr

OURS = "software"            # the measuring software itself, whose code and interpreters are facts of trials
NONE_IS_KNOWN = frozenset({
    "limits.cpu_quota_cores", "limits.memory_bytes", "operating_system.container", "operating_system.virtual_machine",
})
"""Facts for which None means that there is none; for others None means that it is not known."""
LONGEST = 60                 # letters of a value that is shown in full; a processor has hundreds of flags


def known_facts(systems: Iterable[Any]) -> dict[str, str]:
    """The known facts of the systems of some trials: {"frequency.turbo": "true"}, or "false/true" if they differ.

    Each system is the JSON of its facts, or nothing.
    """
    values: dict[str, set[str]] = {}
    for stated in dict.fromkeys(each for each in systems if isinstance(each, str)):
        facts = {name: fact for name, fact in (json.loads(stated) or {}).items() if name != OURS}
        for name, fact in _leaves(facts):
            if fact is not None or name in NONE_IS_KNOWN:
                values.setdefault(name, set()).add(_in_words(fact))
    return {name: "/".join(sorted(words)) for name, words in values.items()}


def _leaves(facts: Mapping[str, Any], at: str = "") -> Iterator[tuple[str, Any]]:
    for name, fact in facts.items():
        if isinstance(fact, Mapping):
            yield from _leaves(fact, f"{at}{name}.")
        else:
            yield f"{at}{name}", fact


def _in_words(fact: Any) -> str:
    if fact is None:
        return tr("none")
    text = fact if isinstance(fact, str) else json.dumps(fact, sort_keys=True)
    if len(text) <= LONGEST or not isinstance(fact, list):
        return text
    return tr("{n} entries ({digest})", n=len(fact), digest=hashlib.sha256(text.encode()).hexdigest()[:6])
