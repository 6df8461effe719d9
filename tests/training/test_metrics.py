"""Metrics against values worked out by hand or taken from the literature."""

import numpy as np
import pytest
import torch

from training.metrics import (
    agreement,
    calibration_error,
    classification_metrics,
    cluster_label_scores,
    confusion_matrix,
    mean_of_proportions,
    neighbour_purity,
    purity,
    purity_at_mixed_sites,
    purity_by_chance,
    purity_of_members,
    wilson_interval,
)


def test_purity_counts_each_clusters_commonest_label() -> None:
    assert purity([0, 0, 0, 1, 1, 2], ["a", "a", "b", "b", "b", "a"]) == pytest.approx(5 / 6)


def test_perfect_clusters_score_one_even_when_named_otherwise() -> None:
    scores = cluster_label_scores([5, 5, 9, 9], ["a", "a", "b", "b"])
    assert scores == pytest.approx(dict.fromkeys(scores, 1.0) | {"mixed_cluster_rate": 0.0})


def test_one_cluster_per_radiograph_is_pure_but_has_no_ami() -> None:
    scores = cluster_label_scores(list(range(8)), ["a", "b"] * 4)
    assert scores["purity"] == 1.0
    assert scores["ami"] == pytest.approx(0.0, abs=1e-9)


def test_wilson_interval_of_96_in_100() -> None:
    """Newcombe 1998, method 3."""
    assert wilson_interval(96, 100) == pytest.approx((0.9016, 0.9843), abs=2e-4)


def test_wilson_interval_stays_between_zero_and_one() -> None:
    assert wilson_interval(0, 0) == (0.0, 1.0)
    assert wilson_interval(10, 10)[1] == pytest.approx(1.0)
    assert 0.65 < wilson_interval(10, 10)[0] < 0.75


def test_classification_counts_top_1_and_top_2() -> None:
    probabilities = np.array([[0.7, 0.2, 0.1], [0.3, 0.6, 0.1], [0.5, 0.4, 0.1], [0.1, 0.2, 0.7]], np.float32)
    metrics = classification_metrics(["a", "a", "c", "c"], probabilities, ["a", "b", "c"])
    assert metrics["top_1"]["value"] == 0.5  # type: ignore[index]
    assert metrics["top_2"]["value"] == 0.75  # type: ignore[index]
    assert metrics["macro_recall"]["value"] == 0.5  # type: ignore[index]


def test_a_label_without_a_class_is_missed() -> None:
    """An entity that the clusters lost is an error of the whole, not left out of the count."""
    metrics = classification_metrics(["toe", "foot"], np.array([[0.9, 0.1]] * 2, np.float32), ["foot", "hand"])
    assert metrics["top_1"]["value"] == 0.5  # type: ignore[index]
    assert metrics["macro_recall"]["value"] == 0.5  # type: ignore[index]
    assert metrics["per_class"]["toe"]["recall"]["value"] == 0.0  # type: ignore[index]


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


def test_calibration_error_of_overconfidence() -> None:
    assert calibration_error(np.full(10, 0.95, np.float32), np.array([True] * 5 + [False] * 5)) == pytest.approx(0.45)


def test_confusion_rows_are_labels() -> None:
    counts = confusion_matrix(["a", "a", "b"], ["a", "b", "b"], ["a", "b"])
    assert counts.tolist() == [[1, 1], [0, 1]]


CLUSTERS = [0, 0, 0, 0, 1, 1, 2, 2]
LABELS = ["hand", "hand", "hand", "foot", "foot", "foot", "hand", "knee"]


def test_cluster_scores_by_hand() -> None:
    scores = cluster_label_scores(CLUSTERS, LABELS)
    assert scores["purity"] == pytest.approx(6 / 8)
    assert scores["mixed_cluster_rate"] == pytest.approx(2 / 3)
    split = cluster_label_scores([0, 1, 2, 3], ["a", "a", "b", "b"])
    assert split["homogeneity"] == pytest.approx(1)
    assert split["completeness"] == pytest.approx(0.5)


def test_purity_by_chance_is_that_of_labels_dealt_at_random() -> None:
    """Clusters of one are pure by chance; two clusters of many radiographs have the share of the commonest label."""
    assert purity_by_chance(range(6), ["a", "b", "c", "a", "b", "c"]) == 1
    clusters, labels = [i % 2 for i in range(4000)], ["a" if i % 4 else "b" for i in range(4000)]
    assert purity_by_chance(clusters, labels) == pytest.approx(0.75, abs=0.01)


def test_members_that_a_reader_sees_estimate_purity_and_few_flatter() -> None:
    clusters, labels = [0] * 1000, ["a" if i % 10 else "b" for i in range(1000)]
    assert purity_of_members(clusters, labels, num_members=1) == 1
    assert purity_of_members(clusters, labels, num_members=300) == pytest.approx(0.9, abs=0.05)
    assert purity_of_members(CLUSTERS, LABELS, num_members=99) == pytest.approx(6 / 8)


def test_purity_at_mixed_sites_leaves_out_sites_of_one_body_part() -> None:
    """Hands of one site and four parts of another in one cluster: pure by site, a quarter right where it counts."""
    clusters, labels = [0] * 24, ["hand"] * 21 + ["foot", "knee", "hip"]
    sites = ["hands only"] * 20 + ["all"] * 4
    assert purity_at_mixed_sites(clusters, labels, sites) == pytest.approx(1 / 4)
    assert purity_at_mixed_sites(clusters[:20], labels[:20], sites[:20]) is None


def test_agreement_does_not_depend_on_the_names_of_clusters() -> None:
    assert agreement([0, 0, 1, 1, 2], [7, 7, 3, 3, 9]) == pytest.approx({"nmi": 1.0, "ami": 1.0})
    generator = torch.Generator().manual_seed(0)
    one, other = (torch.randint(50, (1000,), generator=generator).tolist() for _ in range(2))
    unrelated = agreement(one, other)
    assert abs(unrelated["ami"]) < 0.03
    assert unrelated["nmi"] > 0.25, "chance is far above 0"


def test_neighbours_by_hand() -> None:
    features = torch.eye(4)[[0, 0, 0, 1, 1, 1, 2]] + 0.01 * torch.eye(7, 4)
    features = torch.nn.functional.normalize(features, dim=1)
    found, chance = neighbour_purity(features, ["a", "a", "a", "b", "b", "b", ""], num_neighbours=2)
    assert (found, chance) == (1.0, 0.5)
    found, _ = neighbour_purity(features, ["a", "b", "a", "b", "a", "b", ""], num_neighbours=2)
    assert found == pytest.approx(4 / 12)
    assert neighbour_purity(features, ["a"] * 7) == (None, None)
