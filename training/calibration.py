"""Calibration: one temperature, and the thresholds by which the classifier decides, from answers to unseen radiographs.

Shape suffixes: N radiographs, K classes in head order.
"""

import math
from collections.abc import Mapping, Sequence

import numpy as np
import pydantic
import torch
from torch import Tensor
from torch.nn import functional

from samx.anatomy import NOT_MUSCULOSKELETAL
from samx.manifest import AttributeName
from training.config import CrossValidateConfig
from training.review_thresholds import review_thresholds

_GUESSED_REVIEW_THRESHOLD = 0.9
"""Without any label."""


class Calibration(pydantic.BaseModel):
    """What a network needs beside its weights in order to answer: content of calibration.json."""

    model_config = pydantic.ConfigDict(frozen=True, extra="forbid")

    temperature: float
    """Logits are divided by it."""
    review_threshold: float
    """Of classes that have none of their own, because none of their answers is known."""
    review_thresholds: Mapping[str, float] = {}
    """Of the others, by label: answers of a lower calibrated probability are for a person to review."""
    out_of_scope_threshold: float
    """Radiographs with a higher out-of-scope score resemble nothing that was learned."""
    num_labelled: int
    """Radiographs with a known label, on which these numbers rest; where there is none, they are guesses."""
    attribute_temperatures: dict[AttributeName, float] = {}
    """As `temperature`, for the heads of view and laterality."""


def calibrate(
    logits_NK: Tensor, distances_N: Tensor, labels: Sequence[str], classes: Sequence[str], config: CrossValidateConfig
) -> Calibration:
    """Fit temperature and thresholds to a network's answers.

    The review thresholds rest on labelled radiographs in scope. What is not musculoskeletal is never accepted, so that
    however many of it are recognised, they do not make up for errors among what is.

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
    in_class = [index for index, label in zip(known, names, strict=True) if label in classes]
    in_scope_N = distances_N[in_class] if in_class else distances_N
    out_of_scope_threshold = float(in_scope_N.quantile(config.in_scope_quantile))
    confidences_N, given_N = (array.numpy() for array in (logits_NK / temperature).softmax(1).max(1))
    chosen = [index for index in known if distances_N[index] <= out_of_scope_threshold]
    answered = [classes[int(given_N[index])] for index in chosen]
    common, own = _GUESSED_REVIEW_THRESHOLD, {}
    if known:
        thresholds_K, common = review_thresholds(
            confidences_N[chosen].astype(np.float64),
            np.array([labels[index] == answer for index, answer in zip(chosen, answered, strict=True)], bool),
            given_N[chosen],
            num_classes=len(classes),
            precision=config.accepted_precision,
            acceptable_N=np.array([answer != NOT_MUSCULOSKELETAL for answer in answered], bool),
        )
        own = {label: float(thresholds_K[k]) for k, label in enumerate(classes) if label in answered}
    return Calibration(
        temperature=temperature,
        review_threshold=common,
        review_thresholds=own,
        out_of_scope_threshold=out_of_scope_threshold,
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
