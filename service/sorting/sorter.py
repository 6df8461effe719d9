"""The sorter: reads ahead in processes, classifies in batches, finishes shards in order.

Several batches are classified at a time, each by one thread. One batch by several threads would have them wait for each
other at every layer, and longer the more the reading processes take of the cores.

A batch is made of the readable objects of one shard in the order of the manifest, so that a result depends neither on
how fast objects arrive nor on who works on them.
"""

import json
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

from samx.classifier import Classifier, Prediction
from samx.errors import Interrupted, SortRefused, StorageError
from samx.manifest import ATTRIBUTES, Manifest
from service.model import tag_of
from service.sorting.job import Job
from service.sorting.manifest import Frozen, Item, read_shard
from service.sorting.outputs import make_copies, with_places
from service.sorting.progress import WorkerProgress
from service.sorting.reading import AHEAD_PER_PROCESS, Readers, Reading, ReadingConfig
from service.sorting.rows import Row, decode_rows, encode_rows

BATCH_SIZE = 16
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


_Classify = Callable[[Sequence[npt.NDArray[np.uint8]]], Future[list[Prediction]]]


class Cancelled(Interrupted):
    """The job was cancelled."""


@dataclass
class _Shard:
    """A shard in work."""

    number: int
    items: list[Item]
    readings: list[Reading | None] = field(default_factory=list)
    rows: list[Row | None] = field(default_factory=list)
    num_batched: int = 0
    """Objects, from the first on, whose reading has gone into a batch or needs none."""
    batch: list[int] = field(default_factory=list)


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
        work = _Work(job, frozen, left, classify, f"{model.name} {model.version}", capacity.window)
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


