import numpy as np
import pytest

from samx.phantom.projection import (
    CORTICAL_BONE,
    SOFT_TISSUE,
    SPONGY_BONE,
    Camera,
    Part,
    attenuation,
    blur,
    expose,
    noise_texture,
)
from samx.phantom.solids import Frame, cone, ellipsoid

_SHAPE = (81, 61)


def _camera(*, mirrored=False, turn=0.0):
    return Camera.looking(
        Frame.at(), (0, 0, 0), turn=turn, tilt=0, swing=0, roll=0, mirrored=mirrored, size=_SHAPE, spacing=1.0
    )


def _limb():
    flesh = Part("soft tissue", (cone((0, -200, 0), (0, 200, 0), 25.0),), SOFT_TISSUE)
    shaft = Part("shaft", (cone((0, -200, 0), (0, 200, 0), 10.0),), CORTICAL_BONE, SPONGY_BONE, 3.0)
    return [flesh, shaft]


def test_line_integrals_are_the_formula_of_a_hollow_shaft_in_soft_tissue():
    integral = attenuation(_limb(), _camera())
    for x in (0, 5, 8, 9, 15, 26):
        outer, inner = 2 * np.sqrt(max(100 - x * x, 0)), 2 * np.sqrt(max(49 - x * x, 0))
        flesh = 2 * np.sqrt(max(625 - x * x, 0))
        expected = SOFT_TISSUE * flesh + CORTICAL_BONE * (outer - inner) + SPONGY_BONE * inner
        assert integral[40, 30 + x] == pytest.approx(expected, abs=1e-3)


def test_cortex_is_denser_than_marrow_and_marrow_than_soft_tissue():
    integral = attenuation(_limb(), _camera())
    assert integral[40, 38] > integral[40, 30] > integral[40, 45] > integral[40, 60] == 0.0


def test_an_ellipsoid_attenuates_along_its_chord():
    part = Part("ball", (ellipsoid((0, 0, 0), (10, 20, 15)),), 0.1)
    assert attenuation([part], _camera())[40, 36] == pytest.approx(0.1 * 30 * np.sqrt(1 - 0.36), abs=1e-4)
    assert attenuation([part], _camera(turn=90))[40, 36] == pytest.approx(0.1 * 20 * np.sqrt(1 - 0.16), abs=1e-4)


def test_soft_tissues_that_overlap_count_once_and_apart_twice():
    first = Part("soft tissue", (ellipsoid((0, 0, 0), (10, 10, 10)),), SOFT_TISSUE)
    for depth, expected in ((0.0, 20.0), (10.0, 30.0), (100.0, 40.0)):
        second = Part("soft tissue", (ellipsoid((0, 0, depth), (10, 10, 10)),), SOFT_TISSUE)
        assert attenuation([first, second], _camera())[40, 30] == pytest.approx(SOFT_TISSUE * expected, abs=1e-4)


def test_pieces_of_one_part_do_not_count_twice():
    pieces = (cone((0, -20, 0), (0, 0, 0), 8.0), cone((0, 0, 0), (0, 20, 0), 8.0))
    assert attenuation([Part("chain", pieces, 0.1)], _camera())[40, 30] == pytest.approx(1.6, abs=1e-4)


def test_a_mirrored_camera_reflects_the_picture():
    parts = [Part("thumb", (cone((5, 0, 0), (20, 15, 3), 4.0, 2.0),), 0.1)]
    assert np.allclose(attenuation(parts, _camera(mirrored=True)), attenuation(parts, _camera())[:, ::-1], atol=1e-5)


def test_without_scatter_and_with_many_quanta_the_signal_is_beer_lambert():
    integral = attenuation(_limb(), _camera())
    signal = expose(
        integral,
        np.ones(_SHAPE, np.float32),
        photons=1e10,
        scatter=0.0,
        spacing=1.0,
        generator=np.random.default_rng(0),
    )
    assert np.allclose(signal, np.exp(-integral) + 2e-4, atol=1e-4)


def test_fewer_quanta_are_noisier():
    flat, open_field = np.zeros(_SHAPE, np.float32), np.ones(_SHAPE, np.float32)
    for photons in (100.0, 10_000.0):
        signal = expose(flat, open_field, photons=photons, scatter=0.0, spacing=1.0, generator=np.random.default_rng(0))
        assert signal.std() == pytest.approx(photons**-0.5, rel=0.1)


def test_blur_keeps_the_mean_of_a_constant_and_spreads_a_point():
    assert np.allclose(blur(np.full((20, 30), 0.7, np.float32), 4.0), 0.7, atol=1e-5)
    point = np.zeros((41, 41), np.float32)
    point[20, 20] = 1
    spread = blur(point, 3.0)
    assert spread.sum() == pytest.approx(1.0, abs=1e-4)
    assert spread.max() < 0.05


def test_texture_has_mean_zero_and_deviation_one():
    texture = noise_texture((50, 70), 6.0, np.random.default_rng(1))
    assert texture.shape == (50, 70)
    assert (float(texture.mean()), float(texture.std())) == pytest.approx((0.0, 1.0), abs=1e-3)
