from dataclasses import replace

import numpy as np
import pytest

from samx.phantom.body import random_body
from samx.phantom.exposure import render
from samx.phantom.plan import plan_one, variants_of
from samx.phantom.protocols import SHARES
from samx.phantom.sites import SITES

_VIEWS = [(label, view) for label in SHARES for view in sorted({name for name, _ in variants_of(label)})]


@pytest.mark.parametrize(("label", "view"), _VIEWS)
def test_every_view_has_contrast(label, view):
    rendered = render(plan_one(label=label, view=view, seed=3, site="Northfield"), size=80)
    pixels = rendered.presentation.pixels
    assert max(pixels.shape) == 80
    assert np.isfinite(pixels).all()
    assert (float(pixels.min()), float(pixels.max())) == pytest.approx((0.0, 1.0), abs=0.2)
    assert pixels.std() > 0.05
    assert rendered.spacing > 0


@pytest.mark.parametrize("site", list(SITES))
def test_every_site_shows_the_bones_brighter_than_the_flesh(site):
    # The femur's shaft runs down the middle of the picture; the flesh lies beside it.
    plan = replace(plan_one(label="lower_leg", view="AP", seed=21, site=site), laterality="L")
    pixels = render(plan, size=160).presentation.pixels
    middle = pixels[60:100].mean(axis=0)
    assert middle.max() > np.median(middle) + 0.05


def test_a_right_hand_is_a_reflected_left_hand():
    plan = plan_one(label="hand", view="PA", seed=8, site="Southgate")
    left, right = (render(replace(plan, laterality=side), size=120).presentation.pixels for side in "LR")
    # Collimation, markers and noise are not reflected.
    assert np.corrcoef(left.ravel(), right[:, ::-1].ravel())[0, 1] > 0.8
    assert np.corrcoef(left.ravel(), right.ravel())[0, 1] < 0.6


def test_implants_and_casts_show():
    plan = plan_one(label="knee", view="AP", seed=4, site="Southgate")
    plain = render(plan, size=100).presentation.pixels
    for changed in (replace(plan, implant=True), replace(plan, cast=True)):
        other = render(changed, size=100).presentation.pixels
        assert np.abs(other - plain).mean() > 0.01


def test_rendering_repeats():
    plan = plan_one(label="elbow", view="LATERAL", seed=5, site="Westhaven")
    first, second = (render(plan, size=90).presentation.pixels for _ in range(2))
    assert np.array_equal(first, second)


def test_children_are_small_and_immature():
    child, adult = random_body(1, age=6), random_body(1, age=40)
    assert child.immature
    assert not adult.immature
    assert child.scale < 0.8 * adult.scale


def test_old_bones_have_thinner_cortex():
    assert random_body(2, age=88).cortex < random_body(2, age=30).cortex
