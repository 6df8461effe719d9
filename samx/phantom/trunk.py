"""Rib cage, pelvis and what lies in the trunk: origin midway between the hip joints, y up, z to the front."""

import numpy as np

from samx.phantom.body import Body, Region, bone, sheet
from samx.phantom.projection import GAS, SOFT_TISSUE, Part
from samx.phantom.solids import MIRROR, Frame, Solid, chain, cone, cylinder, ellipsoid, moved, plate
from samx.phantom.spine import spine_curve, vertebrae


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
    for way in (-1, 1):
        base = dome + (0 if way > 0 else 12)
        middle, half = (lung_top + base) / 2, (lung_top - base) / 2
        lung = [
            ellipsoid((way * 68, middle - 14, -8), (48, half + 6, 74)),
            ellipsoid((way * 74, base + 52, -10), (52, 78, 76)),
            ellipsoid((way * 52, middle + half * 0.45, -14), (40, half * 0.52, 52)),
        ]
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
    wing = plate([*crest, (44, 96, -66), (56, 66, -50), (76, 40, -30), (100, 32, 2), (112, 52, 34)], 9.0)
    brim = chain(
        [(44, 92, -60), (62, 66, -44), (76, 44, -18), (74, 20, 18), (54, 4, 46), (18, -6, 62)], [8, 9, 11, 11, 8, 8.5]
    )
    socket: list[Solid] = [
        *chain([(92, 30, 4), (78, 24, 14), (66, 4, 12), (66, -14, -4), (74, -26, -16)], [11, 10, 7, 8, 9]),
        cone((92, 30, 0), (112, 24, -6), 9, 5),
        cone((84, 24, -22), (98, 2, -28), 9, 6),
        cone((98, 2, -28), (84, -26, -26), 6, 9),
    ]
    ischium = chain([(84, -10, -26), (80, -36, -30), (72, -62, -22), (60, -76, -6)], [12, 12, 15, 12])
    lower = chain([(60, -76, -6), (36, -54, 34), (16, -30, 56)], [10, 6.5, 8])
    pubis = [ellipsoid((15, -16, 60), (11, 19, 8), ("z", -8))]
    hip_bone: list[Solid] = [
        ellipsoid((90, 46, -8), (21, 30, 11), ("z", -12)),
        ellipsoid((50, 94, -58), (12, 32, 14), ("z", 14)),
        *chain(crest, [6, 6.5, 6.5, 6.5, 7, 8]),
        *brim,
        *socket,
        *ischium,
        *lower,
        *pubis,
        cone((104, 34, 8), (114, 56, 32), 9, 7),
    ]
    aside = Frame.at(((wide - 1) * 60, 0, 0))
    for side, place in (("left", aside), ("right", MIRROR.then(aside))):
        region.parts.append(bone(f"{side} hip bone", moved(hip_bone, place), thin, dense=1.2))
        region.parts.append(sheet(f"{side} iliac wing", moved(wing, place)))
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
        ellipsoid((0, 60, -6), (170 * g, 130, 108 * g)),
        cylinder((0, 210, -8), (150 * g, 150, 100 * g * (0.6 + 0.4 * g))),
        ellipsoid((0, 380, -16), (158 * g, 200, 112 * g * bust)),
        cone((-90, 470, -26), (90, 470, -26), 84 * g, 84 * g),
        cone((-150, 512, -26), (150, 512, -26), 46 * g, 46 * g),
        cone((0, 500, -30), (0, 720, -22), 60 * g, 56 * (0.6 + 0.4 * g)),
    )
    region = Region([Part("soft tissue", solids, SOFT_TISSUE)])
    psoas = [
        chain([(s * 22, 300, -14), (s * 52, 160, -6), (s * 74, 70, 14), (s * 84, 0, 16)], [12, 24, 22, 16])
        for s in (-1, 1)
    ]
    region.parts += [Part("psoas", tuple(muscle), 0.1 * SOFT_TISSUE) for muscle in psoas]
    return region


def bowel_gas(generator: np.random.Generator, amount: float = 1.0) -> list[Part]:
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
        at = generator.uniform(-70, 70), generator.uniform(70, 220), 40.0
        loops.append(ellipsoid(at, generator.uniform(5, 13, 3), ("z", float(generator.uniform(0, 180)))))
    if generator.random() < 0.7:
        loops.append(ellipsoid((60, 305, 20), (34, 16, 22), ("z", 20)))
    return [Part("bowel gas", (loop,), 0.95 * GAS) for loop in loops]
