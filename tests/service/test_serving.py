import shutil
import threading
from pathlib import Path

import anyio
import pytest
from prometheus_client import REGISTRY

from samx.artifact import roll_back, set_current
from samx.storage import open_storage
from service.access import Access
from service.inference import Inference
from service.metrics import announce_model
from service.settings import Settings
from service.upload import Parameters
from tests.service.conftest import App, make_app, wait_for
from tests.small_artifact import NAME, synthetic_png, write_small_artifact

PNG = synthetic_png(3)
ADMIN = {"X-API-Key": "admin-key-0123456"}


@pytest.fixture
def models(tmp_path: Path) -> Path:
    """A folder with version 1.0.0 of the small model."""
    write_small_artifact(tmp_path)
    return tmp_path


def serve(models: Path, **settings: object) -> App:
    """The application with the current version of the small model, loaded."""
    given = {"artifact": str(models / NAME), "device": "cpu", "threads": 2, "admin_keys": ADMIN["X-API-Key"]}
    inference = Inference(Settings.model_validate(given | settings))
    anyio.run(inference.serving.load)
    app = make_app(inference)
    app.app._app.state.access = Access(inference.settings)  # type: ignore[attr-defined]
    return app


def reload(app: App) -> tuple[int, str]:
    answer = app.request("POST", "/model/reload", headers=ADMIN).json()
    return (200, f"{answer['model']['version']} {answer['changed']}") if "model" in answer else (409, answer["code"])


def test_new_version_and_the_one_before_are_served_when_asked_for(models: Path) -> None:
    app = serve(models)
    assert reload(app) == (200, "1.0.0 False")
    write_small_artifact(models, "1.1.0")
    assert app.classify(PNG).json()["model"]["version"] == "1.0.0"
    assert reload(app) == (200, "1.1.0 True")
    assert app.classify(PNG).json()["model"]["version"] == "1.1.0"
    assert app.request("GET", "/model").json()["version"] == "1.1.0"
    roll_back(open_storage(models), name=NAME)
    assert reload(app) == (200, "1.0.0 True")
    assert app.classify(PNG).json()["model"]["version"] == "1.0.0"


def test_version_that_cannot_be_served_changes_nothing(models: Path) -> None:
    app = serve(models)
    write_small_artifact(models, "1.1.0")
    weights = models / NAME / "1.1.0" / "weights.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"!")
    assert reload(app) == (409, "model_refused")
    assert app.classify(PNG).json()["model"]["version"] == "1.0.0"
    assert app.inference.is_ready
    assert app.inference.is_alive
    shutil.rmtree(models / NAME)
    assert reload(app) == (409, "model_refused")
    assert app.classify(PNG).status_code == 200


def test_request_that_began_with_a_version_ends_with_it(models: Path) -> None:
    app = serve(models)
    with app.inference.admitted() as before:
        write_small_artifact(models, "1.1.0")
        assert reload(app) == (200, "1.1.0 True")
        answer = anyio.run(app.inference.classify, before, PNG, Parameters())
    assert answer.model.version == "1.0.0"


def test_watch_serves_whatever_becomes_current(models: Path) -> None:
    app = serve(models, watch_seconds=0.02)
    serving = app.inference.serving

    async def watch_and_flip() -> list[str]:
        versions = []
        async with anyio.create_task_group() as group:
            group.start_soon(serving.watch)
            for version in ("1.1.0", "1.0.0"):
                if version == "1.1.0":
                    await anyio.to_thread.run_sync(write_small_artifact, models, version)
                else:
                    set_current(open_storage(models), name=NAME, version=version)
                with anyio.fail_after(20):
                    while serving.served.model.name.version != version:
                        await anyio.sleep(0.02)
                versions.append(serving.served.model.name.version)
            group.cancel_scope.cancel()
        return versions

    assert anyio.run(watch_and_flip) == ["1.1.0", "1.0.0"]


def test_work_that_hangs_ends_liveness_and_later_requests_their_deadline(models: Path) -> None:
    app = serve(models, stuck_seconds=0.2, request_timeout_seconds=0.3)
    model, free = app.inference.serving.served.model, threading.Event()
    classify = model.classify
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(model, "classify", lambda questions: free.wait(10) and classify(questions))
        response = app.classify(PNG)
        assert (response.status_code, response.json()["code"]) == (503, "deadline_exceeded")
        assert int(response.headers["Retry-After"]) >= 1
        assert not app.inference.is_alive
        free.set()
    assert app.classify(PNG).status_code == 200
    wait_for(lambda: app.inference.is_alive, 10)  # what hung has an answer of its own to finish
    with app.inference.admitted(app.inference.num_places):
        pass


def test_reference_for_drift_is_what_the_artifact_measured() -> None:
    measured = {"accepted": {"value": 0.9}, "per_class": {"knee": {"recall": {"n": 3}}, "hand": {"recall": {"n": 1}}}}
    announce_model("drifting", "1", {"holdout": {"holdout": measured}})
    assert REGISTRY.get_sample_value("samx_model", {"name": "drifting", "version": "1"}) == 1
    assert REGISTRY.get_sample_value("samx_reference_class_share", {"label": "knee"}) == 0.75
    assert REGISTRY.get_sample_value("samx_reference_accepted_share") == 0.9
    announce_model("drifting", "2", None)
    assert REGISTRY.get_sample_value("samx_model", {"name": "drifting", "version": "1"}) is None
    assert REGISTRY.get_sample_value("samx_model", {"name": "drifting", "version": "2"}) == 1
    assert REGISTRY.get_sample_value("samx_reference_class_share", {"label": "knee"}) is None
    assert REGISTRY.get_sample_value("samx_reference_accepted_share") == 0
