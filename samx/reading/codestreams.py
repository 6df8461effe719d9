"""JPEG, JPEG-LS, JPEG 2000 and HTJ2K codestreams, decoded no larger than they are needed.

| codestream | decoder | where it cannot read |
| --- | --- | --- |
| JPEG baseline, extended, progressive of 8 bits | Pillow (libjpeg-turbo), DCT scaled to 1/2, 1/4, 1/8 | imagecodecs |
| JPEG extended of 12 bits | imagecodecs (libjpeg-turbo 3) | |
| JPEG lossless | imagecodecs (libjpeg-turbo 3) | imagecodecs (jpegsof3) |
| JPEG-LS | imagecodecs (CharLS) | |
| JPEG 2000, HTJ2K | Pillow (OpenJPEG), at a lower resolution level | imagecodecs (OpenJPEG), whole |

The header is read first: a codestream that says another size than Rows and Columns never reaches its decoder. OpenJPH
decodes HTJ2K faster than OpenJPEG, but imagecodecs 2026.3.6 reports an error in the middle of its codestream on stderr
only and returns what stood in memory.
"""

import itertools
import re
import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import imagecodecs
import numpy as np
from numpy.typing import NDArray
from PIL import Image, JpegImagePlugin

from samx.errors import RadiographError, UnreadableRadiograph, UnsupportedRadiograph
from samx.reading.image_pixel import ImagePixel, value_range
from samx.reading.limits import ReadLimits
from samx.reading.quiet import without_warnings
from samx.reading.reduction import Raster, num_halvings, working_shape
from samx.reading.stream import as_file

Array = NDArray[Any]
Decoder = Callable[[memoryview], tuple[Array, int]]
"""Gives an array and how often the codec has halved it."""

_JPEG_START = b"\xff\xd8"
_JPEG_2000_START = b"\xff\x4f\xff\x51"
_JPEG_LS, _JPEG_LOSSLESS = 0xF7, 0xC3  # frame headers
_OVERSHOOT = 1.5  # of a low-pass beside an edge, where the codestream has room for more bits than are stored


@dataclass(frozen=True, slots=True)
class _Header:
    """What a codestream says of itself."""

    rows: int
    columns: int
    components: int
    precision: int
    """Bits of a value."""
    decoders: tuple[Decoder, ...]
    """The first is the better one."""
    by_dct: bool = False


def read_codestream(frame: memoryview, image_pixel: ImagePixel, working_size: int, limits: ReadLimits) -> Raster:
    """Decodes a frame, after comparing what its header claims; see samx.reading.codecs.raster."""
    if frame[:2].tobytes() == _JPEG_START:
        header = _jpeg(frame, image_pixel, working_size, limits)
    else:
        start = bytes(frame[:4096]).find(_JPEG_2000_START)  # behind the boxes of a JP2 file, which happen
        frame = frame[max(start, 0) :]
        header = _jpeg_2000(frame, image_pixel, working_size, limits)
    if header.components != 1:
        raise UnsupportedRadiograph(
            "colour", f"the codestream has {header.components} components per pixel; allowed is 1"
        )
    if (header.rows, header.columns) != (image_pixel.rows, image_pixel.columns):
        raise UnreadableRadiograph(
            "wrong_size",
            f"the codestream has {header.rows} rows and {header.columns} columns; the attributes say "
            f"{image_pixel.rows} and {image_pixel.columns}",
        )
    failures = []
    for decode in header.decoders:
        try:
            array, halvings = decode(frame)
            return _values(array, halvings, header, image_pixel)
        except RadiographError:
            raise
        except Exception as error:  # each codec has its own
            failures.append(type(error).__name__)
    raise UnreadableRadiograph("not_decodable", f"the codestream is broken ({', '.join(failures)})")


def _values(array: Array, halvings: int, header: _Header, image_pixel: ImagePixel) -> Raster:
    """What a codec gave; where it knows no sign, the sign of the attributes."""
    if array.ndim != 2:
        raise UnreadableRadiograph("not_decodable", f"the codestream decodes to an array of {array.shape}")
    signed = image_pixel.signed or array.dtype.kind == "i"
    low, high = value_range(image_pixel.bits_stored, signed=signed)
    overshoot = _OVERSHOOT if halvings else 1
    if not signed and array.max() > high * overshoot:  # Bits Stored is wrong
        low, high = value_range(header.precision, signed=signed)

    def band(first: int, last: int) -> Array:
        values = array[first:last]
        if image_pixel.signed and values.dtype.kind == "u":
            values = two_s_complement(values, min(image_pixel.bits_stored, values.dtype.itemsize * 8))
        return values

    rows, columns = array.shape
    return Raster(rows, columns, low, high, band, halvings, by_dct=header.by_dct)


def _jpeg(codestream: memoryview, image_pixel: ImagePixel, working_size: int, limits: ReadLimits) -> _Header:
    """Reads the frame header (SOF), ITU-T T.81 B.2.2 and T.87 C.2.2."""
    position = 2
    while position + 10 <= len(codestream) and codestream[position] == 0xFF:
        marker = codestream[position + 1]
        if marker == 0xFF:  # fill byte
            position += 1
            continue
        if marker == _JPEG_LS or (0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC)):
            precision, rows, columns, components = struct.unpack_from(">BHHB", codestream, position + 4)
            by_dct = marker not in (_JPEG_LS, _JPEG_LOSSLESS)
            scaled = by_dct and precision == 8 and not image_pixel.signed
            decoders = _jpeg_decoders(marker, scaled=scaled, working_size=working_size)
            if by_dct:
                check_scans(codestream, limits)
            return _Header(rows, columns, components, precision, decoders, by_dct=by_dct)
        position += 2 + int.from_bytes(codestream[position + 2 : position + 4], "big")
    raise UnreadableRadiograph("not_decodable", "the JPEG codestream has no frame header")


