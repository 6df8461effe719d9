"""In which order clusters are shown, and which of them are shown together.

Shape suffixes: C clusters, D dimensions.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from training.labelling.similarity import Array
from training.labelling.suggestions import Suggestion

_RUN_OF_SIMILAR = 12
"""So many similar clusters follow one another before the next large one."""
_SIMILAR = 0.6
"""Cosine similarity from which the next cluster may be one of the same name."""
LARGEST_GROUP = 16
"""Clusters that are shown as rows of one screen."""
_ALIKE = 0.75
"""Cosine similarity of clusters that are shown together before anything is known of them."""
_SURE = 0.5
"""Confidence of a suggestion from which clusters with the same one are shown together."""


def useful_order(sizes_C: Sequence[int], tightness_C: Sequence[float], centroids_CD: Array) -> list[int]:
    """Rows of clusters, the large and tight ones early, and similar ones one after the other so that names repeat."""
    value_C = np.array(sizes_C, np.float64) * np.array(tightness_C)
    left_C = np.ones(len(value_C), bool)
    order: list[int] = []
    while left_C.any():
        current = int(np.where(left_C, value_C, -np.inf).argmax())
        for _ in range(_RUN_OF_SIMILAR):
            order.append(current)
            left_C[current] = False
            similarity_C = np.where(left_C, centroids_CD @ centroids_CD[current], -np.inf)
            following = int(similarity_C.argmax())
            if similarity_C[following] < _SIMILAR:
                break
            current = following
    return order


def groups(
    undecided: Sequence[int],
    row_of: Mapping[int, int],
    centroids_CD: Array,
    suggestions: Mapping[int, Suggestion | None],
) -> dict[int, list[int]]:
    """For each undecided cluster the undecided ones that are likely to get the same name, itself first.

    Those with the same suggestion where it is sure enough, else those that resemble it; the most similar first.
    """
    if not undecided:
        return {}
    rows = np.array([row_of[cluster_id] for cluster_id in undecided])
    similarity_UU = centroids_CD[rows] @ centroids_CD[rows].T
    sure = [
        suggestion.label if suggestion is not None and suggestion.confidence >= _SURE else ""
        for suggestion in (suggestions[cluster_id] for cluster_id in undecided)
    ]
    names = np.array(sure)
    found = {}
    for index, cluster_id in enumerate(undecided):
        fits = names == sure[index]
        if not sure[index]:
            fits &= similarity_UU[index] >= _ALIKE
        fits[index] = False
        candidates = np.flatnonzero(fits)
        nearest = candidates[similarity_UU[index][candidates].argsort()[::-1]][: LARGEST_GROUP - 1]
        found[cluster_id] = [cluster_id, *(undecided[other] for other in nearest.tolist())]
    return found
