"""Pseudo-labels: spherical k-means over the features of the whole set, on one device or over all ranks.

Every function here is collective: each rank passes its own features, and centroids are the same on all of them. The
features come as a sequence of shards, each read when it is needed, so that ten million of them need no memory.

Shape suffixes: N features of this rank, D dimensions, K clusters, S sampled features, E features that start clusters.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from sklearn.cluster import AgglomerativeClustering
from torch import Tensor
from torch.nn import functional

from training.distribution import add_up, concatenate, num_ranks, rank

logger = logging.getLogger(__name__)

_CHUNK = 16384
_SEEDING_SAMPLE_PER_CLUSTER = 32
_HIERARCHY_SAMPLE = 10_000
_CHUNK_OF_PAIRS = 1024
_PASSES_AGAINST_TINY = 3
"""Then tiny clusters stay: some radiographs are alone, and would only hand their cluster around."""


@dataclass(frozen=True, slots=True)
class Clustering:
    """Result of spherical k-means."""

    assignments_N: Tensor
    """Cluster of every feature of this rank, int64 in [0, K)."""
    centroids_KD: Tensor
    """Unit vectors."""
    similarities_N: Tensor
    """Cosine similarity of every feature of this rank to its centroid, in [-1, 1]."""
    sizes_K: Tensor
    """Features of all ranks in each cluster, int64."""
    mean_similarity: float
    """Over all ranks: what spherical k-means makes as large as it can."""
    num_iterations: int
    """Passes over the features."""
    num_reseeded: int
    """How often an empty or tiny cluster was started again."""


def spherical_kmeans(
    shards: Sequence[Tensor],
    num_clusters: int,
    *,
    iterations: int,
    generator: torch.Generator,
    initial_KD: Tensor | None = None,
    smallest: int = 1,
) -> Clustering:
    """Cluster unit vectors by cosine similarity (Dhillon and Modha 2001), exactly, over the whole set.

    Clusters that are empty or tiny are started again, as k-means++ would start them, at features drawn by their
    distance from their centroid; tiny ones in the first passes only. The number is logged: no cluster is lost unseen.

    Args:
        shards: unit vectors of this rank, float32 `(n, D)` each, all on one device.
        num_clusters: K, at most the number of features.
        iterations: upper limit; stops earlier when no assignment changes.
        generator: on the CPU, in the same state on all ranks; decides seeding and new starts.
        initial_KD: centroids to start from instead of seeding; a zero row counts as an empty cluster.
        smallest: clusters with fewer features are tiny.

    Raises:
        ValueError: fewer features than clusters.
    """
    centroids_KD = kmeans_plus_plus(shards, num_clusters, generator) if initial_KD is None else initial_KD
    before_N: Tensor | None = None
    num_reseeded = 0
    for iteration in range(iterations + 1):
        assignments_N, similarities_N, sums_KD = _assign(shards, centroids_KD)
        total, offset = _count(len(assignments_N))
        if total < num_clusters:
            raise ValueError(f"{total} features cannot make {num_clusters} clusters")
        sizes_K = add_up(torch.bincount(assignments_N, minlength=num_clusters))
        limit = smallest if iteration < _PASSES_AGAINST_TINY else 1
        poor_E = (sizes_K < limit).nonzero().flatten()
        changed = _num_changed(before_N, assignments_N)
        if iteration == iterations or (changed == 0 and len(poor_E) == 0):
            break
        before_N = assignments_N
        centroids_KD = functional.normalize(add_up(sums_KD), dim=1)
        if len(poor_E):
            num_reseeded += len(poor_E)
            centroids_KD[poor_E] = _far_features(shards, similarities_N, len(poor_E), total, offset, generator)
    if num_reseeded:
        logger.info("k-means: empty or tiny clusters were started again %d times", num_reseeded)
    mean_similarity = float(add_up(similarities_N.double().sum())) / total
    return Clustering(
        assignments_N, centroids_KD, similarities_N, sizes_K, mean_similarity, iteration + 1, num_reseeded
    )


def kmeans_plus_plus(shards: Sequence[Tensor], num_clusters: int, generator: torch.Generator) -> Tensor:
    """Centroids by k-means++ (Arthur and Vassilvitskii 2007) on a sample, squared chord lengths as distances.

    Returns:
        Unit vectors `(K, D)`, each of them one of the features.
    """
    sample_SD, _ = sample(shards, num_clusters * _SEEDING_SAMPLE_PER_CLUSTER, generator)
    chosen = [int(torch.randint(len(sample_SD), (1,), generator=generator))]
    distances_S = 1.0 - sample_SD @ sample_SD[chosen[0]]
    for _ in range(num_clusters - 1):
        weights_S = distances_S.clamp_min(0.0).cpu().double() + 1e-12
        threshold = torch.rand(1, generator=generator, dtype=torch.float64) * weights_S.sum()
        chosen.append(min(int(torch.searchsorted(weights_S.cumsum(0), threshold)), len(sample_SD) - 1))
        distances_S = torch.minimum(distances_S, 1.0 - sample_SD @ sample_SD[chosen[-1]])
    return _from_first_rank(sample_SD[chosen])


def hierarchy_seeds(
    shards: Sequence[Tensor],
    num_clusters: int,
    generator: torch.Generator,
    *,
    linkage: Literal["average", "ward"] = "average",
    fine_clusters: int = 0,
    concentration: float = 0.0,
) -> Tensor:
    """Centroids to start k-means from, by a hierarchy that joins from below: small groups stay that k-means++ misses.

    It joins up to 10,000 radiographs (half a minute, 1 GB; both grow with the square) or, in two levels, the centroids
    of many fine clusters of the whole set.

    Args:
        shards: unit vectors of this rank, float32 `(n, D)` each.
        num_clusters: K.
        generator: on the CPU, in the same state on all ranks.
        linkage: Ward's, by the spread that joining adds (Ward 1963), or by the mean cosine between groups.
        fine_clusters: clusters of the first level, more than K; 0: one level.
        concentration: above 0, what is joined draws together first, see `mean_shift`.

    Returns:
        Unit vectors `(K, D)`.
    """
    if fine_clusters:
        leaves_SD = spherical_kmeans(shards, fine_clusters, iterations=20, generator=generator).centroids_KD
    else:
        leaves_SD, _ = sample(shards, max(_HIERARCHY_SAMPLE, num_clusters), generator)
    if rank() == 0:
        hierarchy = AgglomerativeClustering(
            num_clusters, linkage=linkage, metric="euclidean" if linkage == "ward" else "cosine"
        )
        moved_SD = mean_shift(leaves_SD, concentration) if concentration else leaves_SD
        _, first, joined = np.unique(
            hierarchy.fit_predict(moved_SD.cpu().numpy()), return_index=True, return_inverse=True
        )
        # Numbered by their first members: the hierarchy's own numbers change with the last bit of a feature.
        joined_S = torch.from_numpy(first.argsort().argsort()[joined]).to(leaves_SD.device)
        seeds_KD = functional.normalize(_sums(leaves_SD, joined_S, num_clusters), dim=1)
    else:
        seeds_KD = leaves_SD.new_empty(num_clusters, leaves_SD.shape[1])
    return _from_first_rank(seeds_KD)


def mean_shift(features_SD: Tensor, concentration: float) -> Tensor:
    """Every unit vector moved to the mean of all, weighted by `exp(concentration * cosine)`; unit vectors again.

    One step of mean shift (Comaniciu and Meer 2002) towards where they are dense, with the kernel of von Mises and
    Fisher.
    """
    return torch.cat(
        [
            functional.normalize(((part @ features_SD.T - 1.0) * concentration).exp() @ features_SD, dim=1)
            for part in torch.split(features_SD, _CHUNK_OF_PAIRS)
        ]
    )


def mean_directions(features_ND: Tensor, assignments_N: Tensor, num_clusters: int) -> Tensor:
    """Normalised sum of each cluster's features over all ranks, `(K, D)`; a zero row where a cluster has none."""
    return functional.normalize(add_up(_sums(features_ND, assignments_N, num_clusters)), dim=1)


