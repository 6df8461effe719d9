"""From which probability on an answer is accepted without a person: a threshold for every class, all set together.

Probabilities are calibrated over all classes, which one class may belie: where fingers lie in clusters of thumbs, every
third "thumb" is wrong, the surest too, and no single threshold keeps a promise for all answers without giving up those
that are right. So each class has its trust: the share of its answers that are not wrong whatever their probability.
Accepted is what has the largest trust times probability, which estimates how likely the answer is right; for a given
share of errors nothing accepts more (Chow 1970: the best rule puts one threshold on that likelihood). One cut for
all classes is made so low that the accepted answers together just keep the promise; divided by a class's trust it is
the class's threshold.

One number per class and one cut leave little to be fitted to chance: on fresh answers the promise is kept about as
often as by a single threshold. A cut per class, placed where its answers seem best, is not so modest: it lies
before an error by choice, in every class (`python -m tests.benchmarks.review_thresholds`).

Shape suffixes: N answers, K classes in head order.
"""

import numpy as np
import numpy.typing as npt

from samx.manifest import NEVER_ACCEPTED

PRIOR_ANSWERS = 100
"""As many answers of its own set a class apart from the others as much as it stays with them."""
SUREST = float(np.nextafter(np.float32(1), np.float32(0)))
"""A probability may be rounded to 1, which no threshold below `NEVER_ACCEPTED` may tell from the number before it."""

Floats = npt.NDArray[np.float64]


def review_thresholds(
    confidences_N: Floats,
    hits_N: npt.NDArray[np.bool_],
    given_N: npt.NDArray[np.intp],
    *,
    num_classes: int,
    precision: float,
    acceptable_N: npt.NDArray[np.bool_],
) -> tuple[Floats, float]:
    """The thresholds that accept most while the accepted answers are right as often as promised.

    The promise is checked on the answers that set the thresholds, with one error added; it says nothing of a single
    class, of which less may be right than promised, nor of radiographs of another kind.

    Args:
        confidences_N: probability of each answer, in [0, 1]; by networks that have not seen the radiograph.
        hits_N: whether it was right.
        given_N: its class, in [0, K).
        num_classes: K.
        precision: promised share of right answers among the accepted ones.
        acceptable_N: whether it would be accepted if sure enough. The others tell of the trust in their class alone.

    Returns:
        A threshold for each class in [0, 1], and one for a class of which no answer is known; `NEVER_ACCEPTED` where no
        threshold keeps the promise.
    """
    trust_K, common = trust(confidences_N, hits_N, given_N, num_classes=num_classes)
    scores_N = np.minimum(confidences_N, SUREST) * trust_K[given_N]
    cut = lowest_cut(scores_N[acceptable_N], hits_N[acceptable_N], precision)
    if cut is None:
        return np.full(num_classes, NEVER_ACCEPTED), NEVER_ACCEPTED
    # A hair less, since the quotient of the rounded product may be more than the probability was.
    thresholds = cut / np.append(trust_K, common) * (1 - 1e-12)
    thresholds[thresholds > SUREST] = NEVER_ACCEPTED
    return thresholds[:-1], float(thresholds[-1])


def trust(
    confidences_N: Floats, hits_N: npt.NDArray[np.bool_], given_N: npt.NDArray[np.intp], *, num_classes: int
) -> tuple[Floats, float]:
    """How far the probabilities of each class can be relied on: the share of its answers without a systematic error.

    An answer of probability p is right with probability trust * p. The trust of all answers together is the most
    likely one; that of a class is the mode of its posterior, in which `PRIOR_ANSWERS` speak for the trust of all.

    Args:
        confidences_N: probability of each answer, in [0, 1].
        hits_N: whether it was right.
        given_N: its class, in [0, K).
        num_classes: K.

    Returns:
        The trust in each class in [0, 1], and that in all answers together, which is that in a class without any.
    """
    common = _systematic_errors(confidences_N, hits_N, prior=0.0, weight=0)
    errors = [
        _systematic_errors(confidences_N[given_N == k], hits_N[given_N == k], prior=common, weight=PRIOR_ANSWERS)
        for k in range(num_classes)
    ]
    return 1 - np.array(errors, np.float64), 1 - common


def lowest_cut(scores_N: Floats, hits_N: npt.NDArray[np.bool_], precision: float) -> float | None:
    """The lowest score from which on, one error added, answers are right as often as promised; None if there is none.

    Args:
        scores_N: the higher, the sooner an answer is accepted; equal ones are accepted together.
        hits_N: whether it was right.
        precision: promised share of right answers.
    """
    order_N = np.argsort(-scores_N, kind="stable")
    sorted_N, num_accepted_N = scores_N[order_N], np.arange(1, len(scores_N) + 1)
    num_right_N = hits_N[order_N].cumsum()
    is_last_N = np.append(sorted_N[1:] < sorted_N[:-1], True)[: len(sorted_N)]  # of equal ones
    kept = np.flatnonzero(is_last_N & (num_right_N >= precision * (num_accepted_N + 1) - 1e-9))
    return float(sorted_N[kept[-1]]) if len(kept) else None


def _systematic_errors(confidences: Floats, hits: npt.NDArray[np.bool_], *, prior: float, weight: float) -> float:
    """The most likely share of answers that are wrong whatever their probability; the likelihood is concave.

    Args:
        confidences: probability of each answer.
        hits: whether it was right.
        prior: share that is expected.
        weight: answers that the expectation is worth.
    """
    missed, num_right = confidences[~hits], hits.sum() + weight * (1 - prior)
    low, high = 0.0, 1.0
    for _ in range(60):
        share = (low + high) / 2
        slope = weight * prior / share - num_right / (1 - share) + (missed / (1 - (1 - share) * missed)).sum()
        low, high = (share, high) if slope > 0 else (low, share)
    return low
