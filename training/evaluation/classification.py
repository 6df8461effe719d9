"""What is reported of a classifier's answers against labels: on the hold-out, on its halves, out of fold.

Each docstring says what is measured, what chance gives, and what is not measured. Shares carry Wilson's interval, which
takes radiographs as independent, and beside it the limits of the bootstrap over patients, which does not.

Shape suffixes: N radiographs, K classes in head order, L labels (the classes and what they lack), B resamples.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from samx.body_region import body_region
from training.evaluation.calibration_error import brier_score, calibration_error, coverage_at, risk_coverage
from training.evaluation.intervals import (
    RESAMPLES,
    bootstrap_interval,
    mean_of_proportions,
    percentile_limits,
    proportion,
    resampled_sums,
    rounded,
)

PROMISED_ACCURACY = 0.99


@dataclass(frozen=True)
class Answers:
    """The answers of a classifier for radiographs whose label is known."""

    truth: Sequence[str]
    """Labels given by people or by the data set, `N`; one that is none of the classes counts as missed: what the
    clusters lost is an error of the whole."""
    probabilities_NK: npt.NDArray[np.float32]
    """Calibrated, in [0, 1]."""
    uncalibrated_NK: npt.NDArray[np.float32]
    """The same before calibration."""
    accepted_N: npt.NDArray[np.bool_]
    """Whether the decision was `accept`."""
    patients: Sequence[str]
    """Pseudonyms, `N`."""
    classes: Sequence[str]
    """Labels in head order, `K`."""

    def where(self, chosen_N: npt.NDArray[np.bool_]) -> "Answers":
        """Some of them."""
        return Answers(
            [label for label, kept in zip(self.truth, chosen_N, strict=True) if kept],
            self.probabilities_NK[chosen_N],
            self.uncalibrated_NK[chosen_N],
            self.accepted_N[chosen_N],
            [patient for patient, kept in zip(self.patients, chosen_N, strict=True) if kept],
            self.classes,
        )

    @cached_property
    def given(self) -> npt.NDArray[np.str_]:
        """The most probable class of each."""
        given_N: npt.NDArray[np.str_] = np.array(self.classes)[self.probabilities_NK.argmax(1)]
        return given_N

    @cached_property
    def hits(self) -> npt.NDArray[np.bool_]:
        """Whether the most probable class is the label."""
        hits_N: npt.NDArray[np.bool_] = self.given == np.array(self.truth)
        return hits_N

    def among_first(self, k: int) -> npt.NDArray[np.bool_]:
        """Whether the label is among the `k` most probable classes; of equals, those that come first."""
        order_NK = np.argsort(-self.probabilities_NK, axis=1, kind="stable")[:, :k]
        found_N: npt.NDArray[np.bool_] = (np.array(self.classes)[order_NK] == np.array(self.truth)[:, None]).any(1)
        return found_N


def classification_metrics(answers: Answers, *, resamples: int = RESAMPLES, seed: int = 0) -> dict[str, object]:
    """Every figure of one set of answers.

    `top_k`: share whose label is among the k most probable; chance is the share of the k commonest labels.
    `macro_recall` and `balanced_accuracy` are the same mean of the recalls of all labels that occur, chance 1 / L: the
    first with the interval of a mean of independent proportions, which widens for rare labels, the second with the
    bootstrap's. `macro_f1`: mean F1 of all labels that occur or are answered. `accepted`: share that no person looks
    at; `accepted_precision`: share of right answers among them. `body_region_error`: share whose answer lies in
    another region of the body than the label; labels outside the table are left out. `per_class`: recall of the
    radiographs that bear the label, the rest of the answers that give it. Calibration: see `calibration_error`.

    Args:
        answers: at least one.
        resamples: of the bootstrap over patients.
        seed: of its draws; figures of the same radiographs with the same seed are paired.
    """
    top_k = {f"top_{k}": answers.among_first(k) for k in (1, 2, 3)}
    resampled = _resampled(answers, top_k, resamples, seed)
    truth = np.array(answers.truth)
    present = sorted(set(answers.truth))
    found = [answers.hits[truth == label] for label in present]
    values = {name: proportion(hits_N) for name, hits_N in top_k.items()}
    values["macro_recall"] = mean_of_proportions([int(hits.sum()) for hits in found], [len(hits) for hits in found])
    values["accepted_precision"] = proportion(answers.hits[answers.accepted_N])
    values["balanced_accuracy"] = _interval(
        np.mean([hits.mean() for hits in found]), resampled, "macro_recall", answers
    )
    values["macro_f1"] = _interval(macro_f1(answers.truth, answers.given.tolist()), resampled, "macro_f1", answers)
    for name, value in values.items():
        value["bootstrap"] = bootstrap_interval(resampled["macro_recall" if name == "balanced_accuracy" else name])
    confidences_N = answers.probabilities_NK.max(1)
    return {
        "n": len(answers.truth),
        "num_patients": len(set(answers.patients)),
        **values,
        "accepted": proportion(answers.accepted_N),
        "body_region_error": proportion(region_errors(answers.truth, answers.given.tolist())),
        "brier": rounded(brier_score(answers.probabilities_NK, answers.truth, answers.classes)),
        "brier_uncalibrated": rounded(brier_score(answers.uncalibrated_NK, answers.truth, answers.classes)),
        "expected_calibration_error": rounded(calibration_error(confidences_N, answers.hits)),
        "expected_calibration_error_uncalibrated": rounded(
            calibration_error(answers.uncalibrated_NK.max(1), answers.hits)
        ),
        "risk_coverage": risk_coverage(confidences_N, answers.hits),
        "coverage_at_99": rounded(coverage_at(confidences_N, answers.hits, PROMISED_ACCURACY)),
        "per_class": {
            label: {
                "recall": proportion(answers.hits[truth == label]),
                "precision": proportion(answers.hits[answers.given == label]),
                "accepted": proportion(answers.accepted_N[answers.given == label]),
                "accepted_precision": proportion(answers.hits[answers.accepted_N & (answers.given == label)]),
            }
            for label in sorted({*answers.truth, *answers.classes})
        },
    }


def _resampled(
    answers: Answers, top_k: dict[str, npt.NDArray[np.bool_]], resamples: int, seed: int
) -> dict[str, npt.NDArray[np.float64]]:
    """Figures of each resample of the patients, `(B,)` each; NaN where there is nothing to measure."""
    truth, labels = np.array(answers.truth), np.array(sorted({*answers.truth, *answers.given.tolist()}))
    is_label_NL = truth[:, None] == labels
    is_answer_NL = answers.given[:, None] == labels
    hits_N, accepted_N = answers.hits, answers.accepted_N
    columns = [np.ones((len(truth), 1), bool), *(hits[:, None] for hits in top_k.values())]
    columns += [
        accepted_N[:, None],
        (accepted_N & hits_N)[:, None],
        is_label_NL,
        is_answer_NL,
        is_label_NL & is_answer_NL,
    ]
    sums = resampled_sums(np.concatenate(columns, axis=1), answers.patients, resamples=resamples, seed=seed)
    n, first, second, third, accepted, right = sums[:, :6].T
    of_label_BL, answered_BL, both_BL = np.split(sums[:, 6:], 3, axis=1)
    with np.errstate(invalid="ignore"):
        f1_BL = 2 * both_BL / (of_label_BL + answered_BL)
        figures = {"top_1": first / n, "top_2": second / n, "top_3": third / n, "accepted_precision": right / accepted}
        recall_BL = both_BL / of_label_BL
    return figures | {"macro_recall": np.nanmean(recall_BL, axis=1), "macro_f1": np.nanmean(f1_BL, axis=1)}


def _interval(
    value: float | np.floating, resampled: dict[str, npt.NDArray[np.float64]], name: str, answers: Answers
) -> dict[str, object]:
    low, high = percentile_limits(resampled[name])
    return {"value": rounded(float(value)), "low": rounded(low), "high": rounded(high), "n": len(answers.truth)}


def macro_f1(truth: Sequence[str], given: Sequence[str]) -> float:
    """Mean F1, the harmonic mean of recall and precision, over all labels that occur or are answered."""
    scores = []
    for label in {*truth, *given}:
        both = sum(t == g == label for t, g in zip(truth, given, strict=True))
        scores.append(2 * both / (sum(t == label for t in truth) + sum(g == label for g in given)))
    return float(np.mean(sorted(scores)))


def region_errors(truth: Sequence[str], given: Sequence[str]) -> npt.NDArray[np.bool_]:
    """Whether each answer lies in another region of the body than the label, of those whose regions are known."""
    pairs = [(body_region(label), body_region(answer)) for label, answer in zip(truth, given, strict=True)]
    return np.array([one != other for one, other in pairs if one is not None and other is not None], bool)


def confusion_matrix(truth: Sequence[str], answers: Sequence[str], labels: Sequence[str]) -> npt.NDArray[np.int64]:
    """Counts, rows are true labels and columns answers, both in the order of `labels`."""
    position = {label: index for index, label in enumerate(labels)}
    counts = np.zeros((len(labels), len(labels)), np.int64)
    for true_label, answer in zip(truth, answers, strict=True):
        counts[position[true_label], position[answer]] += 1
    return counts
