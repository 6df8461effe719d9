"""What all objectives of phase 1 share: the projection that is trained with the network and thrown away after it."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from samx.network import Network


class Projector(nn.Module):
    """Network and a two-layer projection onto the unit sphere (Chen et al. 2020, section 2.1)."""

    def __init__(self, network: Network, projection_dim: int) -> None:
        super().__init__()
        self.network = network
        width = network.num_features
        self.projection = nn.Sequential(
            nn.Linear(width, width), nn.BatchNorm1d(width), nn.ReLU(), nn.Linear(width, projection_dim)
        )

    def project(self, images_N1HW: Tensor) -> Tensor:
        """Unit vectors `(N, D)` of images in [0, 1]."""
        return functional.normalize(self.raw_projection(images_N1HW), dim=1)

    def raw_projection(self, images_N1HW: Tensor) -> Tensor:
        """The same before it is scaled to the unit sphere; float32, or the weights' float64."""
        weights_dtype = next(self.parameters()).dtype
        projected: Tensor = self.projection(self.network.features(images_N1HW.to(weights_dtype)))
        return projected.to(weights_dtype)

    def begin_epoch(self, projected_ND: Tensor, assignments_N: Tensor) -> None:
        """Told of the clusters of the whole set before each epoch; objectives that need them override this."""

    def loss_of_guessing(self, batch_size: int) -> dict[str, float]:  # noqa: ARG002
        """Values of loss terms when nothing is told apart; empty where there is none."""
        return {}


def in_halves(views_ND: Tensor) -> tuple[Tensor, Tensor]:
    """First and second view of every radiograph."""
    first, second = torch.chunk(views_ND, 2)
    return first, second
