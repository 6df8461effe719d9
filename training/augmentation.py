"""Random views of a radiograph that keep its anatomy and change what differs between sites and exposures.

No flip: it turns a left hand into a right one. Crops keep most of the image: smaller ones mix body parts. Contrast,
noise, sharpness, polarity, collimation and burned-in markers vary, so that they carry no information.

Everything works on whole batches, `images_N1HW` float32 in [0, 1], and is drawn from one generator.
"""

import math

import pydantic
import torch
from torch import Tensor
from torch.nn import functional


class AugmentationConfig(pydantic.BaseModel):
    """How far a view may differ from its radiograph."""

    model_config = pydantic.ConfigDict(frozen=True, extra="forbid")

    rotation_degrees: float = pydantic.Field(default=20.0, ge=0, le=180)
    """Largest rotation to either side."""
    smallest_crop: float = pydantic.Field(default=0.5, gt=0.1, le=1)
    """Smallest share of the image's area that a view shows; below 0.4 crops mix body parts."""
    largest_zoom_out: float = pydantic.Field(default=1.3, ge=1, le=3)
    """Largest area that a view shows, in areas of the image; what lies beyond it is black."""
    stretch: float = pydantic.Field(default=0.15, ge=0, lt=1)
    """Largest change of the aspect ratio."""
    gamma: float = pydantic.Field(default=0.6, ge=0)
    """Largest absolute logarithm of the exponent applied to grey levels."""
    window: float = pydantic.Field(default=0.15, ge=0, lt=0.5)
    """Largest share of the grey levels cut off at either end."""
    tone_curve: float = pydantic.Field(default=0.15, ge=0)
    """Strength of a smooth random tone curve on top of gamma."""
    inversion: float = pydantic.Field(default=0.1, ge=0, le=1)
    """Probability of the other polarity."""
    noise: float = pydantic.Field(default=0.06, ge=0)
    """Largest standard deviation of Gaussian noise, in grey levels of [0, 1]."""
    sharpness: float = pydantic.Field(default=1.5, ge=0)
    """Largest amount of unsharp masking; below zero, down to -0.9, it blurs."""
    collimation: float = pydantic.Field(default=0.5, ge=0, le=1)
    """Probability of a border, black or white, over up to 15 % of each edge."""
    markers: float = pydantic.Field(default=0.5, ge=0, le=1)
    """Probability of pasted bright marks of a letter's size and of an erased patch."""


def random_views(images_N1HW: Tensor, config: AugmentationConfig, generator: torch.Generator) -> Tensor:
    """One random view of every image.

    Args:
        images_N1HW: float32 in [0, 1], on any device.
        config: ranges of the changes.
        generator: on the CPU; decides everything, so that a view can be repeated.

    Returns:
        `(N, 1, H, W)` float32 in [0, 1] on the same device, channels last.
    """
    draw = _Draw(len(images_N1HW), generator, images_N1HW.device)
    views = _move(images_N1HW, config, draw)
    views = _retone(views, config, draw)
    views = _mark(views, config, draw)
    views = _sharpen(views, config, draw)
    views = views + torch.empty_like(views).normal_(generator=draw.on_device) * draw.between(0.0, config.noise)
    views = _collimate(views, config, draw)
    inverted = draw.chance(config.inversion)
    views = torch.where(inverted, 1.0 - views, views)
    return views.clamp_(0.0, 1.0).contiguous(memory_format=torch.channels_last)


class _Draw:
    """Random numbers, one per image, shaped `(N, 1, 1, 1)`."""

    def __init__(self, num_images: int, generator: torch.Generator, device: torch.device) -> None:
        self._num_images, self._generator, self._device = num_images, generator, device
        seed = int(torch.randint(2**62, (1,), generator=generator))
        self.on_device = generator if device.type == "cpu" else torch.Generator(device).manual_seed(seed)

    def between(self, low: float, high: float, *shape: int) -> Tensor:
        values = torch.rand(self._num_images, *(shape or (1, 1, 1)), generator=self._generator)
        return (low + (high - low) * values).to(self._device)

    def chance(self, probability: float) -> Tensor:
        return self.between(0.0, 1.0) < probability


