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
from samx.reading.field import field_of

PREPROCESSING_VERSION: Final = 3
"""Raised whenever the same radiograph would give another image; artifacts of other versions are refused."""

_ELLIPSE = 0.9
_GREY_LEVELS = 1024


class PreprocessingConfig(pydantic.BaseModel):
    """How a radiograph becomes the network's input."""

    model_config = pydantic.ConfigDict(frozen=True, extra="forbid")

    version: Literal[3] = PREPROCESSING_VERSION
    """Version of the code below; written into the artifact and checked when it is loaded."""
    size: int = pydantic.Field(default=224, ge=32, le=1024)
    """Side of the square image in pixels. Cost grows with its square; below 96 small bones are lost."""
    working_size: int = pydantic.Field(default=512, ge=64, le=4096)
    """Long side in pixels to which a radiograph is reduced while it is read; at least `size`."""

    @pydantic.model_validator(mode="after")
    def _working_size_is_not_smaller(self) -> "PreprocessingConfig":
        if self.working_size < self.size:
            raise ValueError(f"working_size {self.working_size} must be at least size {self.size}")
        return self


def preprocess(radiograph: Radiograph, config: PreprocessingConfig) -> npt.NDArray[np.uint8]:
    """Cut off what lies outside the field, fit into a square without changing the aspect ratio, equalise grey levels.

    Args:
        radiograph: pixels `(H, W)` float32 in [0, 1], bright is dense.
        config: side length.

    Returns:
        `(size, size)` uint8; the shorter side is padded with 0 on both ends.
    """
    return in_square(equalise(fit(radiograph.pixels, config.size)), config.size)


def fit(pixels: npt.NDArray[np.float32], size: int) -> npt.NDArray[np.float32]:
    """Cut off what lies outside the field; resize the rest to a long side of `size`, `(H, W)` float32 in [0, 1]."""
    field = pixels[field_of(pixels)]
    scale = size / max(field.shape)
    height, width = (max(1, round(side * scale)) for side in field.shape)
    resized = Image.fromarray(np.ascontiguousarray(field)).resize((width, height), Image.Resampling.BILINEAR)
    return np.asarray(resized)


def equalise(pixels: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Histogram equalisation: a pixel becomes the share of pixels that are darker.

    It undoes what differs most between vendors and sites: window, gamma and characteristic curve, all of them monotone.
    Shares are counted in the ellipse inside the field, where anatomy is; shutters, frames and burned-in marks lie
    mostly outside and must not decide about the anatomy's contrast.

    Args:
        pixels: `(H, W)` float32.

    Returns:
        `(H, W)` float32 in [0, 1]; zeros where all values are equal.
    """
    rows, columns = ((np.arange(side, dtype=np.float32) * 2 + 1) / side - 1 for side in pixels.shape)
    inside = rows[:, None] ** 2 + columns**2 < _ELLIPSE**2
    darkest, brightest = float(pixels[inside].min()), float(pixels[inside].max())
    if brightest <= darkest:
        return np.zeros_like(pixels)
    stretched = ((pixels - darkest) / (brightest - darkest)).clip(0.0, 1.0)
    levels = (stretched * (_GREY_LEVELS - 1)).astype(np.intp)
    up_to_level = np.bincount(levels[inside], minlength=_GREY_LEVELS).cumsum()
    shares = (up_to_level - up_to_level[0]) / (up_to_level[-1] - up_to_level[0])
    equalised: npt.NDArray[np.float32] = shares.astype(np.float32)[levels]
    return equalised


def in_square(pixels: npt.NDArray[np.float32], size: int) -> npt.NDArray[np.uint8]:
    """An image of `(H, W)` in [0, 1], neither above `size`, in the middle of a black `(size, size)` uint8 one."""
    image = np.zeros((size, size), np.uint8)
    height, width = pixels.shape
    top, left = (size - height) // 2, (size - width) // 2
    image[top : top + height, left : left + width] = np.rint(pixels * 255.0)
    return image
