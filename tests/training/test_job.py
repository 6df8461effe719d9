"""The whole job: published from a folder and from S3 alike, and however often it is interrupted."""

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from samx.artifact import read_artifact, resolve
from samx.classifier import load_classifier
from samx.errors import Interrupted, VersionExists, WrongInput
from samx.manifest import Manifest
from samx.storage import open_storage
from tests.training.small_run import small_config, to_toml
from training.config import LabelConfig, TrainingConfig
from training.job import STAGES, run_all, run_stage
from training.run import Run

pytestmark = pytest.mark.slow


def comparable(url: str) -> tuple[Manifest, bytes]:
    """Manifest but for time and place, and the weights."""
    artifact = read_artifact(resolve(open_storage(url)))
    provenance = artifact.manifest.provenance.model_copy(update={"created_at": "", "source": ""})
    return artifact.manifest.model_copy(update={"provenance": provenance}), artifact.files["weights.safetensors"]


@pytest.fixture(scope="module")
def finished(export: Path, tmp_path_factory: pytest.TempPathFactory) -> TrainingConfig:
    """A run that nothing interrupted."""
    config = small_config(export, tmp_path_factory.mktemp("finished"))
    assert run_all(config) == "published"
    return config


def model_url(config: TrainingConfig) -> str:
    return f"{config.publish.models}/{config.publish.name}"


def test_the_artifact_loads_and_knows_its_figures(finished: TrainingConfig) -> None:
    classifier, manifest = load_classifier(model_url(finished))
    assert manifest.provenance.readers == ("simulated",)
    metrics = json.loads(read_artifact(resolve(open_storage(model_url(finished)))).files["metrics.json"])
    parts = [metrics["holdout"][part]["n"] for part in ("holdout_internal", "holdout_external", "holdout")]
    assert parts[0] + parts[1] == parts[2] > 0
    assert 2 <= len(classifier.spec.classes) == len(set(classifier.spec.labels))


def test_the_compiled_engine_that_gives_the_reference_s_answers_is_published(
    finished: TrainingConfig, export: Path, tmp_path: Path
) -> None:
    shutil.copytree(Path(finished.run).parent, tmp_path, dirs_exist_ok=True)
    publish = finished.publish.model_copy(update={"engine": "int8", "models": str(tmp_path / "compiled")})
    config = small_config(export, tmp_path, publish=publish)
    assert run_all(config, again_from="publish") == "published"
    classifier, _ = load_classifier(model_url(config))
    artifact = read_artifact(resolve(open_storage(model_url(config))))
    found = json.loads(artifact.files["metrics.json"])["engine"]
    assert classifier.engine.name == f"onnxruntime {found['published']}"
    num_holdout = json.loads(artifact.files["metrics.json"])["holdout"]["num_radiographs"]
    for precision, candidate in found["candidates"].items():
        assert candidate["num_radiographs"] == num_holdout + len(json.loads(artifact.files["golden.json"]))
        assert candidate["accepted"] == (candidate["num_other_labels"] == candidate["num_other_decisions"] == 0)
        assert candidate["accepted"] == (precision == found["published"])


def test_evaluation_says_what_the_service_says(finished: TrainingConfig) -> None:
    """A radiograph of the hold-out, read from its file, gives the probability that evaluate wrote down."""
    run = Run(finished)
    classifier, _ = load_classifier(model_url(finished))
    for row in run.read_csv("evaluate/predictions.csv")[:10]:
        _, image = classifier.read(open_storage(finished.source).read(row["key"]))
        (prediction,) = classifier.classify([image])
        assert prediction.label == row["answer"]
        assert prediction.probabilities.max() == pytest.approx(float(row["probability"]), abs=1e-5)
        assert prediction.decision == row["decision"]


def test_a_second_run_does_nothing(finished: TrainingConfig) -> None:
    folder = Path(finished.run)
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    assert run_all(finished) == "published"
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == before


def test_the_same_run_on_s3_gives_the_same_artifact(finished: TrainingConfig, export: Path, s3_url: str) -> None:
    source = open_storage(f"{s3_url}/radiographs")
    for item in open_storage(export / "radiographs").list():
        source.write(item.key, (export / "radiographs" / item.key).read_bytes())
    config = small_config(export, s3_url, source=f"{s3_url}/radiographs")
    assert run_all(config) == "published"
    assert comparable(model_url(config)) == comparable(model_url(finished))


def test_without_decisions_the_run_waits_and_then_goes_on(
    finished: TrainingConfig, export: Path, tmp_path: Path
) -> None:
    config = small_config(export, tmp_path, label=finished.label.model_copy(update={"simulated_reader": None}))
    assert run_all(config) == "awaiting labels"
    assert run_all(config) == "awaiting labels"
    storage = open_storage(config.run)
    assert not storage.exists("done/label.json")
    for name in ("cluster_labels.csv", "radiograph_labels.csv"):
        storage.write(name, Run(finished).read(name))
    assert run_all(config) == "published"
    assert comparable(model_url(config))[1] == comparable(model_url(finished))[1]


