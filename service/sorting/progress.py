"""How far a job is, told by one small file per worker: right whenever it is read, and read with a few requests."""

import json
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from service.sorting.job import Job
from service.sorting.manifest import Frozen
from service.sorting.rows import Row

SECONDS_BETWEEN_WRITES = 1.0
STALE_SECONDS = 30.0
"""A worker that has written nothing for so long is taken for dead."""


@dataclass
class Tally:
    """Counts of rows."""

    num_objects: int = 0
    size_bytes: int = 0
    decisions: Counter[str] = field(default_factory=Counter)
    labels: Counter[str] = field(default_factory=Counter)
    """Of what was read, whatever the decision."""
    codes: Counter[str] = field(default_factory=Counter)
    """Of what could not be used."""
    copy_codes: Counter[str] = field(default_factory=Counter)
    num_tags_that_agree: int = 0
    num_tags_that_disagree: int = 0

    def add(self, rows: Iterable[Row]) -> None:
        """Count rows."""
        for row in rows:
            self.num_objects += 1
            self.size_bytes += row.size_bytes
            self.decisions[row.decision] += 1
            self.num_tags_that_agree += row.tag_agrees is True
            self.num_tags_that_disagree += row.tag_agrees is False
            for counts, value in ((self.labels, row.label), (self.codes, row.code), (self.copy_codes, row.copy_code)):
                if value:
                    counts[value] += 1

    def add_tally(self, other: dict[str, Any]) -> None:
        """Count what another tally, as JSON, has counted."""
        for name, value in other.items():
            if isinstance(value, dict):
                getattr(self, name).update(value)
            else:
                setattr(self, name, getattr(self, name) + value)

    def as_json(self) -> dict[str, Any]:
        """For JSON, keys sorted."""
        return {
            name: dict(sorted(value.items())) if isinstance(value, dict) else value
            for name, value in vars(self).items()
        }


class WorkerProgress:
    """What one worker has finished of its range of shards, written about once a second.

    Shards are finished in order, so `next_shard` says all. Another worker of the same range writes the same.
    """

    def __init__(self, job: Job, shards: range) -> None:
        self._job, self._key = job, f"progress/{shards.start:06d}-{shards.stop:06d}.json"
        self._written = 0.0
        self._started = time.time()
        self._num_before = 0
        self.tally, self.next_shard, self.num_in_work = Tally(), shards.start, 0
        found = job.read_json(self._key)
        if found is not None:
            self.tally.add_tally(found["tally"])
            self.next_shard = found["next_shard"]
            self._num_before = self.tally.num_objects

    def finish(self, shard: int, rows: Iterable[Row]) -> None:
        """Count a finished shard."""
        assert shard == self.next_shard
        self.tally.add(rows)
        self.next_shard += 1

    def write(self, *, now: bool = False) -> None:
        """Store it, unless that was less than a second ago."""
        if not now and time.time() - self._written < SECONDS_BETWEEN_WRITES:
            return
        self._written = time.time()
        seconds = max(self._written - self._started, 1e-3)
        rate = (self.tally.num_objects + self.num_in_work - self._num_before) / seconds
        content = {
            "next_shard": self.next_shard,
            "num_in_work": self.num_in_work,
            "objects_per_second": round(rate, 2),
            "updated_at": self._written,
            "tally": self.tally.as_json(),
        }
        self._job.work.write(self._key, json.dumps(content).encode())


@dataclass(frozen=True, slots=True)
class JobProgress:
    """All workers together."""

    tally: Tally
    num_in_work: int
    objects_per_second: float
    """Of workers that are alive."""
    num_workers: int
    """Workers that are alive."""

    def seconds_left(self, frozen: Frozen) -> float | None:
        """Until all is sorted, at the present rate."""
        left = frozen.num_objects - self.tally.num_objects - self.num_in_work
        return left / self.objects_per_second if self.objects_per_second > 0 else None


def read_progress(job: Job) -> JobProgress:
    """How far the job is.

    Workers of other ranges than now may have been at it before: of ranges that overlap the longest counts, so that no
    object is counted twice.
    """
    found = []
    for item in job.work.list("progress/"):
        start = int(item.key.removeprefix("progress/").partition("-")[0])
        content = json.loads(job.work.read(item.key))
        found.append((start, int(content["next_shard"]), content))
    tally, num_in_work, rate, num_workers = Tally(), 0, 0.0, 0
    counted: list[tuple[int, int]] = []
    for start, stop, content in sorted(found, key=lambda entry: entry[0] - entry[1]):
        if all(stop <= other_start or start >= other_stop for other_start, other_stop in counted):
            counted.append((start, stop))
            tally.add_tally(content["tally"])
        if time.time() - content["updated_at"] < STALE_SECONDS:
            num_in_work += content["num_in_work"]
            rate += content["objects_per_second"]
            num_workers += 1
    return JobProgress(tally, num_in_work, rate, num_workers)
