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
from collections.abc import Callable, Iterator
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
_START_OF_SCAN, _CODING_STYLE, _START_OF_TILE = 0xDA, 0x52, 0x90
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
    marker, at = jpeg_frame_header(codestream, limits)
    precision, rows, columns, components = struct.unpack_from(">BHHB", codestream, at + 2)
    by_dct = marker not in (_JPEG_LS, _JPEG_LOSSLESS)
    scaled = by_dct and precision == 8 and not image_pixel.signed
    decoders = _jpeg_decoders(marker, scaled=scaled, working_size=working_size)
    return _Header(rows, columns, components, precision, decoders, by_dct=by_dct)


def jpeg_frame_header(jpeg: memoryview, limits: ReadLimits) -> tuple[int, int]:
    """Finds the frame header (SOF), ITU-T T.81 B.2.2 and T.87 C.2.2; returns its marker, and where its length stands.

    Raises:
        UnreadableRadiograph: there is none, or what stands before or behind it would keep a decoder busy.
    """
    found = None
    reaches_a_scan = False
    for marker, at in segments(jpeg, limits):
        if marker == _START_OF_SCAN:
            reaches_a_scan = True
            break
        if found is None and (marker == _JPEG_LS or (0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC))):
            found = marker, at
    if found is None or not reaches_a_scan:
        raise UnreadableRadiograph("not_decodable", "the JPEG codestream has no frame header, or no scan behind it")
    scans = re.finditer(b"\xff\xda", jpeg)  # the marker cannot stand in other data
    if next(itertools.islice(scans, limits.jpeg_scans, None), None):
        raise UnreadableRadiograph("not_decodable", f"the JPEG has more than {limits.jpeg_scans} scans")
    return found


def segments(codestream: memoryview, limits: ReadLimits) -> Iterator[tuple[int, int]]:
    """Markers of a JPEG or JPEG 2000 header, and where the length behind each stands; ends where there is no marker.

    Raises:
        UnreadableRadiograph: more of them than `limits.segments`, or a length that leads nowhere.
    """
    at = 2
    for _ in range(limits.segments):
        if at + 10 > len(codestream) or codestream[at] != 0xFF:
            return
        marker = codestream[at + 1]
        if marker == 0xFF:  # fill byte
            at += 1
            continue
        yield marker, at + 2
        length = int.from_bytes(codestream[at + 2 : at + 4], "big")
        if length < 2:
            raise UnreadableRadiograph("not_decodable", f"a segment of the codestream has the length {length}")
        at += 2 + length
    raise UnreadableRadiograph("not_decodable", f"the codestream's header has more than {limits.segments} segments")


def _jpeg_decoders(marker: int, *, scaled: bool, working_size: int) -> tuple[Decoder, ...]:
    if marker == _JPEG_LS:
        return (_whole(imagecodecs.jpegls_decode),)
    if marker == _JPEG_LOSSLESS:
        return _whole(imagecodecs.jpeg_decode), _whole(imagecodecs.jpegsof3_decode)
    if scaled:
        return (lambda codestream: _scaled_jpeg(codestream, working_size)), _whole(imagecodecs.jpeg_decode)
    return (_whole(imagecodecs.jpeg_decode),)


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
    right, bottom, left, top = struct.unpack_from(">4I", codestream, 8)
    components, depth = struct.unpack_from(">HB", codestream, 40)
    rows, columns, precision, signed = bottom - top, right - left, (depth & 0x7F) + 1, depth > 0x7F
    # Two's complement in a codestream without a sign was transformed as if it were large numbers: only the whole helps.
    halves = precision <= 16 and not (left or top) and signed == image_pixel.signed
    num_levels = _num_levels(codestream, limits)
    halvings = min(num_halvings(rows, columns, working_size), num_levels) if halves else 0

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


def _num_levels(codestream: memoryview, limits: ReadLimits) -> int:
    """Decomposition levels in the main header's coding style; 0 where it has none."""
    num_levels = 0
    for marker, at in segments(codestream, limits):
        if marker == _CODING_STYLE:
            num_levels = codestream[at + 7]
        elif marker == _START_OF_TILE:
            return num_levels
    raise UnreadableRadiograph("not_decodable", "the JPEG 2000 codestream has no tile")


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
