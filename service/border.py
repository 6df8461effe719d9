"""The outermost layer of the server, around everything else: what comes in is bounded, what goes out has one shape.

- Health is BentoML's business and goes through its middleware; all other requests go straight to the routes, which
  measure themselves: BentoML's middleware costs more than the routes, and keeps a timer per request.
- A path that is not served becomes `/unknown`, so that labels stay few and neither metrics nor logs repeat what a
  client wrote.
- Every error leaves as a problem (RFC 9457), also those of BentoML and Starlette.
- An exception that nobody caught is a 500 in that shape; its log entry has places and types, no values.
- Every request has an identifier: the client's X-Request-ID if it is hexadecimal like a UUID, which no name is, else a
  new one. It stands in the answer and in the log.
- One log line per request: method, path without query, status, bytes received, duration. A span, where one is wanted.
- An answer that comes before the body has been read is followed by reading and discarding the rest for a while. Closing
  at once would reset the connection, and the client would see that instead of the answer (RFC 9112, section 9.6).
"""

import logging
import re
import time
import uuid
from collections.abc import Callable, Iterable

import anyio
from starlette.datastructures import Headers, MutableHeaders
from starlette.routing import compile_path
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service import metrics
from service.direct_body import RECEIVE_INTO, receive_into
from service.log import FIELDS, REQUEST_ID
from service.problems import MEDIA_TYPE, problem_body, traceback_without_values
from service.tracing import begin_request, end_request

HEALTH_PATHS = ("/livez", "/readyz", "/healthz")
"""Answered by BentoML."""
SYSTEM_PATHS = (*HEALTH_PATHS, "/metrics")
"""Asked every few seconds by those who watch the service: neither logged nor traced."""
UNKNOWN_PATH = "/unknown"
LINGER_SECONDS = 5.0
LINGER_BYTES = 256 * 1024 * 1024
"""How much more is read after an early answer; who goes on sending meets a closed connection."""

MAX_HEADER_BYTES = 32 * 1024
"""uvicorn limits what it holds of unfinished headers only, not those that come at once."""

_METHODS = frozenset(("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"))
_REQUEST_ID = re.compile(r"[0-9A-Fa-f-]{8,64}")
_SECURITY_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
}
_PROBLEMS = {
    404: ("not_found", "There is nothing at this path; /openapi.json lists what there is."),
    431: ("headers_too_large", f"The request's headers have more than {MAX_HEADER_BYTES} bytes."),
    405: ("method_not_allowed", "This path does not take this method; /openapi.json lists what it takes."),
    500: ("internal_error", "The service failed; its log tells where."),
    503: ("not_ready", "The service is not ready."),
    504: ("timeout", "The answer took too long."),
}

logger = logging.getLogger("samx.service")


