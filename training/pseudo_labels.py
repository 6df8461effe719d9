"""Pseudo-labels: spherical k-means over the features of the whole set, and what tells whether they are stable.

Shape suffixes: N radiographs, D features, K clusters.
"""

import logging
from dataclasses import dataclass

import torch
from sklearn.cluster import AgglomerativeClustering
from torch import Tensor
from torch.nn import functional

logger = logging.getLogger(__name__)

_CHUNK = 65536
_SEEDING_SAMPLE_PER_CLUSTER = 64
_WARD_SAMPLE = 10_000


@dataclass(frozen=True, slots=True)
class Clustering:
    """Result of spherical k-means."""

    assignments_N: Tensor
    """Cluster of every feature, int64 in [0, K)."""
    centroids_KD: Tensor
    """Unit vectors."""
    similarities_N: Tensor
    """Cosine similarity of every feature to its centroid, in [-1, 1]."""
    num_reseeded: int
    """How often an empty cluster was started again."""

    @property
    def mean_similarity(self) -> float:
        """Tightness: what spherical k-means makes as large as it can."""
        return float(self.similarities_N.mean())


def spherical_kmeans(
    features_ND: Tensor,
    num_clusters: int,
    *,
    iterations: int,
    generator: torch.Generator,
    initial_KD: Tensor | None = None,
) -> Clustering:
    """Cluster unit vectors by cosine similarity (Dhillon and Modha 2001), exactly, over the whole set.

    Empty clusters are started again at the features that fit their centroids worst, and logged: no cluster is lost.

    Args:
        features_ND: unit vectors, float32.
        num_clusters: K, at most N.
        iterations: upper limit; stops earlier when no assignment changes.
        generator: on the CPU; decides the k-means++ seeding.
        initial_KD: centroids to start from instead of seeding.

    Raises:
        ValueError: fewer features than clusters.
    """
    if len(features_ND) < num_clusters:
        raise ValueError(f"{len(features_ND)} features cannot make {num_clusters} clusters")
    centroids_KD = _seed(features_ND, num_clusters, generator) if initial_KD is None else initial_KD
    assignments_N, similarities_N = _assign(features_ND, centroids_KD)
    num_reseeded = 0
    for _ in range(iterations):
        empty_E = (torch.bincount(assignments_N, minlength=num_clusters) == 0).nonzero().flatten()
        if len(empty_E):
            num_reseeded += len(empty_E)
            assignments_N[_worst_fitting(assignments_N, similarities_N, len(empty_E))] = empty_E
        centroids_KD = mean_directions(features_ND, assignments_N, num_clusters)
        before_N = assignments_N
        assignments_N, similarities_N = _assign(features_ND, centroids_KD)
        if torch.equal(before_N, assignments_N):
            break
    if num_reseeded:
        logger.info("k-means: empty clusters were started again %d times", num_reseeded)
    return Clustering(assignments_N, centroids_KD, similarities_N, num_reseeded)


def ward_seeds(features_ND: Tensor, num_clusters: int, generator: torch.Generator) -> Tensor:
    """Centroids to start k-means from, by Ward's hierarchy (Ward 1963) of up to 10,000 radiographs.

    It joins from below and so keeps small groups that k-means++ misses. Time and memory grow with the square of the
    sample: 10,000 take half a minute and 1 GB.

    Args:
        features_ND: unit vectors, float32.
        num_clusters: K, at most N.
        generator: on the CPU; draws the sample, which holds at least K features.

    Returns:
        Unit vectors `(K, D)`.
    """
    sample_size = min(len(features_ND), max(_WARD_SAMPLE, num_clusters))
    chosen = torch.randperm(len(features_ND), generator=generator)[:sample_size].sort().values
    sample_SD = features_ND[chosen.to(features_ND.device)]
    joined_S = AgglomerativeClustering(num_clusters, linkage="ward").fit_predict(sample_SD.cpu().numpy())
    return mean_directions(sample_SD, torch.from_numpy(joined_S).to(sample_SD.device), num_clusters)


def mean_directions(features_ND: Tensor, assignments_N: Tensor, num_clusters: int) -> Tensor:
    """Normalised sum of each cluster's features, `(K, D)`; a zero row where a cluster has none."""
    sums_KD = features_ND.new_zeros(num_clusters, features_ND.shape[1])
    sums_KD.index_add_(0, assignments_N, features_ND)
    return functional.normalize(sums_KD, dim=1)


def _assign(features_ND: Tensor, centroids_KD: Tensor) -> tuple[Tensor, Tensor]:
    """Most similar centroid of every feature, and the similarity."""
    best = [(chunk @ centroids_KD.T).max(1) for chunk in torch.split(features_ND, _CHUNK)]
    return torch.cat([b.indices for b in best]), torch.cat([b.values for b in best])


def _worst_fitting(assignments_N: Tensor, similarities_N: Tensor, count: int) -> Tensor:
    """Indices of the features least like their centroid that are not alone in their cluster."""
    sizes = torch.bincount(assignments_N)
    movable_N = torch.where(sizes[assignments_N] > 1, similarities_N, torch.inf)
    return movable_N.argsort(stable=True)[:count]


def _seed(features_ND: Tensor, num_clusters: int, generator: torch.Generator) -> Tensor:
    """k-means++ (Arthur and Vassilvitskii 2007) on a sample, with squared chord lengths as distances."""
    sample_size = min(len(features_ND), num_clusters * _SEEDING_SAMPLE_PER_CLUSTER)
    chosen = torch.randperm(len(features_ND), generator=generator)[:sample_size].to(features_ND.device)
    sample_SD = features_ND[chosen]
    first = int(torch.randint(sample_size, (1,), generator=generator))
    centroids = [sample_SD[first]]
    distances_S = 1.0 - sample_SD @ centroids[0]
    for _ in range(num_clusters - 1):
        weights_S = distances_S.clamp_min(0.0).cpu().double() + 1e-12
        threshold = torch.rand(1, generator=generator, dtype=torch.float64) * weights_S.sum()
        index = min(int(torch.searchsorted(weights_S.cumsum(0), threshold)), sample_size - 1)
        centroids.append(sample_SD[index])
        distances_S = torch.minimum(distances_S, 1.0 - sample_SD @ centroids[-1])
    return torch.stack(centroids)
