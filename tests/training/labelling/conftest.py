"""A reading of a made-up run, at the desk and over HTTP."""

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from starlette.types import ASGIApp

from tests.training.labelling.made_run import make_run
from training.labelling.desk import Desk, Request
from training.labelling.pool import load_pool

Decide = Callable[..., dict[str, Any]]


@pytest.fixture
def made(tmp_path: Path) -> Path:
    """A run of 120 radiographs in 12 clusters of six kinds: its folder."""
    make_run(tmp_path)
    return tmp_path / "run"


@pytest.fixture
def desk(made: Path) -> Desk:
    """The desk of that run; neighbours are found when a test asks for them."""
    return Desk(load_pool(str(made)), ("site", "body_part_examined"), with_neighbours=False)


@pytest.fixture
def decide(desk: Desk) -> Decide:
    """Decides at the desk, as AB who has seen everything unless said otherwise."""

    def decided(action: str, /, by: str = "AB", seen: int | None = None, force: bool = False, **wish: Any) -> Any:
        number = desk.reading.number if seen is None else seen
        content = {"reader": by, "seen": number, "force": force, "wish": {"action": action, **wish}}
        return desk.decide(Request.model_validate(content))

    return decided


@contextmanager
def served(app: ASGIApp) -> Iterator[str]:
    """Serves an application from a thread; gives its URL."""
    with socket.create_server(("127.0.0.1", 0)) as listening:  # who connects before the thread runs has to wait
        config = uvicorn.Config(app, log_level="warning", access_log=False, timeout_graceful_shutdown=1)
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        try:
            yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join(timeout=20)
