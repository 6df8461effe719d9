"""Spherical k-means: finds what is there, loses no cluster, does not depend on the order."""

import weakref
from collections.abc import Sequence
from typing import Literal

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from training.pseudo_labels import hierarchy_seeds, kmeans_plus_plus, mean_directions, mean_shift, spherical_kmeans


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def bundles(num_bundles: int = 5, per_bundle: int = 40, spread: float = 0.05) -> tuple[Tensor, Tensor]:
    """Unit vectors around orthogonal directions, and the direction of each."""
    truth = torch.arange(num_bundles).repeat_interleave(per_bundle)
    noise = torch.randn(len(truth), 16, generator=generator(1)) * spread
    return functional.normalize(torch.eye(16)[truth] + noise, dim=1), truth


def test_separate_bundles_are_found_exactly() -> None:
    features, truth = bundles()
    found = spherical_kmeans([features], 5, iterations=20, generator=generator())
    assert len(torch.unique(found.assignments_N * 5 + truth)) == 5  # one cluster per bundle, one bundle per cluster
    assert found.mean_similarity > 0.9


def test_a_permutation_of_radiographs_permutes_assignments() -> None:
    features, _ = bundles(spread=0.4)
    initial = features[:7].clone()
    order = torch.randperm(len(features), generator=generator(2))
    direct = spherical_kmeans([features], 7, iterations=10, generator=generator(), initial_KD=initial)
    permuted = spherical_kmeans([features[order]], 7, iterations=10, generator=generator(), initial_KD=initial)
    assert torch.equal(direct.assignments_N[order], permuted.assignments_N)


def test_the_same_seed_gives_the_same_clusters_and_another_seed_may_not() -> None:
    features, _ = bundles(spread=0.6)
    first, second, other = (spherical_kmeans([features], 12, iterations=5, generator=generator(s)) for s in (3, 3, 4))
    assert torch.equal(first.assignments_N, second.assignments_N)
    assert not torch.equal(first.assignments_N, other.assignments_N)


def test_empty_clusters_are_started_again_and_counted(caplog: pytest.LogCaptureFixture) -> None:
    features, _ = bundles()
    far = -torch.ones(1, 16) / 4  # nothing is near it
    initial = torch.cat([torch.eye(16)[:5], far, far])
    with caplog.at_level("INFO"):
        found = spherical_kmeans([features], 7, iterations=20, generator=generator(), initial_KD=initial)
    assert found.num_reseeded >= 2
    assert torch.bincount(found.assignments_N, minlength=7).min() >= 1
    assert "started again" in caplog.text


def test_every_feature_has_its_most_similar_centroid() -> None:
    features, _ = bundles(spread=0.5)
    found = spherical_kmeans([features], 9, iterations=50, generator=generator())
    assert torch.equal(found.assignments_N, (features @ found.centroids_KD.T).argmax(1))
    torch.testing.assert_close(found.centroids_KD.norm(dim=1), torch.ones(9))


def test_more_iterations_never_loosen_the_clusters() -> None:
    features, _ = bundles(spread=0.6)
    tightness = [
        spherical_kmeans([features], 9, iterations=n, generator=generator(5)).mean_similarity for n in (1, 2, 4, 8, 16)
    ]
    assert tightness == sorted(tightness)


def test_as_many_clusters_as_features_gives_each_its_own() -> None:
    features, _ = bundles(per_bundle=2, spread=0.3)
    found = spherical_kmeans([features], len(features), iterations=20, generator=generator())
    assert len(torch.unique(found.assignments_N)) == len(features)


def test_identical_features_still_fill_every_cluster() -> None:
    features = functional.normalize(torch.ones(10, 4), dim=1)
    found = spherical_kmeans([features], 3, iterations=1, generator=generator())
    assert torch.isfinite(found.centroids_KD).all()


def test_more_clusters_than_features_is_refused() -> None:
    with pytest.raises(ValueError, match="3 features cannot make 4 clusters"):
        spherical_kmeans([torch.eye(3)], 4, iterations=1, generator=generator())


