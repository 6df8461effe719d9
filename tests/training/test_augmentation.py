"""Views keep the anatomy, and are repeatable."""

import pytest
import torch
from torch import Tensor

from training.augmentation import AugmentationConfig, random_views

NOTHING = AugmentationConfig(
    rotation_degrees=0,
    quarter_turns=0,
    smallest_crop=1,
    largest_zoom_out=1,
    mirror=0,
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


def random_images(count: int) -> Tensor:
    return torch.randint(0, 256, (count, 40, 40), dtype=torch.uint8, generator=generator(1))


def letter_f(side: int = 64) -> Tensor:
    """A bright F on black: differs from its mirror image."""
    image = torch.zeros(1, side, side, dtype=torch.uint8)
    image[..., 16:48, 24:28] = 255
    image[..., 16:20, 24:42] = 255
    image[..., 30:34, 24:38] = 255
    return image


def test_views_stay_in_range_and_shape() -> None:
    views = random_views(random_images(16), AugmentationConfig(), generator())
    assert views.shape == (16, 1, 40, 40)
    assert views.min() >= 0
    assert views.max() <= 1
    assert torch.isfinite(views).all()


def test_the_same_generator_state_gives_the_same_views() -> None:
    images = random_images(4)
    first, second, other = (random_views(images, AugmentationConfig(), generator(seed)) for seed in (7, 7, 8))
    assert torch.equal(first, second)
    assert not torch.equal(first, other)


def test_views_of_one_batch_differ() -> None:
    images = letter_f().expand(2, 64, 64)
    first, second = random_views(images, AugmentationConfig(), generator())
    assert (first - second).abs().mean() > 0.01


def test_no_view_is_a_mirror_image() -> None:
    """Left must stay left: every view fits the upright letter better than its mirror image."""
    config = AugmentationConfig(inversion=0, markers=0, collimation=0, noise=0)
    letter = letter_f()
    views = random_views(letter.expand(64, 64, 64), config, generator(3))
    moments = _third_moments(views)
    assert (moments.sign() == _third_moments(letter.unsqueeze(1)).sign()).all()
    assert (_third_moments(letter.unsqueeze(1).flip(3)).sign() == -_third_moments(letter.unsqueeze(1)).sign()).all()


@pytest.mark.parametrize(("probability", "turns"), [(0, {0}), (1, {1, 2, 3}), (0.5, {0, 1, 2, 3})])
def test_views_are_upright_or_turned_by_quarters(probability: float, turns: set[int]) -> None:
    letter = letter_f()
    config = NOTHING.model_copy(update={"quarter_turns": probability})
    views = random_views(letter.expand(64, 64, 64), config, generator(5))
    turned_4HW = torch.stack([letter[0].rot90(turn) for turn in range(4)]).float() / 255
    distances_N4 = (views - turned_4HW).abs().mean((2, 3))
    assert set(distances_N4.argmin(1).tolist()) == turns
    assert distances_N4.min(1).values.max() < 0.1  # shifts alone are left


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
    views = random_views(torch.full((3, 32, 32), 102, dtype=torch.uint8), NOTHING, generator())
    torch.testing.assert_close(views[:, :, 4:28, 4:28], torch.full((3, 1, 24, 24), 0.4), atol=1e-3, rtol=0)


def test_views_do_not_depend_on_how_a_batch_is_shared() -> None:
    images = random_images(6)
    whole = random_views(images, AugmentationConfig(), generator(7))
    parts = [
        random_views(images[part], AugmentationConfig(), generator(7), offset=part.start, batch_size=6)
        for part in (slice(0, 2), slice(2, 6))
    ]
    assert torch.equal(torch.cat(parts), whole)


def test_the_tone_is_a_function_of_the_grey_level() -> None:
    """Equal grey levels stay equal, and brighter ones stay brighter up to the strength of the tone curve."""
    config = NOTHING.model_copy(update={"gamma": 0.6, "window": 0.15})
    ramp = torch.arange(256, dtype=torch.uint8).view(1, 1, 256).expand(8, 256, 256)
    views = random_views(ramp, config, generator(3))[:, 0, 20:236, 20:236]
    assert (views.diff(dim=2) >= -1e-5).all()
    assert views.diff(dim=1).abs().max() < 1e-5
    assert views.flatten(1).std(dim=1).min() > 0.2


def test_inversion_gives_the_negative() -> None:
    config = NOTHING.model_copy(update={"inversion": 1.0})
    views = random_views(torch.full((3, 32, 32), 51, dtype=torch.uint8), config, generator())
    torch.testing.assert_close(views[:, :, 4:28, 4:28], torch.full((3, 1, 24, 24), 0.8), atol=1e-3, rtol=0)


def test_a_collimated_view_has_a_border_of_one_colour() -> None:
    config = NOTHING.model_copy(update={"collimation": 1.0})
    views = random_views(torch.full((64, 64, 64), 128, dtype=torch.uint8), config, generator(1))
    corners = views[:, 0, [0, 0, -1, -1], [0, -1, 0, -1]]
    assert ((corners == 0) | (corners == 1)).float().mean() > 0.7
    torch.testing.assert_close(views[:, 0, 20:44, 20:44], torch.full((64, 24, 24), 128 / 255), atol=1e-3, rtol=0)


@pytest.mark.parametrize(("field", "value"), [("smallest_crop", 0.05), ("inversion", 1.5), ("noise", -1)])
def test_ranges_beyond_reason_are_refused(field: str, value: float) -> None:
    with pytest.raises(ValueError, match=field):
        AugmentationConfig.model_validate({field: value})


def test_mirrored_views_are_mirror_images() -> None:
    config = NOTHING.model_copy(update={"mirror": 1.0})
    letter = letter_f()
    moments = _third_moments(random_views(letter.expand(16, 64, 64), config, generator()))
    assert (moments.sign() == -_third_moments(letter.unsqueeze(1)).sign()).all()
