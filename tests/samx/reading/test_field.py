"""The collimated field."""

import numpy as np
import numpy.typing as npt

Pixels = npt.NDArray[np.float32]


def textured(rows: int, columns: int, seed: int = 0) -> Pixels:
    """Smooth noise without a uniform line, from 0 to 1."""
