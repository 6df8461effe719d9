"""From encoded pixels to an image of working size, inside limits that are checked before anything is decoded.

A file may claim any size: in its attributes, in the header of its codestream, in what it inflates to. Each claim is
read and compared first; a codestream that says another size than Rows and Columns never reaches its decoder.
"""

import itertools
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import imagecodecs
import numpy as np
from numpy.typing import NDArray

from samx.errors import RadiographTooLarge, UnreadableRadiograph, UnsupportedRadiograph

NATIVE_SYNTAXES = (
    "1.2.840.10008.1.2",  # Implicit VR Little Endian
    "1.2.840.10008.1.2.1",  # Explicit VR Little Endian
    "1.2.840.10008.1.2.1.99",  # Deflated Explicit VR Little Endian
    "1.2.840.10008.1.2.2",  # Explicit VR Big Endian
)
RLE_LOSSLESS = "1.2.840.10008.1.2.5"
CODESTREAM_SYNTAXES = (
    *("1.2.840.10008.1.2.4.50", "1.2.840.10008.1.2.4.51"),  # JPEG Baseline, JPEG Extended
    *("1.2.840.10008.1.2.4.57", "1.2.840.10008.1.2.4.70"),  # JPEG Lossless
    *("1.2.840.10008.1.2.4.80", "1.2.840.10008.1.2.4.81"),  # JPEG-LS
    *("1.2.840.10008.1.2.4.90", "1.2.840.10008.1.2.4.91"),  # JPEG 2000
    *("1.2.840.10008.1.2.4.201", "1.2.840.10008.1.2.4.202", "1.2.840.10008.1.2.4.203"),  # High-Throughput JPEG 2000
)


@dataclass(frozen=True, slots=True)
class ReadLimits:
    """What one file may cost. A stitched radiograph of both legs has 36 million pixels, a mammogram 24 million."""

    encoded_bytes: int = 256 * 1024**2
    """Size of the file."""
    inflated_bytes: int = 256 * 1024**2
    """Size of a deflated data set once inflated."""
    decoded_bytes: int = 256 * 1024**2
    """Rows x columns x bits (and samples per pixel), in bytes."""

    def check_encoded(self, num_bytes: int) -> None:
        """Raises RadiographTooLarge for a file above `encoded_bytes`."""
        if num_bytes > self.encoded_bytes:
            raise RadiographTooLarge(
                "too_many_bytes", f"the file has {num_bytes} bytes; at most {self.encoded_bytes} are read"
            )

    def check_decoded(self, rows: int, columns: int, bits_per_pixel: int) -> None:
        """Raises RadiographTooLarge for pixels above `decoded_bytes`."""
        if rows * columns * bits_per_pixel > self.decoded_bytes * 8:
            raise RadiographTooLarge(
                "too_many_pixels",
                f"{rows} rows x {columns} columns x {bits_per_pixel} bits; allowed are {self.decoded_bytes} bytes",
            )

    def inflate(self, data: bytes) -> bytes:
        """Returns what a raw deflate stream holds (PS3.5 section A.5), or raises RadiographTooLarge."""
        inflater = zlib.decompressobj(-zlib.MAX_WBITS)
        inflated = inflater.decompress(data, self.inflated_bytes)
        if inflater.unconsumed_tail:
            raise RadiographTooLarge(
                "inflates_too_large", f"the deflated data set holds more than {self.inflated_bytes} bytes"
            )
        return inflated


@dataclass(frozen=True, slots=True)
class ImagePixel:
    """The attributes of the Image Pixel Module that say how a value is stored, PS3.3 C.7.6.3."""

    rows: int
    columns: int
    bits_allocated: int
    """8, 16 or 32."""
    bits_stored: int
    high_bit: int
    signed: bool
    """Pixel Representation (0028,0103) is 1: two's complement."""


def stored_values(
    pixel_data: bytes, image_pixel: ImagePixel, transfer_syntax_uid: str, *, big_endian: bool, words: bool
) -> NDArray[np.integer[Any]]:
    """Decodes Pixel Data (7FE0,0010) of one grey frame.

    Args:
        pixel_data: the element's value.
        image_pixel: how it is stored.
        transfer_syntax_uid: one of the syntaxes above.
        big_endian: the data set is in Explicit VR Big Endian.
        words: the element's VR is OW.

    Returns:
        `(rows, columns)`, signed where the pixels are: stored values as in PS3.5 section 8, high bits masked off.

    Raises:
        UnreadableRadiograph: wrong amount of data, a header that contradicts Rows and Columns, or the decoder gave up.
        UnsupportedRadiograph: the codestream holds colour.
    """
    shape = (image_pixel.rows, image_pixel.columns)
    if transfer_syntax_uid in NATIVE_SYNTAXES:
        array = _native(pixel_data, image_pixel, big_endian, words)
    elif transfer_syntax_uid == RLE_LOSSLESS:
        array = _run_lengths(_frame(pixel_data), image_pixel)
    else:
        array = _codestream(_frame(pixel_data), image_pixel)
        if array.shape != shape:
            raise UnreadableRadiograph("wrong_size", f"decoded to {array.shape}; Rows and Columns say {shape}")
        return _two_s_complement(array, image_pixel.bits_stored) if _needs_sign(array, image_pixel) else array
    unused = image_pixel.high_bit + 1 - image_pixel.bits_stored
    if unused:
        array = array >> unused
    if image_pixel.signed:
        return _two_s_complement(array, image_pixel.bits_stored)
    if image_pixel.bits_stored + unused < image_pixel.bits_allocated:
        array = array & array.dtype.type(2**image_pixel.bits_stored - 1)
    return array


