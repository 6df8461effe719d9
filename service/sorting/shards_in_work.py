"""The shards that are in work: what is read next, what is classified together, and what is finished.

A batch is made of the readable objects of one shard in the order of the manifest, so that a result depends neither on
how fast objects arrive nor on who works on them.
"""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

from samx.classifier import Prediction
from samx.manifest import ATTRIBUTES
from samx.storage import StoredObject
from service.model import tag_of
from service.sorting.job import Job
from service.sorting.manifest import Frozen, Item, read_shard
from service.sorting.outputs import make_copies, with_places
from service.sorting.reading import Readers, Reading
from service.sorting.rows import Row, decode_rows, encode_rows

BATCH_SIZE = 16

Classify = Callable[[Sequence[npt.NDArray[np.uint8]]], Future[list[Prediction]]]


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


class ShardsInWork:
    """From the first object that is read to the last result that is written.

    Args:
        job: whose shards.
        frozen: its listing.
        shards: which of them.
        classify: begins to classify a batch of preprocessed images.
        model: name and version, for the rows.
        window: how many objects may be under way or wait to be classified.
    """

    def __init__(self, job: Job, frozen: Frozen, shards: range, classify: Classify, model: str, window: int) -> None:
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
        """Whether nothing is left."""
        return self._next is None and not self._shards

    @property
    def num_under_way(self) -> int:
        """Objects that are being read."""
        return len(self._places)

    @property
    def num_classified(self) -> int:
        """Objects with a row, in shards that are not finished."""
        return sum(row is not None for shard in self._shards for row in shard.rows)

    def give(self, readers: Readers) -> None:
        """Have objects read as long as there is room."""
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
        """Take what came of an object; have a batch classified as soon as it is full."""
        shard, index = self._places.pop(number)
        shard.readings[index] = reading
        self._fill_batches(shard)

    def collect(self, timeout_seconds: float) -> None:
        """Make rows of the batches that have been classified."""
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
        return with_places(_row(item.stored, reading, prediction, self._model), self._job.request)


def _row(stored: StoredObject, reading: Reading, prediction: Prediction | None, model: str) -> Row:
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
        model=model,
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
    return row


def _result_key(shard: int) -> str:
    return f"results/{shard:06d}.jsonl"


def _rounded(value: float | None) -> float | None:
    """To what does not depend on the order in which a processor adds; None for what is no number."""
    return None if value is None or not np.isfinite(value) else round(min(value, 1e9), 5)
