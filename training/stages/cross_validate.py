"""Stage cross_validate: answers for the development set by networks that have not seen the patient.

Reads the images, the weights of phase 1 and the injected labels, and judges by `radiograph_labels.csv`. Writes, fold by
fold, `cross_validate/network-*.safetensors` (from which distill teaches a smaller one) and
`cross_validate/fold-*.safetensors` (logits, out-of-scope distances), then `cross_validate/calibration.json`
(temperature and thresholds of the model that will be published), `cross_validate/predictions.csv`, its probabilities,
and `cross_validate/metrics.json` (all folds together, each fold, and their spread).
"""

import torch
from torch import Tensor

from samx.manifest import AttributeName
from samx.network import Network
from training import distribution
from training.attribute_labels import attribute_targets
from training.dataset import Dataset, load_dataset
from training.finetuning import finetune, targets_of
from training.fold_answers import (
    BEFORE,
    answer_fold,
    answer_folds,
    calibrate_and_report,
    network_key,
    read_fold_answers,
)
from training.injection import fit_heads, injected_network
from training.loop import compute_features, save_network
from training.run import Run


def cross_validate(run: Run) -> None:
    """Train a network per fold on the other folds, which ranks share, and calibrate on all folds' answers together."""
    classes: list[str] = run.read_json("label/classes.json")
    injected = {row["key"]: row for row in run.read_csv("label/labels.csv")}
    values = run.read_json("label/attributes.json")
    development = load_dataset(run, "development")
    folds = sorted(set(development.folds))
    answer_folds(
        run,
        "cross_validate",
        folds,
        lambda fold: _answer_fold(run, fold, development, injected, classes, values),
        beside=lambda fold: (network_key(fold),),
    )
    answers = read_fold_answers(run, "cross_validate", folds)
    distribution.on_first_rank(lambda: calibrate_and_report(run, "cross_validate", development, classes, answers))


def _answer_fold(
    run: Run,
    fold: int,
    development: Dataset,
    injected: dict[str, dict[str, str]],
    classes: list[str],
    values: dict[AttributeName, list[str]],
) -> dict[str, Tensor]:
    """Train without a fold, keep the network and answer for the fold."""
    keys, folds = development.keys, development.folds
    learned = development.where(lambda index: folds[index] != fold and keys[index] in injected)
    targets_N = targets_of([injected[key]["label"] for key in learned.keys], classes)
    attributes = attribute_targets([injected[key] for key in learned.keys], values)
    answered = development.where(lambda index: folds[index] == fold)
    network, features_ND = injected_network(run, learned.images_NHW, targets_N, len(classes), attributes)
    answered_ND = compute_features(network.features, answered.images_NHW, run.device, precision="float32")
    injected_NK = _class_logits(run, network, answered_ND)
    fit_heads(network, features_ND, targets_N, attributes, balance=run.config.finetune.balance)
    linear_NK = _class_logits(run, network, answered_ND)
    network, _ = finetune(
        run,
        network,
        learned.images_NHW,
        targets_N,
        name=f"cross_validate/fold {fold}",
        config=run.config.finetune,
        augmentation=run.config.augmentation,
        attributes=attributes,
    )
    save_network(run, network_key(fold), network)
    answers = answer_fold(run, network, fold, development, learned, targets_N, len(classes))
    return {**answers, BEFORE + "injected_head": injected_NK, BEFORE + "linear_head": linear_NK}


def _class_logits(run: Run, network: Network, features_ND: Tensor) -> Tensor:
    with torch.inference_mode():
        logits_NK: Tensor = network.head(features_ND.to(run.device)).cpu()
    return logits_NK
