from typing import Any

import numpy as np
import pytest

from samx.reading.quantiles import quantiles


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("length", [1, 2, 3, 20, 21, 41, 230, 421])
def test_quantiles_are_those_of_numpy_to_the_last_bit(length: int, dtype: type[np.floating[Any]]) -> None:
    random = np.random.default_rng(length)
    lines = np.concatenate([random.random((50, length)), random.integers(0, 5, (50, length)) / 4]).astype(dtype)
    lines[0, 0] = np.nan
    expected = np.percentile(lines, (5.0, 50.0, 95.0), axis=1)
    found = quantiles(lines, np.array((0.05, 0.5, 0.95)))
    assert found.dtype == expected.dtype
    assert np.array_equal(found, expected, equal_nan=True)
