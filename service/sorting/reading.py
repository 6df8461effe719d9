"""Fetching and reading objects in processes: many requests in flight, few bytes in memory.

Each process fetches several objects at once and decodes one of them at a time, so that waiting costs nothing and the
bytes never cross a process. What comes back is the image that the network takes, and what the file says of itself.
Light enough for the start of a process: no torch.

The processes are our own and not of ProcessPoolExecutor: it cannot say which file a process died of, and can hang when
one dies while it starts.
"""

import ctypes
import hashlib
import multiprocessing
import queue
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection
from types import TracebackType
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from samx.child_process import live_with_parent
from samx.errors import (
    AccessDenied,
    ObjectNotFound,
    PreconditionFailed,
    RadiographError,
    RadiographTooLarge,
    StorageError,
)
from samx.preprocessing import PreprocessingConfig, preprocess
from samx.radiograph import read_radiograph
from samx.reading.limits import DEFAULT_LIMITS
from samx.storage import StoredObject, open_storage
from service.sorting.patience import PatientStorage

FETCHES_PER_PROCESS = 8
AHEAD_PER_PROCESS = 24
"""Objects under way or read and not yet taken, per process."""
_M_MMAP_THRESHOLD = -3  # malloc.h
_OF_ONE_OBJECT = (ObjectNotFound, PreconditionFailed, AccessDenied)


@dataclass(frozen=True, slots=True)
class ReadingConfig:
    """What a process has to know."""

    source: str
    requester_pays: bool
    preprocessing: PreprocessingConfig
    byte_budget: int
    """Bytes of objects that one process holds at a time; a larger one is read alone."""


@dataclass(frozen=True, slots=True)
class Reading:
    """What came of one object."""

    image: npt.NDArray[np.uint8] | None = None
    """Preprocessed, `(S, S)`; None where it cannot be used."""
    sha256: str = ""
    format: str = ""
    rows: int | None = None
    columns: int | None = None
    sop_instance_uid: str = ""
    body_part_examined: str = ""
    laterality: str = ""
    code: str = ""
    """Why it cannot be used."""
    detail: str = ""


def read_object(source: PatientStorage, item: StoredObject, config: ReadingConfig, decoding: threading.Lock) -> Reading:
    """Fetches and reads one object; what is wrong with this one is part of the answer.

    Raises:
        StorageError: what is wrong with all: out of reach, credentials refused.
    """
    try:
        DEFAULT_LIMITS.check_encoded(item.size_bytes)
        data = source.read_listed(item)
    except RadiographTooLarge as error:
        return Reading(code=error.code, detail=error.detail)
    except StorageError as error:
        if isinstance(error, _OF_ONE_OBJECT) or type(error) is StorageError:
            return Reading(code=error.code, detail=_MEANINGS[error.code])
        raise
    facts = Reading(sha256=hashlib.sha256(data).hexdigest())
    if not data:
        return replace(facts, code="empty", detail="the object has no bytes")
    try:
        with decoding:
            radiograph = read_radiograph(data, working_size=config.preprocessing.working_size)
            image = preprocess(radiograph, config.preprocessing)
    except RadiographError as error:
        return replace(facts, code=error.code, detail=error.detail)
    except Exception as error:  # the border of one file: whatever its bytes do, the others go on
        return replace(facts, code="not_decodable", detail=f"the reader failed ({type(error).__name__})")
    attributes = radiograph.attributes
    side = attributes.laterality.strip().upper()
    return replace(
        facts,
        image=image,
        format=radiograph.format,
        rows=radiograph.rows,
        columns=radiograph.columns,
        sop_instance_uid=attributes.sop_instance_uid,
        body_part_examined=attributes.body_part_examined,
        laterality=side if side in ("L", "R") else "",
    )


_MEANINGS = {
    ObjectNotFound.code: "the object was deleted after it was listed",
    PreconditionFailed.code: "the object was replaced after it was listed",
    AccessDenied.code: "reading the object is not permitted",
    StorageError.code: "the storage refuses to give the object",
}
_CRASHED = Reading(code="reader_crashed", detail="reading the object ended the process that read it, twice")


