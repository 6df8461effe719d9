"""Histograms of oriented gradients (Dalal and Triggs 2005): hand-made features that need no training.

On small pools they are a strong baseline for clustering radiographs, and beside learned features they help.
"""

import math

import torch
from torch import Tensor
from torch.nn import functional

NUM_ORIENTATIONS = 9
NUM_CELLS = 12
"""Cells along each side of the image; every cell is one twelfth of it, whatever the image's size."""


def hog(images_N1HW: Tensor, num_cells: int = NUM_CELLS) -> Tensor:
    """Descriptors of whole images; contrast, brightness and polarity hardly change them.

    Gradients are taken without a sign, so a negative gives the same descriptor.

    Args:
        images_N1HW: float32 in [0, 1].
        num_cells: along each side; fewer tell less of the place and are less easily misled by it.

    Returns:
        `(N, 11 * 11 * 4 * 9)` float32 for 12 cells: blocks of 2 x 2 cells, each of unit length.
    """
    gradient_y, gradient_x = torch.gradient(images_N1HW, dim=(2, 3))
    magnitude = (gradient_x.square() + gradient_y.square()).sqrt()
    angle = torch.atan2(gradient_y, gradient_x) % math.pi  # unsigned: bright on dark equals dark on bright
    position = angle * (NUM_ORIENTATIONS / math.pi)
    lower = position.floor()
    weight = position - lower
    channels = [
        torch.where(lower % NUM_ORIENTATIONS == channel, 1 - weight, 0.0)
        + torch.where((lower + 1) % NUM_ORIENTATIONS == channel, weight, 0.0)
        for channel in range(NUM_ORIENTATIONS)
    ]
    cells = functional.adaptive_avg_pool2d(torch.cat(channels, 1) * magnitude, num_cells)
    blocks = torch.cat(
        [cells[:, :, dy : dy + num_cells - 1, dx : dx + num_cells - 1] for dy in (0, 1) for dx in (0, 1)], 1
    )
    blocks = (functional.normalize(blocks, dim=1, eps=1e-3)).clamp_max(0.2)  # clipped, as in section 6.4
    return functional.normalize(blocks, dim=1, eps=1e-3).flatten(1)
