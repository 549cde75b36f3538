"""A page over HTTP on this machine alone, made anew when what it is made from has changed. Read-only.

What is served comes from records of anybody, so the page keeps its own content-security policy, and its address is
answered only under this machine's own names: a foreign name that is made to point here (DNS rebinding) gets nothing.
"""

from __future__ import annotations

import hashlib
import re
import threading
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from http import HTTPStatus
from pathlib import Path

from rigmark.bench.errors import UserError
from rigmark.bench.host.limits import shortage
from rigmark.bench.host.web import Handler, Server

ADDRESS = "127.0.0.1"


class Page:
    """Text of ``make()``, kept until ``version()`` gives another value; one at a time is made, whoever asks."""

    def __init__(self, make: Callable[[], str], version: Callable[[], Hashable]):
        self._make, self._version = make, version
        self._made: tuple[Hashable, bytes, str] | None = None
        self._lock = threading.Lock()

    def get(self) -> tuple[bytes, str]:
        """The page and its entity tag."""
        with self._lock:
            version = self._version()        # asked before, so that what changes meanwhile is seen the next time
            if self._made is None or self._made[0] != version:
                content = self._make().encode()
                self._made = version, content, f'"{hashlib.sha256(content).hexdigest()[:32]}"'
            return self._made[1:]


def folder_version(folder: Path) -> Hashable:
    """Changes when a file of the folder comes, goes or is replaced."""
    try:
        entries = [(entry.name, entry.stat().st_mtime_ns, entry.stat().st_size) for entry in folder.iterdir()]
    except OSError as error:
        return str(error)        # a folder that goes away is a change, and making the page says what it means
    return tuple(sorted(entries))


@contextmanager
def serving(page: Page, *, port: int, refresh_s: int) -> Iterator[Server]:
    """A server at ``http://127.0.0.1:PORT/``, to be run by ``serve_forever``; port 0 takes any that is free.

    Browsers ask again every ``refresh_s`` seconds, and are sent the page only if it changed. Raises UserError where
    the port is taken.
    """
    handler = type("PageHandler", (_Handler,), {"page": page, "refresh_s": refresh_s})
    with Server(ADDRESS, port, handler, advice="choose another --port, or 0 for any") as server:
        yield server


class _Handler(Handler):
    page: Page
    refresh_s: int

    def answer(self) -> None:
        if self.path.partition("?")[0] != "/":
            return self.send(HTTPStatus.NOT_FOUND, b"there is one page: /\n")
        try:
            content, tag = self.page.get()
        except Exception as error:
            if (words := str(error) if isinstance(error, UserError) else shortage(error)) is None:
                raise
            again = {"Refresh": str(self.refresh_s)}
            return self.send(HTTPStatus.SERVICE_UNAVAILABLE, f"{words}\n".encode(errors="replace"), again)
        headers = {"ETag": tag, "Refresh": str(self.refresh_s)}
        if tag in re.findall(r'"[^"]*"', self.headers.get("If-None-Match", "")):
            return self.send(HTTPStatus.NOT_MODIFIED, b"", headers)
        headers |= {"Content-Type": "text/html; charset=utf-8", "Content-Security-Policy": policy(content.decode())}
        return self.send(HTTPStatus.OK, content, headers)


def policy(page: str) -> str:
    """The page's own content-security policy, and that no other page may frame it, which only a header can say."""
    match = re.search(r'<meta http-equiv="Content-Security-Policy" content="([^"]*)"', page)
    own = match[1] if match else "default-src 'none'"
    return f"{own}; frame-ancestors 'none'"
