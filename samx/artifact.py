"""The artifact: the contract between training, which writes it, and the service, which reads it.

    <models>/<name>/<version>/manifest.json      classes, architecture, preprocessing, thresholds, provenance, checksums
                              manifest.sha256    checksum of manifest.json; written last, which publishes
                              weights.safetensors, golden.json, metrics.json, cluster_labels.csv, MODEL_CARD.md, plots
                              report.html        figures, methods and limits on one page
                              student.safetensors  the smaller network that answers on CPUs, where there is one
                              engine.onnx        compiled for CPUs, where asked for: the student, where there is one,
                                                 else the network of weights.safetensors
    <models>/<name>/current.json                 which version is served; flipped by compare-and-swap

Versions are immutable. Nothing is pickled. A byte changed in any file refuses the artifact.
"""

import hashlib
import json
import platform
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version as library_version
from typing import Annotated, Final, Literal

import pydantic

from samx.architecture import ArchitectureConfig
from samx.errors import (
    ArtifactCorrupt,
    ArtifactError,
    ArtifactIncompatible,
    ObjectNotFound,
    PreconditionFailed,
    VersionExists,
)
from samx.preprocessing import PREPROCESSING_VERSION, PreprocessingConfig
from samx.storage import Storage

SCHEMA_VERSION: Final = 2
"""Raised whenever the layout or the meaning of a field changes. 2: what the out-of-scope score is computed from."""

MANIFEST: Final = "manifest.json"
MANIFEST_CHECKSUM: Final = "manifest.sha256"
WEIGHTS: Final = "weights.safetensors"
STUDENT: Final = "student.safetensors"
GOLDEN: Final = "golden.json"
ENGINE: Final = "engine.onnx"
CURRENT: Final = "current.json"

NEVER_ACCEPTED: Final = 1.0
"""A review threshold that no answer reaches, although a probability may be rounded to 1."""

_FolderName = Annotated[str, pydantic.StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]


