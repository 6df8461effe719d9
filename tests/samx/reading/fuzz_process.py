"""Reads broken files in a child process that may use 1 GiB: a crash, a hang or a leak of it is seen from outside."""

import multiprocessing
import os
import resource
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np

from samx.errors import RadiographError
from samx.radiograph import read_radiograph
from tests.samx.reading.fuzzing import broken_file, corpus

MEMORY_BYTES = 1024**3
LONGEST_SECONDS = 5.0
_HANGS_AFTER_SECONDS = 60.0  # of wall time, on a machine that does other things, too


@dataclass
class Report:
    """What became of the inputs."""

    outcomes: Counter[str] = field(default_factory=Counter)
    """How many were read ("radiograph") or refused, by code."""
    failures: list[str] = field(default_factory=list)
    """Inputs that crashed, hung, took too long or too much, or broke a promise of the result."""
    slowest_seconds: float = 0.0
    """Processor time."""
    slowest_number: int = -1


def read_all(numbers: Iterable[int], real: Path | None) -> Report:
    """Reads the inputs of these numbers; a child that dies is replaced by another."""
    report = Report()
    child = _Child(real)
    for number in numbers:
        outcome, seconds = child.read(number)
        report.outcomes[outcome] += 1
        if seconds > report.slowest_seconds:
            report.slowest_seconds, report.slowest_number = seconds, number
        if seconds > LONGEST_SECONDS:
            report.failures.append(f"input {number}: {outcome} after {seconds:.1f} s")
        if outcome in ("crash", "hang", "out_of_memory") or outcome.startswith("exception"):
            report.failures.append(f"input {number}: {outcome}")
        if outcome in ("crash", "hang"):
            child.stop()
            child = _Child(real)
    child.stop()
    return report


class _Child:
    def __init__(self, real: Path | None) -> None:
        context = multiprocessing.get_context("spawn")  # forked, it would inherit threads
        self._connection, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs, real), daemon=True)
        self._process.start()
        theirs.close()
        assert self._connection.recv() == "ready"

    def read(self, number: int) -> tuple[str, float]:
        try:
            self._connection.send(number)
            if not self._connection.poll(_HANGS_AFTER_SECONDS):
                return "hang", _HANGS_AFTER_SECONDS
            answer: tuple[str, float] = self._connection.recv()
        except (EOFError, OSError):
            return "crash", 0.0
        return answer

    def stop(self) -> None:
        self._process.kill()
        self._process.join()
        self._connection.close()


def _serve(connection: Connection, real: Path | None) -> None:
    corpus(real)
    for number in range(20):  # libraries are loaded before the memory is counted
        _outcome(broken_file(number, real))
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # codecs complain there
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY_BYTES, used + MEMORY_BYTES))
    connection.send("ready")
    for number in _received(connection):
        data = broken_file(number, real)
        started = time.process_time()
        outcome = _outcome(data)
        connection.send((outcome, time.process_time() - started))


def _received(connection: Connection) -> Iterator[int]:
    while True:
        try:
            yield connection.recv()
        except EOFError:
            return


def _outcome(data: bytes) -> str:
    try:
        radiograph = read_radiograph(data, working_size=224)
    except RadiographError as error:
        return error.code
    except BaseException as error:
        return f"exception {type(error).__name__}"
    pixels = radiograph.pixels
    kept = (
        pixels.dtype == np.float32
        and pixels.flags.c_contiguous
        and min(pixels.shape) >= 1
        and max(pixels.shape) <= 224
        and bool(np.isfinite(pixels).all())
        and pixels.min() >= 0
        and pixels.max() <= 1
    )
    return "radiograph" if kept else "exception of the promise that the result keeps"
