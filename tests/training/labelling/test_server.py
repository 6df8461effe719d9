"""The page over HTTP: what is answered, to whom, and what is refused."""

import io
import json
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import httpx
import numpy as np
import pytest
from PIL import Image

from tests.training.labelling.conftest import served
from tests.training.labelling.made_run import make_run
from training.labelling.desk import Desk
from training.labelling.pool import Pictures, load_pool
from training.labelling.server import application

TOKEN = "a-token-of-enough-letters"
HERE = {"X-SAMX": "1"}
NAME = {"reader": "AB", "seen": 0, "action": "name", "clusters": [0], "label": "hand"}


@contextmanager
def client_of(desk: Desk, *, token: str | None = None, host: str = "127.0.0.1:8800") -> Iterator[httpx.Client]:
    with closing(Pictures(desk.pool)) as pictures:
        command = "python -m training run --config x.toml"
        with (
            served(application(desk, pictures, title="run", command=command, token=token)) as url,
            httpx.Client(base_url=url, headers={"Host": host}, trust_env=False) as client,
        ):
            yield client


@pytest.fixture
def client(desk: Desk) -> Iterator[httpx.Client]:
    with client_of(desk) as client:
        yield client


def code_of(answer: httpx.Response) -> tuple[int, str]:
    assert answer.headers["content-type"] == "application/problem+json"
    return answer.status_code, answer.json()["code"]


def test_page_and_its_files_load_with_a_policy_that_allows_nothing_else(client: httpx.Client) -> None:
    page = client.get("/")
    assert page.status_code == 200
    assert "default-src 'none'" in page.headers["content-security-policy"]
    assert page.headers["x-frame-options"] == "DENY"
    assert "<script>" not in page.text
    assert " style=" not in page.text
    assert client.get("/static/app.js").status_code == 200


def test_decision_is_answered_with_what_changed_and_stands_in_the_state(client: httpx.Client) -> None:
    answer = client.post("/api/decisions", json=NAME | {"seconds": 2.5, "shown": 30, "source": "typed"}, headers=HERE)
    assert answer.status_code == 200
    assert {row["id"]: row["label"] for row in answer.json()["clusters"]}[0] == "hand"
    state = client.get("/api/state").json()
    assert state["number"] == 1
    assert state["progress"]["seconds_per_decision"] == 2.5


def test_decision_that_is_sent_again_is_made_once(client: httpx.Client) -> None:
    wish = {"reader": "AB", "seen": 0, "id": "42-a", "action": "split", "clusters": [0], "parts": 2}
    first = client.post("/api/decisions", json=wish, headers=HERE).json()
    again = client.post("/api/decisions", json=wish, headers=HERE)
    assert again.status_code == 200
    assert again.json()["opened"] == first["opened"]
    assert client.get("/api/state").json()["number"] == 1


def test_second_reader_is_told_of_the_first_and_may_insist(client: httpx.Client) -> None:
    client.post("/api/decisions", json=NAME, headers=HERE)
    wish = NAME | {"reader": "CD", "label": "foot"}
    refused = client.post("/api/decisions", json=wish, headers=HERE)
    assert code_of(refused) == (409, "conflict")
    assert refused.json()["detail"] == "AB has decided meanwhile: hand: cluster 0."
    assert {row["id"]: row["label"] for row in refused.json()["clusters"]}[0] == "hand"
    assert client.post("/api/decisions", json=wish | {"force": True}, headers=HERE).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        pytest.param({}, id="without the header"),
        pytest.param({**HERE, "Origin": "http://elsewhere.example"}, id="foreign origin"),
        pytest.param({**HERE, "Sec-Fetch-Site": "cross-site"}, id="cross-site"),
    ],
)
def test_only_the_page_itself_may_decide(client: httpx.Client, headers: dict[str, str]) -> None:
    assert code_of(client.post("/api/decisions", json=NAME, headers=headers)) == (403, "forbidden")
    assert client.get("/api/state").json()["number"] == 0


def test_form_and_oversized_bodies_are_refused(client: httpx.Client) -> None:
    form = client.post("/api/decisions", content="a=b", headers={**HERE, "Content-Type": "text/plain"})
    assert code_of(form) == (422, "invalid_decision")
    large = client.post("/api/decisions", json=NAME | {"note": "x" * 2_000_000}, headers=HERE)
    assert code_of(large) == (413, "too_large")


def test_foreign_name_that_points_here_is_refused(client: httpx.Client) -> None:
    assert code_of(client.get("/api/state", headers={"Host": "rebound.example"})) == (403, "forbidden")
    assert client.get("/api/state", headers={"Host": "localhost:8800"}).status_code == 200


