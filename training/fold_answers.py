"""Answers for the development set by networks that have not seen the patient: given fold by fold, calibrated together.

The network that is published and the smaller one for CPUs both get temperature and thresholds here, each from its own
answers.

Shape suffixes: N radiographs, K classes in head order.
"""

from collections.abc import Callable, Mapping, Sequence

import safetensors.torch
import torch
from torch import Tensor

from samx.network import CLASS_HEAD, Network
from training import distribution
from training.attribute_labels import NOTHING
from training.calibration import calibrate, fit_temperature
from training.dataset import Dataset, radiograph_attributes, radiograph_labels
from training.evaluation.out_of_fold import report_out_of_fold
from training.finetuning import feature_distribution
from training.loop import compute_features
from training.run import Run

BEFORE = "before."
"""Prefix of a fold's logits before all of the network was trained, by the step they come after."""


def fold_key(stage: str, fold: int) -> str:
    """Where a stage keeps the answers for a fold."""
    return f"{stage}/fold-{fold}.safetensors"


def network_key(fold: int) -> str:
    """Where cross_validate keeps the network that was trained without a fold."""
    return f"cross_validate/network-{fold}.safetensors"


def answer_folds(
    run: Run,
    stage: str,
    folds: Sequence[int],
    answer: Callable[[int], dict[str, Tensor]],
    *,
    beside: Callable[[int], Sequence[str]] = lambda _: (),
) -> None:
    """Answer for every fold for which an interrupted execution has not; several ranks share the folds.

    Args:
        run: where the answers are kept.
        stage: whose they are.
        folds: all of them.
        answer: gives those for a fold, by a network trained by one rank alone.
        beside: files that it writes, too.
    """
    for fold in folds[distribution.rank() :: distribution.num_ranks()]:
        with distribution.apart():
            if not run.storage.exists(fold_key(stage, fold)):
                run.write(fold_key(stage, fold), safetensors.torch.save(answer(fold)))
    distribution.wait_for_all()
    for fold in folds:
        run.adopt(fold_key(stage, fold), *beside(fold))


def answer_fold(
    run: Run, network: Network, fold: int, development: Dataset, learned: Dataset, targets_N: Tensor, num_classes: int
) -> dict[str, Tensor]:
    """What a network that was trained without a fold answers for it.

    Args:
        run: gives the device.
        network: in evaluation mode, there.
        fold: which.
        development: all folds.
        learned: labelled radiographs of the other folds, whose features are in scope.
        targets_N: their classes.
        num_classes: K.

    Returns:
        `positions_N` in the development set, `logits_NK` - a class that only this fold holds gets -inf - and
        out-of-scope `distances_N`.
    """
    answered = development.where(lambda index: development.folds[index] == fold)
    learned_ND = compute_features(network.scope_features, learned.images_NHW, run.device, precision="float32")
    scope = feature_distribution(learned_ND, targets_N, num_classes)
    answered_ND = compute_features(network.scope_features, answered.images_NHW, run.device, precision="float32")
    with torch.inference_mode():
        features_ND = answered_ND[:, : network.num_features].to(run.device)
        logits = {head: values.cpu() for head, values in network.logits_of(features_ND).items()}
    absent_K = torch.bincount(targets_N, minlength=num_classes) == 0
    return {
        "positions_N": torch.tensor([index for index in range(len(development)) if development.folds[index] == fold]),
        "logits_NK": logits.pop(CLASS_HEAD).masked_fill(absent_K, -torch.inf),
        "distances_N": torch.from_numpy(scope.distances(answered_ND.numpy())),
        **{_attribute_key(attribute): values for attribute, values in logits.items()},
    }


def read_fold_answers(run: Run, stage: str, folds: Sequence[int]) -> dict[str, Tensor]:
    """The answers for all folds, in the order of the development set."""
    answers = [safetensors.torch.load(run.read(fold_key(stage, fold))) for fold in folds]
    order_N = torch.cat([answer["positions_N"] for answer in answers]).argsort()
    return {name: torch.cat([answer[name] for answer in answers])[order_N] for name in answers[0]}


def calibrate_and_report(
    run: Run,
    stage: str,
    development: Dataset,
    classes: list[str],
    answers: Mapping[str, Tensor],
) -> None:
    """Calibrate on radiographs that people or the data set have labelled, and say how good the answers are.

    Args:
        run: where to: `<stage>/calibration.json`, and see `report_out_of_fold`.
        stage: whose answers these are.
        development: the radiographs that were answered for.
        classes: in head order.
        answers: of all folds, as `read_fold_answers` gives them; with logits below `BEFORE` where there is something
            to say of the steps before.
    """
    truth, attributes = radiograph_labels(run), radiograph_attributes(run)
    labels = [truth.get(key, "") for key in development.keys]
    logits_NK = answers["logits_NK"]
    before = {name: values for name, values in answers.items() if name.startswith(BEFORE)}
    temperatures = {
        name: fit_temperature(
            answers[_attribute_key(name)], [attributes.get(key, NOTHING)[name] for key in development.keys], values
        )
        for name, values in run.read_json("label/attributes.json").items()
    }
    calibration = calibrate(logits_NK, answers["distances_N"], labels, classes, run.config.cross_validate)
    calibration = calibration.model_copy(update={"attribute_temperatures": temperatures})
    run.write_json(f"{stage}/calibration.json", calibration.model_dump())
    report_out_of_fold(
        run,
        stage,
        development,
        truth,
        classes,
        probabilities_NK=(logits_NK / calibration.temperature).softmax(1).numpy(),
        uncalibrated_NK=logits_NK.softmax(1).numpy(),
        before={name.removeprefix(BEFORE): values_NK.argmax(1).numpy() for name, values_NK in before.items()},
        distances_N=answers["distances_N"].numpy(),
        calibration=calibration,
    )


def _attribute_key(attribute: str) -> str:
    return f"{attribute}_logits_NV"
