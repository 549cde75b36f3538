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
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from rigmark.bench.errors import UserError

ADDRESS = "127.0.0.1"
NAMES = frozenset({"127.0.0.1", "localhost"})
PLAIN = "text/plain; charset=utf-8"


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
        found = [(entry.name, entry.stat().st_mtime_ns, entry.stat().st_size) for entry in folder.iterdir()]
    except OSError as error:
        return str(error)        # a folder that goes away is a change, and making the page says what it means
    return tuple(sorted(found))


@contextmanager
def serving(page: Page, *, port: int, refresh_s: int) -> Iterator[ThreadingHTTPServer]:
    """A server at ``http://127.0.0.1:PORT/``, to be run by ``serve_forever``; port 0 takes any that is free.

    Browsers ask again every ``refresh_s`` seconds, and are sent the page only if it changed. Raises UserError where
    the port is taken.
    """
    handler = type("Handler", (_Handler,), {"page": page, "refresh_s": refresh_s})
    try:
        server = ThreadingHTTPServer((ADDRESS, port), handler)
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UserError(f"cannot listen on port {port}: {reason}; choose another --port, or 0 for any") from None
    with server:
        yield server


class _Handler(BaseHTTPRequestHandler):
    page: Page
    refresh_s: int

    protocol_version = "HTTP/1.1"
    server_version, sys_version = "rigmark", ""
    timeout = 30                 # seconds that a browser may hold a connection without a word

    def do_GET(self) -> None:
        self._answer(with_content=True)

    def do_HEAD(self) -> None:
        self._answer(with_content=False)

    def _refuse(self) -> None:
        self.close_connection = True         # what else was sent is not read
        self._send(HTTPStatus.METHOD_NOT_ALLOWED, b"this page can only be read\n", {"Allow": "GET, HEAD"})

    do_POST = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = do_TRACE = do_CONNECT = _refuse

    def _answer(self, *, with_content: bool) -> None:
        if not self._is_ours(self.headers.get_all("Host") or []):
            return self._send(HTTPStatus.FORBIDDEN, b"this address is answered as localhost or 127.0.0.1 only\n")
        if self.path.partition("?")[0] != "/":
            return self._send(HTTPStatus.NOT_FOUND, b"there is one page: /\n")
        try:
            content, tag = self.page.get()
        except UserError as error:
            words = f"{error}\n".encode(errors="replace")
            return self._send(HTTPStatus.SERVICE_UNAVAILABLE, words, {"Refresh": str(self.refresh_s)})
        headers = {"ETag": tag, "Refresh": str(self.refresh_s)}
        if tag in re.findall(r'"[^"]*"', self.headers.get("If-None-Match", "")):
            return self._send(HTTPStatus.NOT_MODIFIED, b"", headers)
        headers |= {"Content-Type": "text/html; charset=utf-8", "Content-Security-Policy": policy(content.decode())}
        return self._send(HTTPStatus.OK, content, headers, with_content=with_content)

    def _is_ours(self, hosts: list[str]) -> bool:
        name, _, port = hosts[0].partition(":") if len(hosts) == 1 else ("", "", "")
        return name.lower() in NAMES and port in (str(self.connection.getsockname()[1]), "")

    def _send(
        self, status: HTTPStatus, content: bytes, headers: dict[str, str] | None = None, *, with_content: bool = True
    ) -> None:
        always = {
            "Content-Type": PLAIN, "Cache-Control": "no-cache", "X-Content-Type-Options": "nosniff",
            "Cross-Origin-Resource-Policy": "same-origin", "Referrer-Policy": "no-referrer",
            "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
        }
        self.send_response(status)
        for name, value in (always | (headers or {})).items():
            self.send_header(name, value)
        if status is not HTTPStatus.NOT_MODIFIED:
            self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if with_content and self.command != "HEAD":
            self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None:
        """Nothing: what browsers ask for is of no interest, and would be text of others in a terminal."""


def policy(page: str) -> str:
    """The page's own content-security policy, and that no other page may frame it, which only a header can say."""
    found = re.search(r'<meta http-equiv="Content-Security-Policy" content="([^"]*)"', page)
    own = found[1] if found else "default-src 'none'"
    return f"{own}; frame-ancestors 'none'"
