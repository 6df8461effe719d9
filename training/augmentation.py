"""Random views of a radiograph that keep its anatomy and change what differs between sites and exposures.

No flip by default: it turns a left hand into a right one. Crops keep most of the image: smaller ones mix body parts.
Contrast, noise, sharpness, polarity, collimation and burned-in markers vary, so that they carry no information.

Everything works on whole batches and is drawn from one generator.
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
    quarter_turns: float = pydantic.Field(default=0.1, ge=0, le=1)
    """Probability of one, two or three quarter turns beside it: some radiographs lie on their side or upside down.
    0 where about a thousand are learned from: they are too few for it (EXPERIMENTS.md)."""
    smallest_crop: float = pydantic.Field(default=0.5, gt=0.1, le=1)
    """Smallest share of the image's area that a view shows; below 0.4 crops mix body parts."""
    largest_zoom_out: float = pydantic.Field(default=1.3, ge=1, le=3)
    """Largest area that a view shows, in areas of the image; what lies beyond it is black."""
    mirror: float = pydantic.Field(default=0.0, ge=0, le=1)
    """Probability of a mirror image. Above 0 left and right become one: for pools whose sides nobody wants to know."""
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


def random_views(
    images_NHW: Tensor,
    config: AugmentationConfig,
    generator: torch.Generator,
    *,
    offset: int = 0,
    batch_size: int | None = None,
) -> Tensor:
    """One random view of every image.

    Several processes may share a batch: each draws the numbers of the whole batch and uses those of its own images, so
    that the views do not depend on how many processes there are.

    Args:
        images_NHW: preprocessed, uint8, on any device.
        config: ranges of the changes.
        generator: on the CPU; decides everything, so that a view can be repeated.
        offset: position of the first image in the batch.
        batch_size: images in the batch; by default these images are all.

    Returns:
        `(N, 1, H, W)` float32 in [0, 1] on the same device, channels last.
    """
    draw = _Draw(offset, len(images_NHW), batch_size or len(images_NHW), generator, images_NHW.device)
    views = _move(_retone(images_NHW, config, draw), config, draw)
    views = _mark(views, config, draw)
    views = _sharpen(views, config, draw)
    views = views.addcmul_(draw.noise(*views.shape[1:]), draw.between(0.0, config.noise))
    views = _collimate(views, config, draw).clamp_(0.0, 1.0)
    inverted = draw.chance(config.inversion).float()
    views = views.mul_(1.0 - 2.0 * inverted).add_(inverted)
    return views.contiguous(memory_format=torch.channels_last)


class _Draw:
    """Random numbers, one per image, shaped `(N, 1, 1, 1)`."""

    def __init__(
        self, offset: int, num_images: int, batch_size: int, generator: torch.Generator, device: torch.device
    ) -> None:
        self._own, self._batch_size = slice(offset, offset + num_images), batch_size
        self._generator, self._device = generator, device

    def between(self, low: float, high: float) -> Tensor:
        values = torch.rand(self._batch_size, 1, 1, 1, generator=self._generator)[self._own]
        return (low + (high - low) * values).to(self._device)

    def chance(self, probability: float) -> Tensor:
        return self.between(0.0, 1.0) < probability

    def noise(self, *shape: int) -> Tensor:
        """Standard normal noise, `(N, *shape)`."""
        generator = self._generator
        if self._device.type != "cpu":
            seed = int(torch.randint(2**62, (1,), generator=generator))
            generator = torch.Generator(self._device).manual_seed(seed)
        return torch.randn(self._batch_size, *shape, generator=generator, device=self._device)[self._own]


def _retone(images_NHW: Tensor, config: AugmentationConfig, draw: _Draw) -> Tensor:
    """Another window, gamma and tone curve: what sites and vendors do differently.

    All are functions of the grey level alone: they are computed for the 256 levels of each image and looked up.

    Returns:
        `(N, 1, H, W)` float32, about [0, 1].
    """
    levels = torch.linspace(0.0, 1.0, 256, device=images_NHW.device).view(1, 1, 1, 256)
    low, high = draw.between(0.0, config.window), 1.0 - draw.between(0.0, config.window)
    levels = ((levels - low) / (high - low)).clamp(0.0, 1.0)
    levels = levels ** draw.between(-config.gamma, config.gamma).exp()
    for frequency in (1, 2):
        strength = draw.between(-config.tone_curve, config.tone_curve) / frequency
        levels = levels + strength * torch.sin(levels * (math.pi * frequency))
    return levels.view(-1, 256).gather(1, images_NHW.flatten(1).long()).view(len(images_NHW), 1, *images_NHW.shape[1:])


