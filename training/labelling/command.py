"""`python -m training labelling --run <folder or s3:// URL>`: serve the labelling page of a run until Ctrl-C."""

import argparse
import secrets
import signal
import socket
from pathlib import Path

import torch
import uvicorn

from samx.errors import WrongInput
from training.config import load_config
from training.labelling.access import is_loopback
from training.labelling.desk import Desk
from training.labelling.pool import Pictures, load_pool
from training.labelling.server import application

ATTRIBUTES = ("body_part_examined", "view_position", "laterality", "described_label", "site")
"""Columns of the index that the page may show; none of them is of a patient."""

_STOP_SECONDS = 5


def labelling(arguments: list[str]) -> int:
    """Parse the command line, and serve the page until it is stopped; returns the exit code.

    Raises:
        WrongInput: the call must change; the message says how.
        StorageError: the run is out of reach.
    """
    options = _parser().parse_args(arguments)
    run = options.run or str(load_config(options.config).run)
    token = _token(options.host, options.token_file)
    torch.set_num_threads(1)  # what is worked out in the background must not keep the reader waiting
    print(f"Reading {run} ...", flush=True)
    pool = load_pool(run)
    desk = Desk(pool, options.show)
    pictures = Pictures(pool)
    command = f"python -m training run --config {options.config or '<your configuration>.toml'}"
    title = pool.storage.url.rstrip("/").rpartition("/")[2]
    app = application(desk, pictures, title=title, command=command, token=token)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # raises KeyboardInterrupt, as Ctrl-C does
    with _listening(options.host, options.port) as listening:
        config = uvicorn.Config(
            app, log_level="warning", server_header=False, access_log=False, timeout_graceful_shutdown=_STOP_SECONDS
        )
        server = uvicorn.Server(config)
        named, clusters = len(desk.reading.labels), len(desk.reading.members)
        print(f"{named} of {clusters} clusters are named.")
        address = _address(options.host, listening.getsockname()[1])
        query = (
            f"?token=<what is in {options.token_file}>" if options.token_file else f"?token={token}" if token else ""
        )
        print(f"Name the clusters at {address}{query}   (Ctrl-C stops)", flush=True)
        try:
            server.run(sockets=[listening])
        except KeyboardInterrupt:
            pass
        finally:
            pictures.close()
    return 0 if server.started else 1


def _listening(host: str, port: int) -> socket.socket:
    """A listening socket; found to be taken before anything is promised."""
    try:
        return socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
    except OSError as error:
        raise WrongInput(f"cannot listen on {host}, port {port}: {error.strerror}; give another --port") from error


def _address(host: str, port: int) -> str:
    shown = "127.0.0.1" if host in ("0.0.0.0", "::") else host  # noqa: S104  # recognised here, not bound
    return f"http://{f'[{shown}]' if ':' in shown else shown}:{port}/"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m training labelling", description=__doc__)
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument("--run", help="folder or s3:// URL of a run whose stage cluster is done")
    which.add_argument("--config", type=Path, help="the run's TOML file")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on; default: %(default)s")
    parser.add_argument("--port", type=int, default=8800, help="default: %(default)s")
    parser.add_argument("--token-file", type=Path, help="file with the token that visitors from elsewhere need")
    parser.add_argument(
        "--show", nargs="*", default=list(ATTRIBUTES), choices=ATTRIBUTES, metavar="ATTRIBUTE",
        help=f"what the page may show of the files, of {', '.join(ATTRIBUTES)}; default: all of these",
    )  # fmt: skip
    return parser


def _token(host: str, token_file: Path | None) -> str | None:
    """What visitors must know: nothing on a loopback address, else the file's content, else something new."""
    if token_file is not None:
        try:
            token = token_file.read_text().strip()
        except OSError as error:
            raise WrongInput(f"cannot read the token from {token_file}: {error.strerror}") from error
        if len(token) < 16:
            raise WrongInput(f"the token in {token_file} is shorter than 16 characters")
        return token
    return None if is_loopback(host) else secrets.token_urlsafe(24)
