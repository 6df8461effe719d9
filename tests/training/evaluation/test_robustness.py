"""Distortions do what they say, and what is read from them again is what a file would give."""

import numpy as np
import numpy.typing as npt
import pytest

from samx.phantom import phantom_radiograph
from samx.preprocessing import PreprocessingConfig, preprocess
from samx.radiograph import read_radiograph
from training.evaluation.robustness import (
    DISTORTIONS,
    ROBUSTNESS_COLUMNS,
    content,
    distort,
    evenly_chosen,
    robustness_figures,
)

CONFIG = PreprocessingConfig(size=96, working_size=384)


@pytest.fixture(scope="module")
def knee() -> npt.NDArray[np.uint8]:
    return preprocess(read_radiograph(phantom_radiograph(label="knee", seed=3), working_size=384), CONFIG)


def correlation(one: npt.NDArray[np.uint8], other: npt.NDArray[np.uint8]) -> float:
    return float(np.corrcoef(one.ravel(), other.ravel())[0, 1])


def test_content_is_what_lies_inside_the_padding() -> None:
    image = np.zeros((8, 8), np.uint8)
    image[1:7, 2:5] = 255
    image[3, 3] = 0
    inside = content(image)
    assert inside.shape == (6, 3)
    assert inside.sum() == 17
    assert content(np.zeros((4, 4), np.uint8)).shape == (4, 4)


@pytest.mark.parametrize("name", list(DISTORTIONS))
def test_a_distorted_image_is_another_of_the_same_size_and_the_same_again(
    name: str, knee: npt.NDArray[np.uint8]
) -> None:
    found = distort(knee, name, CONFIG, seed=1)
    assert found.shape == knee.shape
    assert found.dtype == np.uint8
    assert (found == distort(knee, name, CONFIG, seed=1)).all()
    assert not (found == knee).all()


@pytest.mark.parametrize(("name", "least"), [("jpeg_q30", 0.95), ("eight_bits", 0.95), ("marker", 0.9)])
def test_mild_distortions_leave_the_radiograph_what_it_was(
    name: str, least: float, knee: npt.NDArray[np.uint8]
) -> None:
    assert correlation(distort(knee, name, CONFIG, seed=1), knee) > least


def test_a_quarter_turn_is_counter_clockwise_and_four_are_none() -> None:
    pixels = np.arange(6, dtype=np.float32).reshape(2, 3) / 5
    turned = DISTORTIONS["rotated_90"](pixels, np.random.default_rng(0))
    assert turned[-1].tolist() == pixels[:, 0].tolist()
    for _ in range(3):
        turned = DISTORTIONS["rotated_90"](turned, np.random.default_rng(0))
    assert (turned == pixels).all()


def test_fifteen_degrees_there_and_back_is_nearly_nothing() -> None:
    pixels = np.zeros((61, 61), np.float32)
    pixels[20:40, 28:33] = 1
    generator = np.random.default_rng(0)
    there = DISTORTIONS["rotated_15"](pixels, generator)
    back = DISTORTIONS["rotated_minus_15"](there, generator)
    inset = [(side - 61) // 2 for side in back.shape]
    middle = back[inset[0] : inset[0] + 61, inset[1] : inset[1] + 61]
    assert there.shape[0] > 61
    assert np.corrcoef(middle.ravel(), pixels.ravel())[0, 1] > 0.85
    assert there[: there.shape[0] // 2].argmax() != pixels.argmax()


def test_the_bar_s_top_leans_left_when_turned_counter_clockwise() -> None:
    pixels = np.zeros((61, 61), np.float32)
    pixels[5:56, 28:33] = 1
    turned = DISTORTIONS["rotated_15"](pixels, np.random.default_rng(0))
    rows = np.flatnonzero(turned.max(1) > 0.5)
    top, bottom = (np.average(np.arange(turned.shape[1]), weights=turned[row]) for row in (rows[0], rows[-1]))
    assert top < bottom - 5


def test_a_marker_is_white_and_in_one_corner() -> None:
    before = np.full((80, 80), 0.3, np.float32)
    after = DISTORTIONS["marker"](before, np.random.default_rng(2))
    rows, columns = np.nonzero(after > 0.9)
    assert 5 <= len(rows) <= 0.03 * before.size
    assert np.ptp(rows) <= 80 // 5
    assert np.ptp(columns) <= 80 // 5
    assert not 30 < rows.mean() < 50
    assert not 30 < columns.mean() < 50


def test_a_crop_leaves_64_percent_and_8_bits_merge_dark_levels() -> None:
    pixels = np.linspace(0, 1, 10000, dtype=np.float32).reshape(100, 100)
    generator = np.random.default_rng(0)
    assert DISTORTIONS["cropped"](pixels, generator).shape == (80, 80)
    eight = DISTORTIONS["eight_bits"](pixels, generator)
    assert len(np.unique(eight[pixels < 0.25])) < 0.25 * 0.25 * 256 < len(np.unique(eight[pixels > 0.75]))
    assert (DISTORTIONS["negative"](pixels, generator) == 1 - pixels).all()


def test_images_are_chosen_evenly() -> None:
    assert evenly_chosen(5, 9).tolist() == [0, 1, 2, 3, 4]
    assert evenly_chosen(100, 4).tolist() == [0, 33, 66, 99]
    assert evenly_chosen(0, 4).tolist() == evenly_chosen(4, 0).tolist() == []


def test_radiographs_without_a_label_count_for_the_same_answer_alone() -> None:
    rows = [
        dict.fromkeys(ROBUSTNESS_COLUMNS, "hand"),
        dict.fromkeys(ROBUSTNESS_COLUMNS, "hand") | {"label": "", "marker": "foot"},
    ]
    found = robustness_figures(rows)
    assert found["marker"]["top_1"]["n"] == 1  # type: ignore[index]
    assert found["marker"]["same_answer"]["value"] == 0.5  # type: ignore[index]
    assert robustness_figures([]) == {}
