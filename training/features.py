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

    Exact, by the eigenvectors of the smaller of covariance and Gram matrix; the sign of each is fixed, so that the
    result can be repeated.
    """
    centred_ND = features_ND - features_ND.mean(0)
    num_kept = min(dim, *features_ND.shape)
    if len(features_ND) < features_ND.shape[1]:
        values, vectors_NN = torch.linalg.eigh((centred_ND @ centred_ND.T).double())  # ascending
        scores = vectors_NN[:, -num_kept:] * values[-num_kept:].clamp_min(0.0).sqrt()
    else:
        _, vectors_DD = torch.linalg.eigh((centred_ND.T @ centred_ND).double())
        scores = centred_ND.double() @ vectors_DD[:, -num_kept:]
    signs = scores.gather(0, scores.abs().argmax(0, keepdim=True)).sign()
    return functional.normalize((scores * signs).flip(1).float(), dim=1)


def concatenate_unit(parts: Sequence[tuple[Tensor, float]]) -> Tensor:
    """Unit vectors side by side, each scaled by its weight, and the whole scaled to unit length again."""
    return functional.normalize(torch.cat([features * weight for features, weight in parts], 1), dim=1)
