import json
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from samx.errors import Interrupted
from samx.storage import open_storage
from service.sorting.job import Job, create_job, make_request
from service.sorting.manifest import freeze, read_frozen, read_shard, shards_of_index
from tests.service.sorting.conftest import fill

NUM_OBJECTS = 25


@pytest.fixture
def job(tmp_path: Path) -> Job:
    fill(open_storage(tmp_path / "in"), {f"{number:02d}": b"x" for number in range(NUM_OBJECTS)})
    places = {"source": str(tmp_path / "in"), "destination": str(tmp_path / "out")}
    return create_job(make_request(**places, model="model", shard_size=10), "a")


def listings(job: Job) -> set[str]:
    return {item.key.split("/")[1] for item in job.work.list("shards/")}


def test_a_listing_is_cut_into_shards_and_stays(job: Job) -> None:
    frozen = freeze(job, threading.Event())
    assert (frozen.num_objects, frozen.size_bytes, frozen.num_shards) == (NUM_OBJECTS, NUM_OBJECTS, 3)
    keys = [item.stored.key for number in range(3) for item in read_shard(job, frozen, number)]
    assert keys == [f"{number:02d}" for number in range(NUM_OBJECTS)]
    open_storage(job.request.source).write("99", b"late")
    assert freeze(job, threading.Event()) == frozen == read_frozen(job)


def test_of_several_listings_at_once_one_counts(job: Job) -> None:
    with ThreadPoolExecutor(8) as pool:
        found = {frozen.listing for frozen in pool.map(lambda _: freeze(job, threading.Event()), range(8))}
    assert listings(job) == found
    assert len(found) == 1


def test_who_waits_takes_the_listing_of_another(job: Job) -> None:
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(freeze, job, threading.Event(), waits=True)
        time.sleep(0.5)
        assert not listings(job), "it leaves the listing to the other"
        frozen = freeze(job, threading.Event())
        assert waiting.result() == frozen
    assert listings(job) == {frozen.listing}


def test_who_waits_in_vain_lists_by_itself(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.sorting.manifest.QUIET_SECONDS", 0.1)
    job.work.write("listing.json", json.dumps({"listing": "dead", "num_objects": 10}).encode())
    assert freeze(job, threading.Event(), waits=True).num_objects == NUM_OBJECTS


@pytest.mark.parametrize("waits", [False, True])
def test_a_listing_can_be_interrupted(job: Job, waits: bool) -> None:
    stop = threading.Event()
    stop.set()
    with pytest.raises(Interrupted):
        freeze(job, stop, waits=waits)
    assert read_frozen(job) is None


@pytest.mark.parametrize(("num_shards", "num_indexes"), [(3, 8), (8, 3), (64, 8), (1, 1), (19_532, 64)])
def test_indexes_take_every_shard_once(num_shards: int, num_indexes: int) -> None:
    ranges = [shards_of_index(num_shards, index, num_indexes) for index in range(num_indexes)]
    assert [shard for shards in ranges for shard in shards] == list(range(num_shards))
    assert max(map(len, ranges)) - min(map(len, ranges)) <= 1
