"""Histograms of oriented gradients follow shape, not contrast."""

import pytest
import torch
from torch import Tensor

from training.hog import NUM_CELLS, NUM_ORIENTATIONS, hog


def bars(side: int = 96, *, vertical: bool) -> Tensor:
    wave = (torch.arange(side) // 8 % 2).float()
    image = wave.expand(side, side) if vertical else wave.unsqueeze(1).expand(side, side)
    return image[None, None].contiguous()


@pytest.mark.parametrize("num_cells", [NUM_CELLS, 8])
def test_descriptors_have_unit_blocks(num_cells: int) -> None:
    blocks = hog(torch.rand(2, 1, 96, 96, generator=torch.Generator().manual_seed(0)), num_cells)
    blocks = blocks.view(2, 4 * NUM_ORIENTATIONS, num_cells - 1, num_cells - 1)
    torch.testing.assert_close(blocks.norm(dim=1), torch.ones(2, num_cells - 1, num_cells - 1), atol=1e-3, rtol=0)


def test_contrast_brightness_and_polarity_do_not_matter() -> None:
    image = torch.rand(1, 1, 96, 96, generator=torch.Generator().manual_seed(0))
    for changed in (0.5 * image + 0.2, 1.0 - image):
        torch.testing.assert_close(hog(changed), hog(image), atol=2e-3, rtol=0)


def test_vertical_and_horizontal_bars_fill_different_orientations() -> None:
    across, along = hog(bars(vertical=True)), hog(bars(vertical=False))
    assert float(across @ along.T) < 0.1 * float(across @ across.T)


def test_a_flat_image_gives_zeros() -> None:
    assert not hog(torch.full((1, 1, 48, 48), 0.3)).any()
