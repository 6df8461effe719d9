"""Stage evaluate: the hold-out, which nothing has seen, answered by the classifier that the service will load.

Reads the images and the model, and judges by `radiograph_labels.csv`. Writes, below `evaluate/`, `predictions.csv`,
`probabilities.npy` and `uncalibrated.npy` (its rows, the classes in head order), `metrics.json` (internal and external
hold-out apart and together, by subgroup, against distorted and foreign images, and against the DICOM tag),
`robustness.csv` and `foreign.csv` (the answers to distorted and foreign images), `confusion.png` and
`reliability.png`. The smaller network for CPUs, where there is one, answers too: its files are the same, below
`evaluate/student/`, with `against_reference.json`, which compares both. Without labels nothing is measured that needs
them, and metrics.json says so.
"""

import logging
from collections.abc import Mapping, Sequence

import numpy as np

from samx.classifier import Prediction
from training import plots
from training.attribute_labels import NOTHING
from training.dataset import Dataset, Part, load_dataset, radiograph_attributes, radiograph_labels
from training.evaluation.attributes import attribute_figures
from training.evaluation.classification import Answers, classification_metrics, confusion_matrix
from training.evaluation.foreign import foreign_figures
from training.evaluation.predictions import PREDICTION_COLUMNS, prediction_row
from training.evaluation.robustness import ROBUSTNESS_COLUMNS, distorted_answers, robustness_figures
from training.evaluation.student import against_teacher
from training.evaluation.subgroups import subgroup_figures, tag_figures
from training.labels import class_order
from training.model import Which, answers_of, model_classifier, networks
from training.run import RADIOGRAPH_LABELS, Run

logger = logging.getLogger(__name__)

_FOLDER: dict[Which, str] = {"reference": "evaluate", "student": "evaluate/student"}
_PARTS: tuple[Part, ...] = ("holdout_internal", "holdout_external")


def evaluate(run: Run) -> None:
    """Answer for the hold-out and measure."""
    parts = {part: load_dataset(run, part) for part in _PARTS}
    for which in networks(run):
        _evaluate(run, which, parts)
    if "student" in networks(run):
        teacher, student = ({row["key"]: row for row in run.read_csv(f"{_FOLDER[w]}/predictions.csv")} for w in _FOLDER)
        found = against_teacher(teacher, student, resamples=run.config.evaluate.resamples, seed=run.config.seed)
        run.write_json(f"{_FOLDER['student']}/against_reference.json", found)


def _evaluate(run: Run, which: Which, parts: Mapping[Part, Dataset]) -> None:
    """Answer by one network; its files are below a folder of its own."""
    folder = _FOLDER[which]
    config, classes = run.config.evaluate, list(run.read_json("label/classes.json"))
    classifier, uncalibrated = model_classifier(run, which), model_classifier(run, which, temperature=1.0)
    truth, attributes = radiograph_labels(run), radiograph_attributes(run)
    images_NHW = np.concatenate([dataset.images_NHW.numpy() for dataset in parts.values()])
    index_rows = [row for dataset in parts.values() for row in dataset.rows]
    predictions = answers_of(classifier, images_NHW)
    run.check_stop()
    probabilities_NK = _probabilities(predictions, len(classes))
    uncalibrated_NK = _probabilities(answers_of(uncalibrated, images_NHW), len(classes))
    run.check_stop()
    part_of = [part for part, dataset in parts.items() for _ in dataset.rows]
    rows = [
        prediction_row(row, truth.get(row["key"], ""), prediction, attributes.get(row["key"], NOTHING)) | {"part": part}
        for part, row, prediction in zip(part_of, index_rows, predictions, strict=True)
    ]
    run.write_csv(f"{folder}/predictions.csv", rows, PREDICTION_COLUMNS)
    run.write_array(f"{folder}/probabilities.npy", probabilities_NK)
    run.write_array(f"{folder}/uncalibrated.npy", uncalibrated_NK)
    labels = [str(row["label"]) for row in rows]
    known_N = np.array([label != "" for label in labels], bool)
    metrics: dict[str, object] = {"num_radiographs": len(rows), "num_labelled": int(known_N.sum())}
    distorted = distorted_answers(classifier, images_NHW, rows, num_images=config.num_robustness)
    run.write_csv(f"{folder}/robustness.csv", distorted, ROBUSTNESS_COLUMNS)
    metrics["robustness"] = robustness_figures(distorted)
    run.check_stop()
    metrics["foreign"], foreign_rows = foreign_figures(classifier, images_NHW, rows, config)
    run.write_csv(f"{folder}/foreign.csv", foreign_rows, ("kind", "source", "out_of_scope_score", "decision"))
    if known_N.any():
        accepted_N = np.array([prediction.decision == "accept" for prediction in predictions], bool)
        patients = [str(row["patient"]) for row in rows]
        answers = Answers(labels, probabilities_NK, uncalibrated_NK, accepted_N, patients, classes)
        for name in (*_PARTS, "holdout"):
            chosen_N = known_N & np.array([name in (part, "holdout") for part in part_of])
            if chosen_N.any():
                chosen = answers.where(chosen_N)
                metrics[name] = classification_metrics(chosen, resamples=config.resamples, seed=run.config.seed)
        labelled = [row for row in rows if row["label"]]
        metrics |= {"subgroups": subgroup_figures(labelled), "tag": tag_figures(labelled)}
        learned = {head.name: head.values for head in classifier.spec.attributes}
        metrics["attributes"] = attribute_figures(labelled, learned)
        _write_pictures(run, folder, answers.where(known_N), classifier.spec.review_thresholds)
    else:
        logger.warning("no radiograph of the hold-out has a label in %s: nothing is measured", RADIOGRAPH_LABELS)
    run.write_json(f"{folder}/metrics.json", metrics)


def _probabilities(
    predictions: list[Prediction], num_classes: int
) -> "np.ndarray[tuple[int, int], np.dtype[np.float32]]":
    return np.array([p.probabilities for p in predictions], np.float32).reshape(len(predictions), num_classes)


def _write_pictures(run: Run, folder: str, answers: Answers, review_thresholds: Sequence[float]) -> None:
    given = answers.given.tolist()
    labels = class_order([*answers.truth, *given])
    counts = confusion_matrix(answers.truth, given, labels)
    run.write(f"{folder}/confusion.png", plots.confusion(counts, labels, f"Hold-out, {len(given)} radiographs"))
    confidences_N = answers.probabilities_NK.max(1)
    run.write(f"{folder}/reliability.png", plots.reliability(confidences_N, answers.hits, review_thresholds))
