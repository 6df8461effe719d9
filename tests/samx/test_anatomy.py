"""The table of anatomical entities against the standard, and the reading of real tags."""

import pytest
from pydicom.sr.codedict import codes

from samx.anatomy import (
    ANATOMY,
    DISCARD,
    MIXED,
    NOT_MUSCULOSKELETAL,
    Anatomy,
    anatomy_of,
    has_sides,
    label_in_text,
    label_of_body_part,
    standard_view,
    tag_agrees,
)


@pytest.mark.parametrize("anatomy", ANATOMY.values(), ids=lambda anatomy: anatomy.label)
def test_code_is_in_cid_4031_with_this_meaning(anatomy: Anatomy) -> None:
    meanings = {code.value: (code.scheme_designator, code.meaning) for code in codes.CID4031.concepts.values()}
    assert meanings[anatomy.code.value] == (anatomy.code.scheme, anatomy.code.meaning)


@pytest.mark.parametrize("anatomy", ANATOMY.values(), ids=lambda anatomy: anatomy.label)
def test_defined_term_is_a_code_string_and_names_its_label(anatomy: Anatomy) -> None:
    assert len(anatomy.body_part_examined) <= 16  # VR CS, PS3.5 section 6.2
    assert anatomy.body_part_examined.isupper()
    assert label_of_body_part(anatomy.body_part_examined) == anatomy.label
    assert tag_agrees(anatomy.label, anatomy.body_part_examined) is True


def test_labels_are_unique_and_terms_and_codes_name_one_entity_each() -> None:
    assert len(ANATOMY) == 32
    for column in (
        [anatomy.label for anatomy in ANATOMY.values()],
        [anatomy.body_part_examined for anatomy in ANATOMY.values()],
        [anatomy.code.value for anatomy in ANATOMY.values()],
    ):
        assert len(set(column)) == 32
    assert all(label == anatomy.label for label, anatomy in ANATOMY.items())


def test_axial_entities_have_no_side() -> None:
    spine = {"cervical_spine", "thoracic_spine", "lumbar_spine", "thoracolumbar_spine", "whole_spine", "sacrum"}
    unpaired = {anatomy.label for anatomy in ANATOMY.values() if not anatomy.paired}
    assert unpaired == spine | {"pelvis", "skull", "sternum"}


@pytest.mark.parametrize(
    ("tag", "label"),
    [
        ("HAND", "hand"),
        (" Hand ", "hand"),
        ("hands", "hand"),
        ("L HAND", "hand"),
        ("HAND_RT", "hand"),
        ("Hand li.", "hand"),
        ("C SPINE", "cervical_spine"),
        ("C-Spine", "cervical_spine"),
        ("CERVICAL SPINE", "cervical_spine"),
        ("LSPINE", "lumbar_spine"),
        ("L-SPINE", "lumbar_spine"),
        ("L SPINE", "lumbar_spine"),
        ("LSSPINE", "lumbar_spine"),
        ("T_SPINE", "thoracic_spine"),
        ("TL SPINE", "thoracolumbar_spine"),
        ("SPINE", "whole_spine"),
        ("SACRUM", "sacrum"),
        ("THIGH", "femur"),
        ("LEG", "lower_leg"),
        ("TIB/FIB", "lower_leg"),
        ("UPPER ARM", "humerus"),
        ("RIBS", "ribs"),
        ("FEET", "foot"),
        ("HEAD", "skull"),
        ("Hüfte re", "hip"),
        ("Hu\u0308fte", "hip"),
        ("Fuß", "foot"),
        ("LWS", "lumbar_spine"),
        ("CHEST", NOT_MUSCULOSKELETAL),
        ("Abdomen", NOT_MUSCULOSKELETAL),
        ("EXTREMITY", None),
        ("", None),
        ("   ", None),
        ("L", None),
        ("***", None),
        ("HANDBAG", None),
        ("UNKNOWN", None),
    ],
)
def test_real_tags_are_read(tag: str, label: str | None) -> None:
    assert label_of_body_part(tag) == label


@pytest.mark.parametrize(
    ("label", "tag", "agrees"),
    [
        ("hand", "HAND", True),
        ("hand", "FOOT", False),
        ("hand", "CHEST", False),
        ("hand", "EXTREMITY", True),
        ("shoulder", "UPPER EXTREMITY", True),
        ("pelvis", "EXTREMITY", False),
        ("lumbar_spine", "SPINE", True),
        ("cervical_spine", "L-SPINE", False),
        ("long_leg", "LEG", True),
        ("lower_leg", "LEG", True),
        ("knee", "LEG", False),
        ("knee", "LOWERLIMB", True),
        (NOT_MUSCULOSKELETAL, "CHEST", True),
        (NOT_MUSCULOSKELETAL, "HAND", False),
        (NOT_MUSCULOSKELETAL, "EXTREMITY", False),
        ("hand", "", None),
        ("hand", "SOMETHING ELSE", None),
        (NOT_MUSCULOSKELETAL, "", None),
        (DISCARD, "HAND", None),
        (MIXED, "HAND", None),
        ("left hand of a child", "HAND", None),
    ],
)
def test_tag_agreement(label: str, tag: str, agrees: bool | None) -> None:
    assert tag_agrees(label, tag) is agrees


@pytest.mark.parametrize("label", [NOT_MUSCULOSKELETAL, DISCARD, MIXED, "chest", ""])
def test_other_labels_are_no_anatomy(label: str) -> None:
    assert anatomy_of(label) is None


@pytest.mark.parametrize(
    ("text", "label"),
    [
        ("Knie rechts a.p.", "knee"),
        ("L-SPINE LAT", "lumbar_spine"),
        ("HWS 2 Ebenen", "cervical_spine"),
        ("Upper Arm", "humerus"),
        ("OSG bds.", "ankle"),
        ("Thorax pa", NOT_MUSCULOSKELETAL),
        ("hand and wrist", None),
        ("2 Ebenen", None),
        ("", None),
    ],
)
def test_description_names_one_label_or_none(text: str, label: str | None) -> None:
    assert label_in_text(text) == label


def test_views_come_down_to_a_few_words() -> None:
    expected = {"AP": "AP", "ap": "AP", "LL": "LAT", "RL": "LAT", "Lateral": "LAT", "LLO": "OBL", "OBLIQUE": "OBL"}
    assert {view: standard_view(view) for view in expected} == expected
    assert standard_view("frog-leg ") == standard_view("FROG_LEG") == "FROG LEG"
    assert standard_view("") == ""


def test_sides_are_assumed_of_free_labels_only() -> None:
    assert has_sides("hand") and has_sides("ulna")
    assert not has_sides("lumbar_spine") and not has_sides(NOT_MUSCULOSKELETAL)
