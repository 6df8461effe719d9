"""PNG, JPEG and TIFF."""

import contextlib
import io
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageOps

from samx.errors import (
    RadiographError,
    UnreadableRadiograph,
    UnsupportedRadiograph,
)
from samx.radiograph import read_radiograph
from tests.samx.files import Array, picture


@pytest.mark.parametrize(
    "pixels",
    [
        np.tile(np.arange(256, dtype=np.uint8), (40, 1)),
        np.tile(np.arange(256, dtype=np.uint16) * 257, (40, 1)),
        np.repeat(np.tile(np.arange(256, dtype=np.uint8), (40, 1))[..., None], 3, axis=2),
        np.dstack([np.tile(np.arange(256, dtype=np.uint8), (40, 1))] * 3 + [np.full((40, 256), 255, np.uint8)]),
    ],
    ids=["8 bit", "16 bit", "grey RGB", "grey RGBA"],
)
def test_a_grey_png_is_stretched(pixels: Array) -> None:
    radiograph = read_radiograph(picture(pixels))
    assert (radiograph.format, radiograph.rows, radiograph.columns) == ("png", 40, 256)
    expected = np.clip((np.arange(256) - 1) / 253, 0, 1)  # 0.5 and 99.5 percentiles are 1 and 254
    np.testing.assert_allclose(radiograph.pixels[20], expected, atol=0.003)
    assert radiograph.attributes.modality == ""


def test_a_grey_jpeg_in_one_or_three_channels() -> None:
    grey = np.tile(np.arange(256, dtype=np.uint8), (40, 1))
    one = read_radiograph(picture(grey, "jpeg", quality=95))
    three = read_radiograph(picture(np.dstack([grey] * 3), "jpeg", quality=95))
    assert one.format == three.format == "jpeg"
    np.testing.assert_allclose(one.pixels, three.pixels, atol=0.02)


def test_palette_and_bilevel_pngs_are_grey() -> None:
    grey = Image.fromarray(np.tile(np.arange(0, 256, 4, dtype=np.uint8), (40, 1)))
    for mode in ("P", "1", "LA"):
        buffer = io.BytesIO()
        grey.convert(mode).save(buffer, "png")
        assert read_radiograph(buffer.getvalue()).pixels.shape == (40, 64)


@pytest.mark.parametrize("kind", ["png", "jpeg"])
def test_a_colour_photograph_is_refused(kind: str) -> None:
    photograph = np.random.default_rng(0).integers(0, 256, (8, 8, 3), np.uint8).repeat(16, 0).repeat(16, 1)
    with pytest.raises(UnsupportedRadiograph, match=f"the {kind.upper()} is in colour .* allowed is grey") as refused:
        read_radiograph(picture(photograph, kind))
    assert refused.value.code == "colour"


def test_a_cmyk_jpeg_and_an_animated_png_are_refused() -> None:
    with pytest.raises(UnsupportedRadiograph, match="CMYK"):
        read_radiograph(_cmyk("jpeg"))
    frames = [Image.fromarray(np.full((20, 20), level, np.uint8)) for level in (0, 255)]
    buffer = io.BytesIO()
    frames[0].save(buffer, "png", save_all=True, append_images=frames[1:])
    with pytest.raises(UnsupportedRadiograph, match="holds several frames"):
        read_radiograph(buffer.getvalue())


def test_the_orientation_of_a_jpeg_is_applied() -> None:
    pixels = np.tile(np.arange(256, dtype=np.uint8), (40, 1))
    exif = Image.Exif()
    exif[0x0112] = 6  # the first row is the right side
    radiograph = read_radiograph(picture(pixels, "jpeg", exif=exif))
    assert (radiograph.rows, radiograph.columns) == (256, 40)
    assert radiograph.pixels[0, 0] < radiograph.pixels[255, 0]


@pytest.mark.parametrize("kind", ["png", "jpeg"])
def test_truncated_pictures_are_unreadable(kind: str) -> None:
    data = picture(np.random.default_rng(0).integers(0, 256, (100, 100), np.uint8), kind)
    for end in (20, 100, len(data) // 2, len(data) - 100):
        with pytest.raises(UnreadableRadiograph):
            read_radiograph(data[:end])


# ---------------------------------------------------------------------------------------------------------------- TIFF


def tiff(pixels: Array, tags: dict[int, Any] | None = None, **options: Any) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "tiff", tiffinfo=tags or {}, **options)
    return buffer.getvalue()


SLOPE = np.tile(np.arange(256, dtype=np.uint8), (40, 1))
BIG = np.tile(np.arange(0, 4096, 4, dtype=np.uint16), (700, 1))


