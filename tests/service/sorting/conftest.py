"""A small export of anything: radiographs in every format, twins, things that are none, odd keys."""

import io
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import pytest
from PIL import Image

from samx.storage import Storage, open_storage
from service.__main__ import main
from tests.service.conftest import PROJECT
from tests.service.files import ct_multi_frame, dicom_file, pickle_file, zip_file
from tests.small_artifact import synthetic_png


def jpeg(seed: int) -> bytes:
    buffer = io.BytesIO()
    Image.open(io.BytesIO(synthetic_png(seed))).save(buffer, "jpeg")
    return buffer.getvalue()


def export() -> dict[str, bytes]:
    """Objects by key; the same in every call of a session, but for the DICOM files' identifiers."""
    objects = {f"png/{number:03d}.png": synthetic_png(number) for number in range(40)}
    objects |= {f"jpeg/{number}.jpg": jpeg(number) for number in range(6)}
    objects |= {
        f"dicom/{number}.dcm": dicom_file(rows=100 + 10 * number, BodyPartExamined="KNEE", ImageLaterality="L")
        for number in range(10)
    }
    objects |= {
        "bad/empty.dcm": b"",
        "bad/letter.txt": b"Dear colleague",
        "bad/archive.zip": zip_file(),
        "bad/pickle.dcm": pickle_file(),
        "bad/series.dcm": ct_multi_frame(),
        "bad/truncated.dcm": dicom_file()[:2000],
        "bad/truncated.png": synthetic_png(1)[:200],
        "odd/Röntgen links, 2. Aufnahme.png": synthetic_png(50),
        "odd/=1+1": synthetic_png(51),
        "twin.png": synthetic_png(0),
    }
    return objects


BAD = {
    "bad/empty.dcm": "empty",
    "bad/letter.txt": "unknown_format",
    "bad/archive.zip": "unknown_format",
    "bad/pickle.dcm": "unknown_format",
    "bad/series.dcm": "not_a_radiograph",
    "bad/truncated.dcm": "wrong_size",
    "bad/truncated.png": "not_decodable",
}


@pytest.fixture(scope="session")
def objects() -> dict[str, bytes]:
    return export()


def fill(storage: Storage, objects: dict[str, bytes]) -> None:
    for key, data in objects.items():
        storage.write(key, data)


def listing(storage: Storage, prefix: str = "") -> dict[str, str]:
    return {item.key: item.etag for item in storage.list(prefix)}


@pytest.fixture(params=["folder", "s3"])
def places(request: pytest.FixtureRequest, tmp_path: Path, objects: dict[str, bytes]) -> tuple[str, str]:
    """A filled source and an empty destination."""
    url = str(tmp_path) if request.param == "folder" else request.getfixturevalue("s3_url")
    fill(open_storage(f"{url}/in"), objects)
    return f"{url}/in", f"{url}/out"


@pytest.fixture(autouse=True)
def _handlers() -> Iterator[None]:
    """The command takes over signals, as a process of its own may."""
    names = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    handlers = {name: signal.getsignal(name) for name in names}
    yield
    for name, handler in handlers.items():
        signal.signal(name, handler)


def sort(*arguments: str) -> int:
    """The command in this process."""
    return main(["sort", *arguments])


def start_sort(*arguments: str, output: int | IO[bytes] = subprocess.PIPE) -> subprocess.Popen[bytes]:
    """The command in a process of its own."""
    command = [sys.executable, "-m", "service", "sort", *arguments]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        command,
        cwd=PROJECT,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.STDOUT,
    )


MERGED = ("manifest.jsonl", "manifest.csv", "manifest.parquet", "summary.html")


def merged(destination: str, job: str) -> dict[str, bytes]:
    """The merged files of a job."""
    folder = open_storage(destination).child(f"_sort/{job}")
    return {name: folder.read(name) for name in MERGED}
