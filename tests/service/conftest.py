"""A real server process, an application in this process, and files to send them."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest

from service.access import Access
from service.border import Border
from service.inference import Inference
from service.routes import create_app, served_paths
from service.settings import Settings
from service.sort_routes import Sorting
from tests.service.files import dicom_file

PROJECT = Path(__file__).resolve().parents[2]


def free_port() -> int:
    """A port that nobody listens on at the moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for(condition: Callable[[], object], seconds: float = 20.0) -> None:
    """Wait until something holds; fails where it still does not."""
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.02)
    assert condition()


def wait_until_ready(url: str, process: subprocess.Popen[bytes], log: Path, seconds: float = 180.0) -> None:
    """Wait for /readyz; fails with the log if the process ends or takes too long."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and process.poll() is None:
        try:
            if httpx.get(f"{url}/readyz", timeout=5, trust_env=False).status_code == 200:
                return
            if httpx.get(f"{url}/livez", timeout=5, trust_env=False).status_code == 503:
                break
        except httpx.TransportError:
            pass
        time.sleep(0.1)
    pytest.fail(f"the server is not ready:\n{log.read_text()}")


@dataclass
class Server:
    """A running `bentoml serve` and a client for it."""

    url: str
    log: Path
    client: httpx.Client = field(repr=False)
    process: subprocess.Popen[bytes] = field(repr=False)

    def classify(self, data: bytes, **options: Any) -> httpx.Response:
        """POST the raw bytes."""
        return self.client.post("/classify", content=data, headers={"Content-Type": "application/dicom"}, **options)

    def series(self) -> list[str]:
        """Lines of /metrics that are measurements."""
        return [line for line in self.client.get("/metrics").text.splitlines() if line and not line.startswith("#")]


def start_server(
    folder: Path, *, service: str = "service.api:SamX", working_dir: Path = PROJECT, **environment: str
) -> Iterator[Server]:
    """Run `bentoml serve` with its files and log in `folder`, until the generator is closed."""
    port, log = free_port(), folder / "server.log"
    command = [sys.executable, "-m", "bentoml", "serve", service, "--port", str(port), "--host", "127.0.0.1"]
    home = {"BENTOML_HOME": str(folder), "BENTOML_DO_NOT_TRACK": "True", "OMP_NUM_THREADS": "1"}
    with log.open("wb") as output:
        process = subprocess.Popen(
            [*command, "--working-dir", str(working_dir)],
            env={**os.environ, **home, **environment},
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd=folder,
        )
    url = f"http://127.0.0.1:{port}"
    try:
        wait_until_ready(url, process, log)
        with httpx.Client(base_url=url, timeout=60, trust_env=False) as client:
            yield Server(url, log, client, process)
    finally:
        process.terminate()  # nothing, where it has ended already
        process.wait(20)


NUM_PLACES = 4
"""Requests that the server of the tests takes at a time."""


@pytest.fixture(scope="session")
def server(small_artifact: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The service as it runs in production, with the small artifact and room for NUM_PLACES requests."""
    settings = {"SAMX_ARTIFACT": str(small_artifact), "SAMX_THREADS": "2", "SAMX_MAX_WAITING": str(NUM_PLACES - 2)}
    yield from start_server(tmp_path_factory.mktemp("server"), **settings)


@dataclass
class App:
    """The application behind its border, called without a server."""

    app: Border
    inference: Inference

    def request(self, method: str, path: str, **options: Any) -> httpx.Response:
        """One request in an event loop of its own."""

        async def send() -> httpx.Response:
            transport = httpx.ASGITransport(self.app)
            async with httpx.AsyncClient(transport=transport, base_url="http://service") as client:
                return await client.request(method, path, **options)

        return anyio.run(send)

    def classify(self, data: bytes, path: str = "/classify", **options: Any) -> httpx.Response:
        """POST the raw bytes."""
        return self.request("POST", path, content=data, **options)


def make_app(inference: Inference, **sorting: Any) -> App:
    """The application with this model behind it, and settings for sorting."""
    app = create_app()
    app.state.inference = inference
    app.state.access = Access(inference.settings)
    app.state.sorting = Sorting(inference.settings.model_copy(update=sorting))
    return App(Border(app, served_paths(app)), inference)


@pytest.fixture(scope="session")
def loaded(small_artifact: Path) -> Inference:
    """The small model, loaded in this process."""
    inference = Inference(Settings(artifact=str(small_artifact), device="cpu", threads=2, max_body_bytes=2_000_000))
    anyio.run(inference.serving.load)
    assert inference.is_ready
    return inference


@pytest.fixture
def app(loaded: Inference) -> App:
    """The application with the small model."""
    return make_app(loaded)


@pytest.fixture(scope="session")
def knee_dicom() -> bytes:
    """A DICOM file that says KNEE."""
    return dicom_file(BodyPartExamined="KNEE")
