"""What each cluster might be called, how sure that is, and where it comes from. Nothing here is ever applied by itself.

Three witnesses give probabilities over labels, which are multiplied, each to the power of its weight:

    tags        what Body Part Examined and the series' description say of the cluster's radiographs; how often tags are
                right is learned from what the reader has named
    neighbours  labels of the most similar clusters that the reader has named
    probe       a linear model of the features, learned from the clusters that the reader has named

The last two know only labels that are in use already, so they count the less, the less a cluster resembles any that has
been named. A suggestion's confidence is the product's share for its label. On 6,000 phantoms it was right in 96 % above
0.5 and in 98 to 100 % above 0.9 (training/EXPERIMENTS.md).

Shape suffixes: N radiographs, C clusters, D dimensions, L labels.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from samx.anatomy import ANATOMY, DISCARD, MIXED, NOT_MUSCULOSKELETAL, label_of_body_part
from training.labelling.reading import Reading
from training.labelling.similarity import Array, Positions, centroids, linear_probe, probe_probabilities, softmax

_TAG_WEIGHT, _NEIGHBOUR_WEIGHT, _PROBE_WEIGHT = 1.5, 0.5, 0.5
_NEVER = 1e-3
"""Smallest probability: no witness alone can rule a label out."""
_TAGS_RIGHT, _TAGS_JUDGED = 8.5, 10.0
"""How often tags are right before anything is named, as if so many of so many had been seen to be."""
_FEW_TAGS = 3
_NUM_NEIGHBOURS = 5
_NEIGHBOUR_TEMPERATURE = 0.05
_STRANGE, _FAMILIAR = 0.6, 0.9
"""Cosine similarities of a cluster to the nearest named one: from nothing known to all known about it."""
_WORTH_SAYING = 0.05
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


def in_words(label: str) -> str:
    """A label as it stands in a sentence."""
    return label.replace("_", " ")


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
        self._count_tags(reading)
        self._neighbours_CL, self._nearest_CK, self._similarity_CK = self._neighbour_shares()
        self.probe_DL = self._fitted_probe()
        self._probe_CL = self._probe_shares()
        self._posterior_CL = self._posterior()

    def of_all(self) -> dict[int, Suggestion | None]:
        """The best suggestion for every cluster; None where no source says anything."""
        best_C, confidence_C = self._posterior_CL.argmax(1), self._posterior_CL.max(1)
        return {
            cluster_id: Suggestion(self.labels[best], float(confidence), ()) if self._is_told(row) else None
            for row, (cluster_id, best, confidence) in enumerate(zip(self.ids, best_C, confidence_C, strict=True))
        }

    def of(self, cluster_id: int, count: int = 5) -> list[Suggestion]:
        """The best suggestions for one cluster, the most likely first, with their sources in words."""
        row = self.ids.index(cluster_id)
        if not self._is_told(row):
            return []
        posterior_L = self._posterior_CL[row]
        best = [int(label) for label in posterior_L.argsort()[::-1][:count]]
        return [
            Suggestion(self.labels[label], float(posterior_L[label]), tuple(self._sources(row, label)))
            for rank, label in enumerate(best)
            if rank == 0 or posterior_L[label] >= _WORTH_SAYING
        ]

    def purities(self) -> dict[int, Purity | None]:
        """An estimate for every cluster: by the probe where there is one, else by the tags."""
        if self.probe_DL is not None:
            answers_M = probe_probabilities(self._features_ND[np.concatenate(self._chosen)], self.probe_DL).argmax(1)
            ends = np.cumsum([len(chosen) for chosen in self._chosen])[:-1]
            shares = [np.bincount(answers).max() / len(answers) for answers in np.split(answers_M, ends)]
            return {one: Purity(float(share), "probe") for one, share in zip(self.ids, shares, strict=True)}
        return {
            cluster_id: Purity(float(counts_L.max() / num_tagged), "tags") if num_tagged >= _FEW_TAGS else None
            for cluster_id, counts_L, num_tagged in zip(self.ids, self._tag_counts_CL, self._num_tagged_C, strict=True)
        }

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

    def _posterior(self) -> Array:
        scores_CL = _TAG_WEIGHT * self._tag_evidence_CL
        for weight, probabilities_CL in (
            (_NEIGHBOUR_WEIGHT, self._neighbours_CL),
            (_PROBE_WEIGHT, self._probe_CL),
        ):
            if probabilities_CL is not None:
                scores_CL = scores_CL + weight * np.log(probabilities_CL + _NEVER)
        return softmax(scores_CL)

    def _is_told(self, row: int) -> bool:
        """Whether any witness says anything of a cluster."""
        known = self._similarity_CK[row].max() > _STRANGE if self._similarity_CK.shape[1] else False
        return bool(known or self._num_tagged_C[row])

    def _count_tags(self, reading: Reading) -> None:
        row_of = {cluster_id: row for row, cluster_id in enumerate(self.ids)}
        row_N = np.array([row_of[cluster_id] for cluster_id in reading.cluster_N.tolist()])
        known = self._tag_N >= 0
        cells = row_N[known] * len(self.labels) + self._tag_N[known]
        counts = np.bincount(cells, minlength=len(self.ids) * len(self.labels))
        self._tag_counts_CL = counts.reshape(len(self.ids), len(self.labels)).astype(np.float32)
        self._num_tagged_C = self._tag_counts_CL.sum(1)
        judged = self._given_C >= 0
        right = self._tag_counts_CL[judged, self._given_C[judged]].sum() + _TAGS_RIGHT
        reliability = min(0.99, float(right / (self._num_tagged_C[judged].sum() + _TAGS_JUDGED)))
        # Log odds of one tag; tags of a cluster err together, so that many of them count little more than one.
        of_one = max(0.0, np.log(reliability * len(self.labels) / (1 - reliability)))
        self._tag_evidence_CL: Array = self._tag_counts_CL / (self._num_tagged_C + 1)[:, None] * of_one

    def _neighbour_shares(self) -> tuple[Array | None, Positions, Array]:
        named = np.flatnonzero(self._given_C >= 0)
        if not len(named):
            return None, np.zeros((len(self.ids), 0), np.int64), np.zeros((len(self.ids), 0), np.float32)
        similarity_CK = self.centroids_CD @ self.centroids_CD[named].T
        similarity_CK[named, np.arange(len(named))] = -2.0  # a cluster is no neighbour of itself
        order_CK = similarity_CK.argsort(1)[:, ::-1][:, :_NUM_NEIGHBOURS]
        nearest_CK, nearest_similarity_CK = named[order_CK], np.take_along_axis(similarity_CK, order_CK, 1)
        weights_CK = softmax(nearest_similarity_CK / _NEIGHBOUR_TEMPERATURE)
        shares = np.zeros((len(self.ids), len(self.labels)), np.float32)
        for column in range(nearest_CK.shape[1]):
            shares[np.arange(len(shares)), self._given_C[nearest_CK[:, column]]] += weights_CK[:, column]
        self._familiar_C = np.clip((nearest_similarity_CK.max(1) - _STRANGE) / (_FAMILIAR - _STRANGE), 0, 1)
        return self._as_far_as_familiar(shares), nearest_CK, nearest_similarity_CK

    def _as_far_as_familiar(self, shares_CL: Array) -> Array:
        """Probabilities that fade to even ones where a cluster resembles none that has been named."""
        familiar_C1 = self._familiar_C[:, None]
        faded: Array = (familiar_C1 * shares_CL + (1 - familiar_C1) / len(self.labels)).astype(np.float32)
        return faded

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

    def _probe_shares(self) -> Array | None:
        if self.probe_DL is None:
            return None
        return self._as_far_as_familiar(probe_probabilities(self.centroids_CD, self.probe_DL))

    def _sources(self, row: int, label: int) -> list[str]:
        words = []
        name = in_words(self.labels[label])
        if count := int(self._tag_counts_CL[row, label]):
            words.append(f"{count} of {int(self._num_tagged_C[row])} tags say {name}")
        for other, similarity in self.nearest_named(row):
            if self._given_C[other] == label:
                words.append(f"cluster {self.ids[other]} ({similarity:.2f} similar) is {name}")
                break
        if self._probe_CL is not None and self._probe_CL[row, label] >= _WORTH_SAYING:
            words.append(f"linear probe: {self._probe_CL[row, label]:.2f}")
        return words
