"""Suggestions: what each witness is worth, and that none of them drowns the others."""

from pathlib import Path

import numpy as np
import pytest

from tests.training.labelling.made_run import KINDS, make_run
from training.labelling.decisions import Entry, Name
from training.labelling.order import groups, useful_order
from training.labelling.pool import load_pool
from training.labelling.reading import Reading
from training.labelling.suggestions import Suggester, Suggestion, tag_labels


class Labelled:
    """A made-up run with some clusters named."""

    def __init__(self, folder: Path, named: dict[int, str], *, tags: bool = True) -> None:
        make_run(folder, tags=tags)
        pool = load_pool(str(folder / "run"))
        self.rows = pool.rows
        self.reading = Reading(pool.cluster_N)
        for cluster_id, label in named.items():
            decision = Name(clusters=(cluster_id,), label=label)
            number = self.reading.number + 1
            self.reading.extend(Entry(number=number, time="", reader="AB", decision=decision))
        self.suggester = Suggester(pool.features_ND, tag_labels(pool.rows))
        self.suggester.update(self.reading)

    def best(self, cluster_id: int) -> Suggestion:
        found = self.suggester.of_all()[cluster_id]
        assert found is not None
        return found


def test_probabilities_add_up_to_one_and_the_best_is_first(tmp_path: Path) -> None:
    labelled = Labelled(tmp_path, {0: "hand", 1: "wrist"})
    for cluster_id in range(12):
        suggestions = labelled.suggester.of(cluster_id, count=100)
        confidences = [one.confidence for one in suggestions]
        assert confidences == sorted(confidences, reverse=True)
        assert 0.5 < sum(confidences) <= 1.0 + 1e-6  # those too small to be worth saying are left out
        assert suggestions[0].label == labelled.best(cluster_id).label


def test_labels_in_use_do_not_drown_what_the_tags_say_of_others(tmp_path: Path) -> None:
    """A probe that knows two labels must not make everything one of these two."""
    labelled = Labelled(tmp_path, {0: "hand", 6: "hand", 1: "wrist", 7: "wrist"})
    assert [labelled.best(cluster_id).label for cluster_id in (2, 3, 4, 5)] == list(KINDS[2:])


def test_named_twins_raise_the_confidence_of_what_the_tags_say(tmp_path: Path) -> None:
    before = Labelled(tmp_path / "a", {}).best(8).confidence
    after = Labelled(tmp_path / "b", {2: "knee", 0: "hand"}).best(8).confidence
    assert after > before


def test_tags_that_proved_wrong_count_less(tmp_path: Path) -> None:
    trusted = Labelled(tmp_path / "a", {0: "hand", 1: "wrist", 4: "pelvis", 5: "skull"})
    misled = Labelled(tmp_path / "b", {0: "skull", 1: "pelvis", 4: "wrist", 5: "hand"})
    assert misled.best(2).confidence < trusted.best(2).confidence


def test_own_labels_are_suggested_to_their_twins(tmp_path: Path) -> None:
    labelled = Labelled(tmp_path, {0: "finger_splint", 1: "wrist"}, tags=False)
    assert labelled.best(6).label == "finger_splint"


def test_mixed_clusters_teach_nothing(tmp_path: Path) -> None:
    labelled = Labelled(tmp_path, {0: "mixed", 1: "mixed"}, tags=False)
    assert set(labelled.suggester.of_all().values()) == {None}


@pytest.mark.parametrize(
    ("row", "label"),
    [
        ({"body_part_examined": "KNEE"}, "knee"),
        ({"body_part_examined": "CHEST"}, "discard"),
        ({"body_part_examined": "EXTREMITY", "described_label": "hand"}, "hand"),
        ({"body_part_examined": "", "described_label": "not_musculoskeletal"}, "discard"),
        ({"body_part_examined": "EXTREMITY"}, ""),
    ],
)
def test_description_speaks_where_body_part_examined_is_silent(row: dict[str, str], label: str) -> None:
    assert tag_labels([row]) == [label]


def test_useful_order_begins_with_large_tight_clusters_and_keeps_similar_ones_together() -> None:
    axes = np.eye(3, dtype=np.float32)
    centroids = np.stack([axes[0], axes[1], axes[0] * 0.9 + axes[2] * 0.1, axes[1], axes[2]])
    centroids /= np.linalg.norm(centroids, axis=1, keepdims=True)
    assert useful_order([50, 40, 5, 4, 10], [0.9] * 5, centroids) == [0, 2, 1, 3, 4]
    assert useful_order([50, 90, 5, 4, 10], [0.9, 0.4, 0.9, 0.9, 0.9], centroids)[0] == 0


def test_group_is_of_one_sure_suggestion_or_else_of_what_is_alike() -> None:
    axes = np.eye(4, dtype=np.float32)
    centroids = np.stack([axes[0], axes[1], axes[0], axes[2], axes[2], axes[3]])
    row_of = {cluster_id: cluster_id for cluster_id in range(6)}
    hand, unsure = Suggestion("hand", 0.9, ()), Suggestion("foot", 0.2, ())
    found = groups(list(range(6)), row_of, centroids, {0: hand, 1: hand, 2: hand, 3: unsure, 4: None, 5: None})
    assert found == {0: [0, 2, 1], 1: [1, 2, 0], 2: [2, 0, 1], 3: [3, 4], 4: [4, 3], 5: [5]}
    assert groups([0, 3], row_of, centroids, {0: hand, 3: unsure}) == {0: [0], 3: [3]}
    assert groups([], row_of, centroids, {}) == {}
