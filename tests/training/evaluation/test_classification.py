"""Figures of answers against labels: by hand, and against scikit-learn."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from sklearn.metrics import balanced_accuracy_score, brier_score_loss, f1_score, top_k_accuracy_score

from training.evaluation.calibration_error import brier_score, calibration_error, coverage_at, risk_coverage
from training.evaluation.classification import (
    Answers,
    classification_metrics,
    confusion_matrix,
    macro_f1,
    region_errors,
)

CLASSES = ["foot", "hand", "knee", "skull", "wrist"]


def measured(
    truth: Sequence[str], probabilities: npt.ArrayLike, classes: Sequence[str], patients: Sequence[str] | None = None
) -> Any:
    """Metrics of answers of which the most confident half is accepted."""
    values = np.array(probabilities, np.float32)
    accepted = values.max(1) >= np.median(values.max(1))
    names = list(patients) if patients is not None else [str(index) for index in range(len(truth))]
    return classification_metrics(Answers(truth, values, values, accepted, names, classes), resamples=200)


def drawn(seed: int, num_radiographs: int = 300) -> tuple[list[str], npt.NDArray[np.float32], list[str]]:
    """Labels, probabilities that know something of them, and patients of three radiographs."""
    generator = np.random.default_rng(seed)
    codes = generator.integers(len(CLASSES), size=num_radiographs)
    logits = generator.normal(size=(num_radiographs, len(CLASSES)))
    logits[np.arange(num_radiographs), codes] += 1.5
    odds = np.exp(logits)
    probabilities = (odds / odds.sum(1, keepdims=True)).astype(np.float32)
    return [CLASSES[code] for code in codes], probabilities, [str(index // 3) for index in range(num_radiographs)]


def test_classification_counts_top_1_to_top_3() -> None:
    probabilities = [[0.7, 0.2, 0.1], [0.3, 0.6, 0.1], [0.5, 0.4, 0.1], [0.1, 0.2, 0.7]]
    metrics = measured(["a", "a", "c", "c"], probabilities, ["a", "b", "c"])
    assert metrics["top_1"]["value"] == 0.5
    assert metrics["top_2"]["value"] == 0.75
    assert metrics["top_3"]["value"] == 1.0
    assert metrics["macro_recall"]["value"] == 0.5


def test_a_label_without_a_class_is_missed() -> None:
    """An entity that the clusters lost is an error of the whole, not left out of the count."""
    metrics = measured(["toe", "foot"], [[0.9, 0.1]] * 2, ["foot", "hand"])
    assert metrics["top_1"]["value"] == 0.5
    assert metrics["macro_recall"]["value"] == metrics["balanced_accuracy"]["value"] == 0.5
    assert metrics["per_class"]["toe"]["recall"]["value"] == 0.0
    assert metrics["brier"] == pytest.approx((0.9**2 + 0.1**2 + 0.1**2 + 0.1**2) / 2)


@pytest.mark.parametrize("seed", range(3))
def test_figures_are_those_of_scikit_learn(seed: int) -> None:
    truth, probabilities, patients = drawn(seed)
    metrics = measured(truth, probabilities, CLASSES, patients)
    given = [CLASSES[code] for code in probabilities.argmax(1)]
    for k in (1, 2, 3):
        expected = top_k_accuracy_score(truth, probabilities, k=k, labels=CLASSES)
        assert metrics[f"top_{k}"]["value"] == pytest.approx(expected, abs=1e-6)
    assert metrics["balanced_accuracy"]["value"] == pytest.approx(balanced_accuracy_score(truth, given), abs=1e-6)
    assert metrics["macro_f1"]["value"] == pytest.approx(f1_score(truth, given, average="macro"), abs=1e-6)
    one_hot = np.array(truth)[:, None] == np.array(CLASSES)
    expected = sum(brier_score_loss(one_hot[:, k], probabilities[:, k]) for k in range(len(CLASSES)))
    assert metrics["brier"] == pytest.approx(expected, abs=1e-6)


def test_the_bootstrap_s_figures_are_those_of_the_resampled_radiographs() -> None:
    """Their percentiles are those of scikit-learn's figures over the same draws."""
    truth, probabilities, patients = drawn(4, 90)
    metrics = measured(truth, probabilities, CLASSES, patients)
    names = np.unique(patients)
    of_patient = [np.flatnonzero(np.array(patients) == name) for name in names]
    labels, given = np.array(truth), np.array(CLASSES)[probabilities.argmax(1)]
    generator = np.random.default_rng(0)
    scores = []
    for _ in range(2):  # as blocks of 100 are drawn
        for picks in generator.integers(len(names), size=(100, len(names))):
            chosen = np.concatenate([of_patient[pick] for pick in picks])
            scores.append(
                (
                    (labels[chosen] == given[chosen]).mean(),
                    balanced_accuracy_score(labels[chosen], given[chosen]),
                    f1_score(labels[chosen], given[chosen], average="macro"),
                )
            )
    expected = np.percentile(scores, (2.5, 97.5), axis=0).T
    for name, limits in zip(("top_1", "balanced_accuracy", "macro_f1"), expected, strict=True):
        found = metrics[name]["bootstrap"]
        assert (found["low"], found["high"]) == pytest.approx(tuple(limits), abs=1e-6), name
        assert found["resamples"] == 200


