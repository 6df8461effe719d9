"""The compiled engine against torch, the reference; what happens where one of them is missing or differs."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
import pytest

from samx.classifier import Classifier, Prediction, load_classifier
from samx.engine import OUTPUTS, OnnxEngine
from samx.errors import ArtifactCorrupt
from samx.manifest import ENGINE, GOLDEN
from samx.torch_engine import TorchEngine, torch_classifier
from tests.small_artifact import (
    VERSION,
    republish,
    small_spec,
    small_tensors,
    synthetic_png,
    write_small_artifact,
)

PROJECT = Path(__file__).resolve().parents[2]


def noise(count: int, seed: int = 0) -> npt.NDArray[np.uint8]:
    """Images `(count, 64, 64)` of blocks of noise."""
    blocks = np.random.default_rng(seed).integers(0, 256, (count, 8, 8), np.uint8)
    return np.kron(blocks, np.ones((1, 8, 8), np.uint8))


def compiled_classifier(engine: bytes) -> Classifier:
    arrays = {key: value.numpy() for key, value in small_tensors(small_spec()).items()}
    return Classifier(small_spec(), OnnxEngine(engine, 1), arrays)


@pytest.fixture(scope="module", params=["fp32", "int8"])
def precision(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def compiled_artifact(
    small_engines: dict[str, bytes], precision: str, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    return write_small_artifact(tmp_path_factory.mktemp(precision), engine=small_engines[precision])


def test_answers_in_32_bits_are_those_of_torch(small_engines: dict[str, bytes]) -> None:
    images = list(noise(12))
    reference = torch_classifier(small_spec(), small_tensors(small_spec())).classify(images, grad_cam=True)
    compiled = compiled_classifier(small_engines["fp32"]).classify(images, grad_cam=True)
    for one, other in zip(reference, compiled, strict=True):
        np.testing.assert_allclose(other.probabilities, one.probabilities, atol=1e-5)
        assert other.out_of_scope_score == pytest.approx(one.out_of_scope_score, rel=1e-5)
        assert one.heat is not None and other.heat is not None
        np.testing.assert_allclose(other.heat, one.heat, atol=1e-4)


def test_feature_maps_in_8_bits_are_near_those_of_torch(small_engines: dict[str, bytes]) -> None:
    engine = torch_classifier(small_spec(), small_tensors(small_spec())).engine
    reference, compiled = engine.feature_maps(noise(8)), OnnxEngine(small_engines["int8"], 1).feature_maps(noise(8))
    for name, one, other in zip(OUTPUTS, reference, compiled, strict=True):
        difference = np.linalg.norm(other - one) / np.linalg.norm(one)
        assert 1e-4 < difference < 0.1, name


def test_an_answer_is_the_same_to_the_last_bit_in_any_batch(small_engines: dict[str, bytes], precision: str) -> None:
    classifier, images = compiled_classifier(small_engines[precision]), list(noise(33))
    alone = [classifier.classify([image], grad_cam=True)[0] for image in images]
    for size in (2, 8, 33):
        batched: list[Prediction] = []
        for start in range(0, len(images), size):
            batched += classifier.classify(images[start : start + size], grad_cam=True)
        for one, other in zip(alone, batched, strict=True):
            np.testing.assert_array_equal(other.probabilities, one.probabilities)
            assert other.out_of_scope_score == one.out_of_scope_score
            np.testing.assert_array_equal(np.asarray(other.heat), np.asarray(one.heat))


def test_the_compiled_engine_answers_where_there_is_one(compiled_artifact: Path, precision: str) -> None:
    assert load_classifier(compiled_artifact)[0].engine.name == f"onnxruntime {precision}"
    assert load_classifier(compiled_artifact, compiled=False)[0].engine.name == "torch cpu"


def test_an_artifact_without_compiled_engine_is_answered_by_torch(
    small_artifact: Path, caplog: pytest.LogCaptureFixture
) -> None:
    assert isinstance(load_classifier(small_artifact)[0].engine, TorchEngine)
    assert f"has no {ENGINE}: torch answers" in caplog.text


def test_torch_answers_where_onnx_runtime_cannot(
    compiled_artifact: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = republish(compiled_artifact, tmp_path, engine=b"no ONNX model")
    assert isinstance(load_classifier(folder)[0].engine, TorchEngine)
    assert "torch answers instead of the compiled engine" in caplog.text


@pytest.mark.parametrize(("share", "answers"), [(0.5, "onnxruntime"), (1.5, "torch")])
def test_the_compiled_engine_is_held_to_its_own_golden_answers(
    compiled_artifact: Path, precision: str, tmp_path: Path, share: float, answers: str
) -> None:
    """In 8 bits they differ from the reference's, and so does how far rounding may move them."""
    key, tolerance = {"fp32": ("probabilities", 2e-3), "int8": ("probabilities_int8", 2e-2)}[precision]
    entries = json.loads((compiled_artifact / VERSION / GOLDEN).read_bytes())
    entries[0][key][2] += share * tolerance
    folder = republish(compiled_artifact, tmp_path, golden=json.dumps(entries).encode())
    if precision == "fp32" and answers == "torch":  # which is held to the same answers
        with pytest.raises(ArtifactCorrupt, match="golden radiograph 0"):
            load_classifier(folder)
    else:
        assert load_classifier(folder)[0].engine.name.startswith(answers)


