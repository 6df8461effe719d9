"""Five simulated sites: how each processes the detector's signal, and how it marks, borders and stores the picture.

Westhaven is the external one: it shares no vendor, polarity, depth or transfer syntax habit with the other four.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from samx.phantom.projection import blur
from samx.phantom.solids import Grid

EXTERNAL_SITE = "Westhaven"


@dataclass(frozen=True, slots=True)
class Site:
    """Habits of one hospital; shares are probabilities."""

    name: str
    """Institution Name (0008,0080)."""
    share: float
    manufacturer: str
    models: tuple[str, ...]
    stations: tuple[str, ...]
    modality: str
    """CR or DX, which also chooses the SOP class."""
    bits_stored: int
    bits_allocated: int
    monochrome1: float
    """Share of MONOCHROME1 (0028,0004)."""
    transfer_syntaxes: tuple[str, ...]
    """pydicom.uid names."""
    windowed: float
    """Share with Window Center and Width, which a DX image must have (PS3.3 C.11.2)."""
    gamma: float
    """Above 1: dark mid-tones."""
    sigmoid: float
    """Steepness of the characteristic curve, 0 for none."""
    equalised: float
    """How much of the low frequencies is taken away (multi-scale processing), 0 to 1."""
    edge: float
    """Strength of the edge enhancement."""
    edge_sigma: float
    """Its radius in pixels at a long side of 320."""
    photons: float
    """Quanta per pixel: fewer are noisier."""
    blur: float
    """Detector blur in pixels at a long side of 320."""
    collimated: float
    """Share where the blades are in the picture."""
    border: str
    """What lies beyond the blades: "black", "white" or "signal" (not shuttered)."""
    framed: float
    """Share with a printed frame."""
    marker: float
    """Share with a burned-in side."""
    marker_style: str
    """"lead" (bright letter), "box" (dark on bright) or "text" ("R" with the projection)."""
    dated: float
    """Share with a burned-in date."""
    implant: float
    cast: float
    margin: tuple[float, float]
    """Range of the detector's size against the field."""


SITES: Mapping[str, Site] = {
    site.name: site
    for site in (
        Site("Northfield", 0.30, "Aster Imaging", ("DR-500", "DR-700"), ("NFXR1", "NFXR2", "NFXR3"), "DX", 12, 16,
            0.0, ("ExplicitVRLittleEndian", "JPEGLosslessSV1"),
             1.0, 1.0, 3.5, 0.45, 0.55, 3.0, 5000, 0.5, 0.45, "black", 0.0, 0.85, "lead", 0.03, 0.10, 0.04, (1.0,
                 1.12)),
        Site("Eastbrook", 0.25, "Borealis Medical", ("Plate Reader 12",), ("EBCR01", "EBCR02"), "CR", 10, 16, 0.6,
            ("ImplicitVRLittleEndian", "RLELossless"),
             0.8, 1.25, 0.0, 0.25, 0.2, 2.0, 1400, 0.8, 0.75, "signal", 0.1, 0.7, "lead", 0.10, 0.07, 0.10, (1.05,
                 1.35)),
        Site("Southgate", 0.17, "Corvid Health", ("Panel S", "Panel S2"), ("SGDX1", "SGDX2"), "DX", 14, 16, 0.15,
            ("JPEG2000Lossless", "ExplicitVRLittleEndian"),
             1.0, 0.85, 2.0, 0.7, 0.9, 1.5, 8000, 0.0, 0.3, "black", 0.0, 0.9, "text", 0.25, 0.16, 0.03, (1.0, 1.06)),
        Site("Oldminster", 0.13, "Dunlin X-Ray", ("FilmScan 8",), ("OMFD",), "CR", 8, 8, 0.0,
            ("ExplicitVRLittleEndian", "JPEGLosslessSV1", "RLELossless"),
             0.1, 1.1, 3.5, 0.15, 0.0, 2.0, 900, 1.1, 0.8, "white", 0.55, 0.75, "box", 0.7, 0.05, 0.07, (1.02, 1.3)),
        Site(EXTERNAL_SITE, 0.15, "Egret Radiography", ("Vantage W",), ("WHX-A", "WHX-B"), "DX", 16, 16, 1.0,
            ("JPEG2000Lossless", "RLELossless"),
             1.0, 0.7, 1.0, 0.6, 1.4, 5.0, 2600, 0.3, 0.6, "black", 0.05, 0.8, "box", 0.35, 0.13, 0.06, (1.0, 1.25)),
    )
}  # fmt: skip
"""Site name -> habits; the shares of images sum to 1."""


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
    beyond = {"black": 0.0, "white": 1.0, "signal": 1.0}[site.border]
    shuttered = site.border != "signal" or generator.random() < 0.5
    if shuttered:
        pixels = pixels * aperture + np.float32(beyond if site.border != "signal" else 0.0) * (1 - aperture)
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
    canvas = Image.fromarray((pixels * 255).astype(np.uint8), mode=None)
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
        for _ in range(max(1, round(3 * unit))):
            drawn.rectangle((_, _, columns - 1 - _, rows - 1 - _), outline=255 if site.border != "white" else 0)
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
