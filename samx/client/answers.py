"""What a service answers, as frozen dataclasses; a test holds their JSON schema equal to the service's.

The meaning of every field is documented in the service's /openapi.json. Fields that a newer service adds are ignored.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal


@dataclass(frozen=True, slots=True)
class Problem:
    """An error as RFC 9457 describes it."""

    type: str
    title: str
    status: int
    detail: str
    code: str


@dataclass(frozen=True, slots=True)
class ConceptCode:
    """A coded concept as in DICOM PS3.3 section 8."""

    value: str
    scheme: Literal["SCT"]
    meaning: str


@dataclass(frozen=True, slots=True)
class ModelName:
    """Which model answered."""

    name: str
    version: str


@dataclass(frozen=True, slots=True)
class ModelClass:
    """A class that the model knows."""

    label: str
    body_part_examined: str | None
    code: ConceptCode | None


@dataclass(frozen=True, slots=True)
class RankedClass:
    """A class with the probability, 0 to 1, that the radiograph shows it."""

    label: str
    body_part_examined: str | None
    code: ConceptCode | None
    probability: float


@dataclass(frozen=True, slots=True)
class AttributeAnswer:
    """The most probable view or laterality with its probability, 0 to 1."""

    value: str
    probability: float


@dataclass(frozen=True, slots=True)
class Tag:
    """What the file itself says it shows, and whether that agrees; None where nothing can be said."""

    body_part_examined: str | None
    agrees: bool | None


@dataclass(frozen=True, slots=True)
class RadiographFacts:
    """What was read."""

    format: Literal["dicom", "png", "jpeg", "tiff"]
    rows: int
    columns: int
    was_negative: bool


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle in pixels of a picture, from its top left corner."""

    x: int
    y: int
    width: int
    height: int


@dataclass(frozen=True, slots=True)
class HeatMap:
    """Grad-CAM of the most probable class: PNGs in base64."""

    label: str
    width: int
    height: int
    overlay_png_base64: str
    image_png_base64: str
    heat_png_base64: str
    hottest_region: Box | None


@dataclass(frozen=True, slots=True)
class Classification:
    """The answer for one radiograph."""

    model: ModelName
    decision: Literal["accept", "review", "out_of_scope"]
    classes: list[RankedClass]
    out_of_scope_score: float
    view: AttributeAnswer | None
    laterality: AttributeAnswer | None
    tag: Tag
    radiograph: RadiographFacts
    grad_cam: HeatMap | None


@dataclass(frozen=True, slots=True)
class FileAnswer:
    """The answer for one file of several: one of both is None."""

    classification: Classification | None
    problem: Problem | None


@dataclass(frozen=True, slots=True)
class BatchClassification:
    """The answers for several radiographs, in their order."""

    answers: list[FileAnswer]


@dataclass(frozen=True, slots=True)
class Reloaded:
    """What is served after a reload, and whether that is another version than before."""

    model: ModelName
    changed: bool


@dataclass(frozen=True, slots=True)
class ModelProvenance:
    """Where the model comes from."""

    created_at: str
    source: str
    configuration_sha256: str
    num_radiographs: int
    num_clusters: int
    num_decisions: int
    num_readers: int
    seed: int
    initial_weights: str


@dataclass(frozen=True, slots=True)
class ModelDescription:
    """The model that is served."""

    name: str
    version: str
    classes: list[ModelClass]
    attributes: dict[str, list[str]]
    backbone: str
    student_of: str | None
    engine: str
    preprocessing: dict[str, Any]
    temperature: float
    review_threshold: float
    review_thresholds: dict[str, float]
    out_of_scope_threshold: float
    metrics: dict[str, Any] | None
    provenance: ModelProvenance
    library_versions: dict[str, str]
    max_body_bytes: int


@dataclass(frozen=True, slots=True)
class SortRequest:
    """What a job was asked to do."""

    source: str
    destination: str
    model: str
    copies: bool
    tags: bool
    dicom: bool
    limit: int | None
    requester_pays: bool
    shard_size: int


@dataclass(frozen=True, slots=True)
class SortFailure:
    """Why a job failed, or why its last attempt did."""

    code: str
    detail: str


@dataclass(frozen=True, slots=True)
class SortProgress:
    """How far a job is."""

    num_objects: int | None
    size_bytes: int | None
    num_sorted: int
    num_in_work: int
    objects_per_second: float
    seconds_left: float | None
    num_workers: int
    decisions: dict[str, int]
    labels: dict[str, int]
    codes: dict[str, int]
    copy_codes: dict[str, int]
    num_tags_that_agree: int
    num_tags_that_disagree: int


@dataclass(frozen=True, slots=True)
class SortJob:
    """A job that sorts a bucket."""

    id: str
    state: Literal["waiting", "running", "done", "failed", "cancelled"]
    source: str
    destination: str
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    failure: SortFailure | None
    order: SortRequest
    results: dict[str, str]

    @property
    def is_finished(self) -> bool:
        """Whether it will not change any more."""
        return self.state in ("done", "failed", "cancelled")


@dataclass(frozen=True, slots=True)
class SortJobWithProgress(SortJob):
    """A job, and how far it is."""

    progress: SortProgress


@dataclass(frozen=True, slots=True)
class SortJobs:
    """A page of the list of jobs, the newest first; `next` is None where this is the last."""

    jobs: list[SortJob]
    next: str | None
