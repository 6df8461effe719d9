"""What readers write is checked, and the simulated reader writes the same."""

import re

import pytest
import torch

from samx.errors import WrongInput
from training.config import SimulatedReaderConfig
from training.labels import class_order, parse_cluster_labels
from training.simulated_reader import name_clusters, read_truth


def row(cluster_id: object, label: str = "hand") -> dict[str, str]:
    return {
        "cluster_id": str(cluster_id),
        "label": label,
        "view": "",
        "laterality": "",
        "note": "",
        "reader": "anna",
        "decided_at": "2026-01-01T10:00:00Z",
    }


def test_same_label_merges_and_reserved_labels_have_their_meaning() -> None:
    decisions = parse_cluster_labels([row(0), row(1), row(2, "discard"), row(3, "mixed")], range(4))
    assert [decision.class_label for decision in decisions] == ["hand", "hand", "not_musculoskeletal", None]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([row(0), row(0), row(1)], "1 clusters are named more than once, the first is 0"),
        ([row(0), row(1), row(7)], "1 clusters are unknown, the first is 7"),
        ([row(0)], "1 clusters are not named yet, the first is 1"),
        ([row(0), row("x")], "line 3: 'x' is not a cluster_id"),
        ([row(0), row(1, " ")], "line 3: cluster 1 has no label"),
        (
            [{"cluster_id": "0", "label": "hand"}],
            "lacks the columns ['decided_at', 'laterality', 'note', 'reader', 'view']",
        ),
    ],
)
def test_decisions_that_do_not_fit_are_refused_by_line(rows: list[dict[str, str]], message: str) -> None:
    with pytest.raises(WrongInput, match=re.escape(message)):
        parse_cluster_labels(rows, range(2))


def test_what_is_not_musculoskeletal_is_the_last_class() -> None:
    assert class_order(["wrist", "not_musculoskeletal", "foot", "wrist"]) == ["foot", "wrist", "not_musculoskeletal"]


CONFIG = SimulatedReaderConfig(truth="unused.csv", not_musculoskeletal=("chest",))


def name(*labels: str, config: SimulatedReaderConfig = CONFIG) -> dict[str, object]:
    truth = {str(index): label for index, label in enumerate(labels)}
    return name_clusters({0: list(truth)}, truth, config, torch.Generator().manual_seed(0))[0]


def test_simulated_reader_names_by_majority() -> None:
    assert name(*["hand"] * 7, *["wrist"] * 3)["label"] == "hand"


def test_simulated_reader_calls_it_mixed_below_sixty_percent() -> None:
    assert name(*["hand"] * 6, *["wrist"] * 4)["label"] == "hand"
    assert name(*["hand"] * 5, *["wrist"] * 5)["label"] == "mixed"


def test_simulated_reader_discards_what_is_not_musculoskeletal() -> None:
    assert name(*["not_musculoskeletal"] * 9, "hand")["label"] == "discard"


def test_simulated_reader_looks_at_ten_members_only() -> None:
    """With 90 hands and 110 wrists, some samples of ten show a majority of hands that the whole does not have."""
    truth = {str(index): "hand" if index < 90 else "wrist" for index in range(200)}
    seen = {
        name_clusters({0: list(truth)}, truth, CONFIG, torch.Generator().manual_seed(seed))[0]["label"]
        for seed in range(40)
    }
    assert seen == {"hand", "wrist", "mixed"}


def test_an_empty_cluster_is_mixed() -> None:
    assert name()["label"] == "mixed"


def test_truth_keys_are_made_relative_and_discarded_labels_join(tmp_path: pytest.TempPathFactory) -> None:
    path = f"{tmp_path}/labels.csv"
    with open(path, "w") as file:
        file.write("file,label\nimages/a.jpg,hand\nimages/b.jpg,chest\n")
    config = SimulatedReaderConfig(truth=path, key_column="file", key_prefix="images/", not_musculoskeletal=("chest",))
    assert read_truth(config) == {"a.jpg": "hand", "b.jpg": "not_musculoskeletal"}
    with pytest.raises(WrongInput, match="needs the columns key and label"):
        read_truth(SimulatedReaderConfig(truth=path))
    with pytest.raises(WrongInput, match="there is no file"):
        read_truth(SimulatedReaderConfig(truth=f"{tmp_path}/none.csv"))
