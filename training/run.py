"""A run: one prefix, a folder or in a bucket, in which the stages leave their files for the stages after them.

Each stage writes below its own name and leaves `done/<stage>.json` last, with the checksums of its configuration, its
inputs and its outputs. Run again with the same inputs, a stage does nothing; with others, it says what differs. So it
does if it was interrupted: what it left was made with the inputs in `begun/<stage>.json`.
"""

import csv
import hashlib
import io
import json
import logging
import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from samx.errors import Interrupted, ObjectNotFound, WrongInput
from samx.storage import Storage, open_storage
from training import distribution
from training.config import TrainingConfig

logger = logging.getLogger(__name__)

CLUSTER_LABELS = "cluster_labels.csv"
CLUSTER_MEMBERS = "cluster_members.csv"
CORRECTIONS = "corrections.csv"
RADIOGRAPH_LABELS = "radiograph_labels.csv"
AUDIT_LOG = "audit_log.jsonl"
PEOPLES = (CLUSTER_LABELS, CLUSTER_MEMBERS, CORRECTIONS, RADIOGRAPH_LABELS, AUDIT_LOG)
"""Files at the top of the run that people write; a simulated reader, too."""

STOPPED = "stopped by a signal; run the same command again to resume"


@dataclass(frozen=True, slots=True)
class Stage:
    """One line of the job."""

    name: str
    execute: "Callable[[Run], None]"
    sections: Sequence[str]
    """Fields of the configuration that its result depends on."""
    reads: Sequence[str]
    """Earlier stages whose files it reads."""
    decisions: Sequence[str] = ()
    """Files at the top of the run, written by people, that its result depends on."""
    is_distributed: bool = False
    """Whether all ranks take part; else the first rank does it and the others wait."""


