"""The live report over a real socket: fresh, read-only, and for this machine alone."""

from __future__ import annotations

import errno
import http.client
import os
import re
import signal
import socket
import struct
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from rigmark.bench.errors import UserError
from rigmark.bench.host import web
from rigmark.bench.reporting.server import Page, folder_version, policy, serving
from tests.fakes import eventually
from tests.reports import records

PAGE = '<!doctype html><meta http-equiv="Content-Security-Policy" content="default-src \'none\'"><p>{}'


class Made:
    """A page that says how often it was made, of a folder whose version is set by hand."""

    def __init__(self) -> None:
        self.count, self.version = 0, 1
        self.page = Page(self._make, lambda: self.version)

    def _make(self) -> str:
        self.count += 1
        return PAGE.format(self.version)


@contextmanager
def served(page: Page) -> Iterator[int]:
    with serving(page, port=0, refresh_s=5) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()
            thread.join()


def asked(port: int, path: str = "/", method: str = "GET", **headers: str) -> tuple[http.client.HTTPResponse, str]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        connection.request(method, path, headers={name.replace("_", "-"): value for name, value in headers.items()})
        answer = connection.getresponse()
        return answer, answer.read().decode()
    finally:
        connection.close()


def test_a_page_is_made_again_only_when_its_folder_changed() -> None:
    made = Made()
    with served(made.page) as port:
        first, text = asked(port)
        again, _ = asked(port)
        made.version = 2
        changed, other = asked(port)

    assert [200, 200, 200] == [first.status, again.status, changed.status]
    assert PAGE.format(1) == text
    assert PAGE.format(2) == other
    assert 2 == made.count


def test_a_browser_that_has_the_page_is_sent_it_only_once() -> None:
    made = Made()
    with served(made.page) as port:
        first, _ = asked(port)
        tag = first.getheader("ETag") or ""
        again, nothing = asked(port, If_None_Match=tag)
        made.version = 2
        changed, _ = asked(port, If_None_Match=tag)

    assert (304, "") == (again.status, nothing)
    assert 200 == changed.status
    assert "5" == first.getheader("Refresh") == again.getheader("Refresh")


@pytest.mark.parametrize("host", ["evil.example", "evil.example:{port}", "127.0.0.1.evil.example", "127.0.0.1:1", "",
                                  "[::1]", "localhost:{port}@evil.example"])
def test_a_foreign_name_for_this_machine_gets_nothing(host: str) -> None:
    made = Made()
    with served(made.page) as port:
        answer, text = asked(port, Host=host.format(port=port))

    assert 403 == answer.status
    assert 0 == made.count
    assert "use the address localhost or 127.0.0.1" in text


def test_this_machine_s_own_names_are_answered() -> None:
    with served(Made().page) as port:
        assert [200, 200] == [asked(port, Host=f"{name}:{port}")[0].status for name in ("localhost", "127.0.0.1")]


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS"])
def test_the_server_refuses_methods_that_change_anything(method: str) -> None:
    with served(Made().page) as port:
        answer, _ = asked(port, method=method)

    assert (405, "GET, HEAD") == (answer.status, answer.getheader("Allow"))


@pytest.mark.parametrize("path", ["/..", "/../../etc/passwd", "/records/x.json", "/favicon.ico"])
def test_there_is_one_page_and_no_file(path: str) -> None:
    with served(Made().page) as port:
        assert 404 == asked(port, path)[0].status


def test_the_page_s_own_policy_is_in_the_head_too_and_no_other_page_may_frame_it() -> None:
    with served(Made().page) as port:
        answer, _ = asked(port)

    assert "default-src 'none'; frame-ancestors 'none'" == answer.getheader("Content-Security-Policy")
    assert "nosniff" == answer.getheader("X-Content-Type-Options")
    assert "default-src 'none'; frame-ancestors 'none'" == policy("no policy at all")


