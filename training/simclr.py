"""SimCLR (Chen et al. 2020, "A simple framework for contrastive learning of visual representations").

Find the other view of the same radiograph among all views of the batch. No clusters, no momentum; likes large batches.

Shape suffixes: B views of this rank, A views of all ranks, D dimensions.
"""

import math

import torch
from torch import Tensor
from torch.nn import functional

from samx.network import Network
from training.config import PretrainConfig
from training.distribution import concatenate_with_gradient, num_ranks, rank
from training.projection import Projector, in_halves


class SimCLR(Projector):
    """The network, its projection and the NT-Xent loss."""

    def __init__(self, network: Network, config: PretrainConfig) -> None:
        super().__init__(network, config.projection_dim)
        self._temperature = config.temperature

    def forward(self, views_B1HW: Tensor, pseudo_labels: Tensor) -> dict[str, Tensor]:  # noqa: ARG002
        """Losses of a batch; the second half of it holds the other views of the first half, in the same order."""
        return {"loss": nt_xent(self.project(views_B1HW), self._temperature)}

    def loss_of_guessing(self, batch_size: int) -> dict[str, float]:
        """Each of the other views is as likely."""
        return {"loss": math.log(2 * batch_size - 1)}


def nt_xent(projected_BD: Tensor, temperature: float) -> Tensor:
    """NT-Xent (Chen et al. 2020, equation 1): the other view of the same radiograph among the views of all ranks.

    Args:
        projected_BD: unit vectors; the second half holds the other views of the first half, in the same order.
        temperature: divides the similarities.

    Returns:
        Mean cross-entropy of this rank's views, at least 0; ln(A - 1) when nothing is told apart.
    """
    first, second = (concatenate_with_gradient(half) for half in in_halves(projected_BD))
    all_AD = torch.cat([first, second])
    num_here, num_radiographs = len(projected_BD) // 2, len(first)
    assert num_radiographs == num_here * num_ranks(), "every rank has as many views"
    places = torch.arange(num_here, device=projected_BD.device) + rank() * num_here
    own_B = torch.cat([places, places + num_radiographs])
    similarities_BA = projected_BD @ all_AD.T / temperature
    itself_BA = own_B.unsqueeze(1) == torch.arange(len(all_AD), device=own_B.device)
    partners_B = (own_B + num_radiographs) % len(all_AD)
    return functional.cross_entropy(similarities_BA.masked_fill(itself_BA, -torch.inf), partners_B)
