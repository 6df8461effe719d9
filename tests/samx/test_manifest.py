"""What a manifest may say, and what is refused as one."""

import json
from collections.abc import Callable
from typing import Any

import pydantic
import pytest

from samx.errors import ArtifactCorrupt, ArtifactIncompatible
from samx.manifest import GOLDEN, WEIGHTS, Manifest, ModelSpec, parse_manifest
from tests.small_artifact import small_provenance, small_spec

URL = "file:///models/m/1"
MANIFEST = Manifest(
    name="m",
    version="1",
    model=small_spec(),
    provenance=small_provenance(),
    library_versions={"python": "3.11"},
    files={GOLDEN: "0" * 64, WEIGHTS: "1" * 64},
)


def changed(change: Callable[[Any], object]) -> bytes:
    manifest = json.loads(MANIFEST.encoded())
    change(manifest)
    return json.dumps(manifest).encode()


@pytest.mark.parametrize("encoded", [MANIFEST.encoded(), changed(dict)], ids=["as written", "in another layout"])
def test_what_was_encoded_is_read(encoded: bytes) -> None:
    assert parse_manifest(encoded, URL) == MANIFEST


@pytest.mark.parametrize(
    "changes",
    [
        {"temperature": 0},
        {"review_threshold": 1.1},
        {"classes": [small_spec().classes[0].model_dump() | {"review_threshold": 1.1}]},
        {"out_of_scope_threshold": -1},
        {"unknown": 1},
        {"classes": None},
    ],
)
def test_specifications_that_mean_nothing_are_refused(changes: dict[str, object]) -> None:
    with pytest.raises(pydantic.ValidationError, match=next(iter(changes))):
        ModelSpec.model_validate(small_spec().model_dump() | changes)


def test_thresholds_of_classes_stand_before_the_model_s() -> None:
    foot, *others = small_spec().classes
    spec = small_spec(classes=(foot.model_copy(update={"review_threshold": 0.8}), *others), review_threshold=0.4)
    assert spec.review_thresholds == (0.8, 0.4, 0.4, 0.4)
    assert ModelSpec.model_validate_json(spec.model_dump_json()) == spec


def test_a_manifest_of_before_classes_had_thresholds_is_read() -> None:
    def forget(manifest: Any) -> None:
        for entry in manifest["model"]["classes"]:
            del entry["review_threshold"]

    spec = parse_manifest(changed(forget), URL).model
    assert spec.review_thresholds == (spec.review_threshold,) * len(spec.classes)


@pytest.mark.parametrize(
    "encoded",
    [changed(lambda manifest: manifest.update(schema_version=3)), b'{"schema_version": 3, "networks": []}'],
    ids=["otherwise the same", "whatever else it holds"],
)
def test_another_schema_version_is_incompatible(encoded: bytes) -> None:
    with pytest.raises(ArtifactIncompatible, match=f"{URL} has schema version 3; this code reads 2"):
        parse_manifest(encoded, URL)


def test_another_preprocessing_version_is_incompatible() -> None:
    encoded = changed(lambda manifest: manifest["model"]["preprocessing"].update(version=1))
    with pytest.raises(ArtifactIncompatible, match="preprocessing version 1; this code reads 3"):
        parse_manifest(encoded, URL)


@pytest.mark.parametrize(
    "encoded",
    [b"", b"[]", b"null", b"{}", b"\xff", b'{"schema_version": 2}', b'{"schema_version": 2, "model": {}}', b"[" * 99],
)
def test_what_is_no_manifest_is_corrupt(encoded: bytes) -> None:
    with pytest.raises(ArtifactCorrupt, match="not a manifest"):
        parse_manifest(encoded, URL)


@pytest.mark.parametrize(
    "change",
    [
        lambda manifest: manifest.update(unknown=1),
        lambda manifest: manifest.pop("provenance"),
        lambda manifest: manifest["model"].update(temperature=-1),
        lambda manifest: manifest["model"]["architecture"].update(backbone="vgg16"),
        lambda manifest: manifest["files"].pop(WEIGHTS),
        lambda manifest: manifest["files"].pop(GOLDEN),
    ],
)
def test_a_manifest_that_breaks_its_schema_is_corrupt(change: Callable[[Any], object]) -> None:
    with pytest.raises(ArtifactCorrupt, match="does not follow schema version 2"):
        parse_manifest(changed(change), URL)
