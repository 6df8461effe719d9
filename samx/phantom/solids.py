"""Convex solids whose chord along a parallel ray has a closed form, and the frames that pose them.

Everything in the phantom - bones, marrow, muscle, gas, screws - is a list of these solids. A solid answers one
question: where does the ray through detector position (u, v) enter and leave it? Lengths are millimetres; a solid is
stored in the coordinates of whoever built it and is moved by a `Frame`.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Vector = NDArray[np.float64]
"""(3,) float64, millimetres."""
Point = Sequence[float] | Vector
Grid = NDArray[np.float32]
"""(H, W) float32."""

FAR = np.float32(1e6)
"""Depth in millimetres that stands for infinity: a ray that misses a solid has an empty interval there."""


def vector(values: Iterable[float] | Vector) -> Vector:
    """A (3,) float64 array."""
    return np.asarray(tuple(values), dtype=np.float64)


def rotation(axis: str, degrees: float) -> NDArray[np.float64]:
    """The (3, 3) right-handed rotation about the axis "x", "y" or "z"."""
    cosine, sine = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    i, j = {"x": (1, 2), "y": (2, 0), "z": (0, 1)}[axis]
    matrix = np.eye(3)
    matrix[i, i] = matrix[j, j] = cosine
    matrix[i, j], matrix[j, i] = -sine, sine
    return matrix


@dataclass(frozen=True, slots=True)
class Frame:
    """A rigid motion (or reflection) x -> matrix @ x + origin."""

    matrix: NDArray[np.float64]
    origin: Vector

    @staticmethod
    def at(origin: Iterable[float] | Vector = (0.0, 0.0, 0.0), *turns: tuple[str, float]) -> "Frame":
        """The frame with this origin after the given (axis, degrees) turns, the last one applied first."""
        matrix = np.eye(3)
        for axis, degrees in turns:
            matrix = matrix @ rotation(axis, degrees)
        return Frame(matrix, vector(origin))

    def then(self, inner: "Frame") -> "Frame":
        """The frame that applies `inner` first and this one after it."""
        return Frame(self.matrix @ inner.matrix, self.matrix @ inner.origin + self.origin)

    def point(self, point: Iterable[float] | Vector) -> Vector:
        """A point of the inner coordinates in the outer ones."""
        return self.matrix @ vector(point) + self.origin


MIRROR = Frame(np.diag([-1.0, 1.0, 1.0]), np.zeros(3))
"""Left becomes right."""


@dataclass(frozen=True, slots=True)
class Cone:
    """A round cone: the convex hull of two balls (a tapered capsule; a ball where both ends coincide)."""

    start: Vector
    end: Vector
    start_radius: float
    end_radius: float

    def moved(self, frame: Frame) -> "Cone":
        """This solid in the outer coordinates of `frame`."""
        return Cone(
            frame.matrix @ self.start + frame.origin,
            frame.matrix @ self.end + frame.origin,
            self.start_radius,
            self.end_radius,
        )

    def shrunk(self, millimetres: float, shaft_radius: float | None = None) -> "Cone":
        """This solid with its surface moved inwards, never by more than 70 % of a radius.

        Cortex is thin where a bone is wide: with `shaft_radius` the full thickness holds at that radius and falls off
        above it.
        """
        radii = []
        for radius in (self.start_radius, self.end_radius):
            share = 1.0 if shaft_radius is None else min(1.0, (shaft_radius / max(radius, 0.1)) ** 1.6)
            radii.append(max(radius - max(millimetres * share, min(millimetres, 0.5)), 0.3 * radius))
        return Cone(self.start, self.end, *radii)

    def bounds(self) -> tuple[float, float, float, float]:
        """(u_min, v_min, u_max, v_max) of its shadow."""
        start, end, first, second = self.start, self.end, self.start_radius, self.end_radius
        return (
            min(start[0] - first, end[0] - second),
            min(start[1] - first, end[1] - second),
            max(start[0] + first, end[0] + second),
            max(start[1] + first, end[1] + second),
        )

    def interval(self, u: Grid, v: Grid) -> tuple[Grid, Grid]:
        """Depths at which the rays through (u, v) enter and leave; entry > exit where a ray misses.

        The hull is the union of the balls at p(t) = start + t * axis with radius r(t), 0 <= t <= 1. With q(t) = r(t)^2
        - |(u, v) - p(t)|^2 the far surface is the maximum over t of z(t) + sqrt(q(t)), which is concave in t where the
        discriminant of q is positive; the stationary point is the root of a quadratic, clamped to [0, 1].
        """
        axis = self.end - self.start
        taper = self.end_radius - self.start_radius
        slope = float(axis[2])
        a = float(taper * taper - axis[0] ** 2 - axis[1] ** 2)
        steepness = float(axis @ axis) - taper * taper
        du, dv = u - np.float32(self.start[0]), v - np.float32(self.start[1])
        c = np.float32(self.start_radius**2) - du * du - dv * dv
        if steepness <= 1e-9 or a > -1e-3 * max(steepness, 1e-9):
            return self._interval_end_on(u, v, c)
        b = np.float32(2 * axis[0]) * du + np.float32(2 * axis[1]) * dv + np.float32(2 * taper * self.start_radius)
        discriminant = b * b - np.float32(4 * a) * c
        spread = np.sqrt(np.maximum(discriminant, 0)) * np.float32(slope / np.sqrt(steepness))
        half = np.float32(1 / (2 * a))
        miss = discriminant < 0
        depths = []
        for sign in (1, -1):
            t = np.clip((-b - sign * spread) * half, 0, 1)
            q = (np.float32(a) * t + b) * t + c
            miss = miss | (q < 0)
            depths.append(np.float32(self.start[2]) + np.float32(slope) * t + sign * np.sqrt(np.maximum(q, 0)))
        far, near = depths
        return np.where(miss, FAR, near), np.where(miss, -FAR, far)

    def _interval_end_on(self, u: Grid, v: Grid, c: Grid) -> tuple[Grid, Grid]:
        """The chord where the axis is (nearly) parallel to the rays: from the first ball's surface to the second's."""
        du, dv = u - np.float32(self.end[0]), v - np.float32(self.end[1])
        second = np.float32(self.end_radius**2) - du * du - dv * dv
        near, far = np.full(c.shape, FAR), np.full(c.shape, -FAR)
        for q, depth in ((c, self.start[2]), (second, self.end[2])):
            half = np.sqrt(np.maximum(q, 0))
            near = np.where(q > 0, np.minimum(near, np.float32(depth) - half), near)
            far = np.where(q > 0, np.maximum(far, np.float32(depth) + half), far)
        return near, far


@dataclass(frozen=True, slots=True)
class Block:
    """An ellipsoid, elliptic cylinder or polyhedron: an optional quadric cut by half-spaces.

    `quadric` holds the inverse semi-axis vectors as rows (a row of zeros makes a cylinder, None no quadric at all);
    `cuts` are the half-spaces normal . (x - center) <= offset with unit normals; `extent` are vectors whose +- sums
    bound the solid.
    """

    center: Vector
    quadric: NDArray[np.float64] | None
    cuts: tuple[tuple[Vector, float], ...]
    extent: NDArray[np.float64]

    def moved(self, frame: Frame) -> "Block":
        """This solid in the outer coordinates of `frame`."""
        matrix = frame.matrix
        return Block(
            matrix @ self.center + frame.origin,
            None if self.quadric is None else self.quadric @ matrix.T,
            tuple((matrix @ normal, offset) for normal, offset in self.cuts),
            self.extent @ matrix.T,
        )

    def shrunk(self, millimetres: float, shaft_radius: float | None = None) -> "Block":
        """This solid with its surface moved inwards: at most 30 % of a semi-axis, 1 mm with `shaft_radius`."""
        millimetres = millimetres if shaft_radius is None else min(millimetres, 1.0)
        quadric = self.quadric
        if quadric is not None:
            rows = []
            for row in quadric:
                inverse = float(np.linalg.norm(row))
                rows.append(row if inverse == 0 else row / (inverse * max(1 / inverse - millimetres, 0.7 / inverse)))
            quadric = np.stack(rows)
        cuts = tuple((normal, max(offset - millimetres, 0.7 * offset)) for normal, offset in self.cuts)
        return Block(self.center, quadric, cuts, self.extent)

    def bounds(self) -> tuple[float, float, float, float]:
        """(u_min, v_min, u_max, v_max) of a box around its shadow."""
        if self.quadric is not None and not self.cuts:
            reach = np.sqrt((self.extent**2).sum(axis=0))
        else:
            reach = np.abs(self.extent).sum(axis=0)
        (u, v, _), (du, dv, _) = self.center, reach
        return u - du, v - dv, u + du, v + dv

    def interval(self, u: Grid, v: Grid) -> tuple[Grid, Grid]:
        """Depths at which the rays through (u, v) enter and leave; entry >= exit where a ray misses."""
        du, dv = u - np.float32(self.center[0]), v - np.float32(self.center[1])
        shape = np.broadcast_shapes(du.shape, dv.shape)
        near, far = np.full(shape, -FAR), np.full(shape, FAR)
        if self.quadric is not None:
            # |quadric @ (du, dv, w)|^2 <= 1 is a w^2 + 2 b w + c <= 0.
            form = (self.quadric.T @ self.quadric).astype(np.float32)
            a = max(float(form[2, 2]), 1e-12)
            b = form[0, 2] * du + form[1, 2] * dv
            c = form[0, 0] * du * du + form[1, 1] * dv * dv + 2 * form[0, 1] * du * dv - 1
            discriminant = b * b - np.float32(a) * c
            half = np.sqrt(np.maximum(discriminant, 0))
            near = np.where(discriminant > 0, (-b - half) / np.float32(a), FAR)
            far = np.where(discriminant > 0, (-b + half) / np.float32(a), -FAR)
        for normal, offset in self.cuts:
            rest = np.float32(offset) - np.float32(normal[0]) * du - np.float32(normal[1]) * dv
            along = float(normal[2])
            if abs(along) < 1e-6:
                far = np.where(rest < 0, -FAR, far)
            elif along > 0:
                far = np.minimum(far, rest / np.float32(along))
            else:
                near = np.maximum(near, rest / np.float32(along))
        depth = np.float32(self.center[2])
        return near + depth, far + depth


Solid = Cone | Block


def cone(start: Point, end: Point, start_radius: float, end_radius: float | None = None) -> Cone:
    """A tapered capsule between two points."""
    return Cone(vector(start), vector(end), start_radius, start_radius if end_radius is None else end_radius)


def chain(points: Sequence[Point], radii: Sequence[float] | float) -> list[Solid]:
    """Capsules along a polyline, with a radius at every point."""
    widths = [float(radii)] * len(points) if isinstance(radii, int | float) else list(radii)
    return [cone(points[i], points[i + 1], widths[i], widths[i + 1]) for i in range(len(points) - 1)]


def ellipsoid(center: Iterable[float], semi_axes: Iterable[float], *turns: tuple[str, float]) -> Block:
    """An ellipsoid with semi-axes along x, y and z before the (axis, degrees) turns."""
    lengths = vector(semi_axes)
    matrix = Frame.at((0, 0, 0), *turns).matrix
    return Block(vector(center), np.diag(1 / lengths) @ matrix.T, (), np.diag(lengths) @ matrix.T)


def cylinder(center: Iterable[float], semi_axes: Iterable[float], *turns: tuple[str, float]) -> Block:
    """An elliptic cylinder along y (flat ends) with semi-axes x, half height y and z before the turns."""
    lengths = vector(semi_axes)
    matrix = Frame.at((0, 0, 0), *turns).matrix
    up = matrix[:, 1]
    quadric = np.diag([1 / lengths[0], 0.0, 1 / lengths[2]]) @ matrix.T
    return Block(vector(center), quadric, ((up, lengths[1]), (-up, lengths[1])), np.diag(lengths) @ matrix.T)


def box(center: Iterable[float], half_sizes: Iterable[float], *turns: tuple[str, float]) -> Block:
    """A cuboid with these half sizes along x, y and z before the turns."""
    lengths = vector(half_sizes)
    matrix = Frame.at((0, 0, 0), *turns).matrix
    cuts = tuple((sign * matrix[:, i], float(lengths[i])) for i in range(3) for sign in (1.0, -1.0))
    return Block(vector(center), None, cuts, np.diag(lengths) @ matrix.T)


def plate(outline: Sequence[Sequence[float]], thickness: float) -> list[Solid]:
    """A thin sheet over a closed outline (need not be plane): a fan of triangular prisms around its middle."""
    corners = np.asarray(outline, dtype=np.float64)
    middle = corners.mean(axis=0)
    return [_prism(middle, corners[i - 1], corners[i], thickness) for i in range(len(corners))]


def _prism(first: Vector, second: Vector, third: Vector, thickness: float) -> Block:
    corners = np.stack([first, second, third])
    center = corners.mean(axis=0)
    normal = np.cross(second - first, third - first)
    normal /= np.linalg.norm(normal)
    cuts = [(normal, thickness / 2), (-normal, thickness / 2)]
    for i in range(3):
        edge = corners[(i + 1) % 3] - corners[i]
        outward = np.cross(edge, normal)
        outward /= np.linalg.norm(outward)
        offset = float(outward @ (corners[i] - center))
        if offset < 0:
            outward, offset = -outward, -offset
        cuts.append((outward, offset))
    reach = np.abs(corners - center).max(axis=0) + thickness / 2
    return Block(center, None, tuple(cuts), np.diag(reach))


def moved(solids: Iterable[Solid], frame: Frame) -> list[Solid]:
    """All solids in the outer coordinates of a frame."""
    return [solid.moved(frame) for solid in solids]
