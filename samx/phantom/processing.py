"""What a site does with the detector's signal: blades, processing, shutter, and what it burns into the picture."""

from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from samx.phantom.projection import blur
from samx.phantom.sites import Site
from samx.phantom.solids import Grid


@dataclass(frozen=True, slots=True)
class Presentation:
    """One radiograph as a site archives it, before it is stored."""

    pixels: Grid
    """(H, W) float32 in [0, 1], bright = dense."""
    window: tuple[float, float]
    """Center and width on the same scale."""


def aperture_of(site: Site, shape: tuple[int, int], field: tuple[float, float], generator: np.random.Generator) -> Grid:
    """The open share of the collimator on the detector.

    Args:
        site: Whose blades.
        shape: (rows, columns) of the detector.
        field: Height and width of the field as shares of the detector's.
        generator: Source of the small errors of centring and angle.

    Returns:
        (rows, columns) float32 in [0, 1].
    """
    rows, columns = shape
    angle = np.radians(float(generator.normal(0, 1.6)))
    v = np.arange(rows, dtype=np.float32)[:, None] - rows / 2 + float(generator.normal(0, 0.012)) * rows
    u = np.arange(columns, dtype=np.float32)[None, :] - columns / 2 + float(generator.normal(0, 0.012)) * columns
    x, y = u * np.cos(angle) + v * np.sin(angle), v * np.cos(angle) - u * np.sin(angle)
    reach = np.minimum(field[1] * columns / 2 - np.abs(x), field[0] * rows / 2 - np.abs(y))
    return np.asarray(np.clip(reach / (1.2 + 0.6 * site.blur) + 0.5, 0, 1), dtype=np.float32)


def present(
    site: Site, signal: Grid, aperture: Grid, generator: np.random.Generator, *, uneven: bool = False
) -> Presentation:
    """From the detector's signal to the picture a site shows: log, equalisation, edges, characteristic curve, shutter.

    Args:
        site: Whose processing.
        signal: (H, W) float32, positive.
        aperture: (H, W) float32 in [0, 1].
        generator: Source of the differences between exposures at one site.
        uneven: Whether even a site without such processing evens the density out (by a wedge filter).
    """
    unit = max(signal.shape) / 320
    density = blur(-np.log(signal), site.blur * unit) if site.blur else -np.log(signal)
    open_field = aperture > 0.5
    inside = density[open_field] if bool(open_field.any()) else density.ravel()
    floor, ceiling = float(np.percentile(inside, 0.5)), float(np.percentile(inside, 99.7))
    density = np.clip(density, floor - 0.3, ceiling + 0.6)
    equalised = float(np.clip(max(site.equalised, 0.55 * uneven) * generator.normal(1, 0.15), 0, 0.9))
    if equalised:
        density = density - np.float32(equalised) * (blur(density, 22 * unit) - np.float32(inside.mean()))
    if site.edge:
        strength = site.edge * float(generator.normal(1, 0.2))
        density = density + np.float32(strength) * (density - blur(density, site.edge_sigma * unit))
    inside = density[open_field] if bool(open_field.any()) else density.ravel()
    low, high = np.percentile(inside, [float(generator.uniform(0.3, 4)), float(generator.uniform(98.8, 99.9))])
    pixels = np.clip((density - low) / max(float(high - low), 0.15), 0, 1)
    if site.sigmoid:
        pixels = 1 / (1 + np.exp(-np.float32(site.sigmoid) * (pixels - 0.5)))
        edge = 1 / (1 + np.exp(0.5 * site.sigmoid))
        pixels = (pixels - edge) / (1 - 2 * edge)
    pixels = np.clip(pixels, 0, 1) ** np.float32(site.gamma * float(generator.normal(1, 0.1)))
    if site.border != "signal" or generator.random() < 0.5:
        pixels = pixels * aperture + np.float32(site.border == "white") * (1 - aperture)
    return Presentation(
        np.clip(pixels, 0, 1).astype(np.float32),
        (0.5 + float(generator.normal(0, 0.02)), 1.0 + float(generator.normal(0, 0.04))),
    )


def mark(site: Site, pixels: Grid, *, letter: str, caption: str, date: str, generator: np.random.Generator) -> Grid:
    """Burns in the side, the projection and a date, and the frame, as the site does.

    Args:
        site: Whose habits.
        pixels: (H, W) float32 in [0, 1].
        letter: "L", "R" or "".
        caption: A word beside it, for sites that print text.
        date: The date as printed.
        generator: Source of presence and position.

    Returns:
        (H, W) float32 in [0, 1].
    """
    rows, columns = pixels.shape
    canvas = Image.fromarray((pixels * 255).astype(np.uint8))
    drawn = ImageDraw.Draw(canvas)
    unit = max(rows, columns) / 320
    changed = False
    with_marker, with_date, with_frame = (
        bool(generator.random() < share) for share in (site.marker, site.dated, site.framed)
    )
    x, y = float(generator.uniform(0.03, 0.16)), float(generator.uniform(0.03, 0.3))
    right, low = bool(generator.random() < 0.5), bool(generator.random() < 0.4)
    ink = int(generator.integers(215, 256))
    if with_frame:
        outline = 0 if site.border == "white" else 255
        drawn.rectangle((0, 0, columns - 1, rows - 1), outline=outline, width=max(1, round(3 * unit)))
        changed = True
    if with_marker and letter:
        size = (22 if site.marker_style == "lead" else 16) * unit * float(generator.uniform(0.8, 1.25))
        font = ImageFont.load_default(size=size)
        text = letter if site.marker_style != "text" else f"{letter} {caption}"
        width = drawn.textlength(text, font=font)
        left = min(x * columns, columns - width - 3) if not right else max(columns * (1 - x) - width, 2)
        top = y * rows if not low else rows * (1 - y) - size * 1.2
        if site.marker_style == "box":
            drawn.rectangle((left - 3 * unit, top, left + width + 3 * unit, top + 1.25 * size), fill=ink)
            drawn.text((left, top), text, fill=0, font=font)
        else:
            drawn.text((left, top), text, fill=ink, font=font)
        changed = True
    if with_date:
        font = ImageFont.load_default(size=10 * unit)
        drawn.text(
            (0.03 * columns, 4 * unit if low else rows - 16 * unit),
            date,
            fill=ink if site.border != "white" else 128,
            font=font,
        )
        changed = True
    if not changed:
        return pixels
    burned = np.asarray(canvas, np.float32) / 255
    return np.where(np.abs(burned - pixels) > 1 / 254, burned, pixels).astype(np.float32)
