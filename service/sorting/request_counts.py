"""Which requests a sort makes, derived from how it works. A test holds this to the calls of real sorts.

Not in here, as they follow the clock and not the objects: each worker writes its progress once a second and looks
twice a second whether its job has been cancelled; see `of_seconds`.
"""

from collections import Counter
from dataclasses import dataclass

from service.sorting.patience import RANGE_BYTES
from service.sorting.progress import SECONDS_BETWEEN_WRITES
from service.sorting.sorter import SECONDS_BETWEEN_LOOKS

KINDS = ("list", "get", "head", "put", "copy", "tag", "delete")
KEYS_PER_PAGE = 1000
PART_BYTES = 8 * 1024**2
"""From this size on boto3 uploads in parts of this size."""
MERGED_FILES = 3


@dataclass(frozen=True, slots=True)
class Work:
    """What is sorted, and what is made of it. Source, destination and model are in S3."""

    num_objects: int
    shard_size: int
    mean_object_bytes: float = 0.0
    num_copied: int = 0
    """Copies, each under a name of its own."""
    tags: bool = False
    num_described: int = 0
    """DICOM copies."""
    num_model_files: int = 6
    """Of the artifact, next to its manifest."""
    num_thumbnails: int = 0
    """Radiographs that the summary shows."""
    merged_row_bytes: float = 0.0
    """Mean bytes of a row in one of the merged files."""

    @property
    def num_shards(self) -> int:
        """Shards that the listing is cut into."""
        return -(-self.num_objects // self.shard_size)

    @property
    def adds_to_destination(self) -> bool:
        """Whether there are copies of any kind."""
        return bool(self.num_copied or self.num_described)


def of_listing(work: Work, *, counts: bool = True) -> Counter[str]:
    """Of one who lists the source; `counts` is False where another was quicker, and the listing is removed."""
    requests = Counter({"list": 1 + _pages(work.num_objects), "get": 1, "put": work.num_shards + 1})
    if not counts:
        requests.update({"get": 1, "delete": work.num_shards})
    return requests


def of_start(work: Work, *, is_first: bool, num_results: int = 0) -> Counter[str]:
    """Of a worker until it gives its readers the first object.

    Args:
        work: what is sorted.
        is_first: whether it makes the job.
        num_results: shards that are sorted already; the folder of results is listed.
    """
    return Counter(
        {
            "list": _pages(num_results),
            "get": (not is_first) + 1 + (2 + work.num_model_files) + 1,  # job, frozen.json, model, progress
            "head": 2,
            "put": 1,
        }
    )


def of_shards(work: Work) -> Counter[str]:
    """Of all shards together, each sorted once."""
    ranges = max(1, -(-int(work.mean_object_bytes) // RANGE_BYTES))
    requests = Counter({"get": work.num_shards + work.num_objects * ranges, "put": work.num_shards})
    if work.adds_to_destination:
        requests.update({"get": work.num_shards, "put": 2 * work.num_shards})  # what is planned, and what is done
        requests.update({"head": work.num_copied + work.num_described, "copy": work.num_copied})
        requests.update({"tag": work.num_copied if work.tags else 0})
        requests.update({"get": work.num_described * ranges, "put": work.num_described})
    return requests


def of_merge(work: Work, *, alone: bool) -> Counter[str]:
    """Of the merge; `alone` in a process of its own, with `--merge`."""
    parts = -(-int(work.num_objects * work.merged_row_bytes) // PART_BYTES)
    per_file = 1 if parts <= 1 else parts + 2
    requests = Counter(
        {
            "list": _pages(work.num_shards),
            "get": work.num_shards * (3 if work.adds_to_destination else 2) + work.num_thumbnails,
            "put": MERGED_FILES * per_file + 3,  # summary.html, the pointer to the latest job, done.json
        }
    )
    if alone:
        requests.update({"head": 1, "put": 1, "get": 2})
    return requests


def of_seconds(worker_seconds: float) -> Counter[str]:
    """Of workers that have been at work for so many seconds together: progress, and looks for cancellation."""
    writes, looks = worker_seconds / SECONDS_BETWEEN_WRITES, worker_seconds / SECONDS_BETWEEN_LOOKS
    return Counter({"put": round(writes), "head": round(looks)})


def _pages(num_keys: int) -> int:
    return max(1, -(-num_keys // KEYS_PER_PAGE))
