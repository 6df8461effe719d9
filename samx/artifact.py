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
import platform
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version as library_version
from typing import Final

import pydantic

from samx.errors import (
    ArtifactCorrupt,
    ArtifactError,
    ObjectNotFound,
    PreconditionFailed,
    VersionExists,
)
from samx.manifest import MANIFEST, FolderName, Manifest, ModelSpec, Provenance, Stored, parse_manifest
from samx.storage import Storage

MANIFEST_CHECKSUM: Final = "manifest.sha256"
CURRENT: Final = "current.json"


class _Current(Stored):
    """Content of current.json."""

    version: FolderName
    previous: FolderName | None = None
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
    encoded = manifest.encoded()
    try:
        folder.write(MANIFEST, encoded, if_absent=True)
    except PreconditionFailed as error:  # an interrupted or a simultaneous publication: its time and place stay
        encoded = folder.read(MANIFEST)
        begun = parse_manifest(encoded, folder.url)
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
    manifest = parse_manifest(encoded, folder.url)
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
        model.write(CURRENT, _Current(version=version).encoded(), if_absent=True)
        return
    if before.version != version:
        model.write(CURRENT, _Current(version=version, previous=before.version).encoded(), if_match=etag)


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
    model.write(CURRENT, _Current(version=before.previous, previous=before.version).encoded(), if_match=etag)
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


def _without_time_and_place(manifest: Manifest) -> Manifest:
    provenance = manifest.provenance.model_copy(update={"created_at": "", "source": ""})
    return manifest.model_copy(update={"provenance": provenance})


def _checksum_line(encoded: bytes) -> bytes:
    return f"{hashlib.sha256(encoded).hexdigest()}  {MANIFEST}\n".encode()
