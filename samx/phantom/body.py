"""The parametric body: who is exposed, and the bones that every region is made of.

One patient is one `Body`: age, sex, size, build and pathology of shape. The regions (`upper_limb`, `lower_limb`,
`trunk`, `head`) build it in millimetres of a standard adult, on its left side in anatomical position (x to the
patient's left, y up, z to the front); size is applied by the camera and a right limb is the mirror image of a left one.
Dimensions are round figures after Gray's Anatomy.
"""

import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from samx.phantom.projection import CORTICAL_BONE, SPONGY_BONE, STEEL, TITANIUM, Part
from samx.phantom.solids import Block, Cone, Frame, Point, Solid, Vector, chain, cone, cylinder, ellipsoid, vector


@dataclass(frozen=True, slots=True)
class Body:
    """One patient; the same seed is the same body in all of the patient's exposures."""

    seed: int
    age: float
    """Years."""
    female: bool
    scale: float
    """Size against the standard adult; 0.45 at two years."""
    girth: float
    """Soft tissue radius against the standard, 0.85 to 1.45."""
    cortex: float
    """Thickness of cortical bone against the standard; falls with old age."""
    arthritis: float
    """0 healthy to 1: joint spaces close and bone ends broaden."""
    bowing: float
    """Sideways bow of long bones as a share of their length, 0 for most."""
    scoliosis: float
    """Amplitude of the sideways curve of the spine in mm, 0 for most."""
    fractured: bool
    """Whether the shafts in the middle of an exposure are broken."""

    @property
    def immature(self) -> bool:
        """Whether growth plates are open."""
        return self.age < 15.5 if self.female else self.age < 17

    def vary(self, name: str, deviation: float = 0.04) -> float:
        """A factor about 1 that belongs to this body and this name."""
        value = float(np.random.default_rng((self.seed, zlib.crc32(name.encode()))).standard_normal())
        return float(1 + deviation * np.clip(value, -2.5, 2.5))


def random_body(seed: int, *, age: float | None = None) -> Body:
    """A patient of the given seed: an orthopaedic mix of ages, 14 % of them children."""
    generator = np.random.default_rng((seed, 1))
    child, child_age, adult_age = generator.random(), generator.uniform(3, 17), generator.normal(52, 19)
    years = age if age is not None else (child_age if child < 0.14 else float(np.clip(adult_age, 18, 94)))
    female = bool(generator.random() < 0.52)
    grown = min(1.0, 0.42 + 0.58 * (years / 17.0) ** 0.85)
    scale = grown * (0.94 if female else 1.02) * float(generator.normal(1, 0.035))
    girth = float(np.clip(generator.normal(1.0 if years >= 17 else 0.92, 0.13), 0.8, 1.45))
    old = float(np.clip((years - 50) / 40, 0, 1))
    return Body(
        seed=seed,
        age=float(years),
        female=female,
        scale=scale,
        girth=girth,
        cortex=(1.0 - 0.35 * old) * (0.93 if female else 1.0) * float(generator.normal(1, 0.08)),
        arthritis=float(
            np.clip(generator.beta(1.2, 2.5) * 1.6 * old + (0.15 if years > 45 else 0) * generator.random(), 0, 1)
        ),
        bowing=float(generator.normal(0, 0.05)) if generator.random() < 0.08 else float(generator.normal(0, 0.006)),
        scoliosis=float(generator.normal(0, 16)) if generator.random() < 0.2 else float(generator.normal(0, 3)),
        fractured=bool(generator.random() < 0.12),
    )


@dataclass(slots=True)
class Region:
    """A built part of the body: what attenuates, and the frames a projection can be aimed at."""

    parts: list[Part] = field(default_factory=list)
    frames: dict[str, Frame] = field(default_factory=dict)
    shafts: dict[str, tuple[Vector, Vector, float]] = field(default_factory=dict)
    """Straight axes that hardware can be fixed to: name -> (from, to, radius)."""

    def place(self, other: "Region", frame: Frame, suffix: str = "") -> None:
        """Takes over everything of another region, moved by `frame`."""
        self.parts += [part.moved(frame) for part in other.parts]
        self.frames |= {name + suffix: frame.then(inner) for name, inner in other.frames.items()}
        self.shafts |= {name + suffix: (frame.point(a), frame.point(b), r) for name, (a, b, r) in other.shafts.items()}


def bone(name: str, solids: Sequence[Solid], cortex: float, *, dense: float = 1.0) -> Part:
    """Cortical shell around spongy bone; `dense` multiplies the inside."""
    radii = [min(solid.start_radius, solid.end_radius) for solid in solids if isinstance(solid, Cone)]
    shaft_radius = 1.1 * float(np.median(radii)) if radii else None
    return Part(
        name, tuple(solids), CORTICAL_BONE, SPONGY_BONE * dense, cortex, textured=True, shaft_radius=shaft_radius
    )


def sheet(name: str, solids: Sequence[Solid]) -> Part:
    """A flat bone too thin to have an inside worth showing: the blade of the scapula, the wing of the ilium."""
    return Part(name, tuple(solids), 0.4 * CORTICAL_BONE)


