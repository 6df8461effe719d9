"""What each cluster might be called, how sure that is, and where it comes from. Nothing here is ever applied by itself.

Three sources vote, each with shares over labels that add up to at most 1:

    tags        what Body Part Examined and the series' description say of the cluster's radiographs
    neighbours  labels of the most similar clusters that the reader has named
    probe       a linear model of the features, learned from the clusters that the reader has named

A suggestion's confidence is its share of all votes. What sources are silent about stays unsaid, so that few tags or far
neighbours give little confidence.

Shape suffixes: N radiographs, C clusters, D dimensions, L labels.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from samx.anatomy import ANATOMY, DISCARD, MIXED, NOT_MUSCULOSKELETAL, label_of_body_part
from training.labelling.reading import Reading
from training.labelling.similarity import Array, Positions, centroids, linear_probe, probe_probabilities, softmax

TAG_WEIGHT, NEIGHBOUR_WEIGHT, PROBE_WEIGHT = 1.0, 1.0, 1.5
_TAGS_THAT_CONVINCE = 3.0
_NUM_NEIGHBOURS = 5
_NEIGHBOUR_TEMPERATURE = 0.05
_STRANGE = 0.5
"""Cosine similarity of a cluster to the nearest named one below which that says nothing."""
_PROBE_MEMBERS = 16
"""Radiographs of a named cluster that the probe learns from: large clusters count no more than small ones."""


@dataclass(frozen=True, slots=True)
class Suggestion:
    """A label for one cluster."""

    label: str
    confidence: float
    """In [0, 1]."""
    sources: tuple[str, ...]
    """In words."""


@dataclass(frozen=True, slots=True)
class Purity:
    """An estimate of the share of a cluster's radiographs that bear its commonest label."""

    value: float
    source: str
    """`probe` or `tags`."""


def tag_labels(rows: Sequence[Mapping[str, str]]) -> list[str]:
    """The label that each radiograph's tags name; `discard` for what is not musculoskeletal, empty for none."""
    return [
        DISCARD if found == NOT_MUSCULOSKELETAL else found or ""
        for found in (
            label_of_body_part(row["body_part_examined"]) or row.get("described_label") or None for row in rows
        )
    ]


