"""Taking a job back: everything that it made, and nothing else."""

import json
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor

from samx.errors import SortRefused
from service.sorting.job import Job
from service.sorting.manifest import latest_job, latest_key, read_frozen
from service.sorting.outputs import made_by
from service.sorting.patience import PatientStorage
from service.sorting.progress import read_progress

DELETIONS_AT_ONCE = 16
QUIET_SECONDS = 3.0
"""A worker looks for cancellation twice a second and writes its progress once."""


def undo(job: Job) -> int:
    """Remove what the job made, its own files last; returns how many objects. Interrupted, it is run again.

    Raises:
        SortRefused: a later job carries this one's rows.
        StorageError: the destination is out of reach or refuses.
    """
    frozen = read_frozen(job)
    latest = latest_job(job)
    if job.is_done and latest not in ("", job.id):
        detail = f"job {latest} builds on {job.id}: undo it first"
        raise SortRefused("later_job", detail)
    if not job.is_done and not job.is_cancelled:
        job.cancel()
        if read_progress(job).num_workers:
            time.sleep(QUIET_SECONDS)
    num_deleted = 0
    if frozen is not None:
        num_deleted += _delete(job.destination, made_by(job, range(frozen.num_shards)))
    if latest == job.id and frozen is not None:
        if frozen.previous:
            job.destination.write(latest_key(job), json.dumps({"job": frozen.previous}).encode())
        else:
            num_deleted += _delete(job.destination, [latest_key(job)])
    num_deleted += _delete(job.folder, (item.key for item in job.folder.list() if not item.key.startswith("work/")))
    num_deleted += _delete(job.folder, (item.key for item in job.folder.list()))
    return num_deleted + _delete(job.destination, [job.key])


def _delete(storage: PatientStorage, keys: Iterable[str]) -> int:
    with ThreadPoolExecutor(DELETIONS_AT_ONCE) as pool:
        return sum(1 for _ in pool.map(storage.delete, keys))
