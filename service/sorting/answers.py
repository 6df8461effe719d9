"""What `/sort` takes and answers, as it is documented in /openapi.json."""

from datetime import UTC, datetime
from typing import Literal, Self

from pydantic import Field

from service.schemas import Answer
from service.sorting.job import Job, SortRequest
from service.sorting.manifest import read_frozen
from service.sorting.progress import JobProgress, read_progress
from service.sorting.registry import JobRecord

MERGED_FILES = ("manifest.jsonl", "manifest.csv", "manifest.parquet", "summary.html")


class SortOrder(Answer):
    """What is to be sorted: a `SortRequest` without the model, which is the one that is served."""

    source: str = Field(min_length=1, max_length=2048, examples=["s3://export/2026"])
    """Bucket and prefix; only read."""
    destination: str = Field(min_length=1, max_length=2048, examples=["s3://sorted"])
    """Bucket and prefix, not inside the source nor around it."""
    copies: bool = False
    """Copy every object to `<label>/<sha256>`, `_review/`, `_out_of_scope/` or `_unreadable/`."""
    tags: bool = False
    """Tag the copies with label, decision and probability."""
    dicom: bool = False
    """Write accepted DICOM files again to `_dicom/<label>/`, with the attributes that say what they show."""
    limit: int | None = Field(default=None, ge=1)
    """Sort the first so many objects only."""
    requester_pays: bool = False
    """The source's bucket charges its readers."""
    shard_size: int = Field(default=512, ge=1, le=10_000)
    """Objects per shard: what is done again after an interruption, at most."""


class SortProgress(Answer):
    """How far a job is."""

    num_objects: int | None
    """In the frozen listing; null until that is complete."""
    size_bytes: int | None
    """Of all of them."""
    num_sorted: int
    """Have a row for good."""
    num_in_work: int
    """Are sorted, in shards that are not finished."""
    objects_per_second: float
    """Of all workers that are alive."""
    seconds_left: float | None
    """At this rate; null where nobody works on it."""
    num_workers: int
    """That have reported lately."""
    decisions: dict[str, int]
    """Rows by decision: accept, review, out_of_scope, unreadable."""
    labels: dict[str, int]
    """Rows by most probable class, whatever the decision."""
    codes: dict[str, int]
    """Rows of what could not be used, by reason."""
    copy_codes: dict[str, int]
    """Rows without the copy that was asked for, by reason."""
    num_tags_that_agree: int
    num_tags_that_disagree: int


class SortFailure(Answer):
    """Why a job failed, or why its last attempt did."""

    code: str = Field(examples=["access_denied"])
    detail: str


class SortJob(Answer):
    """A job."""

    id: str = Field(examples=["3f0c1b2a9d-000001"])
    """Also its name in the destination: `python -m service undo DESTINATION ID` takes the job back."""
    state: Literal["waiting", "running", "done", "failed", "cancelled"]
    source: str
    destination: str
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    failure: SortFailure | None
    order: SortRequest
    """What was asked for, with the model that sorts."""
    results: dict[str, str]
    """URLs of the merged files by name, once the job is done."""

    @classmethod
    def of(cls, record: JobRecord) -> Self:
        """The record, for a client."""
        folder = record.job.folder.url
        return cls(
            id=record.id,
            state=record.state,
            source=record.request.source,
            destination=record.request.destination,
            created_at=datetime.fromtimestamp(record.created_at, UTC),
            started_at=_time_of(record.started_at),
            finished_at=_time_of(record.finished_at),
            failure=SortFailure(code=record.code, detail=record.detail) if record.code else None,
            order=record.request,
            results={name: f"{folder}/{name}" for name in MERGED_FILES} if record.state == "done" else {},
        )


class SortJobWithProgress(SortJob):
    """A job, and how far it is."""

    progress: SortProgress

    @classmethod
    def of(cls, record: JobRecord) -> Self:
        """The record and what its workers have written, for a client."""
        return cls(**dict(SortJob.of(record)), progress=progress_of(record.job))


class SortJobs(Answer):
    """A page of the list of jobs."""

    jobs: list[SortJob]
    """The newest first."""
    next: str | None
    """`after` of the next page; null where this is the last."""


def progress_of(job: Job) -> SortProgress:
    """What all workers of a job have written, wherever they run."""
    frozen = read_frozen(job)
    progress: JobProgress = read_progress(job)
    tally = progress.tally
    return SortProgress(
        num_objects=frozen.num_objects if frozen else None,
        size_bytes=frozen.size_bytes if frozen else None,
        num_sorted=tally.num_objects,
        num_in_work=progress.num_in_work,
        objects_per_second=progress.objects_per_second,
        seconds_left=progress.seconds_left(frozen) if frozen else None,
        num_workers=progress.num_workers,
        decisions=dict(tally.decisions),
        labels=dict(tally.labels),
        codes=dict(tally.codes),
        copy_codes=dict(tally.copy_codes),
        num_tags_that_agree=tally.num_tags_that_agree,
        num_tags_that_disagree=tally.num_tags_that_disagree,
    )


def _time_of(seconds: float | None) -> datetime | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC)
