"""The longest that a file inside the limits takes: `python -m tests.benchmarks.worst`.

Noise of as many pixels as are allowed, in each codec, and what makes a codec slow besides: no resolution levels, many
scans. Seconds of one core; the promise is five.
"""

import io
import time
import zlib
from collections.abc import Callable, Iterator

import imagecodecs
import numpy as np
from PIL import Image
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLosslessSV1,
    JPEGLSLossless,
    RLELossless,
)

from samx.errors import RadiographError
from samx.radiograph import read_radiograph
from tests.samx.files import Array, dataset_of, dicom

FULL = {"BitsStored": 16, "HighBit": 15, "WindowCenter": "30000", "WindowWidth": "60000"}


def noise(rows: int, columns: int, dtype: type[np.unsignedinteger]) -> Array:
    return np.random.default_rng(0).integers(0, np.iinfo(dtype).max, (rows, columns), dtype)


def files() -> Iterator[tuple[str, Callable[[], bytes]]]:
    """Name and maker of each; one is held at a time."""
    sixteen, eight = noise(8000, 8000, np.uint16), noise(11000, 12000, np.uint8)
    yield (
        "JPEG-LS, 64 million pixels of 16 bits",
        lambda: dicom(sixteen, JPEGLSLossless, imagecodecs.jpegls_encode(sixteen >> 4), **FULL),
    )
    yield (
        "JPEG Lossless, 64 million pixels of 16 bits",
        lambda: dicom(
            sixteen, JPEGLosslessSV1, imagecodecs.jpeg_encode(sixteen, lossless=True, bitspersample=16), **FULL
        ),
    )
    yield "RLE, 64 million pixels of 16 bits", lambda: dicom(sixteen, RLELossless, _rle(sixteen), **FULL)
    yield "deflated, 64 million pixels of 16 bits", lambda: _deflated(dicom(sixteen, **FULL))
    twelve = sixteen >> 4
    yield (
        "JPEG Extended, 64 million pixels of 12 bits",
        lambda: dicom(twelve, JPEGExtended12Bit, imagecodecs.jpeg_encode(twelve, level=95, bitspersample=12), **FULL),
    )
    yield (
        "JPEG Baseline, 132 million pixels",
        lambda: dicom(eight, JPEGBaseline8Bit, imagecodecs.jpeg8_encode(eight, level=95)),
    )
    small = noise(4000, 4000, np.uint16)
    yield (
        "JPEG 2000 without levels, 16 million pixels of 16 bits",
        lambda: dicom(
            small,
            JPEG2000Lossless,
            imagecodecs.jpeg2k_encode(small, level=0, reversible=True, codecformat="j2k", resolutions=1),
            **FULL,
        ),
    )
    yield (
        "JPEG 2000 of five levels, 64 million pixels of 16 bits",
        lambda: dicom(
            sixteen,
            JPEG2000Lossless,
            imagecodecs.jpeg2k_encode(sixteen, level=0, reversible=True, codecformat="j2k", resolutions=6),
            **FULL,
        ),
    )
    yield "PNG, 64 million pixels of 16 bits", lambda: _picture(sixteen, "png", compress_level=1)
    yield (
        "TIFF by LZW, 64 million pixels of 16 bits",
        lambda: _picture(sixteen & 0x0303, "tiff", compression="tiff_lzw"),
    )
    yield "JPEG of 32 scans, 132 million pixels", lambda: _many_scans(eight & 1)


def _rle(stored: Array) -> bytes:
    planes = [imagecodecs.packbits_encode(np.ascontiguousarray(stored >> shift).astype(np.uint8)) for shift in (8, 0)]
    offsets = np.array([2, 64, 64 + len(planes[0]), *[0] * 13], "<u4")
    return offsets.tobytes() + b"".join(planes)


def _deflated(file: bytes) -> bytes:
    meta = dicom(np.zeros((1, 1), np.uint16), DeflatedExplicitVRLittleEndian)
    deflater = zlib.compressobj(1, zlib.DEFLATED, -15)
    head = meta[: len(meta) - len(dataset_of(meta))]
    return head + deflater.compress(dataset_of(file)) + deflater.flush()


def _picture(pixels: Array, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, kind, **options)  # type: ignore[arg-type]
    return buffer.getvalue()


def _many_scans(pixels: Array) -> bytes:
    data = _picture(pixels, "jpeg", progressive=True)
    last = data.rindex(b"\xff\xda")
    return data[:last] + data[last:-2] * (32 - data.count(b"\xff\xda") + 1) + data[-2:]


def main() -> None:
    for name, make in files():
        data = make()
        started = time.process_time()
        try:
            read_radiograph(data, working_size=224)
            outcome = "read"
        except RadiographError as error:
            outcome = f"refused, {error.code}"
        print(f"{time.process_time() - started:6.2f} s  {len(data) / 1e6:5.0f} MB  {name}: {outcome}", flush=True)


if __name__ == "__main__":
    main()
