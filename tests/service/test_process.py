"""What happens to requests when the process is stopped, killed, or gets another model: real processes under load."""

import contextlib
import os
import signal
import socket
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import psutil
import pytest

from samx.artifact import set_current
from samx.storage import open_storage
from tests.service.conftest import Server, start_server, wait_for
from tests.small_artifact import NAME, synthetic_png, write_small_artifact

PNG = synthetic_png(3)
VERSIONS = {"1.0.0": 0, "1.1.0": 1}
"""With the seed of their weights: their answers differ."""
NUM_CLIENTS = 4


@pytest.fixture
def models(tmp_path: Path) -> Path:
    """Two versions of a model, the first of which is current."""
    for version, seed in VERSIONS.items():
        write_small_artifact(tmp_path, version, seed=seed)
    set_current(open_storage(tmp_path), name=NAME, version="1.0.0")
    return tmp_path


@contextlib.contextmanager
def served(models: Path, **settings: str) -> Iterator[Server]:
    """A server of its own."""
    running = start_server(
        models, SAMX_ARTIFACT=str(models / NAME), SAMX_THREADS="2", SAMX_MAX_WAITING="30", **settings
    )
    try:
        yield next(running)
    finally:
        running.close()


class Load:
    """Clients that ask as fast as they are answered; half of them keep their connection."""

    def __init__(self, server: Server, num_clients: int = NUM_CLIENTS) -> None:
        self.answers: list[tuple[str, float]] = []
        """Version and best probability."""
        self.statuses: Counter[int] = Counter()
        self.refused = 0
        """Connections that were not taken."""
        self.lost: list[str] = []
        """Requests that were taken and not answered."""
        self._url = server.url
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._ask, args=(number % 2 == 0,)) for number in range(num_clients)]

    def __enter__(self) -> "Load":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(30)

    def _ask(self, keep: bool) -> None:
        limits = httpx.Limits(max_keepalive_connections=1 if keep else 0)
        with httpx.Client(base_url=self._url, timeout=20, trust_env=False, limits=limits) as client:
            while not self._stop.is_set():
                try:
                    response = client.post("/classify", content=PNG)
                except httpx.ConnectError:
                    self.refused += 1
                    time.sleep(0.02)
                except httpx.TransportError as error:
                    self.lost.append(repr(error))
                else:
                    self.statuses[response.status_code] += 1
                    if response.status_code == 200:
                        answer = response.json()
                        self.answers.append((answer["model"]["version"], answer["classes"][0]["probability"]))


def best_probability(server: Server) -> float:
    return float(server.classify(PNG).json()["classes"][0]["probability"])


def test_sigterm_under_load_loses_nothing(models: Path) -> None:
    """Readiness goes off, requests go on being taken for a while, and what was taken is answered."""
    with served(models, SAMX_DRAIN_SECONDS="1") as server, Load(server) as load:
        address = urlsplit(server.url)
        with socket.create_connection((address.hostname, address.port), timeout=20) as slow:
            head = f"POST /classify HTTP/1.1\r\nHost: x\r\nContent-Length: {len(PNG)}\r\n\r\n"
            slow.sendall(head.encode() + PNG[:50])
            wait_for(lambda: load.statuses[200] > 20)
            server.process.send_signal(signal.SIGTERM)
            wait_for(lambda: httpx.get(f"{server.url}/readyz", trust_env=False).status_code == 503, 0.9)
            answered = load.statuses[200]
            wait_for(lambda: load.refused > 0)
            assert load.statuses[200] > answered  # they were still taken while it was not ready
            slow.sendall(PNG[50:])
            assert slow.recv(15) == b"HTTP/1.1 200 OK"
        assert server.process.wait(10) in (0, -signal.SIGTERM)
    assert load.lost == []
    assert set(load.statuses) == {200}


def test_versions_are_swapped_and_rolled_back_under_load(models: Path) -> None:
    with served(models, SAMX_WATCH_SECONDS="0.1") as server:
        expected = {"1.0.0": best_probability(server)}
        with Load(server) as load:
            for version in ("1.1.0", "1.0.0", "1.1.0"):
                set_current(open_storage(models), name=NAME, version=version)
                # One answer more than clients: those that were asked before the swap are past.
                wait_for(lambda: {name for name, _ in load.answers[-NUM_CLIENTS - 1 :]} == {version})  # noqa: B023  # awaited at once
        expected["1.1.0"] = best_probability(server)
        assert expected["1.0.0"] != pytest.approx(expected["1.1.0"], abs=1e-3)
    assert load.lost == []
    assert set(load.statuses) == {200}
    assert all(probability == pytest.approx(expected[version], abs=1e-5) for version, probability in load.answers)


def test_killed_worker_loses_what_it_had_in_work_and_is_replaced(models: Path) -> None:
    """Outside of containers; inside, BentoML leaves the restart to the liveness probe."""
    with served(models) as server:
        expected = best_probability(server)
        with Load(server) as load:
            wait_for(lambda: load.statuses[200] > 20)
            (worker,) = psutil.Process(server.process.pid).children()
            os.kill(worker.pid, signal.SIGKILL)
            wait_for(lambda: len(load.lost) > 0)
            answered = load.statuses[200]
            wait_for(lambda: load.statuses[200] > answered + 20)
    assert set(load.statuses) <= {200, 503}  # 503: the new one is loading
    assert len(load.lost) <= NUM_CLIENTS  # one of each client
    assert all(probability == pytest.approx(expected, abs=1e-5) for _, probability in load.answers)


def test_worker_whose_supervisor_is_killed_answers_what_it_has_and_leaves_the_port(models: Path) -> None:
    with served(models) as server, Load(server) as load:
        wait_for(lambda: load.statuses[200] > 20)
        supervisor = psutil.Process(server.process.pid)
        (worker,) = supervisor.children()
        supervisor.kill()
        worker.wait(15)
        wait_for(lambda: load.refused > 0)
    assert load.lost == []
    assert set(load.statuses) == {200}
