"""Stage cross_validate: answers for the development set by networks that have not seen the patient.

Reads the images, the weights of phase 1 and the injected labels, and judges by `radiograph_labels.csv`. Writes, fold by
fold, `cross_validate/fold-*.safetensors` (logits, out-of-scope distances), then `cross_validate/calibration.json`
(temperature and thresholds of the model that will be published), `cross_validate/predictions.csv`, its probabilities,
and `cross_validate/metrics.json` (all folds together, each fold, and their spread).
"""

import safetensors.torch
import torch
from torch import Tensor

from training.calibration import calibrate
from training.dataset import Dataset, load_dataset, radiograph_labels
from training.evaluation.out_of_fold import report_out_of_fold
from training.finetuning import feature_distribution, finetune, injected_network, targets_of
from training.loop import compute_features
from training.run import Run


def cross_validate(run: Run) -> None:
    """Train a network per fold on the other folds, and calibrate on all folds' answers together."""
    classes: list[str] = run.read_json("label/classes.json")
    label_of = {row["key"]: row["label"] for row in run.read_csv("label/labels.csv")}
    development = load_dataset(run, "development")
    folds = sorted(set(development.folds))
    for fold in folds:
        key = _fold_key(fold)
        if not run.adopt(key):
            run.write(key, safetensors.torch.save(_answer_fold(run, fold, development, label_of, classes)))
    answers = [safetensors.torch.load(run.read(_fold_key(fold))) for fold in folds]
    positions_N = torch.cat([answer["positions_N"] for answer in answers])
    order_N = positions_N.argsort()
    logits_NK, untrained_NK, distances_N = (
        torch.cat([answer[name] for answer in answers])[order_N]
        for name in ("logits_NK", "untrained_NK", "distances_N")
    )
    _report(run, development, classes, logits_NK, untrained_NK, distances_N)


def _answer_fold(
    run: Run, fold: int, development: Dataset, label_of: dict[str, str], classes: list[str]
) -> dict[str, Tensor]:
    """Train without a fold and answer for it; a class that only this fold holds gets the logit -inf."""
    keys, folds = development.keys, development.folds
    learned = development.where(lambda index: folds[index] != fold and keys[index] in label_of)
    targets_N = targets_of([label_of[key] for key in learned.keys], classes)
    answered = development.where(lambda index: folds[index] == fold)
    network = injected_network(run, learned.images_NHW, targets_N, len(classes))
    untrained_NK = compute_features(network, answered.images_NHW, run.device, precision="float32")
    network, _ = finetune(
        run,
        network,
        learned.images_NHW,
        targets_N,
        name=f"cross_validate/fold {fold}",
        config=run.config.finetune,
        augmentation=run.config.augmentation,
    )
    scope = feature_distribution(
        compute_features(network.features, learned.images_NHW, run.device, precision="float32"), targets_N, len(classes)
    )
    features_ND = compute_features(network.features, answered.images_NHW, run.device, precision="float32")
    logits_NK = compute_features(network, answered.images_NHW, run.device, precision="float32")
    absent_K = torch.bincount(targets_N, minlength=len(classes)) == 0
    return {
        "positions_N": torch.tensor([index for index in range(len(development)) if folds[index] == fold]),
        "logits_NK": logits_NK.masked_fill(absent_K, -torch.inf),
        "untrained_NK": untrained_NK,
        "distances_N": torch.from_numpy(scope.distances(features_ND.numpy())),
    }


def _report(
    run: Run, development: Dataset, classes: list[str], logits_NK: Tensor, untrained_NK: Tensor, distances_N: Tensor
) -> None:
    """Calibrate on radiographs that people or the data set have labelled, and say how good the answers are."""
    truth = radiograph_labels(run)
    labels = [truth.get(key, "") for key in development.keys]
    calibration = calibrate(logits_NK, distances_N, labels, classes, run.config.cross_validate)
    run.write_json("cross_validate/calibration.json", calibration.model_dump())
    report_out_of_fold(
        run,
        development,
        truth,
        classes,
        probabilities_NK=(logits_NK / calibration.temperature).softmax(1).numpy(),
        uncalibrated_NK=logits_NK.softmax(1).numpy(),
        untrained_N=untrained_NK.argmax(1).numpy(),
        distances_N=distances_N.numpy(),
        calibration=calibration,
    )


def _fold_key(fold: int) -> str:
    return f"cross_validate/fold-{fold}.safetensors"
