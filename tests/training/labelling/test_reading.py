"""What decisions make of the clusters: names, splits, corrections, undo and redo."""

import random

import numpy as np
import pytest
from pydantic import ValidationError

from training.labelling.decisions import Correct, Entry, Name, Split, Undo
from training.labelling.reading import NotAllowed, Reading

CLUSTERS = np.array([0, 0, 0, 1, 1, 2])


def entry(number: int, decision: object, reader: str = "AB") -> Entry:
    return Entry.model_validate({"number": number, "time": "", "reader": reader, "decision": decision})


def reading_of(*decisions: object) -> Reading:
    reading = Reading(CLUSTERS)
    for decision in decisions:
        made = entry(reading.number + 1, decision)
        reading.check(made.decision)
        reading.extend(made)
    return reading


def test_the_same_name_merges_and_a_later_one_replaces() -> None:
    reading = reading_of(Name(clusters=(0, 1), label="hand"), Name(clusters=(1,), label="wrist"))
    assert [reading.label_of(position) for position in range(6)] == ["hand"] * 3 + ["wrist"] * 2 + [None]
    assert reading.undecided == [2]


def test_split_retires_a_cluster_and_takes_its_name() -> None:
    reading = reading_of(Name(clusters=(0,), label="hand"), Split(cluster_id=0, members={3: (0, 2), 4: (1,)}))
    assert reading.cluster_N.tolist() == [3, 4, 3, 1, 1, 2]
    assert sorted(reading.undecided) == [1, 2, 3, 4]
    assert reading.next_cluster_id == 5
    with pytest.raises(NotAllowed, match="no cluster 0"):
        reading.check(Name(clusters=(0,), label="hand"))


def test_ids_of_an_undone_split_are_not_given_again() -> None:
    reading = reading_of(Split(cluster_id=0, members={3: (0, 2), 4: (1,)}), Undo(entry=1))
    assert reading.cluster_N.tolist() == CLUSTERS.tolist()
    assert reading.next_cluster_id == 5


def test_correction_beats_the_name_of_the_cluster_and_stays_through_a_split() -> None:
    reading = reading_of(
        Correct(radiographs=(1,), label="wrist"),
        Name(clusters=(0,), label="hand"),
        Split(cluster_id=0, members={3: (0, 2), 4: (1,)}),
        Name(clusters=(3, 4), label="foot"),
    )
    assert [reading.label_of(position) for position in range(3)] == ["foot", "wrist", "foot"]


def test_what_was_built_upon_cannot_be_undone() -> None:
    reading = reading_of(Split(cluster_id=0, members={3: (0, 2), 4: (1,)}), Name(clusters=(4,), label="hand"))
    with pytest.raises(NotAllowed, match="entry 2") as refusal:
        reading.check(Undo(entry=1))
    assert refusal.value.code == "cannot_undo"
    assert not reading.can_undo(1)
    reading.extend(entry(3, Undo(entry=2)))
    assert reading.can_undo(1)


def test_undo_goes_back_by_reader_and_redo_forward_again() -> None:
    reading = reading_of(Name(clusters=(0,), label="hand"), Name(clusters=(1,), label="foot"))
    reading.extend(entry(3, Name(clusters=(2,), label="knee"), reader="CD"))
    assert reading.last_of("AB") == 2
    reading.extend(entry(4, Undo(entry=2)))
    assert reading.last_of("AB") == 1
    assert reading.last_undone_by("AB") == 2
    reading.extend(entry(5, {"action": "redo", "entry": 2}))
    assert reading.label_of(3) == "foot"
    assert reading.last_of("AB") == 2
    with pytest.raises(NotAllowed, match="nothing to do again"):
        reading.last_undone_by("AB")


def test_a_new_decision_ends_what_could_be_done_again() -> None:
    reading = reading_of(Name(clusters=(0,), label="hand"), Undo(entry=1), Name(clusters=(1,), label="foot"))
    with pytest.raises(NotAllowed):
        reading.last_undone_by("AB")


@pytest.mark.parametrize("seed", range(20))
def test_undoing_everything_restores_the_beginning_and_redoing_it_the_end(seed: int) -> None:
    choose = random.Random(seed)
    reading = Reading(CLUSTERS)
    for _ in range(12):
        cluster_id = choose.choice(sorted(reading.members))
        members = reading.members[cluster_id].tolist()
        decision: object = Name(clusters=(cluster_id,), label=choose.choice(["hand", "foot"]))
        if len(members) > 1 and choose.random() < 0.3:
            first = reading.next_cluster_id
            decision = Split(cluster_id=cluster_id, members={first: tuple(members[:1]), first + 1: tuple(members[1:])})
        elif choose.random() < 0.3:
            decision = Correct(radiographs=(choose.randrange(6),), label="knee")
        reading.extend(entry(reading.number + 1, decision))
    end = (reading.cluster_N.tolist(), dict(reading.labels), dict(reading.corrections))
    for _ in range(12):
        reading.extend(entry(reading.number + 1, Undo(entry=reading.last_of("AB"))))
    assert (reading.cluster_N.tolist(), reading.labels, reading.corrections) == (CLUSTERS.tolist(), {}, {})
    for _ in range(12):
        reading.extend(entry(reading.number + 1, {"action": "redo", "entry": reading.last_undone_by("AB")}))
    assert (reading.cluster_N.tolist(), reading.labels, reading.corrections) == end
    again = Reading(CLUSTERS, list(reading.entries))
    assert (again.cluster_N.tolist(), again.labels, again.corrections) == end


@pytest.mark.parametrize(
    "decision",
    [
        pytest.param({"action": "name", "clusters": [], "label": "hand"}, id="no cluster"),
        pytest.param({"action": "name", "clusters": [1], "label": ""}, id="no label"),
        pytest.param({"action": "name", "clusters": [1], "label": "=cmd()"}, id="formula"),
        pytest.param({"action": "name", "clusters": [1], "label": "../hand"}, id="path"),
        pytest.param({"action": "name", "clusters": [1], "label": "hand", "laterality": "X"}, id="laterality"),
        pytest.param({"action": "name", "clusters": [1], "label": "hand", "note": "a\nb"}, id="line break"),
        pytest.param({"action": "rename", "clusters": [1]}, id="unknown action"),
        pytest.param({"action": "correct", "radiographs": ["a"], "label": "hand"}, id="no number"),
    ],
)
def test_what_is_no_decision_is_refused(decision: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        entry(1, decision)


def test_radiographs_and_clusters_that_are_not_there_are_refused() -> None:
    reading = reading_of()
    for decision in (Name(clusters=(7,), label="hand"), Correct(radiographs=(6,), label="hand"), Undo(entry=1)):
        with pytest.raises(NotAllowed):
            reading.check(decision)
