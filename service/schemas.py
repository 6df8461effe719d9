"""What the service answers, as it is documented in /openapi.json."""

from typing import Any, Literal

import pydantic
from pydantic import Field


class Answer(pydantic.BaseModel):
    """Base of all that is answered."""

    model_config = pydantic.ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class Problem(Answer):
    """An error as RFC 9457 describes it; media type application/problem+json."""

    type: str = "about:blank"
    """Always `about:blank`: `code` tells the kinds of problems apart."""
    title: str = Field(examples=["Content Too Large"])
    """The HTTP status in words."""
    status: int = Field(ge=400, le=599, examples=[413])
    """The HTTP status."""
    detail: str = Field(examples=["The body has more than 67108864 bytes, which is the most that is taken."])
    """What was found and what is allowed, for people. Holds nothing of the file but technical attributes."""
    code: str = Field(examples=["body_too_large"])
    """Stable reason for programs, in snake case."""


class ConceptCode(Answer):
    """A coded concept as in DICOM PS3.3 section 8."""

    value: str = Field(examples=["72696002"])
    """Code Value (0008,0100)."""
    scheme: Literal["SCT"] = "SCT"
    """Coding Scheme Designator (0008,0102): SNOMED CT."""
    meaning: str = Field(examples=["Knee"])
    """Code Meaning (0008,0104)."""


class ModelName(Answer):
    """Which model answered."""

    name: str = Field(examples=["samx"])
    version: str = Field(examples=["1.0.0"])


class ModelClass(Answer):
    """A class that the model knows."""

    label: str = Field(examples=["knee"])
    """Name of the class in snake case."""
    body_part_examined: str | None = Field(examples=["KNEE"])
    """Defined Term for (0018,0015) from PS3.16 Annex L, where there is one."""
    code: ConceptCode | None
    """SNOMED CT code of the class, where there is one."""


class RankedClass(ModelClass):
    """A class with the probability that the radiograph shows it."""

    probability: float = Field(ge=0, le=1, examples=[0.982])
    """Calibrated: of all answers with probability 0.9, nine in ten are right."""


class AttributeAnswer(Answer):
    """What the model says of the radiograph beside its class."""

    value: str = Field(examples=["LAT"])
    """The most probable value."""
    probability: float = Field(ge=0, le=1, examples=[0.97])
    """Calibrated, as that of a class."""


class Tag(Answer):
    """What the file itself says it shows."""

    body_part_examined: str | None = Field(examples=["KNEE"])
    """Body Part Examined (0018,0015) of the file, if it is a term that is known; else null, and nothing is repeated."""
    agrees: bool | None
    """Whether it means the same as the most probable class; null where nothing can be said."""


class RadiographFacts(Answer):
    """What was read."""

    format: Literal["dicom", "png", "jpeg", "tiff"]
    rows: int = Field(ge=1)
    """Rows of the file, before it was reduced."""
    columns: int = Field(ge=1)
    """Columns of the file, before it was reduced."""
    was_negative: bool
    """Whether air was bright, against what the file says or for lack of it, and the grey values have been inverted."""


class Box(Answer):
    """A rectangle in pixels of a picture, from its top left corner."""

    x: int = Field(ge=0)
    """Column of its left edge."""
    y: int = Field(ge=0)
    """Row of its upper edge."""
    width: int = Field(ge=1)
    height: int = Field(ge=1)


class HeatMap(Answer):
    """Grad-CAM of the most probable class."""

    label: str = Field(examples=["knee"])
    """The class whose evidence is shown."""
    width: int
    """Width of the pictures in pixels."""
    height: int
    """Height of the pictures in pixels."""
    overlay_png_base64: str
    """The preprocessed radiograph with the heat map over it, an RGB PNG in base64."""
    image_png_base64: str
    """The preprocessed radiograph alone, a grey PNG in base64, pixel on pixel under the overlay."""
    heat_png_base64: str
    """The heat map alone, a grey PNG in base64: black where nothing speaks for the class, white where most does."""
    hottest_region: Box | None
    """What is connected to the hottest place and at least half as hot; null where nothing speaks for the class."""


class Classification(Answer):
    """The answer for one radiograph."""

    model: ModelName
    decision: Literal["accept", "review", "out_of_scope"]
    """accept: sure enough to sort by; review: a person should look; out_of_scope: not what the model sorts."""
    classes: list[RankedClass]
    """The `top_k` most probable classes, best first."""
    out_of_scope_score: float
    """Distance from what the model was trained on; compare it to the model's `out_of_scope_threshold` only."""
    view: AttributeAnswer | None
    """AP, PA, LAT, OBL, AXIAL or another view; null if the model has not learned views or the class is not
    musculoskeletal."""
    laterality: AttributeAnswer | None
    """L, R or B (both), judged by the picture, not read from the file; null if the model has not learned it or the body
    has no left and right one of the class."""
    tag: Tag
    radiograph: RadiographFacts
    grad_cam: HeatMap | None
    """Where the evidence lies, if `grad_cam` was asked for."""


class FileAnswer(Answer):
    """The answer for one file of several: one of both is null."""

    classification: Classification | None
    problem: Problem | None


class BatchClassification(Answer):
    """The answers for several radiographs."""

    answers: list[FileAnswer]
    """As many as files were sent, in their order."""


class Reloaded(Answer):
    """What is served after a reload."""

    model: ModelName
    changed: bool
    """Whether it is another version than before."""


class ModelProvenance(Answer):
    """Where the model comes from; secrets of URLs and readers' names are left out."""

    created_at: str
    source: str
    configuration_sha256: str
    num_radiographs: int
    num_clusters: int
    num_decisions: int
    num_readers: int
    seed: int
    initial_weights: str


class ModelDescription(Answer):
    """The model that is served."""

    name: str
    version: str
    classes: list[ModelClass]
    """In the order of the model's output."""
    attributes: dict[str, list[str]]
    """The values of `view` and `laterality` that the model has learned, by these names; {} if neither."""
    backbone: str
    """The network that answers here."""
    student_of: str | None
    """The larger network that has taught it, where CPUs answer by a smaller one than GPUs; else null. Its own figures
    are then `metrics.student`, and `metrics.holdout` are those of the larger one."""
    engine: str
    """What computes the network: `onnxruntime int8`, `onnxruntime fp32`, `torch cpu` or `torch cuda`."""
    preprocessing: dict[str, Any]
    """How a radiograph becomes the network's input."""
    temperature: float
    """Logits are divided by it, so that probabilities are frequencies."""
    review_threshold: float
    """What holds for a class without a threshold of its own; `review_thresholds` has it filled in."""
    review_thresholds: dict[str, float] = Field(examples=[{"foot": 0.931, "knee": 0.917, "thumb": 1.0}])
    """By label: answers of a lower probability have the decision `review`; at 1 all of them have it."""
    out_of_scope_threshold: float
    """Radiographs of a higher score have the decision `out_of_scope`."""
    metrics: dict[str, Any] | None
    """How well the model did on radiographs it had never seen: metrics.json of the artifact."""
    provenance: ModelProvenance
    library_versions: dict[str, str]
    max_body_bytes: int
    """Largest request body that this service takes."""
