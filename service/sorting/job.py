"""What a job is asked to do, and where it keeps what it knows."""

import hashlib
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Self

import pydantic

from samx.errors import ObjectNotFound, SortRefused, WrongInput
from samx.storage import open_storage
from service.sorting.patience import PatientStorage

JOB_ID = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
"""As Kubernetes names things."""
JOBS, WORK_FOLDER, LATEST = "_jobs", "_sort", "_latest"


class SortRequest(pydantic.BaseModel):
    """What is sorted, by which model, and what is made; the content of `_jobs/<job>.json`."""

    model_config = pydantic.ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    source: str
    """Folder or s3:// URL; only read."""
    destination: str
    """Folder or s3:// URL, not inside the source nor around it."""
    model: str
    """Folder or s3:// URL of one version of a model."""
    copies: bool = False
    """Copy every object to `<label>/<sha256>`, `_review/`, `_out_of_scope/` or `_unreadable/`."""
    tags: bool = False
    """Tag the copies with label, decision and probability."""
    dicom: bool = False
    """Write accepted DICOM files again to `_dicom/<label>/`, with the attributes that say what they show."""
    limit: int | None = pydantic.Field(default=None, ge=1)
    """Sort the first so many objects only."""
    requester_pays: bool = False
    """The source's bucket charges its readers."""
    shard_size: int = pydantic.Field(default=512, ge=1, le=10_000)
    """Objects per shard: what is done again after an interruption, at most."""

    @pydantic.model_validator(mode="after")
    def _apart(self) -> Self:
        source, destination = (f"{open_storage(url).url}/" for url in (self.source, self.destination))
        if source.startswith(destination) or destination.startswith(source):
            raise ValueError("source and destination lie inside each other; what is made would be sorted again")
        if self.tags and not self.copies:
            raise ValueError("tags are put on copies, as originals are never changed; ask for copies too")
        if self.tags and not self.destination.startswith("s3://"):
            raise ValueError("files have no tags; a destination in S3 has")
        return self

    @cached_property
    def fingerprint(self) -> str:
        """Names requests that are equal."""
        return hashlib.sha256(self.model_dump_json().encode()).hexdigest()[:10]

    @cached_property
    def lineage(self) -> str:
        """Names requests whose rows are the same for the same object."""
        return hashlib.sha256(json.dumps([open_storage(self.source).url, self.model]).encode()).hexdigest()[:16]


def make_request(**fields: object) -> SortRequest:
    """A request, or WrongInput that says what is wrong with it."""
    try:
        return SortRequest.model_validate(fields)
    except pydantic.ValidationError as error:
        faults = [".".join([*map(str, fault["loc"]), ""]) + f" {fault['msg']}" for fault in error.errors()]
        raise WrongInput("; ".join(fault.strip() for fault in faults)) from None
    except ValueError as error:
        raise WrongInput(str(error)) from None


@dataclass(frozen=True)
class Job:
    """One job of a destination."""

    id: str
    request: SortRequest

    @cached_property
    def source(self) -> PatientStorage:
        """What is sorted."""
        return PatientStorage(open_storage(self.request.source, requester_pays=self.request.requester_pays))

    @cached_property
    def destination(self) -> PatientStorage:
        """Where everything is written."""
        return PatientStorage(open_storage(self.request.destination))

    @cached_property
    def folder(self) -> PatientStorage:
        """The merged files."""
        return self.destination.child(f"{WORK_FOLDER}/{self.id}")

    @cached_property
    def work(self) -> PatientStorage:
        """What the merged files are made from."""
        return self.folder.child("work")

    @property
    def key(self) -> str:
        """Of the request in the destination."""
        return f"{JOBS}/{self.id}.json"

    @property
    def is_done(self) -> bool:
        """Whether it has been merged."""
        return self.folder.exists("done.json")

    @property
    def is_cancelled(self) -> bool:
        """Whether somebody asked to end it."""
        return self.work.exists("cancelled.json")

    def cancel(self) -> None:
        """Ask every worker, wherever it runs, to end; each looks twice a second."""
        self.work.write_once("cancelled.json", b"{}\n")

    def read_json(self, key: str) -> dict[str, Any] | None:
        """A file of `work`, None where it is missing."""
        try:
            content: dict[str, Any] = json.loads(self.work.read(key))
        except ObjectNotFound:
            return None
        return content


def create_job(request: SortRequest, job_id: str) -> Job:
    """The job with this name: a new one, or the one that was begun with the same request.

    Raises:
        SortRefused: `job_id` is no name, or the name of another request.
    """
    if not JOB_ID.fullmatch(job_id):
        raise SortRefused("invalid_job", "a job's name has 1 to 63 characters of a-z, 0-9 and '-', '-' not at its ends")
    job = Job(job_id, request)
    found = job.destination.write_once(job.key, (request.model_dump_json(indent=2) + "\n").encode())
    if SortRequest.model_validate_json(found) != request:
        raise SortRefused("other_job", f"job {job_id} of {job.destination.url} was begun with another request")
    return job


def open_job(destination: str, job_id: str) -> Job:
    """The job with this name.

    Raises:
        SortRefused: there is none.
    """
    storage = PatientStorage(open_storage(destination))
    try:
        if not JOB_ID.fullmatch(job_id):
            raise ObjectNotFound("no name of a job")
        return Job(job_id, SortRequest.model_validate_json(storage.read(f"{JOBS}/{job_id}.json")))
    except ObjectNotFound:
        raise SortRefused("no_job", f"there is no job {job_id!r} in {storage.url}") from None


def unfinished_or_new(request: SortRequest) -> Job:
    """The last job of this request if it is not finished, else a new one."""
    numbers = [int(job_id.rpartition("-")[2]) for job_id in _job_ids(request)]
    number = max(numbers, default=1)
    job = create_job(request, f"{request.fingerprint}-{number:06d}")
    if job.is_done or job.is_cancelled:
        job = create_job(request, f"{request.fingerprint}-{number + 1:06d}")
    return job


def _job_ids(request: SortRequest) -> Iterator[str]:
    destination = PatientStorage(open_storage(request.destination))
    for item in destination.list(f"{JOBS}/{request.fingerprint}-"):
        yield item.key.removeprefix(f"{JOBS}/").removesuffix(".json")
