"""The service as it runs in production: a `bentoml serve` process, spoken to over HTTP."""

import contextlib
import http.client
import http.server
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from samx.classifier import load_classifier
from tests.service.conftest import NUM_PLACES, Server
from tests.service.files import PATIENT, ct_multi_frame, dicom_file, pickle_file, with_patient_as, zip_file
from tests.small_artifact import synthetic_png

PNG = synthetic_png(3)
MEGABYTE = bytes(1 << 20)


@pytest.fixture(autouse=True)
def still_serving(server: Server) -> Iterator[None]:
    """Whatever a test does to the service, a good request is answered afterwards."""
    yield
    assert server.classify(PNG).status_code == 200


def one_gigabyte() -> Iterator[bytes]:
    yield b'--x\r\nContent-Disposition: form-data; name="file"; filename="knee.dcm"\r\n\r\n'
    for _ in range(1024):
        yield MEGABYTE


def resident_kilobytes(server: Server) -> int:
    """Memory of the process that answers, from its own metrics of the operating system."""
    port = urlsplit(server.url).port
    largest = 0
    for status in Path("/proc").glob("[0-9]*/status"):
        with contextlib.suppress(OSError):
            command = (status.parent / "environ").read_bytes()
            if str(server.log.parent).encode() in command:
                lines = status.read_text().splitlines()
                largest = max(largest, *(int(line.split()[1]) for line in lines if line.startswith("VmHWM")))
    assert largest, f"no process of the server on port {port}"
    return largest


def test_answer_over_http_is_the_classifiers_own(server: Server, small_artifact: Path, knee_dicom: bytes) -> None:
    classifier, _ = load_classifier(small_artifact)
    for data in (PNG, knee_dicom):
        (prediction,) = classifier.classify([classifier.read(data)[1]])
        answer = server.classify(data, params={"top_k": 4}).json()
        assert [entry["label"] for entry in answer["classes"]] == [label for label, _ in prediction.ranked(4)]
        probabilities = [entry["probability"] for entry in answer["classes"]]
        assert probabilities == pytest.approx([value for _, value in prediction.ranked(4)], abs=1e-6)
        assert answer["decision"] == prediction.decision


def test_raw_and_multipart_give_the_same_answer(server: Server, knee_dicom: bytes) -> None:
    raw = server.classify(knee_dicom, params={"grad_cam": True})
    multipart = server.client.post("/classify", files={"file": ("a.dcm", knee_dicom)}, data={"grad_cam": "true"})
    assert raw.status_code == 200
    assert raw.json() == multipart.json()


@pytest.mark.parametrize(
    ("data", "status", "code"),
    [
        pytest.param(b"", 400, "empty_file", id="empty"),
        pytest.param(f"{PATIENT} has a broken knee.".encode(), 415, None, id="text"),
        pytest.param(zip_file(), 415, None, id="zip"),
        pytest.param(pickle_file(), 415, None, id="pickle"),
        pytest.param(PNG[:50], 422, None, id="truncated PNG"),
        pytest.param(dicom_file()[:3000], 422, None, id="truncated pixels"),
        pytest.param(dicom_file()[:300], 422, None, id="truncated header"),
        pytest.param(b"\x00" * 128 + b"DICM" + b"\xff" * 500, 422, None, id="DICOM prefix only"),
        pytest.param(ct_multi_frame(), 422, None, id="CT of several frames"),
        pytest.param(dicom_file(Rows=60000, Columns=60000), 413, None, id="huge size claimed"),
        pytest.param(dicom_file(Modality=PATIENT.upper()), None, None, id="name as modality"),
        *(
            pytest.param(with_patient_as(keyword), None, None, id=f"name as {keyword}")
            for keyword in ("NumberOfFrames", "RescaleSlope", "WindowCenter", "PatientBirthDate")
        ),
    ],
)
def test_bad_file_gets_its_status_and_names_no_patient(
    server: Server, data: bytes, status: int | None, code: str | None
) -> None:
    for response in (server.classify(data), server.client.post("/classify", files={"file": (f"{PATIENT}.dcm", data)})):
        assert response.status_code in ((status,) if status else (200, 413, 415, 422))
        assert PATIENT.lower() not in response.text.lower()
        if response.status_code != 200:
            problem = response.json()
            assert response.headers["content-type"] == "application/problem+json"
            assert problem["status"] == response.status_code
            assert problem["code"] == (code or problem["code"])


