"""Negatives: plain ones are recognised, everything else is left alone."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from samx.radiograph import read_radiograph
from samx.reading.polarity import is_negative
from tests.samx.files import Array, dicom, picture


def limb(shutters: float | None = None) -> Array:
    """A bone of marrow and cortex in soft tissue in air, `(300, 240)` in [0, 1]; around it shutters of one grey."""
    y, x = np.mgrid[0:300, 0:240]
    from_axis = np.abs(x - 120 - 6 * np.sin(y / 60))
    pixels = np.select([from_axis < 14, from_axis < 18, from_axis < 70], [0.55, 0.95, 0.3], 0.02)
    if shutters is not None:
        pixels[:40], pixels[-40:], pixels[:, :30], pixels[:, -30:] = (shutters,) * 4
    return pixels.astype(np.float32)


@pytest.mark.parametrize("shutters", [None, 0.0, 1.0])
def test_a_limb_in_air_is_no_negative(shutters: float | None) -> None:
    assert not is_negative(limb(shutters))


@pytest.mark.parametrize("shutters", [None, 0.0])
def test_a_limb_in_bright_air_is_a_negative(shutters: float | None) -> None:
    assert is_negative(1 - limb(shutters))


def test_white_shutters_make_no_negative_of_a_trunk() -> None:
    trunk = np.full((300, 240), 1.0, np.float32)
    ribs = 0.4 + 0.5 * (np.arange(180) % 20 < 4)
    trunk[60:240, 60:180] = ribs[:, None] - np.linspace(0, 0.2, 120)
    assert not is_negative(trunk)


@pytest.mark.parametrize("grey", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("shape", [(1, 1), (2, 3), (1, 500), (300, 300)])
def test_a_blank_exposure_of_any_shape_is_no_negative(grey: float, shape: tuple[int, int]) -> None:
    assert not is_negative(np.full(shape, grey, np.float32))


def test_a_negative_is_read_as_a_positive_and_says_so() -> None:
    stored = (limb() * 4000).astype(np.uint16)
    tagged = read_radiograph(dicom(stored))
    wrongly_tagged = read_radiograph(dicom(stored, PhotometricInterpretation="MONOCHROME1"))
    exported = read_radiograph(picture(255 - (limb() * 255).astype(np.uint8)))
    assert not tagged.was_negative
    assert wrongly_tagged.was_negative
    assert exported.was_negative
    np.testing.assert_allclose(wrongly_tagged.pixels, tagged.pixels, atol=0.01)
    np.testing.assert_allclose(exported.pixels, tagged.pixels, atol=0.02)


def test_error_rates_on_real_radiographs(real_radiographs: Path) -> None:
    """Of every twentieth picture; `python -m tests.benchmarks.polarity` measures all of them."""
    files = sorted((real_radiographs / "images").glob("*/*.jpg"))[::20]
    pixels = [np.asarray(Image.open(file).convert("L"), np.float32) / 255 for file in files]
    assert len(pixels) > 70
    assert sum(map(is_negative, pixels)) == 0, "wrongly inverted"
    limbs = [image for file, image in zip(files, pixels, strict=True) if file.parent.name == "hand"]
    assert sum(is_negative(1 - image) for image in limbs) > 0.5 * len(limbs)
