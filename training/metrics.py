"""What is reported: of clusters against labels, and of a classifier against labels.

Each docstring says what is measured, what chance gives, and what is not measured.
"""

import math
from collections import Counter
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
from sklearn.metrics import (
    adjusted_mutual_info_score,
    adjusted_rand_score,
    completeness_score,
    homogeneity_score,
    normalized_mutual_info_score,
)
from torch import Tensor

Z_95 = 1.959964
"""Two-sided 95 % quantile of the normal distribution."""


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


def wilson_interval(successes: int, total: int) -> tuple[float, float]:
    """95 % interval of a proportion (Wilson 1927); (0, 1) for no observations.

    Takes observations as independent: several radiographs of one patient make it somewhat too narrow.
    """
    if total == 0:
        return 0.0, 1.0
    share, z2 = successes / total, Z_95**2
    centre = (share + z2 / (2 * total)) / (1 + z2 / total)
    half = Z_95 * math.sqrt(share * (1 - share) / total + z2 / (4 * total**2)) / (1 + z2 / total)
    return max(0.0, centre - half), min(1.0, centre + half)


def mean_of_proportions(successes: Sequence[int], totals: Sequence[int]) -> dict[str, object]:
    """Unweighted mean of independent proportions with a 95 % interval.

    The distances to the Wilson limits are squared and added (Zou and Donner 2008). A class of one radiograph widens the
    interval as it should; resampling would give such a class no spread at all.
    """
    shares = [k / n for k, n in zip(successes, totals, strict=True)]
    limits = [wilson_interval(k, n) for k, n in zip(successes, totals, strict=True)]
    value = sum(shares) / len(shares)
    below = math.hypot(*(share - low for share, (low, _) in zip(shares, limits, strict=True))) / len(shares)
    above = math.hypot(*(high - share for share, (_, high) in zip(shares, limits, strict=True))) / len(shares)
    return {
        "value": _rounded(value),
        "low": _rounded(max(0.0, value - below)),
        "high": _rounded(min(1.0, value + above)),
        "n": len(shares),
    }


def proportion(hits: npt.NDArray[np.bool_]) -> dict[str, object]:
    """A share with its 95 % interval and the number of observations."""
    low, high = wilson_interval(int(hits.sum()), len(hits))
    value = float(hits.mean()) if len(hits) else None
    return {"value": _rounded(value), "low": _rounded(low), "high": _rounded(high), "n": len(hits)}


def classification_metrics(
    truth: Sequence[str], probabilities_NK: npt.NDArray[np.float32], classes: Sequence[str]
) -> dict[str, object]:
    """Top-1, top-2, macro recall, per class precision and recall, and calibration error.

    A label that is none of the classes counts as missed: what the clusters lost is an error of the whole.

    Args:
        truth: labels given by people or by the data set, `N`.
        probabilities_NK: calibrated, `(N, K)`.
        classes: labels in head order, `K`.
    """
    labels = np.array(truth)
    names = np.array(classes)
    order_NK = np.argsort(-probabilities_NK, axis=1, kind="stable")
    answers = names[order_NK[:, 0]]
    top1 = answers == labels
    top2 = (names[order_NK[:, :2]] == labels[:, None]).any(1)
    per_class = {}
    for label in sorted({*truth, *classes}):
        of_label, answered = labels == label, answers == label
        per_class[label] = {"recall": proportion(top1[of_label]), "precision": proportion(top1[answered])}
    found = [top1[labels == label] for label in sorted(set(truth))]
    return {
        "n": len(labels),
        "top_1": proportion(top1),
        "top_2": proportion(top2),
        "macro_recall": mean_of_proportions([int(hits.sum()) for hits in found], [len(hits) for hits in found]),
        "expected_calibration_error": _rounded(calibration_error(probabilities_NK.max(1), top1)),
        "per_class": per_class,
    }


def calibration_error(confidences: npt.NDArray[np.float32], hits: npt.NDArray[np.bool_], num_bins: int = 10) -> float:
    """Mean distance of confidence and accuracy over bins of confidence (Guo et al. 2017, equation 3); 0 is perfect."""
    bins = np.minimum((confidences * num_bins).astype(int), num_bins - 1)
    gaps = [abs(confidences[bins == b].mean() - hits[bins == b].mean()) * (bins == b).mean() for b in np.unique(bins)]
    return float(sum(gaps))


def confusion_matrix(truth: Sequence[str], answers: Sequence[str], labels: Sequence[str]) -> npt.NDArray[np.int64]:
    """Counts, rows are true labels and columns answers, both in the order of `labels`."""
    position = {label: index for index, label in enumerate(labels)}
    counts = np.zeros((len(labels), len(labels)), np.int64)
    for true_label, answer in zip(truth, answers, strict=True):
        counts[position[true_label], position[answer]] += 1
    return counts


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 6)
