"""What is reported: of clusters against labels, and of a classifier against labels.

Each docstring says what is measured, what chance gives, and what is not measured.
"""

import math
from collections import Counter
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from sklearn.metrics import adjusted_mutual_info_score, normalized_mutual_info_score

Z_95 = 1.959964
"""Two-sided 95 % quantile of the normal distribution."""


def purity(cluster_ids: Sequence[int], labels: Sequence[str]) -> float:
    """Share of radiographs that bear their cluster's commonest label, in (0, 1].

    Chance is the share of the commonest label. It rises with the number of clusters, up to 1 for clusters of one.
    """
    by_cluster: dict[int, Counter[str]] = {}
    for cluster_id, label in zip(cluster_ids, labels, strict=True):
        by_cluster.setdefault(cluster_id, Counter())[label] += 1
    return sum(max(counts.values()) for counts in by_cluster.values()) / len(labels)


def cluster_label_scores(cluster_ids: Sequence[int], labels: Sequence[str]) -> dict[str, float]:
    """Purity, `cluster_label_nmi` and `ami` of clusters against labels.

    NMI is far above 0 by chance and below 1 for perfect clusters when there are more clusters than labels. AMI is 0 by
    chance, but is not comparable between numbers of clusters either. Neither says what a classifier will reach.
    """
    return {
        "purity": purity(cluster_ids, labels),
        "cluster_label_nmi": float(normalized_mutual_info_score(labels, cluster_ids)),
        "ami": float(adjusted_mutual_info_score(labels, cluster_ids)),
    }


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
