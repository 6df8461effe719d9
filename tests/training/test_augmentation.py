"""Views keep the anatomy, and are repeatable."""

import pytest
import torch
from torch import Tensor

from training.augmentation import AugmentationConfig, random_views

NOTHING = AugmentationConfig(
    rotation_degrees=0,
    smallest_crop=1,
    largest_zoom_out=1,
    stretch=0,
    gamma=0,
    window=0,
    tone_curve=0,
    inversion=0,
    noise=0,
    sharpness=0,
    collimation=0,
    markers=0,
)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def letter_f(side: int = 64) -> Tensor:
    """A bright F on black: differs from its mirror image."""
    image = torch.zeros(1, 1, side, side)
    image[..., 16:48, 24:28] = 1
    image[..., 16:20, 24:42] = 1
    image[..., 30:34, 24:38] = 1
    return image


def test_views_stay_in_range_and_shape() -> None:
    images = torch.rand(16, 1, 40, 40, generator=generator(1))
    views = random_views(images, AugmentationConfig(), generator())
    assert views.shape == images.shape
    assert views.min() >= 0
    assert views.max() <= 1
    assert torch.isfinite(views).all()


def test_the_same_generator_state_gives_the_same_views() -> None:
    images = torch.rand(4, 1, 40, 40, generator=generator(1))
    first, second, other = (random_views(images, AugmentationConfig(), generator(seed)) for seed in (7, 7, 8))
    assert torch.equal(first, second)
    assert not torch.equal(first, other)


def test_views_of_one_batch_differ() -> None:
    images = letter_f().expand(2, 1, 64, 64)
    first, second = random_views(images, AugmentationConfig(), generator())
    assert (first - second).abs().mean() > 0.01


def test_no_view_is_a_mirror_image() -> None:
    """Left must stay left: every view fits the upright letter better than its mirror image."""
    config = AugmentationConfig(inversion=0, markers=0, collimation=0, noise=0)
    letter = letter_f()
    views = random_views(letter.expand(64, 1, 64, 64), config, generator(3))
    moments = _third_moments(views)
    assert (moments.sign() == _third_moments(letter).sign()).all()
    assert (_third_moments(letter.flip(3)).sign() == -_third_moments(letter).sign()).all()


def _third_moments(images: Tensor) -> Tensor:
    """A moment that rotation, scale and shift leave alone and mirroring negates (Flusser and Suk 1993)."""
    weights = images.double().flatten(1) / images.double().flatten(1).sum(1, keepdim=True)
    axis = torch.linspace(-1, 1, images.shape[2], dtype=torch.float64)
    y, x = (grid.flatten() for grid in torch.meshgrid(axis, axis, indexing="ij"))
    z = torch.complex(x - (weights @ x).unsqueeze(1), y - (weights @ y).unsqueeze(1))
    second, third = (weights * z**2).sum(1), (weights * z**2 * z.conj()).sum(1)
    return (second * third.conj() ** 2).imag


def test_configuration_without_change_moves_nothing_but_the_small_shift() -> None:
    """All ranges at zero leave grey levels as they are."""
    images = torch.full((3, 1, 32, 32), 0.4)
    views = random_views(images, NOTHING, generator())
    torch.testing.assert_close(views[:, :, 4:28, 4:28], images[:, :, 4:28, 4:28], atol=1e-3, rtol=0)


@pytest.mark.parametrize(("field", "value"), [("smallest_crop", 0.05), ("inversion", 1.5), ("noise", -1)])
def test_ranges_beyond_reason_are_refused(field: str, value: float) -> None:
    with pytest.raises(ValueError, match=field):
        AugmentationConfig.model_validate({field: value})