class Border:
    """Wraps a whole ASGI application.

    Args:
        app: the routes, with all their middleware.
        paths: the paths they serve, with `{parameters}`.
        system: answers `HEALTH_PATHS` and the server's lifespan; the app itself where not given.
        is_draining: whether connections should end with their next answer, because the server is about to stop.
    """

    def __init__(
        self,
        app: ASGIApp,
        paths: Iterable[str],
        *,
        system: ASGIApp | None = None,
        is_draining: Callable[[], bool] = lambda: False,
    ) -> None:
        self._app, self._system = app, system or app
        self._is_draining = is_draining
        self._exact = {path for path in (*paths, *SYSTEM_PATHS) if "{" not in path}
        self._templates = [(compile_path(path)[0], path) for path in paths if "{" in path]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The ASGI interface."""
        if scope["type"] == "websocket":  # none are served, and BentoML would count them by their path
            await send({"type": "websocket.close"})
        elif scope["type"] == "http":
            label = self._label(scope["path"])
            if label == UNKNOWN_PATH:
                scope = {**scope, "path": UNKNOWN_PATH, "raw_path": UNKNOWN_PATH.encode()}
            exchange = _Exchange(scope, receive, send, label=label, last=self._is_draining())
            await exchange.run(self._system if label in HEALTH_PATHS else self._app)
        else:
            await self._system(scope, receive, send)

    def _label(self, path: str) -> str:
        """The served path, or its template, that this path is; UNKNOWN_PATH for all others."""
        if path in self._exact:
            return path
        return next((template for pattern, template in self._templates if pattern.match(path)), UNKNOWN_PATH)


async def _refuse_headers(_: Scope, __: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 431, "headers": []})
    await send({"type": "http.response.body", "body": b""})


class _Exchange:
    """One request and its answer."""

    def __init__(self, scope: Scope, receive: Receive, send: Send, *, label: str, last: bool) -> None:
        self._scope, self._receive, self._send = {**scope, RECEIVE_INTO: self.receive_into}, receive, send
        self._label, self._last = label, last
        self._method = scope["method"] if scope["method"] in _METHODS else "OTHER"
        self._started = time.perf_counter()
        headers = Headers(scope=scope)
        given = headers.get("x-request-id", "")
        self._request_id = given if _REQUEST_ID.fullmatch(given) else uuid.uuid4().hex
        self._body_pending = headers.get("content-length", "0") != "0" or "transfer-encoding" in headers
        self._client_waits = headers.get("expect", "").lower() == "100-continue"
        self._num_received = 0
        self._status = 0
        self._problem: bytes | None = None

    async def run(self, app: ASGIApp) -> None:
        REQUEST_ID.set(self._request_id)
        if self._label not in SYSTEM_PATHS:
            begin_request(self._method, self._label, Headers(scope=self._scope), self._request_id)
        in_progress = metrics.REQUESTS_IN_PROGRESS.labels(self._label)
        in_progress.inc()
        too_long = sum(len(name) + len(value) for name, value in self._scope["headers"]) > MAX_HEADER_BYTES
        try:
            await (_refuse_headers if too_long else app)(self._scope, self.receive, self.send)
        except Exception as error:  # the border: whatever is left becomes a 500 that tells nothing of the file
            logger.error("Unexpected: %s", traceback_without_values(error))
            if not self._status:
                await self.send({"type": "http.response.start", "status": 500, "headers": []})
                await self.send({"type": "http.response.body", "body": b""})
        finally:
            in_progress.dec()
            end_request(self._status, self._num_received)

    async def receive(self) -> Message:
        message = await self._receive()
        self._client_waits = False
        self._num_received += len(message.get("body", b""))
        if message["type"] == "http.disconnect" or not message.get("more_body", False):
            self._body_pending = False
        return message

    async def receive_into(self, room: bytearray | memoryview) -> int:
        num_bytes = await receive_into(self._receive, room)
        self._num_received += num_bytes
        return num_bytes

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            await self._send(self._start(message))
        elif message["type"] == "http.response.body":
            await self._continue(message)
        else:
            await self._send(message)

    def _start(self, message: Message) -> Message:
        self._status = message["status"]
        headers = MutableHeaders(raw=list(message.get("headers", [])))
        if self._status >= 400 and headers.get("content-type") != MEDIA_TYPE:
            code, detail = _PROBLEMS.get(self._status, ("refused", "The request was refused."))
            self._problem = problem_body(self._status, code, detail)
            headers["Content-Type"] = MEDIA_TYPE
            headers["Content-Length"] = str(len(self._problem))
        for name, value in _SECURITY_HEADERS.items():
            headers.setdefault(name, value)
        headers["X-Request-ID"] = self._request_id
        if self._body_pending or self._last:
            headers["Connection"] = "close"
        return {**message, "headers": headers.raw}

    async def _continue(self, message: Message) -> None:
        last = not message.get("more_body", False)
        if self._problem is not None:
            if not last:
                return
            message = {**message, "body": self._problem}
        if last and self._body_pending and not self._client_waits:
            await self._send({**message, "more_body": True})  # now the client has the whole answer
            await self._discard_body()
            message = {"type": "http.response.body", "body": b""}
        await self._send(message)
        if last:
            self._account()

    async def _discard_body(self) -> None:
        most = self._num_received + LINGER_BYTES
        with anyio.move_on_after(LINGER_SECONDS):
            while self._body_pending and self._num_received < most:
                await self.receive()

    def _account(self) -> None:
        method = self._method
        seconds = time.perf_counter() - self._started
        metrics.REQUESTS.labels(method, self._label, str(self._status)).inc()
        metrics.REQUEST_SECONDS.labels(self._label).observe(seconds)
        metrics.RECEIVED_BYTES.labels(self._label).inc(self._num_received)
        if self._label in SYSTEM_PATHS:
            return
        fields = {
            "method": method,
            "path": self._label,
            "status": self._status,
            "bytes_in": self._num_received,
            "milliseconds": round(seconds * 1000, 1),
        }
        text = f"{method} {self._label} {self._status}, {self._num_received} bytes in, {seconds * 1000:.0f} ms"
        logger.info(text, extra={FIELDS: fields})
