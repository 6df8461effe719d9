"""Every entity has a region, and what is made up has none."""

from samx.anatomy import ANATOMY, NOT_MUSCULOSKELETAL
from samx.body_region import REGION_OF_LABEL, body_region


def test_every_entity_and_nothing_else_has_a_region() -> None:
    assert set(REGION_OF_LABEL) == {*ANATOMY, NOT_MUSCULOSKELETAL}


def test_regions_by_hand() -> None:
    assert body_region("hand") == body_region("wrist") == body_region("clavicle") == "upper_limb"
    assert body_region("pelvis") == body_region("toe") == "lower_limb"
    assert body_region("sacrum") == body_region("ribs") == "spine_and_trunk"
    assert body_region("skull") == "head"
    assert body_region(NOT_MUSCULOSKELETAL) == "none"
    assert body_region("my own label") is None