class _Work:
    """The shards in work, from the first object that is read to the last result that is written."""

    def __init__(self, job: Job, frozen: Frozen, shards: range, classify: _Classify, model: str, window: int) -> None:
        self._job, self._frozen, self._classify, self._model, self._window = job, frozen, classify, model, window
        self._batches: dict[Future[list[Prediction]], tuple[_Shard, list[int]]] = {}
        self._there = {item.key for item in job.work.list("results/")}
        self._shards: deque[_Shard] = deque()
        self._places: dict[int, tuple[_Shard, int]] = {}
        self._num_given = 0
        self._waiting = self._objects(shards)
        self._next = next(self._waiting, None)

    @property
    def is_done(self) -> bool:
        return self._next is None and not self._shards

    @property
    def num_under_way(self) -> int:
        return len(self._places)

    @property
    def num_classified(self) -> int:
        """Objects with a row, in shards that are not finished."""
        return sum(row is not None for shard in self._shards for row in shard.rows)

    def give(self, readers: Readers) -> None:
        """Has objects read as long as there is room."""
        while self._next is not None and self._num_waiting() < self._window:
            shard, index = self._next
            item = shard.items[index] if index >= 0 else None
            if item is not None and item.row is None:
                if not readers.has_room:
                    return
                self._places[self._num_given] = shard, index
                readers.give(self._num_given, item.stored)
                self._num_given += 1
            elif item is not None:
                shard.rows[index] = with_places(item.row, self._job.request) if item.row else None
                self._fill_batches(shard)
            self._next = next(self._waiting, None)

    def take(self, number: int, reading: Reading) -> None:
        """Takes what came of an object; has a batch classified as soon as it is full."""
        shard, index = self._places.pop(number)
        shard.readings[index] = reading
        self._fill_batches(shard)

    def collect(self, timeout_seconds: float) -> None:
        """Makes rows of the batches that have been classified."""
        for done in wait(self._batches, timeout_seconds, FIRST_COMPLETED).done:
            shard, indexes = self._batches.pop(done)
            for index, prediction in zip(indexes, done.result(), strict=True):
                reading, shard.readings[index] = shard.readings[index], None
                assert reading is not None
                shard.rows[index] = self._row(shard.items[index], reading, prediction)

    def finished(self) -> Iterator[tuple[int, list[Row]]]:
        """Shards that are complete, in order, with their results stored and their copies made."""
        while self._shards and all(row is not None for row in self._shards[0].rows):
            shard = self._shards[0]
            rows = [row for row in shard.rows if row is not None]
            key = _result_key(shard.number)
            if key not in self._there:
                rows = decode_rows(self._job.work.write_once(key, encode_rows(rows)))
            yield shard.number, make_copies(self._job, shard.number, rows)
            self._shards.popleft()

    def _objects(self, shards: range) -> Iterator[tuple[_Shard, int]]:
        """Places of objects, in order; index -1 stands for a shard whose result is there."""
        for number in shards:
            if _result_key(number) in self._there:
                rows: list[Row | None] = list(decode_rows(self._job.work.read(_result_key(number))))
                shard = _Shard(number, [], rows=rows)
                self._shards.append(shard)
                yield shard, -1
            else:
                items = read_shard(self._job, self._frozen, number)
                shard = _Shard(number, items, [None] * len(items), [None] * len(items))
                self._shards.append(shard)
                yield from ((shard, index) for index in range(len(items)))

    def _num_waiting(self) -> int:
        """Objects that are under way, or read and not yet classified."""
        return len(self._places) + sum(
            reading is not None and reading.image is not None for shard in self._shards for reading in shard.readings
        )

    def _fill_batches(self, shard: _Shard) -> None:
        while shard.num_batched < len(shard.items):
            index = shard.num_batched
            if shard.rows[index] is None:
                reading = shard.readings[index]
                if reading is None:
                    return
                if reading.image is None:
                    shard.rows[index] = self._row(shard.items[index], reading, None)
                else:
                    shard.batch.append(index)
            shard.num_batched += 1
            if len(shard.batch) == BATCH_SIZE:
                self._submit(shard)
        self._submit(shard)

    def _submit(self, shard: _Shard) -> None:
        readings = [reading for index in shard.batch if (reading := shard.readings[index]) is not None]
        images = [image for reading in readings if (image := reading.image) is not None]
        if images:
            self._batches[self._classify(images)] = shard, shard.batch
            shard.batch = []

    def _row(self, item: Item, reading: Reading, prediction: Prediction | None) -> Row:
        stored = item.stored
        row = Row(
            key=stored.key,
            size_bytes=stored.size_bytes,
            etag=stored.etag,
            version_id=stored.version_id,
            sha256=reading.sha256,
            format=reading.format,
            rows=reading.rows,
            columns=reading.columns,
            sop_instance_uid=reading.sop_instance_uid,
            decision="unreadable",
            laterality=reading.laterality,
            model=self._model,
            code=reading.code,
            detail=reading.detail,
        )
        if prediction is not None:
            (label, probability), *others = prediction.ranked(2)
            second_label, second_probability = others[0] if others else ("", None)
            tag = tag_of(label, reading.body_part_examined)
            (view, view_probability), (side, side_probability) = (
                prediction.attributes.get(name, ("", None)) for name in ATTRIBUTES
            )
            row = replace(
                row,
                decision=prediction.decision,
                label=label,
                probability=_rounded(probability),
                second_label=second_label,
                second_probability=_rounded(second_probability),
                out_of_scope_score=_rounded(prediction.out_of_scope_score),
                tag_body_part_examined=tag.body_part_examined or "",
                tag_agrees=tag.agrees,
                answered_view=view,
                answered_view_probability=_rounded(view_probability),
                answered_laterality=side,
                answered_laterality_probability=_rounded(side_probability),
            )
        return with_places(row, self._job.request)


def _require_one_network(job: Job, network: str) -> None:
    """Let one network of the model give all rows of a job: they must not depend on who was quicker."""
    found = json.loads(job.work.write_once("network.json", json.dumps({"network": network}).encode()))["network"]
    if found != network:
        raise SortRefused(
            "other_network",
            f"job {job.id} was begun by the model's {found} network, and its {network} network would answer here: let "
            "all workers run on CPUs or all on GPUs, or begin another job",
        )


def _result_key(shard: int) -> str:
    return f"results/{shard:06d}.jsonl"


def _rounded(value: float | None) -> float | None:
    """To what does not depend on the order in which a processor adds; None for what is no number."""
    return None if value is None or not np.isfinite(value) else round(min(value, 1e9), 5)


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
