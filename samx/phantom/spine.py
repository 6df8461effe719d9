"""The spine from the fifth lumbar vertebra to the atlas: origin midway between the hip joints, y up, z to the front."""

from collections.abc import Iterator

import numpy as np

from samx.phantom.body import Body, Region, bone, knob
from samx.phantom.projection import Part
from samx.phantom.solids import Frame, Solid, chain, cone, cylinder, ellipsoid

SACRAL_PLATE = 102.0
"""Height of the upper end plate of S1 in mm."""


def spine_curve(height: float) -> float:
    """Position of the vertebral bodies' middle from back (negative) to front in mm: lordosis, kyphosis, lordosis."""
    knots = [-60, 40, 102, 160, 230, 330, 430, 540, 610, 680, 720]
    depth = [-70, -72, -18, 4, -8, -38, -52, -42, -22, -14, -16]
    return float(np.interp(height, knots, depth)) if height <= 102 else float(_smooth(height, knots[2:], depth[2:]))


def _smooth(height: float, knots: list[int], depth: list[int]) -> float:
    heights = height + np.array([-30.0, -15.0, 0.0, 15.0, 30.0])
    return float(np.interp(heights, knots, depth).mean())


def vertebrae() -> Iterator[tuple[str, float, float, float, float, float]]:
    """Name, height of the body's middle, half width, half height, half depth and disc of L5 to C3, upwards."""
    bottom = SACRAL_PLATE + 9
    for number in range(5, 0, -1):
        half = 13.8 + 0.1 * (3 - abs(3 - number))
        yield f"L{number}", bottom + half, 24.5 + 0.9 * (number - 1) - 1, half, 17.0, 9.0
        bottom += 2 * half + 9
    for number in range(12, 0, -1):
        half = 8.4 + 0.35 * number
        yield f"T{number}", bottom + half, 13.5 + 0.72 * number, half, 10.0 + 0.5 * number, 4.6
        bottom += 2 * half + 4.6
    for number in range(7, 2, -1):
        yield f"C{number}", bottom + 6.6, 11.0 + 0.35 * number, 6.6, 8.2, 4.8
        bottom += 13.2 + 4.8


def spine(body: Body) -> Region:
    """Lumbar, thoracic and cervical vertebrae down to C3, with frames "L3", "T7" ..."""
    region = Region()
    for name, height, width, half, depth, _ in vertebrae():
        lean = (spine_curve(height + 12) - spine_curve(height - 12)) / 24
        wave = np.pi * (height - 110) / 420
        sway = body.scoliosis * float(np.sin(wave))
        tilt = float(np.degrees(np.arctan(body.scoliosis * np.pi / 420 * np.cos(wave))))
        frame = Frame.at(
            (sway, height, spine_curve(height)),
            ("z", -tilt),
            ("x", float(np.degrees(np.arctan(lean)))),
            ("y", 0.5 * sway),
        )
        region.frames[name] = frame
        region.parts += [
            part.moved(frame) for part in _vertebra(body, name, width, half * body.vary("vertebra" + name, 0.02), depth)
        ]
    region.frames |= _cranial_vertebrae(region, body)
    return region