def test_url_in_place_of_a_file_is_refused_and_never_fetched(server: Server) -> None:
    fetched = []

    class Recorder(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            fetched.append(self.path)
            self.send_response(200)
            self.end_headers()
            self.wfile.write(PNG)

        def log_message(self, *_: Any) -> None:
            """Nothing is printed."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Recorder) as web:
        threading.Thread(target=web.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{web.server_port}/knee.png"
        assert httpx.get(url, trust_env=False).content == PNG  # it could be fetched
        fetched.clear()
        responses = [
            server.client.post("/classify", files={"file": (None, url)}),
            server.client.post("/classify", data={"file": url}),
            server.client.post("/classify", params={"file": url}, content=PNG),
            server.client.post("/classify", json={"file": url}),
            server.classify(url.encode()),
        ]
        time.sleep(0.3)
        web.shutdown()
    assert [response.status_code for response in responses] == [400, 400, 400, 415, 415]
    assert responses[0].json()["code"] == "file_is_text"
    assert fetched == []


@pytest.mark.parametrize("content_type", ["application/dicom", "multipart/form-data; boundary=x"])
@pytest.mark.parametrize("announced", [True, False])
def test_gigabyte_is_refused_early_and_without_being_held(server: Server, content_type: str, announced: bool) -> None:
    """The client sees the 413, although it never looks at the answer before it has sent all it can."""
    before = resident_kilobytes(server)
    headers = {"Content-Type": content_type} | ({"Content-Length": str((1 << 30) + 73)} if announced else {})
    begun = time.monotonic()
    with httpx.Client(base_url=server.url, timeout=30, trust_env=False) as client:
        response = client.post("/classify", content=one_gigabyte(), headers=headers)
    assert (response.status_code, response.json()["code"]) == (413, "body_too_large")
    assert time.monotonic() - begun < 10
    assert resident_kilobytes(server) - before < 200_000


def test_client_that_looks_is_refused_after_its_headers(server: Server) -> None:
    connection = http.client.HTTPConnection(urlsplit(server.url).netloc, timeout=10)
    connection.putrequest("POST", "/classify")
    connection.putheader("Content-Length", str(1 << 30))
    connection.endheaders()
    assert connection.getresponse().status == 413  # not a byte of the body was sent
    connection.close()


def test_two_hundred_unknown_paths_add_no_metrics(server: Server) -> None:
    server.client.get(f"/{PATIENT}-first")
    server.series()  # asking adds its own
    before = server.series()
    for number in range(200):
        response = server.client.get(f"/{PATIENT}/{number}?name={PATIENT}")
        assert (response.status_code, response.json()["code"]) == (404, "not_found")
    after = server.series()
    assert len(after) == len(before)
    assert PATIENT not in "\n".join(after)
    assert any('path="/unknown"' in line and 'status="404"' in line for line in after)


def test_answering_writes_no_file(server: Server, knee_dicom: bytes) -> None:
    """A disk that is full changes nothing, then; what is mapped from a full one ends the process that writes to it."""

    def files() -> set[Path]:
        return {path for path in server.log.parent.rglob("*") if path.is_file() and path != server.log}

    before = files()
    assert not [path for path in before if path.suffix == ".db"]
    server.classify(knee_dicom)
    assert server.series()
    assert files() == before


def test_metrics_count_answers_by_path_and_status(server: Server) -> None:
    server.classify(b"text")
    series = server.series()
    for status in ("200", "415"):
        labels = ('path="/classify"', f'status="{status}"', "samx_requests_total")
        assert any(all(label in line for label in labels) for line in series)


def num_in_progress(server: Server) -> int:
    """Requests to /classify that have begun and not ended."""
    (line,) = (line for line in server.series() if 'samx_requests_in_progress{path="/classify"}' in line)
    return int(float(line.split()[-1]))


def test_requests_beyond_the_bound_get_503_and_are_served_later(server: Server) -> None:
    """Slow uploads hold all places; the next client is told when to come back; then the slow ones are answered."""
    address = urlsplit(server.url)
    head = f"POST /classify HTTP/1.1\r\nHost: x\r\nContent-Type: image/png\r\nContent-Length: {len(PNG)}\r\n\r\n"
    with contextlib.ExitStack() as stack:
        slow = []
        for _ in range(NUM_PLACES):
            connection = stack.enter_context(socket.create_connection((address.hostname, address.port), timeout=20))
            connection.sendall(head.encode() + PNG[:100])
            slow.append(connection)
        deadline = time.monotonic() + 10
        while num_in_progress(server) < NUM_PLACES and time.monotonic() < deadline:
            time.sleep(0.05)
        response = server.classify(PNG)
        assert (response.status_code, response.json()["code"]) == (503, "busy")
        assert int(response.headers["Retry-After"]) >= 1
        assert server.client.get("/readyz").status_code == 200
        for connection in slow:
            connection.sendall(PNG[100:])
            assert connection.recv(15) == b"HTTP/1.1 200 OK"
    assert server.classify(PNG).status_code == 200


def test_client_that_leaves_gives_its_place_back(server: Server) -> None:
    address = urlsplit(server.url)
    for _ in range(2 * NUM_PLACES):
        with socket.create_connection((address.hostname, address.port)) as connection:
            connection.sendall(b"POST /classify HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\nbegin")
    deadline = time.monotonic() + 10
    while (response := server.classify(PNG)).status_code == 503 and time.monotonic() < deadline:
        time.sleep(0.05)
    assert response.status_code == 200


def test_many_clients_at_once_get_200_or_503_and_right_answers(server: Server) -> None:
    def probabilities(response: httpx.Response) -> dict[str, float]:
        return {entry["label"]: entry["probability"] for entry in response.json()["classes"]}

    expected = {seed: probabilities(server.classify(synthetic_png(seed))) for seed in range(8)}

    def ask(number: int) -> httpx.Response:
        return server.classify(synthetic_png(number % 8), params={"grad_cam": number % 2 == 0})

    with ThreadPoolExecutor(12) as pool:
        responses = list(pool.map(ask, range(60)))
    assert {response.status_code for response in responses} <= {200, 503}
    answered = [number for number, response in enumerate(responses) if response.status_code == 200]
    assert len(answered) >= NUM_PLACES
    for number in answered:  # the engine rounds differently in batches of another size
        assert probabilities(responses[number]) == pytest.approx(expected[number % 8], abs=1e-5)


@pytest.mark.parametrize("content_type", [b"\xff\xfe", b"image/png\xe4", f"image/{PATIENT}".encode()])
def test_content_type_that_is_no_text_is_no_500(server: Server, content_type: bytes) -> None:
    response = server.client.post("/classify", content=PNG, headers=[(b"Content-Type", content_type)])
    assert response.status_code in (200, 415)


def test_answers_leave_their_phases_decisions_and_request_in_the_metrics(server: Server, knee_dicom: bytes) -> None:
    headers = {"Content-Type": "application/dicom", "X-Request-ID": "0123456789abcdef"}
    response = server.client.post("/classify?grad_cam=true", content=knee_dicom, headers=headers)
    assert response.headers["x-request-id"] == "0123456789abcdef"
    series = "\n".join(server.series())
    for phase in ("receive", "read", "queue", "network", "grad_cam"):
        assert f'samx_phase_seconds_count{{phase="{phase}"}}' in series
    answer = response.json()
    assert f'samx_decisions_total{{decision="{answer["decision"]}"}}' in series
    assert f'samx_classes_total{{label="{answer["classes"][0]["label"]}"}}' in series
    assert 'samx_model{name="small",version="1.0.0"} 1.0' in series
    assert f"samx_places {float(NUM_PLACES)}" in series
    deadline = time.monotonic() + 10
    while "[0123456789abcdef]" not in server.log.read_text():  # written when the answer is on its way
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_header_that_is_too_long_is_refused(server: Server) -> None:
    response = server.client.get("/model", headers={"X-Long": "x" * 100_000})
    assert (response.status_code, response.json()["code"]) == (431, "headers_too_large")


def test_other_origins_are_not_allowed_by_default(server: Server) -> None:
    headers = {"Origin": "https://elsewhere.example", "Access-Control-Request-Method": "POST"}
    for response in (server.client.options("/classify", headers=headers), server.client.get("/model", headers=headers)):
        assert not [name for name in response.headers if name.startswith("access-control-")]


def test_health_is_bentomls(server: Server) -> None:
    for path in ("/livez", "/readyz", "/healthz"):
        assert server.client.get(path).status_code == 200
    response = server.client.post("/livez")
    assert (response.status_code, response.json()["code"]) == (405, "method_not_allowed")


def test_log_has_a_line_per_request_and_no_patient(server: Server, knee_dicom: bytes) -> None:
    """Runs last in this file: by now a patient's name was in files, names, paths, queries, tags and headers."""
    server.classify(knee_dicom)
    server.client.post(f"/classify?{PATIENT}={PATIENT}", files={PATIENT: (f"{PATIENT}.dcm", knee_dicom)})
    server.client.get("/model", headers={"User-Agent": PATIENT, "X-Forwarded-For": PATIENT, "Cookie": PATIENT})
    log = server.log.read_text()
    assert "POST /classify 200" in log
    assert "GET /unknown 404" in log
    assert PATIENT.lower() not in log.lower()
    assert "Traceback" not in log