@pytest.mark.parametrize("compression", ["raw", "packbits", "tiff_lzw", "tiff_adobe_deflate"])
@pytest.mark.parametrize("pixels", [SLOPE, SLOPE.astype(np.uint16) * 257, SLOPE.astype(np.int32) - 100])
def test_a_grey_tiff_is_read_like_a_png(compression: str, pixels: Array) -> None:
    radiograph = read_radiograph(tiff(pixels, compression=compression))
    assert (radiograph.format, radiograph.rows, radiograph.columns) == ("tiff", 40, 256)
    np.testing.assert_allclose(radiograph.pixels, read_radiograph(picture(SLOPE)).pixels, atol=1e-5)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_a_tiff_whose_zero_is_white_is_inverted(dtype: type[np.integer[Any]]) -> None:
    """Pillow writes the tag and leaves 16-bit values alone; those of 8 bits it inverts, so that they show the same."""
    slope = SLOPE.astype(dtype)
    black_is_zero, white_is_zero = (read_radiograph(tiff(slope, {262: value})).pixels for value in (1, 0))
    expected = black_is_zero if dtype == np.uint8 else black_is_zero[:, ::-1]
    np.testing.assert_allclose(white_is_zero, expected, atol=0.01)


def test_the_orientation_of_a_tiff_is_applied() -> None:
    radiograph = read_radiograph(tiff(SLOPE, {274: 6}))
    assert (radiograph.rows, radiograph.columns) == (256, 40)
    assert radiograph.pixels[0, 0] < radiograph.pixels[255, 0]


def test_a_broken_tiff_says_nothing_on_the_standard_error_stream(capfd: pytest.CaptureFixture[str]) -> None:
    whole = tiff(SLOPE.astype(np.uint16), compression="tiff_adobe_deflate")
    for place in range(8, len(whole) - 2, 3):
        broken = bytearray(whole)
        broken[place : place + 2] = b"\x55\xaa"
        with contextlib.suppress(RadiographError):
            read_radiograph(bytes(broken))
    assert capfd.readouterr().err == ""


def test_several_pages_colour_floats_and_other_compressions_are_refused() -> None:
    pages = [Image.fromarray(SLOPE), Image.fromarray(SLOPE)]
    buffer = io.BytesIO()
    pages[0].save(buffer, "tiff", save_all=True, append_images=pages[1:])
    with pytest.raises(UnsupportedRadiograph, match="several frames"):
        read_radiograph(buffer.getvalue())
    with pytest.raises(UnsupportedRadiograph, match="TIFF is F; allowed is grey of 8 or 16 bits"):
        read_radiograph(tiff(SLOPE.astype(np.float32)))
    with pytest.raises(UnsupportedRadiograph, match="compressed by another method than raw, packbits"):
        read_radiograph(tiff(SLOPE, compression="jpeg"))
    with pytest.raises(UnsupportedRadiograph, match="CMYK"):
        read_radiograph(_cmyk("tiff"))


def _cmyk(kind: str) -> bytes:
    buffer = io.BytesIO()
    Image.new("CMYK", (20, 20)).save(buffer, kind)
    return buffer.getvalue()


# ------------------------------------------------------------------------------------------------------- reduced decode


@pytest.mark.parametrize("shape", [(1000, 1500), (1001, 1499), (997, 640)])
@pytest.mark.parametrize("working_size", [90, 130, 224, 400, 512])
def test_a_scaled_jpeg_is_the_whole_one_reduced(shape: tuple[int, int], working_size: int) -> None:
    y, x = np.mgrid[0 : shape[0], 0 : shape[1]]
    pixels = (128 + 60 * np.sin(x / 60) + 60 * np.cos(y / 45)).astype(np.uint8)
    scaled = read_radiograph(picture(pixels, "jpeg", quality=95), working_size=working_size)
    whole = read_radiograph(picture(pixels), working_size=working_size)
    assert scaled.pixels.shape == whole.pixels.shape
    assert (scaled.rows, scaled.columns) == shape
    assert np.abs(scaled.pixels - whole.pixels).mean() < 0.01


@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_orientation_of_a_jpeg_is_applied(orientation: int) -> None:
    y, x = np.mgrid[0:600, 0:900]
    pixels = (20 + x / 6 + y / 10).astype(np.uint8)
    exif = Image.Exif()
    exif[0x0112] = orientation
    turned = read_radiograph(picture(pixels, "jpeg", exif=exif, quality=95), working_size=100)
    upright = np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(picture(pixels, "jpeg", exif=exif)))))
    expected = read_radiograph(picture(np.ascontiguousarray(upright)), working_size=100)
    assert (turned.rows, turned.columns) == (expected.rows, expected.columns)
    assert np.abs(turned.pixels - expected.pixels).mean() < 0.01


def test_a_16_bit_png_is_reduced_band_by_band() -> None:
    radiograph = read_radiograph(picture(BIG), working_size=200)
    assert radiograph.pixels.shape == (137, 200)
    steps = np.diff(radiograph.pixels[60, 3:-3])
    assert steps.min() > 0
    assert steps.max() < 0.01