def test_without_labels_of_single_radiographs_nothing_is_measured(
    finished: TrainingConfig, export: Path, tmp_path: Path
) -> None:
    """Clusters never judge: with decisions about clusters alone there is a model and no figure."""
    config = small_config(export, tmp_path, label=LabelConfig())
    run_all(config)
    open_storage(config.run).write("cluster_labels.csv", Run(finished).read("cluster_labels.csv"))
    assert run_all(config) == "published"
    artifact = read_artifact(resolve(open_storage(model_url(config))))
    assert json.loads(artifact.files["metrics.json"])["holdout"]["num_labelled"] == 0
    assert b"not measured" in artifact.files["MODEL_CARD.md"]


def test_after_another_round_of_reading_phase_2_is_done_again(
    finished: TrainingConfig, export: Path, tmp_path: Path
) -> None:
    shutil.copytree(Path(finished.run).parent, tmp_path, dirs_exist_ok=True)
    config = small_config(export, tmp_path)
    run = Run(config)
    before = resolve(open_storage(model_url(config))).url
    key = run.read_csv("label/labels.csv")[0]["key"]
    row = {"key": key, "label": "patella", "view": "", "laterality": "", "reader": "AB", "decided_at": ""}
    run.write_csv("corrections.csv", [row], tuple(row))
    with pytest.raises(WrongInput, match="label was done"):
        run_all(config)
    old_folds = run.read("cross_validate/fold-0.safetensors")
    assert run_all(config, again_from="label") == "published"
    assert {row["key"]: row["label"] for row in run.read_csv("label/labels.csv")}[key] == "patella"
    assert "patella" in run.read_json("label/classes.json")
    assert run.read("cross_validate/fold-0.safetensors") != old_folds
    assert run.read("cluster_labels.csv") == Run(finished).read("cluster_labels.csv")
    after = resolve(open_storage(model_url(config))).url
    assert after != before
    assert Path(before).is_dir()  # what was published stays


@pytest.mark.parametrize("stage", [stage.name for stage in STAGES if stage.name != "distill"])  # writes nothing here
def test_interrupted_in_any_stage_it_ends_with_the_same_artifact(
    stage: str, finished: TrainingConfig, export: Path, tmp_path: Path
) -> None:
    """The process is stopped at the third file that the stage writes - or its last, if there are fewer."""
    config = small_config(export, tmp_path)
    interrupted = stop_while_writing(config, stage, after=3) or stop_while_writing(config, stage, after=1)
    assert interrupted
    assert not Run(config).is_done(stage)
    assert run_all(config) == "published"
    assert comparable(model_url(config)) == comparable(model_url(finished))


def stop_while_writing(config: TrainingConfig, stage: str, *, after: int) -> bool:
    """Run up to `stage` and stop as if the machine were lost when it has written `after` files."""
    for earlier in STAGES[: [s.name for s in STAGES].index(stage)]:
        run_stage(config, earlier.name)
    run = Run(config)
    write: Callable[[str, bytes], None] = run.write
    written: list[str] = []

    class Lost(BaseException):
        pass

    class LosingRun(Run):
        def write(self, key: str, data: bytes) -> None:
            write(key, data)
            written.append(key)
            if len(written) == after:
                raise Lost

    (found,) = (s for s in STAGES if s.name == stage)
    try:
        LosingRun(config).execute(found)
    except Lost:
        return True
    open_storage(config.run).delete(f"done/{stage}.json")
    return False


def test_a_signal_in_training_is_exit_code_75_and_resumes_at_the_checkpoint(
    finished: TrainingConfig, export: Path, tmp_path: Path
) -> None:
    config_file = tmp_path / "training.toml"
    config_file.write_text(to_toml(small_config(export, tmp_path)))
    command = [sys.executable, "-m", "training", "run", "--config", str(config_file)]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE) as process:
        checkpoint = tmp_path / "run/pretrain/checkpoint.safetensors"
        deadline = time.monotonic() + 120
        while not checkpoint.exists() and time.monotonic() < deadline:
            time.sleep(0.01)
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate()
    assert process.returncode == 75, errors.decode()
    assert b"run the same command again to resume" in errors
    subprocess.run(command, env=environment, check=True, capture_output=True)
    assert comparable(f"{tmp_path}/models/small") == comparable(model_url(finished))


def test_the_same_version_twice_fails_cleanly(finished: TrainingConfig, export: Path, tmp_path: Path) -> None:
    """Another run may not replace what is published; the first artifact stays byte for byte."""
    version = comparable(model_url(finished))[0].version
    folder = Path(finished.publish.models) / "small" / version
    before = {path: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.rglob("*")}
    publish = finished.publish.model_copy(update={"version": version})
    config = small_config(export, tmp_path, publish=publish, seed=2)
    with pytest.raises(VersionExists, match="choose another version"):
        run_all(config)
    assert {path: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.rglob("*")} == before


def test_a_changed_configuration_is_refused_with_the_difference(finished: TrainingConfig, export: Path) -> None:
    changed = finished.model_copy(update={"cluster": finished.cluster.model_copy(update={"num_clusters": 5})})
    with pytest.raises(WrongInput, match=r"cluster was done in .*: configuration\.cluster\.num_clusters was 24, is 5"):
        run_all(changed)


def test_an_interruption_is_not_an_error_of_the_input() -> None:
    assert not issubclass(Interrupted, WrongInput)
