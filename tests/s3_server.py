"""Fixtures that give a test a real S3 server process: Ceph's radosgw where it is installed, else moto's server.

Loaded as a plugin by tests/conftest.py. `SAMX_TEST_S3=ceph` or `=moto` forces one. Ceph (Debian: `apt-get install
--no-install-recommends ceph-mon ceph-osd radosgw`) runs as one monitor, one OSD that keeps all in memory and one
gateway, on 127.0.0.1 and in a temporary folder; it is ready in about 15 s, and started only if a test asks.
"""

import contextlib
import importlib.util
import itertools
import os
import secrets
import shutil
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import boto3
import pytest

_BUCKET = "samx-tests"
_CEPH_BINARIES = ("ceph", "ceph-authtool", "ceph-mon", "ceph-osd", "monmaptool", "radosgw", "radosgw-admin")
_STARTED = pytest.StashKey[list[str]]()


@dataclass(frozen=True)
class S3Server:
    """A running server."""

    name: str
    endpoint: str
    access_key: str
    secret_key: str = field(repr=False)

    @property
    def environment(self) -> Mapping[str, str]:
        """The variables boto3 reads, pointing at this server and at nothing of the user's."""
        return {
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_ACCESS_KEY_ID": self.access_key,
            "AWS_SECRET_ACCESS_KEY": self.secret_key,
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
            "NO_PROXY": "127.0.0.1,localhost",
        }

    def new_url(self) -> str:
        """Returns an s3:// URL that nothing has been written under."""
        return f"s3://{_BUCKET}/{next(_PREFIXES):04d}-{secrets.token_hex(3)}"


_PREFIXES = itertools.count()


