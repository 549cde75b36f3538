"""Passwords, keys and tokens: what no record, and so no page, may hold.

A variable that is one is left out, since it changes no result; in a text, such as a command line or the last words of a
process, four stars stand in its place.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import Any

HIDDEN = "****"              # as pip writes it

WORDS = frozenset({
    "APIKEY", "AUTHORIZATION", "BEARER", "COOKIE", "CREDENTIAL", "CREDENTIALS", "PASSPHRASE", "PASSWD", "PASSWORD",
    "PASSWORDS", "SECRET", "SECRETS", "TOKEN",
})
"""A name of which this is one of the words is that of a secret. Plural tokens are what language models count."""
WORDS_BESIDE_OTHERS = frozenset({"AUTH", "KEY", "KEYS", "PASS", "PWD", "SIG", "SIGNATURE", "TOKENS"})
"""The same, where the name has other words too, for a mere "key" is one of a table, and the value is no number."""
NUMBER = re.compile(r"\d{1,9}|true|false|none|yes|no", re.IGNORECASE)

ADDRESS = re.compile(r"\b([a-z][a-z0-9+.-]*://)(?:([^\s/'\"@]+)@|[^\s/:'\"@]+:(?!\d+(?:[/?#\s'\"]|$))[^\s'\"]*@)", re.I)
ASSIGNED = re.compile(r"([A-Za-z_][\w.-]*)(['\"]?=['\"]?|['\"]: ?['\"]?)([^\s'\"&;,]+)")
OPTION = re.compile(r"(?<!\S)(--?[A-Za-z][\w-]*)( +['\"]?)([^\s'\"-][^\s'\"]*)")
FORMATS = re.compile(
    r"\b(?:gh[opsru]_\w{20,}|github_pat_\w{20,}|glpat-[\w-]{20,}|hf_\w{20,}|pypi-[\w-]{20,}|sk-[\w-]{20,}|"
    r"xox[abeprs]-[\w-]{10,}|AKIA[0-9A-Z]{16}|AIza[\w-]{35}|eyJ[\w-]{8,}\.[\w-]+\.[\w-]+)"
    r"|(?<=\bBearer )[\w.~+/=-]{8,}|(?<=\bBasic )[\w+/=]{8,}"
)
"""What tokens of GitHub, GitLab, Hugging Face, PyPI, OpenAI, Slack, AWS, Google and JSON Web Tokens look like, and what
follows the two usual words of an HTTP header."""
LEAST_LENGTH = 8             # of a secret variable's value that is looked for in texts; shorter ones stand everywhere

TEXTS = ("command", "reason", "last_words", "interpreter", "problem", "facts")
"""What of a record is free text, at whatever depth; "facts" is what a framework says of itself."""


def is_one(name: str, value: str = "") -> bool:
    """Whether the value of what is called so is a secret: of "TF_API_KEY", "--password"; not of "TF_XLA_PASSES"."""
    spelled = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).upper()
    words = {word for word in re.split(r"[^A-Z0-9]+", spelled) if word}
    return bool(words & WORDS) or (
        len(words) > 1 and bool(words & WORDS_BESIDE_OTHERS) and not NUMBER.fullmatch(value)
    )


def hidden(text: str) -> str:
    """A text with stars in the place of every secret that can be recognised."""
    for value in _values():
        text = text.replace(value, HIDDEN)
    text = ADDRESS.sub(_without_user, text)
    for pattern in (ASSIGNED, OPTION):
        text = pattern.sub(
            lambda found: f"{found[1]}{found[2]}{HIDDEN}" if is_one(found[1], found[3]) else found[0], text
        )
    return FORMATS.sub(HIDDEN, text)


def without(variables: Mapping[str, str]) -> dict[str, str]:
    """Environment variables without those that are or hold a secret; of a list of flags only those flags go."""
    kept = {}
    for name, value in variables.items():
        if is_one(name, value):
            continue
        if hidden(value) == value:
            kept[name] = value
        elif flags := [flag for flag in value.split() if flag.startswith("--") and hidden(flag) == flag]:
            kept[name] = " ".join(flags)
    return kept


def cleaned(plain: Any, *, is_text: bool = False) -> Any:
    """Plain data of a record without secrets: in its free texts, and among its variables."""
    if isinstance(plain, str):
        return hidden(plain) if is_text else plain
    if isinstance(plain, Mapping):
        return {
            name: without(value) if name == "variables" and isinstance(value, Mapping)
            else cleaned(value, is_text=is_text or name in TEXTS)
            for name, value in plain.items()
        }
    if isinstance(plain, list | tuple):
        return [cleaned(value, is_text=is_text) for value in plain]
    return plain


def _values() -> list[str]:
    """Of the secret variables that this process has; the longest first, since one may hold another."""
    found = {
        value for name, value in os.environ.items()
        if is_one(name, value) and len(value) >= LEAST_LENGTH and any(map(str.isdigit, value))
    }
    return sorted(found, key=len, reverse=True)


def _without_user(found: re.Match[str]) -> str:
    is_login_only = found[2] is not None and ":" not in found[2] and "ssh" in found[1].lower()      # ssh://git@host
    return found[0] if is_login_only else f"{found[1]}{HIDDEN}@"
