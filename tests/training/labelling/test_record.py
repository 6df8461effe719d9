"""The log and the tables that follow from it: written safely, read by two, killed in between."""

import csv
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from samx.errors import WrongInput
from samx.storage import open_storage
from tests.training.labelling.conftest import Decide
from tests.training.labelling.made_run import make_run
from training.dataset import current_assignments
from training.labelling.decisions import Entry, Name
from training.labelling.desk import Conflict, Desk, Request
from training.labelling.pool import load_pool
from training.labelling.record import parse_log
from training.labels import num_undecided, parse_cluster_labels, parse_corrections

PROJECT = Path(__file__).parents[3]


def table(run: Path, name: str) -> list[dict[str, str]]:
    with (run / name).open(newline="") as file:
        return list(csv.DictReader(file))


def log_of(run: Path) -> list[Entry]:
    return parse_log((run / "audit_log.jsonl").read_bytes(), str(run))


def another_desk(run: Path) -> Desk:
    return Desk(load_pool(str(run)), (), with_neighbours=False)


def test_every_decision_is_in_the_log_and_in_the_table(made: Path, desk: Desk, decide: Decide) -> None:
    decide("name", clusters=[0, 6], label="hand", view="PA", note="both")
    decide("name", clusters=[0], label="wrist", by="CD")
    entries = log_of(made)
    assert [(entry.number, entry.reader, entry.before) for entry in entries] == [
        (1, "AB", {"0": "", "6": ""}),
        (2, "CD", {"0": "hand"}),
    ]
    assert entries[0].decision == Name(clusters=(0, 6), label="hand", view="PA", note="both")
    assert entries[0].time.endswith("Z")
    rows = {row["cluster_id"]: row for row in table(made, "cluster_labels.csv")}
    assert (rows["0"]["label"], rows["0"]["reader"]) == ("wrist", "CD")
    assert (rows["6"]["label"], rows["6"]["view"], rows["6"]["note"]) == ("hand", "PA", "both")


def test_splits_and_corrections_reach_the_tables_and_undo_takes_them_back(
    made: Path, desk: Desk, decide: Decide
) -> None:
    opened = decide("split", clusters=[3], parts=2)["opened"]
    decide("correct", radiographs=[5], label="skull")
    assert {row["cluster_id"] for row in table(made, "cluster_members.csv")} == {str(one) for one in opened}
    assert [(row["key"], row["label"]) for row in table(made, "corrections.csv")] == [("000005.png", "skull")]
    assigned = current_assignments(open_storage(made))
    assert {assigned[f"{position:06d}.png"] for position in range(3, 120, 12)} == set(opened)
    decide("undo")
    decide("undo")
    assert table(made, "cluster_members.csv") == []
    assert table(made, "corrections.csv") == []


def test_a_finished_reading_is_what_the_label_stage_asks_for(made: Path, desk: Desk, decide: Decide) -> None:
    opened = decide("split", clusters=[3], parts=2)["opened"]
    assigned = current_assignments(open_storage(made))
    assert num_undecided([], set(assigned.values())) == 13
    decide("name", clusters=desk.reading.undecided, label="hand")
    decide("name", clusters=[opened[0]], label="discard")
    rows = table(made, "cluster_labels.csv")
    assert num_undecided(rows, set(assigned.values())) == 0
    decisions = parse_cluster_labels(rows, set(assigned.values()), empty=range(12))
    assert {decision.class_label for decision in decisions} == {"hand", "not_musculoskeletal"}
    with pytest.raises(WrongInput, match="not named yet"):
        parse_cluster_labels(rows[1:], set(assigned.values()), empty=range(12))
    with pytest.raises(WrongInput, match=r"corrections.csv, line 2"):
        parse_corrections([{"key": "elsewhere.png", "label": "hand"}], assigned)


def test_reload_shows_what_was_decided(made: Path, desk: Desk, decide: Decide) -> None:
    decide("name", clusters=[0, 6], label="hand")
    decide("split", clusters=[3], parts=3)
    decide("undo")
    state, again = desk.state(), another_desk(made).state()
    assert again == state


def test_tables_that_a_killed_server_left_behind_are_made_again(made: Path, desk: Desk, decide: Decide) -> None:
    decide("name", clusters=[0], label="hand")
    before = (made / "cluster_labels.csv").read_bytes()
    decide("name", clusters=[1], label="wrist")
    after = (made / "cluster_labels.csv").read_bytes()
    (made / "cluster_labels.csv").write_bytes(before)  # killed between the log and the table
    another_desk(made)
    assert (made / "cluster_labels.csv").read_bytes() == after


