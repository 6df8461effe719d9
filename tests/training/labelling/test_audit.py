"""Radiographs under the wrong label are found, and what people have looked at is not asked again."""

from pathlib import Path

import numpy as np
import pytest

from tests.training.labelling.conftest import Decide, Request
from tests.training.labelling.made_run import KINDS, make_run
from training.labelling.audit import answers_of_classifier, suspects
from training.labelling.desk import Desk
from training.labelling.pool import load_pool
from training.labelling.similarity import nearest_neighbours

STRAYS = {13: "pelvis", 26: "hand", 50: "skull", 75: "wrist"}


@pytest.fixture
def audited(tmp_path: Path) -> Desk:
    """All clusters named by their kind; four radiographs lie in the wrong one. Nobody has tagged anything."""
    make_run(tmp_path, num_radiographs=240, strays=STRAYS, tags=False)
    desk = Desk(load_pool(str(tmp_path / "run")), (), with_neighbours=False)
    for cluster_id in range(12):
        _decide(desk, {"action": "name", "clusters": [cluster_id], "label": KINDS[cluster_id % 6]})
    desk.find_neighbours()
    return desk


def _decide(desk: Desk, wish: dict[str, object]) -> None:
    number = desk.reading.number
    desk.decide(Request.model_validate({"reader": "AB", "seen": number, "wish": wish}))


def test_audit_waits_for_the_neighbours(desk: Desk) -> None:
    assert desk.audit(10) == {"ready": False, "items": []}


def test_strays_come_first_with_the_right_alternative_and_reasons(audited: Desk) -> None:
    items = audited.audit(20)["items"]
    assert {item["position"] for item in items[:4]} == set(STRAYS)
    for item in items[:4]:
        assert item["alternative"] == STRAYS[item["position"]]
        assert item["label"] == KINDS[item["position"] % 12 % 6]
        assert any("linear probe" in reason for reason in item["reasons"])
        assert item["position"] in item["together"]
    assert items[3]["score"] > items[4]["score"] + 0.2
    assert [item["score"] for item in items] == sorted((item["score"] for item in items), reverse=True)


def test_what_was_judged_is_not_asked_again(audited: Desk) -> None:
    _decide(audited, {"action": "correct", "radiographs": [13], "label": "pelvis"})
    _decide(audited, {"action": "correct", "radiographs": [26], "label": "knee"})  # confirmed
    asked = {position for item in audited.audit(240)["items"] for position in item["together"]}
    assert not asked & {13, 26}
    assert asked >= {50, 75}


def test_strays_of_one_cluster_and_kind_are_shown_together(tmp_path: Path) -> None:
    make_run(tmp_path, num_radiographs=240, strays={1: "foot", 13: "foot", 25: "foot"}, tags=True)
    desk = Desk(load_pool(str(tmp_path / "run")), (), with_neighbours=False)
    for cluster_id in range(12):
        _decide(desk, {"action": "name", "clusters": [cluster_id], "label": KINDS[cluster_id % 6]})
    desk.find_neighbours()
    first = desk.audit(5)["items"][0]
    assert sorted(first["together"]) == [1, 13, 25]
    assert "its tag says foot" in first["reasons"]


def test_an_answer_says_something_of_those_that_resemble_it_in_the_same_cluster(audited: Desk) -> None:
    # Cluster 0 is called hand, with 0, 12, 24 and so on in it; nothing elsewhere says that they are wrists.
    members = audited.reading.members[0].tolist()
    before = _scores(audited)
    similarity = audited.pool.features_ND @ audited.pool.features_ND[members[1]]
    asked = [position for position in members if position != members[1] and position not in STRAYS]
    _decide(audited, {"action": "correct", "radiographs": [members[1]], "label": "wrist"})
    after = _scores(audited)
    nearest = max(asked, key=lambda position: similarity[position])
    assert after[nearest] > before[nearest] + 0.02
    assert all(abs(after[position] - before[position]) < 0.02 for position in audited.reading.members[5].tolist())
    _decide(audited, {"action": "correct", "radiographs": [members[1]], "label": KINDS[0]})  # confirmed in its place
    assert _scores(audited)[nearest] <= before[nearest]


def test_answers_of_the_classifier_join_after_phase_2(audited: Desk) -> None:
    keys = audited.pool.keys
    rows = [{"key": key, "answer": "wrist", "probability": "0.98"} for key in (keys[100], "elsewhere.png")]
    rows.append({"key": keys[7], "answer": "not_musculoskeletal", "probability": "0.4"})
    answers = answers_of_classifier(keys, rows)
    assert answers == {100: ("wrist", 0.98), 7: ("discard", 0.4)}
    without, with_answers = _ranked(audited, {}), _ranked(audited, answers)
    assert with_answers.index(100) < without.index(100) - 50
    assert set(with_answers[:4]) == set(STRAYS)  # all other witnesses are against them
    assert audited._neighbours_NK is not None
    found = suspects(audited.reading, audited.pool.features_ND, audited._neighbours_NK, [""] * 240, answers, limit=240)
    assert "classifier: wrist 0.98" in next(one for one in found if one.position == 100).reasons


def test_consent_of_the_classifier_says_nothing(audited: Desk) -> None:
    consent = {position: (KINDS[position % 12 % 6], 0.99) for position in range(240)}
    assert _ranked(audited, consent) == _ranked(audited, {})


def _ranked(desk: Desk, answers: dict[int, tuple[str, float]]) -> list[int]:
    assert desk._neighbours_NK is not None
    found = suspects(desk.reading, desk.pool.features_ND, desk._neighbours_NK, [""] * 240, answers, limit=240)
    return [suspect.position for suspect in found]


def _scores(desk: Desk) -> dict[int, float]:
    return {item["position"]: item["score"] for item in desk.audit(240)["items"]}


def test_nothing_to_audit_before_two_labels(desk: Desk, decide: Decide) -> None:
    desk.find_neighbours()
    decide("name", clusters=[0], label="hand")
    assert desk.audit(10)["items"] == []


def test_neighbours_are_the_most_similar_others() -> None:
    generator = np.random.default_rng(3)
    features = generator.standard_normal((50, 8)).astype(np.float32)
    features /= np.linalg.norm(features, axis=1, keepdims=True)
    similarity = features @ features.T
    np.fill_diagonal(similarity, -2)
    assert (nearest_neighbours(features, 5) == similarity.argsort(1)[:, ::-1][:, :5]).all()
    assert nearest_neighbours(features[:3], 5).shape == (3, 2)