class _Frozen(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(frozen=True, extra="forbid")


class ClassEntry(_Frozen):
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


class AttributeHead(_Frozen):
    """What else the model says of a radiograph, by a linear head of its own on the same features."""

    name: AttributeName
    values: tuple[str, ...] = pydantic.Field(min_length=2)
    """In the order of the head's rows: views such as AP, PA and LAT; laterality L, R and B, as DICOM writes them."""
    temperature: float = pydantic.Field(gt=0)
    """As the model's, for this head."""


class ModelSpec(_Frozen):
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


class Provenance(_Frozen):
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


class Manifest(_Frozen):
    """Content of manifest.json."""

    schema_version: Literal[2] = SCHEMA_VERSION
    name: _FolderName
    version: _FolderName
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


class _Current(_Frozen):
    """Content of current.json."""

    version: _FolderName
    previous: _FolderName | None = None
    """The version that was current before; `roll_back` goes there."""


@dataclass(frozen=True, slots=True)
class Artifact:
    """A read artifact whose checksums have all been found right."""

    manifest: Manifest
    files: Mapping[str, bytes]

    @property
    def title(self) -> str:
        """Name and version, for messages."""
        return f"{self.manifest.name} {self.manifest.version}"


def library_versions() -> dict[str, str]:
    """Versions of the libraries that decide what the numbers are."""
    names = ("torch", "torchvision", "onnxruntime", "numpy", "pillow", "pydicom", "imagecodecs", "safetensors")
    return {"python": platform.python_version()} | {name: library_version(name).split("+")[0] for name in names}


def write_artifact(
    models: Storage,
    *,
    name: str,
    version: str,
    model: ModelSpec,
    provenance: Provenance,
    files: Mapping[str, bytes],
    cpu_model: ModelSpec | None = None,
) -> Manifest:
    """Write a new version; after an interruption, writing the same content again completes it.

    Args:
        models: where models are kept.
        name: of the model, the first folder below `models`: letters, digits and `._-`.
        version: the second folder.
        model: classes, architecture and thresholds.
        provenance: where the model comes from.
        files: content by file name; must hold the weights and the golden answers.
        cpu_model: the student, if the files hold one.

    Returns:
        The manifest that is now in force for this version.

    Raises:
        VersionExists: the version is published already, or was begun with other content.
        ValueError: name or version cannot be a folder's name, a file that is always read is missing, or the student's
            description and file do not fit.
    """
    folder = models.child(f"{name}/{version}")
    if folder.exists(MANIFEST_CHECKSUM):
        raise VersionExists(f"version {version} of {name} is published in {models.url} already; choose another version")
    manifest = Manifest(
        name=name,
        version=version,
        model=model,
        cpu_model=cpu_model,
        provenance=provenance,
        library_versions=library_versions(),
        files={file: hashlib.sha256(content).hexdigest() for file, content in sorted(files.items())},
    )
    for file, content in sorted(files.items()):
        _write_once(folder, file, content)
    encoded = _encode(manifest)
    try:
        folder.write(MANIFEST, encoded, if_absent=True)
    except PreconditionFailed as error:  # an interrupted or a simultaneous publication: its time and place stay
        encoded = folder.read(MANIFEST)
        begun = _parse_manifest(encoded, folder.url)
        if _without_time_and_place(begun) != _without_time_and_place(manifest):
            raise VersionExists(f"version {version} of {name} was begun in {models.url} with other content") from error
        manifest = begun
    _write_once(folder, MANIFEST_CHECKSUM, _checksum_line(encoded))
    return manifest


def read_artifact(folder: Storage) -> Artifact:
    """Read a version and check every byte of it.

    Args:
        folder: of one version, `<models>/<name>/<version>`; see `resolve` for the current one of a model.

    Raises:
        ArtifactError: nothing is published here: the manifest or its checksum, which is written last, is missing.
        ArtifactCorrupt: a file is missing or differs from its checksum.
        ArtifactIncompatible: schema or preprocessing version are not this code's.
    """
    try:
        encoded, checksum = folder.read(MANIFEST), folder.read(MANIFEST_CHECKSUM)
    except ObjectNotFound as error:
        raise ArtifactError(f"no published artifact in {folder.url}: {MANIFEST} or its checksum is missing") from error
    if checksum != _checksum_line(encoded):
        raise ArtifactCorrupt(f"{MANIFEST} in {folder.url} differs from its checksum; publish the model again")
    manifest = _parse_manifest(encoded, folder.url)
    files: dict[str, bytes] = {}
    for file, expected in manifest.files.items():
        try:
            files[file] = folder.read(file)
        except ObjectNotFound as error:
            raise ArtifactCorrupt(f"{file} is missing in {folder.url}; publish the model again") from error
        if hashlib.sha256(files[file]).hexdigest() != expected:
            raise ArtifactCorrupt(f"{file} in {folder.url} differs from its checksum; publish the model again")
    return Artifact(manifest, files)


def set_current(models: Storage, *, name: str, version: str) -> None:
    """Make a published version the one that is served.

    Raises:
        ArtifactError: the version is not published.
        PreconditionFailed: somebody else changed the current version at the same time.
    """
    _require_published(models, name, version)
    model = models.child(name)
    try:
        before, etag = _read_current(model)
    except ObjectNotFound:
        model.write(CURRENT, _encode(_Current(version=version)), if_absent=True)
        return
    if before.version != version:
        model.write(CURRENT, _encode(_Current(version=version, previous=before.version)), if_match=etag)


def roll_back(models: Storage, *, name: str) -> str:
    """Serve the version that was current before; returns it. Doing so twice changes nothing.

    Raises:
        ArtifactError: there is no earlier version to go back to.
        PreconditionFailed: somebody else changed the current version at the same time.
    """
    model = models.child(name)
    try:
        before, etag = _read_current(model)
    except ObjectNotFound as error:
        raise ArtifactError(f"{name} has no current version in {models.url}") from error
    if before.previous is None:
        raise ArtifactError(f"{name} in {models.url} has had one version only; there is nothing to go back to")
    _require_published(models, name, before.previous)
    model.write(CURRENT, _encode(_Current(version=before.previous, previous=before.version)), if_match=etag)
    return before.previous


def resolve(location: Storage) -> Storage:
    """The folder of one version: `location` itself, or the current version if it is a model's folder.

    Raises:
        ArtifactError: neither an artifact nor a current.json is there.
        ArtifactCorrupt: current.json names no version.
    """
    if location.exists(MANIFEST):
        return location
    try:
        current, _ = _read_current(location)
    except ObjectNotFound as error:
        raise ArtifactError(
            f"no artifact in {location.url}: expected {MANIFEST} (one version) or {CURRENT} (a model with versions)"
        ) from error
    return location.child(current.version)


def _require_published(models: Storage, name: str, version: str) -> None:
    if not models.exists(f"{name}/{version}/{MANIFEST_CHECKSUM}"):
        raise ArtifactError(f"version {version} of {name} is not published in {models.url}")


def _read_current(model: Storage) -> tuple[_Current, str]:
    encoded, etag = model.read_with_etag(CURRENT)
    try:
        return _Current.model_validate_json(encoded), etag
    except pydantic.ValidationError as error:
        raise ArtifactCorrupt(
            f"{CURRENT} in {model.url} names no version; delete it and set the current one"
        ) from error


def _write_once(folder: Storage, file: str, content: bytes) -> None:
    try:
        folder.write(file, content, if_absent=True)
    except PreconditionFailed as error:
        if folder.read(file) != content:
            raise VersionExists(
                f"{file} in {folder.url} was written with other content; choose another version"
            ) from error


def _parse_manifest(encoded: bytes, url: str) -> Manifest:
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


def _without_time_and_place(manifest: Manifest) -> Manifest:
    provenance = manifest.provenance.model_copy(update={"created_at": "", "source": ""})
    return manifest.model_copy(update={"provenance": provenance})


def _encode(content: _Frozen) -> bytes:
    return (content.model_dump_json(indent=2) + "\n").encode()


def _checksum_line(encoded: bytes) -> bytes:
    return f"{hashlib.sha256(encoded).hexdigest()}  {MANIFEST}\n".encode()
