"""Calibration: one temperature, and the probability from which answers are accepted without a person."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional


def fit_temperature(logits_NK: Tensor, labels: Sequence[str], classes: Sequence[str]) -> float:
    """The temperature that makes the labels most likely (Guo et al. 2017, section 4.2).

    Args:
        logits_NK: answers for radiographs that were not learned from; -inf for a class that was not learned at all.
        labels: their labels, `N`; those that are none of the classes, or of one that was not learned, are passed over.
        classes: in head order.

    Returns:
        A number in [0.05, 20], found by golden-section search; 1 where no label is a class.
    """
    position = {label: index for index, label in enumerate(classes)}
    known = [
        index
        for index, label in enumerate(labels)
        if label in position and logits_NK[index, position[label]].isfinite()
    ]
    if not known:
        return 1.0
    targets_N = torch.tensor([position[labels[index]] for index in known])
    chosen_NK = logits_NK[known].double()

    def loss(log_temperature: float) -> float:
        return float(functional.cross_entropy(chosen_NK / math.exp(log_temperature), targets_N))

    low, high, ratio = math.log(0.05), math.log(20.0), (math.sqrt(5) - 1) / 2
    while high - low > 1e-4:
        left, right = high - ratio * (high - low), low + ratio * (high - low)
        low, high = (low, right) if loss(left) < loss(right) else (left, high)
    return math.exp((low + high) / 2)


def review_threshold(confidences_N: Tensor, hits_N: Tensor, precision: float) -> float:
    """Smallest probability from which on accepted answers are right as often as promised.

    Args:
        confidences_N: probability of each answer.
        hits_N: whether it was right, bool.
        precision: promised share of right answers among the accepted ones.

    Returns:
        A threshold in [0, 1]; 1 where no threshold keeps the promise.
    """
    order_N = confidences_N.argsort(descending=True, stable=True)
    right_N = hits_N[order_N].double().cumsum(0) / torch.arange(1, len(order_N) + 1)
    kept = (right_N >= precision).nonzero().flatten()
    return float(confidences_N[order_N[int(kept[-1])]]) if len(kept) else 1.0
