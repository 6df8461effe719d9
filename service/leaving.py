"""A client that leaves is not worked for any longer."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from starlette.requests import Request

from service.problems import ProblemError

Answer = TypeVar("Answer")


async def unless_client_leaves(request: Request, work: Coroutine[Any, Any, Answer]) -> Answer:
    """Await the work; cancelled as soon as the client has closed the connection.

    Args:
        request: with its body read.
        work: makes the answer.

    Raises:
        ProblemError: 499, which nobody receives; it is counted and logged.
    """
    answer = asyncio.ensure_future(work)
    leaving = asyncio.ensure_future(_left(request))
    try:
        await asyncio.wait((answer, leaving), return_when=asyncio.FIRST_COMPLETED)
        if not answer.done():
            raise ProblemError(499, "client_left", "The client closed the connection before it was answered.")
        return answer.result()
    finally:
        answer.cancel()
        leaving.cancel()


async def _left(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
