"""An artifact with a student: a smaller network that answers on CPUs in place of the reference."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from samx.artifact import read_artifact
from samx.classifier import load_classifier
from samx.errors import ArtifactCorrupt
from samx.manifest import GOLDEN, STUDENT, WEIGHTS, Manifest
from samx.preprocessing import PreprocessingConfig
from samx.storage import open_storage
from samx.torch_engine import torch_classifier
from tests.samx.test_engine import noise, run_without_torch
from tests.small_artifact import (
    STUDENT_TEMPERATURE,
    VERSION,
    republish,
    small_spec,
    small_tensors,
    write_small_artifact,
)

STUDENT_SPEC = small_spec(temperature=STUDENT_TEMPERATURE)


@pytest.fixture(scope="module", params=["fp32", "int8"])
def precision(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def with_student(small_engines: dict[str, bytes], precision: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The engine is compiled from weights of seed 0, here the student's."""
    folder = tmp_path_factory.mktemp(precision)
    return write_small_artifact(folder, seed=5, engine=small_engines[precision], student_seed=0)


def test_the_student_answers_on_the_cpu_by_the_compiled_engine(with_student: Path, precision: str) -> None:
    classifier, _ = load_classifier(with_student)
    assert classifier.engine.name == f"onnxruntime {precision}"
    assert classifier.spec == STUDENT_SPEC
    expected = torch_classifier(STUDENT_SPEC, small_tensors(STUDENT_SPEC, 0)).classify(list(noise(4)))
    for one, other in zip(classifier.classify(list(noise(4))), expected, strict=True):
        np.testing.assert_allclose(one.probabilities, other.probabilities, atol=1e-5 if precision == "fp32" else 0.1)


def test_the_reference_answers_where_torch_is_asked_for(with_student: Path) -> None:
    classifier, _ = load_classifier(with_student, compiled=False)
    assert (classifier.engine.name, classifier.spec) == ("torch cpu", small_spec())
    expected = torch_classifier(small_spec(), small_tensors(small_spec(), 5)).classify(list(noise(4)))
    for one, other in zip(classifier.classify(list(noise(4))), expected, strict=True):
        np.testing.assert_allclose(one.probabilities, other.probabilities, atol=1e-5)


def test_the_student_needs_no_torch(with_student: Path) -> None:
    code = "from samx.classifier import load_classifier; print(load_classifier(sys.argv[1])[0].engine.name)"
    done = run_without_torch(code, str(with_student))
    assert done.stdout.startswith("onnxruntime"), done.stderr


@pytest.mark.parametrize("engine", [None, b"not a model"])
def test_without_a_usable_engine_torch_computes_the_student(
    engine: bytes | None, with_student: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level("WARNING"):
        classifier, _ = load_classifier(republish(with_student, tmp_path, engine=engine))
    assert "torch answers" in caplog.text
    assert (classifier.engine.name, classifier.spec) == ("torch cpu", STUDENT_SPEC)


def changed_golden(golden: bytes, key: str) -> bytes:
    entries = json.loads(golden)
    for entry in entries:
        if key in entry:
            entry[key] = entry[key][::-1]
    return json.dumps(entries).encode()


@pytest.mark.parametrize("compiled", [True, False])
def test_other_golden_answers_of_the_network_that_answers_refuse_the_artifact(
    compiled: bool, with_student: Path, tmp_path: Path
) -> None:
    golden = read_artifact(open_storage(with_student / VERSION)).files[GOLDEN]
    for key in ("student_probabilities", "student_probabilities_int8") if compiled else ("probabilities",):
        golden = changed_golden(golden, key)
    folder = republish(with_student, tmp_path, golden=golden)
    with pytest.raises(ArtifactCorrupt, match="golden radiograph 0"):
        load_classifier(folder, compiled=compiled)
    assert load_classifier(folder, compiled=not compiled)  # the other network's are as they were


def test_weights_of_another_student_are_refused(with_student: Path, tmp_path: Path) -> None:
    weights = read_artifact(open_storage(with_student / VERSION)).files[WEIGHTS]
    with pytest.raises(ArtifactCorrupt, match="golden radiograph 0"):
        load_classifier(republish(with_student, tmp_path, student=weights))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda manifest: manifest.pop("cpu_model"), "belong together"),
        (lambda manifest: manifest["files"].pop(STUDENT), "belong together"),
        (lambda manifest: manifest["cpu_model"]["classes"].reverse(), "other classes"),
        (
            lambda manifest: manifest["cpu_model"].update(preprocessing=PreprocessingConfig(size=96).model_dump()),
            "another preprocessing",
        ),
    ],
)
def test_a_student_that_does_not_fit_is_refused(
    change: Callable[[dict[str, object]], object], message: str, with_student: Path
) -> None:
    manifest = json.loads((with_student / VERSION / "manifest.json").read_bytes())
    Manifest.model_validate(manifest)
    change(manifest)
    with pytest.raises(ValueError, match=message):
        Manifest.model_validate(manifest)
