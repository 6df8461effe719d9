"""Progress, pace and agreement, against figures worked out by hand."""

import pytest

from tests.training.labelling.conftest import Decide
from training.labelling.desk import Desk, Request
from training.labelling.progress import agreement, progress, second_reading


def test_progress_counts_what_counts(desk: Desk, decide: Decide) -> None:
    decide("name", clusters=[0, 6], label="hand")
    decide("name", clusters=[1], label="discard")
    decide("name", clusters=[2], label="mixed")
    decide("correct", radiographs=[3], label="foot")
    decide("name", clusters=[4], label="pelvis")
    decide("undo")
    found = progress(desk.reading)
    assert (found["named"], found["covered"], found["decisions"]) == (4, 40, 4)
    assert found["decisions_per_1000"] == 100.0
    assert (found["discarded"], found["mixed"], found["corrections"]) == (1, 1, 1)
    assert {"label": "hand", "clusters": 2, "radiographs": 20} in found["labels"]
    assert found["readers"] == [{"reader": "AB", "decisions": 4}]
    assert not found["complete"]


def test_what_was_taken_out_was_decided_too_and_is_taken_back_with_the_rest(desk: Desk, decide: Decide) -> None:
    wish = {"action": "name", "clusters": [0, 6], "label": "hand"}
    desk.decide(Request.model_validate({"reader": "AB", "seen": 0, "taken_out": 3, "wish": wish}))
    assert progress(desk.reading)["readers"] == [{"reader": "AB", "decisions": 4}]
    decide("undo")
    assert progress(desk.reading)["decisions"] == 0


def test_time_left_follows_from_recent_decisions(desk: Desk) -> None:
    assert progress(desk.reading)["seconds_left"] is None
    for number, (clusters, seconds) in enumerate((([0], 2.0), ([1, 2, 3], 4.0), ([4, 5], 9.0))):
        wish = {"action": "name", "clusters": clusters, "label": "hand"}
        desk.decide(Request.model_validate({"reader": "AB", "seen": number, "seconds": seconds, "wish": wish}))
    found = progress(desk.reading)
    assert found["seconds_per_decision"] == 4.0
    assert found["seconds_left"] == 12  # six clusters left, two per decision, four seconds each


def test_kappa_is_cohens(desk: Desk, decide: Decide) -> None:
    """Cohen 1960: agreement 0.7 where chance gives 0.5 makes 0.4."""
    first = ["hand"] * 5 + ["foot"] * 5
    second = ["hand"] * 4 + ["foot"] + ["foot"] * 3 + ["hand"] * 2
    for cluster_id, (one, other) in enumerate(zip(first, second, strict=True)):
        decide("name", clusters=[cluster_id], label=one)
        decide("second_reading", clusters=[cluster_id], label=other, by="CD")
    (pair,) = agreement(desk.reading)
    chance = 0.5 * 0.6 + 0.5 * 0.4
    assert pair["kappa"] == pytest.approx((0.7 - chance) / (1 - chance), abs=1e-3)
    assert (pair["first"], pair["second"], pair["clusters"], pair["agree"]) == ("AB", "CD", 10, 7)
    assert [item["id"] for item in pair["disagreements"]] == [4, 8, 9]
    assert desk.reading.labels[4].label == "hand"  # a second reading changes nothing


def test_second_reader_gets_what_others_named_and_goes_on_where_he_was(desk: Desk, decide: Decide) -> None:
    decide("name", clusters=[0, 1, 2], label="hand")
    decide("name", clusters=[3], label="hand", by="CD")
    assert sorted(second_reading(desk.reading, "CD")["clusters"]) == [0, 1, 2]
    first = second_reading(desk.reading, "CD")["clusters"][0]
    decide("second_reading", clusters=[first], label="foot", by="CD")
    again = second_reading(desk.reading, "CD")
    assert (again["done"], again["total"], len(again["clusters"])) == (1, 3, 2)
    assert sorted(second_reading(desk.reading, "AB")["clusters"]) == [3]
