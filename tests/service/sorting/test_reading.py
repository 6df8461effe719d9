import os
import signal
import threading
import time
from multiprocessing import active_children
from pathlib import Path

import pytest

from samx.errors import StorageError
from samx.preprocessing import PreprocessingConfig
from samx.storage import StoredObject, open_storage
from service.sorting.reading import Readers, Reading, ReadingConfig, _ByteBudget
from tests.service.sorting.conftest import BAD, fill


def config(folder: Path) -> ReadingConfig:
    return ReadingConfig(str(folder), False, PreprocessingConfig(size=64, working_size=128), 1_000_000)


def read_all(readers: Readers, items: list[StoredObject], *, kill_after: int | None = None) -> dict[str, Reading]:
    """What came of every object; kills a process with SIGKILL when so many have come."""
    found: dict[str, Reading] = {}
    num_given, deadline = 0, time.monotonic() + 60
    while len(found) < len(items):
        assert time.monotonic() < deadline
        while num_given < len(items) and readers.has_room:
            readers.give(num_given, items[num_given])
            num_given += 1
        if (answer := readers.take(0.5)) is not None:
            assert items[answer[0]].key not in found, "an object is answered once"
            found[items[answer[0]].key] = answer[1]
            if len(found) == kill_after:
                os.kill(active_children()[0].pid or 0, signal.SIGKILL)
    return found


def test_every_object_is_read_or_has_a_code(tmp_path: Path, objects: dict[str, bytes]) -> None:
    fill(open_storage(tmp_path), objects)
    items = list(open_storage(tmp_path).list())
    with Readers(config(tmp_path), 2) as readers:
        found = read_all(readers, items)
    assert {key: reading.code for key, reading in found.items() if reading.code} == BAD
    assert all((reading.image is None) == bool(reading.code) for reading in found.values())
    assert all(reading.sha256 for reading in found.values())
    assert not active_children()


@pytest.mark.parametrize("kill_after", [1, 20])
def test_a_process_that_is_killed_costs_nothing(tmp_path: Path, objects: dict[str, bytes], kill_after: int) -> None:
    fill(open_storage(tmp_path), objects)
    items = list(open_storage(tmp_path).list())
    with Readers(config(tmp_path), 2) as readers:
        found = read_all(readers, items, kill_after=kill_after)
    assert {key: reading.code for key, reading in found.items() if reading.code} == BAD


def test_an_object_above_the_limit_is_not_fetched(tmp_path: Path) -> None:
    with Readers(config(tmp_path), 1) as readers:
        found = read_all(readers, [StoredObject("huge", 10**12, "etag")])
    assert found["huge"].code == "too_many_bytes"


def test_a_source_out_of_reach_is_an_error_and_no_row(s3_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with Readers(ReadingConfig("s3://no-such-bucket-here", False, PreprocessingConfig(), 1_000), 1) as readers:
        readers.give(0, StoredObject("key", 1, "etag"))
        with pytest.raises(StorageError, match="there is no bucket"):
            readers.take(30)


def test_bytes_in_memory_never_exceed_the_budget_and_none_starves() -> None:
    budget, lock, held, most, num_done = _ByteBudget(100), threading.Lock(), 0, 0, 0

    def hold(num_bytes: int) -> None:
        nonlocal held, most, num_done
        with budget.holding(num_bytes):
            with lock:
                held += min(num_bytes, 100)
                most = max(most, held)
            time.sleep(0.001)
            with lock:
                held -= min(num_bytes, 100)
                num_done += 1

    threads = [threading.Thread(target=hold, args=(size,)) for size in [10, 60, 1_000, 45] * 20]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert num_done == 80
    assert most <= 100
