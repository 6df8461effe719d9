"""Quantiles by sorting."""

from typing import Any

import numpy as np
from numpy.typing import NDArray


def quantiles(lines: NDArray[np.floating[Any]], shares: NDArray[np.float64]) -> NDArray[np.floating[Any]]:
    """What `numpy.quantile(lines, shares, axis=1)` gives, to the last bit, in a third of its time.

    It sorts, for which numpy has vector instructions; for several quantiles at once it selects without them. A line
    with a value that is not a number has no quantiles.

    Args:
        lines: `(N, M)`.
        shares: `(Q,)` in [0, 1).

    Returns:
        `(Q, N)`.
    """
    ordered = np.sort(np.ascontiguousarray(lines), axis=1)
    position = shares * (lines.shape[1] - 1)
    before = position.astype(np.intp)
    below, above = (ordered[:, index].T for index in (before, np.minimum(before + 1, lines.shape[1] - 1)))
    part = (position - before)[:, None]
    nearer_above = part >= 0.5  # from the nearer side, as numpy rounds
    result: NDArray[np.floating[Any]] = np.where(
        nearer_above, above - (above - below) * (1 - part), below + (above - below) * part
    )
    result[:, np.isnan(ordered[:, -1])] = np.nan
    return result
