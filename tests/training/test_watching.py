"""What phase 1 says of itself, and when it stops."""

import json

import pytest
import torch

from samx.errors import SamxError
from training.pseudo_labels import Clustering
from training.watching import clustering_row, json_lines, neighbour_row, stop_if_collapsed


def clustering(assignments: list[int], num_clusters: int) -> Clustering:
    assigned = torch.tensor(assignments)
    sizes = torch.bincount(assigned, minlength=num_clusters)
    return Clustering(assigned, torch.eye(num_clusters), torch.ones(len(assigned)), sizes, 0.8, 3, 2)


def test_used_tiny_and_empty_clusters_are_counted() -> None:
    found = clustering([0] * 6 + [1] * 4 + [2], 5)
    row = clustering_row(found, found.assignments_N, before_N=None)
    assert (row["num_used"], row["num_tiny"], row["num_empty"], row["num_reseeded"]) == (3, 2, 2, 2)
    assert row["largest_share"] == pytest.approx(6 / 11)
    assert row["assignment_stability_nmi"] is row["assignment_stability_ami"] is None


def test_stability_compares_with_the_epoch_before() -> None:
    found = clustering([0, 0, 1, 1], 2)
    row = clustering_row(found, found.assignments_N, before_N=torch.tensor([1, 1, 0, 0]))
    assert row["assignment_stability_nmi"] == pytest.approx(1)
    assert row["assignment_stability_ami"] == pytest.approx(1)


def test_neighbours_are_judged_by_tag_and_site() -> None:
    projected = torch.eye(2)[[0] * 12 + [1] * 12]
    row = neighbour_row(projected, ["HAND"] * 12 + ["FOOT"] * 12, ["A", "B"] * 12)
    assert row["neighbours_of_same_tag"] == 1
    assert row["neighbours_of_same_tag_by_chance"] == 0.5
    assert row["neighbours_of_same_site"] < 0.6


def history(**changes: float) -> list[dict[str, float]]:
    return [{"loss": 1.0, "largest_share": 0.1, "num_used": 8} | changes] * 5


def test_collapse_stops_with_the_reason() -> None:
    stop_if_collapsed(history(), 6, {"loss": 2.0})
    with pytest.raises(SamxError, match=r"learns nothing: after 5 epochs loss is 1.990, and guessing gives 2.000"):
        stop_if_collapsed(history(loss=1.99), 6, {"loss": 2.0})
    with pytest.raises(SamxError, match=r"collapsed: after 5 epochs one of 8 clusters holds 60% of the radiographs"):
        stop_if_collapsed(history(largest_share=0.6), 6, {})


def test_the_first_third_is_given_time() -> None:
    stop_if_collapsed(history(loss=1.99)[:4], 6, {"loss": 2.0})
    stop_if_collapsed(history(loss=1.99), 30, {"loss": 2.0})


def test_a_line_for_every_epoch() -> None:
    rows = [{"epoch": 0, "loss": 1.5}, {"epoch": 1, "loss": None}]
    assert [json.loads(line) for line in json_lines(rows).splitlines()] == rows
