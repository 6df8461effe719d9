"""A run with a student: calibrated on its own out-of-fold answers, published beside the network that has taught it."""

import json
import shutil
from pathlib import Path

import numpy as np
import onnx
import pytest
import safetensors.numpy

from samx.artifact import Artifact, read_artifact, resolve
from samx.classifier import load_classifier
from samx.errors import WrongInput
from samx.manifest import ENGINE, GOLDEN, STUDENT
from samx.storage import open_storage
from tests.training.evaluation.conftest import answering_config
from tests.training.test_job import stop_while_writing
from training.calibration import fit_temperature
from training.config import DistillConfig, TrainingConfig
from training.dataset import load_dataset, radiograph_labels
from training.evaluation.student import student_summary
from training.fold_answers import network_key, read_fold_answers
from training.job import run_all, run_stage
from training.run import Run

pytestmark = pytest.mark.slow


def url_of(config: TrainingConfig) -> str:
    return f"{config.publish.models}/{config.publish.name}"


def artifact_of(config: TrainingConfig) -> Artifact:
    return read_artifact(resolve(open_storage(url_of(config))))


def copied(taught: TrainingConfig, export: Path, folder: Path) -> TrainingConfig:
    """The same finished run in another folder."""
    shutil.copytree(Path(taught.run).parent, folder, dirs_exist_ok=True)
    publish = taught.publish.model_copy(update={"models": f"{folder}/models"})
    return answering_config(export, folder, architecture=taught.architecture, distill=taught.distill, publish=publish)


def test_the_student_answers_on_cpus_and_the_reference_where_it_is_asked_for(taught: TrainingConfig) -> None:
    manifest = artifact_of(taught).manifest
    served, reference = load_classifier(url_of(taught))[0], load_classifier(url_of(taught), compiled=False)[0]
    assert manifest.cpu_model is not None
    assert served.spec == manifest.cpu_model != manifest.model == reference.spec
    assert served.spec.architecture.backbone == "resnet18_slim"
    assert (served.engine.name, reference.engine.name) == ("onnxruntime fp32", "torch cpu")


def test_the_engine_is_compiled_from_the_student(taught: TrainingConfig) -> None:
    artifact = artifact_of(taught)
    outputs = {output.name: output for output in onnx.load_from_string(artifact.files[ENGINE]).graph.output}
    num_features = outputs["feature_maps"].type.tensor_type.shape.dim[1].dim_value
    assert num_features == len(safetensors.numpy.load(artifact.files[STUDENT])["head.weight"][0]) == 256


def test_golden_answers_are_recorded_for_both(taught: TrainingConfig) -> None:
    for entry in json.loads(artifact_of(taught).files[GOLDEN]):
        assert not np.allclose(entry["probabilities"], entry["student_probabilities"], atol=1e-3)


def test_every_fold_is_answered_by_a_student_that_has_not_seen_it(taught: TrainingConfig) -> None:
    """A student of the whole development set would answer otherwise."""
    run = Run(taught)
    folds = sorted(set(load_dataset(run, "development").folds))
    answers, large = (read_fold_answers(run, stage, folds) for stage in ("distill", "cross_validate"))
    assert answers["positions_N"].tolist() == list(range(len(answers["logits_NK"])))
    assert answers["logits_NK"].shape == large["logits_NK"].shape
    assert np.array_equal(answers["logits_NK"].isinf(), large["logits_NK"].isinf())
    found = safetensors.numpy.load(artifact_of(taught).files[STUDENT])
    assert found["head.weight"].shape == (answers["logits_NK"].shape[1], 256)
    weights = [run.read(network_key(fold)) for fold in folds]
    assert len(set(weights)) == len(folds)


def test_thresholds_of_the_student_follow_from_its_own_out_of_fold_answers(taught: TrainingConfig) -> None:
    run = Run(taught)
    development, truth = load_dataset(run, "development"), radiograph_labels(run)
    classes = run.read_json("label/classes.json")
    answers = read_fold_answers(run, "distill", sorted(set(development.folds)))
    known = [index for index, key in enumerate(development.keys) if key in truth]
    temperature = fit_temperature(
        answers["logits_NK"][known], [truth[development.keys[index]] for index in known], classes
    )
    spec, reference = artifact_of(taught).manifest.cpu_model, artifact_of(taught).manifest.model
    assert spec is not None
    assert spec.temperature == pytest.approx(temperature, rel=1e-6)
    assert spec.temperature != reference.temperature
    in_scope = [index for index in known if truth[development.keys[index]] in classes]
    quantile = answers["distances_N"][in_scope].quantile(taught.cross_validate.in_scope_quantile)
    assert spec.out_of_scope_threshold == pytest.approx(float(quantile), rel=1e-6)


def test_the_loss_is_counted_on_out_of_fold_answers(taught: TrainingConfig) -> None:
    run, summary = Run(taught), Run(taught).read_json("distill/summary.json")
    large, small = (run.read_csv(f"{stage}/predictions.csv") for stage in ("cross_validate", "distill"))
    right = [sum(row["answer"] == row["label"] for row in rows) for rows in (large, small)]
    assert summary["loss"] == pytest.approx((right[0] - right[1]) / len(large), abs=1e-6)
    same = [one["answer"] == other["answer"] for one, other in zip(large, small, strict=True)]
    assert summary["agreement"] == pytest.approx(np.mean(same), abs=1e-6)
    assert summary["is_accepted"] == (summary["loss"] <= taught.distill.largest_loss)