def test_two_servers_on_one_run_lose_nothing_and_the_second_is_told(made: Path, desk: Desk, decide: Decide) -> None:
    other = another_desk(made)

    def decide_there(seen: int, clusters: list[int], label: str) -> Any:
        wish = {"action": "name", "clusters": clusters, "label": label}
        return other.decide(Request.model_validate({"reader": "CD", "seen": seen, "wish": wish}))

    decide("name", clusters=[0], label="hand")
    there = decide_there(0, [1], "wrist")  # of another cluster: both hold
    assert there["number"] == 2
    assert {row["id"]: row["label"] for row in there["clusters"]}[0] == "hand"
    with pytest.raises(Conflict, match="CD has decided meanwhile: wrist"):
        decide("name", seen=1, clusters=[1], label="foot")
    assert [entry.reader for entry in log_of(made)] == ["AB", "CD"]
    decide("name", seen=1, clusters=[1], label="foot", force=True)
    assert [row["label"] for row in table(made, "cluster_labels.csv")] == ["hand", "foot"]
    assert other.state()["number"] == 3


def test_table_written_by_hand_begins_the_log(made: Path) -> None:
    (made / "cluster_labels.csv").write_text(
        "cluster_id,label,view,laterality,note,reader,decided_at\n0,hand,PA,,,Dr X,2026-01-01\n1,,,,,,\n"
    )
    reading = another_desk(made).reading
    assert [(entry.source, entry.reader) for entry in reading.entries] == [("import", "Dr X")]
    assert reading.labels[0].label == "hand"
    assert len(reading.undecided) == 11


@pytest.mark.parametrize(
    ("text", "message"),
    [
        pytest.param("{}\n", "line 1", id="no entry"),
        pytest.param(
            '{"number": 2, "time": "", "reader": "AB", "decision": {"action": "round"}}\n', "number 2", id="gap"
        ),
        pytest.param("not json\n", "line 1", id="no JSON"),
    ],
)
def test_broken_log_is_refused_by_line(made: Path, text: str, message: str) -> None:
    (made / "audit_log.jsonl").write_text(text)
    with pytest.raises(WrongInput, match=message):
        another_desk(made)


_ENDLESS = """
import sys
from training.labelling.desk import Desk, Request
from training.labelling.pool import load_pool
desk = Desk(load_pool(sys.argv[1]), (), with_neighbours=False)
for number in range(100_000):
    wish = {"action": "name", "clusters": [number % 12], "label": f"label_{number}"}
    desk.decide(Request.model_validate({"reader": "AB", "seen": desk.reading.number, "wish": wish}))
    print(number + 1, flush=True)
"""


@pytest.mark.parametrize("wait_seconds", [0.0, 0.05, 0.21])
def test_killed_server_loses_at_most_the_decision_it_was_writing(tmp_path: Path, wait_seconds: float) -> None:
    make_run(tmp_path)
    run = tmp_path / "run"
    process = subprocess.Popen(
        [sys.executable, "-c", _ENDLESS, str(run)], cwd=PROJECT, stdout=subprocess.PIPE, text=True, bufsize=1
    )
    assert process.stdout is not None
    for _ in range(5):
        assert process.stdout.readline()
    time.sleep(wait_seconds)
    os.kill(process.pid, signal.SIGKILL)
    answered = 5 + len(process.stdout.read().split())
    process.wait(timeout=10)
    process.stdout.close()
    entries = log_of(run)
    assert [entry.number for entry in entries] == list(range(1, len(entries) + 1))
    assert len(entries) in (answered, answered + 1)  # what was answered is there, and at most one more
    reading = another_desk(run).reading
    expected = {number % 12: f"label_{number}" for number in range(len(entries))}
    assert {cluster_id: given.label for cluster_id, given in reading.labels.items()} == expected
    labels = {int(row["cluster_id"]): row["label"] for row in table(run, "cluster_labels.csv")}
    assert labels == expected


def test_log_holds_one_json_object_per_line(made: Path, desk: Desk, decide: Decide) -> None:
    decide("name", clusters=[0], label="hand", note='a "quoted" note, with a comma')
    lines = (made / "audit_log.jsonl").read_text().splitlines()
    assert json.loads(lines[0])["decision"]["note"] == 'a "quoted" note, with a comma'
