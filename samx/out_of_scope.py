"""How far a radiograph lies from all that the model was trained on, by its features.

Shape suffixes: N radiographs, K classes, D features, R components.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

SCOPE = ("scope.means_KD", "scope.scale_D", "scope.components_DR")
"""Names of the tensors of `FeatureDistribution`, in the order of its fields."""


@dataclass(frozen=True)
class FeatureDistribution:
    """Where the features of known classes lie; measures how far from all of them a radiograph is.

    The covariance, shared by the classes, is that of a few components and of one variance in all other directions
    (Tipping and Bishop 1999), so that thousands of features take a few multiplications each.
    """

    means_KD: npt.NDArray[np.float32]
    """Mean of every class that had radiographs, of scope features (see `Network.scope_features`)."""
    scale_D: npt.NDArray[np.float32]
    """A deviation times this has unit variance in all directions but the components'."""
    components_DR: npt.NDArray[np.float32]
    """Of the scaled deviation; what they carry of its square is in excess of unit variance, and is taken off."""

    def distances(self, features_ND: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Mahalanobis distance to the nearest class mean per square root of dimension, `(N,)`; about 1 in scope.

        Lee et al. 2018, sections 2.1 and 2.2.
        """
        scaled_ND = (features_ND - self._origin) * self.scale_D
        carried_NR = scaled_ND @ self.components_DR
        squares_KN = [
            np.square(scaled_ND - mean_D).sum(1) - np.square(carried_NR - mean_R).sum(1)
            for mean_D, mean_R in zip(*self._scaled_means, strict=True)
        ]
        nearest_N: npt.NDArray[np.float32] = np.min(squares_KN, axis=0)
        return np.sqrt(np.maximum(nearest_N, 0) / np.float32(features_ND.shape[1]))

    @cached_property
    def _origin(self) -> npt.NDArray[np.float32]:
        """Subtracted from all first, so that little is lost by rounding."""
        origin_D: npt.NDArray[np.float32] = self.means_KD.mean(0)
        return origin_D

    @cached_property
    def _scaled_means(self) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
        scaled_KD: npt.NDArray[np.float32] = (self.means_KD - self._origin) * self.scale_D
        carried_KR: npt.NDArray[np.float32] = scaled_KD @ self.components_DR
        return scaled_KD, carried_KR
