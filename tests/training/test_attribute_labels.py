"""View and laterality: whose word holds, and what is learned."""

import pytest
import torch

from training.attribute_labels import UNKNOWN_TARGET, attribute_targets, known_attributes, learned_values

TAGS = {"view_position": "LL", "laterality": "r"}


def test_the_reader_comes_before_the_file() -> None:
    said = {"view": "AP", "laterality": "L"}
    assert known_attributes(TAGS, "knee", said, ("view", "laterality")) == {"view": "AP", "laterality": "L"}


def test_the_file_speaks_where_it_is_trusted_and_the_reader_has_said_nothing() -> None:
    silent = {"view": "", "laterality": ""}
    assert known_attributes(TAGS, "knee", silent, ("view", "laterality")) == {"view": "LAT", "laterality": "R"}
    assert known_attributes(TAGS, "knee", None, ("laterality",)) == {"view": "", "laterality": "R"}
    assert known_attributes(TAGS, "knee", None, ()) == {"view": "", "laterality": ""}


def test_a_spine_has_no_side_and_what_is_discarded_no_view() -> None:
    trusted = ("view", "laterality")
    assert known_attributes(TAGS, "lumbar_spine", None, trusted) == {"view": "LAT", "laterality": ""}
    assert known_attributes(TAGS, "not_musculoskeletal", None, trusted) == {"view": "", "laterality": ""}
    assert known_attributes(TAGS, "ulna", None, trusted)["laterality"] == "R"  # a reader's own label


@pytest.mark.parametrize("side", ["U", "LEFT", "?", ""])
def test_other_words_for_a_side_are_none(side: str) -> None:
    assert known_attributes({"laterality": side}, "knee", None, ("laterality",))["laterality"] == ""


def test_rare_values_and_attributes_of_one_value_are_not_learned() -> None:
    rows = [{"view": "AP", "laterality": "L"}] * 5 + [{"view": "LAT", "laterality": ""}] * 4
    rows += [{"view": "Y", "laterality": "R"}]
    assert learned_values(rows, 4) == {"view": ["AP", "LAT"]}
    assert learned_values(rows, 1) == {"view": ["AP", "LAT", "Y"], "laterality": ["L", "R"]}
    assert learned_values([], 1) == {}


def test_targets_pass_over_what_is_unknown_or_not_learned() -> None:
    rows = [{"view": "LAT"}, {"view": ""}, {"view": "Y"}, {"view": "AP"}]
    (targets,) = attribute_targets(rows, {"view": ["AP", "LAT"]}).values()
    assert targets.num_values == 2
    assert torch.equal(targets.targets_N, torch.tensor([1, UNKNOWN_TARGET, UNKNOWN_TARGET, 0]))
