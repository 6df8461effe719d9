"""How fast radiographs are read: `python -m tests.benchmarks.reading`, one table from one run.

Each transfer syntax of a 2140 x 1760 and a 3000 x 2500 radiograph, 12 bits in 16 (JPEG Baseline: 8), to 224 pixels:

    ours      read_radiograph, milliseconds of one core, and megapixels/s of the original
    pydicom   pixel_array, modality LUT, VOI LUT, resize (tests/benchmarks/pydicom_path.py), with the fastest plugin
    codec     the codec's own decode of the whole frame, where there is one
    ratio     pydicom / ours: the median of ratios of neighbouring runs
    peak      memory beyond what the process holds, as a share of compressed bytes + 1.5 x the pixels that must be held
    1, 2      images/s of one process and of two

Ratios are what counts: other work on the machine slows all columns.
"""

import ctypes
import multiprocessing
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
from pydicom.uid import (
    UID,
    ExplicitVRLittleEndian,
    HTJ2KLossless,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLosslessSV1,
    JPEGLSLossless,
    RLELossless,
)

from samx.radiograph import read_radiograph
from samx.reading.reduction import num_halvings
from tests.benchmarks import pydicom_path
from tests.samx.files import Array, dicom

SIZES = ((2140, 1760), (3000, 2500))
WORKING_SIZE = 224
ROUNDS = 7
WANTED = {
    JPEG2000Lossless: 8.0,
    HTJ2KLossless: 8.0,
    JPEGBaseline8Bit: 4.0,
    ExplicitVRLittleEndian: 4.0,
    JPEGLosslessSV1: 3.0,
    RLELossless: 2.5,
    JPEGLSLossless: 1.5,
}
"""Ratios that the reader promises."""


def radiograph(rows: int, columns: int) -> Array:
    """Something as smooth and as noisy as a radiograph, 12 bits."""
    y, x = np.mgrid[0:rows, 0:columns]
    smooth = 1900 + 1500 * np.sin(x / 310) * np.cos(y / 420) + 200 * np.sin(x / 23 + y / 37)
    return np.rint(smooth + np.random.default_rng(0).normal(0, 10, (rows, columns))).clip(0, 4095).astype(np.uint16)


def syntaxes(stored: Array) -> dict[str, tuple[bytes, Callable[[], Any] | None]]:
    """A file of every transfer syntax, and the codec's own decode of its frame."""
    eight = (stored >> 4).astype(np.uint8)
    window = {"WindowCenter": "2048", "WindowWidth": "4000", "RescaleSlope": "1", "RescaleIntercept": "0"}
    frames: dict[str, tuple[Any, Any]] = {
        JPEGLosslessSV1: (
            imagecodecs.jpeg_encode(stored, lossless=True, predictor=1, bitspersample=12),
            imagecodecs.jpeg_decode,
        ),
        JPEGLSLossless: (imagecodecs.jpegls_encode(stored), imagecodecs.jpegls_decode),
        JPEG2000Lossless: (
            imagecodecs.jpeg2k_encode(stored, level=0, reversible=True, codecformat="j2k", resolutions=6),
            imagecodecs.jpeg2k_decode,
        ),
        HTJ2KLossless: (imagecodecs.htj2k_encode(stored, reversible=True), imagecodecs.htj2k_decode),
        JPEGExtended12Bit: (imagecodecs.jpeg_encode(stored, level=90, bitspersample=12), imagecodecs.jpeg_decode),
    }
    files: dict[str, tuple[bytes, Callable[[], Any] | None]] = {
        syntax: (dicom(stored, syntax, **window), None) for syntax in (ExplicitVRLittleEndian, RLELossless)
    }
    for syntax, (frame, decode) in frames.items():
        files[syntax] = dicom(stored, syntax, frame, **window), lambda decode=decode, frame=frame: decode(frame)
    frame = imagecodecs.jpeg8_encode(eight, level=90)
    window8 = {**window, "WindowCenter": "128", "WindowWidth": "250"}
    baseline = dicom(eight, JPEGBaseline8Bit, frame, **window8)
    files[JPEGBaseline8Bit] = baseline, lambda: imagecodecs.jpeg8_decode(frame)
    return files


