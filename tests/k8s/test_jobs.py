"""The manifests at work: the whole path from an empty S3 to a sorted bucket, run as the Jobs and Deployments say."""

import csv
import io
import json
import signal
import threading
import time
import tomllib
from collections import Counter, defaultdict
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from samx.storage import Storage, open_storage
from tests.k8s.driver import Cluster, Outcome, Pod, action_for
from tests.k8s.rendering import Objects, find, named, render
from tests.s3_server import S3Server
from tests.training.small_run import NOT_MUSCULOSKELETAL, small_config, to_toml
from training.config import LabelConfig, TrainingConfig
from training.labels import CLUSTER_LABEL_COLUMNS, RADIOGRAPH_LABEL_COLUMNS

pytestmark = pytest.mark.slow

KEY = "0123456789abcdef0123456789abcdef"
BEARER = {"Authorization": f"Bearer {KEY}", "Content-Type": "application/dicom"}
DRAIN = {"SAMX_DRAIN_SECONDS": "3"}
SOURCE, RUN, MODELS = "s3://radiographs/export", "s3://samx/runs/first", "s3://samx/models"


def applied(objects: Objects, folder: Path, server: S3Server) -> Cluster:
    """The objects, the endpoint of a real S3 server and its keys."""
    cluster = Cluster(objects, folder)
    environment = server.environment
    endpoint = {name: environment[name] for name in ("AWS_ENDPOINT_URL", "AWS_DEFAULT_REGION")}
    keys = {name: environment[name] for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")}
    cluster.set_data("ConfigMap", "samx-s3", endpoint)
    for component in ("training", "labelling", "service", "sorting"):
        cluster.set_data("Secret", f"samx-{component}-s3", keys)
    return cluster


def small_toml(cluster: Cluster, export: Path, **changes: object) -> str:
    """The ConfigMap's configuration, made small: where things lie stays as the manifest says."""
    text = find(cluster.objects, "ConfigMap", "samx-training")["data"]["training.toml"]
    given = TrainingConfig.model_validate(tomllib.loads(text))
    config = small_config(export, "", label=LabelConfig())
    changes = {"source": given.source, "run": given.run, "publish": given.publish} | changes
    return to_toml(config.model_copy(update=changes))


@pytest.fixture
def cluster(s3_server: S3Server, s3_url: str, export: Path, tmp_path: Path) -> Cluster:
    """The base, applied; its buckets made by the dev overlay's Job and filled with a small export."""
    dev = render("overlays/dev")
    phantoms = [find(dev, "Job", "phantoms"), find(dev, "ConfigMap", "phantoms")]
    found = applied([*render("base"), *phantoms], tmp_path, s3_server)
    (container,) = find(found.objects, "Job", "phantoms")["spec"]["template"]["spec"]["containers"]
    (wanted,) = (one for one in container["env"] if one["name"] == "NUM_RADIOGRAPHS")
    wanted["value"] = "1"
    outcome = found.run_job("phantoms")
    assert (outcome.condition, outcome.codes) == ("Complete", [0]), outcome.log
    source = open_storage(SOURCE)
    assert list(source.list())
    for item in open_storage(export / "radiographs").list():
        source.write(item.key, (export / "radiographs" / item.key).read_bytes())
    found.set_data("ConfigMap", "samx-training", {"training.toml": small_toml(found, export)})
    return found


def once(condition: Callable[[list[Pod]], bool], action: Callable[[list[Pod]], object]) -> Callable[[list[Pod]], None]:
    """Does something to the running pods at the first moment at which the condition holds."""
    done = threading.Event()

    def watch(pods: list[Pod]) -> None:
        if not done.is_set() and condition(pods):
            done.set()
            action(pods)

    return watch


def as_csv(columns: tuple[str, ...], rows: list[dict[str, str]]) -> bytes:
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, restval="")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode()


