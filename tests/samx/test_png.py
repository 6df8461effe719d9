import io

import numpy as np
import pytest
from PIL import Image

from samx.png import to_png


@pytest.mark.parametrize("shape", [(1, 1), (5, 7), (5, 7, 3)])
@pytest.mark.parametrize("step", [1, -1, 2])
def test_png_decodes_to_the_same_pixels(shape: tuple[int, ...], step: int) -> None:
    image = np.random.default_rng(0).integers(0, 256, shape, np.uint8)[::step, ::step]
    with Image.open(io.BytesIO(to_png(image))) as decoded:
        assert decoded.format == "PNG"
        np.testing.assert_array_equal(np.asarray(decoded), image)
