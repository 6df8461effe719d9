"""Metrics of clusters against values worked out by hand or taken from the literature."""

import pytest
import torch

from training.metrics import (
    agreement,
    cluster_label_scores,
    neighbour_purity,
    purity,
    purity_at_mixed_sites,
    purity_by_chance,
    purity_of_members,
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
