"""The left upper limb: shoulder girdle, arm, forearm and hand, posed joint by joint."""

from collections.abc import Mapping, Sequence

import numpy as np

from samx.phantom.body import Body, Region, bone, disc, knob, pebble, shaft, sheet
from samx.phantom.projection import SOFT_TISSUE, Part
from samx.phantom.solids import Frame, Solid, chain, cone, ellipsoid, moved, plate, vector

# Rays 2 to 5 (index to little finger): base and head of the metacarpal in hand coordinates, fan angle, phalanx lengths.
_RAYS: Mapping[
    int, tuple[tuple[float, float, float], tuple[float, float, float], float, tuple[float, float, float]]
] = {
    2: ((11, 34, 1), (19, 99, 1), -5, (41, 24, 18)),
    3: ((2, 35, 2), (1, 100, 2), 1, (45, 28, 19)),
    4: ((-6, 34, 1), (-16, 92, 1), 7, (42, 26, 19)),
    5: ((-13, 31, -1), (-31, 83, -2), 14, (33, 19, 17)),
}
_CARPALS: Mapping[str, tuple[tuple[float, float, float], tuple[float, float, float], float]] = {
    "scaphoid": ((12.5, 11, 0), (6, 11, 6.5), -35),
    "lunate": ((1, 8.5, 0), (7.5, 6.5, 8), 0),
    "triquetrum": ((-10.5, 13, 0), (6, 6.5, 6.5), 25),
    "pisiform": ((-13, 12, -9), (4.5, 5.5, 4.5), 0),
    "trapezium": ((20, 23, -3), (7, 7.5, 7), -30),
    "trapezoid": ((11.5, 26, 1), (5.5, 6, 6.5), 0),
    "capitate": ((1.5, 23, 1), (6.5, 10.5, 8), 0),
    "hamate": ((-9, 24.5, 0), (6.5, 8.5, 8), 20),
}


def hand(body: Body, *, spread: float = 0.0, flexion: Mapping[int, float] | float = 8.0, thumb: float = 38.0) -> Region:
    """The hand: origin on the radius' joint surface, y to the fingers, x to the thumb, z to the back of the hand.

    Args:
        body: Whose hand it is.
        spread: Extra degrees between neighbouring fingers.
        flexion: Degrees at each finger joint, one value or one per ray 1 (thumb) to 5.
        thumb: Degrees between thumb and middle finger.
    """
    region = Region()
    girth = 0.5 + 0.5 * body.girth
    soft: list[Solid] = []
    for name, (center, axes, turn) in _CARPALS.items():
        region.parts.append(pebble(body, name, center, [1.07 * axis for axis in axes], ("z", turn)))
    region.frames["hand"] = Frame.at()
    for ray, (base, head, fan, lengths) in _RAYS.items():
        bend = flexion if isinstance(flexion, int | float) else flexion.get(ray, 8.0)
        region.parts.append(
            shaft(
                body,
                f"metacarpal{ray}",
                base,
                head,
                [(0, 6.6), (0.2, 4.8), (0.5, 3.9), (0.8, 5.0), (1, 7.2)],
                cortex=1.5,
                plates="end",
            )
        )
        region.shafts[f"metacarpal{ray}"] = (vector(base), vector(head), 4.0)
        soft.append(cone((base[0] * 1.1, base[1] - 4, -4), (head[0], head[1] + 6, -2), 13.5 * girth, 11.5 * girth))
        frame = Frame.at((head[0], head[1] + 1.2, head[2]), ("z", fan + spread * (ray - 3.2)), ("x", -0.6 * bend))
        region.frames[f"finger{ray}"] = frame
        _phalanges(region, soft, body, ray=ray, frame=frame, lengths=lengths, bend=bend, width=1.0 if ray < 5 else 0.88)
    bend = flexion if isinstance(flexion, int | float) else flexion.get(1, 8.0)
    frame = Frame.at((25, 29, -8), ("z", -thumb), ("x", -14), ("y", 55))
    region.frames["thumb"] = frame
    metacarpal = shaft(
        body,
        "metacarpal1",
        (0, 0, 0),
        (0, 45, 0),
        [(0, 7.5), (0.25, 5.4), (0.5, 4.8), (0.8, 5.6), (1, 7.6)],
        cortex=1.6,
        plates="start",
    )
    region.parts.append(metacarpal.moved(frame))
    region.frames["finger1"] = frame.then(Frame.at((0, 46, 0), ("x", -bend), ("z", 12)))
    _phalanges(region, soft, body, ray=1, frame=region.frames["finger1"], lengths=(31, 0, 23), bend=bend, width=1.15)
    soft.append(cone((14, 14, -8), frame.point((0, 44, 0)), 17 * girth, 11 * girth))
    soft.append(cone((16, 34, -5), frame.point((0, 30, -3)), 12 * girth, 12 * girth))
    soft.append(cone((-14, 12, -6), (-24, 66, -6), 13 * girth, 11 * girth))
    region.parts.append(Part("soft tissue", tuple(soft), SOFT_TISSUE))
    return region


