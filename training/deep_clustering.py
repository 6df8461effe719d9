"""Phase 1's objective: deep clustering with prototypes.

After Caron et al. 2018 (DeepCluster, section 3) and Caron et al. 2020 (SwAV, appendix: DeepCluster-v2). In every epoch
the features of the whole set are clustered by spherical k-means; the network then learns to find the cluster of a
radiograph from any of its views, by cosine similarity to the clusters' centroids, which stand still as prototypes for
that epoch. Beside it the network learns to tell radiographs apart, as in prototypical contrastive learning (Li et al.
2021, section 3.2): clusters of a small pool alone are too coarse a lesson.

Two things are added for radiographs. Pseudo-labels come from whole images, not from crops: a crop of a hand may be a
wrist. And they come from the learned features beside histograms of oriented gradients, so that the first epochs, when
the network knows nothing, already follow shapes.

Shape suffixes: N radiographs, B batch, D features, K prototypes.
"""

import math
from collections.abc import Mapping, Sequence

import torch
from sklearn.metrics import normalized_mutual_info_score
from torch import Tensor, nn
from torch.nn import functional

from samx.errors import SamxError
from samx.network import Network, to_input
from training.augmentation import AugmentationConfig, random_views
from training.config import PretrainConfig
from training.features import concatenate_unit, hog_features
from training.loop import (
    Checkpoints,
    adamw,
    autocast,
    batches,
    compute_features,
    cosine_schedule,
    epochs,
    set_learning_rate,
    train_step,
)
from training.pseudo_labels import Clustering, mean_directions, spherical_kmeans
from training.run import Run

_STUCK = 0.98


class Projector(nn.Module):
    """Network and a two-layer projection onto the unit sphere on which the prototypes lie."""

    def __init__(self, network: Network, projection_dim: int) -> None:
        super().__init__()
        self.network = network
        width = network.num_features
        self.projection = nn.Sequential(
            nn.Linear(width, width), nn.BatchNorm1d(width), nn.ReLU(), nn.Linear(width, projection_dim)
        )

    def forward(self, images_N1HW: Tensor) -> Tensor:
        """Unit vectors `(N, D)`."""
        projected: Tensor = self.projection(self.network.features(images_N1HW))
        return functional.normalize(projected.float(), dim=1)


