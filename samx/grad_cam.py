"""Grad-CAM: where in the radiograph the evidence for a class lies, and the picture of it.

For a head that is global average pooling and one linear layer, the gradient of a class's logit with respect to the
last feature maps is its row of the head, divided by the number of positions. Grad-CAM (Selvaraju et al. 2017, equations
1 and 2) is then `relu(sum_d weight[class, d] * map[d])`: no backward pass.
"""

from functools import cache

import numpy as np
import numpy.typing as npt
from PIL import Image

# Anchors of the colour map, dark to bright: black, violet, red, orange, pale yellow.
_HEAT_LEVELS = 1025
_HEAT_ANCHORS = np.array([[0, 0, 0], [80, 18, 123], [190, 55, 82], [249, 142, 9], [252, 255, 164]], np.float32)


def heat_map(feature_maps_DHW: npt.NDArray[np.float32], head_row_D: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Grad-CAM of one class at the resolution of the feature maps.

    Args:
        feature_maps_DHW: last feature maps of one image, `(D, H, W)`.
        head_row_D: weights of the class in the linear head, `(D,)`.

    Returns:
        `(H, W)` float32 in [0, 1], 0 at its minimum and 1 at its maximum; all 0 where nothing speaks for the class, or
        everything equally.
    """
    cam = np.maximum(np.tensordot(head_row_D, feature_maps_DHW, axes=1), 0.0)
    cam -= cam.min()
    peak = float(cam.max())
    return (cam / peak if peak > 0 else np.zeros_like(cam)).astype(np.float32)


def enlarge(heat: npt.NDArray[np.float32], shape: tuple[int, int]) -> npt.NDArray[np.float32]:
    """A heat map `(h, w)` in [0, 1] at the size of a picture, `shape` float32 in [0, 1]; itself where it has it."""
    if heat.shape == shape:
        return heat
    enlarged = np.asarray(Image.fromarray(heat).resize(shape[::-1], Image.Resampling.BICUBIC))
    return enlarged.clip(0.0, 1.0)


def overlay(image: npt.NDArray[np.uint8], heat: npt.NDArray[np.float32]) -> npt.NDArray[np.uint8]:
    """Colour a radiograph by a heat map, the stronger the hotter.

    Args:
        image: `(H, W)` uint8, the preprocessed image.
        heat: `(h, w)` float32 in [0, 1], enlarged to the image where it is smaller.

    Returns:
        `(H, W, 3)` uint8 RGB.
    """
    levels_HW = np.rint(enlarge(heat, (image.shape[0], image.shape[1])) * (_HEAT_LEVELS - 1)).astype(np.intp)
    levels_HW *= 256
    levels_HW += image
    picture: npt.NDArray[np.uint8] = _mixed_colours().take(levels_HW, axis=0)
    return picture


@cache
def _mixed_colours() -> npt.NDArray[np.uint8]:
    """Colour of every heat level over every grey value, `(levels * 256, 3)`, to be looked up."""
    heat = np.linspace(0, 1, _HEAT_LEVELS)
    positions = heat * (len(_HEAT_ANCHORS) - 1)
    colours = np.stack(
        [np.interp(positions, range(len(_HEAT_ANCHORS)), channel) for channel in _HEAT_ANCHORS.T], axis=1
    )
    strengths = 0.6 * heat[:, None, None]
    mixed = np.arange(256)[None, :, None] * (1 - strengths) + colours[:, None] * strengths
    rounded: npt.NDArray[np.uint8] = np.rint(mixed).astype(np.uint8).reshape(-1, 3)
    return rounded
