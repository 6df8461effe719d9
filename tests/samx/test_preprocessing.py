"""Preprocessing by known pixels and by what must not matter: polarity of reading, gain, offset, mirror, borders.

`python -m tests.samx.test_preprocessing` rewrites tests/golden/preprocessed.png. A change there means that published
models see another image than they were trained on: raise `samx.preprocessing.PREPROCESSING_VERSION` with it.
"""

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pydantic
import pytest
from PIL import Image

from samx.preprocessing import (
    PREPROCESSING_VERSION,
    PreprocessingConfig,
    equalise,
    fit,
    preprocess,
)
from samx.radiograph import Radiograph, RadiographAttributes
from samx.reading.field import field_of

Pixels = npt.NDArray[np.float32]

GOLDEN = Path(__file__).parent.parent / "golden" / "preprocessed.png"
SMALL = PreprocessingConfig(size=64, working_size=64)


def radiograph(pixels: npt.ArrayLike) -> Radiograph:
    array = np.ascontiguousarray(pixels, np.float32)
    return Radiograph(array, RadiographAttributes(), "png", *array.shape)


def textured(rows: int, columns: int, seed: int = 0) -> Pixels:
    """Smooth noise without a uniform line, from 0 to 1."""
    blocks = np.random.default_rng(seed).random((8, 8), np.float32)
    enlarged = Image.fromarray(blocks).resize((columns, rows), Image.Resampling.BICUBIC)
    array = np.asarray(enlarged)
    return np.asarray((array - array.min()) / (array.max() - array.min()), np.float32)


# ------------------------------------------------------------------------------------------------------- known pixels


def test_a_pixel_becomes_the_share_of_darker_ones() -> None:
    """A square of 4 x 4 has its four corners outside the ellipse; twelve values count, and the darkest is black."""
    pixels = np.array([[9, 0, 1, 9], [2, 3, 4, 5], [6, 7, 8, 9], [0, 10, 11, 9]], np.float32) / 11
    expected = np.array([[9, 0, 1, 9], [2, 3, 4, 5], [6, 7, 8, 9], [0, 10, 11, 9]]) / 11
    np.testing.assert_allclose(equalise(pixels), expected, atol=1e-6)


def test_grey_levels_are_spread_evenly() -> None:
    pixels = textured(200, 200) ** 1.5
    rows, columns = np.mgrid[-0.995:1:200j, -0.995:1:200j]
    inside = equalise(pixels)[rows**2 + columns**2 < 0.8]
    shares, _ = np.histogram(inside, bins=10, range=(0, 1))
    assert (shares / inside.size).min() > 0.09
    assert (shares / inside.size).max() < 0.11


def test_what_lies_in_the_corners_does_not_decide_about_contrast() -> None:
    pixels = 0.2 + 0.3 * textured(64, 64)
    shuttered = pixels.copy()
    rows, columns = np.mgrid[-1:1:64j, -1:1:64j]
    shuttered[(np.abs(rows) > 0.7) & (np.abs(columns) > 0.7)] = 0.0
    inside = shuttered == pixels
    np.testing.assert_array_equal(equalise(shuttered)[inside], equalise(pixels)[inside])
    assert not equalise(shuttered)[~inside].any()


@pytest.mark.parametrize(
    ("shape", "rows", "columns"),
    [((32, 64), slice(16, 48), slice(0, 64)), ((64, 16), slice(0, 64), slice(24, 40)), ((9, 64), slice(27, 36), ...)],
)
def test_the_short_side_is_padded_with_black_on_both_ends(shape: tuple[int, int], rows: slice, columns: slice) -> None:
    pixels = textured(*shape)
    expected = np.zeros((64, 64))
    expected[rows, columns] = np.rint(255 * equalise(pixels))
    np.testing.assert_array_equal(preprocess(radiograph(pixels), SMALL), expected)


