"""The command: a run labelled over HTTP goes through phase 2; a bucket is labelled like a folder."""

import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from samx.storage import open_storage
from tests.training.labelling.made_run import make_run
from tests.training.small_run import NOT_MUSCULOSKELETAL, small_config
from training.__main__ import main
from training.config import LabelConfig, SimulatedReaderConfig
from training.job import run_all
from training.labelling.access import is_loopback
from training.labelling.desk import Desk, Request
from training.labelling.pool import Pictures, load_pool
from training.run import Run
from training.simulated_reader import read_truth

PROJECT = Path(__file__).parents[3]


@contextmanager
def labelling_page(*arguments: str) -> Iterator[str]:
    """Runs `python -m training labelling` on a free port; gives the address that it prints."""
    command = [sys.executable, "-m", "training", "labelling", "--port", "0", *arguments]
    process = subprocess.Popen(command, cwd=PROJECT, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        address = ""
        for line in process.stdout:
            if found := re.search(r"http://\S+", line):
                address = found[0]
                break
        assert address, "the command ended without an address"
        yield address
    finally:
        process.terminate()
        process.wait(timeout=20)
        process.stdout.close()
    assert process.returncode == 0


def test_run_named_through_the_page_goes_through_phase_2(export: Path, tmp_path: Path) -> None:
    config = small_config(export, tmp_path, label=LabelConfig())
    truth = read_truth(SimulatedReaderConfig(truth=str(export / "truth.csv"), not_musculoskeletal=NOT_MUSCULOSKELETAL))
    assert run_all(config) == "awaiting labels"
    keys = [row["key"] for row in Run(config).read_csv("cluster/assignments.csv")]
    with labelling_page("--run", config.run) as address, httpx.Client(base_url=address, trust_env=False) as client:

        def decide(**wish: Any) -> dict[str, Any]:
            body = {"reader": "AB", "seen": 0, "force": True, **wish}
            answer = client.post("/api/decisions", json=body, headers={"X-SAMX": "1"})
            assert answer.status_code == 200, answer.text
            return dict(answer.json())

        state = client.get("/api/state").json()
        largest = state["order"]["largest"][0]
        first, second = decide(action="split", clusters=[largest], parts=2)["opened"]
        left = [row["id"] for row in client.get("/api/state").json()["clusters"]]
        for cluster_id in left[:-1]:
            middle = truth[keys[client.get(f"/api/clusters/{cluster_id}").json()["nearest"][0]]]
            decide(action="name", clusters=[cluster_id], label=middle.replace("not_musculoskeletal", "discard"))
        assert run_all(config) == "awaiting labels"  # one cluster has no name yet
        decide(action="name", clusters=left[-1:], label="mixed")
        moved, too = client.get(f"/api/clusters/{left[0]}").json()["random"][:2]
        decide(action="correct", radiographs=[moved, too], label="patella")
        assert client.get("/api/state").json()["progress"]["complete"]
        about = client.get("/api/run").json()
        assert not about["command"].endswith("--again-from label")
        assert run_all(config) == "published"
        about = client.get("/api/run").json()
        assert about["command"].endswith("--again-from label")
        assert decide(action="round")["round"] == 2
        suspects = client.get("/api/audit?limit=500").json()["items"]
        assert any("classifier: " in reason for suspect in suspects for reason in suspect["reasons"])
    injected = {row["key"]: row for row in Run(config).read_csv("label/labels.csv")}
    assert injected[keys[moved]]["label"] == injected[keys[too]]["label"] == "patella"
    assert {row["cluster_id"] for row in injected.values()} & {str(first), str(second)}
    summary = Run(config).read_json("label/summary.json")
    assert summary["num_corrections"] == 2
    assert summary["num_decisions"] == 1 + len(left) + 1  # a split, a name each, one for both radiographs
    assert summary["readers"] == ["AB"]


def test_bucket_is_labelled_like_a_folder(tmp_path: Path, s3_url: str) -> None:
    make_run(tmp_path)
    bucket = open_storage(s3_url)
    for path in sorted((tmp_path / "run").rglob("*")):
        if path.is_file():
            bucket.write(str(path.relative_to(tmp_path / "run")), path.read_bytes())
    desk = Desk(load_pool(s3_url), (), with_neighbours=False)
    wish = {"action": "name", "clusters": [0, 6], "label": "hand"}
    desk.decide(Request.model_validate({"reader": "AB", "seen": 0, "wish": wish}))
    assert bucket.read("cluster_labels.csv").count(b"hand") == 2
    assert Desk(load_pool(s3_url), (), with_neighbours=False).reading.number == 1
    here = load_pool(str(tmp_path / "run"))
    with closing(Pictures(desk.pool)) as there, closing(Pictures(here)) as local:
        assert (there.image(7) == local.image(7)).all()
        assert there.sprite([1, 2, 3], 2) == local.sprite([1, 2, 3], 2)


def test_other_machines_need_the_token_that_the_command_prints(tmp_path: Path) -> None:
    make_run(tmp_path)
    with labelling_page("--run", str(tmp_path / "run"), "--host", "0.0.0.0") as address:
        token = httpx.URL(address).params["token"]
        assert len(token) >= 32
        plain = str(httpx.URL(address).copy_with(query=None))
        assert httpx.get(plain, trust_env=False).status_code == 403
        assert httpx.get(address, trust_env=False).status_code == 303


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        pytest.param(["--run", "nowhere"], "has no clusters yet", id="no run"),
        pytest.param(["--run", "x", "--token-file", "missing"], "cannot read the token", id="no token file"),
        pytest.param(["--config", "missing.toml"], "cannot read the configuration", id="no configuration"),
    ],
)
def test_wrong_calls_say_what_to_do(
    arguments: list[str],
    message: str,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["labelling", *arguments]) == 2
    assert message in capsys.readouterr().err


def test_loopback_is_told_from_the_world() -> None:
    assert [is_loopback(host) for host in ("127.0.0.1", "::1", "localhost", "127.8.0.1")] == [True] * 4
    assert [is_loopback(host) for host in ("0.0.0.0", "::", "192.168.1.2", "labels.example")] == [False] * 4
