"""Every figure that a run reports of its answers, made again from the saved predictions by other libraries."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import safetensors.numpy
from scipy.stats import binomtest  # type: ignore[import-untyped]  # carries no types
from sklearn.metrics import (
    brier_score_loss,
    f1_score,
    precision_score,
    recall_score,
    roc_auc_score,
)

from samx.anatomy import NOT_MUSCULOSKELETAL, tag_agrees
from samx.body_region import body_region
from samx.storage import open_storage
from training.config import TrainingConfig
from training.evaluation.robustness import ROBUSTNESS_COLUMNS
from training.run import RADIOGRAPH_LABELS, Run, read_table
from training.stages.evaluate import evaluate

ROUNDING = 1e-6


class Saved:
    """What a stage has left of its answers: rows of a part that have a label, and their probabilities."""

    def __init__(self, run: Run, stage: str, part: str = "") -> None:
        rows = run.read_csv(f"{stage}/predictions.csv")
        chosen = [i for i, row in enumerate(rows) if row["label"] and row.get("part", "").startswith(part)]
        self.rows = [rows[i] for i in chosen]
        self.classes: list[str] = run.read_json("label/classes.json")
        self.calibrated = run.read_array(f"{stage}/probabilities.npy")[chosen].astype(np.float64)
        self.uncalibrated = run.read_array(f"{stage}/uncalibrated.npy")[chosen].astype(np.float64)
        self.truth = [row["label"] for row in self.rows]
        self.given = [row["answer"] for row in self.rows]
        self.hits = np.array([row["label"] == row["answer"] for row in self.rows])


def assert_proportion(found: Any, hits: npt.ArrayLike) -> None:
    """Value, Wilson limits and count."""
    successes, total = int(np.sum(hits)), len(np.asarray(hits))
    assert found["n"] == total
    if total == 0:
        assert (found["value"], found["low"], found["high"]) == (None, 0, 1)
        return
    limits = binomtest(successes, total).proportion_ci(0.95, method="wilson")
    expected = (successes / total, limits.low, limits.high)
    assert (found["value"], found["low"], found["high"]) == pytest.approx(expected, abs=ROUNDING)


def assert_classification(found: Any, saved: Saved, *, seed: int, resamples: int) -> None:
    """Every figure of a set of answers."""
    names = np.array(saved.classes)
    assert found["n"] == len(saved.rows)
    assert found["num_patients"] == len({row["patient"] for row in saved.rows})
    ranked = [names[sorted(range(len(names)), key=lambda k: -row[k])] for row in saved.calibrated]
    assert [order[0] for order in ranked] == saved.given
    for k in (1, 2, 3):
        assert_proportion(found[f"top_{k}"], [t in order[:k] for t, order in zip(saved.truth, ranked, strict=True)])
    # A label without a class has no column; scikit-learn's recalls are made from the answers alone.
    present = sorted(set(saved.truth))
    recall = recall_score(saved.truth, saved.given, average="macro", labels=present, zero_division=0)
    assert found["macro_recall"]["value"] == pytest.approx(recall, abs=ROUNDING)
    assert found["macro_recall"]["n"] == len(present)
    assert found["balanced_accuracy"]["value"] == pytest.approx(recall, abs=ROUNDING)
    f1 = f1_score(saved.truth, saved.given, average="macro", zero_division=0)
    assert found["macro_f1"]["value"] == pytest.approx(f1, abs=ROUNDING)
    accepted = np.array([row["decision"] == "accept" for row in saved.rows])
    assert set(found["per_class"]) == {*saved.truth, *saved.classes}
    for label, figures in found["per_class"].items():
        of_label, answered = [np.array(values) == label for values in (saved.truth, saved.given)]
        assert_proportion(figures["recall"], saved.hits[of_label])
        assert_proportion(figures["precision"], saved.hits[answered])
        assert_proportion(figures["accepted"], accepted[answered])
        assert_proportion(figures["accepted_precision"], saved.hits[answered & accepted])
        if answered.any():
            precision = precision_score(saved.truth, saved.given, labels=[label], average="macro", zero_division=0)
            assert figures["precision"]["value"] == pytest.approx(precision, abs=ROUNDING)
    assert_proportion(found["accepted"], accepted)
    assert_proportion(found["accepted_precision"], saved.hits[accepted])
    regions = [(body_region(t), body_region(g)) for t, g in zip(saved.truth, saved.given, strict=True)]
    assert_proportion(found["body_region_error"], [t != g for t, g in regions if t and g])
    assert_calibration(found, saved)
    assert_bootstrap(found, saved, accepted, seed=seed, resamples=resamples)


def assert_calibration(found: Any, saved: Saved) -> None:
    one_hot = np.array(saved.truth)[:, None] == np.array(saved.classes)
    for suffix, probabilities in (("", saved.calibrated), ("_uncalibrated", saved.uncalibrated)):
        brier = sum(
            brier_score_loss(one_hot[:, k], probabilities[:, k], pos_label=True) for k in range(one_hot.shape[1])
        )
        assert found[f"brier{suffix}"] == pytest.approx(brier, abs=2e-6)
        confidences = probabilities.max(1)
        bins = np.digitize(confidences, np.linspace(0, 1, 11)[1:-1])
        gaps = [
            (bins == b).sum() * abs(saved.hits[bins == b].mean() - confidences[bins == b].mean())
            for b in set(bins.tolist())
        ]
        assert found[f"expected_calibration_error{suffix}"] == pytest.approx(sum(gaps) / len(bins), abs=2e-6)
    confidences = saved.calibrated.max(1)
    thresholds = sorted(set(confidences.tolist()), reverse=True)
    curve = [((confidences >= t).mean(), saved.hits[confidences >= t].mean()) for t in thresholds]
    points = list(zip(found["risk_coverage"]["coverage"], found["risk_coverage"]["accuracy"], strict=True))
    assert len(points) == min(101, len(curve))
    rounded = {(round(float(c), 6), round(float(a), 6)) for c, a in curve}
    assert set(points) <= rounded
    kept = [coverage for coverage, accuracy in curve if accuracy >= 0.99]
    assert found["coverage_at_99"] == pytest.approx(max(kept, default=0.0), abs=ROUNDING)


def assert_bootstrap(found: Any, saved: Saved, accepted: npt.NDArray[np.bool_], *, seed: int, resamples: int) -> None:
    """The same draws of patients, each figure made of the radiographs that were drawn."""
    patients = np.array([row["patient"] for row in saved.rows])
    of_patient = [np.flatnonzero(patients == name) for name in np.unique(patients)]
    generator = np.random.default_rng(seed)
    truth, given = np.array(saved.truth), np.array(saved.given)
    scores: dict[str, list[float]] = {
        name: [] for name in ("top_1", "balanced_accuracy", "macro_f1", "accepted_precision")
    }
    for _ in range(resamples // 100):
        for picks in generator.integers(len(of_patient), size=(100, len(of_patient))):
            drawn = np.concatenate([of_patient[pick] for pick in picks])
            t, g = truth[drawn], given[drawn]
            scores["top_1"].append((t == g).mean())
            labels = sorted(set(t.tolist()))
            scores["balanced_accuracy"].append(recall_score(t, g, average="macro", labels=labels, zero_division=0))
            scores["macro_f1"].append(f1_score(t, g, average="macro", zero_division=0))
            if accepted[drawn].any():
                scores["accepted_precision"].append((t == g)[accepted[drawn]].mean())
    for name, values in scores.items():
        expected = tuple(np.percentile(values, (2.5, 97.5))) if values else (0, 1)
        limits = found[name]["bootstrap"]
        assert (limits["low"], limits["high"]) == pytest.approx(expected, abs=ROUNDING), name
        assert limits["resamples"] == resamples


@pytest.mark.parametrize("stage", ["evaluate", "cross_validate"])
def test_decisions_follow_from_the_threshold_of_the_answer_s_class(stage: str, evaluated: TrainingConfig) -> None:
    run = Run(evaluated)
    calibration, rows = run.read_json("cross_validate/calibration.json"), run.read_csv(f"{stage}/predictions.csv")
    confidences = run.read_array(f"{stage}/probabilities.npy").max(1)
    for row, confidence in zip(rows, confidences.tolist(), strict=True):
        threshold = calibration["review_thresholds"].get(row["answer"], calibration["review_threshold"])
        is_unsure = confidence < threshold or threshold >= 1
        beyond = float(row["out_of_scope_score"]) - calibration["out_of_scope_threshold"]
        if abs(beyond) < 1e-4:  # the table has four digits
            continue
        sure = "out_of_scope" if row["answer"] == NOT_MUSCULOSKELETAL else "accept"
        assert row["decision"] == ("out_of_scope" if beyond > 0 else "review" if is_unsure else sure)


def test_what_is_accepted_out_of_fold_keeps_the_promise(evaluated: TrainingConfig) -> None:
    rows = [row for row in Run(evaluated).read_csv("cross_validate/predictions.csv") if row["label"]]
    hits = [row["label"] == row["answer"] for row in rows if row["decision"] == "accept"]
    assert len(hits) > 10
    assert sum(hits) >= evaluated.cross_validate.accepted_precision * (len(hits) + 1)


def test_the_model_answers_with_every_decision(evaluated: TrainingConfig) -> None:
    """Or the tests below would prove little."""
    rows = Run(evaluated).read_csv("evaluate/predictions.csv")
    assert {row["decision"] for row in rows} >= {"accept", "review"}
    assert 0 < sum(row["label"] == row["answer"] for row in rows) < len(rows)


@pytest.mark.parametrize("part", ["holdout", "holdout_internal", "holdout_external"])
def test_the_hold_out_s_figures_follow_from_the_saved_answers(part: str, evaluated: TrainingConfig) -> None:
    run = Run(evaluated)
    metrics = run.read_json("evaluate/metrics.json")
    assert_classification(metrics[part], Saved(run, "evaluate", part), seed=evaluated.seed, resamples=200)


def test_cross_validation_s_figures_follow_from_the_saved_answers(evaluated: TrainingConfig) -> None:
    run, saved = Run(evaluated), Saved(Run(evaluated), "cross_validate")
    metrics = run.read_json("cross_validate/metrics.json")
    assert_classification(metrics, saved, seed=evaluated.seed, resamples=2000)
    folds = np.array([int(row["fold"]) for row in saved.rows])
    shares = [saved.hits[folds == fold].mean() for fold in sorted(set(folds.tolist()))]
    for entry, fold in zip(metrics["folds"], sorted(set(folds.tolist())), strict=True):
        assert entry["fold"] == fold
        assert_proportion(entry["top_1"], saved.hits[folds == fold])
    assert metrics["top_1_mean"] == pytest.approx(np.mean(shares), abs=ROUNDING)
    assert metrics["top_1_standard_deviation"] == pytest.approx(np.std(shares, ddof=1), abs=ROUNDING)


def test_the_figures_of_the_steps_before_fine_tuning_follow_from_the_folds_logits(evaluated: TrainingConfig) -> None:
    run = Run(evaluated)
    metrics, classes = run.read_json("cross_validate/metrics.json"), run.read_json("label/classes.json")
    rows = run.read_csv("cross_validate/predictions.csv")
    for step in ("injected_head", "linear_head"):
        hits = []
        for fold in sorted({int(row["fold"]) for row in rows}):
            logits = safetensors.numpy.load(run.read(f"cross_validate/fold-{fold}.safetensors"))[f"before.{step}"]
            labels = [row["label"] for row in rows if int(row["fold"]) == fold]
            answers = [classes[int(row.argmax())] for row in logits]
            hits += [answer == label for answer, label in zip(answers, labels, strict=True) if label]
        assert_proportion(metrics[step], hits)


def test_no_patient_of_a_fold_was_learned_from_for_it(evaluated: TrainingConfig) -> None:
    rows = Run(evaluated).read_csv("cross_validate/predictions.csv")
    folds: dict[str, set[str]] = {}
    for row in rows:
        folds.setdefault(row["patient"], set()).add(row["fold"])
    assert all(len(found) == 1 for found in folds.values())


@pytest.mark.parametrize("stage", ["evaluate", "cross_validate"])
def test_rows_of_probabilities_are_rows_of_predictions(stage: str, evaluated: TrainingConfig) -> None:
    run = Run(evaluated)
    rows, classes = run.read_csv(f"{stage}/predictions.csv"), run.read_json("label/classes.json")
    probabilities = run.read_array(f"{stage}/probabilities.npy")
    assert probabilities.dtype == np.float32
    assert probabilities.shape == run.read_array(f"{stage}/uncalibrated.npy").shape == (len(rows), len(classes))
    assert probabilities.sum(1) == pytest.approx(np.ones(len(rows)), abs=1e-5)
    for row, values in zip(rows, probabilities, strict=True):
        assert row["answer"] == classes[int(values.argmax())]
        assert float(row["probability"]) == pytest.approx(values.max(), abs=ROUNDING)


def test_uncalibrated_probabilities_are_those_at_temperature_1(evaluated: TrainingConfig) -> None:
    run = Run(evaluated)
    temperature = run.read_json("cross_validate/calibration.json")["temperature"]
    assert abs(temperature - 1) > 0.05
    for stage in ("evaluate", "cross_validate"):
        with np.errstate(divide="ignore"):  # a class that a fold has not learned
            logits = np.log(run.read_array(f"{stage}/uncalibrated.npy").astype(np.float64))
        odds = np.exp(logits / temperature)
        found = run.read_array(f"{stage}/probabilities.npy")
        np.testing.assert_allclose(found, odds / odds.sum(1, keepdims=True), atol=1e-5)


def test_subgroups_and_tags_follow_from_the_saved_answers(evaluated: TrainingConfig) -> None:
    run, saved = Run(evaluated), Saved(Run(evaluated), "evaluate")
    metrics = run.read_json("evaluate/metrics.json")
    implants = {
        row["key"]: row["implant"] for row in read_table(open_storage(Path(evaluated.source).parent), "truth.csv")
    }
    assert {row["implant"] for row in saved.rows} == {"yes", "no"}
    assert all((row["implant"] == "yes") == (implants[row["key"]] == "1") for row in saved.rows)
    for name in ("site", "sex", "age_group", "implant", "view"):
        values = np.array([row[name] or "(unknown)" for row in saved.rows])
        assert set(metrics["subgroups"][name]) == set(values.tolist())
        for value, figures in metrics["subgroups"][name].items():
            assert_proportion(figures["top_1"], saved.hits[values == value])
            assert figures["n"] == (values == value).sum()
    body_parts = {row["key"]: row["body_part_examined"] for row in run.read_csv("index/index.csv")}
    tags = [body_parts[row["key"]] for row in saved.rows]
    right = np.array([tag_agrees(label, tag) for label, tag in zip(saved.truth, tags, strict=True)], object)
    agrees = np.array([tag_agrees(answer, tag) for answer, tag in zip(saved.given, tags, strict=True)], object)
    known = np.array([value is not None for value in right])
    assert metrics["tag"]["n_tagged"] == known.sum()
    assert_proportion(metrics["tag"]["tag_right"], right[known] == True)  # noqa: E712  # of objects
    assert_proportion(metrics["tag"]["agrees"], agrees[known & (agrees != None)] == True)  # noqa: E711, E712
    assert_proportion(metrics["tag"]["answer_right_where_tag_wrong"], saved.hits[right == False])  # noqa: E712
    for value, name in ((True, "right"), (False, "wrong")):
        assert_proportion(metrics["subgroups"]["tag"][name]["top_1"], saved.hits[right == value])


def test_robustness_follows_from_the_saved_answers(evaluated: TrainingConfig) -> None:
    run = Run(evaluated)
    rows, found = run.read_csv("evaluate/robustness.csv"), run.read_json("evaluate/metrics.json")["robustness"]
    answers = {row["key"]: row["answer"] for row in run.read_csv("evaluate/predictions.csv")}
    assert set(found) == set(ROBUSTNESS_COLUMNS[2:])
    for name, figures in found.items():
        assert figures["n"] == len(rows) == len(answers)
        assert_proportion(figures["top_1"], [row["label"] == row[name] for row in rows if row["label"]])
        assert_proportion(figures["same_answer"], [answers[row["key"]] == row[name] for row in rows])
    assert found["original"]["same_answer"]["value"] == 1
    assert found["rotated_90"]["same_answer"]["value"] < 1


def test_view_and_laterality_figures_follow_from_the_saved_answers(evaluated: TrainingConfig) -> None:
    run, saved = Run(evaluated), Saved(Run(evaluated), "evaluate")
    learned, found = run.read_json("label/attributes.json"), run.read_json("evaluate/metrics.json")["attributes"]
    assert set(found) == set(learned) == {"view", "laterality"}
    for name, figures in found.items():
        judged = [row for row in saved.rows if row[f"{name}_answer"] and row[f"{name}_label"] in learned[name]]
        truth, given = ([row[f"{name}_{what}"] for row in judged] for what in ("label", "answer"))
        assert figures["n"] == len(judged) > 0
        assert_proportion(figures["accuracy"], np.array(truth) == np.array(given))
        present = sorted(set(truth))
        recall = recall_score(truth, given, average="macro", labels=present, zero_division=0)
        assert figures["macro_recall"]["value"] == pytest.approx(recall, abs=ROUNDING)
        assert figures["commonest"] == pytest.approx(max(map(truth.count, present)) / len(truth), abs=ROUNDING)
        assert set(figures["recall"]) == set(present)
        for value, of_value in figures["recall"].items():
            assert_proportion(of_value, [answer == value for t, answer in zip(truth, given, strict=True) if t == value])


def test_out_of_scope_figures_follow_from_the_saved_scores(evaluated: TrainingConfig) -> None:
    run, saved = Run(evaluated), Saved(Run(evaluated), "evaluate")
    scope = [
        float(row["out_of_scope_score"])
        for row in saved.rows
        if row["label"] in saved.classes and row["label"] != NOT_MUSCULOSKELETAL
    ]
    rows, found = run.read_csv("evaluate/foreign.csv"), run.read_json("evaluate/metrics.json")["foreign"]
    assert set(found) == {"photograph", "text_page", "ultrasound", "noise", "inverted", "upside_down"}
    for kind, figures in found.items():
        of_kind = [row for row in rows if row["kind"] == kind]
        scores = [float(row["out_of_scope_score"]) for row in of_kind]
        auroc = roc_auc_score([0] * len(scope) + [1] * len(scores), scope + scores)
        assert figures["auroc"]["value"] == pytest.approx(auroc, abs=ROUNDING)
        assert 0 <= figures["auroc"]["low"] <= auroc <= figures["auroc"]["high"] <= 1
        assert figures["n"] == figures["auroc"]["n"] == len(of_kind)
        assert_proportion(figures["out_of_scope"], [row["decision"] == "out_of_scope" for row in of_kind])


def test_without_labels_nothing_is_measured_that_needs_them(evaluated: TrainingConfig, tmp_path: Path) -> None:
    shutil.copytree(evaluated.run, tmp_path / "run")
    (tmp_path / "run" / RADIOGRAPH_LABELS).unlink()
    run = Run(evaluated.model_copy(update={"run": str(tmp_path / "run")}))
    evaluate(run)
    metrics = run.read_json("evaluate/metrics.json")
    assert metrics["num_labelled"] == 0 < metrics["num_radiographs"]
    assert not {"holdout", "holdout_internal", "subgroups", "tag", "attributes"} & set(metrics)
    assert metrics["robustness"]["marker"]["top_1"]["value"] is None
    assert metrics["robustness"]["marker"]["same_answer"]["n"] == metrics["num_radiographs"]
    assert metrics["foreign"]["noise"]["auroc"]["value"] is None
    assert metrics["foreign"]["noise"]["out_of_scope"]["n"] == evaluated.evaluate.num_foreign
    assert set(metrics["foreign"]) == {"photograph", "text_page", "ultrasound", "noise"}
    before = Run(evaluated).read_csv("evaluate/predictions.csv")
    for old, new in zip(before, run.read_csv("evaluate/predictions.csv"), strict=True):
        assert new == old | {"label": "", "tag_is_right": "", "view_label": "", "laterality_label": ""}
