"""The collimated field: the part of a radiograph inside shutters, film frames and padding."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from samx.reading.quantiles import quantiles

_UNIFORM_SPREAD = 0.03
_WHITE = 0.95
_LARGEST_TRIM = 0.4


def field_of(pixels: NDArray[np.floating[Any]]) -> tuple[slice, slice]:
    """Finds the rows and columns that are left when uniform ones are cut off the edges.

    A line belongs to the border when the middle 90 % of its values lie within 0.03, burned-in characters touching
    fewer; or when half of it is white, which the air around a limb never is: white shutters keep their captions and
    stand askew. At most 40 % of a side is cut from one edge, so that a blank exposure stays an image.

    Args:
        pixels: `(H, W)` in [0, 1].

    Returns:
        Rows and columns, neither empty.
    """

    def kept(lines: NDArray[np.floating[Any]]) -> slice:
        low, median, high = quantiles(lines, np.array((0.05, 0.5, 0.95)))
        inside = np.flatnonzero((high - low > _UNIFORM_SPREAD) & (median < _WHITE))
        length = len(low)
        if len(inside) == 0:
            return slice(0, length)
        furthest = int(length * _LARGEST_TRIM)
        return slice(min(int(inside[0]), furthest), max(int(inside[-1]) + 1, length - furthest))

    return kept(pixels), kept(pixels.T)
