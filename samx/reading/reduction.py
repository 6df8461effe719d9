"""From stored values to the working size: halved as JPEG 2000 halves, then averaged by area.

JPEG 2000 keeps an image as a pyramid, each level the low-pass of a wavelet transform, so that a smaller image costs
less to decode. Here the same reversible 5-3 low-pass (ITU-T T.800, annex F) is applied to what other codecs give. One
exposure then has one working image, whatever its transfer syntax: to the last bit where the codec is lossless.

A sample of the pyramid stands at the first pixel of those it stands for, not in their middle; the last step, the exact
mean of areas, makes up for that.
"""

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

_LARGEST_GAIN = 3  # any number of levels gives at most 1.7 times the input along each axis
_BAND = 96  # rows of the halved image made at a time: what they need stays in the processor's cache


@dataclass(frozen=True, slots=True)
class Raster:
    """An image whose values are asked for a band of rows at a time, so that it need not be copied as a whole."""

    rows: int
    columns: int
    low: int
    """The smallest value that can be stored."""
    high: int
    """The largest value that can be stored."""
    band: Callable[[int, int], NDArray[Any]]
    """Rows [first, last): `(last - first, columns)` of any integer dtype, all within [low, high]."""
    num_halvings: int = 0
    """How often the codec has halved it already."""
    by_dct: bool = False
    """Whether it did so by scaling a DCT: a sample then stands in the middle of the pixels that it stands for."""


def working_shape(rows: int, columns: int, working_size: int) -> tuple[int, int]:
    """Height and width with a long side of `working_size` at most; a smaller image is not enlarged."""
    scale = min(1.0, working_size / max(rows, columns))
    return max(1, round(rows * scale)), max(1, round(columns * scale))


