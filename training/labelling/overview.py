"""Every cluster as the page lists it: suggestions, purity, groups and the orders to go through them in."""

from dataclasses import asdict
from typing import Any

from training.labelling.order import groups, useful_order
from training.labelling.pool import Pool
from training.labelling.reading import Reading
from training.labelling.suggestions import Suggester

_UNNAMED = {"label": None, "view": "", "laterality": "", "note": "", "reader": "", "decided_at": ""}


class Overview:
    """What is known of all clusters, brought up to date after every decision.

    Args:
        pool: the run.
        tags: label that the tags name, by position.
    """

    def __init__(self, pool: Pool, tags: list[str]) -> None:
        self._pool = pool
        self.suggester = Suggester(pool.features_ND, tags)
        self.rows: dict[int, dict[str, Any]] = {}
        """As the page gets them, by cluster."""
        self.order: dict[str, list[int]] = {}
        self.groups: dict[int, list[int]] = {}

    @property
    def ids(self) -> list[int]:
        """Clusters in the order of the rows of their centroids."""
        return self.suggester.ids

    def update(self, reading: Reading) -> None:
        """Look at the clusters and labels as they are now."""
        same_clusters = self.ids == list(reading.members)
        self.suggester.update(reading)
        suggested, purities = self.suggester.of_all(), self.suggester.purities()
        centroids_CD = self.suggester.centroids_CD
        row_of = {cluster_id: row for row, cluster_id in enumerate(self.ids)}
        self.groups = groups(reading.undecided, row_of, centroids_CD, suggested)
        if not same_clusters:
            sizes = [len(members) for members in reading.members.values()]
            self._tightness = [
                float((self._pool.features_ND[members] @ centroids_CD[row]).mean())
                for row, members in enumerate(reading.members.values())
            ]
            self._useful = [self.ids[row] for row in useful_order(sizes, self._tightness, centroids_CD)]
        self.rows = {}
        for row, cluster_id in enumerate(self.ids):
            given, suggestion, purity = reading.labels.get(cluster_id), suggested[cluster_id], purities[cluster_id]
            self.rows[cluster_id] = {
                "id": cluster_id,
                "size": len(reading.members[cluster_id]),
                "tightness": round(self._tightness[row], 3),
                "purity": purity and {"value": round(purity.value, 2), "source": purity.source},
                **(_UNNAMED if given is None else asdict(given)),
                "parent": reading.parents.get(cluster_id),
                "suggestion": suggestion and {"label": suggestion.label, "confidence": round(suggestion.confidence, 2)},
                "group_size": len(self.groups.get(cluster_id, ())) or 1,
            }
        self.order = {
            "useful": self._useful,
            "largest": sorted(self.ids, key=lambda one: (-self.rows[one]["size"], one)),
            "uncertain": sorted(self.ids, key=lambda one: (self._confidence(one), one)),
        }

    def _confidence(self, cluster_id: int) -> float:
        suggestion = self.rows[cluster_id]["suggestion"]
        return float(suggestion["confidence"]) if suggestion else 0.0
