"""Preprocessing: from the pixels of a radiograph to the square image the network sees.

It is data saved inside the artifact, so that a service repeats exactly what training did. The result is 8 bit on
purpose: training reads its cached images and the service its fresh ones, and both see the same numbers.
"""

from typing import Final, Literal

import numpy as np
import numpy.typing as npt
import pydantic
from PIL import Image

from samx.radiograph import Radiograph

PREPROCESSING_VERSION: Final = 1
"""Raised whenever the same radiograph would give another image; artifacts of other versions are refused."""

_UNIFORM_SPREAD = 0.03
_LARGEST_TRIM = 0.4


class PreprocessingConfig(pydantic.BaseModel):
    """How a radiograph becomes the network's input."""

    model_config = pydantic.ConfigDict(frozen=True, extra="forbid")

    version: Literal[1] = PREPROCESSING_VERSION
    """Version of the code below; written into the artifact and checked when it is loaded."""
    size: int = pydantic.Field(default=224, ge=32, le=1024)
    """Side of the square image in pixels. Cost grows with its square; below 96 small bones are lost."""
    working_size: int = pydantic.Field(default=512, ge=64, le=4096)
    """Long side in pixels to which a radiograph is reduced while it is read; at least `size`."""
    percentiles: tuple[float, float] = (0.5, 99.5)
    """Intensities at these percentiles (0 to 100) become black and white."""

    @pydantic.model_validator(mode="after")
    def _working_size_is_not_smaller(self) -> "PreprocessingConfig":
        if self.working_size < self.size:
            raise ValueError(f"working_size {self.working_size} must be at least size {self.size}")
        return self

    @pydantic.field_validator("percentiles")
    @classmethod
    def _percentiles_rise(cls, percentiles: tuple[float, float]) -> tuple[float, float]:
        low, high = percentiles
        if not 0 <= low < high <= 100:
            raise ValueError(f"percentiles {percentiles}: allowed are 0 <= black < white <= 100")
        return percentiles


def preprocess(radiograph: Radiograph, config: PreprocessingConfig) -> npt.NDArray[np.uint8]:
    """Trim uniform borders, stretch intensities, and fit into a square without changing the aspect ratio.

    Args:
        radiograph: pixels `(H, W)` float32 in [0, 1], bright is dense.
        config: side length and percentiles.

    Returns:
        `(size, size)` uint8; the shorter side is padded with 0 on both ends.
    """
    field = trim_uniform_border(radiograph.pixels)
    low, high = np.percentile(field, config.percentiles)
    field = np.clip((field - low) / max(float(high - low), 1e-6), 0.0, 1.0).astype(np.float32)
    scale = config.size / max(field.shape)
    height, width = (max(1, round(side * scale)) for side in field.shape)
    resized = Image.fromarray(field).resize((width, height), Image.Resampling.BILINEAR)
    image = np.zeros((config.size, config.size), np.uint8)
    top, left = (config.size - height) // 2, (config.size - width) // 2
    image[top : top + height, left : left + width] = np.rint(np.asarray(resized) * 255.0)
    return image


def trim_uniform_border(pixels: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Cut rows and columns of one grey value off the edges: collimator shadow, film frames, padding.

    A line counts as uniform when the middle 90 % of its values lie within 0.03; burned-in characters touch fewer.
    At most 40 % of a side is cut from one edge, so that a blank exposure stays an image.

    Args:
        pixels: `(H, W)` float32 in [0, 1].

    Returns:
        A view of `pixels`, `(H', W')` with `H' <= H` and `W' <= W`, never empty.
    """

    def kept(axis: int) -> slice:
        low, high = np.percentile(pixels, (5.0, 95.0), axis=axis)
        textured = np.flatnonzero(high - low > _UNIFORM_SPREAD)
        length = len(low)
        if len(textured) == 0:
            return slice(0, length)
        furthest = int(length * _LARGEST_TRIM)
        return slice(min(int(textured[0]), furthest), max(int(textured[-1]) + 1, length - furthest))

    return pixels[kept(1), kept(0)]