def test_token_opens_the_page_once_and_the_cookie_from_then_on(desk: Desk) -> None:
    with client_of(desk, token=TOKEN, host="labels.example") as client:
        assert code_of(client.get("/api/state")) == (403, "forbidden")
        assert code_of(client.get("/", params={"token": "wrong"})) == (403, "forbidden")
        assert client.get("/livez").status_code == 200
        welcome = client.get("/", params={"token": TOKEN})
        assert (welcome.status_code, welcome.headers["location"]) == (303, "/")
        assert "httponly" in welcome.headers["set-cookie"].lower()
        assert "samesite=strict" in welcome.headers["set-cookie"].lower()
        client.headers["Cookie"] = welcome.headers["set-cookie"].partition(";")[0]
        assert client.get("/api/state").status_code == 200
        assert client.post("/api/decisions", json=NAME, headers=HERE).status_code == 200


@pytest.mark.parametrize(
    "path",
    ["/static/../server.py", "/static/%2e%2e/server.py", "/static/..%2f..%2flabels.py", "/static//etc/passwd", "/x"],
)
def test_nothing_outside_the_page_is_served(client: httpx.Client, path: str) -> None:
    assert client.get(path).status_code in (403, 404)


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/api/clusters/99", 404),
        ("/api/clusters/0/split?parts=1", 422),
        ("/api/clusters/0/split?parts=x", 422),
        ("/api/radiographs/120", 404),
        ("/api/radiographs/120/pixels", 404),
        ("/api/tiles?of=", 422),
        ("/api/tiles?of=1,-2", 422),
        ("/api/tiles?of=1,120", 404),
        ("/api/tiles?of=" + ",".join(["1"] * 201), 422),
        ("/api/audit?limit=0", 422),
        ("/api/decisions", 405),
    ],
)
def test_bad_questions_get_a_problem(client: httpx.Client, path: str, status: int) -> None:
    assert code_of(client.get(path))[0] == status


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"{", id="no JSON"),
        pytest.param(b"[]", id="no object"),
        pytest.param(b"[" * 100_000, id="deep"),
        pytest.param(json.dumps(NAME | {"label": "<b>"}).encode(), id="label"),
        pytest.param(json.dumps(NAME | {"reader": ""}).encode(), id="no reader"),
        pytest.param(json.dumps(NAME | {"more": 1}).encode(), id="unknown field"),
        pytest.param(json.dumps(NAME | {"clusters": [77]}).encode(), id="no such cluster"),
        pytest.param(json.dumps(NAME | {"clusters": [10**30]}).encode(), id="huge number"),
    ],
)
def test_bad_decisions_get_a_problem_and_change_nothing(client: httpx.Client, body: bytes) -> None:
    headers = {**HERE, "Content-Type": "application/json"}
    answer = client.post("/api/decisions", content=body, headers=headers)
    assert code_of(answer) == (422, "invalid_decision")
    assert client.get("/api/state").json()["number"] == 0


def test_tiles_are_the_cached_images_in_the_order_asked_for(client: httpx.Client, desk: Desk) -> None:
    answer = client.get("/api/tiles", params={"of": "5,100,7,9", "columns": 3})
    assert "immutable" in answer.headers["cache-control"]
    sheet = np.asarray(Image.open(io.BytesIO(answer.content)))
    assert sheet.shape == (64, 96)
    with closing(Pictures(desk.pool)) as pictures:
        for place, position in enumerate((5, 100, 7, 9)):
            top, left = place // 3 * 32, place % 3 * 32
            tile = sheet[top : top + 32, left : left + 32]
            assert abs(tile.mean() - pictures.image(position).mean()) < 2
    assert not Image.open(io.BytesIO(answer.content)).getexif()


def test_radiograph_keeps_sixteen_bits_in_the_viewer(tmp_path: Path) -> None:
    make_run(tmp_path)
    levels = np.linspace(1000, 60000, 200 * 100).astype(np.uint16).reshape(200, 100)
    (tmp_path / "source").mkdir()
    Image.fromarray(levels).save(tmp_path / "source" / "000003.png")
    desk = Desk(load_pool(str(tmp_path / "run")), (), with_neighbours=False)
    with client_of(desk) as client:
        answer = client.get("/api/radiographs/3/pixels")
        assert code_of(client.get("/api/radiographs/4/pixels")) == (404, "not_found")
    rgb = np.asarray(Image.open(io.BytesIO(answer.content))).astype(np.int64)
    shown = rgb[..., 0] * 256 + rgb[..., 1]
    assert shown.shape == (200, 100)
    assert len(np.unique(shown)) > 10_000  # more than eight bits can hold
    assert (np.diff(shown.reshape(-1)) >= 0).all()


def test_no_key_of_a_file_is_answered_anywhere(client: httpx.Client) -> None:
    for path in ("/api/run", "/api/state", "/api/clusters/3", "/api/radiographs/3", "/api/map", "/api/audit"):
        assert ".png" not in client.get(path).text


def test_run_out_of_reach_is_said_and_nothing_is_decided(desk: Desk, client: httpx.Client, made: Path) -> None:
    hidden = made.with_name("hidden")
    made.rename(hidden)
    made.write_text("a file stands here now")
    answer = client.post("/api/decisions", json=NAME, headers=HERE)
    assert code_of(answer) == (503, "out_of_reach")
    made.unlink()
    hidden.rename(made)
    assert client.get("/api/state").json()["number"] == 0
    assert client.post("/api/decisions", json=NAME, headers=HERE).status_code == 200
