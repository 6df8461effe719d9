"""What is refused before it costs anything."""

import io
import struct
import time
import tracemalloc
import zlib
from collections.abc import Callable

import imagecodecs
import numpy as np
import pytest
from PIL import Image
from pydicom.uid import JPEG2000Lossless, JPEGBaseline8Bit, JPEGLosslessSV1, RLELossless

from samx.errors import RadiographError, RadiographTooLarge, UnreadableRadiograph
from samx.radiograph import read_radiograph
from samx.reading.limits import ReadLimits
from tests.samx.files import RAMP, dicom, picture


def chunk(name: bytes, data: bytes = b"") -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def png_header(columns: int, rows: int) -> bytes:
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", columns, rows, 16, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(b"\0" * 100_000)) + chunk(b"IEND", b"")


def tiff_header(columns: int, rows: int) -> bytes:
    entries = [(256, 4, columns), (257, 4, rows), (258, 3, 16), (259, 3, 1), (262, 3, 1), (273, 4, 200), (278, 4, rows)]
    directory = b"".join(struct.pack("<HHII", tag, kind, 1, value) for tag, kind, value in [*entries, (279, 4, 10)])
    return b"II*\0\x08\0\0\0" + struct.pack("<H", len(entries) + 1) + directory + b"\0" * 200


@pytest.mark.parametrize(
    ("bomb", "code"),
    [
        (png_header(100_000, 100_000), "too_many_pixels"),
        (tiff_header(100_000, 100_000), "too_many_pixels"),
        (dicom(RAMP, Rows=65535, Columns=65535, PixelData=b"0123456789"), "too_many_pixels"),
        (dicom(RAMP, RLELossless, b"0123456789", Rows=65535, Columns=65535), "too_many_pixels"),
        (dicom(RAMP, Rows=8000, Columns=8000, PixelData=b"0123456789"), "wrong_size"),
    ],
    ids=["png", "tiff", "native", "rle", "inside the limits"],
)
def test_bombs_are_refused_in_no_time_and_no_memory(bomb: bytes, code: str) -> None:
    def read() -> None:
        with pytest.raises(RadiographError) as refused:
            read_radiograph(bomb)
        assert refused.value.code == code

    read()  # once for what libraries do at first use
    started = time.process_time()
    read()
    assert time.process_time() - started < 0.1
    tracemalloc.start()
    read()
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 100_000_000


def test_a_png_bomb_is_not_decoded() -> None:
    for side in (12_000, 20_000, 60_000):  # below and above the two thresholds of Pillow
        with pytest.raises(RadiographTooLarge) as refused:
            read_radiograph(png_header(side, side))
        assert refused.value.code == "too_many_pixels"


def test_limits_are_the_caller_s() -> None:
    file = dicom(RAMP)
    for limits, code in (
        (ReadLimits(encoded_bytes=1000), "too_many_bytes"),
        (ReadLimits(decoded_bytes=48 * 64 * 2 - 1), "too_many_pixels"),
        (ReadLimits(elements=10), "too_many_elements"),
    ):
        with pytest.raises(RadiographTooLarge) as refused:
            read_radiograph(file, limits=limits)
        assert refused.value.code == code
    read_radiograph(file, limits=ReadLimits(decoded_bytes=48 * 64 * 2))


def test_jpeg_2000_is_limited_by_the_resolution_that_is_decoded() -> None:
    """A codestream with resolution levels is read at one of them; one without would have to be decoded whole."""
    stored = np.zeros((600, 800), np.uint16)
    few, many = (
        dicom(stored, JPEG2000Lossless, imagecodecs.jpeg2k_encode(stored, codecformat="j2k", resolutions=resolutions))
        for resolutions in (1, 6)
    )
    limits = ReadLimits(jpeg_2000_pixels=100_000)
    assert read_radiograph(many, working_size=200, limits=limits).pixels.shape == (150, 200)
    for file, size in ((few, 200), (many, 800)):
        with pytest.raises(RadiographTooLarge, match="resolution of the JPEG 2000 codestream has 480000 pixels"):
            read_radiograph(file, working_size=size, limits=limits)


