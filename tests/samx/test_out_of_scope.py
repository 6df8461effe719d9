"""The out-of-scope score's distances by hand."""

import math

import numpy as np

from samx.out_of_scope import FeatureDistribution


def test_distance_is_to_the_nearest_mean_in_whitened_units() -> None:
    means, scale = np.array([[0, 0], [10, 0]], np.float32), np.array([2, 1], np.float32)
    distribution = FeatureDistribution(means, scale, np.zeros((2, 1), np.float32))
    distances = distribution.distances(np.array([[0, 0], [1, 0], [0, 1], [8.5, 4]], np.float32))
    np.testing.assert_allclose(distances, np.array([0, 2, 1, 5]) / math.sqrt(2), rtol=1e-6)


def test_along_a_component_the_distance_is_that_of_its_variance() -> None:
    """Variance 25 in the direction (3, 4) / 5, else 1."""
    direction = np.array([[0.6], [0.8]], np.float32)
    distribution = FeatureDistribution(
        np.zeros((1, 2), np.float32), np.ones(2, np.float32), direction * math.sqrt(1 - 1 / 25)
    )
    distances = distribution.distances(np.array([[3, 4], [-4, 3]], np.float32))
    np.testing.assert_allclose(distances, np.array([1, 5]) / math.sqrt(2), rtol=1e-5)


def test_a_distance_does_not_depend_on_how_many_are_asked_for() -> None:
    """Means and features that lie far from the origin and close to each other, as those after a ReLU do."""
    generator = np.random.default_rng(0)
    means, features = (1000 + generator.normal(size=(n, 8)).astype(np.float32) for n in (30, 50))
    distribution = FeatureDistribution(means, np.ones(8, np.float32), np.zeros((8, 1), np.float32))
    single = np.concatenate([distribution.distances(feature[None]) for feature in features])
    exact = np.linalg.norm(features[:, None].astype(float) - means, axis=2).min(1) / math.sqrt(8)
    np.testing.assert_allclose(distribution.distances(features), single, rtol=1e-6)
    np.testing.assert_allclose(single, exact, rtol=1e-5)
