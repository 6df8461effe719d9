"""From solids to detector signal: path lengths, Beer-Lambert, scatter and noise.

A body is a list of `Part`s. Along a ray the chords of a part's solids are united (its pieces overlap at their joins and
must not count twice), different parts add: bones carry the attenuation they have in excess of the soft tissue they lie
in, gas a negative one.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from samx.phantom.solids import FAR, Frame, Grid, Solid, moved, rotation

SOFT_TISSUE = 0.020
"""Linear attenuation of soft tissue in 1/mm at about 55 keV (NIST XCOM: muscle 0.0214, fat 0.0186)."""
CORTICAL_BONE = 0.048
"""Cortical bone in excess of soft tissue, 1/mm (XCOM: 0.068 at 55 keV and 1.92 g/cm3)."""
SPONGY_BONE = 0.009
"""Marrow with its trabeculae in excess of soft tissue, 1/mm."""
GAS = -SOFT_TISSUE
TITANIUM = 0.16
STEEL = 0.30
PLASTER = 0.022


Window = tuple[slice, slice]
"""Rows and columns of the detector."""


@dataclass(frozen=True, slots=True)
class Part:
    """Solids of one material, with a shell of another where `cortex` is positive."""

    name: str
    solids: Sequence[Solid]
    attenuation: float
    """1/mm, of the shell or of everything."""
    inner: float = 0.0
    """1/mm inside the shell."""
    cortex: float = 0.0
    """Thickness of the shell in mm; 0 means solid."""
    textured: bool = False
    """Whether the inside carries the trabecular texture."""
    shaft_radius: float | None = None
    """Radius in mm above which the shell thins out; None keeps it even."""

    def moved(self, frame: Frame) -> "Part":
        """This part in the outer coordinates of `frame`."""
        return replace(self, solids=moved(self.solids, frame))


@dataclass(frozen=True, slots=True)
class Camera:
    """Parallel rays along z of the view; u runs right and v up on the detector."""

    frame: Frame
    """From body to view coordinates, the field's centre at the origin."""
    rows: int
    columns: int
    spacing: float
    """Millimetres per pixel."""

    @staticmethod
    def looking(
        at: Frame,
        center: Sequence[float],
        *,
        turn: float,
        tilt: float,
        swing: float,
        roll: float,
        mirrored: bool,
        size: tuple[int, int],
        spacing: float,
    ) -> "Camera":
        """A camera before a body frame.

        Args:
            at: The frame whose z axis points to the tube and whose y axis is up when all angles are 0.
            center: The point of that frame in the middle of the detector, in mm.
            turn: Degrees by which the patient turns about y; 90 is a lateral view.
            tilt: Degrees about the detector's u axis afterwards; 90 is an axial view.
            swing: Degrees about the detector's v axis after the tilt, for an oblique of what is seen axially.
            roll: Degrees in the plane of the detector.
            mirrored: Whether the picture is reflected (a right limb is a reflected left one).
            size: (rows, columns).
            spacing: Millimetres per pixel.
        """
        view = rotation("z", roll) @ rotation("y", swing) @ rotation("x", tilt) @ rotation("y", turn)
        if mirrored:
            view = np.diag([-1.0, 1.0, 1.0]) @ view
        matrix = view @ at.matrix.T
        return Camera(Frame(matrix, -matrix @ at.point(center)), size[0], size[1], spacing)


def path_length(solids: Sequence[Solid], camera: Camera) -> tuple[Window, Grid, Grid] | None:
    """Length of every ray inside a union of solids that are given in view coordinates.

    The smaller of the chords' sum and their overall depth: exact for one or two convex solids and for chains crossed
    sideways, never less than the union.

    Returns:
        The window of the detector that the solids shade, the millimetres inside, and the depth where the ray enters, or
        None.
    """
    half_width, half_height = camera.columns / 2 - 0.5, camera.rows / 2 - 0.5
    shadows = []
    for solid in solids:
        left, bottom, right, top = solid.bounds()
        first_row = max(int(np.floor(half_height - top / camera.spacing)), 0)
        last_row = min(int(np.ceil(half_height - bottom / camera.spacing)) + 1, camera.rows)
        first_column = max(int(np.floor(half_width + left / camera.spacing)), 0)
        last_column = min(int(np.ceil(half_width + right / camera.spacing)) + 1, camera.columns)
        if first_row < last_row and first_column < last_column:
            shadows.append((solid, first_row, last_row, first_column, last_column))
    if not shadows:
        return None
    top_row, left_column = min(s[1] for s in shadows), min(s[3] for s in shadows)
    shape = max(s[2] for s in shadows) - top_row, max(s[4] for s in shadows) - left_column
    total = np.zeros(shape, np.float32)
    nearest, farthest = np.full(shape, FAR), np.full(shape, -FAR)
    u_all = ((np.arange(camera.columns) - half_width) * camera.spacing).astype(np.float32)[None, :]
    v_all = ((half_height - np.arange(camera.rows)) * camera.spacing).astype(np.float32)[:, None]
    for solid, first_row, last_row, first_column, last_column in shadows:
        near, far = solid.interval(u_all[:, first_column:last_column], v_all[first_row:last_row])
        window = (
            slice(first_row - top_row, last_row - top_row),
            slice(first_column - left_column, last_column - left_column),
        )
        hit = far > near
        total[window] += np.where(hit, far - near, 0)
        nearest[window] = np.where(hit, np.minimum(nearest[window], near), nearest[window])
        farthest[window] = np.where(hit, np.maximum(farthest[window], far), farthest[window])
    length = np.minimum(total, np.maximum(farthest - nearest, 0))
    return (slice(top_row, top_row + shape[0]), slice(left_column, left_column + shape[1])), length, nearest