def num_halvings(rows: int, columns: int, working_size: int) -> int:
    """How often an image can be halved and still have a long side of `working_size`."""
    count, side = 0, max(rows, columns)
    while side > 1 and (side := (side + 1) // 2) >= working_size:
        count += 1
    return count


def reduce_to(raster: Raster, rows: int, columns: int, working_size: int) -> NDArray[np.float32]:
    """Reduces a raster to the working size.

    Args:
        raster: of an image of `rows` and `columns`, or of that image halved `raster.num_halvings` times.
        rows: height of the original in pixels.
        columns: width of the original in pixels.
        working_size: at least 1.

    Returns:
        `working_shape(...)` float32, C-contiguous, in the units of the raster.
    """
    shape = working_shape(rows, columns, working_size)
    halvings = num_halvings(rows, columns, working_size)
    centre = (raster.low + raster.high + 1) // 2
    span = raster.high - raster.low
    dtype = _dtype(span)

    def centred(first: int, last: int) -> NDArray[Any]:
        values = raster.band(first, last).astype(dtype)
        values -= dtype(centre)
        return values

    band, size = centred, (raster.rows, raster.columns)
    image: NDArray[Any] | None = None
    for _ in range(halvings - raster.num_halvings):
        image = _halve(band, *size, span)
        span = _LARGEST_GAIN * (raster.high - raster.low)
        band, size = functools.partial(_rows, image, _dtype(span)), image.shape
    if image is None:
        image = centred(0, raster.rows)
    if halvings:
        np.clip(image, raster.low - centre, raster.high - centre, out=image)
    exact = np.float32 if image.dtype == np.int16 else np.float64
    values = np.add(image, exact(centre), dtype=exact).astype(np.float32, copy=False)
    by_wavelet = halvings - raster.num_halvings if raster.by_dct else halvings
    return _average_areas(values, shape, rows / 2**halvings, columns / 2**halvings, 0.5 - 0.5 / 2**by_wavelet)


def _rows(image: NDArray[Any], dtype: type[np.signedinteger[Any]], first: int, last: int) -> NDArray[Any]:
    return image[first:last].astype(dtype, copy=False)


def _dtype(span: int) -> type[np.signedinteger[Any]]:
    """The narrowest integer in which one level of centred values of this span cannot overflow."""
    if span < 2**14:
        return np.int16
    return np.int32 if span < 2**29 else np.int64


def _halve(band: Callable[[int, int], NDArray[Any]], rows: int, columns: int, span: int) -> NDArray[Any]:
    """The low-pass of one level: `(rows, columns)` to half of both, rounded up; rows first, as the standard does.

    Args:
        band: values of `_dtype(span)`.
        rows: of the image.
        columns: of the image.
        span: between the smallest and the largest value; half as large again after the rows.
    """
    height, dtype = (rows + 1) // 2, _dtype(span)
    # No detail is larger than the span of what it is made from.
    fits_upright, fits = (2 * largest + 2 <= np.iinfo(dtype).max for largest in (span, span + (span + 3) // 2))
    halved = np.empty((height, (columns + 1) // 2), dtype)
    for first in range(0, height, _BAND):
        last = min(first + _BAND, height)
        start = max(2 * first - 2, 0)  # the detail above the first row belongs to it, too
        lines = band(start, min(2 * last + 1, rows))
        upright = _low_pass(lines[0::2], lines[1::2], "C", fits=fits_upright)[first - start // 2 :][: last - first]
        even, odd = (np.ascontiguousarray(upright[:, parity::2]).T for parity in (0, 1))
        halved[first:last] = _low_pass(even, odd, "F", fits=fits).T
    return halved


def _low_pass(even: NDArray[Any], odd: NDArray[Any], order: Any, *, fits: bool) -> NDArray[Any]:
    """One step of the 5-3 transform along the first axis, from the even and the odd samples, mirrored at the ends.

        detail[n] = odd[n] - floor((even[n] + even[n + 1]) / 2)
        low[n] = even[n] + floor((detail[n - 1] + detail[n] + 2) / 4)

    Args:
        even: `(n, m)` signed integers.
        odd: `(n, m)` or one row less.
        order: how `even` lies in memory, "C" or "F".
        fits: whether the dtype can hold the sum of two details, and 2.
    """
    if not len(odd):
        return even
    detail = np.empty((len(even) + 1, even.shape[1]), even.dtype, order)  # detail[n] stands in row n + 1
    own = detail[1 : len(odd) + 1]
    np.add(even[:-1], even[1:], out=detail[1 : len(even)])
    if len(odd) == len(even):
        np.add(even[-1], even[-1], out=detail[-1])
    own >>= 1
    np.subtract(odd, own, out=own)
    detail[0] = detail[1]
    if len(odd) < len(even):
        detail[-1] = detail[-2]
    low = _quarter_of_sum(detail[:-1], detail[1:], fits=fits)
    low += even
    return low


def _quarter_of_sum(one: NDArray[Any], other: NDArray[Any], *, fits: bool) -> NDArray[Any]:
    """floor((one + other + 2) / 4)."""
    quarter: NDArray[Any]
    if fits:
        quarter = one + other
        quarter += one.dtype.type(2)
        quarter >>= 2
        return quarter
    # As floor((floor((one + other) / 2) + 1) / 2), where one + other = (one ^ other) + 2 (one & other).
    quarter = one ^ other
    quarter >>= 1
    quarter += one & other
    quarter += one.dtype.type(1)
    quarter >>= 1
    return quarter


def _average_areas(
    image: NDArray[np.float32], shape: tuple[int, int], height: float, width: float, offset: float
) -> NDArray[np.float32]:
    """Means of rectangles: `shape` of them cover `height` x `width` samples of the image, beginning at `offset`."""
    upright = _average_rows(image, shape[0], height, offset)
    turned = _average_rows(np.ascontiguousarray(upright.T), shape[1], width, offset)
    return np.ascontiguousarray(turned.T)


def _average_rows(image: NDArray[np.float32], num_rows: int, length: float, offset: float) -> NDArray[np.float32]:
    """Averages `(H, W)` to `(num_rows, W)`; row i covers [i, i + 1) * length / num_rows + offset."""
    height = len(image)
    if num_rows == height and offset == 0:
        return image
    edges = np.minimum(np.arange(num_rows + 1) * (length / num_rows) + offset, height)
    first_whole = np.ceil(edges - 1e-6).astype(np.intp)  # the first row that starts at or after each edge
    total = np.zeros((num_rows, *image.shape[1:]), np.float32)
    for step in range(int(np.diff(first_whole).max())):
        rows = first_whole[:-1] + step
        inside = rows < first_whole[1:]
        total[inside] += image[rows[inside]]
    # The row that an edge cuts went to the upper neighbour whole: hand over what belongs to the lower one.
    share = (first_whole - edges).astype(np.float32)[:, None]
    cut = image[np.maximum(first_whole - 1, 0)] * share
    total += cut[:-1]
    total -= cut[1:]
    total /= np.diff(edges).astype(np.float32)[:, None]
    return total
