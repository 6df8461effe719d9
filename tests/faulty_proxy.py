"""A proxy on loopback before an S3 server that lets a share of the calls fail, in the ways in which they do."""

import http.client
import http.server
import random
import socket
import struct
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

FAULTS = ("slow_down", "internal_error", "reset_before", "reset_in_body", "answer_lost")
_SLOW_DOWN = b"<Error><Code>SlowDown</Code><Message>Reduce your request rate.</Message></Error>"
_EXPIRED = b"<Error><Code>ExpiredToken</Code><Message>The provided token has expired.</Message></Error>"
_INTERNAL_ERROR = b"<Error><Code>InternalError</Code></Error>"


@dataclass
class FaultyProxy:
    """A running proxy."""

    endpoint: str
    num_calls: int = 0
    refuse_after: int | None = None
    """Calls after which all are refused, as with credentials that have expired; None for never."""
    faults: Counter[str] = field(default_factory=Counter)
    kinds: Counter[str] = field(default_factory=Counter)
    """Calls by kind, as `service.sorting.request_counts` names them; those that follow the clock apart."""


class _Server(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, endpoint: str, share: float, seed: int) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.target, self._share = urlsplit(endpoint).netloc, share
        self._chance, self._lock = random.Random(seed), threading.Lock()
        self.seen = FaultyProxy(f"http://127.0.0.1:{self.server_address[1]}")

    def choose(self, kind: str) -> str:
        """The fault of the next call, or ""."""
        with self._lock:
            self.seen.num_calls += 1
            self.seen.kinds[kind] += 1
            if self.seen.refuse_after is not None and self.seen.num_calls > self.seen.refuse_after:
                return "expired"
            fault = self._chance.choice(FAULTS) if self._chance.random() < self._share else ""
            self.seen.faults[fault] += bool(fault)
            return fault

    def handle_error(self, *_: Any) -> None:
        pass


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: "_Server"

    def log_message(self, *_: Any) -> None:
        pass

    def handle_one_call(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        fault = self.server.choose(_kind(self.command, self.path, "x-amz-copy-source" in self.headers))
        if fault == "expired":
            self.answer(403, {"Content-Type": "application/xml"}, _EXPIRED)
            return
        if fault in ("slow_down", "internal_error"):
            status, content = (503, _SLOW_DOWN) if fault == "slow_down" else (500, _INTERNAL_ERROR)
            self.answer(status, {"Content-Type": "application/xml"}, content)
            return
        if fault == "reset_before":
            self.reset()
            return
        upstream = http.client.HTTPConnection(self.server.target, timeout=60)
        headers = {name: value for name, value in self.headers.items() if name.lower() != "expect"}
        upstream.request(self.command, self.path, body, headers)
        response = upstream.getresponse()
        content = response.read()
        if fault == "answer_lost":
            self.reset()
        else:
            self.answer(response.status, dict(response.headers), content, cut=fault == "reset_in_body")
        upstream.close()

    do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = handle_one_call

    def answer(self, status: int, headers: dict[str, str], content: bytes, *, cut: bool = False) -> None:
        self.send_response_only(status)
        for name, value in headers.items():
            if name.lower() not in ("transfer-encoding", "connection", "content-length"):
                self.send_header(name, value)
        length = headers.get("Content-Length") if self.command == "HEAD" else str(len(content))
        self.send_header("Content-Length", length or "0")
        self.end_headers()
        with suppress(OSError):
            if self.command != "HEAD":
                self.wfile.write(content[: len(content) // 2] if cut else content)
            self.wfile.flush()
        if cut:
            self.reset()

    def reset(self) -> None:
        self.close_connection = True
        with suppress(OSError):
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.connection.shutdown(socket.SHUT_RDWR)


def _kind(method: str, path: str, is_copy: bool) -> str:
    place, _, query = path.partition("?")
    if "/progress/" in place and method == "PUT":
        return "progress"
    if place.endswith("/cancelled.json") and method == "HEAD":
        return "look"
    if method == "GET" and query.startswith(("list-type", "versions", "versioning")):
        return "list"
    if method == "PUT" and (is_copy or query.startswith("tagging")):
        return "copy" if is_copy else "tag"
    return "put" if method == "POST" else method.lower()


@contextmanager
def faulty_proxy(endpoint: str, *, share: float, seed: int = 0) -> Iterator[FaultyProxy]:
    """Forwards to `endpoint`; every call fails with probability `share`."""
    with _Server(endpoint, share, seed) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield server.seen
        finally:
            server.shutdown()