def united_length(parts: Sequence[Part], camera: Camera) -> Grid:
    """Length of every ray inside a union of parts, (rows, columns) float32 in mm: limbs may meet or overlap."""
    found = [shade for part in parts if (shade := path_length(moved(part.solids, camera.frame), camera)) is not None]
    if not found:
        return np.zeros((camera.rows, camera.columns), np.float32)
    nears = np.full((len(found), camera.rows, camera.columns), FAR)
    fars = np.full_like(nears, -FAR)
    for i, (window, length, nearest) in enumerate(found):
        nears[i][window] = nearest
        fars[i][window] = np.where(length > 0, nearest + length, -FAR)
    if len(found) > 1:
        order = np.argsort(nears, axis=0)
        nears, fars = np.take_along_axis(nears, order, axis=0), np.take_along_axis(fars, order, axis=0)
    total = np.zeros((camera.rows, camera.columns), np.float32)
    reached = np.full_like(total, -FAR)
    for near, far in zip(nears, fars, strict=True):
        total += np.maximum(far - np.maximum(near, reached), 0)
        reached = np.maximum(reached, far)
    return total


def attenuation(parts: Sequence[Part], camera: Camera, texture: Grid | None = None) -> Grid:
    """The line integral of the attenuation coefficient along every ray.

    Parts named "soft tissue" are united: thigh and trunk overlap at the hip and must not count twice.

    Args:
        parts: The body in its own coordinates.
        camera: Where it is seen from.
        texture: (rows, columns) float32 about 1 that multiplies the inside of textured parts.

    Returns:
        (rows, columns) float32, dimensionless, not negative.
    """
    total = np.float32(SOFT_TISSUE) * united_length([part for part in parts if part.name == "soft tissue"], camera)
    for part in parts:
        if part.name == "soft tissue":
            continue
        solids = moved(part.solids, camera.frame)
        outer = path_length(solids, camera)
        if outer is None:
            continue
        window, length, _ = outer
        total[window] += np.float32(part.attenuation) * length
        if part.cortex <= 0:
            continue
        core = path_length([solid.shrunk(part.cortex, part.shaft_radius) for solid in solids], camera)
        if core is None:
            continue
        window, length, _ = core
        inside = np.float32(part.inner) * (texture[window] if part.textured and texture is not None else np.float32(1))
        total[window] += (inside - np.float32(part.attenuation)) * length
    return np.asarray(np.maximum(total, 0), dtype=np.float32)


def blur(image: Grid, sigma: float) -> Grid:
    """A Gaussian-like blur: three box passes along each axis, edges replicated; sigma in pixels."""
    radius = int(np.floor(np.sqrt(sigma * sigma + 0.25)))
    if radius < 1:
        return image
    width = 2 * radius + 1
    for axis in (0, 1):
        for _ in range(3):
            pad = [(0, 0), (0, 0)]
            pad[axis] = (radius + 1, radius)
            sums = np.cumsum(np.pad(image, pad, mode="edge"), axis=axis, dtype=np.float64)
            head, tail = (sums[width:], sums[:-width]) if axis == 0 else (sums[:, width:], sums[:, :-width])
            image = ((head - tail) / width).astype(np.float32)
    return image


def noise_texture(shape: tuple[int, int], grain: float, generator: np.random.Generator) -> Grid:
    """Band-limited noise of mean 0 and standard deviation 1; `grain` is its scale in pixels."""
    coarse = generator.standard_normal((int(shape[0] / grain) + 3, int(shape[1] / grain) + 3)).astype(np.float32)
    rows = np.linspace(0.5, 0.5 + shape[0] / grain, shape[0], dtype=np.float32)
    columns = np.linspace(0.5, 0.5 + shape[1] / grain, shape[1], dtype=np.float32)
    i, j = rows.astype(int), columns.astype(int)
    fraction_i, fraction_j = (rows - i)[:, None], (columns - j)[None, :]
    upper = coarse[i][:, j] * (1 - fraction_j) + coarse[i][:, j + 1] * fraction_j
    lower = coarse[i + 1][:, j] * (1 - fraction_j) + coarse[i + 1][:, j + 1] * fraction_j
    texture = upper * (1 - fraction_i) + lower * fraction_i
    return np.asarray((texture - texture.mean()) / (texture.std() + 1e-6), dtype=np.float32)


def expose(
    integral: Grid, aperture: Grid, *, photons: float, scatter: float, spacing: float, generator: np.random.Generator
) -> Grid:
    """What the detector reads: Beer-Lambert, scatter, quantum and electronic noise.

    Args:
        integral: (H, W) line integrals of the attenuation.
        aperture: (H, W) in [0, 1], the open share of the collimator.
        photons: Quanta per pixel that reach the detector under the mean of the field.
        scatter: Scattered share of the signal: up to 0.8 behind a trunk without a grid, below 0.3 behind a hand
            (Bushberg et al., The Essential Physics of Medical Imaging).
        spacing: Millimetres per pixel.
        generator: Source of the noise.

    Returns:
        (H, W) float32, positive, 1.0 = the unattenuated beam.
    """
    primary = np.exp(-integral) * aperture
    veil = blur(primary * (1 - np.exp(-integral)), 25.0 / spacing)
    signal = (1 - scatter) * primary + scatter * veil + np.float32(2e-4)
    level = float(np.median(signal[aperture > 0.5])) if bool((aperture > 0.5).any()) else 1.0
    quanta = signal * np.float32(photons / level)
    noise = generator.standard_normal(signal.shape, dtype=np.float32) * np.sqrt(quanta + 1)
    return np.asarray(np.maximum(quanta + noise, 1) * np.float32(level / photons), dtype=np.float32)