def _phalanges(
    region: Region,
    soft: list[Solid],
    body: Body,
    ray: int,
    frame: Frame,
    lengths: Sequence[float],
    bend: float,
    width: float,
) -> None:
    """Adds proximal, middle and distal phalanx of a ray that starts in `frame`."""
    girth = 0.5 + 0.5 * body.girth
    for level, (length, cortex) in enumerate(zip(lengths, (1.4, 1.2, 0.8), strict=True)):
        if length == 0:
            continue
        stretch = length * body.vary(f"phalanx {level}", 0.03)
        if level < 2:
            big = width * (1.0 if level == 0 else 0.86)
            profile = [(0.0, 6.9 * big), (0.22, 4.6 * big), (0.55, 3.7 * big), (0.85, 4.2 * big), (1.0, 5.2 * big)]
        else:
            profile = [(0.0, 5.4 * width), (0.3, 2.9 * width), (0.7, 2.1 * width), (1.0, 3.4 * width)]
        part = shaft(body, f"phalanx{ray}{level}", (0, 1.0, 0), (0, stretch, 0), profile, cortex=cortex, plates="start")
        region.parts.append(part.moved(frame))
        thick = (10.3 if level == 0 else 8.8 if level == 1 else 7.6) * width * girth
        soft.append(
            cone(
                frame.point((0, -6 if level == 0 else 0, -2)),
                frame.point((0, stretch + (3 if level == 2 else 0), -1)),
                thick,
                thick * 0.92,
            )
        )
        region.frames[f"phalanx{ray}{level}"] = frame
        frame = frame.then(Frame.at((0, stretch + 1.2, 0), ("x", -bend)))


def forearm(body: Body, **pose: float) -> Region:
    """Radius, ulna and hand: origin at the elbow joint, y up, the wrist at (0, -248, 0), the radius lateral."""
    region = Region()
    wrist = Frame.at((0, -248, 0), ("x", 180), ("z", pose.pop("deviation", 0.0)), ("x", pose.pop("extension", 0.0)))
    region.place(hand(body, **pose), wrist)
    cortex = 2.6
    radius = shaft(
        body,
        "radius",
        (13, -7, 0),
        (6, -248, 0),
        [(0, 10.5), (0.05, 9), (0.1, 6.8), (0.18, 8.4), (0.28, 7), (0.6, 6.8), (0.85, 8), (0.93, 10.5), (1, 10)],
        cortex=cortex,
        bow=(5, 0, 0),
    )
    flare = [
        cone((8, -200, 0), (0, -238, 0), 7, 8.5),
        cone((9, -200, 0), (13, -236, 0), 7, 9),
        cone((15, -236, 0), (19, -246, 0), 6, 3.5),
    ]
    region.parts.append(bone("radius", [*radius.solids, *([] if body.immature else flare)], cortex * body.cortex))
    ulna = shaft(
        body,
        "ulna",
        (-6, 6, -4),
        (-17, -241, 1),
        [(0, 9), (0.12, 9.5), (0.25, 7), (0.6, 6.2), (0.9, 5), (1, 7.4)],
        cortex=2.4,
        plates="end",
    )
    olecranon = [
        *chain([(-6, 14, -15), (-6, 0, -15), (-7, -25, -6)], [9.5, 9, 8.5]),
        cone((-6, -18, -4), (-6, -15, 9), 8, 5),
    ]
    styloid = cone((-21, -241, -2), (-22, -247, -3), 3, 2)
    region.parts.append(bone("ulna", [*ulna.solids, *olecranon, styloid], 2.4 * body.cortex))
    g = body.girth
    region.parts.append(
        Part(
            "soft tissue",
            (
                cone((10, 20, 0), (9, -90, 2), 36 * g, 37 * g),
                cone((-12, 20, 0), (-12, -90, 2), 35 * g, 35 * g),
                cone((9, -90, 2), (11, -235, 0), 37 * g, 21 * (0.5 + 0.5 * g)),
                cone((-12, -90, 2), (-12, -235, 0), 35 * g, 20 * (0.5 + 0.5 * g)),
                cone((10, -235, 0), (9, -262, 0), 20 * (0.5 + 0.5 * g), 19 * (0.5 + 0.5 * g)),
                cone((-11, -235, 0), (-9, -262, 0), 19 * (0.5 + 0.5 * g), 18 * (0.5 + 0.5 * g)),
            ),
            SOFT_TISSUE,
        )
    )
    region.shafts["radius"] = (vector((14, -30, 0)), vector((9, -225, 0)), 7.0)
    region.shafts["ulna"] = (vector((-8, -20, -5)), vector((-17, -225, 0)), 6.5)
    region.frames["forearm"] = Frame.at()
    return region


