"""Which clusters and radiographs resemble each other, by the features that were clustered.

Shape suffixes: N radiographs, C clusters, D dimensions, L labels, F folds.
"""

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import torch
from sklearn.manifold import TSNE
from threadpoolctl import threadpool_limits
from torch.nn import functional

from training.pseudo_labels import spherical_kmeans

Array = npt.NDArray[np.float32]
Positions = npt.NDArray[np.int64]

_CHUNK = 512
"""Radiographs whose similarities to all others are in memory at once: 90 MB for 42,608."""
_RIDGE = 10.0
_TEMPERATURE = 0.1
_TSNE_PERPLEXITY = 30.0


def centroids(features_ND: Array, members: Mapping[int, Positions]) -> Array:
    """Unit vectors `(C, D)`, in the order of `members`."""
    sums = np.stack([features_ND[positions].sum(0) for positions in members.values()])
    unit: Array = sums / np.maximum(np.linalg.norm(sums, axis=1, keepdims=True), 1e-12)
    return unit


def nearest_neighbours(features_ND: Array, count: int) -> Positions:
    """Positions of the most similar other radiographs of each, `(N, count)`, nearest first."""
    features = torch.from_numpy(features_ND)
    count = min(count, len(features) - 1)
    found = []
    for start in range(0, len(features), _CHUNK):
        similarities = features[start : start + _CHUNK] @ features.T
        rows = torch.arange(len(similarities))
        similarities[rows, start + rows] = -torch.inf
        found.append(similarities.topk(count, dim=1).indices)
    return torch.cat(found).numpy()


def linear_probe(features_ND: Array, targets_N: Positions, num_labels: int, weights_N: Array) -> Array:
    """Ridge regression of one-hot labels on unit features: weights `(D + 1, L)`, the last row the bias."""
    extended = with_bias(features_ND)
    one_hot_NL: Array = np.eye(num_labels, dtype=np.float32)[targets_N]
    weighted: Array = extended * weights_N[:, None]
    return solve_ridge(extended.T @ weighted, weighted.T @ one_hot_NL)


def solve_ridge(gram_DD: Array, cross_DL: Array) -> Array:
    """Weights `(D, L)` of ridge regression from its sums."""
    regularised = gram_DD + _RIDGE * np.eye(len(gram_DD), dtype=np.float32)
    solution: Array = np.linalg.solve(regularised, cross_DL).astype(np.float32)
    return solution


def probe_probabilities(features_ND: Array, weights_DL: Array) -> Array:
    """Sharpened scores of a linear probe, each row adding up to 1; not calibrated."""
    return softmax(with_bias(features_ND) @ weights_DL / _TEMPERATURE)


def softmax(scores: Array) -> Array:
    """Over the last axis."""
    exponentials = np.exp(scores - scores.max(-1, keepdims=True))
    result: Array = (exponentials / exponentials.sum(-1, keepdims=True)).astype(np.float32)
    return result


def with_bias(features_ND: Array) -> Array:
    """Features with a column of ones, for the bias of a linear model."""
    return np.concatenate([features_ND, np.ones((len(features_ND), 1), np.float32)], axis=1)


def pca_map(features_ND: Array) -> Array:
    """The first two principal components of all radiographs, `(N, 2)` in [0, 1]."""
    centred = features_ND - features_ND.mean(0)
    _, vectors = np.linalg.eigh(centred.T @ centred)  # ascending
    return _fitted(centred @ vectors[:, :-3:-1])


def tsne_map(centroids_CD: Array) -> Array:
    """The clusters by t-SNE (van der Maaten and Hinton 2008) of their centroids, `(C, 2)` in [0, 1]."""
    if len(centroids_CD) < 5:
        return pca_map(centroids_CD) if len(centroids_CD) > 2 else np.full((len(centroids_CD), 2), 0.5, np.float32)
    perplexity = min(_TSNE_PERPLEXITY, (len(centroids_CD) - 1) / 3)
    with threadpool_limits(1):  # more threads wait for one another longer than they work
        return _fitted(TSNE(perplexity=perplexity, init="pca", random_state=0).fit_transform(centroids_CD))


def _fitted(points: Array) -> Array:
    low, high = points.min(0), points.max(0)
    fitted: Array = ((points - low) / np.maximum(high - low, 1e-12)).astype(np.float32)
    return fitted


def split_features(features_ND: Array, parts: int) -> Positions:
    """Part of each radiograph by spherical k-means, `(N,)`; the largest part is 0. At least one radiograph in each."""
    generator = torch.Generator().manual_seed(0)
    features = functional.normalize(torch.from_numpy(features_ND), dim=1)
    best = max(
        (spherical_kmeans([features], parts, iterations=50, generator=generator) for _ in range(4)),
        key=lambda clustering: clustering.mean_similarity,
    )
    order = best.sizes_K.argsort(descending=True, stable=True)
    rank = torch.empty_like(order)
    rank[order] = torch.arange(len(order))
    parts_N: Positions = rank[best.assignments_N].numpy()
    return parts_N
