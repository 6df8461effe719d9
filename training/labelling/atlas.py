"""Where clusters and radiographs lie on a plane: near one another where they look alike."""

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np

from training.labelling.similarity import Array, Positions, pca_map, tsne_map

Layout = Literal["pca", "tsne"]


class Atlas:
    """The maps of a pool, each drawn once for the clusters there are.

    Args:
        features_ND: unit vectors.
    """

    def __init__(self, features_ND: Array) -> None:
        self._features_ND = features_ND
        self._points_N2: Array | None = None
        self._drawn: dict[Layout, tuple[list[int], Array]] = {}

    def clusters(self, layout: Layout, members: Mapping[int, Positions], centroids_CD: Array) -> list[dict[str, Any]]:
        """Place of each cluster in [0, 1]: the mean of its radiographs' by principal components, or by t-SNE."""
        ids = list(members)
        before, places_C2 = self._drawn.get(layout, ([], np.zeros((0, 2), np.float32)))
        if before != ids:
            if layout == "tsne":
                places_C2 = tsne_map(centroids_CD)
            else:
                places_C2 = np.stack([self._points()[positions].mean(0) for positions in members.values()])
            self._drawn[layout] = (ids, places_C2)
        return [
            {"id": cluster_id, "x": round(float(x), 4), "y": round(float(y), 4)}
            for cluster_id, (x, y) in zip(ids, places_C2.tolist(), strict=True)
        ]

    def radiographs(self) -> bytes:
        """Place of each radiograph by principal components: x and y, little-endian uint16, 65535 for 1."""
        return bytes(np.rint(self._points() * 65535).astype("<u2").tobytes())

    def _points(self) -> Array:
        if self._points_N2 is None:
            self._points_N2 = pca_map(self._features_ND)
        return self._points_N2