def test_patients_with_several_radiographs_widen_the_bootstrap() -> None:
    truth, probabilities, _ = drawn(5)
    hits = np.array(truth) == np.array(CLASSES)[probabilities.argmax(1)]
    of_hits = np.argsort(hits, kind="stable")  # patients are recognised wholly or not at all
    patients = np.empty(len(truth), dtype="<U3")
    patients[of_hits] = [str(index // 10) for index in range(len(truth))]
    alone = measured(truth, probabilities, CLASSES)["top_1"]["bootstrap"]
    together = measured(truth, probabilities, CLASSES, patients.tolist())["top_1"]["bootstrap"]
    assert together["high"] - together["low"] > 2 * (alone["high"] - alone["low"])


def test_macro_f1_counts_labels_that_are_only_answered() -> None:
    assert macro_f1(["a", "a"], ["a", "b"]) == pytest.approx(f1_score(["a", "a"], ["a", "b"], average="macro"))


def test_hand_for_wrist_is_no_error_of_the_region_and_hand_for_skull_is_one() -> None:
    truth, given = ["wrist", "skull", "hand", "my own label", "not_musculoskeletal"], ["hand", "hand", "hand"] * 2
    assert region_errors(truth, given[:5]).tolist() == [False, True, False, True]


def test_calibration_error_of_overconfidence() -> None:
    assert calibration_error(np.full(10, 0.95, np.float32), np.array([True] * 5 + [False] * 5)) == pytest.approx(0.45)


def test_brier_score_of_knowing_nothing() -> None:
    assert brier_score(np.full((3, 4), 0.25, np.float32), ["a", "b", "b"], list("abcd")) == pytest.approx(0.75)


def test_risk_coverage_by_hand() -> None:
    confidences, hits = np.array([0.9, 0.5, 0.8, 0.5], np.float32), np.array([True, False, True, True])
    assert risk_coverage(confidences, hits) == {"coverage": [0.25, 0.5, 1.0], "accuracy": [1.0, 1.0, 0.75]}
    assert coverage_at(confidences, hits, 0.99) == 0.5
    assert coverage_at(confidences, hits, 0.7) == 1.0
    assert coverage_at(confidences, ~hits, 0.99) == 0.0


def test_risk_coverage_has_at_most_101_points_and_ends_with_all() -> None:
    generator = np.random.default_rng(0)
    hits = generator.random(5000) < 0.9
    curve = risk_coverage(generator.random(5000).astype(np.float32), hits)
    assert len(curve["coverage"]) == len(curve["accuracy"]) == 101
    assert curve["coverage"][-1] == 1.0
    assert curve["accuracy"][-1] == pytest.approx(hits.mean(), abs=1e-6)


def test_confusion_rows_are_labels() -> None:
    counts = confusion_matrix(["a", "a", "b"], ["a", "b", "b"], ["a", "b"])
    assert counts.tolist() == [[1, 1], [0, 1]]
