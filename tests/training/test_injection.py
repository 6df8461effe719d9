"""Labels are injected: the head starts from the clusters, and its rows are fitted before all else is trained."""

from pathlib import Path

import numpy as np
import pytest
import torch

from samx.architecture import ArchitectureConfig
from samx.manifest import AttributeName
from samx.network import Network
from tests.training.small_run import pretrained_run
from tests.training.test_finetuning import stripes
from training.attribute_labels import UNKNOWN_TARGET, AttributeTargets
from training.injection import class_means, fit_heads, injected_network
from training.loop import compute_features, sampling_weights
from training.run import Run


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """A run whose phase 1 ended with random weights."""
    return pretrained_run(tmp_path)


def test_the_untrained_head_names_the_nearest_class_mean(run: Run) -> None:
    images, targets = stripes()
    network, _ = injected_network(run, images, targets, 3)
    features = compute_features(network.features, images, torch.device("cpu"))
    nearest = torch.cdist(features, class_means(features, targets, 3)).argmin(1)
    assert torch.equal(compute_features(network, images, torch.device("cpu")).argmax(1), nearest)


def test_injection_alone_beats_chance_by_far(run: Run) -> None:
    images, targets = stripes(60)
    network, _ = injected_network(run, images[:30], targets[:30], 3)
    answers = compute_features(network, images[30:], torch.device("cpu")).argmax(1)
    assert (answers == targets[30:]).float().mean() > 0.9


def test_a_class_without_radiographs_is_never_answered_untrained(run: Run) -> None:
    images, targets = stripes()
    network, _ = injected_network(run, images, targets, 4)
    assert (compute_features(network, images, torch.device("cpu")).argmax(1) != 3).all()


def clouds(num_points: int = 200) -> tuple[torch.Tensor, torch.Tensor]:
    """Features of two classes that differ by little in one direction and are wide in another, and which they are."""
    targets = torch.arange(num_points) % 4 // 3  # three of one to one of the other
    features = torch.randn(num_points, 512, generator=torch.Generator().manual_seed(0)) * 0.1
    features[:, 0] = 3 * torch.randn(num_points, generator=torch.Generator().manual_seed(1)) + targets
    features[:, 1] += targets
    return features, targets


def untrained(num_classes: int, attributes: dict[str, int] | None = None) -> Network:
    torch.manual_seed(0)
    return Network(ArchitectureConfig(backbone="resnet18"), num_classes, attributes)


def nearest_mean(network: Network, features: torch.Tensor, targets: torch.Tensor) -> None:
    means = class_means(features, targets, 2)
    with torch.no_grad():
        network.head.weight.copy_(means)
        network.head.bias.copy_(-means.square().sum(1) / 2)


def test_fitted_rows_tell_apart_what_class_means_do_not() -> None:
    features, targets = clouds()
    network = untrained(2)
    nearest_mean(network, features, targets)
    right = [(network.head(features).argmax(1) == targets).float().mean()]
    fit_heads(network, features[:100], targets[:100], balance=0.5)
    right.append((network.head(features[100:]).argmax(1) == targets[100:]).float().mean())
    assert right[0] < 0.8
    assert right[1] > 0.95


@pytest.mark.parametrize("balance", [0.0, 1.0])
def test_fitted_rows_are_where_loss_and_distance_from_the_injected_ones_are_in_balance(balance: float) -> None:
    """The gradient in numpy: nothing is left of it, and there was much of it before."""
    features, targets = clouds()
    network = untrained(2)
    nearest_mean(network, features, targets)
    injected = network.head.weight.detach().numpy().astype(float)
    weights = sampling_weights(targets, balance).double().numpy()

    def slope() -> float:
        rows, biases = (values.detach().numpy().astype(float) for values in (network.head.weight, network.head.bias))
        logits = features.double().numpy() @ rows.T + biases
        shares = np.exp(logits - logits.max(1, keepdims=True))
        errors = shares / shares.sum(1, keepdims=True) - np.eye(2)[targets.numpy()]
        errors *= (weights / weights.sum())[:, None]
        gradient = errors.T @ features.double().numpy() + 1e-3 * (rows - injected)
        return float(np.abs(np.column_stack([gradient, errors.sum(0)])).max())

    before = slope()
    fit_heads(network, features, targets, balance=balance)
    assert slope() < 0.02 * before


def test_a_class_without_radiographs_is_never_answered_when_rows_are_fitted(run: Run) -> None:
    images, targets = stripes(60)
    network, features = injected_network(run, images, targets, 4)
    fit_heads(network, features, targets, balance=0.5)
    answers = compute_features(network, images, torch.device("cpu")).argmax(1)
    assert (answers == targets).float().mean() > 0.9
    assert (answers != 3).all()


def test_only_what_is_known_of_an_attribute_is_fitted() -> None:
    features, view = clouds()
    said = torch.where(torch.arange(200) < 100, view, UNKNOWN_TARGET)
    attributes: dict[AttributeName, AttributeTargets] = {
        "view": AttributeTargets(2, said),
        "laterality": AttributeTargets(2, torch.full((200,), UNKNOWN_TARGET)),
    }
    network = untrained(2, {"view": 2, "laterality": 2})
    untouched = network.attribute_heads["laterality"].weight.detach().clone()
    fit_heads(network, features, 1 - view, attributes, balance=0.5)
    assert (network.attribute_heads["view"](features).argmax(1) == view)[100:].float().mean() > 0.95
    assert (network.head(features).argmax(1) == 1 - view).float().mean() > 0.95
    assert torch.equal(network.attribute_heads["laterality"].weight, untouched)