class Readers:
    """Processes that read objects. Use as a context; they end with it, and with this process however it ends.

    Args:
        config: how to read.
        num_processes: how many.
    """

    def __init__(self, config: ReadingConfig, num_processes: int) -> None:
        self._config = config
        self._answers: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._num_processes = num_processes
        self._processes: list[_Process] = []
        self._suspects: list[tuple[int, StoredObject]] = []
        """What was under way in a process that died: read one by one."""

    def __enter__(self) -> Self:
        self._processes = [_Process(self._config, self._answers) for _ in range(self._num_processes)]
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        for process in self._processes:
            process.terminate()
        for process in self._processes:
            process.join()

    @property
    def has_room(self) -> bool:
        """Whether another object can be given."""
        if self._suspects or any(process.is_alone for process in self._processes):
            return False
        return min(len(process.pending) for process in self._processes) < AHEAD_PER_PROCESS

    def give(self, number: int, item: StoredObject) -> None:
        """Have an object read; `number` tells its answer."""
        process = min(self._processes, key=lambda process: len(process.pending))
        process.is_alone = False
        process.give(number, item)

    def take(self, timeout_seconds: float) -> tuple[int, Reading] | None:
        """Returns what came of one of the objects, in any order; None where nothing has come yet.

        Raises:
            StorageError: the source is out of reach or refuses everything.
        """
        try:
            answer = self._answers.get(timeout=timeout_seconds)
        except queue.Empty:
            return None
        if isinstance(answer, _Process):
            return self._after_death(answer)
        process, number, reading = answer
        process.pending.pop(number, None)
        if isinstance(reading, StorageError):
            raise reading
        self._resume()
        return number, reading

    def _after_death(self, dead: "_Process") -> tuple[int, Reading] | None:
        """Starts another process; what killed it is found by reading the objects that were under way one by one."""
        self._processes[self._processes.index(dead)] = _Process(self._config, self._answers)
        crashed = None
        if dead.is_alone and len(dead.pending) == 1:
            ((number, _),) = dead.pending.items()
            crashed = number, _CRASHED
        else:
            self._suspects += dead.pending.items()
        self._resume()
        return crashed

    def _resume(self) -> None:
        """One suspect at a time, in a process that has nothing else to do."""
        idle = next((process for process in self._processes if not process.pending), None)
        if self._suspects and idle is not None and not any(process.is_alone for process in self._processes):
            idle.is_alone = True
            idle.give(*self._suspects.pop(0))


class _Process:
    """One process and what it has been given."""

    def __init__(self, config: ReadingConfig, answers: queue.SimpleQueue[Any]) -> None:
        context = multiprocessing.get_context("spawn")  # not forked: the caller holds threads (torch, boto3)
        self._connection, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs, config), daemon=True)
        self._process.start()
        theirs.close()
        self._ending = False
        self._is_alone = False
        self.pending: dict[int, StoredObject] = {}
        threading.Thread(target=self._listen, args=(answers,), daemon=True).start()

    @property
    def is_alone(self) -> bool:
        """Whether the one object it has been given is suspected of ending processes."""
        return self._is_alone and bool(self.pending)

    @is_alone.setter
    def is_alone(self, value: bool) -> None:
        self._is_alone = value

    def give(self, number: int, item: StoredObject) -> None:
        self.pending[number] = item
        with suppress(OSError):  # it has just died; the thread that listens says so
            self._connection.send((number, item))

    def terminate(self) -> None:
        self._ending = True
        self._process.terminate()

    def join(self) -> None:
        self._process.join()
        self._connection.close()

    def _listen(self, answers: queue.SimpleQueue[Any]) -> None:
        try:
            while True:
                answers.put((self, *self._connection.recv()))
        except (EOFError, OSError):
            if not self._ending:
                self._process.join()
                answers.put(self)


def _serve(connection: Connection, config: ReadingConfig) -> None:
    """The life of a reading process."""
    live_with_parent()
    _give_memory_back()
    source = PatientStorage(open_storage(config.source, requester_pays=config.requester_pays))
    budget, decoding, sending = _ByteBudget(config.byte_budget), threading.Lock(), threading.Lock()

    def work(number: int, item: StoredObject) -> None:
        answer: Reading | StorageError
        with budget.holding(item.size_bytes):
            try:
                answer = read_object(source, item, config, decoding)
            except StorageError as error:
                answer = error
            except Exception as error:  # not of the file: a row would hide it
                answer = StorageError(f"reading from the source failed unexpectedly ({type(error).__name__})")
        with sending:
            connection.send((number, answer))

    with ThreadPoolExecutor(FETCHES_PER_PROCESS) as pool:
        while True:
            pool.submit(work, *connection.recv())


class _ByteBudget:
    """Lets objects in while their sizes fit together, in the order in which they asked; one that never fits, alone."""

    def __init__(self, total: int) -> None:
        self._total = self._free = total
        self._turn = threading.Lock()
        self._changed = threading.Condition()

    @contextmanager
    def holding(self, num_bytes: int) -> Iterator[None]:
        num_bytes = min(num_bytes, self._total)
        with self._turn, self._changed:
            self._changed.wait_for(lambda: self._free >= num_bytes)
            self._free -= num_bytes
        try:
            yield
        finally:
            with self._changed:
                self._free += num_bytes
                self._changed.notify_all()


def _give_memory_back() -> None:
    """Large blocks go back to the system when they are freed; glibc would keep some for each thread (mallopt(3))."""
    with suppress(AttributeError, OSError):  # another C library
        ctypes.CDLL(None).mallopt(_M_MMAP_THRESHOLD, 1024**2)
