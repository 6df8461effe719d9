"""The checks of heat maps: each must fail a map that knows nothing, and pass one that knows the answer."""

import numpy as np
import numpy.typing as npt
import pytest
import torch

from samx.architecture import ArchitectureConfig
from samx.network import Network
from training.saliency import (
    NUM_STEPS,
    central_map,
    deletion_curves,
    mean_over_patients,
    randomised,
    rank_correlation,
)


def test_rank_correlation_is_of_ranks() -> None:
    first = np.array([[0.1, 0.2], [0.3, 0.9]], np.float32)
    assert rank_correlation(first, first**3) == pytest.approx(1)
    assert rank_correlation(first, -first) == pytest.approx(-1)
    # Ranks 1 2 3 4 against 1.5 1.5 3.5 3.5: covariance 4 over the root of 5 times 4.
    tied = np.array([[0, 0], [1, 1]], np.float32)
    assert rank_correlation(first, tied) == pytest.approx(4 / np.sqrt(20))


def test_a_level_map_has_no_order() -> None:
    level, other = np.zeros((2, 2), np.float32), np.arange(4, dtype=np.float32).reshape(2, 2)
    assert rank_correlation(level, other) is None
    assert rank_correlation(other, level) == 0.0


def _bright_corner(images_nSS: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    """A model that looks at the upper left quarter alone."""
    shown = images_nSS[:, :4, :4].mean((1, 2)) / 255
    return np.stack([shown, 1 - shown], axis=1).astype(np.float32)


def test_deletion_falls_faster_along_a_true_map_than_along_a_wrong_one() -> None:
    image = np.zeros((1, 8, 8), np.uint8)
    image[:, :4, :4] = 255
    true_map = np.array([[[1, 0], [0, 0]]], np.float32)
    classes = np.zeros(1, np.intp)
    right = deletion_curves(image, true_map, classes, _bright_corner)
    wrong = deletion_curves(image, 1 - true_map, classes, _bright_corner)
    assert right.shape == (1, NUM_STEPS + 1)
    assert right[0, 0] == wrong[0, 0] == 1.0
    assert right[0, -1] == wrong[0, -1] == pytest.approx(64 / 255)  # the image's mean everywhere
    assert right[0, NUM_STEPS // 4] == pytest.approx(64 / 255, abs=0.15)  # a quarter of the pixels were all of it
    assert wrong[0, NUM_STEPS // 4] == 1.0
    assert right.mean() < wrong.mean() - 0.3


def test_weights_become_random_from_the_head_down() -> None:
    architecture = ArchitectureConfig(backbone="resnet18_slim")
    torch.manual_seed(0)
    network = Network(architecture, 3).eval()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    images = torch.randint(0, 256, (4, 64, 64), generator=torch.Generator().manual_seed(1)).to(torch.uint8)
    seen = list(randomised(network, lambda: Network(architecture, 3), images, torch.Generator().manual_seed(2)))
    assert [part for part, _ in seen] == ["head", "layer4", "layer3", "layer2", "layer1", "bn1", "conv1"]
    head, everything = seen[0][1].state_dict(), seen[-1][1].state_dict()
    assert torch.equal(head["backbone.conv1.weight"], before["backbone.conv1.weight"])
    assert not torch.equal(head["head.weight"], before["head.weight"])
    assert not torch.equal(everything["backbone.conv1.weight"], before["backbone.conv1.weight"])
    for name, value in network.named_parameters():
        assert torch.equal(value, before[name])  # the trained network stays
        assert torch.equal(everything[name].flatten().sort().values, value.flatten().sort().values)


def test_the_middle_is_hottest_in_the_middle() -> None:
    bump = central_map((3, 5))
    assert bump.shape == (3, 5)
    assert bump.argmax() == 7
    assert central_map((1, 1)).tolist() == [[1.0]]


def test_limits_take_patients_together() -> None:
    """A hundred values of two patients say no more than two values."""
    values = [0.0] * 50 + [1.0] * 50
    two = mean_over_patients(values, ["a"] * 50 + ["b"] * 50, seed=1)
    many = mean_over_patients(values, [str(i) for i in range(100)], seed=1)
    assert two == {"value": 0.5, "low": 0.0, "high": 1.0, "n": 100}
    assert many["value"] == 0.5
    assert 0.38 < float(many["low"] or 0) < 0.45
    assert mean_over_patients([], [], seed=1)["value"] is None