@pytest.mark.parametrize("linkage", ["average", "ward"])
def test_seeds_of_a_hierarchy_find_small_groups_beside_large_ones(linkage: Literal["average", "ward"]) -> None:
    """One bundle of 400 and nine of 6: k-means++ splits the large one and joins small ones."""
    sizes = [400] + [6] * 9
    truth = torch.repeat_interleave(torch.arange(10), torch.tensor(sizes))
    noise = torch.randn(len(truth), 16, generator=generator(1)) * 0.1
    features = functional.normalize(torch.eye(16)[truth] + noise, dim=1)
    seeds = hierarchy_seeds([features], 10, generator(), linkage=linkage)
    found = spherical_kmeans([features], 10, iterations=20, generator=generator(), initial_KD=seeds)
    assert len(torch.unique(found.assignments_N * 10 + truth)) == 10
    torch.testing.assert_close(seeds.norm(dim=1), torch.ones(10))


@pytest.mark.parametrize("num_clusters", [1, 12])
def test_seeds_of_a_hierarchy_of_the_whole_set_do_not_depend_on_the_generator(num_clusters: int) -> None:
    features, _ = bundles(spread=0.5)
    first, second = (hierarchy_seeds([features], num_clusters, generator(seed)) for seed in (0, 1))
    assert torch.equal(first, second)
    assert first.shape == (num_clusters, 16)


def test_seeds_of_a_hierarchy_come_from_a_sample_of_a_large_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("training.pseudo_labels._HIERARCHY_SAMPLE", 60)
    features, truth = bundles()
    seeds = hierarchy_seeds([features], 5, generator())
    found = (features @ seeds.T).argmax(1)
    assert len(torch.unique(found * 5 + truth)) == 5
    assert len(hierarchy_seeds([features], 70, generator())) == 70, "as many seeds as asked for, whatever the sample"


def test_mean_directions_of_an_empty_cluster_are_zero() -> None:
    means = mean_directions(torch.eye(3), torch.tensor([0, 0, 2]), 3)
    torch.testing.assert_close(means[0], torch.tensor([0.5**0.5, 0.5**0.5, 0.0]))
    assert not means[1].any()


def test_shards_give_what_one_tensor_gives() -> None:
    """Seeding, new starts and all: features may lie in any number of files."""
    features, _ = bundles(spread=0.6)
    initial = torch.cat([features[:7], features[:1]])  # the last one stays empty
    whole = spherical_kmeans([features], 8, iterations=10, generator=generator(), initial_KD=initial.clone())
    shards = spherical_kmeans(
        [features[:11], features[11:11], features[11:150], features[150:]],
        8,
        iterations=10,
        generator=generator(),
        initial_KD=initial.clone(),
    )
    assert whole.num_reseeded >= 1
    assert torch.equal(whole.assignments_N, shards.assignments_N)
    torch.testing.assert_close(whole.centroids_KD, shards.centroids_KD)
    seeded = [kmeans_plus_plus(parts, 5, generator(3)) for parts in ([features], list(features.split(7)))]
    assert torch.equal(*seeded)


def test_shards_are_read_when_they_are_needed_and_not_kept() -> None:
    features, _ = bundles()

    class Files(Sequence[Tensor]):
        num_held = most_held = 0

        def __len__(self) -> int:
            return 4

        def __getitem__(self, index: int) -> Tensor:  # type: ignore[override]
            if index >= 4:
                raise IndexError
            self.num_held += 1
            self.most_held = max(self.most_held, self.num_held)
            shard = features[index * 50 : index * 50 + 50].clone()
            weakref.finalize(shard, self._released)
            return shard

        def _released(self) -> None:
            self.num_held -= 1

    files = Files()
    found = spherical_kmeans(files, 5, iterations=20, generator=generator())
    assert files.most_held <= 2
    assert torch.equal(
        found.assignments_N, spherical_kmeans([features], 5, iterations=20, generator=generator()).assignments_N
    )


