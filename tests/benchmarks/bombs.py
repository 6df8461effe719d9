"""Small files that would become huge: `python -m tests.benchmarks.bombs`; each is refused within 100 ms and 100 MB."""

import struct
import time
import zlib
from pathlib import Path

from pydicom.uid import DeflatedExplicitVRLittleEndian

from samx.errors import RadiographError
from samx.radiograph import read_radiograph
from tests.samx.files import RAMP, dataset_of, dicom
from tests.samx.reading.test_limits import png_header, tiff_header

MEGABYTES_OF_ZEROS = 10_000


def deflated(element: bytes) -> bytes:
    """A deflated data set in which 10 GB of zeros follow the head of an element."""
    meta = dicom(RAMP, DeflatedExplicitVRLittleEndian)
    begin, zeros = (zlib.compressobj(9, zlib.DEFLATED, -15) for _ in range(2))
    head = begin.compress(dataset_of(dicom(RAMP, PixelData=None)) + element) + begin.flush(zlib.Z_FULL_FLUSH)
    megabyte = zeros.compress(b"\0" * 1_000_000) + zeros.flush(zlib.Z_FULL_FLUSH)
    return meta[: len(meta) - len(dataset_of(meta))] + head + megabyte * MEGABYTES_OF_ZEROS


def bombs() -> dict[str, bytes]:
    """By name."""
    return {
        "deflated, 10 GB: pixels": deflated(b"\xe0\x7f\x10\0OW\0\0\xfe\xff\xff\xff"),
        "deflated, 10 GB: a private element": deflated(b"\x09\0\x10\0OB\0\0\xfe\xff\xff\xff"),
        "deflated, 10 GB: an element of 1 MB, then empty ones": deflated(
            b"\x09\0\x10\0OB\0\0" + struct.pack("<I", 999_000)
        ),
        "deflated, 10 GB: empty elements": deflated(b""),
        "PNG of 100,000 x 100,000": png_header(100_000, 100_000),
        "TIFF of 100,000 x 100,000": tiff_header(100_000, 100_000),
        "65,535 x 65,535 with ten bytes of pixels": dicom(RAMP, Rows=65535, Columns=65535, PixelData=b"0123456789"),
    }


def peak() -> float:
    """Largest resident memory since it was last reset, in MB."""
    status = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in status if line.startswith("VmHWM")).split()[1]) / 1024


def main() -> None:
    for file in (dicom(RAMP), dicom(RAMP, DeflatedExplicitVRLittleEndian)):
        read_radiograph(file)  # loads what is needed
    for name, data in bombs().items():
        Path("/proc/self/clear_refs").write_text("5")
        before, started = peak(), time.process_time()
        try:
            read_radiograph(data)
            outcome = "read"
        except RadiographError as error:
            outcome = error.code
        print(f"{1000 * (time.process_time() - started):6.1f} ms {peak() - before:6.1f} MB  {name}: {outcome}")


if __name__ == "__main__":
    main()