def test_a_folder_that_cannot_be_read_is_reported_and_asked_again() -> None:
    def fails() -> str:
        raise UserError("no results in results")

    with served(Page(fails, lambda: 1)) as port:
        answer, text = asked(port)

    assert (503, "no results in results\n") == (answer.status, text)
    assert "5" == answer.getheader("Refresh")


def test_a_port_that_is_taken_is_one_sentence() -> None:
    with (
        served(Made().page) as port, pytest.raises(UserError, match=f"cannot listen at 127.0.0.1:{port}.*--port"),
        serving(Made().page, port=port, refresh_s=5),
    ):
        pass


def test_a_browser_that_hangs_up_is_no_error(capfd: pytest.CaptureFixture[str]) -> None:
    big = Page(lambda: PAGE.format("x" * 2**24), lambda: 1)
    with served(big) as port:
        for _ in range(3):
            with socket.create_connection(("127.0.0.1", port)) as connection:
                connection.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
                connection.recv(1)
                # Answers on their way are refused (RST) rather than thrown away.
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        assert 200 == asked(port)[0].status

    assert "" == capfd.readouterr().err


def test_connections_without_a_request_are_few_and_do_not_last(monkeypatch: pytest.MonkeyPatch) -> None:
    before = threading.active_count()
    with served(Made().page) as port:
        # Less patient than the server is with a connection that is quite silent.
        patience_s = web.Handler.timeout / 3
        address = ("127.0.0.1", port)
        halves = [socket.create_connection(address, patience_s) for _ in range(web.MOST_CONNECTIONS + 8)]
        assert [b""] * 8 == [half.recv(1) for half in halves[-8:]]       # hung up on at once
        assert threading.active_count() <= before + 1 + web.MOST_CONNECTIONS
        for half in halves[: web.MOST_CONNECTIONS]:
            half.sendall(b"GET / HTTP/1.1\r\nHost: local")              # a little now and then does not help

        monkeypatch.setattr(web, "HEAD_S", 0.0)

        assert [b""] * web.MOST_CONNECTIONS == [half.recv(1) for half in halves[: web.MOST_CONNECTIONS]]
        monkeypatch.undo()
        assert eventually(lambda: 200 == asked(port)[0].status, within_s=30.0)
        for half in halves:
            half.close()


def test_what_the_host_lacks_is_told_the_browser() -> None:
    def fails() -> str:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    with served(Page(fails, lambda: 1)) as port:
        answer, text = asked(port)

    assert 503 == answer.status
    assert "Too many open files; raise the limit on open files (ulimit -n)" in text


def test_a_folder_has_another_version_when_a_record_comes_or_is_replaced(tmp_path: Path) -> None:
    versions = [folder_version(tmp_path / "none"), folder_version(tmp_path)]
    (tmp_path / "a.json").write_text("1")
    versions.append(folder_version(tmp_path))
    (tmp_path / "a.json").write_text("22")
    versions.append(folder_version(tmp_path))

    assert len(versions) == len(set(versions))
    assert versions[-1] == folder_version(tmp_path)


def test_the_report_of_a_growing_folder_is_served_until_it_is_interrupted(tmp_path: Path) -> None:
    store = records.stored(tmp_path, list(records.sweep())[:3])
    program = [sys.executable, "-c", "from rigmark.bench.cli import main; main()"]
    command = [*program, "serve", "--results", str(tmp_path), "--port", "0", "--lang", "zh"]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment) as process:
        try:
            assert process.stderr is not None
            port = int(re.findall(r"127\.0\.0\.1:(\d+)/", process.stderr.readline())[0])
            _, before = asked(port)
            for record in records.sweep():
                store.put(record)
            _, after = asked(port)
        finally:
            process.send_signal(signal.SIGINT)
        assert 130 == process.wait()

    assert "<html lang=\"zh\">" in before
    assert "难分高下" not in before
    assert "难分高下" in after
