"""Labels are injected into the network of phase 1: its heads before all of it is trained on them.

First the rows start from the merged clusters: a class's row is the mean of its radiographs' features, which makes the
untrained head a nearest-mean classifier. Then the rows alone are fitted, on the features as phase 1 has left them:
fine-tuning would bend those to rows that do not fit yet (Kumar et al. 2022, "Fine-tuning can distort pretrained
features and underperform out-of-distribution").

Shape suffixes: N radiographs, D features, K classes.
"""

from collections.abc import Mapping

import safetensors.torch
import torch
from torch import Tensor, nn
from torch.nn import functional

from samx.manifest import AttributeName
from samx.network import Network
from training.attribute_labels import UNKNOWN_TARGET, AttributeTargets
from training.loop import compute_features, sampling_weights
from training.run import Run

_LOGIT_AT_MEAN_DISTANCE = 5.0
_PENALTY = 1e-3
"""Of the squared distance of fitted rows from injected ones, beside the mean loss: with a tenth as many answers are
right, with ten times up to a point fewer (EXPERIMENTS.md)."""
_MOST_STEPS = 100


def injected_network(
    run: Run,
    images_NHW: Tensor,
    targets_N: Tensor,
    num_classes: int,
    attributes: Mapping[AttributeName, AttributeTargets] | None = None,
) -> tuple[Network, Tensor]:
    """The network of phase 1 with a head whose rows come from the labelled radiographs' features, and those.

    A feature f is nearest to the mean m of a class where `m f - |m|^2 / 2` is largest: that is the head, up to a scale.

    Args:
        run: holds the weights of phase 1.
        images_NHW: labelled radiographs, preprocessed, uint8.
        targets_N: class of each, int64 in [0, K); a class may be missing.
        num_classes: K.
        attributes: what further heads learn of the same radiographs.

    Returns:
        The network in evaluation mode, and the features `(N, D)` on the CPU.
    """
    torch.manual_seed(run.config.seed)
    attributes = attributes or {}
    network = Network(run.config.architecture, num_classes, {name: one.num_values for name, one in attributes.items()})
    weights = safetensors.torch.load(run.read("pretrain/weights.safetensors"))
    network.load_state_dict({**network.state_dict(), **weights})
    network = network.to(run.device).eval()
    features_ND = compute_features(network.features, images_NHW, run.device).clone()  # no inference tensor
    _inject(network.head, features_ND, targets_N)
    for name, one in attributes.items():
        known_N = one.targets_N != UNKNOWN_TARGET
        _inject(network.attribute_heads[name], features_ND[known_N], one.targets_N[known_N])
    return network, features_ND


def _inject(head: nn.Module, features_ND: Tensor, targets_N: Tensor) -> None:
    assert isinstance(head, nn.Linear)
    if not len(targets_N):
        return  # nothing to start from
    means_KD = class_means(features_ND, targets_N, head.out_features)
    squared_distances_N = (features_ND - means_KD[targets_N]).square().sum(1)
    scale = _LOGIT_AT_MEAN_DISTANCE / float(squared_distances_N.mean().clamp_min(1e-6))
    absent_K = torch.bincount(targets_N, minlength=head.out_features) == 0
    with torch.no_grad():
        head.weight.copy_(2 * scale * means_KD)
        head.bias.copy_(torch.where(absent_K, -1e3, -scale * means_KD.square().sum(1)))


def class_means(features_ND: Tensor, targets_N: Tensor, num_classes: int) -> Tensor:
    """Mean feature of every class, `(K, D)`; zeros for a class without radiographs."""
    sums_KD = features_ND.new_zeros(num_classes, features_ND.shape[1]).index_add_(0, targets_N, features_ND)
    return sums_KD / torch.bincount(targets_N, minlength=num_classes).clamp_min(1).unsqueeze(1)


def fit_heads(
    network: Network,
    features_ND: Tensor,
    targets_N: Tensor,
    attributes: Mapping[AttributeName, AttributeTargets] | None = None,
    *,
    balance: float,
) -> None:
    """Fit all heads to the labels, starting from what they are and staying near it; the features stay what they are.

    Logistic regression by L-BFGS. A class without radiographs stays one that is never answered.

    Args:
        network: its heads are changed.
        features_ND: of labelled radiographs.
        targets_N: class of each, int64 in [0, K).
        attributes: what further heads learn of the same radiographs; what is unknown says nothing.
        balance: of `FinetuneConfig`.
    """
    _fit(network.head, features_ND, targets_N, balance)
    for name, one in (attributes or {}).items():
        known_N = one.targets_N != UNKNOWN_TARGET
        _fit(network.attribute_heads[name], features_ND[known_N], one.targets_N[known_N], balance)


def _fit(head: nn.Module, features_ND: Tensor, targets_N: Tensor, balance: float) -> None:
    assert isinstance(head, nn.Linear)
    if not len(targets_N):
        return
    weights_N = sampling_weights(targets_N, balance)
    weights_N = weights_N / weights_N.sum()
    injected_KD = head.weight.detach().cpu().clone()
    rows_KD, biases_K = injected_KD.clone().requires_grad_(), head.bias.detach().cpu().clone().requires_grad_()
    optimizer = torch.optim.LBFGS([rows_KD, biases_K], max_iter=_MOST_STEPS, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        optimizer.zero_grad()
        losses_N = functional.cross_entropy(features_ND @ rows_KD.T + biases_K, targets_N, reduction="none")
        total = losses_N @ weights_N + _PENALTY / 2 * (rows_KD - injected_KD).square().sum()
        total.backward()  # type: ignore[no-untyped-call]
        return total

    optimizer.step(loss)  # type: ignore[no-untyped-call]
    with torch.no_grad():
        head.weight.copy_(rows_KD)
        head.bias.copy_(biases_K)
