"""Whether probabilities are frequencies, and what is left when the least sure answers go to a person.

Shape suffixes: N radiographs, K classes in head order.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

_NUM_POINTS = 101


def calibration_error(
    confidences_N: npt.NDArray[np.float32], hits_N: npt.NDArray[np.bool_], num_bins: int = 10
) -> float:
    """Mean distance of confidence and accuracy over bins of confidence (Guo et al. 2017, equation 3); 0 is perfect.

    Says nothing of the probabilities of the other classes, nor within a bin; few radiographs make it too large.
    """
    bins_N = np.minimum((confidences_N * num_bins).astype(int), num_bins - 1)
    gaps = [
        abs(confidences_N[bins_N == b].mean(dtype=np.float64) - hits_N[bins_N == b].mean()) * (bins_N == b).mean()
        for b in np.unique(bins_N)
    ]
    return float(sum(gaps))


def brier_score(probabilities_NK: npt.NDArray[np.float32], truth: Sequence[str], classes: Sequence[str]) -> float:
    """Mean squared distance of the probabilities from the truth, summed over the classes (Brier 1950), in [0, 2].

    0 is perfect; 1 / K each gives 1 - 1 / K. A label that is none of the classes leaves all of them wrong. Measures
    calibration and sharpness together.
    """
    is_label_NK = np.array(truth)[:, None] == np.array(classes)
    return float(((probabilities_NK.astype(np.float64) - is_label_NK) ** 2).sum(1).mean())


def risk_coverage(confidences_N: npt.NDArray[np.float32], hits_N: npt.NDArray[np.bool_]) -> dict[str, list[float]]:
    """Accuracy of the most confident answers against their share (El-Yaniv and Wiener 2010), at most 101 points.

    Points lie where the confidence changes, so that equally confident answers are never told apart. The last is
    coverage 1 and the accuracy of all. A level line says that confidence tells nothing.
    """
    coverage_C, accuracy_C = _at_thresholds(confidences_N, hits_N)
    chosen = np.unique(np.linspace(0, len(coverage_C) - 1, min(_NUM_POINTS, len(coverage_C))).round().astype(int))
    return {
        "coverage": [round(float(value), 6) for value in coverage_C[chosen]],
        "accuracy": [round(float(value), 6) for value in accuracy_C[chosen]],
    }


def coverage_at(confidences_N: npt.NDArray[np.float32], hits_N: npt.NDArray[np.bool_], accuracy: float) -> float:
    """Largest share of most confident answers that is right as often as promised; 0 where there is none.

    The threshold is chosen on the very answers that it judges: an upper bound of what a threshold fixed before reaches.
    """
    coverage_C, accuracy_C = _at_thresholds(confidences_N, hits_N)
    kept = np.flatnonzero(accuracy_C >= accuracy)
    return float(coverage_C[kept[-1]]) if len(kept) else 0.0


def _at_thresholds(
    confidences_N: npt.NDArray[np.float32], hits_N: npt.NDArray[np.bool_]
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Share of the answers at or above each confidence that occurs, from the highest, and their accuracy."""
    order_N = np.argsort(-confidences_N, kind="stable")
    sorted_N = confidences_N[order_N]
    ends = np.append(np.flatnonzero(sorted_N[1:] < sorted_N[:-1]), len(sorted_N) - 1)
    right_N = hits_N[order_N].cumsum()
    return (ends + 1) / len(sorted_N), right_N[ends] / (ends + 1)
