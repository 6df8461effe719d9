"""`python -m service serve`: start the server, wait until it is ready, and stay until Ctrl-C.

`sort` sorts a bucket, `undo` takes that back (service/sorting/command.py), `plan` says what sorting millions takes.

Exit codes: 0 stopped on request, 1 the server failed, 2 the call must change (taken port, no artifact).
"""

import argparse
import contextlib
import errno
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from samx.errors import SamxError, WrongInput
from service.serving import require_artifact
from service.settings import Settings, server_environment
from service.sorting.options import add_sorting

STOP_SECONDS = 5.0
"""How long a server may take to stop beyond what its last requests may take."""
_BAR_WIDTH = 24
_WILDCARDS = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104  # recognised here, not bound


def main(arguments: list[str] | None = None) -> int:
    """Run the command line.

    Args:
        arguments: without the program's name; those of this process where not given.

    Returns:
        The exit code.
    """
    options = _parse(arguments)
    if options.command != "serve":
        from service.sorting import command  # noqa: PLC0415  # torch and pyarrow, which `serve` itself has no use for

        return command.run(options)
    for name in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(name, signal.default_int_handler)  # raises KeyboardInterrupt
    try:
        settings = Settings.from_environment()
        artifact = options.artifact or settings.artifact
        _check_call(artifact, options.host, options.port, options.example)
        with tempfile.TemporaryDirectory(prefix="samx-service-") as folder:
            environment = server_environment(folder, artifact=artifact)
            stop_seconds = settings.drain_seconds + settings.request_timeout_seconds + STOP_SECONDS
            with _server(options.host, options.port, environment, stop_seconds) as process:
                return _run(process, options.host, options.port, options.example)
    except KeyboardInterrupt:
        print("Stopped.", flush=True)
        return 0
    except SamxError as error:
        print(f"samx service: {error}", file=sys.stderr, flush=True)
        return 2


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m service", description=__doc__.split("\n", maxsplit=1)[0])
    commands = parser.add_subparsers(dest="command", required=True)
    serve = commands.add_parser("serve", help="serve a model: POST /classify, and a page at /")
    serve.add_argument("--artifact", help="folder or s3:// URL of a model or of one version; default: SAMX_ARTIFACT")
    serve.add_argument(
        "--host", default="127.0.0.1", help="IP address to listen on, 0.0.0.0 for all; default: %(default)s"
    )
    serve.add_argument("--port", default=3000, type=int, help="default: %(default)s")
    serve.add_argument("--example", type=Path, help="a radiograph to classify once the service is ready")
    add_sorting(commands)
    return parser.parse_args(arguments)


def _check_call(artifact: str, host: str, port: int, example: Path | None) -> None:
    """Find what would fail before anything is started.

    Raises:
        WrongInput: the example is no file, or the address cannot be listened on.
        SamxError: there is no artifact, or it cannot be reached.
    """
    if example is not None and not example.is_file():
        raise WrongInput(f"the example {example} is not a file")
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        with socket.socket(family) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((host, port))
    except (OSError, OverflowError) as error:
        if getattr(error, "errno", None) == errno.EADDRINUSE:
            raise WrongInput(
                f"port {port} of {host} is taken by another program (perhaps a service that still runs). "
                f"Stop it, or choose another port: --port {port + 1}"
            ) from error
        raise WrongInput(
            f"cannot listen on {host} port {port}: {error}. --host takes an IP address of this machine"
        ) from error
    require_artifact(artifact)


@contextlib.contextmanager
def _server(
    host: str, port: int, environment: dict[str, str], stop_seconds: float
) -> Iterator[subprocess.Popen[bytes]]:
    """A running server process in its own session, stopped with all its children at the end."""
    command = [sys.executable, "-m", "bentoml", "serve", "service.api:SamX", "--host", host, "--port", str(port)]
    project = str(Path(__file__).resolve().parent.parent)
    process = subprocess.Popen(  # noqa: S603  # our own command
        [*command, "--working-dir", project], env=environment, stdin=subprocess.DEVNULL, start_new_session=True
    )
    try:
        yield process
    finally:
        for name in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(name, signal.SIG_IGN)  # a second Ctrl-C must not leave the server behind
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(stop_seconds)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _run(process: subprocess.Popen[bytes], host: str, port: int, example: Path | None) -> int:
    address = _WILDCARDS.get(host, host)
    page = f"http://[{address}]:{port}/" if ":" in address else f"http://{address}:{port}/"
    while (status := _get_status(address, port, "/readyz")) != 200:
        if process.poll() is not None or (status == 503 and _get_status(address, port, "/livez") == 503):
            print("samx service: the server did not start; the lines above say why", file=sys.stderr, flush=True)
            return 1
        time.sleep(0.2)
    if example is not None:
        _print_example(address, port, example)
    print(f"\nThe service is ready. Open {page} in a browser and drop a radiograph on it. Ctrl-C stops it.", flush=True)
    process.wait()
    print(f"samx service: the server ended by itself (exit code {process.returncode})", file=sys.stderr, flush=True)
    return 1


def _get_status(address: str, port: int, path: str) -> int:
    """HTTP status of a GET, 0 where nobody answers."""
    connection = http.client.HTTPConnection(address, port, timeout=10)
    try:
        connection.request("GET", path)
        return connection.getresponse().status
    except (OSError, http.client.HTTPException):
        return 0
    finally:
        connection.close()


def _print_example(address: str, port: int, example: Path) -> None:
    connection = http.client.HTTPConnection(address, port, timeout=300)
    try:
        headers = {"Content-Type": "application/octet-stream"}
        connection.request("POST", "/classify", example.read_bytes(), headers)
        response = connection.getresponse()
        answer = json.loads(response.read())
    finally:
        connection.close()
    print(f"\n{example}", flush=True)
    if response.status == 200:
        print(_table(answer), flush=True)
    else:
        print(f"  refused: {answer['detail']} ({answer['status']} {answer['code']})", flush=True)


def _table(answer: dict[str, Any]) -> str:
    """An answer of POST /classify for people: classes with bars, decision, tag."""
    width = max(len(entry["label"]) for entry in answer["classes"])
    lines = []
    for entry in answer["classes"]:
        bar = "#" * round(entry["probability"] * _BAR_WIDTH)
        lines.append(f"  {entry['label']:<{width}}  {entry['probability']:7.1%}  {bar}")
    tag = answer["tag"]
    agreement = {True: "agrees", False: "does NOT agree", None: "says nothing that is known"}[tag["agrees"]]
    lines.append(f"  decision: {answer['decision']}")
    lines.append(f"  DICOM tag: {tag['body_part_examined'] or 'Body Part Examined'} {agreement}")
    lines.append(f"  model: {answer['model']['name']} {answer['model']['version']}")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
