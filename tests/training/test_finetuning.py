"""All of the network is trained on the injected labels."""

from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.covariance import LedoitWolf

from samx.manifest import AttributeName
from samx.network import CLASS_HEAD, Network, to_input
from tests.training.small_run import pretrained_run
from training.attribute_labels import UNKNOWN_TARGET, AttributeTargets
from training.augmentation import AugmentationConfig
from training.config import FinetuneConfig
from training.finetuning import feature_distribution, finetune, sampling_weights, targets_of
from training.injection import injected_network
from training.run import Run


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """A run whose phase 1 ended with random weights."""
    return pretrained_run(tmp_path)


def stripes(num_images: int = 24) -> tuple[torch.Tensor, torch.Tensor]:
    """Noisy vertical, horizontal and diagonal stripes, `(N, 32, 32)` uint8, and which they are."""
    y, x = torch.meshgrid(torch.arange(32), torch.arange(32), indexing="ij")
    patterns = torch.stack([(axis // 4 % 2) * 180 for axis in (x, y, x + y)])
    targets = torch.arange(num_images) % 3
    noise = torch.randint(0, 60, (num_images, 32, 32), generator=torch.Generator().manual_seed(0))
    return (patterns[targets] + noise).to(torch.uint8), targets


def test_training_lowers_the_loss_and_ends_in_evaluation_mode(run: Run) -> None:
    images, targets = stripes(48)
    network = Network(run.config.architecture, 3)
    config = FinetuneConfig(epochs=6, batch_size=16, learning_rate=2e-3, label_smoothing=0.0)
    mild = AugmentationConfig(rotation_degrees=5, inversion=0)
    network, history = finetune(run, network, images, targets, name="f", config=config, augmentation=mild)
    assert history[-1]["loss"] < 0.5 * history[0]["loss"]
    assert not network.training
    with torch.inference_mode():
        assert (network(to_input(images)).argmax(1) == targets).float().mean() > 0.9


def test_a_head_of_its_own_learns_what_only_some_radiographs_say(run: Run) -> None:
    images, targets = stripes(48)
    view = torch.arange(48) // 3 % 2  # which half is dark; said of the first half of them only
    for image, value in zip(images, view.tolist(), strict=True):
        image[16 * value : 16 * value + 12] = 0
    said = torch.where(torch.arange(48) < 24, view, UNKNOWN_TARGET)
    attributes: dict[AttributeName, AttributeTargets] = {"view": AttributeTargets(2, said)}
    network, _ = injected_network(run, images, targets, 3, attributes)
    assert network.attribute_heads["view"].weight.shape == (2, network.num_features)
    config = FinetuneConfig(epochs=16, batch_size=16, learning_rate=2e-3, attribute_weight=1.0)
    still = AugmentationConfig(rotation_degrees=5, inversion=0, smallest_crop=1, largest_zoom_out=1, collimation=0)
    network, _ = finetune(run, network, images, targets, name="f", config=config, augmentation=still,
                          attributes=attributes)  # fmt: skip
    with torch.inference_mode():
        logits = network.all_logits(to_input(images))
    assert (logits[CLASS_HEAD].argmax(1) == targets).float().mean() > 0.7
    assert (logits["view"].argmax(1) == view)[24:].float().mean() > 0.9


def test_what_nobody_knows_gives_no_loss_and_leaves_the_rest_as_it_was(run: Run) -> None:
    """Bit for bit: a head whose value is never known changes nothing of the network."""
    images, targets = stripes()
    unknown: dict[AttributeName, AttributeTargets] = {"view": AttributeTargets(2, torch.full((24,), UNKNOWN_TARGET))}
    config = FinetuneConfig(epochs=1, batch_size=8)
    ended = []
    for attributes in ({}, unknown):
        network, _ = injected_network(run, images, targets, 3, attributes)
        network, history = finetune(run, network, images, targets, name="f", config=config,
                                    augmentation=AugmentationConfig(), attributes=attributes)  # fmt: skip
        assert np.isfinite(history[-1]["loss"])
        ended.append(network.state_dict())
    assert all(torch.equal(value, ended[1][key]) for key, value in ended[0].items())


def test_the_checkpoint_is_gone_after_training(run: Run) -> None:
    images, targets = stripes()
    config = FinetuneConfig(epochs=1, batch_size=8)
    finetune(run, Network(run.config.architecture, 3), images, targets, name="f", config=config,
             augmentation=AugmentationConfig())  # fmt: skip
    assert not run.storage.exists("f/checkpoint.safetensors")


def test_balance_moves_between_radiographs_and_classes() -> None:
    targets = torch.tensor([0] * 90 + [1] * 10)
    for balance, share in ((0.0, 0.1), (1.0, 0.5), (0.5, 10**0.5 / (10**0.5 + 90**0.5))):
        weights = sampling_weights(targets, balance)
        assert float(weights[90:].sum() / weights.sum()) == pytest.approx(share, abs=1e-6)


def test_distance_is_one_on_average_for_what_was_learned_and_large_for_strangers() -> None:
    generator = torch.Generator().manual_seed(0)
    targets = torch.arange(3000) % 3
    features = torch.randn(3000, 8, generator=generator) + 6 * torch.eye(8)[targets]
    scope = feature_distribution(features, targets, 3)
    assert float((scope.distances(features.numpy()) ** 2).mean()) == pytest.approx(1.0, abs=0.05)
    assert scope.distances(np.full((1, 8), 20, np.float32)).item() > 10


def test_distances_are_those_of_the_shrunk_covariance() -> None:
    """Against scikit-learn's Ledoit-Wolf and a matrix inverse, for 40 features that are correlated."""
    generator = np.random.default_rng(0)
    targets, mixing = np.arange(900) % 3, generator.normal(size=(40, 40)) * np.geomspace(3, 0.01, 40)
    features = (generator.normal(size=(900, 40)) @ mixing.T + 5 * np.eye(40)[targets]).astype(np.float32)
    scope = feature_distribution(torch.from_numpy(features), torch.from_numpy(targets), 3)
    spread = features.std(0, ddof=1)
    means = np.stack([features[targets == k].mean(0) for k in range(3)])
    covariance = LedoitWolf(assume_centered=True).fit((features - means[targets]) / spread).covariance_
    strangers = features[:50] + generator.normal(size=(50, 40)).astype(np.float32)
    deviations = (strangers[:, None] - means) / spread
    squares = np.einsum("nkd,de,nke->nk", deviations, np.linalg.inv(covariance), deviations)
    np.testing.assert_allclose(scope.distances(strangers), np.sqrt(squares.min(1) / 40), rtol=5e-3)


def test_targets_follow_head_order() -> None:
    assert targets_of(["b", "a", "b"], ["a", "b"]).tolist() == [1, 0, 1]
    with pytest.raises(KeyError):
        targets_of(["c"], ["a", "b"])
