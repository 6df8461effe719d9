"""The pixels of a TIFF: one grey page, or one that is stored as colour.

Pillow reads the directory, and the refusals are its; imagecodecs decodes, because Pillow's libtiff writes its
complaints about a broken file to the standard error stream.
"""

from typing import Any

import imagecodecs
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from samx.errors import UnsupportedRadiograph
from samx.reading.image_pixel import value_range
from samx.reading.reduction import Raster

_COMPRESSIONS = ("raw", "packbits", "tiff_lzw", "tiff_deflate", "tiff_adobe_deflate")
_IMAGE_WIDTH, _IMAGE_LENGTH, _BITS_PER_SAMPLE = 256, 257, 258  # TIFF 6.0, section 8
_PHOTOMETRIC, _SAMPLES_PER_PIXEL, _SAMPLE_FORMAT = 262, 277, 339
_UNSIGNED, _SIGNED = 1, 2
_WHITE_IS_ZERO, _BLACK_IS_ZERO, _RGB = 0, 1, 2


def tiff_rasters(image: Image.Image, data: bytes | memoryview) -> list[Raster]:
    """Decodes the only page; one raster for each channel.

    Args:
        image: the file, opened by Pillow, within the limits.
        data: the whole file.

    Raises:
        UnsupportedRadiograph: transfer_syntax, bits_allocated, colour.
    """
    compression = image.info.get("compression", "raw")
    if compression not in _COMPRESSIONS:
        raise UnsupportedRadiograph(
            "transfer_syntax", f"the TIFF is compressed by another method than {', '.join(_COMPRESSIONS)}"
        )
    tags: Any = image.tag_v2  # type: ignore[attr-defined]  # of the subclass for TIFF
    bits, sample_format = (_first(tags.get(tag, 1)) for tag in (_BITS_PER_SAMPLE, _SAMPLE_FORMAT))
    if bits not in (8, 16, 32) or sample_format not in (_UNSIGNED, _SIGNED):
        raise UnsupportedRadiograph("bits_allocated", "the TIFF holds other values than integers of 8, 16 or 32 bits")
    samples, photometric = _first(tags.get(_SAMPLES_PER_PIXEL, 1)), _first(tags.get(_PHOTOMETRIC, _BLACK_IS_ZERO))
    if (samples, photometric) not in ((1, _WHITE_IS_ZERO), (1, _BLACK_IS_ZERO), (3, _RGB)):
        raise UnsupportedRadiograph("colour", "the TIFF is neither grey nor grey stored as RGB")
    rows, columns = _first(tags[_IMAGE_LENGTH]), _first(tags[_IMAGE_WIDTH])
    shape = (rows, columns) if samples == 1 else (rows, columns, 3)
    pixels: NDArray[Any] = np.empty(shape, f"{'i' if sample_format == _SIGNED else 'u'}{bits // 8}")
    imagecodecs.tiff_decode(data, out=pixels)  # type: ignore[arg-type]  # any buffer
    if photometric == _WHITE_IS_ZERO:
        np.invert(pixels, out=pixels)  # the largest value becomes the smallest, with a sign and without
    low, high = value_range(bits, signed=sample_format == _SIGNED)
    return [_channel(pixels, index, low, high) for index in range(samples)]


def _channel(pixels: NDArray[Any], index: int, low: int, high: int) -> Raster:
    channel = pixels if pixels.ndim == 2 else pixels[..., index]
    rows, columns = channel.shape
    return Raster(rows, columns, low, high, lambda first, last: channel[first:last])


def _first(value: Any) -> int:
    return int(value[0] if isinstance(value, tuple) else value)
