"""How sure a figure is: Wilson's interval for radiographs taken as independent, the bootstrap over patients where not.

Shape suffixes: N radiographs, P patients, B resamples, M quantities that are summed.
"""

import math
from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

Z_95 = 1.959964
"""Two-sided 95 % quantile of the normal distribution."""
RESAMPLES = 2000
"""Of the bootstrap, unless told otherwise."""
_BLOCK = 100


def wilson_interval(successes: int, total: int) -> tuple[float, float]:
    """95 % interval of a proportion (Wilson 1927); (0, 1) for no observations.

    Takes observations as independent: several radiographs of one patient make it somewhat too narrow.
    """
    if total == 0:
        return 0.0, 1.0
    share, z2 = successes / total, Z_95**2
    centre = (share + z2 / (2 * total)) / (1 + z2 / total)
    half = Z_95 * math.sqrt(share * (1 - share) / total + z2 / (4 * total**2)) / (1 + z2 / total)
    return max(0.0, centre - half), min(1.0, centre + half)


def mean_of_proportions(successes: Sequence[int], totals: Sequence[int]) -> dict[str, object]:
    """Unweighted mean of independent proportions with a 95 % interval.

    The distances to the Wilson limits are squared and added (Zou and Donner 2008). A class of one radiograph widens the
    interval as it should; resampling would give such a class no spread at all.
    """
    shares = [k / n for k, n in zip(successes, totals, strict=True)]
    limits = [wilson_interval(k, n) for k, n in zip(successes, totals, strict=True)]
    value = sum(shares) / len(shares)
    below = math.hypot(*(share - low for share, (low, _) in zip(shares, limits, strict=True))) / len(shares)
    above = math.hypot(*(high - share for share, (_, high) in zip(shares, limits, strict=True))) / len(shares)
    return {
        "value": rounded(value),
        "low": rounded(max(0.0, value - below)),
        "high": rounded(min(1.0, value + above)),
        "n": len(shares),
    }


def proportion(hits: npt.NDArray[np.bool_]) -> dict[str, object]:
    """A share with its 95 % interval (Wilson) and the number of observations; no value where there is none."""
    low, high = wilson_interval(int(hits.sum()), len(hits))
    value = float(hits.mean()) if len(hits) else None
    return {"value": rounded(value), "low": rounded(low), "high": rounded(high), "n": len(hits)}


def resampled_sums(
    values_NM: npt.NDArray[np.generic], patients: Sequence[str], *, resamples: int = RESAMPLES, seed: int = 0
) -> npt.NDArray[np.float64]:
    """Sums of each column over patients drawn with replacement, as many as there are, all their radiographs with them.

    Any figure that is made of sums - a share, a recall, an F1 - can be made again from each row: its percentiles are
    the patient-clustered bootstrap interval (Davison and Hinkley 1997, section 3.8). The same seed draws the same
    patients, so that figures made from two calls are paired.

    Args:
        values_NM: what is summed, `(N, M)`, bool or numbers.
        patients: of each radiograph, `N`.
        resamples: `B`.
        seed: of the draws.

    Returns:
        `(B, M)` float64.
    """
    names, patient_N = np.unique(np.array(patients, str), return_inverse=True)
    sums_PM = np.zeros((len(names), values_NM.shape[1]))
    np.add.at(sums_PM, patient_N, values_NM.astype(np.float64))
    return np.concatenate([block @ sums_PM for block in resampled_counts(len(names), resamples=resamples, seed=seed)])


def resampled_counts(num_patients: int, *, resamples: int, seed: int) -> Iterator[npt.NDArray[np.float64]]:
    """How often each patient is drawn in each resample, in blocks `(b, P)` of a few resamples that together are B."""
    generator = np.random.default_rng(seed)
    for start in range(0, resamples, _BLOCK):
        size = min(_BLOCK, resamples - start)
        drawn = generator.integers(num_patients, size=(size, num_patients)) + num_patients * np.arange(size)[:, None]
        counts = np.bincount(drawn.ravel(), minlength=size * num_patients)
        yield counts.reshape(size, num_patients).astype(np.float64)


def percentile_limits(values_B: npt.NDArray[np.float64]) -> tuple[float, float]:
    """The 2.5th and 97.5th percentile of a resampled figure, NaN (nothing to measure) left out; (0, 1) if all are."""
    found = values_B[np.isfinite(values_B)]
    if not len(found):
        return 0.0, 1.0
    low, high = np.percentile(found, (2.5, 97.5))
    return float(low), float(high)


def bootstrap_interval(values_B: npt.NDArray[np.float64]) -> dict[str, object]:
    """The limits of a resampled figure, to stand beside its Wilson interval."""
    low, high = percentile_limits(values_B)
    return {"low": rounded(low), "high": rounded(high), "resamples": len(values_B)}


def rounded(value: float | None) -> float | None:
    """As figures are written: six digits."""
    return None if value is None else round(float(value), 6)
