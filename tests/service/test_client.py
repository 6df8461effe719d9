"""`samx.client` and the service, in one process and over a socket."""

import io
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar

import anyio
import httpx
import pytest
from PIL import Image

from samx.client import AsyncClient, Client
from samx.client.answers import SortJobWithProgress
from samx.errors import ServiceProblem
from samx.storage import open_storage
from service.inference import Inference
from service.settings import Settings
from service.sorting.job import SortRequest
from service.sorting.registry import JobRecord, Registry
from tests.service.conftest import App, Server, make_app
from tests.service.files import PATIENT, pickle_file
from tests.small_artifact import LABELS, synthetic_png

_Result = TypeVar("_Result")


def ask(app: App, question: Callable[[AsyncClient], Awaitable[_Result]], **options: Any) -> _Result:
    """One question to the application in this process."""

    async def run() -> _Result:
        transport = httpx.ASGITransport(app.app)
        async with AsyncClient("http://service", transport=transport, **options) as client:
            return await question(client)

    return anyio.run(run)


def test_answers_are_those_of_the_route(app: App, knee_dicom: bytes) -> None:
    expected = app.classify(knee_dicom, "/classify?top_k=2").json()
    answer = ask(app, lambda client: client.classify(knee_dicom, top_k=2))
    assert [(entry.label, entry.probability) for entry in answer.classes] == [
        (entry["label"], entry["probability"]) for entry in expected["classes"]
    ]
    assert answer.tag.body_part_examined == "KNEE"
    assert (answer.radiograph.rows, answer.radiograph.columns) == (120, 90)
    assert answer.grad_cam is None


def test_a_heat_map_is_answered_where_it_is_asked_for(app: App, knee_dicom: bytes) -> None:
    answer = ask(app, lambda client: client.classify(knee_dicom, grad_cam=True))
    assert answer.grad_cam is not None
    assert answer.grad_cam.label == answer.classes[0].label


def test_a_refusal_is_an_exception_with_its_code(app: App) -> None:
    with pytest.raises(ServiceProblem) as caught:
        ask(app, lambda client: client.classify(pickle_file()))
    assert (caught.value.status, caught.value.code) == (415, "unknown_format")
    assert caught.value.request_id is not None
    assert len(caught.value.request_id) == 32


def test_the_key_is_sent_and_not_shown(loaded: Inference) -> None:
    app, key = make_app(loaded), "0123456789abcdef"
    app.app._app.state.access = type(app.app._app.state.access)(Settings(api_keys=(key,)))
    with pytest.raises(ServiceProblem) as caught:
        ask(app, lambda client: client.model())
    assert (caught.value.status, caught.value.code) == (401, "unauthorized")
    assert [entry.label for entry in ask(app, lambda client: client.model(), api_key=key).classes] == list(LABELS)


def test_jobs_are_listed_over_pages_cancelled_and_waited_for(loaded: Inference, tmp_path: Path) -> None:
    registry = Registry(str(tmp_path / "jobs"))
    for index in range(5):
        request = SortRequest(source=f"{tmp_path}/in", destination=f"{tmp_path}/out", model="model")
        state = "done" if index else "waiting"
        registry.add_record(JobRecord(id=f"job-{index}", request=request, created_at=1.7e9 + index, state=state))
    app = make_app(loaded, jobs=str(tmp_path / "jobs"))

    async def names(client: AsyncClient) -> list[str]:
        return [job.id async for job in client.jobs(page_size=2)]

    assert ask(app, names) == [f"job-{index}" for index in (4, 3, 2, 1, 0)]
    with pytest.raises(TimeoutError, match="job-0 is waiting"):
        ask(app, lambda client: client.wait_for_job("job-0", poll_seconds=0.01, timeout_seconds=0.03))
    assert ask(app, lambda client: client.cancel("job-0")).state == "cancelled"
    seen: list[SortJobWithProgress] = []
    assert ask(app, lambda client: client.wait_for_job("job-0", progress=seen.append)).state == "cancelled"
    assert [job.id for job in seen] == ["job-0"]
    with pytest.raises(ServiceProblem, match="404 no_job"):
        ask(app, lambda client: client.sort_job("job-9"))
    with pytest.raises(ValueError, match="letters, digits"):
        ask(app, lambda client: client.sort_job("../model"))


def test_a_sort_is_begun(loaded: Inference, tmp_path: Path) -> None:
    open_storage(f"{tmp_path}/in").write("1.png", synthetic_png(1))
    app = make_app(loaded, jobs=f"{tmp_path}/jobs", sort_within=(str(tmp_path),))
    job = ask(app, lambda client: client.sort(f"{tmp_path}/in", f"{tmp_path}/out", copies=True, shard_size=7))
    assert job.state == "waiting"
    assert (job.order.copies, job.order.shard_size, job.order.limit) == (True, 7, None)
    assert job.created_at.tzinfo is not None


def test_the_real_server_answers_the_sync_client(server: Server, knee_dicom: bytes, tmp_path: Path) -> None:
    good, bad = tmp_path / f"{PATIENT}.dcm", tmp_path / "bad.dcm"
    good.write_bytes(knee_dicom)
    bad.write_bytes(pickle_file())
    with Client(server.url, trust_env=False) as client:
        alone = client.classify(good)
        answers = client.classify_batch([good, bad, synthetic_png(3)])
        picture = Image.open(io.BytesIO(client.overlay(good)))
        description = client.model()
    assert description.review_thresholds == dict.fromkeys(LABELS, description.review_threshold)
    expected = server.classify(knee_dicom).json()["classes"][0]
    assert (alone.classes[0].label, alone.classes[0].probability) == (
        expected["label"],
        pytest.approx(expected["probability"], abs=1e-6),
    )
    assert answers[0].classification is not None
    assert answers[0].classification.classes[0].label == alone.classes[0].label
    assert answers[1].problem is not None
    assert (answers[1].problem.status, answers[1].problem.code) == (415, "unknown_format")
    assert answers[2].classification is not None
    assert answers[2].classification.radiograph.format == "png"
    assert (picture.format, picture.mode) == ("PNG", "RGB")
    assert [entry.label for entry in description.classes] == list(LABELS)


def test_a_file_name_is_not_sent(tmp_path: Path) -> None:
    sent: list[bytes] = []

    def answer(request: httpx.Request) -> httpx.Response:
        sent.append(request.read() + bytes(str(request.headers), "ascii"))
        return httpx.Response(200, json={"answers": []})

    path = tmp_path / f"{PATIENT}.dcm"
    path.write_bytes(b"what is in the file")
    with Client("http://service", transport=httpx.MockTransport(answer)) as client:
        assert client.classify_batch([path]) == []
    assert b"what is in the file" in sent[0]
    assert PATIENT.encode() not in sent[0]
