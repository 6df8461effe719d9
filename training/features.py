"""Features for clustering: learned ones, histograms of oriented gradients and pixels, reduced and put side by side.

Collective: each rank passes the images or features of its own part of the set, and gets its own part back.
"""

from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor
from torch.nn import functional

from samx.network import Network
from training.distribution import add_up
from training.hog import NUM_CELLS, hog
from training.loop import compute_features

_HOG_DIM = 128
_OVERSAMPLING = 32
_SUBSPACE_ITERATIONS = 8


def hog_features(
    images_NHW: Tensor, device: torch.device, dim: int = _HOG_DIM, *, num_cells: int = NUM_CELLS
) -> Tensor:
    """Principal components of the HOG of preprocessed uint8 images, unit vectors `(N, dim)`."""
    return principal_components(compute_features(partial(hog, num_cells=num_cells), images_NHW, device), dim)


def learned_features(
    network: Network, images_NHW: Tensor, device: torch.device, dim: int, *, num_cells: int = 1
) -> Tensor:
    """Principal components of what a network sees in each of `num_cells` x `num_cells` parts of the image.

    One part says what is shown, several also where: a knee shows the bones of a lower leg in other places.

    Returns:
        Unit vectors `(N, dim)` of preprocessed uint8 images.
    """

    def pooled(images_N1HW: Tensor) -> Tensor:
        return functional.adaptive_avg_pool2d(network.feature_maps(images_N1HW), num_cells).flatten(1)

    return principal_components(compute_features(pooled, images_NHW, device), dim)


def principal_components(features_ND: Tensor, dim: int) -> Tensor:
    """Centred features on their first principal components, as unit vectors `(N, min(dim, D, total))`.

    By subspace iteration (Halko et al. 2011, algorithm 4.4): exact for what matters, a second where the covariance of
    4,356 dimensions would take a minute, and only a D x dim matrix goes around the ranks. The sign of each component is
    fixed, so that the result can be repeated.
    """
    total = int(add_up(torch.tensor(len(features_ND))))
    centred_ND = features_ND - add_up(features_ND.sum(0)) / total
    num_kept = min(dim, total, features_ND.shape[1])
    width = min(num_kept + _OVERSAMPLING, total, features_ND.shape[1])
    generator = torch.Generator().manual_seed(0)
    basis_DQ = torch.randn(features_ND.shape[1], width, generator=generator).to(features_ND)
    for _ in range(_SUBSPACE_ITERATIONS):
        basis_DQ, _ = torch.linalg.qr(basis_DQ)
        basis_DQ = add_up(centred_ND.T @ (centred_ND @ basis_DQ))
    basis_DQ, _ = torch.linalg.qr(basis_DQ)
    scores_NQ = centred_ND @ basis_DQ
    _, rotation_QQ = torch.linalg.eigh(add_up((scores_NQ.T @ scores_NQ).double()))  # ascending
    rotation_QQ = rotation_QQ.flip(1)[:, :num_kept].to(scores_NQ.dtype)
    components_DQ = basis_DQ @ rotation_QQ
    signs = components_DQ.gather(0, components_DQ.abs().argmax(0, keepdim=True)).sign()
    return functional.normalize(scores_NQ @ rotation_QQ * signs, dim=1)


def concatenate_unit(parts: Sequence[tuple[Tensor, float]]) -> Tensor:
    """Unit vectors side by side, each scaled by its weight, and the whole scaled to unit length again."""
    return functional.normalize(torch.cat([features * weight for features, weight in parts], 1), dim=1)