def name_the_clusters(run: Storage, export: Path) -> None:
    """What a person leaves in the run: the commonest label of every cluster, and labels of single radiographs."""
    with (export / "truth.csv").open() as file:
        truth = {row["key"]: row["label"] for row in csv.DictReader(file)}
    truth = {key: "discard" if name in NOT_MUSCULOSKELETAL else name for key, name in truth.items()}
    members: dict[str, Counter[str]] = defaultdict(Counter)
    for row in csv.DictReader(io.StringIO(run.read("cluster/assignments.csv").decode())):
        members[row["cluster_id"]][truth.get(row["key"], "discard")] += 1
    decided = {"reader": "a test", "decided_at": "2026-01-01T00:00:00Z"}
    names = [
        {"cluster_id": cluster_id, "label": counts.most_common(1)[0][0], **decided}
        for cluster_id, counts in members.items()
    ]
    run.write("cluster_labels.csv", as_csv(CLUSTER_LABEL_COLUMNS, names))
    labels = [{"key": key, "label": name, **decided} for key, name in truth.items()]
    run.write("radiograph_labels.csv", as_csv(RADIOGRAPH_LABEL_COLUMNS, labels))


def assert_wrong_input_is_not_tried_again(cluster: Cluster, export: Path) -> None:
    wrong = small_toml(cluster, export).replace("[pretrain]", "[pretrain]\nepoch = 3")
    right = small_toml(cluster, export)
    cluster.set_data("ConfigMap", "samx-training", {"training.toml": wrong})
    outcome = cluster.run_job("samx-training")
    assert (outcome.condition, outcome.codes) == ("Failed", [2])
    assert "pretrain.epoch: Extra inputs" in outcome.log
    cluster.set_data("ConfigMap", "samx-training", {"training.toml": right})


def test_from_an_empty_s3_to_a_sorted_bucket(cluster: Cluster, export: Path) -> None:
    run = open_storage(RUN)

    assert_wrong_input_is_not_tried_again(cluster, export)
    preempted = once(lambda _: run.exists("pretrain/checkpoint.safetensors"), lambda pods: pods[0].terminate())
    outcome = cluster.run_job("samx-training", watch=preempted)
    assert (outcome.condition, outcome.codes) == ("Complete", [75, 0]), outcome.log
    assert "awaiting labels" in outcome.log
    assert not list(open_storage(MODELS).list())

    cluster.set_data("Secret", "samx-labelling-token", {"token": "0123456789abcdef\n"})
    with cluster.deployed("samx-labelling") as page:
        url = f"http://127.0.0.1:{page.ports['http']}"
        assert httpx.get(url, trust_env=False).status_code == 403
        opened = httpx.get(f"{url}/?token=0123456789abcdef", follow_redirects=True, trust_env=False)
        assert opened.status_code == 200
        assert "<html" in opened.text
        assert page.terminate() == 0
    assert "0123456789abcdef" not in page.log.read_text(), "logs are read by more people than secrets"
    name_the_clusters(run, export)

    outcome = cluster.run_job("samx-training")
    assert (outcome.condition, outcome.codes) == ("Complete", [0]), outcome.log
    assert "published" in outcome.log
    version = json.loads(open_storage(MODELS).read("samx/current.json"))["version"]

    service_settings = next(name for name in named(cluster.objects, "ConfigMap") if name.startswith("samx-service-"))
    cluster.set_data("ConfigMap", service_settings, DRAIN)
    cluster.set_data("Secret", "samx-service-keys", {"keys": f"{KEY}\n"})
    with cluster.deployed("samx-service") as replica:
        url = f"http://127.0.0.1:{replica.ports['http']}"
        assert httpx.get(f"{url}/model", trust_env=False).status_code == 401
        assert httpx.get(f"{url}/model", headers=BEARER, trust_env=False).json()["version"] == version
        assert_drains(replica, url, next((export / "radiographs").rglob("*.dcm")).read_bytes())

    for job in ("samx-sorting", "samx-merging"):
        (container,) = find(cluster.objects, "Job", job)["spec"]["template"]["spec"]["containers"]
        container["args"] += ["--shard-size", "8"]
    merging = threading.Thread(target=lambda: outcomes.append(cluster.run_job("samx-merging")))
    outcomes: list[Outcome] = []
    merging.start()
    sorting = cluster.run_job("samx-sorting", watch=once(lambda pods: len(pods) == 4, lambda pods: pods[1].terminate()))
    merging.join()
    assert sorting.condition == "Complete", sorting.log
    assert sorted({index for index, _ in sorting.exit_codes}) == [0, 1, 2, 3]
    (merged,) = outcomes
    assert (merged.condition, merged.codes) == ("Complete", [0]), merged.log
    sorted_ = open_storage("s3://sorted/export")
    rows = [json.loads(line) for line in sorted_.read("_sort/first/manifest.jsonl").splitlines()]
    listed = sorted(item.key for item in open_storage(SOURCE).list())
    assert [row["key"] for row in rows] == listed
    assert {row["model"] for row in rows} == {f"samx {version}"}
    copies = [item.key for item in sorted_.list() if not item.key.startswith("_sort/") and "_jobs" not in item.key]
    assert len([key for key in copies if key != "_latest"]) >= 1


