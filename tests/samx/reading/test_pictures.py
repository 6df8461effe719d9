"""PNG, JPEG and TIFF."""

import io

import numpy as np
import pytest
from PIL import Image

from samx.errors import (
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
    buffer = io.BytesIO()
    Image.new("CMYK", (20, 20)).save(buffer, "jpeg")
    with pytest.raises(UnsupportedRadiograph, match="CMYK"):
        read_radiograph(buffer.getvalue())
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
