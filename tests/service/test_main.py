"""`python -m service serve`, as a user calls it."""

import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest

from service.__main__ import main
from tests.service.conftest import PROJECT, free_port


def serve(*arguments: str, seconds: float = 20) -> subprocess.CompletedProcess[str]:
    """A call that ends by itself."""
    command = [sys.executable, "-m", "service", "serve", *arguments]
    return subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, timeout=seconds, check=False)


def test_taken_port_ends_with_what_to_do(small_artifact: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        ended = serve("--artifact", str(small_artifact), "--port", str(port))
    assert ended.returncode == 2
    assert f"port {port} of 127.0.0.1 is taken" in ended.stderr
    assert f"--port {port + 1}" in ended.stderr
    assert "Traceback" not in ended.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--artifact", "/nonexistent/model"], "no artifact in /nonexistent/model"),
        (["--host", "a.host.that.is.no.address"], "cannot listen on a.host.that.is.no.address"),
        (["--port", "99999"], "cannot listen on 127.0.0.1 port 99999"),
        (["--example", "/nonexistent/knee.dcm"], "/nonexistent/knee.dcm is not a file"),
    ],
)
def test_call_that_must_change_exits_2(
    arguments: list[str], message: str, small_artifact: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = arguments if "--artifact" in arguments else ["--artifact", str(small_artifact), *arguments]
    handlers = {name: signal.getsignal(name) for name in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    try:
        assert main(["serve", *given]) == 2
    finally:
        for name, handler in handlers.items():
            signal.signal(name, handler)
    assert message in capsys.readouterr().err


def test_corrupt_artifact_is_told_and_exits_1(small_artifact: Path, tmp_path: Path) -> None:
    for path in (small_artifact / "1.0.0").iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    (tmp_path / "golden.json").write_bytes(b"[]")
    ended = serve("--artifact", str(tmp_path), "--port", str(free_port()), seconds=60)
    assert ended.returncode == 1
    assert "CRITICAL The model cannot be served: golden.json" in ended.stdout
    assert "did not start" in ended.stderr


def test_serves_shows_the_example_and_stops_on_request(small_artifact: Path, tmp_path: Path, knee_dicom: bytes) -> None:
    """One run from start to SIGTERM: the table, the address, a request, and nothing left behind."""
    example, output, port = tmp_path / "knee.dcm", tmp_path / "output", free_port()
    example.write_bytes(knee_dicom)
    environment = {name: value for name, value in os.environ.items() if name != "BENTOML_HOME"}
    environment |= {"OMP_NUM_THREADS": "1", "TMPDIR": str(tmp_path), "http_proxy": "http://127.0.0.1:1"}
    command = [sys.executable, "-m", "service", "serve", "--artifact", str(small_artifact), "--port", str(port)]
    with output.open("wb") as stream:
        process = subprocess.Popen(
            [*command, "--example", str(example)], cwd=PROJECT, stdout=stream, stderr=subprocess.STDOUT, env=environment
        )
    try:
        deadline = time.monotonic() + 60
        while "The service is ready" not in output.read_text() and time.monotonic() < deadline:
            assert process.poll() is None, output.read_text()
            time.sleep(0.1)
        url = f"http://127.0.0.1:{port}"
        assert httpx.get(f"{url}/model", trust_env=False).json()["name"] == "small"
    finally:
        process.send_signal(signal.SIGTERM)
        code = process.wait(20)
    text = output.read_text()
    assert code == 0, text
    assert f"{url}/" in text
    assert re.search(r"^  (foot|hand|knee|not_musculoskeletal) +\d+\.\d% +#+$", text, re.MULTILINE)
    assert re.search(r"^  decision: (accept|review|out_of_scope)$", text, re.MULTILINE)
    assert re.search(r"^  DICOM tag: KNEE (agrees|does NOT agree)$", text, re.MULTILINE)
    assert "Traceback" not in text
    with pytest.raises(httpx.TransportError):
        httpx.get(f"{url}/livez", trust_env=False, timeout=2)
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(("samx-", "bentoml-"))] == []
