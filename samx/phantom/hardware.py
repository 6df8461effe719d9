"""What surgeons and casts add: plates, nails, wires, pedicle screws, prostheses, fractures and plaster."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from samx.phantom.body import Region, disc, knob, metal, toward
from samx.phantom.projection import PLASTER, Part
from samx.phantom.solids import Block, Cone, Frame, Solid, Vector, box, chain, cone, ellipsoid, moved, vector

SHAFTS: Mapping[str, tuple[str, ...]] = {
    "hand": ("metacarpal2", "metacarpal3", "metacarpal4", "metacarpal5"), "wrist": ("radius",), "forearm": ("radius",
        "ulna"), "elbow": ("ulna",),
    "humerus": ("humerus",), "clavicle": ("clavicle",), "femur": ("femur",), "knee": ("tibia",),
        "lower_leg": ("tibia", "fibula"), "ankle": ("fibula",),
    "foot": ("metatarsal1", "metatarsal5", "metatarsal3"), "toe": ("metatarsal1",), "long_leg": ("femur", "tibia"),
        "shoulder": ("humerus",), "hip": ("femur",),
}  # fmt: skip
"""Label -> bones in the middle of its exposures that break and are plated."""
_PLATED: Mapping[str, tuple[float, float]] = {
    "wrist": (0.72, 1.06),
    "ankle": (0.7, 1.02),
    "elbow": (-0.1, 0.3),
    "knee": (-0.1, 0.3),
    "shoulder": (-0.05, 0.35),
    "hip": (-0.1, 0.45),
}
"""Label -> the part of the shaft that a plate covers, where the exposure shows one end of it."""
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
    pieces = _prosthesis(region, label, draw) or _fixation(region, label, frame_name, draw)
    if not pieces and SHAFTS.get(label):
        start, end, radius = region.shafts[str(generator.choice(SHAFTS[label]))]
        low, high = _PLATED.get(label, (0.2 + 0.2 * draw, 0.7 + 0.2 * draw))
        nailed = radius > 9 and draw < 0.35
        pieces = _nail(start, end, radius) if nailed else _plate(start, end, radius, low, high)
    if pieces:
        region.parts.append(metal("implant", pieces, steel=steel))


def _prosthesis(region: Region, label: str, draw: float) -> list[Solid]:
    """An artificial hip, knee or shoulder; empty for other labels and where a shaft is to be plated."""
    if label == "pelvis" or (label in ("hip", "femur") and draw < 0.7):
        return moved(_hip_prosthesis(), region.frames["hip right" if label == "pelvis" and draw < 0.5 else "hip"])
    if label == "patella" or (label in ("knee", "long_leg") and draw < 0.75):
        femoral, tray = _knee_prosthesis()
        return [*moved(femoral, region.frames["hip"]), *moved(tray, region.frames["knee"])]
    if label == "shoulder" and draw < 0.7:
        return moved(_shoulder_prosthesis(), region.frames["arm"])
    return []


def _fixation(region: Region, label: str, frame_name: str, draw: float) -> list[Solid]:
    """Pedicle screws, wires, a cranial plate or heel screws; empty for others and where a shaft is to be plated."""
    if label.endswith("_spine"):
        return _pedicle_screws(region, label)
    if label == "skull":
        return moved([ellipsoid((40, 68, 44), (13, 9, 2), ("y", 35))], region.frames["skull"])
    if label == "calcaneus":
        return moved([cone((10, y, -50), (10, y + 6, 24), 2.2) for y in (-46.0, -36.0)], region.frames["foot"])
    if label in ("thumb", "finger") or (label in ("hand", "toe", "foot") and draw < 0.5):
        frame = region.frames[{"hand": "finger4", "foot": "toe2"}.get(label, frame_name)]
        return [cone(frame.point((s, -22, -s)), frame.point((-2 * s, 34, s)), 0.8) for s in (-1.5, 1.5)]
    return []


def _pedicle_screws(region: Region, label: str) -> list[Solid]:
    level, numbers, depth, wide, radius = {
        "lumbar_spine": ("L", (3, 4, 5), 17.0, 15.0, 2.8),
        "thoracic_spine": ("T", (6, 7, 8, 9), 13.0, 9.0, 2.5),
        "cervical_spine": ("C", (4, 5, 6), 8.0, 9.0, 1.7),
    }[label]
    pieces: list[Solid] = []
    for side in (-wide, wide):
        frames = [region.frames[f"{level}{number}"] for number in numbers]
        tails = [frame.point((1.1 * side, 3, -2.4 * depth)) for frame in frames]
        pieces += [
            cone(f.point((0.8 * side, 3, 0.4 * depth)), tail, radius) for f, tail in zip(frames, tails, strict=True)
        ]
        pieces += chain(tails, 1.1 * radius)
    return pieces


def add_cast(region: Region) -> None:
    """Wraps everything but the fingers in plaster or resin, 7 mm thick."""
    shell: list[Solid] = []
    flesh = [solid for part in region.parts if part.name == "soft tissue" for solid in part.solids]
    shell += [
        Cone(solid.start, solid.end, solid.start_radius + 9, solid.end_radius + 9)
        for solid in flesh
        if isinstance(solid, Cone) and min(solid.start_radius, solid.end_radius) > 12.6
    ]
    if shell:
        region.parts.append(Part("cast", tuple(shell), PLASTER, 0.0, 7.0))


def break_bone(region: Region, label: str, generator: np.random.Generator) -> None:
    """Breaks the shaft of one of the bones in the middle of the exposure: bent by degrees, moved by millimetres."""
    names = SHAFTS.get(label)
    if not names:
        return
    name = str(generator.choice(names))
    start, end, radius = region.shafts[name]
    hinge = start + float(generator.uniform(0.35, 0.65)) * (end - start)
    axis = (end - start) / np.linalg.norm(end - start)
    slip = generator.normal(0, 0.35 * radius, 3)
    bend = Frame.at((0, 0, 0), ("z", float(generator.normal(0, 6))), ("x", float(generator.normal(0, 6))))
    displaced = Frame(bend.matrix, hinge + slip - bend.matrix @ hinge)
    for i, part in enumerate(region.parts):
        if part.name == name:
            pieces = [piece for solid in part.solids for piece in _cut(solid, hinge, axis)]
            solids = [piece.moved(displaced) if beyond else piece for piece, beyond in pieces]
            region.parts[i] = replace(part, solids=tuple(solids))
            return


def _cut(solid: Solid, hinge: Vector, axis: Vector) -> list[tuple[Solid, bool]]:
    """The pieces of a solid on both sides of a fracture, with whether they lie beyond it; only capsules are cut."""
    if isinstance(solid, Block):
        return [(solid, float(axis @ (solid.center - hinge)) > 0)]
    first, second = float(axis @ (solid.start - hinge)), float(axis @ (solid.end - hinge))
    if (first > 0) == (second > 0):
        return [(solid, first > 0)]
    share = first / (first - second)
    radius = solid.start_radius + share * (solid.end_radius - solid.start_radius)
    gap = 0.5 * radius * np.sign(second - first)
    across = solid.start + share * (solid.end - solid.start)
    near, far = (
        Cone(solid.start, across - gap * axis, solid.start_radius, radius),
        Cone(across + gap * axis, solid.end, radius, solid.end_radius),
    )
    return [(near, first > 0), (far, second > 0)]