def _move(images_N1HW: Tensor, config: AugmentationConfig, draw: _Draw) -> Tensor:
    """Rotate, crop or zoom out, stretch and shift by one resampling; what lies beyond the image is black."""
    angle = draw.between(-config.rotation_degrees, config.rotation_degrees) * (math.pi / 180.0)
    quarters = draw.between(1.0, 4.0).floor() * draw.chance(config.quarter_turns)
    angle = angle + quarters * (math.pi / 2.0)
    side = draw.between(config.smallest_crop, config.largest_zoom_out).sqrt()
    aspect = draw.between(-config.stretch, config.stretch).exp()
    width, height = side * aspect.sqrt(), side / aspect.sqrt()
    width = torch.where(draw.chance(config.mirror), -width, width)
    freedom = (1.0 - side).abs() + 0.05
    shift_x, shift_y = (draw.between(-1.0, 1.0) * freedom for _ in range(2))
    cosine, sine = angle.cos(), angle.sin()
    num_rows, num_columns = images_N1HW.shape[2:]
    y = (torch.arange(num_rows, device=images_N1HW.device) * 2 + 1).view(1, -1, 1, 1) / num_rows - 1
    x = (torch.arange(num_columns, device=images_N1HW.device) * 2 + 1).view(1, 1, -1, 1) / num_columns - 1
    grid_x = x * (cosine * width) + (shift_x - y * (sine * height))
    grid_y = x * (sine * width) + (shift_y + y * (cosine * height))
    grid = torch.cat([grid_x, grid_y], 3)
    return functional.grid_sample(images_N1HW, grid, mode="bilinear", padding_mode="zeros", align_corners=False)


def _mark(views: Tensor, config: AugmentationConfig, draw: _Draw) -> Tensor:
    """Paste two bright marks near the edges and erase one patch anywhere."""
    rows, columns = _coordinates(views)
    for brightness, spread, only_near_edges in ((1.0, 0.9, True), (1.0, 0.9, True), (0.0, 0.6, False)):
        x, y = draw.between(-spread, spread), draw.between(-spread, spread)
        half_width, half_height = draw.between(0.02, 0.09), draw.between(0.02, 0.09)
        chosen = draw.chance(config.markers)
        if only_near_edges:
            chosen = chosen & ((x.abs() > 0.5) | (y.abs() > 0.5))
        in_rows = ((rows - y).abs() < half_height) & chosen
        views.masked_fill_(in_rows & ((columns - x).abs() < half_width), brightness)
    return views


def _sharpen(views: Tensor, config: AugmentationConfig, draw: _Draw) -> Tensor:
    """Unsharp masking, or blur where the amount is negative."""
    amount = draw.between(-min(0.9, config.sharpness), config.sharpness)
    padded = functional.pad(views, (1, 1, 1, 1), mode="replicate")
    blurred = padded[:, :, :-2] + padded[:, :, 1:-1] + padded[:, :, 2:]
    blurred = blurred[..., :-2] + blurred[..., 1:-1] + blurred[..., 2:]
    return views.mul_(1.0 + amount).addcmul_(blurred, amount, value=-1.0 / 9.0)


def _collimate(views: Tensor, config: AugmentationConfig, draw: _Draw) -> Tensor:
    """Cover a random border, black or white."""
    rows, columns = _coordinates(views)
    left, right, top, bottom = (1.0 - draw.between(0.0, 0.3) for _ in range(4))
    inside = ((columns >= -left) & (columns <= right)).float() * ((rows >= -top) & (rows <= bottom)).float()
    inside = torch.where(draw.chance(config.collimation), inside, 1.0)
    white = draw.chance(0.2).float()
    return views.sub_(white).mul_(inside).add_(white)


def _coordinates(views: Tensor) -> tuple[Tensor, Tensor]:
    """Row and column of every pixel in [-1, 1], broadcastable over a batch."""
    rows = torch.linspace(-1.0, 1.0, views.shape[2], device=views.device).view(1, 1, -1, 1)
    columns = torch.linspace(-1.0, 1.0, views.shape[3], device=views.device).view(1, 1, 1, -1)
    return rows, columns
