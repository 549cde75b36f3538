"""Passwords, keys and tokens, which no record and so no page may contain.

A variable that holds a secret is left out, since it changes no result. In a text, such as a command line or the last
words of a process, a secret is replaced by four stars.
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
"""A name with one of these words names a secret. TOKENS is not one of them: language models count tokens."""
WORDS_BESIDE_OTHERS = frozenset({"AUTH", "KEY", "KEYS", "PASS", "PWD", "SIG", "SIGNATURE", "TOKENS"})
"""The same, but only if the name has other words too, since a mere "key" may be that of a table, and if the value is
not a number."""
NUMBER = re.compile(r"\d{1,9}|true|false|none|yes|no", re.IGNORECASE)

ADDRESS = re.compile(r"\b([a-z][a-z0-9+.-]*://)(?:([^\s/'\"@]+)@|[^\s/:'\"@]+:(?!\d+(?:[/?#\s'\"]|$))[^\s'\"]*@)", re.I)
ASSIGNED = re.compile(r"([A-Za-z_][\w.-]*)(['\"]?=['\"]?|['\"]: ?['\"]?)([^\s'\"&;,]+)")
OPTION = re.compile(r"(?<!\S)(--?[A-Za-z][\w-]*)( +['\"]?)([^\s'\"-][^\s'\"]*)")
FORMATS = re.compile(
    r"\b(?:gh[opsru]_\w{20,}|github_pat_\w{20,}|glpat-[\w-]{20,}|hf_\w{20,}|pypi-[\w-]{20,}|sk-[\w-]{20,}|"
    r"xox[abeprs]-[\w-]{10,}|AKIA[0-9A-Z]{16}|AIza[\w-]{35}|eyJ[\w-]{8,}\.[\w-]+\.[\w-]+)"
    r"|(?<=\bBearer )[\w.~+/=-]{8,}|(?<=\bBasic )[\w+/=]{8,}"
)
"""Tokens of GitHub, GitLab, Hugging Face, PyPI, OpenAI, Slack, AWS and Google, JSON Web Tokens, and what follows Bearer
or Basic in an HTTP header."""
LEAST_LENGTH = 8             # shorter values of secret variables are not searched for in texts: they may occur anywhere

TEXTS = ("command", "reason", "last_words", "interpreter", "problem", "facts")
"""The keys of a record, at any depth, whose values are free text; "facts" are stated by the framework."""


def is_one(name: str, value: str = "") -> bool:
    """Whether a variable or option of this name holds a secret: "TF_API_KEY", "--password", but not "TF_XLA_PASSES"."""
    spelled = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).upper()
    words = {word for word in re.split(r"[^A-Z0-9]+", spelled) if word}
    return bool(words & WORDS) or (
        len(words) > 1 and bool(words & WORDS_BESIDE_OTHERS) and not NUMBER.fullmatch(value)
    )


def hidden(text: str) -> str:
    """The text, with every secret that can be recognised replaced by stars."""
    for value in _values():
        text = text.replace(value, HIDDEN)
    text = ADDRESS.sub(_without_user, text)
    for pattern in (ASSIGNED, OPTION):
        text = pattern.sub(
            lambda match: f"{match[1]}{match[2]}{HIDDEN}" if is_one(match[1], match[3]) else match[0], text
        )
    return FORMATS.sub(HIDDEN, text)


def without(variables: Mapping[str, str]) -> dict[str, str]:
    """The environment variables without those that hold a secret; from a list of flags only such flags are removed."""
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
    """The plain data of a record without secrets in its free texts and variables."""
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
    """The values of the secret variables of this process, the longest first, since one may contain another."""
    values = {
        value for name, value in os.environ.items()
        if is_one(name, value) and len(value) >= LEAST_LENGTH and any(map(str.isdigit, value))
    }
    return sorted(values, key=len, reverse=True)


def _without_user(match: re.Match[str]) -> str:
    is_login_only = match[2] is not None and ":" not in match[2] and "ssh" in match[1].lower()      # ssh://git@host
    return match[0] if is_login_only else f"{match[1]}{HIDDEN}@"