def train(
    run: Run, network: Network, images_NHW: Tensor, config: PretrainConfig, augmentation: AugmentationConfig
) -> list[dict[str, float]]:
    """Train `network` in place; resumes from the run's checkpoint.

    Args:
        run: gives device, random generators and the place of the checkpoint.
        network: without a head.
        images_NHW: the development set, preprocessed, uint8.
        config: of phase 1.
        augmentation: of the views.

    Returns:
        One row per epoch: loss, prototype_loss, learning_rate, assignment_stability_nmi, num_reseeded, mean_similarity.

    Raises:
        SamxError: the loss is not finite, or is still that of guessing (ln K) when it should not be.
        Interrupted: a signal asked to stop; the checkpoint holds the last whole epoch.
    """
    device = run.device
    num_prototypes = min(config.num_prototypes, len(images_NHW) // 2)
    projector = Projector(network, config.projection_dim).to(device)
    projector = projector.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimizer = adamw(projector, learning_rate=config.learning_rate, weight_decay=config.weight_decay)
    checkpoints = Checkpoints(run, "pretrain/checkpoint.safetensors")
    first_epoch, history, kept = checkpoints.load(projector, optimizer)
    before_N = kept.get("assignments_N")
    hog_ND = hog_features(images_NHW, device) if config.hog_weight else None
    steps_per_epoch = max(1, len(images_NHW) // config.batch_size)
    progress = epochs(config.epochs, first=first_epoch, description="phase 1")
    for epoch in progress:
        clustering, projected_ND = _pseudo_labels(run, projector, images_NHW, hog_ND, num_prototypes, config, epoch)
        prototypes_KD = mean_directions(projected_ND, clustering.assignments_N, num_prototypes).to(device)
        generator = run.generator("pretrain", epoch)
        projector.train()
        losses = []
        for step, chosen_B in enumerate(
            batches(torch.randperm(len(images_NHW), generator=generator), config.batch_size)
        ):
            done = epoch + step / steps_per_epoch
            set_learning_rate(
                optimizer, config.learning_rate * cosine_schedule(round(done * 1000), config.epochs * 1000)
            )
            images = to_input(images_NHW[chosen_B], device)
            views = torch.cat([random_views(images, augmentation, generator) for _ in range(2)])
            targets_B = clustering.assignments_N[chosen_B].repeat(2).to(device)
            with autocast(device):
                projected_BD = projector(views)
            logits_BK = projected_BD @ prototypes_KD.T / config.temperature
            prototype_loss = functional.cross_entropy(logits_BK, targets_B)
            loss = prototype_loss + config.contrast_weight * contrastive_loss(projected_BD, config.temperature)
            train_step(loss, projector, optimizer, where=f"phase 1, epoch {epoch}, step {step}")
            losses.append((float(prototype_loss.detach()), float(loss.detach())))
        history.append(_summary(epoch, losses, optimizer, clustering, before_N))
        _stop_if_stuck(history, config.epochs, num_prototypes)
        before_N = clustering.assignments_N
        progress.set_postfix(
            loss=f"{history[-1]['loss']:.3f}", stability=f"{history[-1]['assignment_stability_nmi']:.3f}"
        )
        checkpoints.save(epoch, history, projector, optimizer, assignments_N=before_N)
    return history


def contrastive_loss(projected_BD: Tensor, temperature: float) -> Tensor:
    """NT-Xent (Chen et al. 2020, equation 1): find the other view of the same radiograph among all views of the batch.

    Args:
        projected_BD: unit vectors; the second half holds the other views of the first half, in the same order.
        temperature: divides the similarities.

    Returns:
        Mean cross-entropy, at least 0; ln(B - 1) when nothing is told apart.
    """
    num_views = len(projected_BD)
    similarities_BB = projected_BD @ projected_BD.T / temperature
    similarities_BB = similarities_BB.masked_fill(
        torch.eye(num_views, dtype=torch.bool, device=projected_BD.device), -torch.inf
    )
    partners_B = torch.arange(num_views, device=projected_BD.device).roll(num_views // 2)
    return functional.cross_entropy(similarities_BB, partners_B)


def _pseudo_labels(
    run: Run,
    projector: Projector,
    images_NHW: Tensor,
    hog_ND: Tensor | None,
    num_prototypes: int,
    config: PretrainConfig,
    epoch: int,
) -> tuple[Clustering, Tensor]:
    """Cluster the whole set; returns the clustering and the projected features it was made of."""
    projector.eval()
    projected_ND = compute_features(projector, images_NHW, run.device)
    parts = [(projected_ND, 1.0)] + ([(hog_ND, config.hog_weight)] if hog_ND is not None else [])
    clustering = spherical_kmeans(
        concatenate_unit(parts),
        num_prototypes,
        iterations=config.kmeans_iterations,
        generator=run.generator("pretrain", "k-means", epoch),
    )
    return clustering, projected_ND


def _summary(
    epoch: int,
    losses: list[tuple[float, float]],
    optimizer: torch.optim.Optimizer,
    clustering: Clustering,
    before_N: Tensor | None,
) -> dict[str, float]:
    """What is logged of an epoch.

    `assignment_stability_nmi` compares this epoch's clusters with those of the epoch before (chance is far above 0: two
    random assignments of 42,608 radiographs to 1000 clusters reach 0.46). It does not say whether clusters follow
    anatomy.
    """
    stability = 0.0
    if before_N is not None:
        stability = float(normalized_mutual_info_score(before_N.numpy(), clustering.assignments_N.numpy()))
    return {
        "epoch": epoch,
        "loss": sum(total for _, total in losses) / len(losses),
        "prototype_loss": sum(prototype for prototype, _ in losses) / len(losses),
        "learning_rate": float(optimizer.param_groups[0]["lr"]),
        "assignment_stability_nmi": stability,
        "num_reseeded": clustering.num_reseeded,
        "mean_similarity": clustering.mean_similarity,
    }


def _stop_if_stuck(history: Sequence[Mapping[str, float]], num_epochs: int, num_prototypes: int) -> None:
    """A loss of ln K after a third of the epochs means that every view gets the same answer."""
    chance = math.log(num_prototypes)
    if len(history) < max(5, num_epochs // 3):
        return
    found = history[-1]["prototype_loss"]
    if found > _STUCK * chance:
        raise SamxError(
            f"phase 1 learns nothing: after {len(history)} epochs the prototype loss is {found:.3f}, and guessing "
            f"among {num_prototypes} prototypes gives {chance:.3f}; lower pretrain.learning_rate or weaken augmentation"
        )
