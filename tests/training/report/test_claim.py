"""CLAIM 2024: every item is there and answered, or marked as open."""

from dataclasses import replace

from training.report.claim import ITEMS, NOT_ANSWERED, answers
from training.report.facts import EVALUATE, read_facts
from training.run import Run

OPEN = (2, 4, 13, 15, 18, 21, 34, 42, 43, 44)
"""What no run can know: the authors' reasons, registration, funding, readers' agreement."""


def test_there_are_44_items_in_order() -> None:
    assert [item.number for item in ITEMS] == list(range(1, 45))
    assert len({item.asks for item in ITEMS}) == 44


def test_a_whole_run_leaves_open_what_only_authors_know(reported: Run) -> None:
    found = answers(read_facts(reported))
    left = [item.number for item, answer in found if answer == NOT_ANSWERED]
    measured = {30, 36} if not reported.read_json(EVALUATE).get("robustness") else set()
    assert set(left) - measured == set(OPEN)
    assert all(answer.endswith(".") for _, answer in found if answer != NOT_ANSWERED)


def test_answers_hold_the_run_s_figures(reported: Run) -> None:
    found = {item.number: answer for item, answer in answers(read_facts(reported))}
    top_1 = reported.read_json(EVALUATE)["holdout_external"]["top_1"]
    assert f"top-1 {100 * top_1['value']:.1f} %" in found[33]
    assert "duplicate 1" in found[8]
    assert reported.config.architecture.backbone in found[22]


def test_what_was_not_measured_is_not_answered(reported: Run) -> None:
    facts = read_facts(reported)
    bare = replace(facts, documents={**facts.documents, EVALUATE: {"num_labelled": 0}}, predictions=[])
    found = {item.number: answer for item, answer in answers(bare)}
    assert {found[number] for number in (14, 17, 30, 32, 33, 36, 37, 38, 39)} == {NOT_ANSWERED}