def arm(body: Body, *, elbow: float = 0.0, **pose: float) -> Region:
    """The whole free limb: origin in the head of the humerus, y up, x lateral; `elbow` is its flexion in degrees."""
    region = Region()
    joint = Frame.at((4, -305, 0), ("z", 9.0 * (1 - elbow / 120)), ("x", -elbow))
    region.place(forearm(body, **pose), joint)
    long = shaft(
        body,
        "humerus",
        (6, 14, 0),
        (4, -297, 0),
        [(0, 16), (0.1, 18), (0.2, 14), (0.32, 11.5), (0.6, 10.8), (0.82, 11.5), (0.92, 12), (1, 9)],
        cortex=3.6,
        plates="start",
    )
    solids = [
        *long.solids,
        knob((-3, 2, -2), 23.5),
        ellipsoid((17, 4, 2), (9, 13, 12)),
        cone((0, -245, 0), (-24, -284, -2), 8.5, 6.5),
        cone((8, -245, 0), (22, -284, 0), 8.5, 6.5),
        ellipsoid((0, -270, 0), (21, 32, 7.5)),
        cone((-30, -284, -4), (-16, -290, 0), 6, 9),
        cone((25, -284, -2), (16, -292, 2), 6, 9),
        ellipsoid((13, -296, 4), (9, 9.5, 10.5)),
        cone((-16, -296, 0), (-1, -295, 1), 11, 9),
    ]
    region.parts.append(bone("humerus", solids, 3.2 * body.cortex))
    g = body.girth
    soft = [
        cone((16, -5, 0), (8, -90, 0), 46 * g, 46 * g),
        cone((8, -90, 0), (5, -200, 2), 46 * g, 42 * g),
        cone((5, -200, 2), (3, -300, 0), 42 * g, 38 * g),
        cone((-14, -280, 0), (14, -280, 0), 34 * g, 34 * g),
    ]
    region.parts.append(Part("soft tissue", tuple(soft), SOFT_TISSUE))
    region.frames |= {"arm": Frame.at(), "elbow": Frame.at((2, -300, 0))}
    region.shafts["humerus"] = (vector((8, -30, 0)), vector((4, -260, 0)), 11.0)
    return region


def shoulder_girdle(body: Body, *, elevation: float = 0.0) -> Region:
    """Scapula and clavicle: origin in the humeral head, x lateral, y up, z to the front.

    `elevation` is how far the arm is raised, in degrees: the scapula follows by a third.
    """
    thin = 1.2 * body.cortex
    glenoid = (-25, -2, -3)
    angle, top, tip = (-62, -128, -48), (-98, 26, -52), (16, 34, -12)
    root = (-104, -8, -58)
    blade = plate(
        [(-32, -22, -8), (-48, -70, -24), angle, (-74, -118, -54), root, top, (-60, 34, -34), (-38, 26, -12)], 6.0
    )
    scapula = [
        disc(vector(glenoid), vector((0, 0, 0)), 18, 5, depth=13),
        ellipsoid((-33, 0, -7), (9, 17, 9)),
        *chain([(-34, -20, -8), (-48, -70, -24), angle], [7, 5, 4.5]),
        *chain([angle, (-74, -118, -54), root, top, (-60, 33, -34)], [4, 3, 3, 3, 2.6]),
        *chain([root, (-60, 22, -62), (-14, 36, -50), tip], [3.5, 5, 6.5, 8]),
        *chain([(-34, 16, -6), (-32, 30, 10), (-20, 22, 28)], [7, 6, 5.5]),
    ]
    region = Region()
    turn = Frame.at((-20, 0, -10), ("z", elevation / 3)).then(Frame.at((20, 0, 10)))
    region.parts.append(bone("scapula", moved(scapula, turn), thin))
    region.parts.append(sheet("scapular blade", moved(blade, turn)))
    curve = [(-148, 2, 45), (-125, 10, 56), (-95, 19, 50), (-62, 30, 22), (-30, 39, -6), (0, 40, -14)]
    clavicle = chain(curve, [11, 7.5, 6, 5.5, 6, 8.5 * (1 + 0.1 * body.arthritis)])
    region.parts.append(bone("clavicle", clavicle, 1.9 * body.cortex))
    region.frames |= {
        "shoulder": Frame.at(),
        "scapula": Frame.at((-62, -42, -35), ("y", -35)),
        "clavicle": Frame.at((-72, 22, 20)),
    }
    region.shafts["clavicle"] = (vector(curve[1]), vector(curve[4]), 6.0)
    return region


def reach(frame: Frame, *, abduction: float = 0.0, flexion: float = 0.0, rotation_out: float = 0.0) -> Frame:
    """The arm's frame at a shoulder after abduction, forward flexion and outward rotation in degrees."""
    return frame.then(Frame.at(np.zeros(3), ("z", abduction), ("x", -flexion), ("y", -rotation_out)))
