"""The losses of phase 1 by hand and by their properties."""

import math

import pytest
import torch

from samx.architecture import ArchitectureConfig
from samx.network import Network
from training.barlow_twins import redundancy_loss
from training.config import PretrainConfig
from training.deep_clustering import DeepClustering
from training.simclr import SimCLR, nt_xent


def test_nt_xent_by_hand() -> None:
    """Two radiographs whose views coincide and are orthogonal to the other's: one right answer among three."""
    views = torch.eye(2).repeat(2, 1)
    assert float(nt_xent(views, 1.0)) == pytest.approx(math.log(math.e + 2) - 1)
    assert float(nt_xent(torch.ones(4, 1), 1.0)) == pytest.approx(math.log(3))


def test_nt_xent_does_not_depend_on_the_order_of_radiographs() -> None:
    views = torch.nn.functional.normalize(torch.randn(12, 5, generator=torch.Generator().manual_seed(0)), dim=1)
    order = torch.tensor([3, 1, 5, 0, 2, 4])
    assert float(nt_xent(views[torch.cat([order, order + 6])], 0.2)) == pytest.approx(float(nt_xent(views, 0.2)))


def test_redundancy_loss_is_zero_for_equal_views_of_unrelated_dimensions() -> None:
    """Rows of a Hadamard matrix: every dimension has mean 0 and none is correlated with another."""
    views = torch.tensor([[1.0, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]])
    assert float(redundancy_loss(torch.cat([views, views]))) == pytest.approx(0, abs=1e-4)
    assert float(redundancy_loss(torch.cat([views, -views]))) == pytest.approx(4, abs=1e-3)


def test_redundant_dimensions_cost() -> None:
    one = torch.tensor([[1.0], [-1], [1], [-1]]).expand(4, 3)
    assert float(redundancy_loss(torch.cat([one, one]))) == pytest.approx(5e-3 * 6 / 3, rel=1e-3)


def test_prototypes_are_where_the_clusters_are_and_stand_still() -> None:
    torch.manual_seed(0)
    network = Network(ArchitectureConfig(backbone="resnet18_slim"), 0)
    objective = DeepClustering(network, PretrainConfig(projection_dim=4), num_prototypes=2)
    objective.begin_epoch(torch.eye(4)[[0, 0, 1, 2]], torch.tensor([0, 0, 0, 1]))
    expected = torch.nn.functional.normalize(torch.tensor([[2.0, 1, 0, 0], [0, 0, 1, 0]]), dim=1)
    torch.testing.assert_close(objective.prototypes_KD, expected)
    losses = objective(torch.rand(8, 1, 32, 32), torch.tensor([0, 1, 0, 1] * 2))
    losses["loss"].backward()
    assert objective.prototypes_KD.grad is None
    assert losses["loss"] > losses["prototype_loss"] > 0


def test_without_contrast_the_prototypes_are_all() -> None:
    torch.manual_seed(0)
    network = Network(ArchitectureConfig(backbone="resnet18_slim"), 0)
    objective = DeepClustering(network, PretrainConfig(projection_dim=4, contrast_weight=0.0), num_prototypes=2)
    losses = objective(torch.rand(4, 1, 32, 32), torch.tensor([0, 1, 0, 1]))
    assert torch.equal(losses["loss"], losses["prototype_loss"])


def test_guessing_costs_the_logarithm_of_the_choices() -> None:
    network = Network(ArchitectureConfig(backbone="resnet18_slim"), 0)
    clustering = DeepClustering(network, PretrainConfig(), num_prototypes=50)
    assert clustering.loss_of_guessing(16) == {"prototype_loss": pytest.approx(math.log(50))}
    assert SimCLR(network, PretrainConfig()).loss_of_guessing(16) == {"loss": pytest.approx(math.log(31))}
