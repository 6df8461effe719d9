import asyncio

import pytest
from starlette.requests import Request
from starlette.types import Message

from service.leaving import unless_client_leaves
from service.problems import ProblemError


def request(gone: asyncio.Event) -> Request:
    async def receive() -> Message:
        await gone.wait()
        return {"type": "http.disconnect"}

    return Request({"type": "http", "headers": []}, receive)


def test_answer_is_handed_through_and_errors_too() -> None:
    async def work(number: int) -> int:
        await asyncio.sleep(0)
        return 10 // number

    async def ask(number: int) -> int:
        return await unless_client_leaves(request(asyncio.Event()), work(number))

    assert asyncio.run(ask(5)) == 2
    with pytest.raises(ZeroDivisionError):
        asyncio.run(ask(0))


def test_work_is_cancelled_when_the_client_leaves() -> None:
    cancelled = asyncio.Event()

    async def work() -> None:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            cancelled.set()
            raise

    async def ask() -> bool:
        gone = asyncio.Event()
        asyncio.get_running_loop().call_later(0.02, gone.set)
        with pytest.raises(ProblemError) as refused:
            await unless_client_leaves(request(gone), work())
        assert refused.value.status == 499
        await asyncio.sleep(0)
        return cancelled.is_set()

    assert asyncio.run(ask())
