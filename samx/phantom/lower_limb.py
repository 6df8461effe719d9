"""The left lower limb: femur, patella, lower leg and foot, posed joint by joint."""

import numpy as np

from samx.phantom.body import Body, Region, bone, disc, knob, pebble, shaft
from samx.phantom.projection import SOFT_TISSUE, SPONGY_BONE, Part
from samx.phantom.solids import Frame, Solid, chain, cone, ellipsoid, vector

# Ray -> base and head of the metatarsal in foot coordinates (origin in the ankle joint), radii, phalanx lengths.
_RAYS = {
    1: ((-17, -33, 70), (-24, -50, 126), 1.65, (30, 0, 24)),
    2: ((-6, -29, 72), (-7, -51, 139), 1.0, (27, 13, 10)),
    3: ((4, -31, 69), (7, -52, 134), 0.96, (25, 11, 9)),
    4: ((14, -36, 64), (20, -53, 126), 0.95, (23, 9, 9)),
    5: ((23, -43, 56), (33, -54, 114), 1.0, (21, 8, 9)),
}


def foot(body: Body, *, toes: float = 8.0, hallux: float = 8.0) -> Region:
    """The foot: origin in the ankle joint, x lateral, y up, z to the toes; `toes` flexed, `hallux` in valgus."""
    region = Region()
    thin = 0.9 * body.cortex
    talus: list[Solid] = [
        ellipsoid((0, -10, 1), (17, 12, 20)),
        cone((-6, -14, 18), (-11, -17, 30), 10, 11),
        ellipsoid((2, -20, -12), (13, 8, 12)),
        ellipsoid((-1, -9, 0), (16, 9, 17)),
    ]
    region.parts.append(bone("talus", talus, thin, dense=1.2))
    calcaneus = [
        *chain([(2, -43, -50), (4, -40, -28), (6, -35, -4), (11, -36, 22)], [17, 14, 14, 11.5]),
        ellipsoid((2, -47, -54), (15, 19, 10)),
        ellipsoid((4, -26, -8), (14, 9, 12), ("x", 25)),
        cone((-4, -27, 6), (-15, -27, 7), 8, 6),
    ]
    region.parts.append(bone("calcaneus", calcaneus, thin, dense=1.1))
    for name, center, axes in (
        ("navicular", (-12, -21, 43), (15, 11, 7)),
        ("cuboid", (15, -37, 45), (12, 11, 15)),
        ("medial cuneiform", (-17, -29, 59), (8, 12, 10)),
        ("middle cuneiform", (-6, -25, 60), (6.5, 9, 8.5)),
        ("lateral cuneiform", (4, -28, 58), (7, 9.5, 10)),
    ):
        region.parts.append(pebble(body, name, center, axes))
    girth = 0.5 + 0.5 * body.girth
    soft: list[Solid] = [
        cone((1, -42, -53), (2, -38, -10), 28 * girth, 30 * girth),
        cone((0, -10, -5), (-2, -32, 40), 32 * girth, 27 * girth),
        cone((0, 10, -6), (0, -30, -20), 31 * girth, 30 * girth),
    ]
    for ray, (base, head, width, lengths) in _RAYS.items():
        profile = [
            (0.0, 8.0 * width**0.7),
            (0.2, 5.0 * width**0.8),
            (0.5, 3.9 * width),
            (0.82, 4.4 * width),
            (1.0, 6.4 * width**0.9),
        ]
        plates = "start" if ray == 1 else "end"
        part = shaft(body, f"metatarsal{ray}", base, head, profile, cortex=1.5, plates=plates)
        if ray == 5:
            part = bone(part.name, [*part.solids, cone((24, -44, 56), (30, -47, 47), 6, 3)], part.cortex)
        region.parts.append(part)
        region.shafts[f"metatarsal{ray}"] = (vector(base), vector(head), 4.0 * width)
        soft.append(
            cone(
                (base[0] * 0.8, base[1] + 2, base[2] - 20),
                (head[0], head[1] + 2, head[2] + 4),
                19 * girth,
                (14 if ray > 1 else 17) * girth,
            )
        )
        lateral = float(np.degrees(np.arctan2(head[0] - base[0], head[2] - base[2])))
        valgus = hallux if ray == 1 else -0.15 * hallux * (3 - ray)
        frame = Frame.at(head, ("y", lateral + valgus), ("x", 90), ("x", -12))
        region.frames[f"toe{ray}"] = frame
        big = 1.55 if ray == 1 else 0.95
        for level, length in enumerate(lengths):
            if length == 0:
                continue
            if level < 2:
                shape = [(0.0, 6.0 * big), (0.25, 4.0 * big), (0.55, 3.0 * big), (1.0, 4.4 * big)]
            else:
                shape = [(0.0, 5.2 * big), (0.5, 2.8 * big), (1.0, 3.6 * big)]
            scale = [(t, r * (1 if level == 0 else 0.85)) for t, r in shape]
            toe = shaft(
                body,
                f"toe{ray}{level}",
                (0, 1.5 if level else 3, 0),
                (0, length + 1.5, 0),
                scale,
                cortex=1.1,
                plates="start",
            )
            region.parts.append(toe.moved(frame))
            thick = (8.6 if ray > 1 else 14) * girth * (1.0 if level == 0 else 0.92)
            soft.append(
                cone(frame.point((0, 0, 0)), frame.point((0, length + (3 if level == 2 else 0), 0)), thick * 1.1, thick)
            )
            frame = frame.then(Frame.at((0, length + 2.2, 0), ("x", toes)))
    for x in (-30, -18):
        region.parts.append(pebble(body, f"sesamoid{x}", (x, -60, 122), (3.8, 3, 4.8)))
    region.parts.append(Part("soft tissue", tuple(soft), SOFT_TISSUE))
    region.frames |= {"foot": Frame.at(), "calcaneus": Frame.at((4, -36, -18))}
    return region


