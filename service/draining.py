"""How the server stops so that nothing it has taken is lost.

On SIGTERM /readyz says no, and requests are taken for a while yet, each answer ending its connection: load balancers
notice. Then the port is closed, and what has been taken is answered. uvicorn alone closes its own descriptor of a port
that BentoML's supervisor keeps open: the kernel would go on taking connections, which nobody answers.

A port that closes resets the connections that its kernel has made and nobody has taken yet. So requests for new
connections are dropped first (their clients ask again, and are refused), then those already made are taken, and only
then is it closed.

BentoML's supervisor may be killed. Its worker would go on to answer and hold the port, and nothing would stop it.
"""

import asyncio
import contextlib
import ctypes
import logging
import os
import select
import signal
import socket
import struct
from collections.abc import Callable
from typing import Any

logger = logging.getLogger("samx.service")

HANDSHAKE_SECONDS = 0.2
"""For connections whose client has been answered and whose last packet is on its way."""
READING_SECONDS = 0.5
"""Between closing the port and stopping: for requests on connections that were just made."""
_SO_ATTACH_FILTER = 26
"""Linux, asm-generic/socket.h; the module `socket` does not name it."""
_DROP_SYN = (
    (0x30, 0, 0, 13),  # load the TCP flags, byte 13 of the header (RFC 9293, section 3.1)
    (0x45, 0, 1, 0x02),  # SYN set?
    (0x06, 0, 0, 0),  # then drop the packet,
    (0x06, 0, 0, 0xFFFFFFFF),  # else take the whole of it
)
"""Classic BPF, as in the kernel's documentation (networking/filter): operation, jump if true, if false, operand."""


def drain_on_sigterm(begin: Callable[[], None], seconds: float) -> None:
    """Replace uvicorn's handler of SIGTERM; called in the event loop, after uvicorn has set its own.

    Args:
        begin: called when SIGTERM comes.
        seconds: from then until the port is closed.
    """
    loop = asyncio.get_running_loop()
    stop: Any = signal.getsignal(signal.SIGTERM)  # uvicorn's Server.handle_exit
    closing: list[asyncio.Task[None]] = []

    async def close() -> None:
        await asyncio.sleep(seconds)
        servers = list(getattr(getattr(stop, "__self__", None), "servers", ()))
        for server in servers:
            _drop_new_connections(server)
        await asyncio.sleep(HANDSHAKE_SECONDS)
        while any(_has_waiting(server) for server in servers):
            await asyncio.sleep(0)  # until they have been taken
        for server in servers:
            _refuse_connections(server)
        await asyncio.sleep(READING_SECONDS)  # uvicorn closes connections whose request it has not read yet
        stop(signal.SIGTERM, None)

    def handle(*_: object) -> None:
        if not closing:
            begin()
            closing.append(loop.create_task(close()))

    signal.signal(signal.SIGTERM, lambda *_: loop.call_soon_threadsafe(handle))


async def stop_with_supervisor() -> None:
    """Stop as on SIGTERM when the process that started this one has ended, however it ended."""
    supervisor = os.getppid()
    while os.getppid() == supervisor:
        await asyncio.sleep(1)
    logger.error("The supervisor has ended: stopping.")
    signal.raise_signal(signal.SIGTERM)


def _has_waiting(server: asyncio.Server) -> bool:
    """Whether connections have been made that the event loop has not taken yet."""
    return bool(select.select([listening.fileno() for listening in server.sockets], [], [], 0)[0])


def _drop_new_connections(server: asyncio.Server) -> None:
    """Let the kernel leave requests for connections unanswered, where it can (Linux)."""
    program = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *step) for step in _DROP_SYN))
    attached = struct.pack("HP", len(_DROP_SYN), ctypes.addressof(program))
    for listening in server.sockets:
        with contextlib.suppress(OSError):
            listening.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, attached)


def _refuse_connections(server: asyncio.Server) -> None:
    """Stop listening in all processes that hold the port's socket, not only in this one."""
    ports = [socket.socket(fileno=socket.dup(listening.fileno())) for listening in server.sockets]
    server.close()
    for port in ports:
        with contextlib.suppress(OSError):
            port.shutdown(socket.SHUT_RDWR)
        port.close()