def test_a_disc_stays_round() -> None:
    rows, columns = np.mgrid[:300, :180]
    disc = ((rows - 150) ** 2 + (columns - 90) ** 2 < 60**2) * 1.0
    field = fit((0.2 * textured(300, 180) + 0.8 * disc).astype(np.float32), 64) > 0.5
    height, width = field.any(1).sum(), field.any(0).sum()
    assert abs(int(height) - int(width)) <= 1
    assert height == pytest.approx(120 * 64 / 300, abs=1)


def test_a_few_extreme_pixels_do_not_darken_the_rest() -> None:
    pixels = 0.2 * textured(64, 64)
    marked = pixels.copy()
    marked[30, 30:40] = 1.0  # 0.24 % of the pixels
    plain, with_marker = (preprocess(radiograph(array), SMALL).astype(int) for array in (pixels, marked))
    elsewhere = np.ones((64, 64), bool)
    elsewhere[30, 30:40] = False
    assert np.abs(plain - with_marker)[elsewhere].max() <= 4
    assert (with_marker[30, 30:40] == 255).all()


def test_reducing_averages_instead_of_sampling() -> None:
    """A grid finer than the image's pixels, as an anti-scatter grid leaves it, must not become stripes."""
    grid = (np.indices((512, 512)).sum(0) % 2).astype(np.float32)
    assert np.abs(fit(grid, 64)[1:-1, 1:-1] - 0.5).max() < 0.01


def test_image_is_the_golden_one() -> None:
    with Image.open(GOLDEN) as golden:
        difference = np.asarray(golden).astype(int) - golden_image()
    assert np.abs(difference).max() <= 1, "raise PREPROCESSING_VERSION"


def golden_image() -> npt.NDArray[np.uint8]:
    """A framed, narrow, noisy field with a marker."""
    pixels = np.full((200, 150), 0.02, np.float32)
    pixels[20:190, 30:130] = 0.1 + 0.5 * textured(170, 100, seed=5)
    pixels[25:33, 35:41] = 1.0
    return preprocess(radiograph(pixels), PreprocessingConfig(size=48, working_size=256))


# ------------------------------------------------------------------------------------------------ what must not matter


@pytest.mark.parametrize("exponent", [0.5, 0.8, 1.5, 2.5])
def test_the_characteristic_curve_does_not_matter(exponent: float) -> None:
    """Tolerance: 1024 levels of the darkened picture are not those of the other one."""
    pixels = 0.1 + 0.9 * textured(64, 64)
    plain, changed = (preprocess(radiograph(array), SMALL) for array in (pixels, pixels**exponent))
    assert np.abs(plain.astype(int) - changed).max() <= 3


@pytest.mark.parametrize(("gain", "offset"), [(0.5, 0.0), (0.5, 0.5), (0.3, 0.2), (0.9, 0.05)])
def test_gain_and_offset_do_not_matter(gain: float, offset: float) -> None:
    pixels = textured(90, 70)
    config = PreprocessingConfig(size=64, working_size=128)
    plain, changed = (preprocess(radiograph(array), config) for array in (pixels, gain * pixels + offset))
    assert np.abs(plain.astype(int) - changed).max() <= 1
    assert plain.std() > 30


def test_inverted_pixels_give_the_inverted_image() -> None:
    """Polarity is the reader's business: preprocessing keeps bright bright."""
    pixels = textured(64, 64)
    image, inverted = (preprocess(radiograph(array), SMALL) for array in (pixels, 1 - pixels))
    assert np.abs(255 - image.astype(int) - inverted).max() <= 1


@pytest.mark.parametrize("turn", [np.fliplr, np.flipud, np.transpose])
def test_a_mirrored_radiograph_gives_the_mirrored_image(turn: type[np.ufunc]) -> None:
    framed = np.zeros((120, 120), np.float32)
    framed[20:100, 30:90] = textured(80, 60)
    config = PreprocessingConfig(size=64, working_size=128)
    image, turned = (preprocess(radiograph(array), config) for array in (framed, turn(framed)))
    assert np.abs(turn(image).astype(int) - turned).max() <= 1


