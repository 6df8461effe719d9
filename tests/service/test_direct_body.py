import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
import uvicorn
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.types import Receive, Scope, Send

from service.border import Border
from service.direct_body import RECEIVE_INTO, receive_into
from service.pieces import Pieces
from service.upload import announced_bytes, counted_body

BODY = os.urandom(3_500_001)
MOST = 64 * 1024 * 1024
HEAD = b"POST /known HTTP/1.1\r\nHost: x\r\n"


class Application:
    """Takes bodies as the service does, and remembers them and what of them came directly."""

    def __init__(self) -> None:
        self.directly: list[int] = []
        self.bodies: list[bytes] = []
        self.error: Exception | None = None
        self.begun = asyncio.Event()
        self.give_up_after: float | None = None
        self.in_pieces = True

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        usual = scope[RECEIVE_INTO]

        async def counted(room: bytearray | memoryview) -> int:
            self.begun.set()
            self.directly.append(await usual(room))
            return self.directly[-1]

        request = Request({**scope, RECEIVE_INTO: counted}, receive)
        body, text, whole = bytearray(), "complete", Pieces(announced_bytes(request))
        try:
            async with asyncio.timeout(self.give_up_after):
                if self.in_pieces:
                    async for piece in counted_body(request, MOST):
                        body += piece
                else:
                    async for piece in counted_body(request, MOST, whole):
                        whole.add(piece)
                    body += whole.whole()
        except TimeoutError:
            text = "too slow"
        except Exception as error:
            self.error = error
            raise
        self.bodies.append(bytes(body))
        await PlainTextResponse(text)(scope, receive, send)


@contextlib.asynccontextmanager
async def served(app: Any) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    server = uvicorn.Server(
        uvicorn.Config(Border(app, ["/known"]), port=0, http="h11", lifespan="off", log_config=None)
    )
    serving = asyncio.create_task(server.serve())
    while not server.started:
        await asyncio.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        yield reader, writer
    finally:
        writer.close()
        server.should_exit = True
        await serving


def posted(body: bytes) -> bytes:
    return HEAD + f"Content-Length: {len(body)}\r\n\r\n".encode() + body


async def answer(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
    length = next(line.split(": ")[1] for line in head.split("\r\n") if line.startswith("content-length"))
    return int(head.split()[1]), await reader.readexactly(int(length))


def run(scenario: Callable[[Application], Any]) -> Application:
    async def play() -> Application:
        app = Application()
        await asyncio.wait_for(scenario(app), 30)
        return app

    return asyncio.run(play())


@pytest.mark.parametrize("in_pieces", [True, False])
@pytest.mark.parametrize("size", [70_000, 300_000, 10_000_000])
def test_two_bodies_on_one_connection_arrive_directly_and_whole(size: int, in_pieces: bool) -> None:
    async def scenario(app: Application) -> None:
        app.in_pieces = in_pieces
        async with served(app) as (reader, writer):
            both = posted(BODY) + posted(BODY[::-1])  # one after the other, without waiting for an answer
            for start in range(0, len(both), size):
                writer.write(both[start : start + size])
                await asyncio.sleep(0.001)
            assert await answer(reader) == await answer(reader) == (200, b"complete")

    app = run(scenario)
    assert app.bodies == [BODY, BODY[::-1]]
    assert sum(app.directly) > len(BODY)


def test_body_without_length_arrives_as_ever() -> None:
    async def scenario(app: Application) -> None:
        async with served(app) as (reader, writer):
            writer.write(HEAD + b"Transfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n" % (len(BODY), BODY))
            assert await answer(reader) == (200, b"complete")

    app = run(scenario)
    assert (app.bodies, app.directly) == ([BODY], [])


def test_client_that_leaves_in_the_middle_is_noticed() -> None:
    async def scenario(app: Application) -> None:
        async with served(app) as (_, writer):
            writer.write(posted(BODY)[:2_000_000])
            await app.begun.wait()
            writer.close()
            while app.error is None:
                await asyncio.sleep(0.01)

    app = run(scenario)
    assert type(app.error).__name__ == "ClientDisconnect"
    assert not app.bodies


def test_who_gives_up_in_the_middle_can_answer() -> None:
    async def scenario(app: Application) -> None:
        app.give_up_after = 0.2
        async with served(app) as (reader, writer):
            request = posted(BODY)
            writer.write(request[:2_000_000])
            waiting = asyncio.create_task(answer(reader))
            await asyncio.sleep(0.5)
            writer.write(request[2_000_000:])  # the border reads it and lets it go
            assert await waiting == (200, b"too slow")
            assert await reader.read() == b""

    app = run(scenario)
    assert app.directly and BODY.startswith(app.bodies[0])


def test_what_is_not_uvicorns_is_left_alone() -> None:
    async def receive() -> Any:
        raise AssertionError

    assert asyncio.run(receive_into(receive, bytearray(9))) == 0
