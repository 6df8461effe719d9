"""The jobs of `POST /sort`: one small record each beside one another in a folder or bucket, seen by every replica.

    <jobs>/jobs/<id>.json           the record, changed by compare-and-swap only
    <jobs>/newest/<time>-<id>       a mark; its name sorts the newest first
    <jobs>/open/<time>-<id>         a mark of what is not finished, the oldest first

What a job has found is not here but in its destination, as for a job of the command line. Of several replicas the one
that has written its name and a time into the record works on the job, and renews the time while it does; when the
time has passed, another takes over. Two at the same job by mistake do no harm: results are written once.
"""

import secrets
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import Literal

import pydantic

from samx.errors import ObjectNotFound, PreconditionFailed, SortRefused
from samx.storage import open_storage
from service.sorting.job import JOB_ID, Job, SortRequest
from service.sorting.patience import PatientStorage

HOLD_SECONDS = 15.0
"""For how long a replica that falls silent keeps a job."""
MOST_ATTEMPTS = 5
"""How often a job is tried that ends by anything but wrong input."""
WAIT_SECONDS = 10.0
"""Before the second attempt; twice as long before every further one."""
READS_AT_ONCE = 16
_LATEST_MILLISECONDS = 10**13 - 1

State = Literal["waiting", "running", "done", "failed", "cancelled"]


class JobRecord(pydantic.BaseModel):
    """What is known of a job beside its results. Times are seconds since 1970."""

    model_config = pydantic.ConfigDict(frozen=True, extra="forbid")

    id: str
    request: SortRequest
    created_at: float
    state: State = "waiting"
    started_at: float | None = None
    finished_at: float | None = None
    holder: str = ""
    """Who works on it."""
    held_until: float = 0.0
    """Until when nobody else may begin."""
    num_attempts: int = 0
    code: str = ""
    """Why it failed."""
    detail: str = ""

    @property
    def is_finished(self) -> bool:
        """Whether nothing more will be done."""
        return self.state in ("done", "failed", "cancelled")

    @property
    def job(self) -> Job:
        """The job in its destination."""
        return Job(self.id, self.request)