def lower_leg(body: Body, *, ankle: float = 0.0, **pose: float) -> Region:
    """Tibia, fibula and foot: origin in the knee joint, the ankle joint at (0, -392, -4); `ankle`: plantar flexion."""
    region = Region()
    region.place(foot(body, **pose), Frame.at((0, -392, -4), ("x", ankle)))
    wear = 1.6 * body.arthritis
    long = shaft(
        body,
        "tibia",
        (0, -3, 0),
        (-2, -388, -4),
        [(0, 20), (0.05, 22), (0.12, 17), (0.2, 14.5), (0.45, 12), (0.75, 10.5), (0.88, 13), (0.95, 17), (1, 16)],
        cortex=4.2,
    )
    plateau: list[Solid] = []
    if body.immature:
        plateau += [disc(vector((x, -10, -2)), vector((x, 0, -2)), 17, 5.5, depth=19) for x in (-16, 16)]
        plateau += [disc(vector((x, -24, -3)), vector((x, 0, -3)), 15, 4, depth=17) for x in (-15, 15)]
    else:
        plateau += [ellipsoid((x, -11 + wear / 2, -2), (20, 9.5 + wear / 2, 23)) for x in (-17, 17)]
        plateau += [disc(vector((0, -8 + wear / 2, -2)), vector((0, 0, -2)), 35, 3.4, depth=20)]
        plateau += [cone((x, -17, -3), (x * 0.45, -48, -2), 17, 12) for x in (-17, 17)]
    spines = [cone((-5, -4, -2), (-4, 4, -2), 4, 1.5), cone((6, -4, -2), (5, 3, -2), 4, 1.5)]
    tuberosity = chain([(1, -22, 14), (1, -42, 18), (0, -75, 10)], [9, 6.5, 6])
    malleolus = [cone((-16, -372, -3), (-20, -396, 0), 10, 6.5), cone((10, -370, -6), (14, -382, -8), 10, 8)]
    spurs: list[Solid] = [knob((x, -5, 0), 3 * body.arthritis) for x in (-38, 38)] if body.arthritis > 0.35 else []
    region.parts.append(
        bone("tibia", [*long.solids, *plateau, *spines, *tuberosity, *malleolus, *spurs], 3.4 * body.cortex, dense=1.1)
    )
    fibula = shaft(
        body,
        "fibula",
        (39, -17, -14),
        (26, -408, -9),
        [(0, 9), (0.05, 8), (0.12, 5.2), (0.5, 5.6), (0.85, 5.8), (0.95, 8.5), (1, 6.5)],
        cortex=2.2,
        bow=(-4, 0, 0),
    )
    region.parts.append(bone("fibula", fibula.solids, fibula.cortex))
    g = body.girth
    soft = (
        cone((-20, 15, -2), (-16, -60, -12), 43 * g, 42 * g),
        cone((20, 15, -2), (16, -60, -12), 43 * g, 40 * g),
        cone((0, -60, -18), (0, -130, -24), 54 * g, 56 * g),
        cone((0, -130, -22), (0, -260, -12), 55 * g, 40 * g),
        cone((0, -260, -12), (0, -345, -6), 40 * g, 33 * g),
        cone((0, -345, -6), (0, -395, -4), 33 * g, 34 * (0.5 + 0.5 * g)),
        cone((0, -330, -26), (0, -420, -42), 11, 14),
        cone((22, -290, -10), (25, -408, -9), 20 * g, 17),
        ellipsoid((0, -150, -42), (38 * g, 90, 34 * g)),
    )
    region.parts.append(Part("soft tissue", soft, SOFT_TISSUE))
    region.frames |= {"lower_leg": Frame.at(), "ankle": Frame.at((0, -392, -4))}
    region.shafts |= {
        "tibia": (vector((0, -60, 0)), vector((-2, -350, -4)), 11.0),
        "fibula": (vector((36, -60, -14)), vector((26, -380, -9)), 5.5),
    }
    return region