def _move(images_N1HW: Tensor, config: AugmentationConfig, draw: _Draw) -> Tensor:
    """Rotate, crop or zoom out, stretch and shift by one resampling."""
    angle = draw.between(-config.rotation_degrees, config.rotation_degrees).flatten() * (math.pi / 180.0)
    side = draw.between(config.smallest_crop, config.largest_zoom_out).flatten().sqrt()
    aspect = draw.between(-config.stretch, config.stretch).flatten().exp()
    width, height = side * aspect.sqrt(), side / aspect.sqrt()
    freedom = (1.0 - side).abs() + 0.05
    shift_x, shift_y = (draw.between(-1.0, 1.0).flatten() * freedom for _ in range(2))
    cosine, sine = angle.cos(), angle.sin()
    rows = (
        torch.stack([cosine * width, -sine * height, shift_x], 1),
        torch.stack([sine * width, cosine * height, shift_y], 1),
    )
    grid = functional.affine_grid(torch.stack(rows, 1), list(images_N1HW.shape), align_corners=False)
    return functional.grid_sample(images_N1HW, grid, mode="bilinear", padding_mode="zeros", align_corners=False)


def _retone(views: Tensor, config: AugmentationConfig, draw: _Draw) -> Tensor:
    """Another window, gamma and tone curve: what sites and vendors do differently."""
    low, high = draw.between(0.0, config.window), 1.0 - draw.between(0.0, config.window)
    views = ((views - low) / (high - low)).clamp(0.0, 1.0)
    views = (views + 1e-4) ** draw.between(-config.gamma, config.gamma).exp()
    for frequency in (1, 2):
        strength = draw.between(-config.tone_curve, config.tone_curve) / frequency
        views = views + strength * torch.sin(views * (math.pi * frequency))
    return views


def _mark(views: Tensor, config: AugmentationConfig, draw: _Draw) -> Tensor:
    """Paste two bright marks near the edges and erase one patch anywhere."""
    rows, columns = _coordinates(views)
    for brightness, spread in ((1.0, 0.9), (1.0, 0.9), (0.0, 0.6)):
        x, y = draw.between(-spread, spread), draw.between(-spread, spread)
        half_width, half_height = draw.between(0.02, 0.09), draw.between(0.02, 0.09)
        edge = (x.abs() > 0.5) | (y.abs() > 0.5)
        inside = ((columns - x).abs() < half_width) & ((rows - y).abs() < half_height)
        chosen = draw.chance(config.markers) & (edge | torch.tensor(brightness == 0.0, device=views.device))
        views = torch.where(chosen & inside, views.new_tensor(brightness), views)
    return views


def _sharpen(views: Tensor, config: AugmentationConfig, draw: _Draw) -> Tensor:
    """Unsharp masking, or blur where the amount is negative."""
    blurred = functional.avg_pool2d(functional.pad(views, (1, 1, 1, 1), mode="replicate"), 3, stride=1)
    amount = draw.between(-min(0.9, config.sharpness), config.sharpness)
    return views + amount * (views - blurred)


def _collimate(views: Tensor, config: AugmentationConfig, draw: _Draw) -> Tensor:
    """Cover a random border, black or white."""
    rows, columns = _coordinates(views)
    left, right, top, bottom = (1.0 - draw.between(0.0, 0.3) for _ in range(4))
    outside = (columns < -left) | (columns > right) | (rows < -top) | (rows > bottom)
    chosen = draw.chance(config.collimation)
    colour = draw.chance(0.2).to(views.dtype)
    return torch.where(chosen & outside, colour, views)


def _coordinates(views: Tensor) -> tuple[Tensor, Tensor]:
    """Row and column of every pixel in [-1, 1], broadcastable over a batch."""
    rows = torch.linspace(-1.0, 1.0, views.shape[2], device=views.device).view(1, 1, -1, 1)
    columns = torch.linspace(-1.0, 1.0, views.shape[3], device=views.device).view(1, 1, 1, -1)
    return rows, columns
