"""Stage evaluate: the hold-out, which nothing has seen, answered by the classifier that the service will load.

Reads the images and the model, and judges by `radiograph_labels.csv`. Writes `evaluate/metrics.json` (internal and
external hold-out apart and together), `evaluate/predictions.csv`, `evaluate/confusion.png` and
`evaluate/reliability.png`. Without labels there are predictions only, and metrics.json says so.
"""

import logging

import numpy as np

from samx.classifier import Prediction
from training import plots
from training.dataset import Part, load_dataset, radiograph_labels
from training.labels import class_order
from training.metrics import classification_metrics, confusion_matrix, proportion
from training.model import answers_of, model_classifier
from training.run import RADIOGRAPH_LABELS, Run

logger = logging.getLogger(__name__)

_PARTS: tuple[Part, ...] = ("holdout_internal", "holdout_external")


def evaluate(run: Run) -> None:
    """Answer for the hold-out and measure."""
    classifier = model_classifier(run)
    truth = radiograph_labels(run)
    rows: list[dict[str, object]] = []
    answers: list[tuple[str, str, Prediction]] = []
    for part in _PARTS:
        dataset = load_dataset(run, part)
        predictions = answers_of(classifier, dataset.images_NHW.numpy())
        for key, prediction in zip(dataset.keys, predictions, strict=True):
            rows.append(_row(part, key, truth.get(key, ""), prediction))
            if key in truth:
                answers.append((part, truth[key], prediction))
        run.check_stop()
    run.write_csv("evaluate/predictions.csv", rows, list(rows[0]) if rows else ["key"])
    if not answers:
        logger.warning("no radiograph of the hold-out has a label in %s: nothing is measured", RADIOGRAPH_LABELS)
    metrics: dict[str, object] = {"num_radiographs": len(rows), "num_labelled": len(answers)}
    classes = list(classifier.spec.labels)
    for name in (*_PARTS, "holdout"):
        chosen = [(label, prediction) for part, label, prediction in answers if name in (part, "holdout")]
        if chosen:
            metrics[name] = _measure(chosen, classes)
    run.write_json("evaluate/metrics.json", metrics)
    if answers:
        _write_pictures(run, answers, classifier.spec.review_threshold)


def _row(part: str, key: str, label: str, prediction: Prediction) -> dict[str, object]:
    (first, probability), (second, _) = prediction.ranked(2)
    return {
        "key": key,
        "part": part,
        "label": label,
        "answer": first,
        "second": second,
        "probability": f"{probability:.6f}",
        "decision": prediction.decision,
        "out_of_scope_score": f"{prediction.out_of_scope_score:.4f}",
    }


def _measure(chosen: list[tuple[str, Prediction]], classes: list[str]) -> dict[str, object]:
    labels = [label for label, _ in chosen]
    metrics = classification_metrics(labels, np.stack([prediction.probabilities for _, prediction in chosen]), classes)
    accepted = [prediction.decision == "accept" for _, prediction in chosen]
    right = [label == prediction.label for (label, prediction), kept in zip(chosen, accepted, strict=True) if kept]
    metrics["accepted"] = proportion(np.array(accepted, bool))
    metrics["accepted_precision"] = proportion(np.array(right, bool))
    return metrics


def _write_pictures(run: Run, answers: list[tuple[str, str, Prediction]], review_threshold: float) -> None:
    truth = [label for _, label, _ in answers]
    given = [prediction.label for _, _, prediction in answers]
    labels = class_order([*truth, *given])
    counts = confusion_matrix(truth, given, labels)
    run.write("evaluate/confusion.png", plots.confusion(counts, labels, f"Hold-out, {len(truth)} radiographs"))
    confidences = np.array([prediction.probabilities.max() for _, _, prediction in answers], np.float32)
    hits = np.array([label == answer for label, answer in zip(truth, given, strict=True)])
    run.write("evaluate/reliability.png", plots.reliability(confidences, hits, review_threshold))
