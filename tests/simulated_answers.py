"""Answers with calibrated probabilities, some classes of which are wrong more often than they say."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from training.review_thresholds import review_thresholds


@dataclass(frozen=True)
class SimulatedAnswers:
    """The most probable class of N radiographs."""

    confidences_N: npt.NDArray[np.float64]
    """Probability of each answer, of float32 precision as a classifier gives them."""
    hits_N: npt.NDArray[np.bool_]
    """Whether it was right."""
    given_N: npt.NDArray[np.intp]
    """Its class."""
    num_classes: int


def simulated_answers(
    num_answers: int, *, systematic: Mapping[int, float], seed: int, num_classes: int = 28
) -> SimulatedAnswers:
    """Answers of which about 91 % are right, a few classes common and many rare; the same for the same seed.

    Labels are drawn by the very probabilities, which are therefore calibrated; then in some classes a share of the
    answers is wrong whatever the probability.

    Args:
        num_answers: N.
        systematic: share of wrong answers by class.
        seed: of all draws.
        num_classes: K; class k is drawn in proportion to (k + 1) ** -0.7.
    """
    generator = np.random.default_rng(seed)
    frequency_K = np.arange(1, num_classes + 1) ** -0.7
    shown_N = generator.choice(num_classes, num_answers, p=frequency_K / frequency_K.sum())
    logits_NK = generator.normal(size=(num_answers, num_classes))
    logits_NK[np.arange(num_answers), shown_N] += 8 * generator.gamma(2.0, 1.0, num_answers)
    odds_NK = np.exp(logits_NK - logits_NK.max(1, keepdims=True))
    probabilities_NK = odds_NK / odds_NK.sum(1, keepdims=True)
    labels_N = (probabilities_NK.cumsum(1) > generator.random(num_answers)[:, None]).argmax(1)
    given_N = probabilities_NK.argmax(1)
    share_K = np.zeros(num_classes)
    share_K[list(systematic)] = list(systematic.values())
    hits_N = (labels_N == given_N) & (generator.random(num_answers) >= share_K[given_N])
    return SimulatedAnswers(probabilities_NK.max(1).astype(np.float32).astype(float), hits_N, given_N, num_classes)


def thresholds_of(answers: SimulatedAnswers, precision: float) -> npt.NDArray[np.float64]:
    """The review threshold of every class, all answers being acceptable."""
    return review_thresholds(
        answers.confidences_N,
        answers.hits_N,
        answers.given_N,
        num_classes=answers.num_classes,
        precision=precision,
        acceptable_N=np.ones(len(answers.hits_N), bool),
    )[0]
