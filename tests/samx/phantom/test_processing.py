from dataclasses import replace

import numpy as np
import pytest

from samx.phantom.processing import aperture_of, mark, present
from samx.phantom.sites import SITES

_PLAIN = replace(
    SITES["Northfield"],
    equalised=0.0,
    edge=0.0,
    sigmoid=0.0,
    blur=0.0,
    marker=0.0,
    dated=0.0,
    framed=0.0,
    border="black",
)


def _generator():
    return np.random.default_rng(4)


def test_less_signal_is_brighter():
    signal = np.tile(np.linspace(1.0, 0.1, 64, dtype=np.float32), (48, 1))
    pixels = present(_PLAIN, signal, np.ones_like(signal), _generator()).pixels
    assert (np.diff(pixels[20]) >= 0).all()
    assert (pixels[20, 0], pixels[20, -1]) == (0.0, 1.0)


@pytest.mark.parametrize(("border", "expected"), [("black", 0.0), ("white", 1.0)])
def test_beyond_the_blades_lies_the_border(border, expected):
    site = replace(_PLAIN, border=border)
    aperture = aperture_of(site, (80, 60), (0.7, 0.6), _generator())
    signal = np.random.default_rng(0).uniform(0.2, 0.9, (80, 60)).astype(np.float32)
    pixels = present(site, signal, aperture, _generator()).pixels
    assert pixels[0, 0] == pixels[-1, -1] == expected
    assert 0.3 < aperture.mean() < 0.55


@pytest.mark.parametrize("style", ["lead", "box", "text"])
def test_a_marker_is_burned_in(style):
    site = replace(_PLAIN, marker=1.0, marker_style=style)
    black = np.zeros((160, 120), np.float32)
    marked = mark(site, black, letter="L", caption="AP", date="", generator=_generator())
    assert marked.max() > 0.8
    assert 0.0005 < (marked > 0.5).mean() < 0.1


def test_without_a_marker_nothing_changes():
    pixels = np.random.default_rng(0).random((40, 30), dtype=np.float32)
    assert mark(_PLAIN, pixels, letter="L", caption="", date="", generator=_generator()) is pixels


def test_a_mark_leaves_the_rest_at_full_depth():
    pixels = np.random.default_rng(0).random((100, 100), dtype=np.float32)
    marked = mark(replace(_PLAIN, marker=1.0), pixels, letter="R", caption="", date="", generator=_generator())
    assert (marked == pixels).mean() > 0.9


def test_site_shares_sum_to_one_and_the_external_one_stands_apart():
    assert sum(site.share for site in SITES.values()) == pytest.approx(1.0)
    inside = [site for name, site in SITES.items() if name != "Westhaven"]
    assert all(site.bits_stored != SITES["Westhaven"].bits_stored for site in inside)
