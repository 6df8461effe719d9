"""Whether a radiograph is a negative: exported without a window, or tagged MONOCHROME1 where it is not.

Around a limb there is air, which the beam passes unhindered: large, without structure, and dark where dense tissue is
bright. A negative is called one only where that is plain: much of the picture bright and flat, hardly any of it dark
and flat, and bright ridges, which cortex makes, outweighed by dark ones. White shutters are looked past, and a trunk,
which fills its field, is left as it is: a wrong inversion costs more than a missed one.

Measured on the real radiographs for development and on synthetic ones: `python -m tests.benchmarks.polarity`.
"""

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from samx.reading.field import field_of

_SIDE = 160
_FLAT = 0.004  # largest gradient per pixel, after smoothing
_BRIGHT, _DARK = 0.9, 0.1
_BRIGHT_SHARE = 0.15
_BRIGHT_TO_DARK = 4


def is_negative(pixels: NDArray[np.float32]) -> bool:
    """Tells whether air is bright.

    Args:
        pixels: `(H, W)` float32 in [0, 1].
    """
    scale = min(1.0, _SIDE / max(pixels.shape))
    height, width = (max(1, round(side * scale)) for side in pixels.shape)
    small = np.asarray(Image.fromarray(pixels).resize((width, height), Image.Resampling.BOX), np.float64)
    smooth = _box_mean(small, 2)
    if np.mean(smooth > _BRIGHT) < _BRIGHT_SHARE:  # nearly always; what is flat need not be looked for then
        return False
    bright, dark = _flat_shares(smooth)
    if bright < _BRIGHT_SHARE or bright < _BRIGHT_TO_DARK * dark:
        return False
    field = small[field_of(small)]
    bright, dark = _flat_shares(_box_mean(field, 2))
    return bright >= _BRIGHT_TO_DARK * dark and _ridge_skewness(field) < 0


def _flat_shares(smooth: NDArray[np.float64]) -> tuple[float, float]:
    """Shares of the area that are bright and flat, and dark and flat, of a smoothed image."""
    if min(smooth.shape) < 2:
        return 0.0, 0.0
    flat = np.hypot(*np.gradient(smooth)) < _FLAT
    return float(np.mean(flat & (smooth > _BRIGHT))), float(np.mean(flat & (smooth < _DARK)))


def _ridge_skewness(image: NDArray[np.float64]) -> float:
    """Third moment of the difference from the surroundings: above zero where bright ridges stand out."""
    smooth = _box_mean(image, 1)
    return float(np.mean((smooth - _box_mean(smooth, 4)) ** 3))


def _box_mean(image: NDArray[np.float64], radius: int) -> NDArray[np.float64]:
    """Mean over a square of `2 * radius + 1`; the edges are repeated."""
    sums = np.pad(image, radius, mode="edge")
    for axis in (0, 1):
        sums = np.cumsum(np.insert(sums, 0, 0.0, axis), axis)
        width = 2 * radius + 1
        upper, lower = (np.take(sums, np.arange(start, start + image.shape[axis]), axis) for start in (width, 0))
        sums = (upper - lower) / width
    return sums
