"""Intervals against values from the literature, against scipy, and against how often they hold the truth."""

import numpy as np
import pytest
from scipy.stats import binomtest  # type: ignore[import-untyped]  # carries no types

from training.evaluation.intervals import (
    bootstrap_interval,
    mean_of_proportions,
    percentile_limits,
    proportion,
    resampled_counts,
    resampled_sums,
    wilson_interval,
)


def test_wilson_interval_of_96_in_100() -> None:
    """Newcombe 1998, method 3."""
    assert wilson_interval(96, 100) == pytest.approx((0.9016, 0.9843), abs=2e-4)


def test_wilson_interval_stays_between_zero_and_one() -> None:
    assert wilson_interval(0, 0) == (0.0, 1.0)
    assert wilson_interval(10, 10)[1] == pytest.approx(1.0)
    assert 0.65 < wilson_interval(10, 10)[0] < 0.75


def test_the_mean_of_one_proportion_has_the_interval_of_the_proportion() -> None:
    mean = mean_of_proportions([7], [10])
    low, high = wilson_interval(7, 10)
    assert (mean["value"], mean["low"], mean["high"]) == pytest.approx((0.7, low, high), abs=1e-6)


def test_the_interval_of_a_mean_of_proportions_holds_the_truth_in_about_95_of_100() -> None:
    rates, totals = np.array([0.6, 0.8, 0.9, 0.97, 1.0]), np.array([4, 10, 30, 60, 3])
    generator = np.random.default_rng(0)
    held = 0
    for _ in range(2000):
        mean = mean_of_proportions(generator.binomial(totals, rates).tolist(), totals.tolist())
        held += mean["low"] <= rates.mean() <= mean["high"]  # type: ignore[operator]
    assert 0.93 < held / 2000 < 0.99


def test_a_proportion_has_the_wilson_interval_of_scipy() -> None:
    hits = np.array([True] * 17 + [False] * 5)
    expected = binomtest(17, 22).proportion_ci(0.95, method="wilson")
    found = proportion(hits)
    assert (found["value"], found["n"]) == (pytest.approx(17 / 22, abs=1e-6), 22)
    assert (found["low"], found["high"]) == pytest.approx((expected.low, expected.high), abs=1e-6)


def test_resampled_sums_are_those_of_patients_drawn_one_by_one() -> None:
    patients = ["b", "a", "b", "c", "c", "c"]
    values = np.arange(12.0).reshape(6, 2)
    sums = resampled_sums(values, patients, resamples=150, seed=3)
    counts = np.concatenate(list(resampled_counts(3, resamples=150, seed=3)))
    assert sums.shape == (150, 2)
    assert (counts.sum(1) == 3).all()
    for row, (a, b, c) in zip(sums, counts, strict=True):
        drawn = [
            value
            for value, patient in zip(values, patients, strict=True)
            for _ in range(int({"a": a, "b": b, "c": c}[patient]))
        ]
        np.testing.assert_allclose(row, np.sum(drawn, axis=0))


def test_the_same_seed_draws_the_same_patients_and_another_others() -> None:
    values, patients = np.random.default_rng(0).random((50, 1)), [str(index // 2) for index in range(50)]
    one, same, other = (resampled_sums(values, patients, resamples=200, seed=seed) for seed in (1, 1, 2))
    assert (one == same).all()
    assert not (one == other).all()


def test_each_patient_is_drawn_once_on_average() -> None:
    counts = np.concatenate(list(resampled_counts(40, resamples=2000, seed=0)))
    assert counts.mean(0) == pytest.approx(np.ones(40), abs=0.12)
    assert counts.var(0) == pytest.approx(np.full(40, 1 - 1 / 40), abs=0.15)


def _hits(
    generator: np.random.Generator, num_patients: int, per_patient: int
) -> np.ndarray[tuple[int, int], np.dtype[np.bool_]]:
    """Patients who differ: of most, all radiographs are recognised, of some hardly any; 0.82 over all."""
    rates = np.where(generator.random(num_patients) < 0.8, 1.0, 0.1)
    return generator.random((num_patients, per_patient)) < rates[:, None]


def test_where_patients_repeat_the_clustered_interval_holds_the_truth_and_the_naive_one_does_not() -> None:
    """Of 200 samples of 60 patients with eight radiographs each, about 95 % of the intervals hold 0.82."""
    generator = np.random.default_rng(0)
    patients = [str(patient) for patient in range(60) for _ in range(8)]
    ones = np.ones(len(patients), bool)
    clustered_held = naive_held = 0
    for trial in range(200):
        hits = _hits(generator, 60, 8).ravel()
        sums = resampled_sums(np.stack([hits, ones], 1), patients, resamples=500, seed=trial)
        low, high = percentile_limits(sums[:, 0] / sums[:, 1])
        naive_low, naive_high = wilson_interval(int(hits.sum()), len(hits))
        assert high - low > naive_high - naive_low
        clustered_held += low <= 0.82 <= high
        naive_held += naive_low <= 0.82 <= naive_high
    assert 0.89 <= clustered_held / 200 <= 0.99
    assert naive_held / 200 < 0.7


def test_where_every_patient_has_one_radiograph_the_bootstrap_is_as_wide_as_wilson() -> None:
    hits = np.arange(400) % 10 != 0
    sums = resampled_sums(np.stack([hits, np.ones(400, bool)], 1), [str(index) for index in range(400)])
    found = bootstrap_interval(sums[:, 0] / sums[:, 1])
    low, high = wilson_interval(360, 400)
    assert (found["low"], found["high"]) == pytest.approx((low, high), abs=0.01)
    assert found["resamples"] == 2000


def test_nothing_to_measure_leaves_everything_possible() -> None:
    assert percentile_limits(np.full(10, np.nan)) == (0.0, 1.0)
    assert proportion(np.zeros(0, bool)) == {"value": None, "low": 0.0, "high": 1.0, "n": 0}
