"""The sorter: reads ahead in processes, classifies in batches, finishes shards in order.

Several batches are classified at a time, each by one thread. One batch by several threads would have them wait for each
other at every layer, and longer the more the reading processes take of the cores.
"""

import json
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from samx.classifier import Classifier, Prediction
from samx.errors import Interrupted, SortRefused, StorageError
from samx.manifest import Manifest
from service.sorting.job import Job
from service.sorting.manifest import Frozen
from service.sorting.progress import WorkerProgress
from service.sorting.reading import AHEAD_PER_PROCESS, Readers, ReadingConfig
from service.sorting.shards_in_work import BATCH_SIZE, ShardsInWork

SECONDS_BETWEEN_LOOKS = 0.5
"""How often a worker looks whether its job has been cancelled."""


@dataclass(frozen=True, slots=True)
class Capacity:
    """What the sorter may use."""

    num_processes: int
    """That read."""
    byte_budget: int
    """Bytes of objects in memory at a time, in all processes together."""
    num_batches: int
    """That are classified at a time."""

    @property
    def window(self) -> int:
        """How many objects may be under way or wait to be classified."""
        return 2 * (BATCH_SIZE * self.num_batches + AHEAD_PER_PROCESS * self.num_processes)


class Cancelled(Interrupted):
    """The job was cancelled."""


def sort_shards(
    job: Job,
    frozen: Frozen,
    shards: range,
    *,
    classifier: Classifier,
    model: Manifest,
    capacity: Capacity,
    stop: threading.Event,
    on_progress: Callable[[WorkerProgress], None] = lambda _: None,
) -> None:
    """Sort a range of shards, but for what is there already.

    Args:
        job: whose shards.
        frozen: its listing.
        shards: which of them.
        classifier: the model.
        model: its name and version.
        capacity: what may be used.
        stop: set, it ends the work at the next safe point.
        on_progress: called about ten times a second.

    Raises:
        Interrupted: `stop` was set; Cancelled where the job was.
        StorageError: source or destination are out of reach or refuse.
        SortRefused: another network of the model has answered so far.
    """
    if model.cpu_model is not None:
        _require_one_network(job, "student" if classifier.spec == model.cpu_model else "reference")
    progress = WorkerProgress(job, shards)
    progress.write(now=True)
    config = ReadingConfig(
        job.request.source,
        job.request.requester_pays,
        classifier.spec.preprocessing,
        capacity.byte_budget // capacity.num_processes,
    )
    with (
        _watching(job, stop) as is_cancelled,
        Readers(config, capacity.num_processes) as readers,
        _threads(capacity.num_batches) as pool,
    ):

        def classify(images: Sequence[npt.NDArray[np.uint8]]) -> Future[list[Prediction]]:
            return pool.submit(classifier.classify, images)

        left = range(progress.next_shard, shards.stop)
        work = ShardsInWork(job, frozen, left, classify, f"{model.name} {model.version}", capacity.window)
        while not work.is_done:
            if stop.is_set():
                progress.write(now=True)
                if is_cancelled.is_set():
                    raise Cancelled(f"job {job.id} was cancelled")
                raise Interrupted(f"job {job.id} was interrupted; run the same again to go on")
            work.give(readers)
            if work.num_under_way:
                answer = readers.take(0.1)
                if answer is not None:
                    work.take(*answer)
            work.collect(0 if work.num_under_way else 0.1)
            for shard, rows in work.finished():
                progress.finish(shard, rows)
            progress.num_in_work = work.num_classified
            progress.write()
            on_progress(progress)
    progress.num_in_work = 0
    progress.write(now=True)
    on_progress(progress)


def _require_one_network(job: Job, network: str) -> None:
    """Let one network of the model give all rows of a job: they must not depend on who was quicker."""
    found = json.loads(job.work.write_once("network.json", json.dumps({"network": network}).encode()))["network"]
    if found != network:
        raise SortRefused(
            "other_network",
            f"job {job.id} was begun by the model's {found} network, and its {network} network would answer here: let "
            "all workers run on CPUs or all on GPUs, or begin another job",
        )


@contextmanager
def _threads(count: int) -> Iterator[ThreadPoolExecutor]:
    """Threads; what they have not begun when the context ends is dropped."""
    pool = ThreadPoolExecutor(count)
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)


@contextmanager
def _watching(job: Job, stop: threading.Event) -> Iterator[threading.Event]:
    """While it lasts, a cancelled job sets `stop`; gives an event that tells this from other reasons."""
    is_cancelled, is_over = threading.Event(), threading.Event()

    def look() -> None:
        while not is_over.wait(SECONDS_BETWEEN_LOOKS):
            with suppress(StorageError):  # the work itself meets it too, and says so
                if job.is_cancelled:
                    is_cancelled.set()
                    stop.set()
                    return

    threading.Thread(target=look, daemon=True).start()
    try:
        yield is_cancelled
    finally:
        is_over.set()
