import numpy as np
import pytest

from samx.phantom.body import random_body
from samx.phantom.hardware import CASTED, IMPLANTED, add_cast, add_implant, break_bone
from samx.phantom.plan import protocols_for
from samx.phantom.projection import STEEL, TITANIUM
from samx.phantom.protocols import build


def _built(label):
    protocol = protocols_for(label)[0]
    return protocol, build(protocol, random_body(5, age=40), np.random.default_rng(1))


@pytest.mark.parametrize("label", IMPLANTED)
@pytest.mark.parametrize("seed", range(3))
def test_every_label_that_can_have_an_implant_gets_one_of_metal(label, seed):
    protocol, region = _built(label)
    before = len(region.parts)
    add_implant(region, label, protocol.frame, np.random.default_rng(seed))
    assert len(region.parts) == before + 1
    assert region.parts[-1].attenuation in (STEEL, TITANIUM)


@pytest.mark.parametrize("label", CASTED)
def test_a_cast_is_a_shell(label):
    _, region = _built(label)
    add_cast(region)
    assert region.parts[-1].name == "cast"
    assert region.parts[-1].cortex > 0


def test_a_fracture_moves_one_side_of_one_bone():
    _, region = _built("lower_leg")
    before = list(region.parts)
    break_bone(region, "lower_leg", np.random.default_rng(3))
    ((old, new),) = [pair for pair in zip(before, region.parts, strict=True) if pair[0] is not pair[1]]
    assert old.name == new.name
    assert old.name in ("tibia", "fibula")
    assert len(new.solids) > len(old.solids)


def test_what_has_no_shaft_does_not_break():
    _, region = _built("skull")
    before = list(region.parts)
    break_bone(region, "skull", np.random.default_rng(3))
    assert region.parts == before
