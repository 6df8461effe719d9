import asyncio
import ctypes
from pathlib import Path

import pytest

from service import memory

MEGABYTES_100 = 100 * 1024**2
C_LIBRARY = ctypes.CDLL(None)


def resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


@pytest.mark.skipif(not hasattr(C_LIBRARY, "malloc_trim"), reason="the C library is not glibc")
def test_memory_freed_below_what_is_in_use_goes_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "GIVE_BACK_SECONDS", 0.01)
    C_LIBRARY.malloc.restype = ctypes.c_void_p
    blocks = [ctypes.c_void_p(C_LIBRARY.malloc(100_000)) for _ in range(1500)]
    for block in blocks:
        ctypes.memset(block, 1, 100_000)
    *others, last = blocks
    for block in others:
        C_LIBRARY.free(block)
    before = resident_bytes()

    async def scenario() -> None:
        giving_back = asyncio.create_task(memory.give_back_memory())
        while resident_bytes() > before - MEGABYTES_100:
            await asyncio.sleep(0.01)
        giving_back.cancel()

    asyncio.run(asyncio.wait_for(scenario(), 20))
    C_LIBRARY.free(last)
