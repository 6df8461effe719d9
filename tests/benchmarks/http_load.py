"""Clients of an HTTP server that cost little: coroutines over raw sockets, connections kept alive, requests made once.

`closed_loop`: clients that ask again as soon as they are answered; gives throughput. `open_loop`: requests that set out
at given moments, whatever the server does; gives latency, counted from the moment.
"""

import asyncio
import os
import socket
import statistics
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import BinaryIO, NamedTuple

BOUNDARY = "samx-benchmark-boundary"
_REFUSED_SECONDS = 0.2
"""How long a client of the closed loop waits after any answer but 200, at least."""
_IDLE_SECONDS = 2.0
"""After this a connection is opened anew: servers close those that are idle, uvicorn after five seconds."""


class Target:
    """A request, and the server on this machine that it goes to.

    The request is in memory that the kernel can send without copying it: what clients take is taken from the server.
    """

    def __init__(self, port: int, request: bytes) -> None:
        self.port = port
        self.request = os.fdopen(os.memfd_create("request"), "wb+")
        self.request.write(request)
        self.request.flush()


class Reply(NamedTuple):
    """What a server answers."""

    status: int
    body: bytes
    retry_after: float
    """Seconds; 0 where it says nothing."""


@dataclass
class Outcome:
    """What the clients got."""

    statuses: Counter[int] = field(default_factory=Counter)
    lost: Counter[str] = field(default_factory=Counter)
    """Connections that broke, by the error's name."""
    seconds: list[float] = field(default_factory=list)
    """Latency of the answers with status 200."""
    elapsed: float = 0.0
    client_seconds: float = 0.0
    """Processor time of the clients' process."""

    @property
    def rate(self) -> float:
        """Answers with status 200 per second, until the last one came."""
        return self.statuses[200] / self.elapsed

    @property
    def errors(self) -> dict[str, int]:
        """Everything that was not 200."""
        return {**{str(status): count for status, count in self.statuses.items() if status != 200}, **self.lost}


def raw_request(path: str, body: bytes, media_type: str, **headers: str) -> bytes:
    """A POST with this body; underscores in the names of headers are dashes."""
    lines = [f"POST {path} HTTP/1.1", "Host: 127.0.0.1", f"Content-Type: {media_type}", f"Content-Length: {len(body)}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode() + body


def form_request(path: str, body: bytes, media_type: str) -> bytes:
    """The same as the field `file` of a form."""
    head = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="file"; filename="radiograph"\r\n'
    form = f"{head}Content-Type: {media_type}\r\n\r\n".encode() + body + f"\r\n--{BOUNDARY}--\r\n".encode()
    return raw_request(path, form, f"multipart/form-data; boundary={BOUNDARY}")


class Connection:
    """One connection, opened when it is first used and again after it broke."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._socket: socket.socket | None = None

    async def ask(self, request: BinaryIO) -> Reply:
        """Send a file from its beginning and wait for the answer.

        Raises:
            OSError, EOFError: the connection broke.
        """
        loop = asyncio.get_running_loop()
        try:
            if self._socket is None:
                self._socket = socket.socket()
                self._socket.setblocking(False)
                await loop.sock_connect(self._socket, ("127.0.0.1", self._port))
                self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            await loop.sock_sendfile(self._socket, request)
            reply, closes = await self._reply(loop, self._socket)
        except (OSError, EOFError):
            self.close()
            raise
        if closes:
            self.close()
        return reply

    async def _reply(self, loop: asyncio.AbstractEventLoop, connected: socket.socket) -> tuple[Reply, bool]:
        received = bytearray()

        async def receive() -> None:
            if not (piece := await loop.sock_recv(connected, 1 << 16)):
                raise EOFError
            received.extend(piece)

        while (end := received.find(b"\r\n\r\n")) < 0:
            await receive()
        lines = received[:end].decode("latin-1").lower().split("\r\n")
        headers = dict(line.split(": ", 1) for line in lines[1:] if ": " in line)
        if headers.get("transfer-encoding") == "chunked":
            while not received.endswith(b"\r\n0\r\n\r\n"):
                await receive()
        else:
            while len(received) < end + 4 + int(headers["content-length"]):
                await receive()
        reply = Reply(int(lines[0].split()[1]), bytes(received[end + 4 :]), float(headers.get("retry-after", 0)))
        return reply, headers.get("connection") == "close"

    def close(self) -> None:
        """Close it, if it is open."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None


async def closed_loop(target: Target, *, num_clients: int, seconds: float) -> Outcome:
    """Ask for `seconds`, and wait for what is still to be answered then; who is refused comes back when told to."""
    outcome, until = Outcome(), time.monotonic() + seconds
    begun, busy = time.monotonic(), time.process_time()

    async def client() -> None:
        connection = Connection(target.port)
        while time.monotonic() < until:
            reply = await _ask(connection, target.request, time.monotonic(), outcome)
            if reply is None or reply.status != 200:
                wanted = reply.retry_after if reply else 0.0
                await asyncio.sleep(max(_REFUSED_SECONDS, min(wanted, until - time.monotonic())))
        connection.close()

    await asyncio.gather(*(client() for _ in range(num_clients)))
    outcome.elapsed, outcome.client_seconds = time.monotonic() - begun, time.process_time() - busy
    return outcome


async def open_loop(target: Target, moments: Sequence[float]) -> Outcome:
    """Send a request at each of these moments, seconds from now in ascending order."""
    outcome, idle = Outcome(), list[tuple[Connection, float]]()
    begun, busy = time.monotonic(), time.process_time()

    async def request(due: float) -> None:
        connection, since = idle.pop() if idle else (Connection(target.port), due)
        if time.monotonic() - since > _IDLE_SECONDS:
            connection.close()
        await _ask(connection, target.request, due, outcome)
        idle.append((connection, time.monotonic()))

    async with asyncio.TaskGroup() as tasks:
        for moment in moments:
            await asyncio.sleep(max(0.0, begun + moment - time.monotonic()))
            tasks.create_task(request(begun + moment))
    for connection, _ in idle:
        connection.close()
    outcome.elapsed, outcome.client_seconds = time.monotonic() - begun, time.process_time() - busy
    return outcome


async def _ask(connection: Connection, request: BinaryIO, since: float, outcome: Outcome) -> Reply | None:
    """The answer, None where the connection broke; noted in `outcome`."""
    try:
        reply = await connection.ask(request)
    except (OSError, EOFError) as error:
        outcome.lost[type(error).__name__] += 1
        return None
    outcome.statuses[reply.status] += 1
    if reply.status == 200:
        outcome.seconds.append(time.monotonic() - since)
    return reply


def percentiles(seconds: Sequence[float]) -> tuple[float, float]:
    """Median and 99th percentile, in milliseconds; NaN of fewer than two."""
    if len(seconds) < 2:
        return float("nan"), float("nan")
    return 1000 * statistics.median(seconds), 1000 * statistics.quantiles(seconds, n=100, method="inclusive")[98]
