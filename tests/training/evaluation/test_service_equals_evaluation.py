"""The service answers for every radiograph of the hold-out what evaluate wrote down, one at a time and together.

So does the student, by its compiled engine, where the artifact has one.
"""

import anyio
import httpx
import numpy as np
import pytest

from samx.storage import open_storage
from service.inference import Inference
from service.settings import Settings
from tests.service.conftest import App, make_app
from training.config import TrainingConfig
from training.run import Run

TOLERANCE = 1e-5


@pytest.fixture(scope="module", params=["evaluated", "taught"])
def answered(request: pytest.FixtureRequest) -> tuple[TrainingConfig, str]:
    """A finished run, and where the answers of the network are that answers on CPUs."""
    config: TrainingConfig = request.getfixturevalue(request.param)
    return config, "evaluate" if request.param == "evaluated" else "evaluate/student"


@pytest.fixture(scope="module")
def holdout(answered: tuple[TrainingConfig, str]) -> list[tuple[dict[str, str], dict[str, float], bytes]]:
    """Row of predictions.csv, probability by label, and the file, of every radiograph of the hold-out."""
    config, folder = answered
    run, source = Run(config), open_storage(config.source)
    classes = run.read_json("label/classes.json")
    probabilities = run.read_array(f"{folder}/probabilities.npy")
    rows = run.read_csv(f"{folder}/predictions.csv")
    return [
        (row, dict(zip(classes, map(float, values), strict=True)), source.read(row["key"]))
        for row, values in zip(rows, probabilities, strict=True)
    ]


@pytest.fixture(scope="module")
def app(answered: tuple[TrainingConfig, str]) -> App:
    """The application with the published model, answering as it does on CPUs: by torch without a compiled engine."""
    config, _ = answered
    url = f"{config.publish.models}/{config.publish.name}"
    inference = Inference(Settings(artifact=url, device="cpu", threads=2))
    anyio.run(inference.serving.load)
    assert inference.is_ready
    return make_app(inference)


def assert_same(answer: dict[str, object], row: dict[str, str], probabilities: dict[str, float]) -> None:
    """All probabilities, the order of the first two, the decision and the score."""
    found = answer["classes"]
    assert isinstance(found, list)
    assert {entry["label"]: entry["probability"] for entry in found} == pytest.approx(probabilities, abs=TOLERANCE)
    if probabilities[row["answer"]] - probabilities[row["second"]] > TOLERANCE:
        assert [entry["label"] for entry in found[:2]] == [row["answer"], row["second"]]
    assert answer["decision"] == row["decision"]
    assert answer["out_of_scope_score"] == pytest.approx(float(row["out_of_scope_score"]), abs=1e-3)


def test_one_at_a_time(app: App, holdout: list[tuple[dict[str, str], dict[str, float], bytes]]) -> None:
    for row, probabilities, data in holdout:
        response = app.classify(data, params={"top_k": len(probabilities)})
        assert response.status_code == 200, response.text
        assert_same(response.json(), row, probabilities)


def test_together(app: App, holdout: list[tuple[dict[str, str], dict[str, float], bytes]]) -> None:
    """Requests that arrive at once, which the service batches as it likes."""
    num_classes = len(holdout[0][1])

    async def send_all() -> list[httpx.Response]:
        responses: dict[int, httpx.Response] = {}
        transport = httpx.ASGITransport(app.app)
        async with httpx.AsyncClient(transport=transport, base_url="http://service", timeout=120) as client:

            async def send(position: int) -> None:
                responses[position] = await client.post(
                    "/classify", content=holdout[position][2], params={"top_k": num_classes}
                )

            for start in range(0, len(holdout), 8):
                async with anyio.create_task_group() as group:
                    for position in range(start, min(start + 8, len(holdout))):
                        group.start_soon(send, position)
        return [responses[position] for position in range(len(holdout))]

    for response, (row, probabilities, _) in zip(anyio.run(send_all), holdout, strict=True):
        assert response.status_code == 200, response.text
        assert_same(response.json(), row, probabilities)


def test_in_one_body(app: App, holdout: list[tuple[dict[str, str], dict[str, float], bytes]]) -> None:
    """All files of the hold-out in one request to /classify_batch."""
    files = [("file", (f"{position}.dcm", data)) for position, (_, _, data) in enumerate(holdout)]
    response = app.request("POST", "/classify_batch", files=files, params={"top_k": len(holdout[0][1])})
    assert response.status_code == 200, response.text
    answers = response.json()["answers"]
    assert len(answers) == len(holdout)
    for answer, (row, probabilities, _) in zip(answers, holdout, strict=True):
        assert answer["problem"] is None
        assert_same(answer["classification"], row, probabilities)


def test_probabilities_say_more_than_one_thing(holdout: list[tuple[dict[str, str], dict[str, float], bytes]]) -> None:
    """Or any service would pass."""
    values = np.array([list(probabilities.values()) for _, probabilities, _ in holdout])
    assert values.std(axis=0).max() > 0.1
