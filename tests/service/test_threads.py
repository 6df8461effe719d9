import asyncio
import os
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from service.threads import Watched, WatchedThreads, compute_in_peace

SCHED_BATCH = getattr(os, "SCHED_BATCH", None)


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have no such policy")
def test_reading_threads_push_nobody_off_a_core_and_the_event_loop_may() -> None:
    threads = WatchedThreads(2, Watched())
    assert asyncio.run(threads.run(os.sched_getscheduler, 0)) == SCHED_BATCH
    assert os.sched_getscheduler(0) == os.SCHED_OTHER


def test_where_it_is_not_allowed_threads_compute_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError

    monkeypatch.setattr(os, "sched_setscheduler", refuse, raising=False)
    with ThreadPoolExecutor(1, initializer=compute_in_peace) as pool:
        assert pool.submit(sum, (1, 2)).result() == 3
