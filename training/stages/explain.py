"""Stage explain: where the classifier looks, class by class, and on every error of the hold-out.

Reads the hold-out's images and predictions, and the model. Writes `explain/grad_cam.png` (per class, radiographs beside
their heat maps, right answers only) and `explain/errors.png` (wrong answers, with label and answer). These show
patients' radiographs: they stay in the run and are not part of the artifact.
"""

import numpy as np
import numpy.typing as npt

from samx.classifier import Classifier
from samx.grad_cam import overlay
from training import plots
from training.dataset import load_dataset
from training.labels import class_order
from training.model import model_classifier
from training.run import Run

_PER_CLASS = 4
_NUM_ERRORS = 40


def explain(run: Run) -> None:
    """Draw the Grad-CAM galleries."""
    classifier = model_classifier(run)
    dataset = load_dataset(run, "holdout_internal", "holdout_external")
    rows = {row["key"]: row for row in run.read_csv("evaluate/predictions.csv")}
    predictions = [rows[key] for key in dataset.keys]
    images = dataset.images_NHW.numpy()
    right = [p["label"] in ("", p["answer"]) for p in predictions]
    gallery = []
    for label in class_order([p["answer"] for p in predictions]):
        chosen = [i for i, p in enumerate(predictions) if right[i] and p["answer"] == label][:_PER_CLASS]
        if chosen:
            gallery.append((label.replace("_", "\n"), _pairs(classifier, images[chosen])))
    run.write("explain/grad_cam.png", plots.contact_sheet(gallery, 2 * _PER_CLASS))
    wrong = [i for i in range(len(predictions)) if not right[i]][:_NUM_ERRORS]
    errors = [
        (f"{predictions[i]['label']}\nanswered\n{predictions[i]['answer']}", _pairs(classifier, images[[i]]))
        for i in wrong
    ]
    run.write("explain/errors.png", plots.contact_sheet(errors, 2))


def _pairs(classifier: Classifier, images: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """Every radiograph followed by its overlay, `(2n, S, S, 3)` uint8."""
    pictures = []
    for image, prediction in zip(images, classifier.classify(list(images), grad_cam=True), strict=True):
        assert prediction.heat is not None
        pictures += [np.repeat(image[..., None], 3, axis=2), overlay(image, prediction.heat)]
    return np.stack(pictures)
