"""Works on the jobs of the registry: one after another, each in a process of its own that anybody may kill.

The process is `python -m service sort` with the lowest priority, so that requests go first. It ends with this one,
however that ends; what it has found so far stays, and whoever takes the job next goes on from there.
"""

import logging
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from samx.errors import SamxError
from service.problems import traceback_without_values
from service.sorting.job import SortRequest
from service.sorting.options import DONE, INTERRUPTED, WRONG_INPUT
from service.sorting.registry import HOLD_SECONDS, JobRecord, Registry

SECONDS_BETWEEN_LOOKS = 0.5
"""How often a running job's record is read: whether it was cancelled."""
SECONDS_BETWEEN_CLAIMS = 5.0
"""How often an idle replica looks for a job that another one has taken in or left."""
STOP_SECONDS = 5.0
"""How long a job may take to save what it has when the service stops."""
_PROJECT = Path(__file__).resolve().parents[2]

logger = logging.getLogger("samx.service")


class Runner:
    """Threads that work on jobs until they are stopped.

    Args:
        registry: the jobs.
        num_at_once: how many jobs may run at a time.
    """

    def __init__(self, registry: Registry, num_at_once: int) -> None:
        self._registry = registry
        self._stopping = threading.Event()
        self._news = threading.Condition()
        self._num_news = 0
        self._threads = [threading.Thread(target=self._run, daemon=True) for _ in range(num_at_once)]

    def start(self) -> None:
        """Begin; jobs that another process left are taken over."""
        for thread in self._threads:
            thread.start()

    def look(self) -> None:
        """Look at the registry now: a job has come in, or was cancelled."""
        with self._news:
            self._num_news += 1
            self._news.notify_all()

    def stop(self) -> None:
        """Interrupt what runs and leave it to others; returns when that is done."""
        self._stopping.set()
        self.look()
        for thread in self._threads:
            if thread.is_alive():
                thread.join(2 * STOP_SECONDS)

    def _run(self) -> None:
        while not self._stopping.is_set():
            num_news = self._num_news
            try:
                record = self._registry.claim()
                if record is not None:
                    self._work(record)
                    continue
            except SamxError as error:
                logger.error("Jobs cannot be reached: %s", error)
            except Exception as error:  # the border of a thread: nobody else would hear of it
                logger.error("A job failed unexpectedly: %s", traceback_without_values(error))
            self._wait(num_news, SECONDS_BETWEEN_CLAIMS)

    def _wait(self, num_news: int, seconds: float) -> None:
        """Until there are further news, or the time has passed."""
        with self._news:
            self._news.wait_for(lambda: self._num_news != num_news, seconds)

    def _work(self, record: JobRecord) -> None:
        logger.info("Job %s begins", record.id)
        process = subprocess.Popen(  # noqa: S603  # our own command
            sort_command(record.request, record.id),
            cwd=_PROJECT,
            stdin=subprocess.PIPE,  # ends with this process, and the job with it
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )
        lines: list[str] = []
        listener = threading.Thread(target=_listen, args=(process, lines.append), daemon=True)
        listener.start()
        try:
            wanted = self._watch(record, process)
        finally:
            _kill(process)
            listener.join()
            assert process.stdin is not None
            process.stdin.close()
        if not wanted:
            logger.info("Job %s is no longer ours", record.id)
            return
        self._record_end(record.id, process.returncode, lines[-1] if lines else "")

    def _watch(self, record: JobRecord, process: subprocess.Popen[bytes]) -> bool:
        """Until the process has ended by itself, or is no longer wanted (False)."""
        num_looks = 0
        while process.poll() is None:
            self._wait(self._num_news, SECONDS_BETWEEN_LOOKS)
            if self._stopping.is_set():
                process.send_signal(signal.SIGTERM)
                with suppress(subprocess.TimeoutExpired):
                    process.wait(STOP_SECONDS)
                break
            num_looks += 1
            renew = num_looks % int(HOLD_SECONDS / 3 / SECONDS_BETWEEN_LOOKS) == 0
            now = self._registry.keep(record.id) if renew else self._registry.get(record.id)
            if not self._registry.is_ours(now):
                return False
        return True

    def _record_end(self, job_id: str, code: int, last_line: str) -> None:
        what, _, detail = last_line.removeprefix("samx sort: ").partition(": ")
        if code == DONE:
            self._registry.finish(job_id, "done")
        elif code == WRONG_INPUT:
            self._registry.finish(job_id, "failed", what, detail)
        elif self._stopping.is_set():
            self._registry.release(job_id)
        elif code == INTERRUPTED:  # somebody else stopped it, or cancelled it in its destination
            self._registry.try_later(job_id, "interrupted", "the job was interrupted")
        elif last_line.startswith("samx sort: "):
            self._registry.try_later(job_id, what, detail)
        else:
            self._registry.try_later(job_id, "crashed", f"the job's process ended with exit code {code}")
        logger.info("Job %s ended with exit code %d", job_id, code)


def _kill(process: subprocess.Popen[bytes]) -> None:
    """End a job's process, at any moment: results are written once. Its priority would let it linger on busy cores."""
    if process.poll() is None and hasattr(os, "SCHED_OTHER"):
        with suppress(OSError):
            os.sched_setscheduler(process.pid, os.SCHED_OTHER, os.sched_param(0))
    process.kill()
    process.wait()


def sort_command(request: SortRequest, job_id: str) -> list[str]:
    """The command line that works on a job."""
    command = [sys.executable, "-m", "service", "sort", request.source, request.destination]
    command += ["--model", request.model, "--job", job_id, "--background", "--end-with-stdin"]
    command += ["--shard-size", str(request.shard_size)]
    if request.limit is not None:
        command += ["--limit", str(request.limit)]
    for name in ("copies", "tags", "dicom", "requester_pays"):
        if getattr(request, name):
            command.append("--" + name.replace("_", "-"))
    return command


def _listen(process: subprocess.Popen[bytes], take: Callable[[str], None]) -> None:
    """Takes the lines in which the process says why it ended; others may quote anything."""
    assert process.stderr is not None
    for line in process.stderr:
        text = line.decode(errors="replace").strip()
        if text.startswith("samx sort: "):
            take(text)