def assert_drains(replica: Pod, url: str, radiograph: bytes) -> None:
    """What is sent before and shortly after SIGTERM is answered; /readyz says no at once; then the server ends."""
    codes: list[int] = []
    stopping = threading.Thread(target=lambda: codes.append(replica.terminate()))
    stopping.start()
    began = time.monotonic()
    drain_seconds = float(DRAIN["SAMX_DRAIN_SECONDS"])
    num_answered = 0
    while time.monotonic() - began < replica.pre_stop_seconds + drain_seconds / 2:
        answer = httpx.post(f"{url}/classify", content=radiograph, headers=BEARER, timeout=60, trust_env=False)
        assert answer.status_code == 200, answer.text
        num_answered += 1
    assert num_answered > 1
    assert httpx.get(f"{url}/livez", trust_env=False).status_code == 200
    assert httpx.get(f"{url}/readyz", trust_env=False).status_code == 503
    stopping.join()
    assert codes in ([0], [-signal.SIGTERM]), replica.log.read_text()
    assert time.monotonic() - began < replica.pre_stop_seconds + drain_seconds + 15


def test_two_nodes_train_together_and_go_on_when_one_is_preempted(
    cluster: Cluster, s3_server: S3Server, export: Path, tmp_path: Path
) -> None:
    distributed = applied(render("base/training-distributed"), tmp_path / "distributed", s3_server)
    run = open_storage("s3://samx/runs/distributed")
    toml = small_toml(distributed, export, run="s3://samx/runs/distributed")
    distributed.set_data("ConfigMap", "samx-training", {"training.toml": toml})

    def index_0_is_preempted(pods: list[Pod]) -> None:  # where the others' store is
        (pod,) = (pod for pod in pods if pod.index == 0)
        pod.terminate()

    is_learning = once(lambda _: run.exists("pretrain/checkpoint.safetensors"), index_0_is_preempted)
    outcome = distributed.run_job("samx-training", watch=is_learning)
    assert outcome.condition == "Complete", outcome.log
    assert sorted(outcome.exit_codes) == [(0, 0), (0, 75), (1, 0), (1, 75)], outcome.log
    assert "awaiting labels" in outcome.log


def test_exit_codes_are_judged_as_the_policy_says() -> None:
    spec = find(render("base/training"), "Job", "samx-training")["spec"]
    assert {code: action_for(spec, code) for code in (1, 2, 75, 137)} == {
        1: "Count",
        2: "FailJob",
        75: "Ignore",
        137: "Count",
    }


@pytest.mark.parametrize(
    ("name", "program", "exit_codes"),
    [
        ("samx-training", "raise SystemExit(1)", [(None, 1)] * 4),
        ("samx-training", "raise SystemExit(2)", [(None, 2)]),
        (
            "samx-sorting",
            "import os; raise SystemExit(os.environ['JOB_COMPLETION_INDEX'] == '2')",
            [(0, 0), (1, 0), (2, 1), (2, 1), (2, 1), (2, 1), (3, 0)],
        ),
    ],
)
def test_retries_end(tmp_path: Path, name: str, program: str, exit_codes: list[tuple[int | None, int]]) -> None:
    """Three more after the first, per index where the Job is indexed; the other indexes go on."""
    cluster = Cluster(render("base"), tmp_path)
    (container,) = find(cluster.objects, "Job", name)["spec"]["template"]["spec"]["containers"]
    container |= {"command": ["python", "-c", program], "args": []}
    outcome = cluster.run_job(name)
    assert (outcome.condition, sorted(outcome.exit_codes, key=str)) == ("Failed", exit_codes)
