"""Jobs over HTTP: the service as it runs in production, sorting in processes of its own."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest

from samx.storage import open_storage
from service.sorting.job import SortRequest
from service.sorting.rows import decode_rows
from service.sorting.runner import sort_command
from tests.service.conftest import App, Server, make_app, start_server
from tests.service.sorting.conftest import BAD, fill, listing, merged, sort

pytestmark = pytest.mark.slow


@contextmanager
def service(folder: Path, artifact: Path, **settings: str) -> Iterator[Server]:
    folder.mkdir(parents=True, exist_ok=True)
    yield from start_server(folder, SAMX_ARTIFACT=str(artifact), **settings)


def wait_for(look: Callable[[], Any], seconds: float = 120) -> Any:
    deadline = time.monotonic() + seconds
    while not (found := look()):
        assert time.monotonic() < deadline, "it did not come"
        time.sleep(0.1)
    return found


def wait_for_end(server: Server, job_id: str) -> dict[str, Any]:
    def ended() -> dict[str, Any] | None:
        answer: dict[str, Any] = server.client.get(f"/sort/{job_id}").json()
        return answer if answer["state"] not in ("waiting", "running") else None

    found: dict[str, Any] = wait_for(ended)
    return found


def sorting_processes(job_id: str) -> list[psutil.Process]:
    return [
        process
        for process in psutil.process_iter(["cmdline"])
        if job_id in (process.info["cmdline"] or ()) and process.status() != psutil.STATUS_ZOMBIE
    ]


def test_a_bucket_is_sorted_and_the_counts_add_up(
    s3_url: str, small_artifact: Path, tmp_path: Path, objects: dict[str, bytes]
) -> None:
    fill(open_storage(f"{s3_url}/in"), objects)
    before = listing(open_storage(f"{s3_url}/in"))
    order = {"source": f"{s3_url}/in", "destination": f"{s3_url}/out", "copies": True, "shard_size": 16}
    with service(tmp_path, small_artifact, SAMX_JOBS=f"{s3_url}/jobs") as server:
        response = server.client.post("/sort", json=order)
        assert response.status_code == 202
        begun = response.json()
        assert begun["state"] in ("waiting", "running")
        assert response.headers["location"] == f"/sort/{begun['id']}"
        assert server.client.post("/sort", json=order).json()["id"] == begun["id"], "the same order is the same job"
        job = wait_for_end(server, begun["id"])
        assert server.client.get("/sort").json()["jobs"][0]["state"] == "done"
        assert server.client.delete(f"/sort/{begun['id']}").status_code == 409
        assert any('path="/sort/{job_id}"' in line for line in server.series())
        assert begun["id"] not in server.log.read_text().replace(f"Job {begun['id']}", "")
    assert job["state"] == "done"
    rows = decode_rows(merged(order["destination"], begun["id"])["manifest.jsonl"])
    progress = job["progress"]
    assert progress["num_objects"] == progress["num_sorted"] == len(rows) == len(objects)
    assert sum(progress["decisions"].values()) == len(rows)
    assert sum(progress["codes"].values()) == progress["decisions"]["unreadable"] == len(BAD)
    assert sum(progress["labels"].values()) == len(rows) - len(BAD)
    for url in job["results"].values():
        folder, _, name = url.rpartition("/")
        assert open_storage(folder).exists(name)
    assert listing(open_storage(order["source"])) == before


def test_a_job_survives_a_killed_service_and_ends_as_if_nothing_had_happened(
    small_artifact: Path, tmp_path: Path, objects: dict[str, bytes]
) -> None:
    for number in range(4):
        fill(open_storage(tmp_path / "in" / str(number)), objects)
    settings = {"SAMX_JOBS": str(tmp_path / "jobs"), "SAMX_SORT_WITHIN": str(tmp_path)}
    order = {"source": str(tmp_path / "in"), "destination": str(tmp_path / "out"), "shard_size": 4}
    with service(tmp_path / "first", small_artifact, **settings) as server:
        job_id = server.client.post("/sort", json=order).json()["id"]
        results = open_storage(tmp_path / "out" / "_sort" / job_id / "work" / "results")
        wait_for(lambda: list(results.list()))
        for process in psutil.Process(_server_pid(server)).children(recursive=True):
            if job_id not in process.cmdline():  # the job's own process has to notice by itself
                process.kill()
        wait_for(lambda: not sorting_processes(job_id), 10)
        num_shards_before = len(list(results.list()))
    assert num_shards_before < -(-4 * len(objects) // 4)
    with service(tmp_path / "second", small_artifact, **settings) as server:
        assert wait_for_end(server, job_id)["state"] == "done"
        model = server.client.get(f"/sort/{job_id}").json()["order"]["model"]
    calm = ("--model", model, "--job", "calm", "--shard-size", "4")
    assert sort(order["source"], str(tmp_path / "calm"), *calm) == 0
    assert merged(order["destination"], job_id) == merged(str(tmp_path / "calm"), "calm")


def _server_pid(server: Server) -> int:
    port = int(server.url.rpartition(":")[2])
    return next(
        process.pid
        for process in psutil.process_iter(["cmdline"])
        if {"bentoml", "serve", str(port)} <= set(process.info["cmdline"] or ())
    )


def test_a_cancelled_job_ends_and_its_order_can_be_given_again(
    small_artifact: Path, tmp_path: Path, objects: dict[str, bytes]
) -> None:
    for number in range(20):
        fill(open_storage(tmp_path / "in" / str(number)), objects)
    settings = {"SAMX_JOBS": str(tmp_path / "jobs"), "SAMX_SORT_WITHIN": str(tmp_path)}
    order = {"source": str(tmp_path / "in"), "destination": str(tmp_path / "out"), "shard_size": 4}
    with service(tmp_path / "server", small_artifact, **settings) as server:
        job_id = server.client.post("/sort", json=order).json()["id"]
        wait_for(lambda: server.client.get(f"/sort/{job_id}").json()["progress"]["num_workers"])
        answer = server.client.delete(f"/sort/{job_id}")
        assert (answer.status_code, answer.json()["state"]) == (200, "cancelled")
        wait_for(lambda: not sorting_processes(job_id), 30)
        assert server.client.get(f"/sort/{job_id}").json()["state"] == "cancelled"
        assert not open_storage(order["destination"]).exists(f"_sort/{job_id}/done.json")
        again = server.client.post("/sort", json=order | {"limit": 3}).json()
        assert again["id"] != job_id
        assert wait_for_end(server, again["id"])["progress"]["num_objects"] == 3


@pytest.fixture
def sorting_app(app: App, tmp_path: Path) -> App:
    """The application with a place for jobs, and nobody who works on them."""
    return make_app(app.inference, jobs=str(tmp_path / "jobs"), sort_within=(str(tmp_path),))


def order_in(folder: Path, **fields: object) -> dict[str, object]:
    return {"source": str(folder / "in"), "destination": str(folder / "out"), **fields}


def test_an_order_is_refused_with_the_reason(sorting_app: App, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "one.png").write_bytes(b"x")
    (tmp_path / "link").symlink_to("/etc")
    refused: list[tuple[Any, int, str]] = [
        (order_in(tmp_path, source=str(tmp_path / "empty")), 422, "source_empty"),
        (order_in(tmp_path, source="/etc"), 403, "place_not_allowed"),
        (order_in(tmp_path, source=f"{tmp_path}/../x"), 403, "place_not_allowed"),
        (order_in(tmp_path, source=str(tmp_path / "link")), 403, "place_not_allowed"),
        (order_in(tmp_path, destination=f"{tmp_path}x/out"), 403, "place_not_allowed"),
        (order_in(tmp_path, destination=str(tmp_path / "in" / "out")), 422, "invalid_order"),
        (order_in(tmp_path, source="ftp://host/in"), 422, "invalid_order"),
        (order_in(tmp_path, tags=True), 422, "invalid_order"),
        (order_in(tmp_path, model="/elsewhere"), 400, "invalid_order"),
        (order_in(tmp_path, limit=0), 400, "invalid_order"),
        ({"source": "s3://in-bucket"}, 400, "invalid_order"),
        ([1], 400, "invalid_order"),
    ]
    for order, status, code in refused:
        answer = sorting_app.request("POST", "/sort", json=order)
        assert (answer.status_code, answer.json()["code"]) == (status, code), order
        assert answer.headers["content-type"] == "application/problem+json"
    assert sorting_app.request("POST", "/sort", content=b"{" * 70_000).json()["code"] == "body_too_large"
    assert sorting_app.request("GET", "/sort").json() == {"jobs": [], "next": None}, "nothing was begun"


def test_a_bucket_that_is_missing_or_closed_is_refused_at_once(
    app: App, s3_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sorting_app = make_app(app.inference, jobs=str(tmp_path))
    open_storage(f"{s3_url}/in").write("one", b"x")
    cases = {"s3://no-such-bucket/in": (422, "no_bucket"), f"{s3_url}/nothing": (422, "source_empty")}
    for source, expected in cases.items():
        answer = sorting_app.request("POST", "/sort", json={"source": source, "destination": f"{s3_url}/out"})
        assert (answer.status_code, answer.json()["code"]) == expected
    answer = sorting_app.request("POST", "/sort", json={"source": f"{s3_url}/in", "destination": "s3://no-such-bucket"})
    assert (answer.status_code, answer.json()["code"]) == (422, "no_bucket")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    answer = sorting_app.request("POST", "/sort", json={"source": f"{s3_url}/in", "destination": f"{s3_url}/out"})
    assert (answer.status_code, answer.json()["code"]) == (503, "storage_unavailable")
    assert "retry-after" in answer.headers


def test_the_list_is_paged(sorting_app: App, tmp_path: Path) -> None:
    fill(open_storage(tmp_path / "in"), {"one": b"x"})
    ids = [
        sorting_app.request("POST", "/sort", json=order_in(tmp_path, limit=number)).json()["id"]
        for number in range(1, 6)
    ]
    found, after = [], ""
    while after is not None:
        page = sorting_app.request("GET", f"/sort?limit=2&after={after}").json()
        found += [job["id"] for job in page["jobs"]]
        after = page["next"]
    assert found == ids[::-1]
    for path, code in {
        "/sort?limit=0": "invalid_parameter",
        "/sort?limit=201": "invalid_parameter",
        "/sort?after=nothing": "no_job",
        "/sort/nothing": "no_job",
        "/sort/Wunibald": "invalid_parameter",
    }.items():
        answer = sorting_app.request("GET", path)
        assert answer.json()["code"] == code, path
        assert "Wunibald" not in answer.text


def test_a_waiting_job_is_described_and_cancelled(sorting_app: App, tmp_path: Path) -> None:
    fill(open_storage(tmp_path / "in"), {"one": b"x"})
    begun = sorting_app.request("POST", "/sort", json=order_in(tmp_path)).json()
    described = sorting_app.request("GET", f"/sort/{begun['id']}").json()
    assert described["state"] == "waiting"
    assert described["progress"]["num_objects"] is None
    assert sorting_app.request("DELETE", f"/sort/{begun['id']}").json()["state"] == "cancelled"
    assert sorting_app.request("DELETE", f"/sort/{begun['id']}").json()["state"] == "cancelled"
    assert sorting_app.request("POST", "/sort", json=order_in(tmp_path)).json()["id"] != begun["id"]


def test_without_a_place_for_jobs_nothing_is_sorted(app: App, tmp_path: Path) -> None:
    for method, path in (("POST", "/sort"), ("GET", "/sort"), ("GET", "/sort/job"), ("DELETE", "/sort/job")):
        answer = app.request(method, path)
        assert (answer.status_code, answer.json()["code"]) == (403, "sorting_is_off")


def test_only_buckets_are_sorted_unless_places_are_named(app: App, tmp_path: Path) -> None:
    answer = make_app(app.inference, jobs=str(tmp_path)).request("POST", "/sort", json=order_in(tmp_path))
    assert answer.json()["code"] == "place_not_allowed"


def test_the_command_says_all_that_was_asked_for() -> None:
    plain = SortRequest(source="s3://bucket/in", destination="s3://bucket/out", model="m")
    full = plain.model_copy(
        update={"copies": True, "tags": True, "dicom": True, "limit": 3, "requester_pays": True, "shard_size": 7}
    )
    assert not {"--copies", "--tags", "--dicom", "--limit", "--requester-pays"} & set(sort_command(plain, "j"))
    text = " ".join(sort_command(full, "j"))
    assert all(part in text for part in ("--copies", "--tags", "--dicom", "--limit 3", "--requester-pays", "size 7"))