def _sums(features_ND: Tensor, assignments_N: Tensor, num_clusters: int) -> Tensor:
    sums_KD = features_ND.new_zeros(num_clusters, features_ND.shape[1])
    return sums_KD.index_add_(0, assignments_N, features_ND)


def _count(own: int) -> tuple[int, int]:
    """Features of all ranks, and of the ranks before this one."""
    lengths = torch.zeros(num_ranks(), dtype=torch.int64)
    lengths[rank()] = own
    add_up(lengths)
    return int(lengths.sum()), int(lengths[: rank()].sum())


def _assign(shards: Sequence[Tensor], centroids_KD: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Most similar centroid of every feature, the similarity, and the sum of each cluster's features of this rank."""
    sums_KD = torch.zeros_like(centroids_KD)
    assignments, similarities = [], []
    for shard in shards:
        for chunk in torch.split(shard, _CHUNK):
            best = (chunk @ centroids_KD.T).max(1)
            sums_KD.index_add_(0, best.indices, chunk)
            assignments.append(best.indices)
            similarities.append(best.values)
    return torch.cat(assignments), torch.cat(similarities), sums_KD


def _num_changed(before_N: Tensor | None, assignments_N: Tensor) -> int:
    """Assignments of all ranks that are not what they were."""
    changed = len(assignments_N) if before_N is None else int((before_N != assignments_N).sum())
    return int(add_up(torch.tensor(changed)))


def sample(shards: Sequence[Tensor], size: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Features of all ranks drawn without replacement, in their order, and their positions in the whole set.

    Returns:
        `(S, D)` and int64 `(S,)`, the same on every rank.
    """
    total, offset = _count(sum(len(shard) for shard in shards))
    chosen_S = torch.randperm(total, generator=generator)[:size].sort().values
    return _rows(shards, chosen_S, offset), chosen_S


def _rows(shards: Sequence[Tensor], chosen_S: Tensor, offset: int) -> Tensor:
    """The features at these positions in the whole set, `(S, D)`, on every rank."""
    rows_SD: Tensor | None = None
    for shard in shards:
        if rows_SD is None:
            rows_SD = shard.new_zeros(len(chosen_S), shard.shape[1])
        here_S = ((chosen_S >= offset) & (chosen_S < offset + len(shard))).nonzero().flatten()
        rows_SD[here_S.to(shard.device)] = shard[(chosen_S[here_S] - offset).to(shard.device)]
        offset += len(shard)
    assert rows_SD is not None, "every rank has a shard, if an empty one"
    return add_up(rows_SD)


def _far_features(
    shards: Sequence[Tensor], similarities_N: Tensor, count: int, total: int, offset: int, generator: torch.Generator
) -> Tensor:
    """Features drawn without replacement with probability in proportion to their distance, `(count, D)`.

    The first arrivals of exponential clocks whose rates are the distances (Efraimidis and Spirakis 2006): every rank
    looks at its own features, and the ranks' first arrivals are compared.
    """
    uniform_N = torch.rand(total, generator=generator)[offset : offset + len(similarities_N)]
    arrivals_N = -uniform_N.clamp_min(1e-12).log() / (1.0 - similarities_N.cpu()).clamp_min(1e-9)
    first_E = arrivals_N.topk(min(count, len(arrivals_N)), largest=False)
    arrivals_E, positions_E = concatenate(first_E.values), concatenate(first_E.indices + offset)
    return _rows(shards, positions_E[arrivals_E.argsort(stable=True)[:count]], offset)


def _from_first_rank(values: Tensor) -> Tensor:
    """The first rank's values on every rank: rounding may differ between devices."""
    return add_up(values if rank() == 0 else torch.zeros_like(values))
