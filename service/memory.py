"""Memory that has been freed goes back to the system."""

import asyncio
import ctypes

GIVE_BACK_SECONDS = 10.0


async def give_back_memory() -> None:
    """Have the C library return what is free, every few seconds for ever; at once where it cannot (it is not glibc).

    By itself it keeps for each thread what that has ever needed at once, in case it is needed again: a service that had
    been sent 50,000 broken files held 140 MB more than after 15,000 (`python -m tests.benchmarks.service_fuzzing`).
    """
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    while trim is not None:
        await asyncio.sleep(GIVE_BACK_SECONDS)
        await asyncio.to_thread(trim, 0)