class Registry:
    """All jobs of a service; safe to share between threads and replicas.

    Args:
        url: folder or s3:// URL.
    """

    def __init__(self, url: str) -> None:
        self._storage = PatientStorage(open_storage(url))
        self._me = secrets.token_hex(8)

    def add(self, job: Job) -> JobRecord:
        """Remember a job; one that is known already is returned as it is."""
        return self.add_record(JobRecord(id=job.id, request=job.request, created_at=time.time()))

    def add_record(self, record: JobRecord) -> JobRecord:
        """Remember a record, and where it stands among the others."""
        found = self._storage.write_once(_key(record.id), record.model_dump_json().encode())
        record = JobRecord.model_validate_json(found)
        self._storage.write(_newest_key(record), b"{}")
        if not record.is_finished:
            self._storage.write(_open_key(record), b"{}")
        return record

    def get(self, job_id: str) -> JobRecord:
        """The record of a job.

        Raises:
            SortRefused: there is none.
        """
        return self._read(job_id)[0]

    def page(self, limit: int, after: str = "") -> list[JobRecord]:
        """Up to `limit` records, the newest first, from behind the job `after` on.

        Raises:
            SortRefused: there is no job `after`.
        """
        behind = _newest_key(self.get(after)) if after else ""
        found = islice(self._storage.list("newest/", after=behind), limit)
        with ThreadPoolExecutor(READS_AT_ONCE) as pool:
            return list(pool.map(lambda item: self.get(_id_of(item.key)), found))

    def claim(self) -> JobRecord | None:
        """The oldest job that nobody works on, which is ours now; None where there is none."""
        for item in self._storage.list("open/"):
            job_id = _id_of(item.key)
            record, etag = self._read(job_id)
            if record.is_finished:  # the mark is left of a replica that died between the two writes
                self._storage.delete(item.key)
            elif record.held_until < time.time():
                now = time.time()
                ours = record.model_copy(
                    update={
                        "state": "running",
                        "started_at": record.started_at or now,
                        "holder": self._me,
                        "held_until": now + HOLD_SECONDS,
                    }
                )
                if self._swap(ours, etag):
                    return ours
        return None

    def keep(self, job_id: str) -> JobRecord:
        """Say that we are still at it; the record tells whether it is still ours and wanted."""
        return self._change(
            job_id,
            lambda record: {"held_until": time.time() + HOLD_SECONDS} if self.is_ours(record) else None,
        )

    def is_ours(self, record: JobRecord) -> bool:
        """Whether we are the one to work on a job."""
        return record.state == "running" and record.holder == self._me

    def release(self, job_id: str) -> None:
        """Leave a job to whoever comes next."""
        self._change(job_id, lambda record: {"held_until": 0.0} if self.is_ours(record) else None)

    def finish(self, job_id: str, state: Literal["done", "failed"], code: str = "", detail: str = "") -> None:
        """Record how a job ended; one that was merged is done, even if it was cancelled at the last moment."""
        end: dict[str, object] = {"state": state, "finished_at": time.time(), "code": code, "detail": detail}
        record = self._change(job_id, lambda record: end if self.is_ours(record) or state == "done" else None)
        self._close(record)

    def try_later(self, job_id: str, code: str, detail: str) -> None:
        """Record that an attempt failed in a way that may pass; the last one fails the job."""

        def after_failure(record: JobRecord) -> dict[str, object] | None:
            if not self.is_ours(record):
                return None
            num_attempts = record.num_attempts + 1
            told = {"num_attempts": num_attempts, "code": code, "detail": detail}
            if num_attempts >= MOST_ATTEMPTS:
                return told | {"state": "failed", "finished_at": time.time()}
            wait = WAIT_SECONDS * 2 ** (num_attempts - 1)
            return told | {"state": "waiting", "holder": "", "held_until": time.time() + wait}

        self._close(self._change(job_id, after_failure))

    def cancel(self, job_id: str) -> JobRecord:
        """End a job; all who work on it see it within a second. Twice is once.

        Raises:
            SortRefused: there is none, or it has ended otherwise.
        """
        record = self._change(
            job_id, lambda record: None if record.is_finished else {"state": "cancelled", "finished_at": time.time()}
        )
        if record.state != "cancelled":
            raise SortRefused("job_finished", f"job {job_id} has ended: {record.state}")
        record.job.cancel()
        self._close(record)
        return record

    def _close(self, record: JobRecord) -> None:
        if record.is_finished:
            self._storage.delete(_open_key(record))

    def _read(self, job_id: str) -> tuple[JobRecord, str]:
        try:
            if not JOB_ID.fullmatch(job_id):
                raise ObjectNotFound("no name of a job")
            data, etag = self._storage.read_with_etag(_key(job_id))
        except ObjectNotFound:
            raise SortRefused("no_job", "there is no job of this name") from None
        return JobRecord.model_validate_json(data), etag

    def _change(self, job_id: str, change: Callable[[JobRecord], dict[str, object] | None]) -> JobRecord:
        """Change a record, against all who do the same; None leaves it as it is. Returns what it is now."""
        while True:
            record, etag = self._read(job_id)
            update = change(record)
            if update is None:
                return record
            changed = record.model_copy(update=update)
            if self._swap(changed, etag):
                return changed

    def _swap(self, record: JobRecord, etag: str) -> bool:
        """Whether the record is stored, as nobody else has changed it."""
        try:
            self._storage.write(_key(record.id), record.model_dump_json().encode(), if_match=etag)
        except PreconditionFailed:  # or our own write, whose answer was lost: the next look tells
            return False
        return True


def _key(job_id: str) -> str:
    return f"jobs/{job_id}.json"


def _newest_key(record: JobRecord) -> str:
    return f"newest/{_LATEST_MILLISECONDS - int(record.created_at * 1000):013d}-{record.id}"


def _open_key(record: JobRecord) -> str:
    return f"open/{int(record.created_at * 1000):013d}-{record.id}"


def _id_of(key: str) -> str:
    return key.partition("/")[2].partition("-")[2]
