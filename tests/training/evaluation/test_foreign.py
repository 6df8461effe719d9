"""The AUROC of the out-of-scope score against scikit-learn, and the pictures it is measured on."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pytest
from sklearn.metrics import roc_auc_score

from samx.preprocessing import PreprocessingConfig
from training.evaluation.foreign import _reversed, auroc_interval
from training.evaluation.foreign_images import FOREIGN_KINDS, foreign_image, texture
from training.evaluation.robustness import as_read

CONFIG = PreprocessingConfig(size=96, working_size=384)


def scores(seed: int, num: int, shift: float) -> npt.NDArray[np.float64]:
    """With ties."""
    return np.random.default_rng(seed).normal(shift, 1, num).round(1)


def explicit_limits(
    scope: npt.NDArray[np.float64],
    patients: Sequence[str],
    foreign: npt.NDArray[np.float64],
    draws: Sequence[Sequence[int]],
) -> tuple[float, float]:
    """Percentiles of scikit-learn's AUROC over patients and foreign images drawn by index."""
    of_patient = [np.flatnonzero(np.array(patients) == name) for name in np.unique(patients)]
    values = []
    for picks, others in draws:
        drawn = np.concatenate([of_patient[pick] for pick in picks])  # type: ignore[attr-defined]
        both = np.concatenate([scope[drawn], foreign[others]])
        values.append(roc_auc_score(np.arange(len(both)) >= len(drawn), both))
    low, high = np.percentile(values, (2.5, 97.5))
    return float(low), float(high)


def test_the_auroc_and_its_limits_are_scikit_learn_s() -> None:
    scope, foreign = scores(0, 60, 0), scores(1, 25, 1)
    patients = [f"p{index // 3:02d}" for index in range(60)]
    found = auroc_interval(scope, patients, foreign, [f"x {i}" for i in range(25)], resamples=200, seed=5)
    assert found["value"] == pytest.approx(roc_auc_score([0] * 60 + [1] * 25, np.append(scope, foreign)), abs=1e-6)
    own, other = np.random.default_rng(5), np.random.default_rng(6)
    draws = [
        pair
        for _ in range(2)
        for pair in zip(own.integers(20, size=(100, 20)), other.integers(25, size=(100, 25)), strict=True)
    ]
    assert (found["low"], found["high"]) == pytest.approx(explicit_limits(scope, patients, foreign, draws), abs=1e-6)
    assert found["n"] == 25


def test_foreign_images_of_the_same_patients_are_drawn_with_them() -> None:
    scope = scores(2, 40, 0)
    foreign = scope + 0.05
    patients = [f"p{index // 2:02d}" for index in range(40)]
    paired = auroc_interval(scope, patients, foreign, patients, resamples=200, seed=5)
    own = np.random.default_rng(5)
    of_patient = [[2 * index, 2 * index + 1] for index in range(20)]
    draws = [
        (picks, np.concatenate([of_patient[pick] for pick in picks]))
        for _ in range(2)
        for picks in own.integers(20, size=(100, 20))
    ]
    assert (paired["low"], paired["high"]) == pytest.approx(explicit_limits(scope, patients, foreign, draws), abs=1e-6)
    alone = auroc_interval(scope, patients, foreign, [f"x {i}" for i in range(40)], resamples=200, seed=5)
    assert float(str(alone["high"])) - float(str(alone["low"])) > float(str(paired["high"])) - float(str(paired["low"]))


def test_without_radiographs_in_scope_there_is_no_auroc() -> None:
    found = auroc_interval(np.zeros(0), [], np.ones(3), ["a", "b", "c"], resamples=100, seed=0)
    assert found == {"value": None, "low": 0.0, "high": 1.0, "n": 3}


@pytest.mark.parametrize("kind", list(FOREIGN_KINDS))
def test_foreign_images_differ_and_come_again(kind: str) -> None:
    pictures = [foreign_image(kind, 0, number) for number in range(6)]
    for number, picture in enumerate(pictures):
        assert picture.dtype == np.float32
        assert max(picture.shape) == 256
        assert min(picture.shape) >= 160
        assert 0 <= picture.min() < picture.max() <= 1
        assert (picture == foreign_image(kind, 0, number)).all()
        read = as_read(picture, CONFIG)
        assert read.std() > 20, "nothing is left to see"
    assert len({picture.tobytes() for picture in pictures}) == 6
    assert not np.array_equal(foreign_image(kind, 1, 0), pictures[0])


def test_a_photograph_is_not_told_by_its_histogram() -> None:
    """Equalised like a radiograph, its grey levels are spread as evenly as those of one."""
    read = [as_read(foreign_image("photograph", 0, number), CONFIG) for number in range(10)]
    inside = np.concatenate([image[image > 0] for image in read])
    assert 100 < inside.mean() < 155
    assert 55 < inside.std() < 90


def test_amplitude_falls_with_frequency() -> None:
    values = texture((128, 128), 1.0, np.random.default_rng(0))
    power = np.abs(np.fft.rfft2(values - values.mean())) ** 2
    frequency = np.hypot(np.fft.fftfreq(128)[:, None], np.fft.rfftfreq(128))
    low, high = (power[(frequency > f) & (frequency < 1.3 * f)].mean() for f in (0.03, 0.24))
    assert np.log(low / high) / np.log(0.24 / 0.03) == pytest.approx(2, abs=0.3)


def test_an_inverted_radiograph_keeps_its_padding_and_upside_down_is_half_a_turn() -> None:
    image = np.zeros((6, 6), np.uint8)
    image[1:5] = np.arange(1, 25).reshape(4, 6) * 10
    image[2, 2] = 0
    inverted = _reversed(image, "inverted")
    assert (inverted[[0, 5]] == 0).all()
    assert (inverted[1:5] == 255 - image[1:5]).all()
    assert (_reversed(image, "upside_down") == np.rot90(image, 2)).all()