def _needs_sign(array: NDArray[np.integer[Any]], image_pixel: ImagePixel) -> bool:
    return image_pixel.signed and array.dtype.kind == "u"


def _two_s_complement(array: NDArray[np.integer[Any]], bits_stored: int) -> NDArray[np.integer[Any]]:
    """Returns the signed values whose low `bits_stored` bits stand in an unsigned array."""
    unused = array.dtype.itemsize * 8 - bits_stored
    return (array << unused).view(f"i{array.dtype.itemsize}") >> unused


def _frame(pixel_data: bytes) -> bytes:
    """Joins the fragments of the only frame, PS3.5 section A.4; the first item is the Basic Offset Table."""
    fragments, position = [], 0
    while pixel_data[position : position + 4] == b"\xfe\xff\x00\xe0" and position + 8 <= len(pixel_data):
        length = int.from_bytes(pixel_data[position + 4 : position + 8], "little")
        fragments.append(pixel_data[position + 8 : position + 8 + length])
        position += 8 + length
    if len(fragments) < 2:
        raise UnreadableRadiograph("not_decodable", "Pixel Data (7FE0,0010) holds no compressed frame")
    return b"".join(fragments[1:])


def _native(data: bytes, image_pixel: ImagePixel, big_endian: bool, words: bool) -> NDArray[np.integer[Any]]:
    """Reads uncompressed pixels; up to one row too much is taken as padding."""
    num_bytes = image_pixel.bits_allocated // 8
    expected = image_pixel.rows * image_pixel.columns * num_bytes
    if not expected <= len(data) < expected + max(image_pixel.columns * num_bytes, 2):
        raise UnreadableRadiograph(
            "wrong_size",
            f"Pixel Data (7FE0,0010) has {len(data)} bytes; Rows {image_pixel.rows} x Columns {image_pixel.columns} x "
            f"Bits Allocated {image_pixel.bits_allocated} need {expected}",
        )
    if big_endian and words and num_bytes == 1:  # bytes stand in swapped pairs, PS3.5 section 8.1.1
        data = np.frombuffer(data[: len(data) // 2 * 2], ">u2").astype("<u2").tobytes()
    array = np.frombuffer(data, f"{'>' if big_endian else '<'}u{num_bytes}", image_pixel.rows * image_pixel.columns)
    return array.reshape(image_pixel.rows, image_pixel.columns).astype(f"u{num_bytes}", copy=False)


def _run_lengths(frame: bytes, image_pixel: ImagePixel) -> NDArray[np.integer[Any]]:
    """Decodes RLE Lossless, PS3.5 annex G: one segment per byte of a value, the most significant first."""
    num_bytes, num_pixels = image_pixel.bits_allocated // 8, image_pixel.rows * image_pixel.columns
    num_segments, *offsets = struct.unpack_from("<16I", frame)
    if num_segments != num_bytes:
        raise UnreadableRadiograph(
            "not_decodable",
            f"RLE header: {num_segments} segments; Bits Allocated {image_pixel.bits_allocated} needs {num_bytes}",
        )
    offsets = [*offsets[:num_segments], len(frame)]
    planes = np.zeros((num_pixels, num_bytes), np.uint8)
    for segment, (start, end) in enumerate(itertools.pairwise(offsets)):
        plane = bytearray(num_pixels + 1)  # a segment may end with one byte of padding
        num_decoded = len(imagecodecs.packbits_decode(frame[start:end], out=plane))
        if num_decoded < num_pixels:
            raise UnreadableRadiograph("not_decodable", f"an RLE segment holds {num_decoded} of {num_pixels} bytes")
        planes[:, num_bytes - 1 - segment] = np.frombuffer(plane, np.uint8, num_pixels)
    return planes.view(f"<u{num_bytes}").reshape(image_pixel.rows, image_pixel.columns)


def _codestream(frame: bytes, image_pixel: ImagePixel) -> NDArray[np.integer[Any]]:
    """Decodes a JPEG, JPEG-LS, JPEG 2000 or HTJ2K codestream after comparing what its header claims."""
    if frame.startswith(b"\xff\xd8"):
        rows, columns, components, decoders = _jpeg(frame)
    else:
        frame = frame[max(frame.find(b"\xff\x4f\xff\x51"), 0) :]  # without the boxes of a JP2 file, which happen
        rows, columns, components, decoders = _jpeg_2000(frame)
    if components != 1:
        raise UnsupportedRadiograph("colour", f"the codestream has {components} components per pixel; allowed is 1")
    if (rows, columns) != (image_pixel.rows, image_pixel.columns):
        raise UnreadableRadiograph(
            "wrong_size",
            f"the codestream has {rows} rows and {columns} columns; the attributes say {image_pixel.rows} and "
            f"{image_pixel.columns}",
        )
    failures = []
    for decode in decoders:
        try:
            return np.asarray(decode(frame))
        except Exception as error:  # each codec has its own
            failures.append(type(error).__name__)
    raise UnreadableRadiograph("not_decodable", f"the codestream is broken ({', '.join(failures)})")


_Decoders = tuple[Callable[[bytes], Any], ...]


def _jpeg(codestream: bytes) -> tuple[int, int, int, _Decoders]:
    """Returns rows, columns, components and decoders from the frame header (SOF), ITU-T T.81 B.2.2 and T.87 C.2.2."""
    position = 2
    while position + 10 <= len(codestream) and codestream[position] == 0xFF:
        marker = codestream[position + 1]
        if marker == 0xFF:  # fill byte
            position += 1
            continue
        if marker == 0xF7 or (0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC)):
            rows, columns, components = struct.unpack_from(">HHB", codestream, position + 5)
            if marker == 0xF7:
                return rows, columns, components, (imagecodecs.jpegls_decode,)
            if marker == 0xC3:
                return rows, columns, components, (imagecodecs.jpeg_decode, imagecodecs.jpegsof3_decode)
            return rows, columns, components, (imagecodecs.jpeg_decode,)
        position += 2 + int.from_bytes(codestream[position + 2 : position + 4], "big")
    raise UnreadableRadiograph("not_decodable", "the JPEG codestream has no frame header")


def _jpeg_2000(codestream: bytes) -> tuple[int, int, int, _Decoders]:
    """Returns rows, columns, components and the decoder from the image and tile size (SIZ), ITU-T T.800 A.5.1.

    OpenJPEG decodes HTJ2K as well (ITU-T T.814). OpenJPH is twice as fast, but imagecodecs 2026.3.6 reports an error in
    the middle of its codestream on stderr only and returns what stood in memory.
    """
    if not codestream.startswith(b"\xff\x4f\xff\x51") or len(codestream) < 42:
        raise UnreadableRadiograph("not_decodable", "the compressed frame starts like no codestream that is read")
    x, y, x_offset, y_offset = struct.unpack_from(">4I", codestream, 8)
    (components,) = struct.unpack_from(">H", codestream, 40)
    return y - y_offset, x - x_offset, components, (imagecodecs.jpeg2k_decode,)


def reduce_to(image: NDArray[Any], working_size: int) -> NDArray[np.float32]:
    """Averages areas so that the long side has at most `working_size` pixels; a smaller image is not enlarged.

    Each pixel of the result is the exact mean of the rectangle it covers, fractions of pixels included.

    Args:
        image: `(H, W)` or `(H, W, C)`, any real dtype.
        working_size: at least 1.

    Returns:
        `(H', W')` or `(H', W', C)` float32 with the same aspect ratio to within a pixel, same units, C-contiguous.
    """
    scale = min(1.0, working_size / max(image.shape[:2]))
    rows, columns = (max(1, round(side * scale)) for side in image.shape[:2])
    upright = _average_rows(image, rows)
    return np.ascontiguousarray(_average_rows(np.ascontiguousarray(upright.swapaxes(0, 1)), columns).swapaxes(0, 1))


def _average_rows(image: NDArray[Any], num_rows: int) -> NDArray[np.float32]:
    """Averages `(H, ...)` to `(num_rows, ...)`; row i covers the interval [i, i + 1) * H / num_rows."""
    height = image.shape[0]
    if num_rows == height:
        return image.astype(np.float32)
    edges = np.arange(num_rows + 1) * (height / num_rows)
    edges[-1] = height
    first_whole = np.ceil(edges - 1e-6).astype(np.intp)  # the first row that starts at or after each edge
    total = np.zeros((num_rows, *image.shape[1:]), np.float32)
    for step in range(int(np.diff(first_whole).max())):
        rows = first_whole[:-1] + step
        inside = rows < first_whole[1:]
        total[inside] += image[rows[inside]]
    # The row that an edge cuts went to the upper neighbour whole: hand over what belongs to the lower one.
    share = (first_whole - edges).astype(np.float32).reshape(-1, *[1] * (image.ndim - 1))
    cut = image[np.maximum(first_whole - 1, 0)] * share
    total += cut[:-1]
    total -= cut[1:]
    return total * np.float32(num_rows / height)
