"""Stage distill: a smaller network for CPUs learns the answers of the one that will be published.

Reads the images, the injected labels, the network of finetune and those of cross_validate. Without `[distill]` it does
nothing. Else it writes `distill/weights.safetensors` (as finetune's), `distill/history.csv`, and what cross_validate
writes of its answers: the network of each fold teaches a student without that fold, which answers for it, and from all
folds follow `distill/calibration.json`, `distill/predictions.csv`, its probabilities, and `distill/metrics.json`.
`distill/summary.json` compares both networks' out-of-fold answers and says whether the student may be published.
"""

import logging

import safetensors.torch
import torch

from samx.errors import ObjectNotFound, WrongInput
from samx.network import Network
from training import distribution
from training.dataset import Dataset, load_dataset
from training.distillation import distill as teach
from training.distillation import untaught_student
from training.evaluation.student import student_summary
from training.finetuning import network_tensors, targets_of
from training.fold_answers import answer_fold, answer_folds, calibrate_and_report, network_key, read_fold_answers
from training.run import Run

logger = logging.getLogger(__name__)


def distill(run: Run) -> None:
    """Teach a student on the whole development set and one without each fold.

    Raises:
        WrongInput: the configured initial weights cannot be used, or cross_validate has kept no networks.
    """
    if run.config.distill.backbone == "none":
        return
    classes: list[str] = run.read_json("label/classes.json")
    label_of = {row["key"]: row["label"] for row in run.read_csv("label/labels.csv")}
    development = load_dataset(run, "development")
    folds = sorted(set(development.folds))

    def answer(fold: int) -> dict[str, torch.Tensor]:
        others = _without_fold(development, fold)
        student, _ = _student(run, network_key(fold), others, classes, name=f"distill/fold {fold}")
        labelled, targets_N = _labelled(others, label_of, classes)
        return answer_fold(run, student, fold, development, labelled, targets_N, len(classes))

    answer_folds(run, "distill", folds, answer)
    distribution.on_first_rank(lambda: _publishable(run, development, label_of, classes, folds))


def _publishable(
    run: Run, development: Dataset, label_of: dict[str, str], classes: list[str], folds: list[int]
) -> None:
    """The student of the whole development set, and what its folds say of it."""
    calibrate_and_report(run, "distill", development, classes, read_fold_answers(run, "distill", folds))
    student, initial_weights = _student(run, "finetune/weights.safetensors", development, classes, name="distill")
    labelled, targets_N = _labelled(development, label_of, classes)
    tensors = network_tensors(run, student, labelled.images_NHW, targets_N)
    run.write("distill/weights.safetensors", safetensors.torch.save(tensors))
    summary = student_summary(run) | {"initial_weights": initial_weights, "num_radiographs": len(development)}
    run.write_json("distill/summary.json", summary)
    logger.info("distill: %s", summary)


def _student(run: Run, teacher_key: str, learned: Dataset, classes: list[str], *, name: str) -> tuple[Network, str]:
    """A student of one network, in evaluation mode, and where its weights came from; the history of the published."""
    config = run.config
    try:
        tensors = safetensors.torch.load(run.read(teacher_key))
    except ObjectNotFound as error:
        raise WrongInput(
            f"{teacher_key} is not in {run.storage.url}: the run was cross-validated by an older version. Give the "
            "same command with --again-from cross_validate"
        ) from error
    attributes = {name: len(values) for name, values in run.read_json("label/attributes.json").items()}
    teacher = Network(config.architecture, len(classes), attributes)
    teacher.load_state_dict({key: value for key, value in tensors.items() if not key.startswith("scope.")})
    student, initial_weights = untaught_student(config.distill, teacher, seed=config.seed)
    student, history = teach(
        run,
        teacher,
        student,
        learned.images_NHW,
        name=name,
        config=config.distill,
        augmentation=config.augmentation,
    )
    if name == "distill":
        run.write_csv("distill/history.csv", history, ("epoch", "loss"))
    return student, initial_weights


def _without_fold(development: Dataset, fold: int) -> Dataset:
    return development.where(lambda index: development.folds[index] != fold)


def _labelled(dataset: Dataset, label_of: dict[str, str], classes: list[str]) -> tuple[Dataset, torch.Tensor]:
    """What was learned under a label, and its class."""
    keys = dataset.keys
    labelled = dataset.where(lambda index: keys[index] in label_of)
    return labelled, targets_of([label_of[key] for key in labelled.keys], classes)
