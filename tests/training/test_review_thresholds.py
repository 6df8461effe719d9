"""The thresholds accept most for what is promised, by hand and on answers drawn afresh."""

import numpy as np
import numpy.typing as npt
import pytest

from samx.manifest import NEVER_ACCEPTED
from tests.simulated_answers import SimulatedAnswers, simulated_answers, thresholds_of
from training.review_thresholds import PRIOR_ANSWERS, lowest_cut, review_thresholds, trust

PROMISE = 0.99


def accepted(answers: SimulatedAnswers, thresholds_K: npt.NDArray[np.float64]) -> npt.NDArray[np.bool_]:
    limits_N = thresholds_K[answers.given_N]
    accepted_N: npt.NDArray[np.bool_] = (answers.confidences_N >= limits_N) & (limits_N < NEVER_ACCEPTED)
    return accepted_N


# ---------------------------------------------------------------------------------------------------------- the cut


def test_the_cut_is_the_lowest_that_keeps_the_promise_with_one_error_added() -> None:
    scores, hits = np.linspace(0.9, 0.5, 5), np.array([True, True, True, False, True])
    assert lowest_cut(scores, hits, 0.75) == pytest.approx(0.7)  # 3 right of 3, and one error: 3 of 4
    assert lowest_cut(scores, hits, 0.66) == pytest.approx(0.5)  # 4 of 5, and one error: 4 of 6
    assert lowest_cut(scores, hits, 0.76) is None


def test_equal_scores_are_accepted_together_or_not_at_all() -> None:
    scores = np.array([0.9, 0.9, 0.9, 0.8, 0.8])
    hits = np.array([True, True, True, True, False])
    assert lowest_cut(scores, hits, 0.75) == 0.9  # after the fourth alone 4 of 5 would do
    assert lowest_cut(scores, hits[::-1], 0.75) is None


def test_without_answers_there_is_no_cut() -> None:
    assert lowest_cut(np.zeros(0), np.zeros(0, bool), 0.5) is None
    thresholds, common = review_thresholds(
        np.zeros(0), np.zeros(0, bool), np.zeros(0, int), num_classes=2, precision=0.5, acceptable_N=np.zeros(0, bool)
    )
    assert thresholds.tolist() == [NEVER_ACCEPTED, NEVER_ACCEPTED]
    assert common == NEVER_ACCEPTED


# -------------------------------------------------------------------------------------------------------------- trust


def test_trust_is_one_where_errors_are_as_frequent_as_their_probabilities_say() -> None:
    answers = simulated_answers(20000, systematic={}, seed=1)
    trust_K, common = trust(answers.confidences_N, answers.hits_N, answers.given_N, num_classes=answers.num_classes)
    assert common == pytest.approx(1, abs=0.003)
    assert trust_K == pytest.approx(1, abs=0.02)


def test_trust_finds_the_share_of_systematic_errors() -> None:
    answers = simulated_answers(40000, systematic={3: 0.3, 5: 0.05}, seed=2)
    trust_K, _ = trust(answers.confidences_N, answers.hits_N, answers.given_N, num_classes=answers.num_classes)
    assert trust_K[3] == pytest.approx(0.7, abs=0.04)
    assert trust_K[5] == pytest.approx(0.95, abs=0.02)


def test_trust_by_hand_where_every_answer_is_certain() -> None:
    """All errors are then systematic: 3 of 50, and 3 of 250 among `PRIOR_ANSWERS` that are expected."""
    hits = np.ones(250, bool)
    hits[:3] = False
    trust_K, common = trust(np.ones(250), hits, np.repeat([0, 1], [50, 200]), num_classes=3)
    assert common == pytest.approx(1 - 3 / 250)
    assert trust_K[0] == pytest.approx(1 - (3 + PRIOR_ANSWERS * 3 / 250) / (50 + PRIOR_ANSWERS))
    assert trust_K[1] == pytest.approx(1 - (PRIOR_ANSWERS * 3 / 250) / (200 + PRIOR_ANSWERS))
    assert trust_K[2] == pytest.approx(common), "of which nothing is known"


# --------------------------------------------------------------------------------------------------------- thresholds


def test_classes_without_systematic_errors_have_nearly_one_threshold() -> None:
    thresholds_K = thresholds_of(simulated_answers(20000, systematic={}, seed=3), PROMISE)
    assert np.ptp(thresholds_K) < 0.02


def test_the_promise_is_kept_on_the_answers_that_set_the_thresholds() -> None:
    for seed in range(5):
        answers = simulated_answers(2000, systematic={3: 0.3}, seed=seed)
        accepted_N = accepted(answers, thresholds_of(answers, PROMISE))
        assert accepted_N.any()
        assert (~answers.hits_N[accepted_N]).sum() + 1 <= (1 - PROMISE) * (accepted_N.sum() + 1)


def test_the_answer_at_the_cut_is_accepted_whatever_its_class() -> None:
    """Or rounding would have moved a threshold past the probability it is made from."""
    for seed in range(20):
        answers = simulated_answers(300, systematic={1: 0.1}, seed=seed)
        thresholds_K = thresholds_of(answers, 0.9)
        accepted_N = accepted(answers, thresholds_K)
        trust_K, _ = trust(answers.confidences_N, answers.hits_N, answers.given_N, num_classes=answers.num_classes)
        scores_N = (
            np.minimum(answers.confidences_N, np.nextafter(np.float32(1), np.float32(0))) * trust_K[answers.given_N]
        )
        cut = lowest_cut(scores_N, answers.hits_N, 0.9)
        assert cut is not None
        assert (accepted_N == (scores_N >= cut)).all()


def test_a_class_full_of_errors_is_never_accepted_and_costs_the_others_nothing() -> None:
    """The case that the thresholds per class are for; a single one would accept next to nothing."""
    learned = [simulated_answers(8000, systematic={3: 0.3}, seed=seed) for seed in range(20)]
    fresh = simulated_answers(40000, systematic={3: 0.3}, seed=99)
    coverages, single_coverages, precisions = [], [], []
    for answers in learned:
        thresholds_K = thresholds_of(answers, PROMISE)
        assert thresholds_K[3] == NEVER_ACCEPTED
        accepted_N = accepted(fresh, thresholds_K)
        coverages.append(accepted_N.mean())
        precisions.append(fresh.hits_N[accepted_N].mean())
        single = lowest_cut(answers.confidences_N, answers.hits_N, PROMISE)
        single_coverages.append(0.0 if single is None else (fresh.confidences_N >= single).mean())
    assert np.mean(coverages) > 0.75
    assert np.mean(single_coverages) < 0.3
    assert np.mean(precisions) == pytest.approx(PROMISE, abs=0.001)
    assert min(precisions) > PROMISE - 0.004


def test_without_systematic_errors_nothing_is_lost_and_the_promise_holds_as_often() -> None:
    fresh = simulated_answers(40000, systematic={}, seed=99)
    gaps, kept, kept_by_single = [], 0, 0
    for seed in range(30):
        answers = simulated_answers(2000, systematic={}, seed=seed)
        single = lowest_cut(answers.confidences_N, answers.hits_N, PROMISE)
        assert single is not None
        by_class, by_single = accepted(fresh, thresholds_of(answers, PROMISE)), fresh.confidences_N >= single
        gaps.append(by_class.mean() - by_single.mean())
        kept += bool(fresh.hits_N[by_class].mean() >= PROMISE)
        kept_by_single += bool(fresh.hits_N[by_single].mean() >= PROMISE)
    assert abs(np.mean(gaps)) < 0.01
    assert kept >= kept_by_single - 3
    assert kept >= 10