@pytest.fixture(scope="session")
def s3_server(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Iterator[S3Server]:
    """A real S3 server process for the whole session, with one bucket."""
    name = _chosen_server()
    if name is None:
        pytest.skip("no S3 server: neither Ceph's binaries nor moto[server] are installed")
    start = _ceph if name == "ceph" else _moto
    began = time.monotonic()
    with start(tmp_path_factory.mktemp("s3")) as server:
        client = boto3.client(
            "s3",
            endpoint_url=server.endpoint,
            aws_access_key_id=server.access_key,
            aws_secret_access_key=server.secret_key,
            region_name="us-east-1",
        )
        client.create_bucket(Bucket=_BUCKET)
        client.close()
        seconds = time.monotonic() - began
        request.config.stash.setdefault(_STARTED, []).append(f"{server.name} (ready in {seconds:.1f} s)")
        yield server


@pytest.fixture
def s3_url(s3_server: S3Server, monkeypatch: pytest.MonkeyPatch) -> str:
    """A fresh s3://bucket/prefix, and the AWS_* environment that leads there."""
    for variable in ("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_ENDPOINT_URL_S3", "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS"):
        monkeypatch.delenv(variable, raising=False)
    for variable, value in s3_server.environment.items():
        monkeypatch.setenv(variable, value)
    return s3_server.new_url()


def pytest_report_header() -> str:
    """Says which server tests that need S3 will use."""
    return f"s3 server: {_chosen_server() or 'none installed, tests that need one are skipped'}"


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Says which server was used."""
    for line in config.stash.get(_STARTED, []):
        terminalreporter.write_line(f"s3 server used: {line}")


def _chosen_server() -> str | None:
    wanted = os.environ.get("SAMX_TEST_S3", "")
    if wanted not in ("", "ceph", "moto"):
        raise pytest.UsageError(f"SAMX_TEST_S3={wanted!r}: allowed are ceph and moto")
    if wanted:
        return wanted
    if all(shutil.which(binary) for binary in _CEPH_BINARIES):
        return "ceph"
    if importlib.util.find_spec("moto") and importlib.util.find_spec("flask"):
        return "moto"
    return None


@contextlib.contextmanager
def _moto(folder: Path) -> Iterator[S3Server]:
    port = _free_ports(1)[0]
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    with _process(command, folder / "moto.log"):
        _wait_for_port(port, folder / "moto.log")
        yield S3Server("moto", f"http://127.0.0.1:{port}", "testing", "testing")


@contextlib.contextmanager
def _ceph(folder: Path) -> Iterator[S3Server]:
    mon_v2, mon_v1, http = _free_ports(3)
    fsid, osd_uuid = uuid.uuid4(), uuid.uuid4()
    monitors = f"[v2:127.0.0.1:{mon_v2},v1:127.0.0.1:{mon_v1}]"
    configuration = folder / "ceph.conf"
    configuration.write_text(
        f"""[global]
fsid = {fsid}
mon host = {monitors}
public addr = 127.0.0.1
cluster addr = 127.0.0.1
keyring = {folder}/keyring
log file = {folder}/$name.log
admin socket =
mon data = {folder}/mon
osd data = {folder}/osd
rgw data = {folder}/rgw
mon data avail warn = 1
mon data avail crit = 1
mon allow pool size one = true
mon max pg per osd = 1000
osd pool default size = 1
osd pool default min size = 1
osd pool default pg num = 8
osd pool default pg autoscale mode = off
osd crush chooseleaf type = 0
osd objectstore = memstore
memstore device bytes = 4294967296
[client.rgw]
rgw frontends = beast endpoint=127.0.0.1:{http}
rgw thread pool size = 32
rgw run sync thread = false
""",
        encoding="utf-8",
    )
    for daemon in ("mon", "osd", "rgw"):
        (folder / daemon).mkdir()
    log = folder / "start.log"

    def run(binary: str, *arguments: str) -> None:
        command = [binary, *arguments]
        if binary not in ("ceph-authtool", "monmaptool"):
            command += ["-c", str(configuration)]
        with log.open("ab") as output:
            subprocess.run(command, stdout=output, stderr=output, check=True, timeout=60)

    keyring, monmap = str(folder / "keyring"), str(folder / "monmap")
    run("ceph-authtool", "--create-keyring", keyring, "--gen-key", "-n", "mon.", "--cap", "mon", "allow *")
    everything = ("--cap", "mon", "allow *", "--cap", "osd", "allow *", "--cap", "mgr", "allow *")
    for name in ("client.admin", "osd.0", "client.rgw"):
        run("ceph-authtool", keyring, "--gen-key", "-n", name, *everything)
    run("monmaptool", "--create", "--fsid", str(fsid), "--addv", "a", monitors, monmap)
    run("ceph-mon", "--mkfs", "-i", "a", "--monmap", monmap, "--keyring", keyring)
    with contextlib.ExitStack() as daemons:
        config = ["-c", str(configuration)]
        daemons.enter_context(_process(["ceph-mon", "-f", "-i", "a", *config], folder / "mon.out"))
        run("ceph", "auth", "import", "-i", keyring)
        run("ceph", "osd", "new", str(osd_uuid))
        run("ceph-osd", "-i", "0", "--mkfs", "--osd-uuid", str(osd_uuid), "--keyring", keyring)
        daemons.enter_context(_process(["ceph-osd", "-f", "-i", "0", *config], folder / "osd.out"))
        access_key, secret_key = secrets.token_hex(10), secrets.token_hex(20)
        run(
            *("radosgw-admin", "user", "create", "--uid", "tests", "--display-name", "tests"),
            *("--access-key", access_key, "--secret-key", secret_key, "-n", "client.rgw"),
        )
        daemons.enter_context(_process(["radosgw", "-f", "-n", "client.rgw", *config], folder / "rgw.out"))
        _wait_for_port(http, folder / "rgw.out")
        yield S3Server("ceph", f"http://127.0.0.1:{http}", access_key, secret_key)


@contextlib.contextmanager
def _process(command: list[str], log: Path) -> Iterator[None]:
    """Runs a server in the foreground of its own process until the block ends, or this process dies."""
    if shutil.which("setpriv"):
        command = ["setpriv", "--pdeathsig", "TERM", *command]
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output, stdin=subprocess.DEVNULL)
        try:
            yield
        finally:
            process.terminate()
            try:
                process.wait(timeout=10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as sockets:
        bound = [sockets.enter_context(socket.socket()) for _ in range(count)]
        for one in bound:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in bound]


def _wait_for_port(port: int, log: Path, timeout_seconds: float = 60) -> None:
    deadline = time.monotonic() + timeout_seconds
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        time.sleep(0.1)
    raise TimeoutError(f"no S3 server on port {port} after {timeout_seconds} s; its output: {log.read_text()[-2000:]}")