def _jpeg_decoders(marker: int, *, scaled: bool, working_size: int) -> tuple[Decoder, ...]:
    if marker == _JPEG_LS:
        return (_whole(imagecodecs.jpegls_decode),)
    if marker == _JPEG_LOSSLESS:
        return _whole(imagecodecs.jpeg_decode), _whole(imagecodecs.jpegsof3_decode)
    if scaled:
        return (lambda codestream: _scaled_jpeg(codestream, working_size)), _whole(imagecodecs.jpeg_decode)
    return (_whole(imagecodecs.jpeg_decode),)


def check_scans(jpeg: memoryview, limits: ReadLimits) -> None:
    """Raises UnreadableRadiograph for a JPEG of more scans than `jpeg_scans`; the marker cannot stand in other data."""
    scans = re.finditer(b"\xff\xda", jpeg)
    if next(itertools.islice(scans, limits.jpeg_scans, None), None):
        raise UnreadableRadiograph("not_decodable", f"the JPEG has more than {limits.jpeg_scans} scans")


def _scaled_jpeg(codestream: memoryview, working_size: int) -> tuple[Array, int]:
    image = _open(codestream, "JPEG")
    halvings = scale_jpeg(image, working_size)
    return np.asarray(image), halvings


def _open(codestream: memoryview, format_name: str) -> Any:
    with without_warnings():  # of many pixels: they have been counted
        return Image.open(as_file(codestream), formats=(format_name,))


def scale_jpeg(image: Image.Image, working_size: int) -> int:
    """Makes Pillow decode a JPEG at the smallest scale of 1, 1/2, 1/4, 1/8 that is not below the working size.

    Returns:
        How often the image will have been halved.
    """
    assert isinstance(image, JpegImagePlugin.JpegImageFile)
    image.draft(None, working_shape(image.height, image.width, working_size)[::-1])
    scale: int = image.decoderconfig[0] if image.decoderconfig else 1
    return scale.bit_length() - 1


def _whole(decode: Callable[..., Any]) -> Decoder:
    return lambda codestream: (np.asarray(decode(codestream)), 0)


def _jpeg_2000(codestream: memoryview, image_pixel: ImagePixel, working_size: int, limits: ReadLimits) -> _Header:
    """Reads image and tile size (SIZ) and the number of decomposition levels (COD), ITU-T T.800 A.5.1 and A.6.1."""
    if codestream[:4].tobytes() != _JPEG_2000_START or len(codestream) < 43:
        raise UnreadableRadiograph("not_decodable", "the compressed frame starts like no codestream that is read")
    length, _, right, bottom, left, top = struct.unpack_from(">HH4I", codestream, 4)
    components, depth = struct.unpack_from(">HB", codestream, 40)
    rows, columns, precision, signed = bottom - top, right - left, (depth & 0x7F) + 1, depth > 0x7F
    # Two's complement in a codestream without a sign was transformed as if it were large numbers: only the whole helps.
    halves = precision <= 16 and not (left or top) and signed == image_pixel.signed
    halvings = min(num_halvings(rows, columns, working_size), _num_levels(codestream, 4 + length)) if halves else 0

    def reduced(codestream: memoryview) -> tuple[Array, int]:
        limits.check_jpeg_2000((rows >> halvings) * (columns >> halvings))
        return _reduced_jpeg_2000(codestream, halvings, precision, signed=signed), halvings

    def whole(codestream: memoryview) -> tuple[Array, int]:
        limits.check_jpeg_2000(rows * columns)
        return np.asarray(imagecodecs.jpeg2k_decode(codestream)), 0  # type: ignore[arg-type]  # any buffer

    decoders = (
        (whole,) if not halvings else (reduced,) if rows * columns > limits.jpeg_2000_pixels else (reduced, whole)
    )
    return _Header(rows, columns, components, precision, decoders)


def _num_levels(codestream: memoryview, position: int) -> int:
    """Decomposition levels in the main header's coding style; 0 where it has none."""
    while position + 10 <= len(codestream):
        marker, length = struct.unpack_from(">HH", codestream, position)
        if marker == 0xFF52:
            return codestream[position + 9]
        if marker in (0xFF90, 0xFF93):  # the first tile begins
            break
        position += 2 + length
    return 0


def _reduced_jpeg_2000(codestream: memoryview, halvings: int, precision: int, *, signed: bool) -> Array:
    image = _open(codestream, "JPEG2000")
    image.reduce = halvings
    # Pillow 13.0.0 takes the nearest integer as the reduced size where OpenJPEG rounds up, and then refuses the tile.
    image._size = tuple(-(-side // 2**halvings) * 2**halvings for side in image.size)
    image.load()
    values = np.asarray(image)
    stored_bits = values.dtype.itemsize * 8
    if stored_bits > precision:  # Pillow moves them up to 8 or 16 bits
        values = values >> (stored_bits - precision)
    if signed:  # and moves the smallest to 0
        values = values.astype(np.int32) - 2 ** (precision - 1)
    return values


def two_s_complement(stored: Array, bits_stored: int) -> Array:
    """The signed values whose low `bits_stored` bits stand in an unsigned array."""
    unused = stored.dtype.itemsize * 8 - bits_stored
    return (stored << unused).view(f"i{stored.dtype.itemsize}") >> unused
