"""What surgeons and casts add: plates, nails, wires, pedicle screws, prostheses, fractures and plaster."""

from collections.abc import Mapping

import numpy as np

from samx.phantom.body import Region, broken, disc, knob, metal, toward
from samx.phantom.projection import PLASTER, Part
from samx.phantom.solids import Block, Cone, Solid, Vector, box, chain, cone, ellipsoid, moved, vector

SHAFTS: Mapping[str, tuple[str, ...]] = {
    "hand": ("metacarpal2", "metacarpal3", "metacarpal4", "metacarpal5"), "wrist": ("radius",), "forearm": ("radius", "ulna"), "elbow": ("ulna",),
    "humerus": ("humerus",), "clavicle": ("clavicle",), "femur": ("femur",), "knee": ("tibia",), "lower_leg": ("tibia", "fibula"), "ankle": ("fibula",),
    "foot": ("metatarsal1", "metatarsal5", "metatarsal3"), "toe": ("metatarsal1",), "long_leg": ("femur", "tibia"), "shoulder": ("humerus",), "hip": ("femur",),
}  # fmt: skip
"""Label -> bones in the middle of its exposures that break and are plated."""
CASTED = ("hand", "wrist", "forearm", "elbow", "thumb", "lower_leg", "ankle", "foot", "knee")
IMPLANTED = (
    *SHAFTS,
    "pelvis",
    "lumbar_spine",
    "thoracic_spine",
    "cervical_spine",
    "thumb",
    "finger",
    "patella",
    "skull",
    "calcaneus",
)


def _plate(start: Vector, end: Vector, radius: float, low: float, high: float) -> list[Solid]:
    frame = toward(start, end)
    length = float(np.linalg.norm(end - start))
    first, last = low * length, high * length
    width = max(2.6, 0.5 * radius)
    pieces: list[Solid] = [box((radius + 1.4, (first + last) / 2, 0), (1.1, (last - first) / 2, width))]
    count = max(3, int((last - first) / (2.6 * width + 4)))
    pieces += [
        cone((radius + 2, y, 0), (-0.9 * radius, y, 0), 0.24 * width + 0.6)
        for y in np.linspace(first + width, last - width, count)
    ]
    return moved(pieces, frame)


def _nail(start: Vector, end: Vector, radius: float) -> list[Solid]:
    frame = toward(start, end)
    length = float(np.linalg.norm(end - start))
    pieces: list[Solid] = [cone((0, -0.12 * length, 0), (0, 1.02 * length, 0), 0.45 * radius)]
    pieces += [
        cone((-1.8 * radius, y, 0), (1.8 * radius, y, 0), 2.2) for y in (0.02 * length, 0.9 * length, 0.98 * length)
    ]
    return moved(pieces, frame)


def _hip_prosthesis() -> list[Solid]:
    cup = ellipsoid((-2, 2, 0), (26, 26, 26))
    half = Block(cup.center, cup.quadric, ((vector((0.64, -0.77, 0.0)), 0.0),), cup.extent)
    return [
        half,
        knob((2, -1, 0), 15),
        cone((6, -5, 0), (30, -32, -2), 6.5, 7),
        *chain([(30, -32, -2), (38, -58, -2), (38, -110, 0), (34, -175, 2)], [9, 10, 7, 4.5]),
    ]


def _knee_prosthesis() -> tuple[list[Solid], list[Solid]]:
    femoral: list[Solid] = []
    for x in (-40, 5):
        femoral += chain(
            [(x * 0.7 - 5, -382, 27), (x, -405, 25), (x, -422, 12), (x, -426, -6), (x, -416, -26), (x, -402, -29)],
            [4, 6, 6.5, 6.5, 6, 4.5],
        )
    tray: list[Solid] = [
        disc(vector((0, -10, -2)), vector((0, 0, -2)), 37, 2.4, depth=24),
        *chain([(0, -10, -2), (0, -30, -3), (0, -55, -3)], [9, 7, 6]),
    ]
    return femoral, tray


def _shoulder_prosthesis() -> list[Solid]:
    dome = ellipsoid((0, 2, -1), (24, 24, 24))
    half = Block(dome.center, dome.quadric, ((vector((0.77, -0.64, 0.0)), -4.0),), dome.extent)
    return [half, cone((0, 0, 0), (10, -14, 0), 8, 10), *chain([(10, -14, 0), (9, -50, 0), (6, -130, 0)], [10, 7.5, 5])]


