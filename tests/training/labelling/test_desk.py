"""What the page shows and what a decision changes."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.training.labelling.conftest import Decide, Request
from tests.training.labelling.made_run import KINDS, make_run
from training.labelling.desk import Desk
from training.labelling.pool import load_pool
from training.labelling.reading import NotAllowed


def row(desk: Desk, cluster_id: int) -> dict[str, Any]:
    return {one["id"]: one for one in desk.state()["clusters"]}[cluster_id]


def test_state_lists_every_cluster_in_every_order(desk: Desk) -> None:
    state = desk.state()
    ids = sorted(one["id"] for one in state["clusters"])
    assert ids == list(range(12))
    assert all(sorted(order) == ids for order in state["order"].values())
    assert state["progress"]["clusters"] == 12
    assert state["progress"]["named"] == 0


def test_suggestion_comes_from_the_tags_and_says_so(desk: Desk) -> None:
    assert row(desk, 2)["suggestion"]["label"] == "knee"
    best = desk.cluster(2)["suggestions"][0]
    assert best["label"] == "knee"
    assert best["sources"] == ("10 of 10 tags say knee",)
    assert best["view"] == "AP"
    assert row(desk, 2)["purity"] == {"value": 1.0, "source": "tags"}


def test_without_tags_nothing_is_suggested_until_something_is_named(tmp_path: Path) -> None:
    make_run(tmp_path, tags=False)
    desk = Desk(load_pool(str(tmp_path / "run")), (), with_neighbours=False)
    assert row(desk, 8)["suggestion"] is None
    assert desk.cluster(8)["suggestions"] == []


def test_naming_teaches_neighbours_and_probe(tmp_path: Path) -> None:
    make_run(tmp_path, tags=False)
    desk = Desk(load_pool(str(tmp_path / "run")), (), with_neighbours=False)
    for cluster_id in range(6):  # a cluster of each kind; 6 to 11 are their twins
        wish = {"action": "name", "clusters": [cluster_id], "label": KINDS[cluster_id]}
        desk.decide(Request.model_validate({"reader": "AB", "seen": cluster_id, "wish": wish}))
    for cluster_id in range(6, 12):
        best = desk.cluster(cluster_id)["suggestions"][0]
        assert best["label"] == KINDS[cluster_id - 6]
        assert any(source.startswith(f"cluster {cluster_id - 6} (") for source in best["sources"])
        assert any(source.startswith("linear probe") for source in best["sources"])
        assert row(desk, cluster_id)["purity"]["source"] == "probe"


def test_a_suggestion_is_never_applied_by_itself(desk: Desk, decide: Decide) -> None:
    decide("name", clusters=[0], label="hand")
    assert [one["id"] for one in desk.state()["clusters"] if one["label"]] == [0]


def test_clusters_that_look_alike_are_offered_together_until_they_are_named(desk: Desk, decide: Decide) -> None:
    assert [one["id"] for one in desk.cluster(2)["group"]] == [2, 8]
    assert row(desk, 2)["group_size"] == 2
    decide("name", clusters=[8], label="knee")
    assert [one["id"] for one in desk.cluster(2)["group"]] == [2]


def test_sheet_shows_random_nearest_and_farthest_members(desk: Desk) -> None:
    shown = desk.cluster(4)
    members = list(range(4, 120, 12))
    assert sorted(shown["random"]) == members
    features = desk.pool.features_ND[members]
    similarity = features @ features.sum(0)
    order = [members[place] for place in similarity.argsort()[::-1]]
    assert shown["nearest"] == order[:6]
    assert shown["farthest"] == order[-6:][::-1]
    assert desk.cluster(4)["random"] == shown["random"]  # the same whenever one looks


def test_only_allowed_attributes_are_shown(made: Path) -> None:
    desk = Desk(load_pool(str(made)), ("body_part_examined",), with_neighbours=False)
    assert {one["attribute"] for one in desk.cluster(0)["tags"]} == {"body_part_examined"}
    shown = desk.radiograph(3)
    assert shown["attributes"] == {"body_part_examined": "FOOT"}
    assert "000003.png" not in str(shown)
    assert "0123456789abcdef" not in str(shown)


def test_split_separates_what_differs_and_the_preview_is_what_happens(tmp_path: Path) -> None:
    strays = dict.fromkeys(range(0, 60, 12), "foot")
    make_run(tmp_path, strays=strays)
    desk = Desk(load_pool(str(tmp_path / "run")), (), with_neighbours=False)
    preview = desk.split_preview(0, 2)["parts"]
    assert [part["size"] for part in preview] == [5, 5]
    wish = {"action": "split", "clusters": [0], "parts": 2}
    answer = desk.decide(Request.model_validate({"reader": "AB", "seen": 0, "wish": wish}))
    assert answer["gone"] == [0]
    assert answer["opened"] == [12, 13]
    found = [sorted(desk.reading.members[cluster_id].tolist()) for cluster_id in answer["opened"]]
    assert sorted(strays) in found
    assert {one["parent"] for one in answer["clusters"] if one["id"] >= 12} == {0}
    with pytest.raises(NotAllowed, match="too few for 9 parts"):
        desk.split_preview(12, 9)


def test_answer_holds_what_changed_and_no_more(desk: Desk, decide: Decide) -> None:
    answer = decide("name", clusters=[0], label="hand")
    changed = {one["id"]: one for one in answer["clusters"]}
    assert changed[0]["label"] == "hand"
    assert answer["history"][0]["text"] == "hand: cluster 0"
    assert answer["history"][0]["can_undo"]
    assert answer["progress"]["named"] == 1
    known = {one["id"]: one for one in desk.state()["clusters"]}
    again = decide("name", clusters=[0], label="wrist")
    for one in again["clusters"]:
        assert known[one["id"]] != one
    undone = decide("undo")
    assert {one["id"]: one["label"] for one in undone["clusters"]}[0] == "hand"
    assert [(entry["number"], entry["undone"]) for entry in undone["history"]] == [(3, False), (2, True)]


def test_page_that_is_behind_learns_everything(desk: Desk, decide: Decide) -> None:
    decide("name", clusters=[0], label="hand")
    answer = decide("name", clusters=[1], label="wrist", by="CD", seen=0)
    assert {one["id"] for one in answer["clusters"]} == set(range(12))
    assert [entry["number"] for entry in answer["history"]] == [2, 1]


def test_map_keeps_kinds_apart_and_counts_every_radiograph(desk: Desk) -> None:
    for layout in ("pca", "tsne"):
        places = {one["id"]: np.array([one["x"], one["y"]]) for one in desk.map(layout)["clusters"]}
        assert sorted(places) == list(range(12))
        assert all(((place >= 0) & (place <= 1)).all() for place in places.values())
    points = desk.map_points()
    assert len(points) == 120 * 8
    assert np.frombuffer(points[480:], "<i4").tolist() == desk.reading.cluster_N.tolist()
    twins = np.linalg.norm(places[0] - places[6])
    assert twins < np.mean([np.linalg.norm(places[0] - places[other]) for other in (1, 2, 3, 4, 5)])


def test_another_round_is_counted_and_recorded(desk: Desk, decide: Decide) -> None:
    assert decide("round")["round"] == 2
    decide("name", clusters=[0], label="hand")
    assert desk.reading.entries[-1].round == 2


def test_unknown_clusters_and_radiographs_are_not_found(desk: Desk) -> None:
    for ask in (lambda: desk.cluster(99), lambda: desk.radiograph(120), lambda: desk.split_preview(99, 2)):
        with pytest.raises(NotAllowed) as refusal:
            ask()
        assert refusal.value.code == "not_found"


def test_suggested_view_and_side_are_what_nearly_all_tags_say_and_can_be_given(desk: Desk) -> None:
    members = range(2, 120, 12)
    for position in members:
        desk.pool.rows[position].update(view_position="lat", laterality="R")
    best = desk.cluster(2)["suggestions"][0]
    assert (best["view"], best["laterality"]) == ("LAT", "R")
    for position in list(members)[:3]:
        desk.pool.rows[position].update(view_position="ap", laterality="L")
    best = desk.cluster(2)["suggestions"][0]
    assert (best["view"], best["laterality"]) == ("", "")
    for position in members:
        desk.pool.rows[position].update(view_position="A.P. seated", laterality="U")
    best = desk.cluster(2)["suggestions"][0]
    assert (best["view"], best["laterality"]) == ("", "")


def test_radiographs_that_were_moved_out_are_marked_on_the_sheet(desk: Desk, decide: Decide) -> None:
    decide("correct", radiographs=[14], label="lower_leg")
    assert desk.cluster(2)["corrections"] == {14: "lower_leg"}
    assert desk.cluster(3)["corrections"] == {}
    assert desk.state()["history"][0]["text"] == "lower leg: 1 radiograph"
