"""Distillation: a smaller network learns to give a large one's answers (Hinton et al. 2015).

It learns from every radiograph, those without a label too: the large network has an answer for each.

Shape suffixes: N radiographs, B batch, K classes.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

from samx.architecture import ArchitectureConfig
from samx.network import CLASS_HEAD, Network
from training.augmentation import AugmentationConfig
from training.classifier_loop import Logits, train_classifier
from training.config import DistillConfig
from training.initial_weights import load_initial_weights
from training.loop import autocast, compute_features, sampling_weights
from training.run import Run

_MOMENTUM = 0.1
"""Of the batch normalisation's running statistics, ResNet's. MobileNetV3's 0.01 is made for hundreds of epochs: after a
few hundred steps the statistics would still be those of the untrained network."""


def untaught_student(config: DistillConfig, teacher: Network, *, seed: int) -> tuple[Network, str]:
    """The smaller network before it learns, with the teacher's heads, and where its weights come from, in words.

    Raises:
        WrongInput: the configured initial weights cannot be used; see `load_initial_weights`.
    """
    assert config.backbone != "none"
    torch.manual_seed(seed)
    assert isinstance(teacher.head, nn.Linear)
    attributes = {name: len(head.weight) for name, head in teacher.attribute_heads.items()}  # type: ignore[arg-type]
    network = Network(ArchitectureConfig(backbone=config.backbone), teacher.head.out_features, attributes)
    loaded = load_initial_weights(network, backbone=config.backbone, config=config.init)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = _MOMENTUM
    return network, loaded.text


def distill(
    run: Run,
    teacher: Network,
    student: Network,
    images_NHW: Tensor,
    *,
    name: str,
    config: DistillConfig,
    augmentation: AugmentationConfig,
) -> tuple[Network, list[dict[str, float]]]:
    """Teach a student; both networks see the same view of a radiograph.

    Args:
        run: gives device and random generators.
        teacher: its answers are learned; is not changed but for its mode.
        student: of the same classes.
        images_NHW: preprocessed, uint8; no labels are needed.
        name: see `train_classifier`.
        config: of the distillation.
        augmentation: of the views.

    Returns:
        The moving average of the student, in evaluation mode, and one row per epoch.

    Raises:
        SamxError: the loss is not finite.
        Interrupted: a signal asked to stop; the checkpoint holds the last step.
    """
    teacher = teacher.to(run.device).eval().requires_grad_(False)
    answers_N = compute_features(teacher, images_NHW, run.device).argmax(1)

    def loss_of(logits: Logits, views: Tensor, _chosen_B: Tensor) -> Tensor:
        with torch.no_grad(), autocast(run.device):
            wanted = teacher.all_logits(views)
        losses = {head: distillation_loss(logits[head], wanted[head].float(), config.temperature) for head in logits}
        others = sum((loss for head, loss in losses.items() if head != CLASS_HEAD), torch.zeros(()))
        return losses[CLASS_HEAD] + run.config.finetune.attribute_weight * others

    weights_N = sampling_weights(answers_N, config.balance)
    return train_classifier(
        run, student, images_NHW, weights_N, loss_of, name=name, config=config, augmentation=augmentation
    )


def distillation_loss(student_BK: Tensor, teacher_BK: Tensor, temperature: float) -> Tensor:
    """Kullback-Leibler divergence of the student's softened answers from the teacher's, times the temperature squared.

    The factor keeps the size of the gradients when the temperature changes (Hinton et al. 2015, section 2).

    Args:
        student_BK: logits.
        teacher_BK: logits.
        temperature: divides both.

    Returns:
        A scalar, 0 where both give the same probabilities.
    """
    return temperature**2 * functional.kl_div(
        (student_BK / temperature).log_softmax(1),
        (teacher_BK / temperature).log_softmax(1),
        reduction="batchmean",
        log_target=True,
    )
