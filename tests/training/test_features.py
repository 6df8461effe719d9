"""Principal components are exact and repeatable; learned features know where, if they are asked to."""

import torch
from torch import Tensor
from torch.nn import functional

from samx.architecture import ArchitectureConfig
from samx.network import Network
from training.features import concatenate_unit, learned_features, principal_components


def test_components_agree_with_the_singular_value_decomposition() -> None:
    """Both ways: more radiographs than features, and fewer."""
    for shape in ((40, 12), (12, 40)):
        features = torch.randn(shape, generator=torch.Generator().manual_seed(0))
        centred = features - features.mean(0)
        left, values, _ = torch.linalg.svd(centred, full_matrices=False)
        expected = functional.normalize(left[:, :5] * values[:5], dim=1)
        torch.testing.assert_close(principal_components(features, 5).abs(), expected.abs(), atol=1e-4, rtol=0)


def test_the_sign_does_not_depend_on_the_order_of_radiographs() -> None:
    features = torch.randn(30, 8, generator=torch.Generator().manual_seed(1))
    order = torch.randperm(30, generator=torch.Generator().manual_seed(2))
    torch.testing.assert_close(
        principal_components(features, 4)[order], principal_components(features[order], 4), atol=1e-4, rtol=0
    )


def test_no_more_components_than_there_are() -> None:
    assert principal_components(torch.randn(10, 4), 128).shape == (10, 4)


def test_weights_decide_the_share_of_each_part() -> None:
    joined = concatenate_unit([(torch.tensor([[1.0, 0.0]]), 1.0), (torch.tensor([[0.0, 1.0]]), 0.5)])
    torch.testing.assert_close(joined, torch.tensor([[1.0, 0.0, 0.0, 0.5]]) / 1.25**0.5)


class Shrinking(Network):
    """Its feature maps are the image itself, at an eighth of the size."""

    def feature_maps(self, images_N1HW: Tensor) -> Tensor:
        return functional.avg_pool2d(images_N1HW, 8)


def test_learned_features_of_several_cells_say_where() -> None:
    """Two images of a bright half, left and right, between a dark and a bright one."""
    left = torch.zeros(64, 64, dtype=torch.uint8)
    left[:, :32] = 200
    images = torch.stack([left, left.flip(1), torch.zeros_like(left), torch.full_like(left, 255)])
    network = Shrinking(ArchitectureConfig(backbone="resnet18_slim"), num_classes=0)
    whole, parts = (learned_features(network, images, torch.device("cpu"), 2, num_cells=cells) for cells in (1, 2))
    torch.testing.assert_close(whole[0], whole[1])
    assert float(whole[0] @ whole[2]) > 0.99, "darker than the mean, both"
    assert float(parts[0] @ parts[1]) < -0.9
    torch.testing.assert_close(parts.norm(dim=1), torch.ones(4))
