"""An HTTP server for this machine or its network: read-only, for its own names only, and with bounded cost.

A request under a foreign name that points here (DNS rebinding) is refused, a connection without a request is closed,
and a client that closes the connection is not an error.
"""

from __future__ import annotations

import contextlib
import re
import socket
import sys
import threading
import time
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from rigmark.bench.errors import UserError

LOOPBACK_NAMES = frozenset({"127.0.0.1", "localhost"})
PLAIN = "text/plain; charset=utf-8"
MOST_CONNECTIONS = 32        # one thread each; further connections are closed
HEAD_S = 10.0                # time for a request, or for the next one on the same connection
HOST = re.compile(r"(\[[0-9a-fA-F:.%]+\]|[^:\[\]]*)(?::(\d*))?")


class Server(ThreadingHTTPServer):
    """Listens at a host and port (0 for any free port); run it with ``serve_forever``.

    Raises UserError with ``advice`` if it cannot listen there.
    """

    daemon_threads = True
    request_queue_size = MOST_CONNECTIONS

    def __init__(self, host: str, port: int, handler: type[Handler], *, advice: str):
        self._lock = threading.Lock()
        self._open: dict[socket.socket, float | None] = {}       # start of waiting for a request; None: it came
        try:
            addresses = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
            self.address_family, address = addresses[0][0], addresses[0][4]
            super().__init__(address[:2], handler)     # type: ignore[arg-type]
        except (OSError, OverflowError, UnicodeError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            raise UserError(f"cannot listen at {at(host, port)}: {reason}; {advice}") from None

    def server_bind(self) -> None:
        """Binds without looking up the full name of this machine, which can take seconds without a name server."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(self.server_address)
        self.server_address = self.socket.getsockname()
        self.server_name, self.server_port = str(self.server_address[0]), int(self.server_address[1])

    def process_request(self, request: Any, client_address: Any) -> None:
        with self._lock:
            is_full = len(self._open) >= MOST_CONNECTIONS
            if not is_full:
                self._open[request] = time.monotonic()
        if is_full:
            self.shutdown_request(request)
        else:
            super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        with self._lock:
            self._open.pop(request, None)
        super().shutdown_request(request)

    def awaits(self, request: socket.socket, *, more: bool) -> None:
        """Notes that the next request of a connection is awaited from now on (``more``), or has come."""
        with self._lock:
            if request in self._open:
                self._open[request] = time.monotonic() if more else None

    def service_actions(self) -> None:
        """Called regularly: closes connections whose request did not come in time."""
        now = time.monotonic()
        with self._lock:
            late = [request for request, since in self._open.items() if since is not None and now - since > HEAD_S]
        for request in late:
            with contextlib.suppress(OSError):
                request.shutdown(socket.SHUT_RDWR)       # wakes its thread, which closes it

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Ignores broken connections, since a client may close one; reports errors of our own."""
        if not isinstance(sys.exc_info()[1], OSError):
            super().handle_error(request, client_address)


def at(host: str, port: int) -> str:
    """The address as written in a URL."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


class Handler(BaseHTTPRequestHandler):
    """Answers GET and HEAD requests that use one of our names, with what ``answer`` sends."""

    server: Server

    protocol_version = "HTTP/1.1"
    server_version, sys_version = "rigmark", ""
    timeout = 30                 # seconds for a client to read an answer

    def answer(self) -> None:
        """Sends the requested content, with ``send``."""
        raise NotImplementedError

    def is_own(self, name: str, port: str) -> bool:
        """Whether a request may use this host name and port."""
        return name in LOOPBACK_NAMES and port in (str(self.connection.getsockname()[1]), "")

    def handle_one_request(self) -> None:
        self.server.awaits(self.connection, more=True)
        super().handle_one_request()

    def parse_request(self) -> bool:
        is_whole = super().parse_request()
        self.server.awaits(self.connection, more=False)
        return is_whole

    def do_GET(self) -> None:
        hosts = self.headers.get_all("Host") or []
        match = HOST.fullmatch(hosts[0]) if len(hosts) == 1 else None
        if match is None or not self.is_own(match[1].lower(), match[2] or ""):
            self.send(HTTPStatus.FORBIDDEN, f"{self.refusal()}\n".encode())
        else:
            self.answer()

    do_HEAD = do_GET

    def refusal(self) -> str:
        """The answer to a request under a foreign name."""
        return "use the address localhost or 127.0.0.1"

    def _refuse(self) -> None:
        self.close_connection = True         # the rest of the request is not read
        self.send(HTTPStatus.METHOD_NOT_ALLOWED, b"this page can only be read\n", {"Allow": "GET, HEAD"})

    do_POST = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = do_TRACE = do_CONNECT = _refuse

    def send(self, status: HTTPStatus, content: bytes, headers: dict[str, str] | None = None) -> None:
        """Sends an answer; ``headers`` are added to those that every answer has."""
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
        if self.command != "HEAD":
            self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None:
        """Logs nothing: requests are of no interest, and would show foreign text in the terminal."""
