"""Spine, rib cage, pelvis and what lies in the trunk: origin midway between the hip joints, y up, z to the front."""

from collections.abc import Iterator

import numpy as np

from samx.phantom.body import Body, Region, bone, knob
from samx.phantom.projection import GAS, SOFT_TISSUE, Part
from samx.phantom.solids import MIRROR, Frame, Solid, chain, cone, cylinder, ellipsoid, moved, plate

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
            *[cone((s * 16, 2, back - 8), (s * (36 + 3 * (3 - abs(3 - number))), 3, back - 10), 5, 3.5) for s in (-1, 1)],
            *[cone((s * 14, 14, back - 12), (s * 16, -16, back - 16), 6.5, 6) for s in (-1, 1)],
            *[cone((s * 13, -2, back - 14), (0, -8, back - 24), 5, 5) for s in (-1, 1)],
            cone((0, -5, back - 26), (0, -10, back - 44), 5.5, 6.5), cone((0, -14, back - 28), (0, -15, back - 42), 4.5, 5),
        ]  # fmt: skip
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
        cylinder((0, 0, 0), (11, 8, 8)), cone((0, 8, 1), (0, 25, 2), 5.5, 4.5), ellipsoid((-15, 4, -2), (9, 7, 8)), ellipsoid((15, 4, -2), (9, 7, 8)),
        cone((-14, 0, -12), (0, -4, -26), 4, 4), cone((14, 0, -12), (0, -4, -26), 4, 4), cone((0, -4, -26), (0, -9, -40), 6, 6),
    ]  # fmt: skip
    atlas: list[Solid] = [
        ellipsoid((-18, 17, 0), (10, 7, 9), ("z", 20)), ellipsoid((18, 17, 0), (10, 7, 9), ("z", -20)), cone((-16, 18, 6), (16, 18, 6), 4, 4),
        *chain([(-18, 18, -6), (-14, 18, -26), (0, 18, -34), (14, 18, -26), (18, 18, -6)], 4), cone((-24, 17, -2), (-37, 16, -4), 5, 4),
        cone((24, 17, -2), (37, 16, -4), 5, 4),
    ]  # fmt: skip
    thin = 0.9 * body.cortex
    region.parts += [
        bone("axis", axis, thin, dense=1.3).moved(frame),
        bone("atlas", atlas, thin, dense=1.3).moved(frame),
    ]
    return {"C2": frame, "head": frame.then(Frame.at((0, 28, 4)))}


