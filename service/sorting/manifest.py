"""Freezing what is to be sorted: the source is listed once, and cut into shards that never change."""

import dataclasses
import json
import secrets
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from threading import Event

from samx.errors import Interrupted, ObjectNotFound, SortRefused
from samx.storage import StoredObject
from service.sorting.job import LATEST, WORK_FOLDER, Job
from service.sorting.patience import PatientStorage
from service.sorting.rows import Row, decode_rows

SECONDS_BETWEEN_SIGNS = 5.0
"""How often the worker that lists the source says so to those who wait."""
SECONDS_BETWEEN_LOOKS = 1.0
QUIET_SECONDS = 20.0
"""Without a sign for so long they list it themselves."""
_SIGN = "listing.json"


@dataclass(frozen=True, slots=True)
class Frozen:
    """Content of frozen.json."""

    listing: str
    """Which of several listings, made at the same time, counts."""
    num_objects: int
    size_bytes: int
    num_shards: int
    num_carried: int
    """Objects that are as the previous job found them: their rows are carried over."""
    num_outdated: int
    """Rows of the previous job that hold no longer: their objects are gone, replaced, or could not be fetched then."""
    previous: str
    """The job whose rows are carried over; "" for none."""


@dataclass(frozen=True, slots=True)
class Item:
    """One object to sort."""

    stored: StoredObject
    row: Row | None
    """What the previous job found, if the object has not changed since."""


def freeze(job: Job, stop: Event, *, waits: bool = False) -> Frozen:
    """What the job sorts; the source is listed by the first who asks. Of several at the same time one wins.

    Args:
        job: whose source.
        stop: set, it ends this.
        waits: for another worker to list it, as long as one is at it.

    Raises:
        Interrupted: `stop` was set.
        SortRefused: there is nothing to sort.
        StorageError: the source cannot be listed.
    """
    found = read_frozen(job)
    if found is None and waits:
        found = _await_listing(job, stop)
    if found is not None:
        return found
    listing, previous = secrets.token_hex(4), latest_job(job)
    told = time.monotonic()
    carried = _Carried(job, previous)
    objects = islice(job.source.list(versions=True), job.request.limit)
    items = (Item(stored, carried.row_of(stored)) for stored in objects)
    num_objects = size_bytes = num_carried = num_shards = 0
    while shard := list(islice(items, job.request.shard_size)):
        job.work.write(f"shards/{listing}/{num_shards:06d}.jsonl", _encode(shard))
        num_shards += 1
        num_objects += len(shard)
        size_bytes += sum(item.stored.size_bytes for item in shard)
        num_carried += sum(item.row is not None for item in shard)
        if stop.is_set():
            raise Interrupted(f"job {job.id} was interrupted while it listed the source; run the same again")
        if time.monotonic() - told > SECONDS_BETWEEN_SIGNS:
            told = time.monotonic()
            job.work.write(_SIGN, json.dumps({"listing": listing, "num_objects": num_objects}).encode())
    if not num_objects:
        raise SortRefused("source_empty", f"there is nothing to sort in {job.source.url}")
    frozen = Frozen(
        listing, num_objects, size_bytes, num_shards, num_carried, carried.num_seen_to_end() - num_carried, previous
    )
    frozen = Frozen(**json.loads(job.work.write_once("frozen.json", json.dumps(dataclasses.asdict(frozen)).encode())))
    if frozen.listing != listing:
        for number in range(num_shards):
            job.work.delete(f"shards/{listing}/{number:06d}.jsonl")
    return frozen


def _await_listing(job: Job, stop: Event) -> Frozen | None:
    """What another worker has frozen; None when none shows a sign of life."""
    sign, deadline = job.read_json(_SIGN), time.monotonic() + QUIET_SECONDS
    while time.monotonic() < deadline:
        if stop.wait(SECONDS_BETWEEN_LOOKS):
            raise Interrupted(f"job {job.id} was interrupted while it waited for the listing; run the same again")
        if (found := read_frozen(job)) is not None:
            return found
        if (now := job.read_json(_SIGN)) != sign:
            sign, deadline = now, time.monotonic() + QUIET_SECONDS
    return None


def read_frozen(job: Job) -> Frozen | None:
    """What has been frozen already; None before that."""
    found = job.read_json("frozen.json")
    return Frozen(**found) if found else None


def read_shard(job: Job, frozen: Frozen, number: int) -> list[Item]:
    """The objects of one shard, in order."""
    items = []
    for line in job.work.read(f"shards/{frozen.listing}/{number:06d}.jsonl").splitlines():
        key, size_bytes, etag, version_id, row = json.loads(line)
        items.append(Item(StoredObject(key, size_bytes, etag, version_id), None if row is None else Row(**row)))
    return items


def shards_of_index(num_shards: int, index: int, num_indexes: int) -> range:
    """The shards that one of several workers takes; together they take each once."""
    return range(index * num_shards // num_indexes, (index + 1) * num_shards // num_indexes)


def latest_key(job: Job) -> str:
    """Of the pointer to the job whose rows the next one carries over."""
    return f"{LATEST}/{job.request.lineage}.json"


def latest_job(job: Job) -> str:
    """The last merged job of this source and model in this destination; "" for none."""
    try:
        return str(json.loads(job.destination.read(latest_key(job)))["job"])
    except ObjectNotFound:
        return ""


class _Carried:
    """The previous job's rows, asked for in the order of keys; one shard is in memory at a time."""

    def __init__(self, job: Job, previous: str) -> None:
        folder = job.destination.child(f"{WORK_FOLDER}/{previous}/work") if previous else None
        self._rows = _rows_of(folder) if folder else iter(())
        self._next = next(self._rows, None)
        self._num_seen = 0

    def row_of(self, stored: StoredObject) -> Row | None:
        while self._next is not None and self._next.key < stored.key:
            self._advance()
        row = self._next
        if row is None or row.key != stored.key:
            return None
        self._advance()
        # What could not be fetched then may be there for us now.
        return row if row.stored_object == stored and row.sha256 else None

    def num_seen_to_end(self) -> int:
        while self._next is not None:
            self._advance()
        return self._num_seen

    def _advance(self) -> None:
        self._num_seen += 1
        self._next = next(self._rows, None)


def _rows_of(work: PatientStorage) -> Iterator[Row]:
    frozen = Frozen(**json.loads(work.read("frozen.json")))
    for number in range(frozen.num_shards):
        yield from decode_rows(work.read(f"results/{number:06d}.jsonl"))


def _encode(items: Sequence[Item]) -> bytes:
    lines = []
    for item in items:
        row = None if item.row is None else dataclasses.asdict(item.row)
        lines.append(json.dumps([*dataclasses.astuple(item.stored), row], separators=(",", ":")))
    return ("\n".join(lines) + "\n").encode()
