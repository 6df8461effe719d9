"""Reduction to the working size: JPEG 2000's own low-pass, then means of areas."""

import io
from typing import Any

import imagecodecs
import numpy as np
import pytest
from PIL import Image

from samx.radiograph import read_radiograph
from samx.reading.reduction import Raster, num_halvings, reduce_to, working_shape
from tests.samx.files import RAMP, WIDE, Array, dicom


def raster(image: Array, bits: int = 16, **options: Any) -> Raster:
    rows, columns = image.shape
    low, high = (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if image.dtype.kind == "i" else (0, 2**bits - 1)
    return Raster(rows, columns, low, high, lambda first, last: image[first:last], **options)


def reduced(image: Array, working_size: int, bits: int = 16) -> Array:
    return reduce_to(raster(image, bits), *image.shape, working_size)


def noise(shape: tuple[int, int], bits: int = 12, seed: int = 0) -> Array:
    return np.random.default_rng(seed).integers(0, 2**bits, shape, dtype=np.uint8 if bits == 8 else np.uint16)


def low_pass(signal: list[int]) -> list[int]:
    """The reversible 5-3 low-pass of one line, sample by sample as ITU-T T.800 has it, mirrored at the ends."""

    def at(index: int) -> int:
        period = max(1, 2 * len(signal) - 2)
        index %= period
        return signal[min(index, period - index)]

    def detail(n: int) -> int:
        return at(2 * n + 1) - (at(2 * n) + at(2 * n + 2)) // 2

    if len(signal) == 1:
        return signal
    return [at(2 * n) + (detail(n - 1) + detail(n) + 2) // 4 for n in range((len(signal) + 1) // 2)]


@pytest.mark.parametrize("shape", [(1, 2), (1, 8), (7, 1), (2, 2), (5, 4), (4, 7), (129, 130), (260, 131)])
@pytest.mark.parametrize("bits", [8, 12, 14, 16])
def test_a_level_is_the_reversible_low_pass_of_jpeg_2000(shape: tuple[int, int], bits: int) -> None:
    image = noise(shape, bits)
    upright = np.array([low_pass(column) for column in image.T.tolist()]).T
    expected = np.array([low_pass(row) for row in upright.tolist()]).clip(0, 2**bits - 1).astype(np.uint16)
    half = (max(shape) + 1) // 2
    assert num_halvings(*shape, half) == 1
    codec_did_it = raster(expected, bits, num_halvings=1)
    np.testing.assert_array_equal(reduced(image, half, bits), reduce_to(codec_did_it, *shape, half))


@pytest.mark.parametrize("shape", [(1024, 1000), (1023, 999), (1955, 1841), (300, 2001), (2000, 120)])
@pytest.mark.parametrize("bits", [8, 12, 14, 16])
@pytest.mark.parametrize("working_size", [224, 512])
def test_halving_here_equals_halving_in_the_codec(shape: tuple[int, int], bits: int, working_size: int) -> None:
    """What OpenJPEG decodes at a lower resolution level is what comes out of the whole image here, to the last bit."""
    image = noise(shape, bits)
    levels = num_halvings(*shape, working_size)
    assert levels >= 0
    codestream = imagecodecs.jpeg2k_encode(
        image, level=0, reversible=True, codecformat="j2k", bitspersample=bits, resolutions=6
    )
    decoded: Any = Image.open(io.BytesIO(codestream))
    decoded.reduce = levels
    decoded._size = tuple(-(-side // 2**levels) * 2**levels for side in decoded.size)
    decoded.load()
    halved = np.asarray(decoded)
    halved = halved >> (halved.dtype.itemsize * 8 - bits)
    np.testing.assert_array_equal(
        reduced(image, working_size, bits),
        reduce_to(raster(halved, bits, num_halvings=levels), *shape, working_size),
    )


@pytest.mark.parametrize("dtype", [np.int16, np.uint16, np.int32, np.uint32, np.uint8])
def test_the_largest_and_smallest_values_do_not_overflow(dtype: type[np.integer[Any]]) -> None:
    info = np.iinfo(dtype)
    board = np.indices((300, 300)).sum(0) % 2
    image = np.where(board == 1, info.max, info.min).astype(dtype)
    middle = (float(info.max) + float(info.min)) / 2
    given = reduced(image, 70, info.bits)
    np.testing.assert_allclose(given[2:-2, 2:-2], middle, atol=(info.max - info.min) / 100)
    blank = np.full((300, 300), info.max, dtype)
    np.testing.assert_allclose(reduced(blank, 70, info.bits), float(info.max), rtol=1e-6)


@pytest.mark.parametrize("bits", [12, 13, 14, 15, 16])
@pytest.mark.parametrize("side", [64, 200])
def test_what_the_transform_exaggerates_most_does_not_overflow(bits: int, side: int) -> None:
    """Signs of the low-pass along both axes, for every place that can be its middle, three levels deep."""
    kernel = np.tile([-1, 1, 1, 1], side)[:side]
    for shift in range(4):
        signs = np.outer(np.roll(kernel, shift), kernel)
        image = np.where(signs > 0, 2**bits - 1, 0).astype(np.uint16)
        values = image.astype(np.int64).tolist()
        for _ in range(3):
            upright = np.array([low_pass(column) for column in np.array(values).T.tolist()]).T
            values = [low_pass(row) for row in upright.tolist()]
        expected = np.clip(np.array(values), 0, 2**bits - 1).astype(np.uint16)
        codec_did_it = raster(expected, bits, num_halvings=3)
        np.testing.assert_array_equal(reduced(image, side // 8, bits), reduce_to(codec_did_it, side, side, side // 8))


def test_a_line_stays_where_it_is() -> None:
    """Samples of the pyramid stand at the first pixel of those they stand for; the last step makes up for that."""
    ramp = np.tile(np.arange(2048, dtype=np.uint16) * 16, (2048, 1))
    for working_size in (1023, 512, 300, 224, 129):
        columns = (np.arange(working_size) + 0.5) * 2048 / working_size - 0.5
        given = reduced(ramp, working_size)
        np.testing.assert_allclose(given[5, 3:-3], columns[3:-3] * 16, atol=8)
        np.testing.assert_allclose(reduced(ramp.T, working_size)[3:-3, 5], columns[3:-3] * 16, atol=8)


def test_without_halving_the_result_is_the_mean_of_areas() -> None:
    image = np.arange(12, dtype=np.uint16).reshape(3, 4)
    np.testing.assert_allclose(reduced(image, 3), np.array([[19, 34, 49], [83, 98, 113]]) / 12, atol=1e-5)
    np.testing.assert_allclose(reduced(image[:1], 3), [[0.25, 1.5, 2.75]], atol=1e-6)


@pytest.mark.parametrize("shape", [(1000, 777), (513, 512), (2049, 1), (1, 3001), (1023, 2), (640, 640)])
def test_reduction_keeps_the_mean_and_the_aspect_ratio(shape: tuple[int, int]) -> None:
    image = noise(shape, 16)
    given = reduced(image, 512)
    assert given.shape == working_shape(*shape, 512)
    assert max(given.shape) == 512
    assert min(given.shape) == max(1, round(min(shape) * 512 / max(shape)))
    assert given.mean() == pytest.approx(image.mean(), rel=0.02)
    assert given.min() >= 0
    assert given.max() <= 65535
    assert given.flags.c_contiguous
    assert given.dtype == np.float32


def test_halving_stops_above_the_working_size() -> None:
    assert [num_halvings(side, 7, 224) for side in (223, 447, 448, 895, 896, 3000)] == [0, 1, 1, 2, 2, 3]
    assert [num_halvings(*shape, 1) for shape in ((1, 1), (1, 2), (3, 1), (64, 64))] == [0, 1, 2, 6]


def test_a_small_radiograph_is_not_enlarged() -> None:
    assert read_radiograph(dicom(RAMP), working_size=512).pixels.shape == (48, 64)
    assert read_radiograph(dicom(RAMP), working_size=32).pixels.shape == (24, 32)
    with pytest.raises(ValueError, match="at least 1"):
        read_radiograph(dicom(RAMP), working_size=0)


def test_reducing_first_changes_nothing_for_a_window_that_clips_nothing() -> None:
    expected = reduced(RAMP, 16, 12) / 4095
    np.testing.assert_allclose(read_radiograph(dicom(RAMP, **WIDE), working_size=16).pixels, expected, atol=1e-6)
