"""The outermost layer of the server, before BentoML's own: what comes in is bounded, what goes out has one shape.

- A path that is not served becomes `/unknown` before BentoML makes a metrics label of it, and a path with a parameter
  becomes its template (`/sort/{job_id}`), so that labels stay few and neither metrics nor logs repeat what a client
  wrote. `TruePath`, around the routes, puts the path back.
- Every error leaves as a problem (RFC 9457), also those of BentoML and Starlette.
- An exception that nobody caught is a 500 in that shape; its log entry has places and types, no values.
- One log line per request: method, path without query, status, bytes received, duration.
- An answer that comes before the body has been read is followed by reading and discarding the rest for a while. Closing
  at once would reset the connection, and the client would see that instead of the answer (RFC 9112, section 9.6).
"""

import logging
import time
from collections.abc import Iterable

import anyio
from starlette.datastructures import Headers, MutableHeaders
from starlette.routing import compile_path
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.problems import MEDIA_TYPE, problem_body, traceback_without_values

SYSTEM_PATHS = ("/livez", "/readyz", "/healthz", "/metrics")
"""Answered by BentoML."""
UNKNOWN_PATH = "/unknown"
_TRUE_PATH = "samx.path"
LINGER_SECONDS = 5.0
LINGER_BYTES = 256 * 1024 * 1024
"""How much more is read after an early answer; who goes on sending meets a closed connection."""

_METHODS = frozenset(("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"))
_SECURITY_HEADERS = {"X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer"}
_PROBLEMS = {
    404: ("not_found", "There is nothing at this path; /openapi.json lists what there is."),
    405: ("method_not_allowed", "This path does not take this method; /openapi.json lists what it takes."),
    500: ("internal_error", "The service failed; its log tells where."),
    503: ("not_ready", "The service is not ready."),
    504: ("timeout", "The answer took too long."),
}

logger = logging.getLogger("samx.service")


class Border:
    """Wraps a whole ASGI application.

    Args:
        app: the application, with all its middleware.
        paths: the paths it serves, besides the system's.
    """

    def __init__(self, app: ASGIApp, paths: Iterable[str]) -> None:
        paths = list(paths)
        self._app = app
        self._paths = frozenset((*(path for path in paths if "{" not in path), *SYSTEM_PATHS))
        self._templates = [(compile_path(path)[0], path) for path in paths if "{" in path]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The ASGI interface."""
        if scope["type"] == "websocket":  # none are served, and BentoML would count them by their path
            await send({"type": "websocket.close"})
        elif scope["type"] == "http":
            path = scope["path"]
            if path not in self._paths:
                shown = next((template for pattern, template in self._templates if pattern.match(path)), UNKNOWN_PATH)
                scope = {**scope, "path": shown, "raw_path": shown.encode(), _TRUE_PATH: path}
            await _Exchange(scope, receive, send).run(self._app)
        else:
            await self._app(scope, receive, send)


class TruePath:
    """Wraps the routes: they see the path of a template as the client wrote it."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The ASGI interface."""
        if scope.get("path") not in (None, UNKNOWN_PATH) and _TRUE_PATH in scope:
            scope = {**scope, "path": scope[_TRUE_PATH], "raw_path": scope[_TRUE_PATH].encode()}
        await self._app(scope, receive, send)


class _Exchange:
    """One request and its answer."""

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._scope, self._receive, self._send = scope, receive, send
        self._started = time.perf_counter()
        headers = Headers(scope=scope)
        self._body_pending = headers.get("content-length", "0") != "0" or "transfer-encoding" in headers
        self._client_waits = headers.get("expect", "").lower() == "100-continue"
        self._num_received = 0
        self._status = 0
        self._problem: bytes | None = None

    async def run(self, app: ASGIApp) -> None:
        try:
            await app(self._scope, self.receive, self.send)
        except Exception as error:  # the border: whatever is left becomes a 500 that tells nothing of the file
            logger.error("Unexpected: %s", traceback_without_values(error))
            if not self._status:
                await self.send({"type": "http.response.start", "status": 500, "headers": []})
                await self.send({"type": "http.response.body", "body": b""})

    async def receive(self) -> Message:
        message = await self._receive()
        self._client_waits = False
        self._num_received += len(message.get("body", b""))
        if message["type"] == "http.disconnect" or not message.get("more_body", False):
            self._body_pending = False
        return message

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
        if self._body_pending:
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
            self._log()

    async def _discard_body(self) -> None:
        most = self._num_received + LINGER_BYTES
        with anyio.move_on_after(LINGER_SECONDS):
            while self._body_pending and self._num_received < most:
                await self.receive()

    def _log(self) -> None:
        path = self._scope["path"]
        if path in SYSTEM_PATHS:  # asked every few seconds by those who watch the service
            return
        method = self._scope["method"] if self._scope["method"] in _METHODS else "OTHER"
        milliseconds = (time.perf_counter() - self._started) * 1000
        logger.info("%s %s %d, %d bytes in, %.0f ms", method, path, self._status, self._num_received, milliseconds)