def leg(body: Body, *, knee: float = 0.0, **pose: float) -> Region:
    """The free limb: origin in the hip joint, the knee joint at (-18, -428, 0); `knee` is its flexion in degrees."""
    region = Region()
    joint = Frame.at((-18, -430, 0), ("x", knee))
    region.place(lower_leg(body, **pose), joint)
    long = shaft(
        body,
        "femur",
        (46, -12, -6),
        (-17, -424, 2),
        [(0, 13), (0.05, 17), (0.12, 17), (0.2, 14.5), (0.5, 13), (0.78, 14.5), (0.88, 19), (0.95, 22), (1, 14)],
        cortex=4.6,
        plates="end",
        bow=(2, 0, 8),
    )
    head: list[Solid] = [
        knob((0, 0, 0), 23.5),
        cone((2, -1, 0), (40, -32, -2), 17, 18),
        cone((28, -22, 0), (46, -50, -2), 15, 15),
    ]
    trochanters: list[Solid] = [
        ellipsoid((49, -14, -7), (14, 20, 15)),
        cone((45, -14, -6), (45, -52, -4), 13, 16),
        knob((24, -62, -14), 9),
        cone((28, -54, -10), (36, -80, -4), 12, 12),
    ]
    condyles: list[Solid] = [ellipsoid((-17.5, -396, 4), (34, 20, 18))]
    lower = 13 if body.immature else 0
    for x in (-42, 7):
        condyles += [
            ellipsoid((x, -406, -4), (19.5, 20, 28)),
            ellipsoid((x, -401, -16), (16, 20, 19)),
            ellipsoid((x * 0.75 - 4, -404, 12), (16, 18, 20)),
        ]
        if not body.immature:
            condyles += [cone((x * 0.85 - 2.6, -394, 0), (-14, -350, 2), 19, 15)]
    spurs: list[Solid] = [knob((x, -418, 0), 3.5 * body.arthritis) for x in (-62, 28)] if body.arthritis > 0.35 else []
    region.parts.append(
        bone("femur", [*long.solids, *head, *trochanters, *condyles, *spurs], 3.8 * body.cortex, dense=1.1)
    )
    if body.immature:
        gap = [disc(vector((x, -386 - lower * 0, 0)), vector((x, 0, 0)), 19, 1.2, depth=24) for x in (-36, 2)]
        region.parts.append(Part("femoral growth plate", tuple(gap), -0.5 * SPONGY_BONE))
    slide = 24.0 * np.sin(np.radians(min(knee, 100)))
    down = -30.0 * np.sin(np.radians(min(knee, 120) / 1.33))
    patella_frame = Frame.at((-17, -392 + down, 41 - 0.25 * slide), ("x", 0.75 * knee))
    patella: list[Solid] = [
        ellipsoid((0, 0, 0), (22, 22, 8)),
        cone((0, 4, 0), (0, -17, 1), 12, 4),
        ellipsoid((0, 0, -4), (17, 17, 8)),
    ]
    region.parts.append(bone("patella", patella, 1.3 * body.cortex, dense=1.7).moved(patella_frame))
    region.frames["patella"] = patella_frame
    g = body.girth
    soft = (
        cone((22, 10, -8), (12, -130, -4), 82 * g, 78 * g),
        cone((12, -130, -4), (-6, -290, 0), 78 * g, 60 * g),
        cone((-6, -290, 0), (-17, -400, 0), 60 * g, 50 * g),
        cone((-36, -395, -2), (1, -395, -2), 42 * g, 42 * g),
        cone((-17, -360, 20), (-17, -400, 30), 36 * g, 28),
        cone(patella_frame.point((0, 10, 0)), patella_frame.point((0, -26, 0)), 26, 22),
    )
    region.parts.append(Part("soft tissue", soft, SOFT_TISSUE))
    region.frames |= {"leg": Frame.at(), "hip": Frame.at(), "knee": joint, "thigh": Frame.at((0, 0, 0), ("z", 0))}
    region.shafts["femur"] = (vector((40, -70, -4)), vector((-14, -360, 4)), 13.0)
    return region


def leg_frame(
    side_offset: float = 90.0, *, abduction: float = 0.0, flexion: float = 0.0, rotation_out: float = 0.0
) -> Frame:
    """The leg's frame at the left hip of a trunk whose origin lies midway between the hip joints."""
    return Frame.at((side_offset, 0, 0), ("z", abduction), ("x", -flexion), ("y", rotation_out))