def _vertebra(body: Body, name: str, width: float, half: float, depth: float) -> list[Part]:
    """A vertebra whose body's middle is the origin."""
    level, number = name[0], int(name[1:])
    thin = 0.8 * body.cortex
    wedge = 0.8 if body.age > 65 and body.vary(name, 0.05) < 0.93 else 1.0
    core: list[Solid] = [
        cylinder((0, 0, 0), (width * 0.9, half * wedge, depth * 0.93)),
        *[cylinder((0, s * (half * wedge - 1.6), 0), (width, 1.6, depth)) for s in (-1, 1)],
    ]
    if body.arthritis > 0.3:
        core += [knob((s * width, t * half * wedge, 2), 3.2 * body.arthritis) for s in (-1, 1) for t in (-1, 1)]
    parts = [bone(name + " body", core, thin, dense=1.0 if level != "C" else 1.3)]
    back = -depth
    if level == "L":
        arch: list[Solid] = [
            *[cone((s * 15, 5, back + 2), (s * 15, 4, back - 8), 6.5, 6) for s in (-1, 1)],
            *[
                cone((s * 16, 2, back - 8), (s * (36 + 3 * (3 - abs(3 - number))), 3, back - 10), 5, 3.5)
                for s in (-1, 1)
            ],
            *[cone((s * 14, 14, back - 12), (s * 16, -16, back - 16), 6.5, 6) for s in (-1, 1)],
            *[cone((s * 13, -2, back - 14), (0, -8, back - 24), 5, 5) for s in (-1, 1)],
            cone((0, -5, back - 26), (0, -10, back - 44), 5.5, 6.5),
            cone((0, -14, back - 28), (0, -15, back - 42), 4.5, 5),
        ]
    elif level == "T":
        arch = [
            *[cone((s * 0.62 * width, 4, back + 2), (s * 0.62 * width, 4, back - 8), 4.6, 4.6) for s in (-1, 1)],
            *[cone((s * 10, 3, back - 8), (s * (24 + 0.4 * (12 - number)), 7, back - 20), 4.5, 4.5) for s in (-1, 1)],
            *[cone((s * 8, 10, back - 10), (s * 8, -10, back - 13), 4.5, 4.5) for s in (-1, 1)],
            cone((0, 0, back - 14), (0, -26, back - 36), 5, 3.5),
        ]
    else:
        length = 22 + 14 * (number == 7) + 3 * (number == 6)
        arch = [
            *[ellipsoid((s * 19.5, 0, back - 2), (6, 8.5, 6.5), ("x", 30)) for s in (-1, 1)],
            *[cone((s * 10, 3, -2), (s * 19, 1, 0), 4, 4) for s in (-1, 1)],
            *[cone((s * 15, -1, back - 8), (0, -5, back - 18), 3.6, 3.6) for s in (-1, 1)],
            cone((0, -4, back - 18), (0, -9, back - 12 - length), 4, 4),
        ]
    return [*parts, bone(name + " arch", arch, thin * 1.1, dense=1.1)]


def _cranial_vertebrae(region: Region, body: Body) -> dict[str, Frame]:
    """Atlas and axis above C3, and the frame of the skull."""
    below = region.frames["C3"]
    frame = below.then(Frame.at((0, 19, 0)))
    axis: list[Solid] = [
        cylinder((0, 0, 0), (11, 8, 8)),
        cone((0, 8, 1), (0, 25, 2), 5.5, 4.5),
        ellipsoid((-15, 4, -2), (9, 7, 8)),
        ellipsoid((15, 4, -2), (9, 7, 8)),
        cone((-14, 0, -12), (0, -4, -26), 4, 4),
        cone((14, 0, -12), (0, -4, -26), 4, 4),
        cone((0, -4, -26), (0, -9, -40), 6, 6),
    ]
    atlas: list[Solid] = [
        ellipsoid((-18, 17, 0), (10, 7, 9), ("z", 20)),
        ellipsoid((18, 17, 0), (10, 7, 9), ("z", -20)),
        cone((-16, 18, 6), (16, 18, 6), 4, 4),
        *chain([(-18, 18, -6), (-14, 18, -26), (0, 18, -34), (14, 18, -26), (18, 18, -6)], 4),
        cone((-24, 17, -2), (-37, 16, -4), 5, 4),
        cone((24, 17, -2), (37, 16, -4), 5, 4),
    ]
    thin = 0.9 * body.cortex
    region.parts += [
        bone("axis", axis, thin, dense=1.3).moved(frame),
        bone("atlas", atlas, thin, dense=1.3).moved(frame),
    ]
    return {"C2": frame, "head": frame.then(Frame.at((0, 28, 4)))}