def rib_cage(body: Body) -> Region:
    """Twelve pairs of ribs, the breastbone and the lungs."""
    region = Region()
    heights = {name: height for name, height, *_ in vertebrae()}
    for number in range(1, 13):
        height = heights[f"T{number}"]
        wide = (62, 90, 106, 117, 124, 129, 132, 133, 131, 126, 118, 104)[number - 1]
        front = (52, 62, 74, 84, 92, 98, 102, 104, 100, 88, 62, 34)[number - 1]
        drop = (28, 38, 46, 54, 62, 68, 74, 78, 80, 76, 60, 46)[number - 1]
        share = 1.0 if number < 8 else (0.92, 0.84, 0.76, 0.55, 0.42)[number - 8]
        start = spine_curve(height) - 22
        steps = (
            np.linspace(-0.62, 1.05, 9) * share - 0.62 * (1 - share) * 0
            if number < 11
            else np.linspace(-0.62, share - 0.3, 7)
        )
        points = []
        for step in steps:
            x = 14 + (wide - 14) * np.cos(step * np.pi / 2) ** 0.8 if abs(step) < 1 else 14
            z = (
                start * 0.35
                - 12
                + (front * np.sin(step * np.pi / 2) if step > 0 else -start * 0 + 78 * np.sin(step * np.pi / 2) * 0.95)
            )
            fall = (step + 0.62) / 1.67
            points.append((x, height + 6 - drop * (1.25 * fall - 0.2 * np.sin(np.pi * fall)), z))
        points = [(22, height + 4, start), *points[0:]]
        ribs = chain(points, [4.5] + [4.8 * body.vary("ribs", 0.05)] * (len(points) - 1))
        for side, solids in (("left", ribs), ("right", moved(ribs, MIRROR))):
            region.parts.append(bone(f"{side} rib {number}", solids, 1.1 * body.cortex))
    top = heights["T3"]
    sternum = [
        *plate([(-26, top, 50), (26, top, 50), (18, top - 48, 68), (-18, top - 48, 68)], 11),
        *plate([(-13, top - 50, 68), (13, top - 50, 68), (17, top - 130, 84), (-17, top - 130, 84)], 10),
    ]
    region.parts.append(bone("sternum", sternum, 1.0 * body.cortex))
    lung_top, dome = heights["T1"] - 8, heights["T10"] - 8
    for side in (-1, 1):
        base = dome + (0 if side > 0 else 12)
        middle, half = (lung_top + base) / 2, (lung_top - base) / 2
        lung = [
            ellipsoid((side * 68, middle - 14, -8), (48, half + 6, 74)), ellipsoid((side * 74, base + 52, -10), (52, 78, 76)),
            ellipsoid((side * 52, middle + half * 0.45, -14), (40, half * 0.52, 52)),
        ]  # fmt: skip
        region.parts.append(Part("lung", tuple(lung), 0.72 * GAS))
    region.parts.append(Part("windpipe", (cone((0, heights["C6"], -2), (0, heights["T4"], -22), 8, 8),), 0.9 * GAS))
    heart = (
        ellipsoid((22, dome + 62, 24), (62, 50, 48), ("z", -38)),
        ellipsoid((6, dome + 100, 6), (34, 60, 30)),
        ellipsoid((-10, dome + 64, 18), (42, 48, 38)),
    )
    region.parts.append(Part("heart", heart, 0.75 * SOFT_TISSUE))
    region.parts.append(
        Part(
            "diaphragm",
            (ellipsoid((-68, dome - 18, 0), (62, 40, 76)), ellipsoid((66, dome - 28, 0), (58, 38, 74))),
            0.55 * SOFT_TISSUE,
        )
    )
    return region


def pelvis(body: Body) -> Region:
    """Hip bones, sacrum and coccyx; the hip joints at (+-90, 0, 0)."""
    region = Region()
    wide = 1.06 if body.female else 1.0
    thin = 1.6 * body.cortex
    crest = [(126, 84, 50), (138, 112, 30), (136, 136, 0), (112, 152, -32), (72, 146, -62), (48, 124, -78)]
    wing = plate([*crest, (44, 96, -66), (56, 66, -50), (76, 40, -30), (100, 32, 2), (112, 52, 34)], 5.0)
    brim = chain(
        [(44, 92, -60), (62, 66, -44), (76, 44, -18), (74, 20, 18), (54, 4, 46), (18, -6, 62)], [8, 9, 11, 11, 8, 8.5]
    )
    socket: list[Solid] = [
        *chain([(92, 30, 4), (78, 24, 14), (66, 4, 12), (66, -14, -4), (74, -26, -16)], [11, 10, 7, 8, 9]),
        cone((92, 30, 0), (112, 24, -6), 9, 5), cone((84, 24, -22), (98, 2, -28), 9, 6), cone((98, 2, -28), (84, -26, -26), 6, 9),
    ]  # fmt: skip
    ischium = chain([(84, -10, -26), (80, -36, -30), (72, -62, -22), (60, -76, -6)], [12, 12, 15, 12])
    lower = chain([(60, -76, -6), (36, -54, 34), (16, -30, 56)], [10, 6.5, 8])
    pubis = [ellipsoid((15, -16, 60), (11, 19, 8), ("z", -8))]
    hip_bone: list[Solid] = [
        *wing,
        *chain(crest, [6, 6.5, 6.5, 6.5, 7, 8]),
        *brim,
        *socket,
        *ischium,
        *lower,
        *pubis,
        cone((104, 34, 8), (114, 56, 32), 9, 7),
    ]
    stretch = Frame(np.diag([wide, 1.0, 1.0]), np.zeros(3))
    left = [solid.moved(Frame.at(((wide - 1) * 60, 0, 0))) for solid in hip_bone]
    del stretch
    for name, solids in (("left", left), ("right", moved(left, MIRROR))):
        region.parts.append(bone(f"{name} hip bone", solids, thin, dense=1.2))
    sacrum: list[Solid] = []
    for row, (y, z, half_width) in enumerate(
        ((92, -22, 50), (68, -42, 44), (46, -58, 36), (26, -68, 29), (8, -72, 22))
    ):
        sacrum += [cylinder((0, y, z), (25 - 3.5 * row, 9.5, 13 - 1.6 * row), ("x", -38 + 9 * row))]
        sacrum += [
            cone((s * (20 - 2 * row), y + 3, z - 4), (s * (half_width - 8), y + 2, z - 12), 8.5, 9.5 - row)
            for s in (-1, 1)
        ]
        sacrum += [cone((0, y, z - 14), (0, y - 6, z - 24 + 2 * row), 5, 4)]
    region.parts.append(bone("sacrum", sacrum, 0.9 * body.cortex, dense=1.0))
    region.parts.append(
        bone(
            "coccyx",
            [ellipsoid((0, y, z), (9 - 2 * i, 6, 5)) for i, (y, z) in enumerate(((-12, -68), (-24, -61), (-34, -52)))],
            0.7,
        )
    )
    region.frames |= {"pelvis": Frame.at(), "sacrum": Frame.at((0, 48, -55))}
    return region