def test_tiny_clusters_are_started_again_elsewhere() -> None:
    """Two seeds on two outliers and one for two bundles: with a smallest size of 3, each bundle gets its own."""
    features, _ = bundles(num_bundles=2, spread=0.02)
    outliers = functional.normalize(torch.eye(16)[[5, 6]] + 1.2 * torch.eye(16)[[0, 1]], dim=1)
    everything = torch.cat([features, outliers])
    initial = torch.cat([outliers, functional.normalize(torch.eye(16)[[0]] + torch.eye(16)[[1]], dim=1)])
    kept, restarted = (
        spherical_kmeans(
            [everything], 3, iterations=20, generator=generator(2), initial_KD=initial.clone(), smallest=smallest
        )
        for smallest in (1, 3)
    )
    assert kept.sizes_K.min() == 1
    assert restarted.sizes_K.min() >= 3
    assert restarted.mean_similarity > kept.mean_similarity


def test_two_levels_find_small_groups_beside_large_ones() -> None:
    sizes = [400] + [12] * 9
    truth = torch.repeat_interleave(torch.arange(10), torch.tensor(sizes))
    noise = torch.randn(len(truth), 16, generator=generator(1)) * 0.1
    features = functional.normalize(torch.eye(16)[truth] + noise, dim=1)
    seeds = hierarchy_seeds([features], 10, generator(), fine_clusters=80)
    found = spherical_kmeans([features], 10, iterations=20, generator=generator(), initial_KD=seeds)
    assert len(torch.unique(found.assignments_N * 10 + truth)) == 10


def test_clusters_of_a_hierarchy_are_numbered_by_their_first_members() -> None:
    features, truth = bundles()
    order = torch.tensor([3, 0, 4, 1, 2])
    mixed = torch.cat([features[truth == bundle] for bundle in order])
    seeds = hierarchy_seeds([mixed], 5, generator())
    assert torch.equal((mixed @ seeds.T).argmax(1), truth)


def test_mean_shift_draws_groups_together_and_leaves_loners() -> None:
    features, truth = bundles(spread=0.1)
    loner = torch.eye(16)[15:]
    moved = mean_shift(torch.cat([features, loner]), 10.0)
    torch.testing.assert_close(moved.norm(dim=1), torch.ones(len(moved)))
    assert float(moved[-1] @ loner[0]) > 0.99
    for bundle in range(5):
        before, after = features[truth == bundle], moved[:-1][truth == bundle]
        assert float((after @ after.T).min()) > float((before @ before.T).mean())


def test_mean_shift_in_parts_is_mean_shift_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    features, _ = bundles()
    expected = functional.normalize((features @ features.T * 10.0).exp() @ features, dim=1)
    for size in (1024, 7):
        monkeypatch.setattr("training.pseudo_labels._CHUNK_OF_PAIRS", size)
        torch.testing.assert_close(mean_shift(features, 10.0), expected)


def test_a_concentrated_hierarchy_starts_from_features_as_they_are() -> None:
    """Only what is joined is decided by what was moved; the seeds are means of the features themselves."""
    features, truth = bundles(spread=0.1)
    seeds = hierarchy_seeds([features], 5, generator(), concentration=10.0)
    torch.testing.assert_close(seeds, mean_directions(features, truth, 5))


class CountedShards(Sequence[Tensor]):
    """Counts how often all shards are read."""

    def __init__(self, shards: Sequence[Tensor]) -> None:
        self.shards, self.num_reads = shards, 0

    def __len__(self) -> int:
        return len(self.shards)

    def __getitem__(self, index: int) -> Tensor:  # type: ignore[override]
        self.num_reads += index == 0
        return self.shards[index]


def test_shards_are_read_once_per_pass_and_twice_for_seeding() -> None:
    features, _ = bundles(spread=0.2)
    shards = CountedShards(features.split(30))
    given = spherical_kmeans(shards, 5, iterations=20, generator=generator(), initial_KD=features[::40].clone())
    assert shards.num_reads == given.num_iterations + given.num_reseeded
    shards = CountedShards(features.split(30))
    seeded = spherical_kmeans(shards, 5, iterations=0, generator=generator())
    assert (shards.num_reads, seeded.num_iterations) == (3, 1)
