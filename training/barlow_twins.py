"""Barlow Twins (Zbontar et al. 2021, "Self-supervised learning via redundancy reduction").

Both views of a radiograph should give the same projection, and no two of its dimensions should say the same. Nothing is
told apart, so radiographs that look alike may lie as near to each other as they like.

Shape suffixes: B views of this rank, N radiographs of this rank, D dimensions.
"""

from torch import Tensor

from samx.network import Network
from training.config import PretrainConfig
from training.distribution import add_up_with_gradient, num_ranks
from training.projection import Projector, in_halves

_REDUNDANCY_WEIGHT = 5e-3
"""Lambda of the paper, its best value (figure 5)."""


class BarlowTwins(Projector):
    """The network, its projection and the redundancy reduction loss."""

    def __init__(self, network: Network, config: PretrainConfig) -> None:
        super().__init__(network, config.projection_dim)

    def forward(self, views_B1HW: Tensor, pseudo_labels: Tensor) -> dict[str, Tensor]:  # noqa: ARG002
        """Losses of a batch; the second half of it holds the other views of the first half, in the same order."""
        return {"loss": redundancy_loss(self.raw_projection(views_B1HW))}


def redundancy_loss(projected_BD: Tensor) -> Tensor:
    """The loss of Zbontar et al. 2021, equation 1, over the views of all ranks, in the mean over dimensions.

    Returns:
        0 when the two halves' cross-correlation is the identity; about 1 when they are unrelated.
    """
    first_ND, second_ND = (_standardised(half) for half in in_halves(projected_BD))
    count, dim = len(first_ND) * num_ranks(), first_ND.shape[1]
    correlation_DD = add_up_with_gradient(first_ND.T @ second_ND) / count
    diagonal_D = correlation_DD.diagonal()
    redundancy = correlation_DD.square().sum() - diagonal_D.square().sum()
    return ((1 - diagonal_D).square().sum() + _REDUNDANCY_WEIGHT * redundancy) / dim


def _standardised(values_ND: Tensor) -> Tensor:
    """Each dimension with mean 0 and variance 1 over all ranks."""
    count = len(values_ND) * num_ranks()
    mean_D = add_up_with_gradient(values_ND.sum(0)) / count
    centred_ND = values_ND - mean_D
    variance_D = add_up_with_gradient(centred_ND.square().sum(0)) / count
    return centred_ND * (variance_D + 1e-5).rsqrt()
