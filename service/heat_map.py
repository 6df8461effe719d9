"""The pictures of a Grad-CAM: over the radiograph, alone, and where it is hottest."""

import base64
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from samx.classifier import Prediction
from samx.grad_cam import enlarge, overlay
from samx.png import to_png
from samx.preprocessing import PreprocessingConfig, fit, in_square
from samx.radiograph import Radiograph
from service.schemas import Box, HeatMap

HOT = 0.5
"""Share of the maximum from which on a position belongs to the hottest region."""
LARGEST_SIZE = 1024


@dataclass(frozen=True, slots=True)
class Picture:
    """What a heat map is laid over: the radiograph for eyes. It can be made before anybody knows the heat."""

    image: npt.NDArray[np.uint8]
    """The field that the network saw, in the finest resolution at hand and not equalised, `(S, S)` uint8."""
    png_base64: str
    """The same as a PNG; "" where nobody wants it alone."""


def picture_of(radiograph: Radiograph, preprocessing: PreprocessingConfig, *, alone: bool = True) -> Picture:
    """Draw a radiograph; `alone`: as a PNG, too. A small one is enlarged to what the network sees, and no further."""
    finest = max(preprocessing.size, *radiograph.pixels.shape)
    size = min(finest, preprocessing.working_size, LARGEST_SIZE)
    image = in_square(fit(radiograph.pixels, size), size)
    return Picture(image, _base64(image) if alone else "")


def heat_map_of(picture: Picture, prediction: Prediction) -> HeatMap:
    """The heat map as it is answered; `prediction.heat` must be there."""
    assert prediction.heat is not None
    rows, columns = picture.image.shape
    heat = enlarge(prediction.heat, (rows, columns))
    return HeatMap(
        label=prediction.label,
        width=columns,
        height=rows,
        overlay_png_base64=_base64(overlay(picture.image, heat)),
        image_png_base64=picture.png_base64,
        heat_png_base64=_base64(np.rint(heat * 255).astype(np.uint8)),
        hottest_region=hottest_region(prediction.heat, rows, columns),
    )


def overlay_png(picture: Picture, prediction: Prediction) -> bytes:
    """The radiograph with its heat map over it, as a PNG; `prediction.heat` must be there."""
    assert prediction.heat is not None
    return to_png(overlay(picture.image, prediction.heat))


def hottest_region(heat: npt.NDArray[np.float32], rows: int, columns: int) -> Box | None:
    """The box around what is connected to the maximum and at least `HOT` of it; None where nothing is hot.

    Args:
        heat: `(h, w)` float32 in [0, 1].
        rows: of the picture that the box is drawn on.
        columns: of that picture.
    """
    height, width = heat.shape
    peak = divmod(int(heat.argmax()), width)
    if heat[peak] <= 0:
        return None
    region, edge = {peak}, [peak]
    while edge:
        row, column = edge.pop()
        for near in ((row - 1, column), (row + 1, column), (row, column - 1), (row, column + 1)):
            inside = 0 <= near[0] < height and 0 <= near[1] < width
            if inside and near not in region and heat[near] >= HOT * heat[peak]:
                region.add(near)
                edge.append(near)
    top, left = min(row for row, _ in region), min(column for _, column in region)
    bottom, right = max(row for row, _ in region) + 1, max(column for _, column in region) + 1
    y, x = round(top * rows / height), round(left * columns / width)
    return Box(x=x, y=y, width=round(right * columns / width) - x, height=round(bottom * rows / height) - y)


def _base64(image: npt.NDArray[np.uint8]) -> str:
    return base64.b64encode(to_png(image)).decode()