def metal(name: str, solids: Sequence[Solid], *, steel: bool = False) -> Part:
    """An implant."""
    return Part(name, tuple(solids), STEEL if steel else TITANIUM)


def toward(origin: Point, target: Point) -> Frame:
    """The frame at `origin` whose y axis points to `target` with the least turn from upright."""
    start = vector(origin)
    axis = vector(target) - start
    axis /= np.linalg.norm(axis)
    side = np.array([1.0, 0.0, 0.0]) - axis[0] * axis
    if np.linalg.norm(side) < 0.1:
        side = np.array([0.0, 0.0, 1.0]) - axis[2] * axis
    side /= np.linalg.norm(side)
    return Frame(np.stack([side, axis, np.cross(side, axis)], axis=1), start)


def disc(center: Vector, axis_to: Vector, radius: float, half_height: float, *, depth: float | None = None) -> Block:
    """A flat cylinder at `center` whose axis points to `axis_to`."""
    return cylinder((0, 0, 0), (radius, half_height, depth or radius)).moved(toward(center, axis_to))


def shaft(
    body: Body,
    name: str,
    start: Point,
    end: Point,
    profile: Sequence[tuple[float, float]],
    *,
    cortex: float,
    plates: str = "both",
    bow: Sequence[float] = (0.0, 0.0, 0.0),
) -> Part:
    """A tubular bone from joint surface to joint surface.

    Args:
        body: Whose bone it is; a child's has growth plates, a fractured one a displaced segment.
        name: The bone's name, which also seeds its individual shape.
        start: Proximal joint surface, mm.
        end: Distal joint surface, mm.
        profile: (share of the length, radius in mm), from 0 to 1.
        cortex: Shell at mid-shaft in mm.
        plates: Which ends have a growth plate: "both", "start", "end" or "".
        bow: Displacement of the middle in mm.
    """
    first, last = vector(start), vector(end)
    length = float(np.linalg.norm(last - first))
    axis = (last - first) / length
    stretch = 0.5 * body.arthritis * min(1.2, 0.02 * length)
    first, last = first - axis * stretch, last + axis * stretch
    side = np.cross(axis, np.array([0.0, 0.0, 1.0]))
    bend = vector(bow) + side * body.bowing * length
    thick = body.vary(name + " thick", 0.06) * (0.93 if body.female else 1.0)
    shares = np.array([share for share, _ in profile])
    radii = np.array([radius for _, radius in profile]) * thick
    radii[[0, -1]] *= 1 + 0.08 * body.arthritis
    ends = np.ones(len(radii))
    ends[[0, -1]] = 0.8
    positions = np.clip(shares, 0.8 * radii[0] / length, 1 - 0.8 * radii[-1] / length)
    points = np.array([first + axis * length * t + bend * 4 * t * (1 - t) for t in positions])
    solids: list[Solid] = []
    if body.immature:
        ripe = np.clip(body.age / 15, 0.25, 1.0)
        for at_start in (True, False):
            if plates not in ("both", "start" if at_start else "end"):
                continue
            i, outward, joint = (0, -axis, first) if at_start else (-1, axis, last)
            radius = float(radii[i])
            gap = 1.6 * (1.1 - 0.6 * ripe) * (1.4 if radius > 9 else 0.7)
            height = min(0.55 * radius, 0.12 * length)
            plate_at = joint - outward * 2 * height
            wide = radius * 0.97
            solids.append(
                disc(
                    plate_at + outward * height,
                    joint + outward * length,
                    wide * (0.55 + 0.45 * ripe),
                    height * ripe * 0.95,
                )
            )
            edge = plate_at - outward * gap
            solids.append(disc(edge - outward * 0.25 * radius, edge + outward * length, wide, 0.25 * radius))
            points[i] = edge - outward * radius * 0.95
            radii[i] = radius * 0.88
    else:
        # A joint end is broader than it is long.
        for joint, inward, radius in ((first, axis, float(radii[0])), (last, -axis, float(radii[-1]))):
            solids.append(
                ellipsoid((0, 0.56 * radius, 0), (radius, 0.56 * radius, 0.86 * radius)).moved(
                    toward(joint, joint + inward)
                )
            )
        radii = radii * ends
    solids = [*chain([tuple(point) for point in points], [float(radius) for radius in radii]), *solids]
    return bone(name, solids, cortex * body.cortex)


def knob(center: Sequence[float], radius: float) -> Solid:
    """A ball."""
    return cone(center, center, radius)


def pebble(
    body: Body,
    name: str,
    center: Sequence[float],
    semi_axes: Sequence[float],
    *turns: tuple[str, float],
    cortex: float = 0.7,
) -> Part:
    """A small rounded bone; in children its ossified centre is smaller."""
    ripe = float(np.clip(0.35 + body.age / 17, 0.4, 1.0)) if body.immature else 1.0
    lengths = [axis * ripe * body.vary(name + str(i), 0.05) for i, axis in enumerate(semi_axes)]
    return bone(name, [ellipsoid(center, lengths, *turns)], cortex * body.cortex, dense=1.25)
