"""Phase 2: all of the network is trained on the injected labels, and its features' distribution is kept.

Shape suffixes: N radiographs, B batch, D features, K classes.
"""

from collections.abc import Mapping, Sequence

import torch
from sklearn.covariance import ledoit_wolf_shrinkage
from torch import Tensor, nn
from torch.nn import functional

from samx.manifest import AttributeName
from samx.network import CLASS_HEAD, Network
from samx.out_of_scope import SCOPE, FeatureDistribution
from training.attribute_labels import UNKNOWN_TARGET, AttributeTargets
from training.augmentation import AugmentationConfig
from training.classifier_loop import Logits, train_classifier
from training.config import FinetuneConfig
from training.injection import class_means
from training.loop import compute_features, sampling_weights
from training.run import Run

_NUM_COMPONENTS = 256
"""Of the covariance of features: of 384, 128 tell foreign images apart as well as all (EXPERIMENTS.md)."""
_SMALLEST_SPREAD = 0.01
"""Of a feature, in shares of the mean: one that hardly ever moved would decide alone."""


def finetune(
    run: Run,
    network: Network,
    images_NHW: Tensor,
    targets_N: Tensor,
    *,
    name: str,
    config: FinetuneConfig,
    augmentation: AugmentationConfig,
    attributes: Mapping[AttributeName, AttributeTargets] | None = None,
) -> tuple[Network, list[dict[str, float]]]:
    """Train a network on labelled radiographs; resumes from the checkpoint `<name>/checkpoint.safetensors`.

    Args:
        run: gives device and random generators.
        network: with a head of K classes.
        images_NHW: preprocessed, uint8.
        targets_N: int64 in [0, K).
        name: of the checkpoint, the random generators and the progress bar.
        config: of phase 2.
        augmentation: of the views.
        attributes: what further heads learn of the same radiographs; what is unknown gives no loss.

    Returns:
        The moving average of the network, in evaluation mode, and one row per epoch.

    Raises:
        SamxError: the loss is not finite.
        Interrupted: a signal asked to stop; the checkpoint holds the last step.
    """

    def loss_of(logits: Logits, _views: Tensor, chosen_B: Tensor) -> Tensor:
        targets_B = targets_N[chosen_B].to(run.device)
        loss = functional.cross_entropy(logits[CLASS_HEAD], targets_B, label_smoothing=config.label_smoothing)
        for attribute, one in (attributes or {}).items():
            values_B = one.targets_N[chosen_B].to(run.device)
            loss = loss + config.attribute_weight * _known_cross_entropy(logits[attribute], values_B)
        return loss

    weights_N = sampling_weights(targets_N, config.balance)
    return train_classifier(
        run, network, images_NHW, weights_N, loss_of, name=name, config=config, augmentation=augmentation
    )


def _known_cross_entropy(logits_BV: Tensor, values_B: Tensor) -> Tensor:
    """Mean over those whose value is known; 0 where none is."""
    total = functional.cross_entropy(logits_BV, values_B, ignore_index=UNKNOWN_TARGET, reduction="sum")
    return total / (values_B != UNKNOWN_TARGET).sum().clamp_min(1)


def feature_distribution(features_ND: Tensor, targets_N: Tensor, num_classes: int) -> FeatureDistribution:
    """Class means and shared covariance of a network's features in scope.

    Each feature is scaled to its spread. The covariance is shrunk towards a level one as far as the number of
    radiographs asks for (Ledoit and Wolf 2004): else what was learned from would seem far nearer than what is new.

    Args:
        features_ND: scope features of labelled radiographs.
        targets_N: class of each, int64 in [0, K).
        num_classes: K.
    """
    means_KD = class_means(features_ND, targets_N, num_classes)
    spread_D = features_ND.double().std(0)
    scale_D = 1 / spread_D.clamp_min(_SMALLEST_SPREAD * float(spread_D.mean()) + 1e-12)
    deviations_ND = (features_ND - means_KD[targets_N]).double() * scale_D
    covariance_DD = deviations_ND.T @ deviations_ND / max(1, len(features_ND) - num_classes)
    shrinkage = float(ledoit_wolf_shrinkage(deviations_ND.numpy(), assume_centered=True))
    level = covariance_DD.diagonal().mean().clamp_min(1e-12)
    values_D, vectors_DD = torch.linalg.eigh(covariance_DD)
    values_D = ((1 - shrinkage) * values_D.clamp_min(0) + shrinkage * level).flip(0)
    num_components = min(_NUM_COMPONENTS, len(values_D) - 1)
    rest = values_D[num_components:].mean()
    components_DR = vectors_DD.flip(1)[:, :num_components] * (1 - rest / values_D[:num_components]).clamp_min(0).sqrt()
    present_K = torch.bincount(targets_N, minlength=num_classes) > 0
    return FeatureDistribution(
        means_KD[present_K].numpy(), (scale_D / rest.sqrt()).float().numpy(), components_DR.float().numpy()
    )


def network_tensors(run: Run, network: Network, images_NHW: Tensor, targets_N: Tensor) -> dict[str, Tensor]:
    """Content of a weights file: a trained network, and the distribution of its features of labelled radiographs.

    Args:
        run: gives the device.
        network: with a head, in evaluation mode.
        images_NHW: labelled radiographs, preprocessed, uint8.
        targets_N: class of each.
    """
    assert isinstance(network.head, nn.Linear)
    features_ND = compute_features(network.scope_features, images_NHW, run.device, precision="float32")
    scope = feature_distribution(features_ND, targets_N, network.head.out_features)
    tensors = {key: value.detach().cpu().contiguous() for key, value in network.state_dict().items()}
    values = (scope.means_KD, scope.scale_D, scope.components_DR)
    return tensors | {name: torch.from_numpy(value).contiguous() for name, value in zip(SCOPE, values, strict=True)}


def targets_of(labels: Sequence[str], classes: Sequence[str]) -> Tensor:
    """Class of every label, int64 in head order."""
    position = {label: index for index, label in enumerate(classes)}
    return torch.tensor([position[label] for label in labels], dtype=torch.int64)
