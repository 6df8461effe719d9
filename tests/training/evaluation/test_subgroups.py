"""Rows of predictions.csv, and figures of their parts, by hand."""

import numpy as np

from samx.classifier import Prediction
from training.dataset import INDEX_COLUMNS
from training.evaluation.predictions import PREDICTION_COLUMNS, prediction_row
from training.evaluation.subgroups import subgroup_figures, tag_figures

KNEE = Prediction(("foot", "hand", "knee"), np.array([0.1, 0.2, 0.7], np.float32), 1.25, "accept")


def row(tag: str, label: str, **known: str) -> dict[str, object]:
    index_row = dict.fromkeys(INDEX_COLUMNS, "") | {"key": "a", "body_part_examined": tag} | known
    return prediction_row(index_row, label, KNEE)


def test_a_row_holds_answer_tag_and_what_is_known() -> None:
    found = row(
        "Knie rechts", "knee", patient="p", site="s", sex="F", age_group="40-49", implant="yes", view_position="AP"
    )
    assert set(found) | {"part"} == set(PREDICTION_COLUMNS)
    assert (found["answer"], found["second"], found["probability"]) == ("knee", "hand", "0.700000")
    assert (found["tag"], found["tag_agrees"], found["tag_is_right"]) == ("knee", "true", "true")
    assert (found["patient"], found["sex"], found["age_group"], found["view"]) == ("p", "F", "40-49", "AP")
    assert found["implant"] == "yes"


def test_a_region_has_no_label_of_its_own_and_agrees_with_what_lies_in_it() -> None:
    found = row("EXTREMITY", "skull")
    assert (found["tag"], found["tag_agrees"], found["tag_is_right"]) == ("", "true", "false")


def test_nothing_is_said_of_unknown_tags_and_labels() -> None:
    assert (row("", "knee")["tag_agrees"], row("", "knee")["tag_is_right"]) == ("", "")
    assert row("KNEE", "")["tag_is_right"] == row("KNEE", "my own label")["tag_is_right"] == ""


def test_an_index_of_before_has_no_sex() -> None:
    old = {name: "" for name in INDEX_COLUMNS if name not in ("sex", "age_group", "implant")}
    assert prediction_row(old, "", KNEE)["sex"] == prediction_row(old, "", KNEE)["implant"] == ""


def test_implants_are_a_subgroup_only_where_some_are_known() -> None:
    told = [
        row("", "knee", implant="yes"),
        row("", "hand", implant="yes"),
        row("", "knee", implant="no"),
        row("", "knee"),
    ]
    found = subgroup_figures(told)["implant"]
    assert {value: (figures["n"], figures["top_1"]["value"]) for value, figures in found.items()} == {
        "yes": (2, 0.5),
        "no": (1, 1.0),
        "(unknown)": (1, 1.0),
    }
    assert subgroup_figures([row("", "knee"), row("", "hand")])["implant"] == {}


def test_subgroups_and_tags_by_hand() -> None:
    rows = [
        row("KNEE", "knee", site="a", sex="F"),
        row("HAND", "knee", site="a", sex="M"),
        row("HAND", "hand", site="b"),
        row("KNEE", "hand", site="b"),
        row("", "foot", site="b"),
    ]
    found = subgroup_figures(rows)
    assert {value: figures["n"] for value, figures in found["site"].items()} == {"a": 2, "b": 3}
    assert found["site"]["a"]["top_1"]["value"] == 1.0  # type: ignore[index]
    assert found["site"]["b"]["top_1"]["value"] == 0.0  # type: ignore[index]
    assert {value: figures["n"] for value, figures in found["sex"].items()} == {"(unknown)": 3, "F": 1, "M": 1}
    assert {value: figures["n"] for value, figures in found["tag"].items()} == {"(unknown)": 1, "right": 2, "wrong": 2}
    tags = tag_figures(rows)
    assert tags["n_tagged"] == 4
    for name, expected in (("agrees", 2 / 4), ("tag_right", 2 / 4), ("answer_right_where_tag_wrong", 1 / 2)):
        assert tags[name]["value"] == expected  # type: ignore[index]
