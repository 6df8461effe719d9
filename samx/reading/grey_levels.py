"""From stored values to grey: modality LUT, VOI LUT or window, PS3.3 C.11; robust percentiles where there is none.

It works on the few pixels of the working size. For a linear step that is the same as on all of them; for a table it is
the same to within what the table bends over a few pixels.
"""

import numpy as np
from numpy.typing import NDArray

from samx.reading.dicom import Elements
from samx.reading.field import field_of
from samx.reading.quantiles import quantiles

_SHARES = np.array((0.005, 0.995))
_ROUNDING = 1e-5
_EDGE = 32  # that part of the field is its blurred edge
_FEWEST_GREYS = 1 / 255  # a window that leaves less between the darkest and the brightest pixel shows nothing


def padding(stored: NDArray[np.float32], elements: Elements, *, signed: bool) -> NDArray[np.bool_] | None:
    """Tells where the pixels are no image, PS3.3 C.7.5.1.1.2: `(H, W)`; None without Pixel Padding Value."""
    value = elements.shorts("PixelPaddingValue", signed=signed)[:1]
    limit = elements.shorts("PixelPaddingRangeLimit", signed=signed)[:1] or value
    if not value:
        return None
    return (stored >= min(value + limit) - 0.5) & (stored <= max(value + limit) + 0.5)


def apply_modality_lut(values: NDArray[np.float32], elements: Elements) -> NDArray[np.float32]:
    """Applies Modality LUT Sequence or Rescale Slope and Intercept, PS3.3 C.11.1. `(H, W)` stored values in."""
    item = elements.first_item("ModalityLUTSequence")
    if item is not None and (lut := _lut(item, elements)) is not None:
        first, table, _ = lut
        return np.interp(values, first + np.arange(len(table)), table).astype(np.float32)
    slope = (elements.decimals("RescaleSlope") or [1.0])[0] or 1.0
    intercept = (elements.decimals("RescaleIntercept") or [0.0])[0]
    return values * np.float32(slope) + np.float32(intercept)


def apply_voi_lut(values: NDArray[np.float32], elements: Elements) -> NDArray[np.float32] | None:
    """Applies the first window that shows something, else the VOI LUT, PS3.3 C.11.2; None where neither does.

    Args:
        values: `(H, W)` after the modality LUT.
        elements: the data set.

    Returns:
        `(H, W)` in [0, 1].
    """
    function = elements.text("VOILUTFunction")
    centers, widths = elements.decimals("WindowCenter"), elements.decimals("WindowWidth")
    for center, width in zip(centers, widths, strict=False):
        if width > 0 and _shows_something(pixels := _window(values, center, width, function)):
            return pixels
    item = elements.first_item("VOILUTSequence")
    if item is not None and (lut := _lut(item, elements)) is not None:
        first, table, top = lut
        pixels = np.asarray(np.interp(values, first + np.arange(len(table)), table) / top, np.float32)
        if _shows_something(pixels):
            return pixels
    return None


def _shows_something(pixels: NDArray[np.float32]) -> bool:
    return bool(np.ptp(pixels) >= _FEWEST_GREYS)


def _window(values: NDArray[np.float32], center: float, width: float, function: str) -> NDArray[np.float32]:
    """Maps values to [0, 1] by one of the functions of PS3.3 C.11.2.1.2 and C.11.2.1.3."""
    if function == "SIGMOID":
        return np.asarray(1 / (1 + np.exp(np.clip(-4 * (values - center) / width, -80, 80))), np.float32)
    if function != "LINEAR_EXACT":  # LINEAR, also where nothing is said
        center, width = center - 0.5, max(width - 1, 1e-6)
    return np.asarray(np.clip((values - center) / width + 0.5, 0, 1), np.float32)


def _lut(item: Elements, elements: Elements) -> tuple[int, NDArray[np.float64], float] | None:
    """Returns a LUT's first input value, entries and full scale, PS3.3 C.11.1.1.1; None where it is broken."""
    descriptor = item.shorts("LUTDescriptor")
    if len(descriptor) != 3:
        return None
    num_entries, first, bits = descriptor
    num_entries = num_entries or 65536
    if item.vr("LUTDescriptor") == "SS" or (elements.shorts("PixelRepresentation") == [1] and first >= 0x8000):
        first -= 0x10000 if first >= 0x8000 else 0
    data = item.raw("LUTData")[: 2 * num_entries]
    if len(data) == 2 * num_entries:
        table = np.frombuffer(data, ">u2" if item.big_endian else "<u2").astype(np.float64)
    else:  # two 8-bit entries to a word
        table = np.frombuffer(data[:num_entries], np.uint8).astype(np.float64)
    if len(table) < num_entries or not 8 <= bits <= 16:
        return None
    return first, table, max(2.0**bits - 1, float(table.max()))


def stretch(values: NDArray[np.float32], content: NDArray[np.bool_] | None = None) -> NDArray[np.float32]:
    """Maps robust percentiles of the collimated field to 0 and 1; a picture of one value becomes 0.

    Args:
        values: `(H, W)`, any unit.
        content: `(H, W)`, false where padding must not count.

    Returns:
        `(H, W)` in [0, 1].
    """
    if content is None or not content.any():
        content = np.ones(values.shape, bool)
    whole = _between(values, *_robust_range(values[content]))
    field = tuple(_inset(side, length) for side, length in zip(field_of(whole), values.shape, strict=True))
    inside = values[field][content[field]]
    return _between(values, *_robust_range(inside)) if len(inside) else whole


def _inset(side: slice, length: int) -> slice:
    """Without the lines at the ends where something was cut off: a shutter's edge is blurred into them."""
    margin = (side.stop - side.start) // _EDGE
    return slice(side.start + (margin if side.start else 0), side.stop - (margin if side.stop < length else 0))


def _robust_range(values: NDArray[np.float32]) -> tuple[float, float]:
    low, high = quantiles(values[None], _SHARES)[:, 0]
    return (low, high) if high > low else (values.min(), values.max())


def _between(values: NDArray[np.float32], low: float, high: float) -> NDArray[np.float32]:
    rounding = _ROUNDING * max(abs(float(low)), abs(float(high)))  # of a constant image that was reduced
    return np.asarray(np.clip((values - low) / max(float(high - low), rounding, 1e-6), 0, 1), np.float32)