def torso(body: Body) -> Region:
    """Skin and muscle of abdomen, chest and neck, without limbs."""
    g = body.girth
    bust = 1.0 + 0.1 * body.female
    solids = (
        ellipsoid((0, 60, -6), (170 * g, 130, 108 * g)), cylinder((0, 210, -8), (150 * g, 150, 100 * g * (0.6 + 0.4 * g))), ellipsoid((0, 380, -16), (158 * g, 200, 112 * g * bust)),
        cone((-90, 470, -26), (90, 470, -26), 84 * g, 84 * g), cone((-150, 512, -26), (150, 512, -26), 46 * g, 46 * g), cone((0, 500, -30), (0, 720, -22), 60 * g, 56 * (0.6 + 0.4 * g)),
    )  # fmt: skip
    region = Region([Part("soft tissue", solids, SOFT_TISSUE)])
    psoas = [
        chain([(s * 22, 300, -14), (s * 52, 160, -6), (s * 74, 70, 14), (s * 84, 0, 16)], [12, 24, 22, 16])
        for s in (-1, 1)
    ]
    region.parts += [Part("psoas", tuple(muscle), 0.1 * SOFT_TISSUE) for muscle in psoas]
    return region


def bowel_gas(body: Body, generator: np.random.Generator, amount: float = 1.0) -> list[Part]:
    """Gas in stomach, colon and small bowel, different in every exposure."""
    loops: list[Solid] = []
    frame = [
        (-110, 120, 30),
        (-112, 190, 20),
        (-95, 255, 20),
        (-30, 236, 60),
        (40, 240, 60),
        (100, 275, 10),
        (112, 190, 10),
        (108, 110, 20),
        (60, 70, 30),
        (10, 50, 10),
    ]
    for x, y, z in frame:
        if generator.random() < 0.75 * amount:
            for _ in range(int(generator.integers(1, 4))):
                dx, dy = generator.normal(0, 14, 2)
                loops.append(
                    ellipsoid((x + dx, y + dy, z), generator.uniform(8, 21, 3), ("z", float(generator.uniform(0, 180))))
                )
    for _ in range(int(8 * amount)):
        x, y = generator.uniform(-70, 70), generator.uniform(70, 220)
        loops.append(ellipsoid((x, y, 40), generator.uniform(5, 13, 3), ("z", float(generator.uniform(0, 180)))))
    if generator.random() < 0.7:
        loops.append(ellipsoid((60, 305, 20), (34, 16, 22), ("z", 20)))
    return [Part("bowel gas", (loop,), 0.95 * GAS) for loop in loops]