def test_without_labels_the_share_of_other_answers_is_the_loss(
    taught: TrainingConfig, few_labels: Path, tmp_path: Path
) -> None:
    run = Run(copied(taught, few_labels, tmp_path))
    for stage in ("cross_validate", "distill"):
        rows = [row | {"label": ""} for row in run.read_csv(f"{stage}/predictions.csv")]
        run.write_csv(f"{stage}/predictions.csv", rows, tuple(rows[0]))
    summary = student_summary(run)
    assert summary["top_1"] is None
    assert summary["loss"] == pytest.approx(1 - float(str(summary["agreement"])), abs=1e-6)


def test_metrics_hold_the_student_s_figures_and_the_paired_comparison(taught: TrainingConfig) -> None:
    metrics = json.loads(artifact_of(taught).files["metrics.json"])
    student, run = metrics["student"], Run(taught)
    assert student["published"]
    assert student["holdout"] == run.read_json("evaluate/student/metrics.json")
    paired = student["against_reference"]["holdout"]["top_1"]
    assert paired["a"] == pytest.approx(metrics["holdout"]["holdout"]["top_1"]["value"], abs=1e-6)
    assert paired["b"] == pytest.approx(student["holdout"]["holdout"]["top_1"]["value"], abs=1e-6)
    large, small = (run.read_csv(f"{folder}/predictions.csv") for folder in ("evaluate", "evaluate/student"))
    hits = [(a["answer"] == a["label"], b["answer"] == b["label"]) for a, b in zip(large, small, strict=True)]
    assert (paired["only_a"], paired["only_b"]) == (hits.count((True, False)), hits.count((False, True)))


def test_card_and_report_name_the_network_that_answers_on_cpus(taught: TrainingConfig) -> None:
    files = artifact_of(taught).files
    card, report = files["MODEL_CARD.md"].decode(), files["report.html"].decode()
    assert "A resnet18_slim answers there, by ONNX Runtime in fp32." in card
    assert 'href="#student"' in report
    loss, agreement = (Run(taught).read_json("distill/summary.json")[name] for name in ("loss", "agreement"))
    assert f"{100 * agreement:.1f} % are the same; {100 * loss:.2f} points of right ones are lost" in report


def test_a_student_that_loses_too_much_is_left_out(
    taught: TrainingConfig, few_labels: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    config = copied(taught, few_labels, tmp_path)
    run = Run(config)
    run.write_json("distill/summary.json", run.read_json("distill/summary.json") | {"is_accepted": False})
    with caplog.at_level("WARNING"):
        assert run_all(config, again_from="publish") == "published"
    assert "the resnet18_slim for CPUs is left out" in caplog.text
    artifact = artifact_of(config)
    assert artifact.manifest.cpu_model is None
    assert STUDENT not in artifact.files
    assert json.loads(artifact.files["metrics.json"])["student"]["published"] is False
    assert "left out" in artifact.files["MODEL_CARD.md"].decode()
    served = load_classifier(url_of(config))[0]
    assert served.spec == artifact.manifest.model
    assert served.engine.name == "onnxruntime fp32"


def test_interrupted_among_the_folds_it_ends_with_the_same_student(
    taught: TrainingConfig, few_labels: Path, tmp_path: Path
) -> None:
    config = copied(taught, few_labels, tmp_path)
    for stage in ("publish", "report", "explain", "evaluate", "distill"):
        Run(config).forget(stage)
    assert stop_while_writing(config, "distill", after=2)
    before = (tmp_path / "run/distill/fold-0.safetensors").stat().st_mtime_ns
    run_stage(config, "distill")
    assert (tmp_path / "run/distill/fold-0.safetensors").stat().st_mtime_ns == before
    assert (
        Run(config).read_json("done/distill.json")["outputs"] == Run(taught).read_json("done/distill.json")["outputs"]
    )


def test_a_run_without_networks_of_its_folds_says_how_to_get_them(
    taught: TrainingConfig, few_labels: Path, tmp_path: Path
) -> None:
    config = copied(taught, few_labels, tmp_path)
    Run(config).forget("distill")
    open_storage(config.run).delete(network_key(0))
    with pytest.raises(WrongInput, match="--again-from cross_validate"):
        run_stage(config, "distill")


def test_without_a_student_nothing_is_written_and_nothing_changes(evaluated: TrainingConfig) -> None:
    """And a run that was finished before there were students is still finished."""
    run, manifest = Run(evaluated), artifact_of(evaluated).manifest
    assert run.read_json("done/distill.json")["outputs"] == {}
    assert "distill" not in run.read_json("done/publish.json")["inputs"]["stages"]
    assert "distill" not in evaluated.fields(["distill"])
    assert evaluated.sha256() == evaluated.model_copy(update={"distill": DistillConfig(epochs=7)}).sha256()
    assert manifest.cpu_model is None
