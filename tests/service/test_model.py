from pathlib import Path
from types import SimpleNamespace
from typing import NoReturn

import pytest
import safetensors.numpy

from samx.classifier import Classifier, load_classifier
from samx.engine import OnnxEngine
from samx.manifest import WEIGHTS, AttributeHead
from samx.torch_engine import torch_classifier
from service.inference import Inference
from service.model import Model, tag_of
from service.problems import ProblemError, without_secrets
from service.upload import Parameters
from tests.service.files import PATIENT
from tests.small_artifact import STUDENT_TEMPERATURE, small_spec, small_tensors, synthetic_png, write_small_artifact


@pytest.mark.parametrize(
    ("value", "shown", "agrees"),
    [
        ("KNEE", "KNEE", True),
        ("Knees rt", "Knees rt", True),
        ("HAND", "HAND", False),
        ("EXTREMITY", "EXTREMITY", True),  # a region: known, without an entity of its own
        ("CHEST", "CHEST", False),
        ("", None, None),
        ("Wunibald", None, None),
        ("KNEE Wunibald", None, None),
        ("KNEE 田中", "KNEE", True),  # letters outside ASCII are not looked at, so they are not repeated
        ("KNEE\n\x1b[2J", None, None),
        ("KNEE\x07", "KNEE", True),
    ],
)
def test_tag_is_repeated_only_if_every_word_is_known(value: str, shown: str | None, agrees: bool | None) -> None:
    tag = tag_of("knee", value)
    assert (tag.body_part_examined, tag.agrees) == (shown, agrees)


@pytest.mark.parametrize(
    ("text", "public"),
    [
        ("s3://bucket/run-1", "s3://bucket/run-1"),
        ("https://reader:secret@host/run", "https://host/run"),
        ("https://host/w.safetensors?X-Amz-Signature=abc sha256 12 MIT", "https://host/w.safetensors sha256 12 MIT"),
        ("random", "random"),
    ],
)
def test_secrets_of_urls_are_left_out(text: str, public: str) -> None:
    assert without_secrets(text) == public


class FailingClassifier:
    """A classifier whose reader meets bytes that nobody thought of."""

    spec = small_spec()
    engine = SimpleNamespace(name="none")

    def read(self, data: bytes) -> NoReturn:
        raise KeyError(data.decode())


def test_unforeseen_failure_of_the_reader_is_422_and_logged_without_its_values(
    small_artifact: Path, caplog: pytest.LogCaptureFixture
) -> None:
    _, manifest = load_classifier(small_artifact)
    model = Model(FailingClassifier(), manifest, url="", metrics=None, max_body_bytes=1)  # type: ignore[arg-type]
    with pytest.raises(ProblemError) as refused:
        model.read(PATIENT.encode())
    assert (refused.value.status, refused.value.code) == (422, "unreadable")
    assert "builtins.KeyError at" in caplog.text
    assert PATIENT not in caplog.text + refused.value.detail


def test_description_names_the_network_that_answers(small_engines: dict[str, bytes], tmp_path: Path) -> None:
    """The student on CPUs, with its own thresholds; null where there is none."""
    folder = write_small_artifact(tmp_path, seed=5, engine=small_engines["fp32"], student_seed=0)
    described = {
        compiled: Model(*load_classifier(folder, compiled=compiled), url="", metrics=None, max_body_bytes=1).description
        for compiled in (True, False)
    }
    assert described[True].student_of == small_spec().architecture.backbone
    assert (described[True].engine, described[True].temperature) == ("onnxruntime fp32", STUDENT_TEMPERATURE)
    assert described[False].student_of is None
    assert (described[False].engine, described[False].temperature) == ("torch cpu", small_spec().temperature)


def test_view_and_laterality_are_answered_and_described(small_artifact: Path) -> None:
    heads = (
        AttributeHead(name="view", values=("AP", "LAT"), temperature=1.0),
        AttributeHead(name="laterality", values=("L", "R"), temperature=1.0),
    )
    spec = small_spec(attributes=heads, classes=small_spec().classes[:3])
    _, manifest = load_classifier(small_artifact)
    manifest = manifest.model_copy(update={"model": spec})
    model = Model(torch_classifier(spec, small_tensors(spec)), manifest, url="", metrics=None, max_body_bytes=1)
    assert model.description.attributes == {"view": ["AP", "LAT"], "laterality": ["L", "R"]}
    reading = model.read(synthetic_png())
    (prediction,) = model.classify([model.question(reading, grad_cam=False)])
    answer = model.answer(reading.radiograph, prediction, Parameters())
    for name, found in (("view", answer.view), ("laterality", answer.laterality)):
        assert found is not None
        assert (found.value, found.probability) == prediction.attributes[name]  # type: ignore[index]


def test_description_is_public_part_of_the_manifest(loaded: Inference) -> None:
    description = loaded.serving.served.model.description
    assert (description.name, description.version) == ("small", "1.0.0")
    assert [entry.label for entry in description.classes] == ["foot", "hand", "knee", "not_musculoskeletal"]
    assert description.classes[2].code is not None
    assert description.classes[2].code.model_dump() == {"value": "72696002", "scheme": "SCT", "meaning": "Knee"}
    assert description.classes[3].code is None
    assert description.classes[3].body_part_examined is None
    assert description.metrics == {}
    assert description.attributes == {}
    assert description.provenance.num_readers == 1
    assert "simulated" not in description.model_dump_json()  # readers are people too


def test_onnx_runtime_is_given_fewer_images_at_a_time_than_torch(
    small_artifact: Path, small_engines: dict[str, bytes]
) -> None:
    by_torch, manifest = load_classifier(small_artifact)
    tensors = safetensors.numpy.load_file(small_artifact / manifest.version / WEIGHTS)
    compiled = Classifier(by_torch.spec, OnnxEngine(small_engines["fp32"], 1), tensors)
    for classifier, expected in ((compiled, 2), (by_torch, 8)):
        model = Model(classifier, manifest, url="", metrics=None, max_body_bytes=1)
        assert model.largest_batch == expected