def add_implant(region: Region, label: str, frame_name: str, generator: np.random.Generator) -> None:
    """Puts the hardware usual for a label into a built region."""
    steel = bool(generator.random() < 0.4)
    draw = float(generator.random())
    pieces: list[Solid] = []
    if label in ("hip", "pelvis", "femur", "long_leg") and draw < 0.7:
        name = "hip right" if label == "pelvis" and draw < 0.35 else "hip"
        pieces = moved(_hip_prosthesis(), region.frames[name])
    elif label in ("knee", "patella", "long_leg") and (draw < 0.75 or label == "patella"):
        femoral, tray = _knee_prosthesis()
        pieces = [*moved(femoral, region.frames["hip"]), *moved(tray, region.frames["knee"])]
    elif label == "shoulder" and draw < 0.7:
        pieces = moved(_shoulder_prosthesis(), region.frames["arm"])
    elif label.endswith("_spine"):
        level, numbers, reach = {
            "l": ("L", (3, 4, 5), 17.0),
            "t": ("T", (6, 7, 8, 9), 13.0),
            "c": ("C", (4, 5, 6), 8.0),
        }[label[0]]
        for side in (-1, 1):
            tails = []
            for number in numbers:
                frame = region.frames[f"{level}{number}"]
                wide = side * (15.0 if level == "L" else 9.0)
                tails.append(frame.point((wide * 1.1, 3, -2.4 * reach)))
                pieces.append(cone(frame.point((wide * 0.8, 3, 0.4 * reach)), tails[-1], 2.6 if level != "C" else 1.6))
            pieces += chain(tails, 3.0 if level != "C" else 1.8)
    elif label in ("hand", "thumb", "finger", "toe", "foot") and (draw < 0.5 or label not in SHAFTS):
        frame = (
            region.frames[frame_name]
            if label not in ("hand", "foot")
            else region.frames["finger4" if label == "hand" else "toe2"]
        )
        pieces = [cone(frame.point((s, -22, -s)), frame.point((-2 * s, 34, s)), 0.8) for s in (-1.5, 1.5)]
    elif label == "skull":
        pieces = moved([ellipsoid((40, 68, 44), (13, 9, 2), ("y", 35))], region.frames["skull"])
    elif label == "calcaneus":
        pieces = moved([cone((10, y, -50), (10, y + 6, 24), 2.2) for y in (-46.0, -36.0)], region.frames["foot"])
    elif SHAFTS.get(label):
        start, end, radius = region.shafts[str(generator.choice(SHAFTS[label]))]
        if radius > 9 and draw < 0.35:
            pieces = _nail(start, end, radius)
        else:
            near_end = {
                "wrist": (0.72, 1.06),
                "ankle": (0.7, 1.02),
                "elbow": (-0.1, 0.3),
                "knee": (-0.1, 0.3),
                "shoulder": (-0.05, 0.35),
                "hip": (-0.1, 0.45),
            }
            low, high = near_end.get(label, (0.2 + 0.2 * draw, 0.7 + 0.2 * draw))
            pieces = _plate(start, end, radius, low, high)
    if pieces:
        region.parts.append(metal("implant", pieces, steel=steel))


def add_cast(region: Region) -> None:
    """Wraps everything but the fingers in plaster or resin, 7 mm thick."""
    shell: list[Solid] = []
    for part in region.parts:
        if part.name != "soft tissue":
            continue
        for solid in part.solids:
            if isinstance(solid, Cone) and min(solid.start_radius, solid.end_radius) > 12.6:
                shell.append(Cone(solid.start, solid.end, solid.start_radius + 9, solid.end_radius + 9))
    if shell:
        region.parts.append(Part("cast", tuple(shell), PLASTER, 0.0, 7.0))


def break_bone(region: Region, label: str, generator: np.random.Generator) -> None:
    """Breaks one of the bones in the middle of the exposure, displaced by a few millimetres."""
    names = SHAFTS.get(label)
    if not names:
        return
    name = str(generator.choice(names))
    shift = generator.normal(0, 2.2, 3) * (1.6 if name in ("femur", "tibia", "humerus") else 1.0)
    for i, part in enumerate(region.parts):
        if part.name == name:
            region.parts[i] = broken(part, float(generator.uniform(0.35, 0.65)), shift)
            return