class Suggester:
    """Suggestions for the clusters of one pool.

    Args:
        features_ND: unit vectors.
        tags: label that the tags name, by position; empty where none.
    """

    def __init__(self, features_ND: Array, tags: Sequence[str]) -> None:
        self._features_ND, self._tags = features_ND, tags
        self.ids: list[int] = []
        self.labels: list[str] = []
        self.centroids_CD: Array = np.zeros((0, features_ND.shape[1]), np.float32)
        self._members: Mapping[int, Positions] = {}

    def update(self, reading: Reading) -> None:
        """Look at the clusters and labels as they are now."""
        if list(reading.members) != self.ids:
            self.ids = list(reading.members)
            self.centroids_CD = centroids(self._features_ND, reading.members)
            # Fixed members per cluster, drawn once: what is suggested does not flicker.
            generator = np.random.default_rng(0)
            self._chosen = [generator.permutation(members)[:_PROBE_MEMBERS] for members in reading.members.values()]
        self._members = dict(reading.members)
        given = {cluster_id: one.label for cluster_id, one in reading.labels.items() if one.label != MIXED}
        own = set(given.values()) - set(ANATOMY) - {DISCARD}
        self.labels = [*ANATOMY, DISCARD, *sorted(own)]
        number = {label: index for index, label in enumerate(self.labels)}
        self._given_C = np.array([number.get(given.get(cluster_id, ""), -1) for cluster_id in self.ids])
        self._tag_N = np.array([number.get(tag, -1) for tag in self._tags])
        self._tags_CL = self._tag_shares(reading)
        self._neighbours_CL, self._nearest_CK, self._similarity_CK = self._neighbour_shares()
        self.probe_DL = self._fitted_probe()
        self._probe_CL = self._probe_shares()

    def of_all(self) -> dict[int, Suggestion | None]:
        """The best suggestion for every cluster; None where no source says anything."""
        votes_CL = self._votes()
        best_C = votes_CL.argmax(1)
        shares_C = votes_CL[np.arange(len(votes_CL)), best_C]
        return {
            cluster_id: Suggestion(self.labels[best], float(share), ()) if share > 0 else None
            for cluster_id, best, share in zip(self.ids, best_C, shares_C, strict=True)
        }

    def of(self, cluster_id: int, count: int = 5) -> list[Suggestion]:
        """The best suggestions for one cluster, the most likely first, with their sources in words."""
        row = self.ids.index(cluster_id)
        votes_L = self._votes()[row]
        best = [int(label) for label in votes_L.argsort()[::-1][:count] if votes_L[label] > 0.01]
        return [
            Suggestion(self.labels[label], float(votes_L[label]), tuple(self._sources(row, label))) for label in best
        ]

    def purities(self) -> dict[int, Purity | None]:
        """An estimate for every cluster: by the probe where there is one, else by the tags."""
        found: dict[int, Purity | None] = {}
        for row, cluster_id in enumerate(self.ids):
            if self.probe_DL is not None:
                probabilities_ML = probe_probabilities(self._features_ND[self._chosen[row]], self.probe_DL)
                answers = Counter(probabilities_ML.argmax(1).tolist())
                found[cluster_id] = Purity(max(answers.values()) / len(self._chosen[row]), "probe")
            elif self._num_tagged_C[row] >= _TAGS_THAT_CONVINCE:
                found[cluster_id] = Purity(float(self._tag_counts_CL[row].max() / self._num_tagged_C[row]), "tags")
            else:
                found[cluster_id] = None
        return found

    def num_tagged(self, cluster_id: int) -> int:
        """Radiographs of a cluster whose tags name a label."""
        return int(self._num_tagged_C[self.ids.index(cluster_id)])

    def nearest_named(self, row: int) -> list[tuple[int, float]]:
        """Rows and similarities of the most similar named clusters."""
        return [
            (int(other), float(similarity))
            for other, similarity in zip(self._nearest_CK[row], self._similarity_CK[row], strict=True)
            if similarity > -1
        ]

    def _votes(self) -> Array:
        votes_CL: Array = (
            TAG_WEIGHT * self._tags_CL + NEIGHBOUR_WEIGHT * self._neighbours_CL + PROBE_WEIGHT * self._probe_CL
        )
        most = TAG_WEIGHT * self._tags_CL.any() + NEIGHBOUR_WEIGHT * self._neighbours_CL.any()
        most += PROBE_WEIGHT * (self.probe_DL is not None)
        return votes_CL / max(most, 1e-9)

    def _tag_shares(self, reading: Reading) -> Array:
        row_of = {cluster_id: row for row, cluster_id in enumerate(self.ids)}
        row_N = np.array([row_of[cluster_id] for cluster_id in reading.cluster_N.tolist()])
        known = self._tag_N >= 0
        cells = row_N[known] * len(self.labels) + self._tag_N[known]
        counts = np.bincount(cells, minlength=len(self.ids) * len(self.labels))
        self._tag_counts_CL = counts.reshape(len(self.ids), len(self.labels)).astype(np.float32)
        self._num_tagged_C = self._tag_counts_CL.sum(1)
        shares: Array = self._tag_counts_CL / (self._num_tagged_C + _TAGS_THAT_CONVINCE)[:, None]
        return shares

    def _neighbour_shares(self) -> tuple[Array, Positions, Array]:
        named = np.flatnonzero(self._given_C >= 0)
        shares = np.zeros((len(self.ids), len(self.labels)), np.float32)
        if not len(named):
            return shares, np.zeros((len(self.ids), 0), np.int64), np.zeros((len(self.ids), 0), np.float32)
        similarity_CK = self.centroids_CD @ self.centroids_CD[named].T
        similarity_CK[named, np.arange(len(named))] = -2.0  # a cluster is no neighbour of itself
        order_CK = similarity_CK.argsort(1)[:, ::-1][:, :_NUM_NEIGHBOURS]
        nearest_CK, nearest_similarity_CK = named[order_CK], np.take_along_axis(similarity_CK, order_CK, 1)
        weights_CK = softmax(nearest_similarity_CK / _NEIGHBOUR_TEMPERATURE)
        strength_C = np.clip((nearest_similarity_CK.max(1) - _STRANGE) / (1 - _STRANGE), 0, 1)
        for column in range(nearest_CK.shape[1]):
            labels = self._given_C[nearest_CK[:, column]]
            shares[np.arange(len(shares)), labels] += weights_CK[:, column] * strength_C
        return shares, nearest_CK, nearest_similarity_CK

    def _fitted_probe(self) -> Array | None:
        """None before two labels are in use."""
        named = np.flatnonzero(self._given_C >= 0)
        if len(set(self._given_C[named].tolist())) < 2:
            return None
        positions = np.concatenate([self._chosen[row] for row in named])
        targets = np.concatenate([np.full(len(self._chosen[row]), self._given_C[row]) for row in named])
        counts = np.bincount(targets, minlength=len(self.labels))
        weights = (1.0 / np.sqrt(counts[targets])).astype(np.float32)
        weights *= len(weights) / weights.sum()
        return linear_probe(self._features_ND[positions], targets, len(self.labels), weights)

    def _probe_shares(self) -> Array:
        if self.probe_DL is None:
            return np.zeros((len(self.ids), len(self.labels)), np.float32)
        return probe_probabilities(self.centroids_CD, self.probe_DL)

    def _sources(self, row: int, label: int) -> list[str]:
        words = []
        name = self.labels[label]
        if count := int(self._tag_counts_CL[row, label]):
            words.append(f"{count} of {int(self._num_tagged_C[row])} tags say {name}")
        for other, similarity in self.nearest_named(row):
            if self._given_C[other] == label:
                words.append(f"cluster {self.ids[other]} ({similarity:.2f} similar) is {name}")
                break
        if self.probe_DL is not None and self._probe_CL[row, label] >= 0.05:
            words.append(f"linear probe: {self._probe_CL[row, label]:.2f}")
        return words
