import numpy as np
import pytest

from samx.phantom.solids import MIRROR, Cone, Frame, box, cone, cylinder, ellipsoid, rotation

_ROW = np.zeros((1, 1), np.float32)


def _chord(solid, u, v):
    near, far = solid.interval(_ROW + np.float32(u), _ROW + np.float32(v))
    return max(float((far - near)[0, 0]), 0.0)


def _sampled_chord(solid: Cone, u, v):
    """The same by brute force: points along the ray that lie in any ball of the hull."""
    depths = np.linspace(-60, 60, 24001)
    points = np.stack([np.full_like(depths, u), np.full_like(depths, v), depths], axis=1)
    inside = np.zeros(len(depths), bool)
    for t in np.linspace(0, 1, 801):
        center = solid.start + t * (solid.end - solid.start)
        radius = solid.start_radius + t * (solid.end_radius - solid.start_radius)
        inside |= ((points - center) ** 2).sum(axis=1) <= radius**2
    return inside.sum() * (depths[1] - depths[0])


def test_a_ball_is_crossed_along_its_chord():
    assert _chord(cone((1, 2, 3), (1, 2, 3), 5.0), 1 + 3, 2) == pytest.approx(8.0, abs=1e-4)


def test_a_capsule_across_the_rays_is_as_thick_as_a_cylinder():
    assert _chord(cone((-20, 0, 0), (20, 0, 0), 6.0), 3.0, 4.0) == pytest.approx(2 * np.sqrt(36 - 16), abs=1e-4)


def test_a_capsule_along_the_rays_is_as_thick_as_it_is_long():
    assert _chord(cone((0, 0, -10), (0, 0, 10), 4.0), 0.0, 0.0) == pytest.approx(28.0, abs=1e-4)


@pytest.mark.parametrize(("u", "v"), [(0.0, 0.0), (5.0, 3.0), (-9.0, -6.0), (14.0, 8.0), (11.0, 2.5), (0.0, 30.0)])
def test_an_inclined_tapered_cone_agrees_with_brute_force(u, v):
    solid = cone((-10, -6, -12), (12, 7, 15), 5.0, 9.0)
    assert _chord(solid, u, v) == pytest.approx(_sampled_chord(solid, u, v), abs=0.05)


def test_an_ellipsoid_is_as_thick_as_its_axis():
    turned = ellipsoid((0, 0, 0), (3, 5, 7), ("y", 90))
    assert _chord(turned, 0.0, 0.0) == pytest.approx(6.0, abs=1e-4)
    assert _chord(turned, 7.01, 0.0) == 0.0


def test_an_upright_cylinder_ends_at_its_flat_ends():
    solid = cylinder((0, 0, 0), (6, 10, 4))
    assert _chord(solid, 0.0, 9.9) == pytest.approx(8.0, abs=1e-4)
    assert _chord(solid, 0.0, 10.1) == 0.0


def test_a_turned_box_is_as_thick_as_its_diagonal():
    assert _chord(box((0, 0, 0), (5, 5, 5), ("y", 45)), 0.0, 0.0) == pytest.approx(10 * np.sqrt(2), abs=1e-3)


def test_frames_compose_and_keep_lengths():
    outer, inner = Frame.at((1, 2, 3), ("z", 30)), Frame.at((4, 5, 6), ("x", 50))
    assert np.allclose(outer.then(inner).point((7, 8, 9)), outer.point(inner.point((7, 8, 9))))
    assert np.allclose(rotation("y", 33) @ rotation("y", 33).T, np.eye(3))


def test_the_mirror_changes_the_side():
    assert np.allclose(cone((3, 1, 2), (5, 1, 2), 1.0).moved(MIRROR).start, (-3, 1, 2))
