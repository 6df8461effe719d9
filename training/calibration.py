"""Calibration: one temperature, and the thresholds by which the classifier decides, from answers to unseen radiographs.

Shape suffixes: N radiographs, K classes in head order.
"""

import math
from collections.abc import Sequence

import pydantic
import torch
from torch import Tensor
from torch.nn import functional

from training.config import CrossValidateConfig


class Calibration(pydantic.BaseModel):
    """What a network needs beside its weights in order to answer: content of calibration.json."""

    model_config = pydantic.ConfigDict(frozen=True, extra="forbid")

    temperature: float
    """Logits are divided by it."""
    review_threshold: float
    """Answers of a lower calibrated probability are for a person to review."""
    out_of_scope_threshold: float
    """Radiographs with a higher out-of-scope score resemble nothing that was learned."""
    num_labelled: int
    """Radiographs with a known label, on which these numbers rest; where there is none, they are guesses."""


def calibrate(
    logits_NK: Tensor, distances_N: Tensor, labels: Sequence[str], classes: Sequence[str], config: CrossValidateConfig
) -> Calibration:
    """Fit temperature and thresholds to a network's answers.

    Args:
        logits_NK: answers for radiographs that were not learned from; -inf for a class that was not learned at all.
        distances_N: their out-of-scope scores.
        labels: given by people or by the data set, `N`; "" where unknown.
        classes: in head order.
        config: what the thresholds must keep.
    """
    known = [index for index, label in enumerate(labels) if label]
    names = [labels[index] for index in known]
    temperature = fit_temperature(logits_NK[known], names, classes) if known else 1.0
    confidences_N, best_N = (logits_NK / temperature).softmax(1).max(1)
    hits_N = torch.tensor([classes[int(best_N[index])] == label for index, label in zip(known, names, strict=True)])
    in_class = [index for index, label in zip(known, names, strict=True) if label in classes]
    in_scope_N = distances_N[in_class] if in_class else distances_N
    return Calibration(
        temperature=temperature,
        review_threshold=review_threshold(confidences_N[known], hits_N, config.accepted_precision) if known else 0.9,
        out_of_scope_threshold=float(in_scope_N.quantile(config.in_scope_quantile)),
        num_labelled=len(known),
    )


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
