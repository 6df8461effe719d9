"""The micro-batcher: single images from many requests go through the network together, and come back one by one.

What waits is taken as soon as a lane is free: nobody waits for a batch to fill. A batch has 1, 2, 4, 8, 16 or 32
images, the most that can be filled: those are the shapes that were warmed up, and no image of padding is computed. An
image that makes a batch fail fails alone, because the others are tried again without it. Who stops waiting leaves.
"""

import asyncio
import math
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from contextvars import Context, copy_context
from dataclasses import dataclass
from typing import Generic, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")

SIZES = (1, 2, 4, 8, 16, 32)
"""Images in a batch."""


def batch_size(num_waiting: int, *, num_lanes: int, largest: int) -> int:
    """How many to take: a lane's share of what waits, reduced to one of `SIZES`.

    Args:
        num_waiting: images in the queue, at least 1.
        num_lanes: batches that are computed at the same time.
        largest: images in a batch at most.
    """
    share = min(math.ceil(num_waiting / num_lanes), largest)
    return max(size for size in SIZES if size <= share)


@dataclass(frozen=True, slots=True)
class BatchReport:
    """What is measured of one batch."""

    num_items: int
    queue_seconds: tuple[float, ...]
    """How long each of them waited."""
    contexts: tuple[Context, ...]
    """In which each of them was submitted."""
    seconds: float
    """How long the batch took."""


@dataclass(slots=True, eq=False)  # each is itself, whatever it holds
class _Waiting(Generic[Item, Result]):
    item: Item
    answer: asyncio.Future[Result]
    since: float
    context: Context


class Batcher(Generic[Item, Result]):
    """A queue in front of a function of several items. Used from one event loop at a time.

    Args:
        function: takes some items and gives as many results, in their order; called in a thread of `executor`.
        executor: where it is called.
        num_lanes: batches at the same time; as many threads as the executor has.
        largest: items in a batch at most, one of `SIZES`.
        report: told of every batch.
    """

    def __init__(
        self,
        function: Callable[[Sequence[Item]], Sequence[Result]],
        executor: ThreadPoolExecutor,
        *,
        num_lanes: int,
        largest: int,
        report: Callable[[BatchReport], None] = lambda _: None,
    ) -> None:
        self._function = function
        self._executor = executor
        self._num_lanes, self._largest = num_lanes, largest
        self._report = report
        self._waiting: deque[_Waiting[Item, Result]] = deque()
        self._lanes: set[asyncio.Task[None]] = set()

    async def submit(self, item: Item) -> Result:
        """Wait for the result of one item; cancelled, it leaves the queue.

        Raises:
            Exception: what the function raises for this item alone.
        """
        loop = asyncio.get_running_loop()
        waiting = _Waiting[Item, Result](item, loop.create_future(), time.perf_counter(), copy_context())
        self._waiting.append(waiting)
        self._lanes = {lane for lane in self._lanes if not lane.done() and lane.get_loop() is loop}
        if len(self._lanes) < self._num_lanes:
            self._lanes.add(loop.create_task(self._empty_queue()))
        try:
            return await waiting.answer
        except asyncio.CancelledError:
            with suppress(ValueError):  # it has been taken
                self._waiting.remove(waiting)
            raise

    async def _empty_queue(self) -> None:
        while self._waiting:
            size = batch_size(len(self._waiting), num_lanes=self._num_lanes, largest=self._largest)
            await self._answer([self._waiting.popleft() for _ in range(size)])

    async def _answer(self, batch: list[_Waiting[Item, Result]]) -> None:
        loop = asyncio.get_running_loop()
        begun = time.perf_counter()
        items = [waiting.item for waiting in batch]
        results = await loop.run_in_executor(self._executor, self._each_result, items)
        report = BatchReport(
            len(batch),
            tuple(begun - waiting.since for waiting in batch),
            tuple(waiting.context for waiting in batch),
            time.perf_counter() - begun,
        )
        self._report(report)
        for waiting, result in zip(batch, results, strict=True):
            if waiting.answer.done():  # cancelled meanwhile
                continue
            if isinstance(result, Exception):
                waiting.answer.set_exception(result)
            else:
                waiting.answer.set_result(result)

    def _each_result(self, items: Sequence[Item]) -> Sequence[Result | Exception]:
        """A result or an exception per item; in halves down to the one that fails, so that sizes stay those warmed."""
        try:
            return self._function(items)
        except Exception as error:  # the border between items: one must not fail another
            if len(items) == 1:
                return [error]
        middle = len(items) // 2
        return [*self._each_result(items[:middle]), *self._each_result(items[middle:])]