def progressive(num_scans: int) -> bytes:
    """A progressive JPEG whose last scan is repeated."""
    buffer = io.BytesIO()
    Image.fromarray(np.tile(np.arange(64, dtype=np.uint8), (64, 1))).save(buffer, "jpeg", progressive=True)
    data = buffer.getvalue()
    last = data.rindex(b"\xff\xda")
    return data[:last] + data[last:-2] * num_scans + data[-2:]


@pytest.mark.parametrize(
    "wrap",
    [
        lambda jpeg: jpeg,
        lambda jpeg: dicom(np.zeros((64, 64), np.uint8), JPEGBaseline8Bit, jpeg),
    ],
    ids=["jpeg", "dicom"],
)
def test_a_jpeg_of_endless_scans_is_refused(wrap: Callable[[bytes], bytes]) -> None:
    assert read_radiograph(wrap(progressive(1))).rows == 64
    with pytest.raises(UnreadableRadiograph, match="more than 32 scans"):
        read_radiograph(wrap(progressive(1000)))


def test_a_huge_file_is_refused_by_its_length_alone() -> None:
    with pytest.raises(RadiographTooLarge, match=r"at most 167772160 are read"):
        read_radiograph(bytes(161 * 1024**2))


def test_a_lossless_jpeg_cannot_claim_more_than_rows_and_columns() -> None:
    bomb = b"\xff\xd8\xff\xc3\0\x0b\x10\xff\xff\xff\xff\1\1\x11\0\xff\xda\0\x08\1\1\0\0\0\0\0\0"
    with pytest.raises(UnreadableRadiograph, match="65535 rows and 65535 columns; the attributes say 48 and 64"):
        read_radiograph(dicom(RAMP, JPEGLosslessSV1, bomb))
    assert read_radiograph(picture(np.eye(9, dtype=np.uint8))).rows == 9


BLANK = np.zeros((64, 64), np.uint8)
JPEG = bytes(imagecodecs.jpeg8_encode(BLANK))
J2K = bytes(imagecodecs.jpeg2k_encode(RAMP, codecformat="j2k"))
PNG = picture(np.eye(9, dtype=np.uint8))
MANY = 2_000_000


@pytest.mark.parametrize(
    ("endless", "says"),
    [
        (JPEG[:2] + b"\xff\xe0\0\2" * MANY + JPEG[2:], "more than 10000 segments"),
        (JPEG[:2] + b"\xff" * MANY + JPEG[2:], "more than 10000 segments"),
        (JPEG[:2] + b"\xff\xe0\0\2" + b"\0" * MANY + JPEG[2:], "no frame header, or no scan"),
        (PNG[:33] + chunk(b"abCd") * MANY + PNG[33:], "more than 50000 chunks"),
        (
            dicom(BLANK, JPEGBaseline8Bit, JPEG[:2] + b"\xff\xe0\0\2" * MANY + JPEG[2:]),
            "segments",
        ),
        (dicom(RAMP, JPEG2000Lossless, J2K[:2] + J2K[2:45] + b"\xff\x64\0\2" * MANY + J2K[45:]), "segments"),
        (dicom(RAMP, JPEG2000Lossless, J2K[:45] + b"\xff\x64\0\0" * MANY + J2K[45:]), "has the length 0"),
        (dicom(RAMP, RLELossless, b"abcd", PixelData=b"\xfe\xff\x00\xe0\0\0\0\0" * MANY), "more than 50000 fragments"),
        (dicom(RAMP, Columns=[64] * 30_000), None),
    ],
    ids=["segments", "fill bytes", "junk", "chunks", "frame", "comments", "no length", "fragments", "values"],
)
def test_what_is_endless_is_not_walked_through(endless: bytes, says: str | None) -> None:
    started = time.process_time()
    if says is None:
        assert read_radiograph(endless).columns == 64
    else:
        with pytest.raises(RadiographError, match=says):
            read_radiograph(endless)
    assert time.process_time() - started < 2.5
