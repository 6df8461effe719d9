"""A large body from the socket into memory, without the parser.

uvicorn and h11 copy a body five times on its way, in small pieces, and the interpreter does nothing else meanwhile. The
rest of a body whose length is known needs no parser: for that long the connection gets a protocol of its own, which has
the kernel write where the bytes are wanted, and goes back afterwards. Where anything is not as it must be for that,
nothing is done, and the body comes as it always does.
"""

import asyncio
from typing import Any, Final

from starlette.types import Receive

RECEIVE_INTO: Final = "samx.receive_into"
"""Key of the scope under which the border offers `receive_into` for the request's body."""


async def receive_into(receive: Receive, room: bytearray | memoryview) -> int:
    """Fill some room with what comes next of a request's body.

    Call it between two calls of `receive`. The next one goes on behind it, or says that the client is gone.

    Args:
        receive: uvicorn's own, of a request with a Content-Length, whose body has begun.
        room: no larger than what is still to come.

    Returns:
        Bytes received: all that there is room for, fewer if the client has left, and 0 where it cannot be done here.
    """
    cycle = getattr(receive, "__self__", None)
    # h11's reader of such a body counts what is missing. There is no public way to tell it what came elsewhere.
    reader = getattr(getattr(cycle, "conn", None), "_reader", None)
    if cycle is None or getattr(reader, "_remaining", 0) < len(room) or cycle.body:
        return 0
    if cycle.transport.is_closing() or cycle.transport.get_extra_info("sslcontext") is not None:
        return 0
    cycle.flow.resume_reading()
    filling = _Filling(cycle.transport, reader, memoryview(room))
    try:
        await filling.over
    finally:
        filling.leave()
    return filling.num_received


class _Filling(asyncio.BufferedProtocol):
    """Has a connection until the room is full, the client has left, or nobody waits any more."""

    def __init__(self, transport: Any, reader: Any, room: memoryview) -> None:
        self.num_received = 0
        self.over: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._transport, self._reader, self._room = transport, reader, room
        self._usual = transport.get_protocol()
        transport.set_protocol(self)

    def leave(self) -> None:
        """Give the connection back, and tell h11 how much has come."""
        if self._transport.get_protocol() is self:
            self._transport.set_protocol(self._usual)
            self._reader._remaining -= self.num_received
            if not self._reader._remaining:
                self._usual.handle_events()  # the end of the body is one
        if not self.over.done():
            self.over.set_result(None)

    def get_buffer(self, _: int) -> memoryview:
        return self._room[self.num_received :]

    def buffer_updated(self, num_bytes: int) -> None:
        self.num_received += num_bytes
        if self.num_received == len(self._room):
            self.leave()

    def connection_lost(self, error: Exception | None) -> None:
        self.leave()
        self._usual.connection_lost(error)

    def pause_writing(self) -> None:
        self._usual.pause_writing()

    def resume_writing(self) -> None:
        self._usual.resume_writing()
