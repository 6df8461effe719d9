"""Worker threads that are watched: no more of them than were asked for, and how long the longest work takes."""

import asyncio
import contextvars
import functools
import itertools
import os
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import ParamSpec, TypeVar

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")


def compute_in_peace() -> None:
    """Have the calling thread, and no other, push nobody off a core when it wakes up (SCHED_BATCH of Linux).

    Reading and network compute for milliseconds on end. When one throws the other out in between, nothing is ready
    sooner and the core's caches are filled anew: with two cores that took 1.5 to 2.5 % of the service's throughput.
    """
    with suppress(AttributeError, OSError):  # another system, or it is not allowed
        os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))


class Watched:
    """Knows what is being worked on and since when."""

    def __init__(self) -> None:
        self._begun: dict[int, float] = {}
        self._numbers = itertools.count()

    def call(self, function: Callable[Arguments, Result], *args: Arguments.args, **kwargs: Arguments.kwargs) -> Result:
        """Call a function, seen from other threads."""
        number = next(self._numbers)
        self._begun[number] = time.monotonic()
        try:
            return function(*args, **kwargs)
        finally:
            del self._begun[number]

    @property
    def longest_seconds(self) -> float:
        """How long the oldest unfinished call has taken; 0 where there is none."""
        return time.monotonic() - min(list(self._begun.values()), default=time.monotonic())


class WatchedThreads:
    """A fixed number of threads. Who stops waiting leaves the queue; work that has begun keeps its thread."""

    def __init__(self, num_threads: int, watched: Watched) -> None:
        self._executor = ThreadPoolExecutor(num_threads, thread_name_prefix="samx-read", initializer=compute_in_peace)
        self._watched = watched

    async def run(self, function: Callable[..., Result], *args: object) -> Result:
        """Await a function of these arguments, called in one of the threads."""
        call = functools.partial(self._watched.call, function, *args)
        # With the caller's context, so that a log line knows its request.
        return await asyncio.get_running_loop().run_in_executor(self._executor, contextvars.copy_context().run, call)
