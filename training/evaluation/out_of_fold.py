"""What cross-validation says: the answers of all folds together, and how much the folds differ.

Shape suffixes: N radiographs of the development set, K classes in head order.
"""

import logging
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from samx.anatomy import NOT_MUSCULOSKELETAL
from samx.manifest import NEVER_ACCEPTED
from training.calibration import Calibration
from training.dataset import Dataset
from training.evaluation.classification import Answers, classification_metrics
from training.evaluation.intervals import proportion, rounded
from training.run import RADIOGRAPH_LABELS, Run

logger = logging.getLogger(__name__)

OUT_OF_FOLD_COLUMNS = (
    "key", "fold", "patient", "site", "label", "answer", "second", "probability", "decision", "out_of_scope_score",
)  # fmt: skip
_OF_A_FOLD = ("n", "num_patients", "top_1", "top_2", "top_3", "macro_recall", "macro_f1", "accepted", "brier")


def report_out_of_fold(
    run: Run,
    stage: str,
    development: Dataset,
    truth: Mapping[str, str],
    classes: Sequence[str],
    *,
    probabilities_NK: npt.NDArray[np.float32],
    uncalibrated_NK: npt.NDArray[np.float32],
    before: Mapping[str, npt.NDArray[np.intp]],
    distances_N: npt.NDArray[np.float32],
    calibration: Calibration,
) -> None:
    """Write `predictions.csv`, `probabilities.npy`, `uncalibrated.npy` and `metrics.json` below the stage's name.

    Decisions are those that the published thresholds would give. The thresholds were fitted to these very answers:
    what is accepted here, and how much of it is right, is no independent estimate - the hold-out's is.

    Args:
        run: where to.
        stage: `cross_validate`, or `distill` for the smaller network's answers.
        development: the radiographs that were answered for, each by a network that has not seen its patient.
        truth: label by key, given by people or by the data set.
        classes: in head order.
        probabilities_NK: calibrated.
        uncalibrated_NK: at temperature 1.
        before: classes answered before all of the network was trained, by the step after which.
        distances_N: out-of-scope scores.
        calibration: of these answers.
    """
    names, given_N = np.array(classes), probabilities_NK.argmax(1)
    second_N = np.argsort(-probabilities_NK, axis=1, kind="stable")[:, min(1, len(classes) - 1)]
    confidences_N = probabilities_NK.max(1)
    is_far_N = distances_N > calibration.out_of_scope_threshold
    thresholds = [calibration.review_thresholds.get(label, calibration.review_threshold) for label in classes]
    limits_N = np.array(thresholds)[given_N]
    is_unsure_N = (confidences_N < limits_N) | (limits_N >= NEVER_ACCEPTED)
    decisions_N = np.select(  # as samx.classifier decides
        [is_far_N, is_unsure_N, names[given_N] == NOT_MUSCULOSKELETAL],
        ["out_of_scope", "review", "out_of_scope"],
        "accept",
    )
    labels = [truth.get(key, "") for key in development.keys]
    rows = [
        {
            "key": row["key"],
            "fold": development.folds[index],
            "patient": row["patient"],
            "site": row["site"],
            "label": labels[index],
            "answer": names[given_N[index]],
            "second": names[second_N[index]],
            "probability": f"{confidences_N[index]:.6f}",
            "decision": decisions_N[index],
            "out_of_scope_score": f"{distances_N[index]:.4f}",
        }
        for index, row in enumerate(development.rows)
    ]
    run.write_csv(f"{stage}/predictions.csv", rows, OUT_OF_FOLD_COLUMNS)
    run.write_array(f"{stage}/probabilities.npy", probabilities_NK.astype(np.float32))
    run.write_array(f"{stage}/uncalibrated.npy", uncalibrated_NK.astype(np.float32))
    known_N = np.array([label != "" for label in labels], bool)
    metrics: dict[str, object] = {"num_folds": run.config.split.num_folds, "num_labelled": int(known_N.sum())}
    if known_N.any():
        patients = [row["patient"] for row in development.rows]
        answers = Answers(labels, probabilities_NK, uncalibrated_NK, decisions_N == "accept", patients, classes)
        metrics |= classification_metrics(answers.where(known_N), seed=run.config.seed)
        metrics |= _fold_figures(answers, np.array(development.folds), known_N, run.config.seed)
        for step, answered_N in before.items():
            metrics[step] = proportion((names[answered_N] == np.array(labels))[known_N])
    else:
        logger.warning("there is no %s: nothing is measured, and probabilities are not calibrated", RADIOGRAPH_LABELS)
    run.write_json(f"{stage}/metrics.json", metrics)


def _fold_figures(
    answers: Answers, folds_N: npt.NDArray[np.int_], known_N: npt.NDArray[np.bool_], seed: int
) -> dict[str, object]:
    """Figures of each fold, and mean and standard deviation (with n - 1) of their top-1."""
    folds = []
    for fold in np.unique(folds_N[known_N]).tolist():
        figures = classification_metrics(answers.where(known_N & (folds_N == fold)), seed=seed)
        folds.append({"fold": fold, **{name: figures[name] for name in _OF_A_FOLD}})
    shares = [float(answers.hits[known_N & (folds_N == entry["fold"])].mean()) for entry in folds]
    return {
        "folds": folds,
        "top_1_mean": rounded(float(np.mean(shares))),
        "top_1_standard_deviation": rounded(float(np.std(shares, ddof=1))) if len(shares) > 1 else None,
    }