def test_same_pixels_give_the_same_image_and_stay_as_they_were() -> None:
    pixels = textured(77, 131)
    before = pixels.copy()
    first = preprocess(radiograph(pixels), SMALL)
    np.testing.assert_array_equal(preprocess(radiograph(pixels), SMALL), first)
    np.testing.assert_array_equal(pixels, before)


def test_a_uniform_frame_does_not_matter() -> None:
    pixels = textured(80, 60)
    framed = np.pad(pixels, ((25, 10), (5, 30)), constant_values=0.7)
    np.testing.assert_array_equal(preprocess(radiograph(framed), SMALL), preprocess(radiograph(pixels), SMALL))


# -------------------------------------------------------------------------------------------------------------- border


@pytest.mark.parametrize("grey", [0.0, 0.5, 1.0])
def test_a_blank_exposure_stays_an_image(grey: float) -> None:
    pixels = np.full((90, 60), grey, np.float32)
    np.testing.assert_array_equal(preprocess(radiograph(pixels), SMALL), np.zeros((64, 64)))


@pytest.mark.parametrize("shape", [(1, 1), (1, 2), (2, 1), (3, 3), (1, 1000), (1000, 1), (2, 1000), (1000, 3)])
@pytest.mark.parametrize("kind", ["blank", "ramp", "textured"])
def test_extreme_shapes_give_an_image(shape: tuple[int, int], kind: str) -> None:
    num_pixels = shape[0] * shape[1]
    values = {
        "blank": np.zeros(num_pixels),
        "ramp": np.linspace(0, 1, num_pixels),
        "textured": np.random.default_rng(0).random(num_pixels),
    }[kind]
    pixels = values.reshape(shape).astype(np.float32)
    field = pixels[field_of(pixels)]
    assert field.size > 0
    image = preprocess(radiograph(pixels), SMALL)
    assert image.shape == (64, 64)
    assert image.dtype == np.uint8
    height, width = (max(1, round(64 * side / max(field.shape))) for side in field.shape)
    top, left = (64 - height) // 2, (64 - width) // 2
    content = image[top : top + height, left : left + width].astype(int)
    assert fit(pixels, 64).mean() == pytest.approx(field.mean(), abs=0.05), "averaging keeps the mean"
    assert image.sum() == content.sum(), "all else is black"


def test_a_line_lies_in_the_middle() -> None:
    image = preprocess(radiograph(np.linspace(0, 1, 1000)[None]), SMALL)
    assert not image[:31].any()
    assert not image[32:].any()
    assert (np.diff(image[31, 4:-4].astype(int)) > 0).all(), "the ends lie outside the ellipse"


# ------------------------------------------------------------------------------------------------------- configuration


def test_configuration_survives_json() -> None:
    config = PreprocessingConfig(size=96, working_size=300)
    once = PreprocessingConfig.model_validate_json(config.model_dump_json())
    assert once == config
    assert once.model_dump_json() == config.model_dump_json()


@pytest.mark.parametrize("version", [PREPROCESSING_VERSION + 1, 0, None, "1"])
def test_another_version_is_refused(version: object) -> None:
    with pytest.raises(pydantic.ValidationError, match="version"):
        PreprocessingConfig.model_validate({"version": version})


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("size", 16),
        ("size", 2048),
        ("working_size", 5000),
        ("percentiles", (0.5, 99.5)),
    ],
)
def test_configurations_that_mean_nothing_are_refused(field: str, value: object) -> None:
    with pytest.raises(pydantic.ValidationError, match=field):
        PreprocessingConfig.model_validate({field: value})


def test_working_size_must_not_be_below_size() -> None:
    with pytest.raises(pydantic.ValidationError, match="working_size 100 must be at least size 101"):
        PreprocessingConfig(size=101, working_size=100)
    assert PreprocessingConfig(size=100, working_size=100).size == 100


def test_configuration_is_frozen() -> None:
    with pytest.raises(pydantic.ValidationError, match="frozen"):
        PreprocessingConfig().size = 64  # type: ignore[misc]


if __name__ == "__main__":
    Image.fromarray(golden_image()).save(GOLDEN, optimize=True)
