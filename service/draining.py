"""How the server stops so that nothing it has taken is lost.

On SIGTERM /readyz says no, and requests are taken for a while yet, each answer ending its connection: load balancers
notice. Then the port is closed, and what has been taken is answered. uvicorn alone closes its own descriptor of a port
that BentoML's supervisor keeps open: the kernel would go on taking connections, which nobody answers.
"""

import asyncio
import contextlib
import select
import signal
import socket
from collections.abc import Callable
from typing import Any

READING_SECONDS = 0.5
"""Between closing the port and stopping: for requests on connections that were just made."""


def drain_on_sigterm(begin: Callable[[], None], seconds: float) -> None:
    """Replace uvicorn's handler of SIGTERM; called in the event loop, after uvicorn has set its own.

    Args:
        begin: called when SIGTERM comes.
        seconds: from then until the port is closed.
    """
    loop = asyncio.get_running_loop()
    stop: Any = signal.getsignal(signal.SIGTERM)  # uvicorn's Server.handle_exit
    draining = False

    def close() -> None:
        servers = list(getattr(getattr(stop, "__self__", None), "servers", ()))
        if any(_has_waiting(server) for server in servers):
            loop.call_soon(close)  # after they have been taken
            return
        for server in servers:
            _refuse_connections(server)
        # uvicorn closes connections whose request it has not read yet.
        loop.call_later(READING_SECONDS, stop, signal.SIGTERM, None)

    def handle(*_: object) -> None:
        nonlocal draining
        if not draining:
            draining = True
            begin()
            loop.call_soon_threadsafe(loop.call_later, seconds, close)

    signal.signal(signal.SIGTERM, handle)


def _has_waiting(server: asyncio.Server) -> bool:
    """Whether connections have been made that the event loop has not taken yet."""
    return bool(select.select([listening.fileno() for listening in server.sockets], [], [], 0)[0])


def _refuse_connections(server: asyncio.Server) -> None:
    """Stop listening in all processes that hold the port's socket, not only in this one."""
    ports = [socket.socket(fileno=socket.dup(listening.fileno())) for listening in server.sockets]
    server.close()
    for port in ports:
        with contextlib.suppress(OSError):
            port.shutdown(socket.SHUT_RDWR)
        port.close()
