import asyncio
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from service.batching import SIZES, Batcher, BatchReport, batch_size


@pytest.mark.parametrize(
    ("num_waiting", "num_lanes", "largest", "size"),
    [
        (1, 1, 8, 1),
        (3, 1, 8, 2),
        (7, 1, 8, 4),
        (8, 1, 8, 8),
        (100, 1, 32, 32),
        (5, 2, 8, 2),
        (2, 4, 8, 1),
        (9, 1, 4, 4),
    ],
)
def test_batch_is_a_lanes_share_in_a_size_that_was_warmed(
    num_waiting: int, num_lanes: int, largest: int, size: int
) -> None:
    assert batch_size(num_waiting, num_lanes=num_lanes, largest=largest) == size
    assert size in SIZES


class Doubling:
    """Doubles numbers; 13 fails with all that are in its batch; records the batches."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.free = threading.Event()
        self.free.set()

    def __call__(self, numbers: Sequence[int]) -> list[int]:
        self.free.wait(10)
        self.batches.append(list(numbers))
        if 13 in numbers:
            raise ValueError("13")
        return [2 * number for number in numbers]


def run(function: Callable[..., Any], work: Callable[[Batcher[int, int]], Any], **options: Any) -> Any:
    """Await `work` with a batcher of one lane."""
    with ThreadPoolExecutor(options.get("num_lanes", 1)) as executor:
        batcher: Batcher[int, int] = Batcher(function, executor, **({"num_lanes": 1, "largest": 8} | options))
        return asyncio.run(work(batcher))


def test_every_item_gets_its_own_result() -> None:
    doubling = Doubling()

    async def work(batcher: Batcher[int, int]) -> list[int]:
        return await asyncio.gather(*map(batcher.submit, range(40, 140)))

    assert run(doubling, work) == [2 * number for number in range(40, 140)]
    assert {len(batch) for batch in doubling.batches} <= set(SIZES)
    assert max(len(batch) for batch in doubling.batches) == 8


def test_poisoned_item_fails_alone() -> None:
    async def work(batcher: Batcher[int, int]) -> list[int | BaseException]:
        return await asyncio.gather(*map(batcher.submit, range(100)), return_exceptions=True)

    results = run(Doubling(), work)
    assert isinstance(results[13], ValueError)
    assert [result for number, result in enumerate(results) if number != 13] == [2 * n for n in range(100) if n != 13]


def test_cancelled_item_leaves_the_queue_and_is_never_computed() -> None:
    doubling = Doubling()
    doubling.free.clear()

    async def work(batcher: Batcher[int, int]) -> list[int]:
        tasks = [asyncio.create_task(batcher.submit(number)) for number in range(4)]
        await asyncio.sleep(0.05)  # the first is being computed
        tasks[2].cancel()
        await asyncio.sleep(0)
        doubling.free.set()
        return await asyncio.gather(tasks[0], tasks[1], tasks[3])

    assert run(doubling, work, largest=1) == [0, 2, 6]
    assert doubling.batches == [[0], [1], [3]]


def test_items_are_neither_compared_nor_printed() -> None:
    class Item:
        def __eq__(self, other: object) -> bool:
            raise AssertionError("an image is not true or false")

        def __hash__(self) -> int:
            raise AssertionError

        def __repr__(self) -> str:
            raise AssertionError("an image is long")

    async def work(batcher: Batcher[Any, Any]) -> int:
        tasks = [asyncio.create_task(batcher.submit(Item())) for _ in range(5)]
        await asyncio.sleep(0)
        tasks[3].cancel()
        return len(await asyncio.gather(*tasks[:3], tasks[4]))

    assert run(lambda items: [0 for _ in items], work, largest=1) == 4


def test_who_leaves_while_computed_harms_no_other() -> None:
    doubling = Doubling()
    doubling.free.clear()

    async def work(batcher: Batcher[int, int]) -> list[int]:
        tasks = [asyncio.create_task(batcher.submit(number)) for number in range(4)]
        await asyncio.sleep(0.05)
        tasks[1].cancel()
        doubling.free.set()
        return await asyncio.gather(tasks[0], tasks[2], tasks[3])

    assert run(doubling, work) == [0, 4, 6]


def test_lanes_compute_at_the_same_time_and_no_more() -> None:
    lock, now, most = threading.Lock(), 0, 0

    def slow(numbers: Sequence[int]) -> list[int]:
        nonlocal now, most
        with lock:
            now += 1
            most = max(most, now)
        time.sleep(0.03)
        with lock:
            now -= 1
        return list(numbers)

    async def work(batcher: Batcher[int, int]) -> list[int]:
        return await asyncio.gather(*map(batcher.submit, range(30)))

    assert run(slow, work, num_lanes=2) == list(range(30))
    assert most == 2


def test_batches_are_reported_with_their_waiting() -> None:
    reports: list[BatchReport] = []

    async def work(batcher: Batcher[int, int]) -> None:
        await asyncio.gather(*map(batcher.submit, range(8)))

    run(Doubling(), work, report=reports.append)
    assert sum(report.num_items for report in reports) == 8
    assert all(len(report.queue_seconds) == report.num_items for report in reports)
    assert all(seconds >= 0 for report in reports for seconds in (*report.queue_seconds, report.seconds))


def test_batcher_serves_one_event_loop_after_another() -> None:
    with ThreadPoolExecutor(1) as executor:
        batcher: Batcher[int, int] = Batcher(Doubling(), executor, num_lanes=1, largest=8)
        assert [asyncio.run(batcher.submit(number)) for number in range(3)] == [0, 2, 4]