def test_weights_that_do_not_fit_the_engine_are_refused(small_engines: dict[str, bytes]) -> None:
    arrays = {key: value.numpy() for key, value in small_tensors(small_spec()).items()}
    engine = OnnxEngine(small_engines["fp32"], 1)
    with pytest.raises(ValueError, match=r"head.weight is \(3, 256\), not \(4, 256\)"):
        Classifier(small_spec(), engine, {**arrays, "head.weight": arrays["head.weight"][:3]})
    with pytest.raises(ValueError, match=r"scope.components_DR is \(9, 1\), not \(384, 1\)"):
        Classifier(small_spec(), engine, {**arrays, "scope.components_DR": arrays["scope.components_DR"][:9]})


def test_an_engine_without_the_features_for_the_score_is_refused(small_engines: dict[str, bytes]) -> None:
    model = onnx.load_from_string(small_engines["fp32"])
    model.graph.output.remove(model.graph.output[0])
    with pytest.raises(ValueError, match="it has no output early_features"):
        OnnxEngine(model.SerializeToString(), 1)


WITHOUT_TORCH = """
import sys

class Forbidden:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("torch", "torchvision"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Forbidden())
"""


def run_without_torch(script: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", WITHOUT_TORCH + script, *arguments],
        cwd=PROJECT,
        env={**os.environ, "PYTHONPATH": str(PROJECT)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


CLASSIFY = """
import json
from service.model import load_model
from service.settings import Settings
from samx.classifier import load_classifier
import service.routes
model = load_model(Settings(artifact=sys.argv[1]))
classifier, _ = load_classifier(sys.argv[1])
(answer,) = classifier.classify([classifier.read(open(sys.argv[2], "rb").read())[1]], grad_cam=True)
print(json.dumps([model.description.engine, dict(answer.ranked(4))]))
"""


def test_the_service_answers_without_torch(small_engines: dict[str, bytes], tmp_path: Path) -> None:
    artifact = write_small_artifact(tmp_path, engine=small_engines["fp32"])
    file = tmp_path / "radiograph.png"
    file.write_bytes(synthetic_png(5))
    done = run_without_torch(CLASSIFY, str(artifact), str(file))
    assert done.returncode == 0, done.stderr
    engine, found = json.loads(done.stdout)
    assert engine == "onnxruntime fp32"
    reference, _ = load_classifier(artifact, compiled=False)
    (expected,) = reference.classify([reference.read(file.read_bytes())[1]])
    assert found == pytest.approx(dict(zip(expected.labels, map(float, expected.probabilities), strict=True)), abs=1e-5)


SORT = """
from service.__main__ import main
sys.exit(main(sys.argv[1:]))
"""


def test_sorting_without_torch_gives_the_rows_of_the_reference(small_engines: dict[str, bytes], tmp_path: Path) -> None:
    artifact = write_small_artifact(tmp_path, engine=small_engines["fp32"])
    (tmp_path / "in").mkdir()
    for number in range(3):
        (tmp_path / "in" / f"{number}.png").write_bytes(synthetic_png(number))
    done = run_without_torch(
        SORT, "sort", str(tmp_path / "in"), str(tmp_path / "out"), "--model", str(artifact), "--processes", "1"
    )
    assert done.returncode == 0, done.stderr
    (manifest,) = (tmp_path / "out").rglob("manifest.jsonl")
    reference, _ = load_classifier(artifact, compiled=False)
    rows = [json.loads(line) for line in manifest.read_text().splitlines()]
    assert len(rows) == 3
    for row in rows:
        (expected,) = reference.classify([reference.read((tmp_path / "in" / row["key"]).read_bytes())[1]])
        assert (row["label"], row["decision"]) == (expected.label, expected.decision)
        assert row["probability"] == pytest.approx(float(expected.probabilities.max()), abs=2e-5)


def test_without_torch_an_artifact_without_compiled_engine_says_what_is_missing(small_artifact: Path) -> None:
    done = run_without_torch(
        "from samx.classifier import load_classifier; load_classifier(sys.argv[1])", str(small_artifact)
    )
    assert done.returncode == 1
    assert "small 1.0.0 cannot be used without torch, which is not installed: publish the model again" in done.stderr