class Run:
    """Files of a run, through which stages meet.

    Args:
        config: the resolved configuration; `config.run` is where the files are.
    """

    def __init__(self, config: TrainingConfig) -> None:
        self.config = config
        self.storage = open_storage(config.run)
        self._outputs: dict[str, str] = {}
        self._stop = threading.Event()

    @property
    def device(self) -> torch.device:
        """Where networks are trained."""
        return self.config.torch_device

    def generator(self, *names: object) -> torch.Generator:
        """A random generator that depends only on the seed and on `names`, such as stage and epoch."""
        text = "/".join(map(str, (self.config.seed, *names)))
        seed = int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1
        return torch.Generator().manual_seed(seed)

    def write(self, key: str, data: bytes) -> None:
        """Write a file of the stage at work; it counts among the stage's outputs. Of several ranks the first writes."""
        if distribution.rank() == 0:
            self.storage.write(key, data)
        self._outputs[key] = hashlib.sha256(data).hexdigest()

    def adopt(self, *keys: str) -> bool:
        """Count files that an interrupted execution left among the stage's outputs; False if the first is missing.

        The first key must be the one that was written last.
        """
        if not self.storage.exists(keys[0]):
            return False
        left = [key for key in keys if key not in self._outputs]  # the others this execution has written itself
        self._outputs |= {key: hashlib.sha256(self.read(key)).hexdigest() for key in left}
        return True

    def read(self, key: str) -> bytes:
        """Read a file of the run."""
        return self.storage.read(key)

    def write_csv(self, key: str, rows: Iterable[Mapping[str, object]], columns: Sequence[str]) -> None:
        """Write a table, one row per mapping, in UTF-8 with a header line."""
        self.write(key, table_bytes(rows, columns))

    def read_csv(self, key: str) -> list[dict[str, str]]:
        """Read a table; every value is text."""
        return list(csv.DictReader(io.StringIO(self.read(key).decode())))

    def write_json(self, key: str, content: object) -> None:
        """Write indented JSON with sorted keys."""
        self.write(key, (json.dumps(content, indent=2, sort_keys=True) + "\n").encode())

    def read_json(self, key: str) -> Any:
        """Read JSON."""
        return read_json(self.storage, key)

    def write_array(self, key: str, array: npt.NDArray[Any]) -> None:
        """Write an array in NumPy's own format."""
        buffer = io.BytesIO()
        np.save(buffer, array, allow_pickle=False)
        self.write(key, buffer.getvalue())

    def read_array(self, key: str) -> npt.NDArray[Any]:
        """Read an array in NumPy's own format."""
        array: npt.NDArray[Any] = np.load(io.BytesIO(self.read(key)), allow_pickle=False)
        return array

    def is_done(self, stage: str) -> bool:
        """Whether the stage has left its done-marker."""
        return self.storage.exists(_marker_key(stage))

    def check_stop(self) -> None:
        """Stop here if a signal asked for it; called where the work so far is saved or cheap to repeat.

        Raises:
            Interrupted: SIGTERM or SIGINT has arrived.
        """
        if self._stop.is_set():
            raise Interrupted(STOPPED)

    def check_stop_of_any_rank(self) -> None:
        """The same where all ranks take part: they agree to stop at the same place.

        Raises:
            Interrupted: SIGTERM or SIGINT has arrived at one of them.
        """
        if self.stop_requested():
            raise Interrupted(STOPPED)

    def stop_requested(self) -> bool:
        """Whether a signal has arrived at any rank; asked by all of them at the same place."""
        return distribution.any_rank(self._stop.is_set())

    @contextmanager
    def stopping_on_signals(self) -> Iterator[None]:
        """Turn SIGTERM and SIGINT into `Interrupted` at the next `check_stop`; a second signal stops at once."""

        def request_stop(number: int, _frame: FrameType | None) -> None:
            if self._stop.is_set():
                raise Interrupted("stopped at once by a second signal; run the same command again to resume")
            logger.warning("%s: stopping at the next safe point", signal.Signals(number).name)
            self._stop.set()

        before = {number: signal.signal(number, request_stop) for number in (signal.SIGTERM, signal.SIGINT)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def execute(self, stage: Stage) -> None:
        """Run a stage, or find that it is done.

        Raises:
            WrongInput: an earlier stage is missing, or the stage was done with other inputs.
        """
        is_resumed = distribution.on_first_rank(lambda: self._prepare(stage))
        if is_resumed is None:
            return
        self._outputs = {}
        started = time.monotonic()
        try:
            if stage.is_distributed:
                stage.execute(self)
            else:
                distribution.on_first_rank(lambda: stage.execute(self))
        except WrongInput:
            if not is_resumed:  # else files of the interrupted execution are still there
                # What is wrong may be changed.
                distribution.on_first_rank(lambda: self.storage.delete(_begun_key(stage.name)))
            raise
        seconds = round(time.monotonic() - started, 1)
        distribution.on_first_rank(lambda: self._finish(stage, seconds))

    def forget(self, stage: str) -> None:
        """Delete what a stage left, the marker first, so that it is done again. What people wrote stays."""
        if self.is_done(stage):
            outputs = self.read_json(_marker_key(stage))["outputs"]
            self.storage.delete(_marker_key(stage))
            for key in outputs:
                if key not in PEOPLES:
                    self.storage.delete(key)
        for item in list(self.storage.list(f"{stage}/")):  # of an interruption
            self.storage.delete(item.key)
        self.storage.delete(_begun_key(stage))

    def _prepare(self, stage: Stage) -> bool | None:
        """Whether an interrupted execution is resumed; None if the stage is done."""
        inputs = self._inputs(stage)
        if self.is_done(stage.name):
            before = self.read_json(_marker_key(stage.name))["inputs"]
            _require_same(before, inputs, f"{stage.name} was done in {self.storage.url}", _marker_key(stage.name))
            logger.info("%s: done already", stage.name)
            return None
        is_resumed = self._begin(stage, inputs)
        logger.info("%s: started", stage.name)
        return is_resumed

    def _finish(self, stage: Stage, seconds: float) -> None:
        inputs = self._inputs(stage)  # again: a simulated reader has written its decisions by now
        marker = {"stage": stage.name, "inputs": inputs, "outputs": self._outputs, "seconds": seconds}
        self.storage.write(_marker_key(stage.name), (json.dumps(marker, indent=2, sort_keys=True) + "\n").encode())
        self.storage.delete(_begun_key(stage.name))
        logger.info("%s: done in %.1f s", stage.name, seconds)

    def _begin(self, stage: Stage, inputs: dict[str, object]) -> bool:
        """Note what a stage begins with, so that what an interruption leaves of it is continued with nothing else.

        Decisions of people do not count: they may be made while the stage waits for them.

        Returns:
            Whether an interrupted execution is resumed.
        """
        key = _begun_key(stage.name)
        fixed = {name: inputs[name] for name in ("configuration", "stages")}
        if self.storage.exists(key):
            what = f"{stage.name} was begun in {self.storage.url}"
            _require_same(self.read_json(key), fixed, what, f"{stage.name}/, {key}")
            return True
        self.storage.write(key, (json.dumps(fixed, indent=2, sort_keys=True) + "\n").encode())
        return False

    def _inputs(self, stage: Stage) -> dict[str, object]:
        upstream: dict[str, str] = {}
        for name in stage.reads:
            try:
                marker = self.read_json(_marker_key(name))
            except ObjectNotFound as error:
                raise WrongInput(
                    f"{stage.name} needs the stage {name}, which is not done in {self.storage.url}"
                ) from error
            if not marker["outputs"]:  # an option that was not wanted: as if there were no such stage
                continue
            upstream[name] = hashlib.sha256(json.dumps(marker["outputs"], sort_keys=True).encode()).hexdigest()
        decisions = {}
        for key in stage.decisions:
            if self.storage.exists(key):
                decisions[key] = hashlib.sha256(self.read(key)).hexdigest()
        return {"configuration": self.config.fields(stage.sections), "stages": upstream, "decisions": decisions}


def read_json(storage: Storage, key: str) -> Any:
    """A JSON file of a run."""
    return json.loads(storage.read(key))


def table_bytes(rows: Iterable[Mapping[str, object]], columns: Sequence[str]) -> bytes:
    """A CSV table as it is stored, one row per mapping, in UTF-8 with a header line."""
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return buffer.getvalue().encode()


def read_table(storage: Storage, key: str) -> list[dict[str, str]]:
    """A CSV table, every value as text; no rows where there is no such file."""
    try:
        return list(csv.DictReader(io.StringIO(storage.read(key).decode())))
    except ObjectNotFound:
        return []


def _require_same(before: object, now: object, what: str, leftovers: str) -> None:
    differences = list(_differences(before, json.loads(json.dumps(now))))
    if differences:
        raise WrongInput(
            f"{what} with other inputs: {'; '.join(differences)}. Use another run, or delete {leftovers} and the "
            "markers after it to do these stages again"
        )


def _differences(before: Any, now: Any, path: str = "") -> Iterator[str]:
    if isinstance(before, dict) and isinstance(now, dict):
        for key in sorted(before.keys() | now.keys()):
            yield from _differences(before.get(key), now.get(key), f"{path}.{key}" if path else key)
    elif before != now:
        yield f"{path} was {before!r}, is {now!r}"


def _marker_key(stage: str) -> str:
    return f"done/{stage}.json"


def _begun_key(stage: str) -> str:
    return f"begun/{stage}.json"
