"""Features for clustering: learned ones and histograms of oriented gradients, reduced and put side by side."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from training.hog import hog
from training.loop import compute_features

_HOG_DIM = 128


def hog_features(images_NHW: Tensor, device: torch.device, dim: int = _HOG_DIM) -> Tensor:
    """Principal components of the HOG of preprocessed uint8 images, unit vectors `(N, dim)`."""
    return principal_components(compute_features(hog, images_NHW, device), dim)


def principal_components(features_ND: Tensor, dim: int) -> Tensor:
    """Centred features on their first principal components, as unit vectors `(N, min(dim, D, N))`.

    Exact, by the eigenvectors of the covariance; the sign of each is fixed, so that the result can be repeated.
    """
    centred_ND = features_ND - features_ND.mean(0)
    covariance_DD = (centred_ND.T @ centred_ND).double()
    _, vectors_DD = torch.linalg.eigh(covariance_DD)  # ascending
    kept = vectors_DD[:, -min(dim, *features_ND.shape) :].flip(1).float()
    signs = kept.gather(0, kept.abs().argmax(0, keepdim=True)).sign()
    return functional.normalize(centred_ND @ (kept * signs), dim=1)


def concatenate_unit(parts: Sequence[tuple[Tensor, float]]) -> Tensor:
    """Unit vectors side by side, each scaled by its weight, and the whole scaled to unit length again."""
    return functional.normalize(torch.cat([features * weight for features, weight in parts], 1), dim=1)
