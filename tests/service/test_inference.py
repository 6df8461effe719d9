import contextlib
import json
import logging
from pathlib import Path

import anyio
import pytest

from samx.classifier import load_classifier
from samx.errors import ArtifactError
from service.inference import Inference
from service.problems import ProblemError
from service.serving import require_artifact
from service.settings import Settings
from tests.service.conftest import App, make_app
from tests.small_artifact import synthetic_png

PNG = synthetic_png(3)


def test_answer_is_the_classifiers_own(app: App, small_artifact: Path) -> None:
    classifier, _ = load_classifier(small_artifact)
    (prediction,) = classifier.classify([classifier.read(PNG)[1]])
    answer = app.classify(PNG, "/classify?top_k=4").json()
    assert [(entry["label"], entry["probability"]) for entry in answer["classes"]] == prediction.ranked(4)
    assert answer["decision"] == prediction.decision
    assert answer["out_of_scope_score"] == prediction.out_of_scope_score


def test_places_are_bounded_and_given_back(loaded: Inference) -> None:
    num_places = loaded.settings.threads + loaded.settings.max_waiting
    with contextlib.ExitStack() as stack:
        for _ in range(num_places):
            stack.enter_context(loaded.admitted())
        with pytest.raises(ProblemError) as refused, loaded.admitted():
            pass
    assert (refused.value.status, refused.value.code) == (503, "busy")
    assert int(refused.value.headers["Retry-After"]) >= 1
    with loaded.admitted():
        pass


def test_before_the_model_is_loaded_the_answer_is_503_with_retry_after(small_artifact: Path) -> None:
    app = make_app(Inference(Settings(artifact=str(small_artifact))))
    for response in (app.classify(PNG), app.request("GET", "/model")):
        assert (response.status_code, response.json()["code"]) == (503, "model_not_ready")
        assert int(response.headers["Retry-After"]) >= 1


def test_corrupt_artifact_is_reported_and_never_served(
    small_artifact: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for path in (small_artifact / "1.0.0").iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    weights = bytearray((tmp_path / "weights.safetensors").read_bytes())
    weights[-1] ^= 1
    (tmp_path / "weights.safetensors").write_bytes(weights)
    inference = Inference(Settings(artifact=str(tmp_path)))
    with caplog.at_level(logging.INFO, logger="samx.service"):
        anyio.run(inference.serving.load)
    assert not inference.is_ready
    assert not inference.is_alive
    assert "weights.safetensors" in caplog.text
    assert make_app(inference).classify(PNG).status_code == 503


def test_missing_artifact_is_found_before_anything_is_loaded(tmp_path: Path, small_artifact: Path) -> None:
    with pytest.raises(ArtifactError, match=r"no artifact in .*SAMX_ARTIFACT"):
        require_artifact(str(tmp_path))
    require_artifact(str(small_artifact))
    require_artifact(str(small_artifact / "1.0.0"))


def test_metrics_of_the_artifact_are_described(small_artifact: Path, app: App) -> None:
    assert app.request("GET", "/model").json()["metrics"] == json.loads(
        (small_artifact / "1.0.0" / "metrics.json").read_text()
    )
