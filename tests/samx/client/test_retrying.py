"""Retries, against a server on a socket that misbehaves as it is told."""

import email.utils
import http.server
import pickle
import socket
import struct
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anyio
import pytest

from samx.client import AsyncClient, Client, Retry
from samx.client.answers import Reloaded
from samx.client.retrying import retry_after_seconds
from samx.errors import ServiceBusy, ServiceProblem, ServiceUnreachable, UnexpectedAnswer

GOOD = b'{"model": {"name": "small", "version": "1.0.0"}, "changed": true, "of_a_newer_service": 1}'
BUSY = b'{"type": "about:blank", "title": "t", "status": 503, "detail": "Too much.", "code": "busy"}'
QUICK = Retry(attempts=4, first_delay_seconds=0.01)


class Misbehaving:
    """Answers requests by a script; the last line of it is repeated."""

    def __init__(self, script: list[tuple[Any, ...]]) -> None:
        self.script, self.moments, self.bodies = script, list[float](), list[bytes]()
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                outer.moments.append(time.monotonic())
                outer.bodies.append(self.rfile.read(int(self.headers["Content-Length"])))
                status, body, headers = outer.script[min(len(outer.moments), len(outer.script)) - 1]
                if status == "reset":
                    self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                    self.connection.close()
                    self.close_connection = True
                    return
                self.send_response(status)
                for name, value in ({"Content-Type": "application/json"} | headers).items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def finish(self) -> None:
                if not self.wfile.closed and self.connection.fileno() >= 0:
                    super().finish()

            def log_message(self, *_: Any) -> None:
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def serving() -> Iterator[Any]:
    servers = []

    def start(*script: tuple[Any, ...]) -> Misbehaving:
        servers.append(Misbehaving(list(script)))
        return servers[-1]

    yield start
    for server in servers:
        server.close()


def reload(url: str, kind: str, retry: Retry = QUICK) -> Reloaded:
    if kind == "sync":
        with Client(url, retry=retry, trust_env=False) as client:
            return client.reload_model()

    async def ask() -> Reloaded:
        async with AsyncClient(url, retry=retry, trust_env=False) as client:
            return await client.reload_model()

    return anyio.run(ask)


@pytest.mark.parametrize("kind", ["sync", "async"])
@pytest.mark.parametrize("trouble", [(429, b"", {}), (503, BUSY, {}), ("reset", b"", {})])
def test_busy_and_reset_are_asked_again(serving: Any, kind: str, trouble: tuple[Any, ...]) -> None:
    server = serving(trouble, trouble, (200, GOOD, {}))
    answer = reload(server.url, kind)
    assert (answer.model.version, answer.changed) == ("1.0.0", True)
    assert len(server.moments) == 3


@pytest.mark.parametrize("kind", ["sync", "async"])
def test_retry_after_is_obeyed(serving: Any, kind: str) -> None:
    server = serving((503, BUSY, {"Retry-After": "1"}), (200, GOOD, {}))
    reload(server.url, kind)
    assert 1.0 <= server.moments[1] - server.moments[0] < 3.0


def test_a_retry_after_beyond_the_deadline_is_not_waited_for(serving: Any) -> None:
    server = serving((503, BUSY, {"Retry-After": "3600", "X-Request-ID": "0123456789abcdef"}))
    with pytest.raises(ServiceBusy) as caught:
        reload(server.url, "sync")
    assert (caught.value.status, caught.value.code, caught.value.detail) == (503, "busy", "Too much.")
    assert caught.value.request_id == "0123456789abcdef"
    assert len(server.moments) == 1


def test_attempts_are_bounded(serving: Any) -> None:
    server = serving((429, b"", {}))
    with pytest.raises(ServiceBusy, match="429 no_problem_document"):
        reload(server.url, "sync")
    assert len(server.moments) == QUICK.attempts
    resetting = serving(("reset", b"", {}))
    with pytest.raises(ServiceUnreachable):
        reload(resetting.url, "sync")
    assert len(resetting.moments) == QUICK.attempts


@pytest.mark.parametrize("status", [400, 401, 404, 408, 413, 415, 422, 500, 502])
def test_nothing_else_is_asked_again(serving: Any, status: int) -> None:
    server = serving((status, b'{"code": "no", "detail": "No."}', {}), (200, GOOD, {}))
    with pytest.raises(ServiceProblem) as caught:
        reload(server.url, "sync")
    assert (caught.value.status, caught.value.code) == (status, "no")
    assert not isinstance(caught.value, ServiceBusy)
    assert len(server.moments) == 1


def test_a_file_is_sent_again_from_its_beginning(serving: Any, tmp_path: Path) -> None:
    path = tmp_path / "radiograph.dcm"
    path.write_bytes(bytes(range(256)) * 3000)
    for source in (path, path.read_bytes()):
        server = serving((503, BUSY, {}), (422, b"{}", {}))
        with Client(server.url, retry=QUICK, trust_env=False) as client, pytest.raises(ServiceProblem):
            client.classify(source)
        assert server.bodies == [path.read_bytes()] * 2


@pytest.mark.parametrize(
    ("body", "headers", "message"),
    [
        (b"<html>", {"Content-Type": "text/html"}, "200 text/html"),
        (b'{"model": {"name": "small"}, "changed": true}', {}, "model.version"),
        (b"not json", {}, "not as documented"),
    ],
)
def test_another_program_s_answer_is_named(serving: Any, body: bytes, headers: dict[str, str], message: str) -> None:
    with pytest.raises(UnexpectedAnswer, match=message):
        reload(serving((200, body, headers)).url, "sync")


def test_nobody_there_is_unreachable() -> None:
    with socket.socket() as probe:  # bound, and not listening
        probe.bind(("127.0.0.1", 0))
        with pytest.raises(ServiceUnreachable, match="POST /model/reload: ConnectError"):
            reload(f"http://127.0.0.1:{probe.getsockname()[1]}", "sync")


def test_retry_after_is_a_number_or_a_date() -> None:
    assert retry_after_seconds("7") == 7.0
    assert 28 < (retry_after_seconds(email.utils.formatdate(time.time() + 30, usegmt=True)) or 0) <= 30
    assert retry_after_seconds("Wed, 21 Oct 2015 07:28:00 GMT") == 0.0
    assert retry_after_seconds("soon") is None
    assert retry_after_seconds("") is None


@pytest.mark.parametrize("wrong", [{"attempts": 0}, {"deadline_seconds": -1.0}])
def test_impossible_patience_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="attempts"):
        Retry(**wrong)


def test_a_problem_survives_a_process_border() -> None:
    again = pickle.loads(pickle.dumps(ServiceBusy(503, "busy", "Too much.", "abc")))
    assert (type(again), again.status, again.code, again.request_id) == (ServiceBusy, 503, "busy", "abc")
