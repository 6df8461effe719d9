"""What is reported of clusters against labels.

Each docstring says what is measured, what chance gives, and what is not measured.
"""

from collections import Counter
from collections.abc import Sequence

import numpy as np
import torch
from sklearn.metrics import (
    adjusted_mutual_info_score,
    adjusted_rand_score,
    completeness_score,
    homogeneity_score,
    normalized_mutual_info_score,
)
from torch import Tensor


def purity(cluster_ids: Sequence[int], labels: Sequence[str]) -> float:
    """Share of radiographs that bear their cluster's commonest label, in (0, 1]; clusters count by their size.

    Chance is what `purity_by_chance` gives: it rises with the number of clusters, up to 1 for clusters of one. It says
    nothing of clusters that could be merged.
    """
    return sum(max(counts.values()) for counts in _counts(cluster_ids, labels).values()) / len(labels)


def purity_by_chance(cluster_ids: Sequence[int], labels: Sequence[str], *, seed: int = 0, repeats: int = 20) -> float:
    """Mean purity when labels are dealt at random to clusters of these sizes; the level to hold site purity against."""
    generator = np.random.default_rng(seed)
    dealt = [generator.permutation(np.array(labels)).tolist() for _ in range(repeats)]
    return sum(purity(cluster_ids, shuffled) for shuffled in dealt) / repeats


def purity_of_members(cluster_ids: Sequence[int], labels: Sequence[str], *, num_members: int, seed: int = 0) -> float:
    """Purity as a reader sees it who looks at random members of each cluster; clusters count by their size.

    Chance as for `purity`, and higher: the commonest of few members flatters, by up to 1 for a single member.
    """
    generator = np.random.default_rng(seed)
    ids, names = np.array(cluster_ids), np.array(labels)
    seen = 0.0
    for cluster_id in np.unique(ids):
        members = names[ids == cluster_id]
        shown = generator.permutation(members)[:num_members]
        seen += len(members) * max(Counter(shown.tolist()).values()) / len(shown)
    return seen / len(labels)


def purity_at_mixed_sites(
    cluster_ids: Sequence[int], labels: Sequence[str], sites: Sequence[str], *, num_labels: int = 4
) -> float | None:
    """Share of the radiographs from sites with at least `num_labels` labels that bear their cluster's commonest label.

    Where a site shows one body part only, clusters by site look pure; here they do not. None if there is no such site.
    Chance is about the share of the commonest label at those sites.
    """
    at_site: dict[str, set[str]] = {}
    for site, label in zip(sites, labels, strict=True):
        at_site.setdefault(site, set()).add(label)
    commonest = {cluster_id: max(n, key=n.__getitem__) for cluster_id, n in _counts(cluster_ids, labels).items()}
    hits = [
        commonest[cluster_id] == label
        for cluster_id, label, site in zip(cluster_ids, labels, sites, strict=True)
        if len(at_site[site]) >= num_labels
    ]
    return sum(hits) / len(hits) if hits else None


def mixed_cluster_rate(cluster_ids: Sequence[int], labels: Sequence[str], *, majority: float = 0.8) -> float:
    """Share of clusters whose commonest label is borne by less than `majority` of their radiographs, in [0, 1].

    By chance nearly all clusters of more than a few are mixed. It does not say how many radiographs they hold.
    """
    counts = _counts(cluster_ids, labels).values()
    return sum(max(n.values()) < majority * n.total() for n in counts) / len(counts)


def cluster_label_scores(cluster_ids: Sequence[int], labels: Sequence[str]) -> dict[str, float]:
    """Clusters against labels; none of these says what a classifier will reach.

    `purity` and `mixed_cluster_rate` as above. `cluster_label_nmi` is far above 0 by chance and below 1 for perfect
    clusters when there are more clusters than labels. `ami` and `ari` are 0 by chance, but not comparable between
    numbers of clusters either. `homogeneity` is 1 for pure clusters (by chance above 0, rising with K); `completeness`
    is 1 where each label has one cluster, which over-clustering does not want.
    """
    return {
        "purity": purity(cluster_ids, labels),
        "mixed_cluster_rate": mixed_cluster_rate(cluster_ids, labels),
        "cluster_label_nmi": float(normalized_mutual_info_score(labels, cluster_ids)),
        "ami": float(adjusted_mutual_info_score(labels, cluster_ids)),
        "ari": float(adjusted_rand_score(labels, cluster_ids)),
        "homogeneity": float(homogeneity_score(labels, cluster_ids)),
        "completeness": float(completeness_score(labels, cluster_ids)),
    }


def agreement(one: Sequence[int], other: Sequence[int]) -> dict[str, float]:
    """How far two clusterings of the same radiographs agree: of two seeds, or of two epochs.

    `nmi` is far above 0 by chance (two random assignments of 42,608 radiographs to 1000 clusters: 0.46), `ami` is 0.
    Two clusterings can agree fully and both follow the site.
    """
    return {
        "nmi": float(normalized_mutual_info_score(one, other)),
        "ami": float(adjusted_mutual_info_score(one, other)),
    }


def neighbour_purity(
    features_ND: Tensor, labels: Sequence[str], *, num_neighbours: int = 10
) -> tuple[float | None, float | None]:
    """Share of the nearest neighbours that bear a radiograph's own label, and what chance gives.

    Says whether features follow the label before there are any clusters. Radiographs without a label ("") are left out;
    None where fewer than two labels remain.

    Args:
        features_ND: unit vectors; time grows with the square of their number.
        labels: of each, "" where unknown.
        num_neighbours: looked at, by cosine similarity.
    """
    known = [index for index, label in enumerate(labels) if label]
    names, codes = np.unique([labels[index] for index in known], return_inverse=True)
    if len(names) < 2:
        return None, None
    of_known, label_N = features_ND[known], torch.from_numpy(codes)
    count = min(num_neighbours, len(known) - 1)
    same = 0
    for start, chunk in zip(range(0, len(known), 1024), torch.split(of_known, 1024), strict=True):
        similarities = chunk @ of_known.T
        similarities[torch.arange(len(chunk)), torch.arange(start, start + len(chunk))] = -torch.inf
        nearest = similarities.topk(count, dim=1).indices.cpu()
        same += int((label_N[nearest] == label_N[start : start + len(chunk)].unsqueeze(1)).sum())
    shares = np.bincount(codes) / len(known)
    return same / (len(known) * count), float((shares**2).sum())


def _counts(cluster_ids: Sequence[int], labels: Sequence[str]) -> dict[int, Counter[str]]:
    """How often each label occurs in each cluster."""
    by_cluster: dict[int, Counter[str]] = {}
    for cluster_id, label in zip(cluster_ids, labels, strict=True):
        by_cluster.setdefault(cluster_id, Counter())[label] += 1
    return by_cluster
