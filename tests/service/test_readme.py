"""The README's curl commands, run as they stand there against the server, but for its address and the file's name."""

import json
import re
import shlex
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from samx.storage import open_storage
from tests.service.conftest import PROJECT, Server, start_server
from tests.small_artifact import synthetic_png

LINES = [
    line.split("   #")[0].strip()
    for line in (PROJECT / "README.md").read_text().splitlines()
    if line.startswith("    curl ")
]
FILES, ADDRESS, JOB = ("radiograph.dcm", "one.dcm", "two.dcm"), "http://127.0.0.1:3000", "/sort/JOB"
CLASSIFYING = [line for line in LINES if "/classify" in line]
SORTING = [line for line in LINES if "/sort" in line]


def run(line: str, server: Server, folder: Path, job_id: str = "") -> tuple[int, Any]:
    """Status, and the JSON body where it was not written to a file."""
    if shutil.which("curl") is None:
        pytest.skip("curl is not installed")
    command = shlex.split(line.replace(ADDRESS, server.url).replace(JOB, f"/sort/{job_id}"))
    options = ["--disable", "--silent", "--show-error", "--noproxy", "*", "--max-time", "60"]
    done = subprocess.run(
        [command[0], *options, *command[1:], "--write-out", "\n%{http_code}"],
        cwd=folder,
        capture_output=True,
        text=True,
        check=True,
    )
    body, _, status = done.stdout.rpartition("\n")
    return int(status), json.loads(body or "null")


def test_every_command_is_run_by_a_test() -> None:
    assert len(CLASSIFYING) >= 2
    assert len(SORTING) >= 3
    assert sorted(CLASSIFYING + SORTING) == sorted(LINES)


@pytest.mark.parametrize("line", CLASSIFYING)
def test_curl_classifies(line: str, server: Server, knee_dicom: bytes, tmp_path: Path) -> None:
    for name in FILES:
        (tmp_path / name).write_bytes(knee_dicom)
    status, answer = run(line, server, tmp_path)
    assert status == 200, answer
    if "-o overlay.png" in line:
        assert (tmp_path / "overlay.png").read_bytes().startswith(b"\x89PNG")
        return
    if "/classify_batch" in line:
        answers = answer["answers"]
        assert len(answers) == line.count("-F file=") == 2
        answer = answers[1]["classification"]
    assert answer["tag"]["body_part_examined"] == "KNEE"
    assert (answer["grad_cam"] is not None) == ("grad_cam=true" in line)
    wanted = re.search(r"top_k=(\d)", line)
    assert len(answer["classes"]) == (int(wanted[1]) if wanted else 3)


@pytest.mark.slow
def test_curl_sorts(s3_url: str, small_artifact: Path, tmp_path: Path) -> None:
    open_storage(f"{s3_url}/in").write("1.png", synthetic_png(1))
    (begin, *following) = SORTING
    begin = begin.replace("s3://export/2026", f"{s3_url}/in").replace("s3://sorted", f"{s3_url}/out")
    settings = {"SAMX_ARTIFACT": str(small_artifact), "SAMX_JOBS": f"{s3_url}/jobs"}
    for server in start_server(tmp_path, **settings):
        status, job = run(begin, server, tmp_path)
        assert (status, job["order"]["copies"]) == (202, True), job
        for line in following:
            if "DELETE" in line:  # of a job of its own: this one may have ended already
                other = begin.replace('"copies": true', '"copies": false').replace("/out", "/other")
                job = run(other, server, tmp_path)[1]
            status, answer = run(line, server, tmp_path, str(job["id"]))
            assert status == 200, answer
            assert answer["id"] == job["id"]