def milliseconds(work: Callable[[], Any]) -> float:
    started = time.process_time()
    work()
    return 1000 * (time.process_time() - started)


def pixels_held(syntax: str, stored: Array) -> int:
    """Bytes of the pixels that must be in memory: all of them, unless the codec can give fewer."""
    num_bytes = stored.nbytes // 2 if syntax == JPEGBaseline8Bit else stored.nbytes
    if syntax == ExplicitVRLittleEndian:  # they are there already
        return 0
    if syntax in (JPEG2000Lossless, HTJ2KLossless):
        return num_bytes >> 2 * num_halvings(*stored.shape, WORKING_SIZE)
    return num_bytes


def peak_bytes(data: bytes, small: bytes, path: Path) -> int:
    """Largest resident memory of a child process that reads the file, beyond what it holds after a small one."""
    path.write_bytes(data)
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(_peak, (str(path), small))


def _peak(path: str, small: bytes) -> int:
    data = Path(path).read_bytes()
    read_radiograph(small, working_size=WORKING_SIZE)  # loads the codec
    ctypes.CDLL(None).malloc_trim(0)  # what is free already would hide what is needed
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts from here
    before = _status("VmRSS")
    read_radiograph(data, working_size=WORKING_SIZE)
    return _status("VmHWM") - before


def _status(name: str) -> int:
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(name))
    return int(line.split()[1]) * 1024


def images_per_second(data: bytes, workers: int, count: int) -> float:
    with multiprocessing.get_context("spawn").Pool(workers, _keep, (data,)) as pool:
        pool.map(_read_kept, range(2 * workers))
        started = time.monotonic()
        pool.map(_read_kept, range(count), chunksize=1)
        return count / (time.monotonic() - started)


_kept = b""


def _keep(data: bytes) -> None:
    global _kept  # noqa: PLW0603  # a process of the pool holds one file
    _kept = data


def _read_kept(_: int) -> None:
    read_radiograph(_kept, working_size=WORKING_SIZE)


def main() -> None:
    print("| size | transfer syntax | MB | ours ms | Mpx/s | codec ms | pydicom ms | ratio | wanted | peak | 1 | 2 |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |")
    scratch = Path(".benchmark.dcm")
    for rows, columns in SIZES:
        stored = radiograph(rows, columns)
        small = syntaxes(radiograph(500, 400))
        for syntax, (data, decode) in syntaxes(stored).items():
            ours, theirs = [], []
            for _ in range(ROUNDS):
                ours.append(milliseconds(lambda: read_radiograph(data, working_size=WORKING_SIZE)))  # noqa: B023
                if syntax != JPEGExtended12Bit:  # pydicom has no decoder for it
                    theirs.append(milliseconds(lambda: pydicom_path.read(data, WORKING_SIZE)))  # noqa: B023
            codec = f"{min(milliseconds(decode) for _ in range(3)):.0f}" if decode else ""
            ratio = statistics.median(t / o for t, o in zip(theirs, ours, strict=True)) if theirs else None
            compressed = len(data) if syntax != ExplicitVRLittleEndian else 0
            allowed = compressed + 1.5 * pixels_held(syntax, stored)
            peak = peak_bytes(data, small[syntax][0], scratch)
            share = f"{peak / 1e6:.0f} MB" + (f" ({peak / allowed:.0%})" if allowed else "")
            speeds = [images_per_second(data, workers, 24) for workers in (1, 2)]
            print(
                f"| {rows} x {columns} | {UID(syntax).name.split(',')[0]} | {len(data) / 1e6:.1f} "
                f"| {statistics.median(ours):.1f} | {rows * columns / 1000 / statistics.median(ours):.0f} | {codec} "
                f"| {f'{statistics.median(theirs):.0f}' if theirs else '-'} | {f'{ratio:.1f}' if ratio else '-'} "
                f"| {WANTED.get(syntax, '')} | {share} | {speeds[0]:.0f} | {speeds[1]:.0f} |",
                flush=True,
            )
    scratch.unlink()


if __name__ == "__main__":
    main()
