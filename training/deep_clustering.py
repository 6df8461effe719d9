"""Deep clustering with prototypes: the default objective of phase 1.

After Caron et al. 2018 (DeepCluster, section 3) and Caron et al. 2020 (SwAV, appendix: DeepCluster-v2). In every epoch
the features of the whole set are clustered by spherical k-means; the network then learns to find the cluster of a
radiograph from any of its views, by cosine similarity to the clusters' centroids, which stand still as prototypes for
that epoch. Beside it the network learns to tell radiographs apart, as in prototypical contrastive learning (Li et al.
2021, section 3.2): clusters of a small pool alone are too coarse a lesson.

Two things are added for radiographs. Pseudo-labels come from whole images, not from crops: a crop of a hand may be a
wrist. And they come from the learned features beside histograms of oriented gradients, so that the first epochs, when
the network knows nothing, already follow shapes.

Shape suffixes: N radiographs of this rank, B views of this rank, D dimensions, K prototypes.
"""

import math

import torch
from torch import Tensor
from torch.nn import functional

from samx.network import Network
from training.config import PretrainConfig
from training.projection import Projector
from training.pseudo_labels import mean_directions
from training.simclr import nt_xent


class DeepClustering(Projector):
    """The network, its projection, and the prototypes of this epoch."""

    def __init__(self, network: Network, config: PretrainConfig, num_prototypes: int) -> None:
        super().__init__(network, config.projection_dim)
        self._temperature, self._contrast_weight = config.temperature, config.contrast_weight
        self.prototypes_KD: Tensor
        self.register_buffer("prototypes_KD", torch.zeros(num_prototypes, config.projection_dim))

    def begin_epoch(self, projected_ND: Tensor, assignments_N: Tensor) -> None:
        """Put the prototypes where the clusters of the whole set are now."""
        self.prototypes_KD.copy_(mean_directions(projected_ND, assignments_N, len(self.prototypes_KD)))

    def forward(self, views_B1HW: Tensor, pseudo_labels_B: Tensor) -> dict[str, Tensor]:
        """Losses of a batch; the second half of it holds the other views of the first half, in the same order."""
        projected_BD = self.project(views_B1HW)
        logits_BK = projected_BD @ self.prototypes_KD.T / self._temperature
        prototype_loss = functional.cross_entropy(logits_BK, pseudo_labels_B)
        if not self._contrast_weight:
            return {"loss": prototype_loss, "prototype_loss": prototype_loss}
        contrast = nt_xent(projected_BD, self._temperature)
        return {"loss": prototype_loss + self._contrast_weight * contrast, "prototype_loss": prototype_loss}

    def loss_of_guessing(self, batch_size: int) -> dict[str, float]:  # noqa: ARG002
        """Each prototype is as likely."""
        return {"prototype_loss": math.log(len(self.prototypes_KD))}
