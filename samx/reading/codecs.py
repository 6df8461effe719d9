"""From Pixel Data to a raster of stored values: uncompressed or run-length encoded ones here, the others elsewhere."""

import itertools
import struct
from collections.abc import Callable
from typing import Any

import imagecodecs
import numpy as np
from numpy.typing import NDArray

from samx.errors import RadiographTooLarge, UnreadableRadiograph
from samx.reading.codestreams import read_codestream, two_s_complement
from samx.reading.dicom import PixelData
from samx.reading.elements import BIG_ENDIAN, NATIVE_SYNTAXES, RLE_LOSSLESS
from samx.reading.image_pixel import ImagePixel
from samx.reading.limits import ReadLimits
from samx.reading.reduction import Raster

Array = NDArray[Any]


def raster(
    pixel_data: PixelData, image_pixel: ImagePixel, transfer_syntax_uid: str, working_size: int, limits: ReadLimits
) -> Raster:
    """Decodes one grey frame.

    Args:
        pixel_data: the element.
        image_pixel: how a value is stored.
        transfer_syntax_uid: one of those that samx.reading.elements lists.
        working_size: the long side that is wanted; what is decoded is at least as large if the original is.
        limits: on what a codestream may cost.

    Returns:
        Stored values as in PS3.5 section 8, signed where the pixels are, unused bits masked off.

    Raises:
        UnreadableRadiograph: wrong amount of data, a header that contradicts Rows and Columns, or the decoder gave up.
        UnsupportedRadiograph: the codestream holds colour.
        RadiographTooLarge: it cannot be decoded at a resolution that is within the limits.
    """
    if transfer_syntax_uid in NATIVE_SYNTAXES:
        return _native(pixel_data, image_pixel, big_endian=transfer_syntax_uid == BIG_ENDIAN)
    frame = _frame(pixel_data.read(), limits)
    if transfer_syntax_uid == RLE_LOSSLESS:
        return _run_lengths(frame, image_pixel)
    return read_codestream(frame, image_pixel, working_size, limits)


def _native(pixel_data: PixelData, image_pixel: ImagePixel, *, big_endian: bool) -> Raster:
    """Uncompressed pixels; up to one row too much is taken as padding."""
    rows, columns, num_bytes = image_pixel.rows, image_pixel.columns, image_pixel.bits_allocated // 8
    expected = rows * columns * num_bytes
    plausible = expected <= pixel_data.num_bytes < expected + max(columns * num_bytes, 2)
    data = pixel_data.read() if plausible else memoryview(b"")
    if len(data) < expected:
        raise UnreadableRadiograph(
            "wrong_size",
            f"Pixel Data (7FE0,0010) has {len(data) or pixel_data.num_bytes} bytes; Rows {rows} x Columns {columns} x "
            f"Bits Allocated {image_pixel.bits_allocated} need {expected}",
        )
    if big_endian and pixel_data.vr == "OW" and num_bytes == 1:  # bytes stand in swapped pairs, PS3.5 section 8.1.1
        data = memoryview(np.frombuffer(data[: len(data) // 2 * 2], ">u2").astype("<u2").tobytes())
    stored = np.frombuffer(data, f"{'>' if big_endian else '<'}u{num_bytes}", rows * columns).reshape(rows, columns)
    return _bitwise(image_pixel, lambda first, last: stored[first:last].astype(f"=u{num_bytes}", copy=False))


def _run_lengths(frame: memoryview, image_pixel: ImagePixel) -> Raster:
    """RLE Lossless, PS3.5 annex G: one segment per byte of a value, the most significant first."""
    num_bytes, num_pixels = image_pixel.bits_allocated // 8, image_pixel.rows * image_pixel.columns
    num_segments, *offsets = struct.unpack_from("<16I", frame)
    if num_segments != num_bytes:
        raise UnreadableRadiograph(
            "not_decodable",
            f"RLE header: {num_segments} segments; Bits Allocated {image_pixel.bits_allocated} needs {num_bytes}",
        )
    planes = []
    for start, end in itertools.pairwise([*offsets[:num_segments], len(frame)]):
        plane = np.empty(num_pixels + 1, np.uint8)  # a segment may end with one byte of padding
        num_decoded = len(imagecodecs.packbits_decode(frame[start:end], out=plane))  # type: ignore[arg-type]  # any buffer
        if num_decoded < num_pixels:
            raise UnreadableRadiograph("not_decodable", f"an RLE segment holds {num_decoded} of {num_pixels} bytes")
        planes.append(plane[:num_pixels].reshape(image_pixel.rows, image_pixel.columns))

    def joined(first: int, last: int) -> Array:
        stored = planes[0][first:last].astype(f"u{num_bytes}")
        for plane in planes[1:]:
            stored <<= 8
            stored |= plane[first:last]
        return stored

    return _bitwise(image_pixel, joined)


def _bitwise(image_pixel: ImagePixel, words: Callable[[int, int], Array]) -> Raster:
    """Values out of words of Bits Allocated, by High Bit and Bits Stored, PS3.5 section 8.1.1."""
    unused = image_pixel.high_bit + 1 - image_pixel.bits_stored
    low, high = image_pixel.range

    def band(first: int, last: int) -> Array:
        stored = words(first, last)
        if unused:
            stored = stored >> unused
        if image_pixel.signed:
            return two_s_complement(stored, image_pixel.bits_stored)
        if image_pixel.bits_stored + unused < image_pixel.bits_allocated:
            stored = stored & stored.dtype.type(high)
        return stored

    return Raster(image_pixel.rows, image_pixel.columns, low, high, band)


def _frame(pixel_data: memoryview, limits: ReadLimits) -> memoryview:
    """Joins the fragments of the only frame, PS3.5 section A.4; the first item is the Basic Offset Table."""
    fragments, position = [], 0
    while position + 8 <= len(pixel_data) and pixel_data[position : position + 4].tobytes() == b"\xfe\xff\x00\xe0":
        length = int.from_bytes(pixel_data[position + 4 : position + 8], "little")
        fragment = pixel_data[position + 8 : position + 8 + length]
        if len(fragment) < length:  # some decoders would fill what is missing with grey
            detail = f"the frame ends within a fragment: {len(fragment)} of {length} bytes are there"
            raise UnreadableRadiograph("not_decodable", detail)
        fragments.append(fragment)
        position += 8 + length
        if len(fragments) > limits.elements:
            raise RadiographTooLarge("too_many_elements", f"the frame has more than {limits.elements} fragments")
    if len(fragments) < 2:
        raise UnreadableRadiograph("not_decodable", "Pixel Data (7FE0,0010) holds no compressed frame")
    return fragments[1] if len(fragments) == 2 else memoryview(b"".join(fragments[1:]))
