"""The sides of the comparison: server processes, of which one is awake at a time, and the pipeline without HTTP."""

import asyncio
import contextlib
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from multiprocessing.connection import Connection as Pipe
from pathlib import Path

import httpx
import psutil  # type: ignore[import-untyped]

from samx.classifier import load_classifier
from tests.benchmarks.http_load import Outcome, Target, closed_loop, form_request, raw_request
from tests.benchmarks.peers.plain import ARTIFACT_VARIABLE
from tests.service.conftest import PROJECT, free_port

START_SECONDS = 180.0
MAX_WAITING = "64"
"""SAMX_MAX_WAITING: by default 18 radiographs are in work or waiting and more are refused; here 32 clients wait."""
_BATCH = 8
_MEDIA_TYPES = {"DICOM": "application/dicom", "JPEG": "image/jpeg"}


@dataclass
class ServerSide:
    """A server process and how it is asked."""

    name: str
    process: subprocess.Popen[bytes] = field(repr=False)
    port: int
    path: str
    as_form: bool

    def request(self, kind: str, body: bytes, path: str | None = None, **headers: str) -> bytes:
        """The bytes of a request for a DICOM or a JPEG."""
        if self.as_form:
            return form_request(self.path, body, _MEDIA_TYPES[kind])
        return raw_request(path or self.path, body, _MEDIA_TYPES[kind], **headers)

    def load(self, kind: str, body: bytes, *, num_clients: int, seconds: float) -> Outcome:
        """Throughput with so many clients."""
        target = Target(self.port, self.request(kind, body))
        with self.awake():
            return asyncio.run(closed_loop(target, num_clients=num_clients, seconds=seconds))

    @contextlib.contextmanager
    def awake(self) -> Iterator[None]:
        """Let its processes run, and stop them (SIGSTOP) afterwards: what is idle must take nothing from the others."""
        self._signal(signal.SIGCONT)
        try:
            yield
        finally:
            self._signal(signal.SIGSTOP)

    def _signal(self, number: signal.Signals) -> None:
        for process in self._processes():
            with contextlib.suppress(psutil.NoSuchProcess):
                process.send_signal(number)

    def _processes(self) -> list[psutil.Process]:
        parent = psutil.Process(self.process.pid)
        return [parent, *parent.children(recursive=True)]

    def stop(self) -> None:
        """End it and all it has started."""
        if self.process.poll() is not None:
            return
        processes = self._processes()
        self._signal(signal.SIGCONT)
        self.process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(20)
        for process in processes:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        self.process.wait()


def start_ours(name: str, artifact: Path, folder: Path, *, as_form: bool) -> ServerSide:
    """The service as `python -m service serve` starts it, with room for all clients."""
    port = free_port()
    command = ["-m", "service", "serve", "--artifact", str(artifact), "--port", str(port)]
    return _started(name, [sys.executable, *command], folder, port, "/classify", "/readyz", as_form=as_form)


def start_peer(name: str, artifact: Path, folder: Path, litserve_python: str) -> ServerSide:
    """One of `bentoml`, `fastapi` and `litserve`, as its file in `peers` says."""
    port, peers = free_port(), "tests.benchmarks.peers"
    at = ["--host", "127.0.0.1", "--port", str(port)]
    python, paths = sys.executable, ("/classify", "/readyz")
    match name:
        case "bentoml":
            command = ["-m", "bentoml", "serve", f"{peers}.bentoml_service:PlainBento", *at]
            command += ["--working-dir", str(PROJECT)]
        case "fastapi":
            command, paths = ["-m", "uvicorn", f"{peers}.fastapi_app:app", *at], ("/classify", "/openapi.json")
        case "litserve":
            python, paths = litserve_python, ("/predict", "/health")
            command = ["-m", f"{peers}.litserve_server", "--port", str(port)]
        case _:
            raise ValueError(f"{name} is none of bentoml, fastapi, litserve")
    return _started(name, [python, *command], folder, port, *paths, as_form=True, **{ARTIFACT_VARIABLE: str(artifact)})


def _started(
    name: str,
    command: list[str],
    folder: Path,
    port: int,
    path: str,
    ready: str,
    *,
    as_form: bool,
    **environment: str,
) -> ServerSide:
    """A server that answers `ready` with 200, asleep; its log is in `folder`.

    Raises:
        RuntimeError: it ended or took too long; with the end of its log.
    """
    home, log = folder / name.replace(" ", "-"), folder / f"{name}.log"
    home.mkdir()
    # What limits threads is left out: every side takes its library's own choice.
    limits = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS")
    inherited = {key: value for key, value in os.environ.items() if key not in limits}
    settings = {"BENTOML_HOME": str(home), "BENTOML_DO_NOT_TRACK": "True", "SAMX_MAX_WAITING": MAX_WAITING}
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, env={**inherited, **settings, **environment}, cwd=PROJECT, stdout=output, stderr=subprocess.STDOUT
        )
    side = ServerSide(name, process, port, path, as_form)
    deadline = time.monotonic() + START_SECONDS
    with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=5, trust_env=False) as client:
        while time.monotonic() < deadline and process.poll() is None:
            with contextlib.suppress(httpx.TransportError):
                if client.get(ready).status_code == 200:
                    with side.awake():
                        return side
            time.sleep(0.1)
    side.stop()
    raise RuntimeError(f"{name} does not start:\n{log.read_text()[-3000:]}")


class InProcess:
    """The pipeline without HTTP in a process of its own: a thread per core, each reads and classifies batches of eight.

    As the service, one thread of the engine per call. No queue, no event loop and no answer's JSON, and the body is in
    memory: what reading, preprocessing and the network can do on these cores, and the service cannot exceed by much.
    """

    def __init__(self, name: str, artifact: Path) -> None:
        self.name = name
        os.environ["OPENBLAS_NUM_THREADS"] = "1"  # as the service has it
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=_serve_pipeline, args=(theirs, str(artifact)), daemon=True)
        self._process.start()

    def load(self, kind: str, body: bytes, *, num_clients: int, seconds: float) -> Outcome:  # noqa: ARG002
        """Throughput; what is asked, and by how many, is nothing to it."""
        self._pipe.send((body, seconds))
        count, elapsed = self._pipe.recv()
        outcome = Outcome(elapsed=elapsed)
        outcome.statuses[200] = count
        return outcome

    def stop(self) -> None:
        """End the process."""
        self._process.terminate()
        self._process.join()


def _serve_pipeline(pipe: "Pipe[tuple[int, float], tuple[bytes, float]]", artifact: str) -> None:
    classifier, _ = load_classifier(artifact, num_threads=1)
    num_threads = len(os.sched_getaffinity(0))
    while True:
        body, seconds = pipe.recv()
        counts, begun = [0] * num_threads, time.monotonic()

        def work(number: int, body: bytes, until: float, counts: list[int]) -> None:
            while time.monotonic() < until:
                images = [classifier.read(body)[1] for _ in range(_BATCH)]
                counts[number] += len(classifier.classify(images))

        threads = [
            threading.Thread(target=work, args=(number, body, begun + seconds, counts)) for number in range(num_threads)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        pipe.send((sum(counts), time.monotonic() - begun))
