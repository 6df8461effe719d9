"""The manifest: what an artifact says of its model, checked whenever it is read."""

import json
from collections.abc import Mapping
from typing import Annotated, Final, Literal

import pydantic

from samx.architecture import ArchitectureConfig
from samx.errors import ArtifactCorrupt, ArtifactIncompatible
from samx.preprocessing import PREPROCESSING_VERSION, PreprocessingConfig

SCHEMA_VERSION: Final = 2
"""Raised whenever the layout or the meaning of a field changes. 2: what the out-of-scope score is computed from."""

MANIFEST: Final = "manifest.json"
WEIGHTS: Final = "weights.safetensors"
STUDENT: Final = "student.safetensors"
GOLDEN: Final = "golden.json"
ENGINE: Final = "engine.onnx"

NEVER_ACCEPTED: Final = 1.0
"""A review threshold that no answer reaches, although a probability may be rounded to 1."""

FolderName = Annotated[str, pydantic.StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]


class Stored(pydantic.BaseModel):
    """What is kept as JSON: it cannot be changed, and an unknown field is an error."""

    model_config = pydantic.ConfigDict(frozen=True, extra="forbid")

    def encoded(self) -> bytes:
        """Its JSON as it is written."""
        return (self.model_dump_json(indent=2) + "\n").encode()


class ClassEntry(Stored):
    """One class of the model."""

    label: str
    """Name of the class in snake case."""
    body_part_examined: str
    """Defined term for (0018,0015) from PS3.16 Annex L, empty where there is none."""
    code_value: str
    """SNOMED CT concept, empty where there is none."""
    code_meaning: str
    """The concept's meaning."""
    review_threshold: float | None = pydantic.Field(default=None, ge=0, le=NEVER_ACCEPTED)
    """Answers with this class and a lower calibrated probability are for a person to review, at `NEVER_ACCEPTED` all of
    them; None: the model's threshold."""


AttributeName = Literal["view", "laterality"]
ATTRIBUTES: Final[tuple[AttributeName, ...]] = ("view", "laterality")


class AttributeHead(Stored):
    """What else the model says of a radiograph, by a linear head of its own on the same features."""

    name: AttributeName
    values: tuple[str, ...] = pydantic.Field(min_length=2)
    """In the order of the head's rows: views such as AP, PA and LAT; laterality L, R and B, as DICOM writes them."""
    temperature: float = pydantic.Field(gt=0)
    """As the model's, for this head."""


class ModelSpec(Stored):
    """All that is needed, beside the weights, to answer for a radiograph."""

    classes: tuple[ClassEntry, ...]
    """In the order of the head's rows."""
    architecture: ArchitectureConfig
    preprocessing: PreprocessingConfig
    temperature: float = pydantic.Field(gt=0)
    """Logits are divided by it before the softmax (Guo et al. 2017), so that probabilities are frequencies."""
    review_threshold: float = pydantic.Field(ge=0, le=NEVER_ACCEPTED)
    """Of classes that have none of their own."""
    out_of_scope_threshold: float = pydantic.Field(gt=0)
    """Radiographs with a higher out-of-scope score resemble nothing that the model was trained on."""
    attributes: tuple[AttributeHead, ...] = ()
    """Heads for view and laterality, where the labels had them."""

    @property
    def labels(self) -> tuple[str, ...]:
        """Labels of the classes in the order of the head's rows."""
        return tuple(entry.label for entry in self.classes)

    @property
    def review_thresholds(self) -> tuple[float, ...]:
        """Of each class, in the order of the head's rows."""
        own = (entry.review_threshold for entry in self.classes)
        return tuple(self.review_threshold if threshold is None else threshold for threshold in own)


class Provenance(Stored):
    """Where a model comes from. Only `created_at` and `source` depend on place and time."""

    created_at: str
    """UTC time of publishing, ISO 8601."""
    source: str
    """URL of the run that made the model."""
    configuration_sha256: str
    """Of the training configuration without the places of its data."""
    num_radiographs: int
    """Radiographs that phase 1 and phase 2 learned from."""
    num_clusters: int
    num_decisions: int
    """Decisions of the reader that made the labels."""
    readers: tuple[str, ...]
    """Who named the clusters, as recorded in cluster_labels.csv."""
    seed: int
    initial_weights: str
    """Where phase 1 started: `random`, or the source, checksum and licence of a weights file."""


class Manifest(Stored):
    """Content of manifest.json."""

    schema_version: Literal[2] = SCHEMA_VERSION
    name: FolderName
    version: FolderName
    model: ModelSpec
    cpu_model: ModelSpec | None = None
    """The student: a smaller network with thresholds of its own that answers on CPUs in place of `model`, to which it
    is kept close. Its weights are in student.safetensors, and engine.onnx is compiled from it. None: `model` answers
    everywhere."""
    provenance: Provenance
    library_versions: Mapping[str, str]
    files: Mapping[str, str]
    """sha256 in hexadecimal of every other file of the artifact, by its name."""

    @pydantic.field_validator("files")
    @classmethod
    def _holds_what_is_always_read(cls, files: Mapping[str, str]) -> Mapping[str, str]:
        if missing := {WEIGHTS, GOLDEN} - files.keys():
            raise ValueError(f"no {' and no '.join(sorted(missing))}")
        return files

    @pydantic.model_validator(mode="after")
    def _has_a_student_or_none(self) -> "Manifest":
        student = self.cpu_model
        if (student is not None) != (STUDENT in self.files):
            raise ValueError(f"cpu_model and {STUDENT} belong together")
        if student and (student.labels, student.preprocessing) != (self.model.labels, self.model.preprocessing):
            raise ValueError("cpu_model has other classes or another preprocessing than model")
        return self


def parse_manifest(encoded: bytes, url: str) -> Manifest:
    """Check and read the content of a manifest.json.

    Args:
        encoded: its bytes.
        url: where it was found, for messages.

    Raises:
        ArtifactCorrupt: it is no manifest, or does not follow its schema.
        ArtifactIncompatible: schema or preprocessing version are not this code's.
    """
    try:
        raw = json.loads(encoded)
        _require_version("schema", raw["schema_version"], SCHEMA_VERSION, url)
        _require_version("preprocessing", raw["model"]["preprocessing"]["version"], PREPROCESSING_VERSION, url)
    except (ValueError, KeyError, TypeError) as error:
        raise ArtifactCorrupt(f"{MANIFEST} in {url} is not a manifest") from error
    try:
        return Manifest.model_validate(raw)
    except pydantic.ValidationError as error:
        raise ArtifactCorrupt(
            f"{MANIFEST} in {url} does not follow schema version {SCHEMA_VERSION}: {error}"
        ) from error


def _require_version(what: str, found: object, readable: int, url: str) -> None:
    if found != readable:
        raise ArtifactIncompatible(
            f"the artifact in {url} has {what} version {found}; this code reads {readable}: train again, or use the "
            "release it came from"
        )
