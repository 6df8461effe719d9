"""Which radiographs are most likely under the wrong label, so that a second look goes where it pays.

Four witnesses, none of which has learned from the name of the radiograph's own cluster: the labels of its nearest
neighbours in other clusters, a linear probe fitted without its cluster (as confident learning asks for predictions out
of sample, Northcutt et al. 2021), its tags, and how far it lies from its cluster. What somebody has looked at alone is
no echo of a cluster's name: neighbours and probe heed it in the same cluster, too, so that every answer of the reader
says something of those that resemble it. After phase 2 the out-of-fold answers of the classifier join them where they
contradict the label. It has learned from others of the cluster and repeats three in four of their errors, so that its
consent says nothing, and its dissent less than that of the others.

Shape suffixes: N radiographs, D dimensions, L labels, K neighbours.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from samx.anatomy import DISCARD, MIXED, NOT_MUSCULOSKELETAL
from training.labelling.reading import Reading
from training.labelling.similarity import Array, Positions, probe_probabilities, solve_ridge, with_bias
from training.labelling.suggestions import in_words

NUM_NEIGHBOURS = 20
_WEIGHTS = {"neighbours": 0.5, "probe": 1.0, "tag": 1.0, "classifier": 0.5}
_DISTANCE_WEIGHT = 0.15
_NUM_FOLDS = 5
_MEMBERS_PER_CLUSTER = 64
_LOOKED_AT = 5.0
"""How many radiographs that were named with their cluster one counts for that somebody has looked at alone."""
_WORTH_SAYING = 0.3
_LARGEST_GROUP = 12
_STRONG = 0.2
"""How much more the witnesses are for the alternative than for the label, of 1, in suspects shown together."""


@dataclass(frozen=True, slots=True)
class Suspect:
    """A radiograph that may be under the wrong label."""

    position: int
    label: str
    alternative: str
    score: float
    """In [0, 1]; larger is more suspect; a rank, not a probability."""
    reasons: tuple[str, ...]
    together: tuple[int, ...]
    """It and other strong suspects of its cluster with the same alternative: errors come in groups."""


def suspects(
    reading: Reading,
    features_ND: Array,
    neighbours_NK: Positions,
    tags: Sequence[str],
    answers: Mapping[int, tuple[str, float]],
    *,
    limit: int,
) -> list[Suspect]:
    """The most suspect labelled radiographs that nobody has looked at alone, the most suspect first.

    Args:
        reading: labels as they are.
        features_ND: unit vectors.
        neighbours_NK: nearest other radiographs of each.
        tags: label that the tags name, by position; empty where none.
        answers: the classifier's out-of-fold answer and its probability, by position; empty before phase 2.
        limit: how many at most.
    """
    names = sorted({given.label for given in reading.labels.values() if given.label != MIXED} | (set(tags) - {""}))
    number = {name: index for index, name in enumerate(names)}
    label_N = np.full(len(features_ND), -1, np.int64)
    for cluster_id, given in reading.labels.items():
        label_N[reading.members[cluster_id]] = number.get(given.label, -1)
    seen = np.zeros(len(label_N), bool)
    for position, given in reading.corrections.items():
        label_N[position] = number.get(given.label, -1)
        seen[position] = True
    asked = np.flatnonzero((label_N >= 0) & ~seen)
    if not len(asked) or len(set(label_N[label_N >= 0].tolist())) < 2:
        return []
    shares = {
        "neighbours": _neighbour_shares(reading, label_N, seen, neighbours_NK, len(names)),
        "probe": _probe_shares(reading, label_N, seen, features_ND, len(names)),
        "tag": _one_hot([number.get(tag, -1) for tag in tags], len(names)),
        "classifier": _dissent(answers, label_N, number),
    }
    votes_NL = sum((_WEIGHTS[source] * share for source, share in shares.items()), np.zeros((1, 1), np.float32))
    own_N = votes_NL[np.arange(len(label_N)), label_N]
    others_NL = votes_NL.copy()
    others_NL[np.arange(len(label_N)), label_N] = -1.0
    alternative_N = others_NL.argmax(1)
    most = sum(weight for source, weight in _WEIGHTS.items() if shares[source].any())
    margin_N = (others_NL.max(1) - own_N) / most
    far_N = _distance_ranks(reading, features_ND)
    score_N = np.clip((margin_N + 1) / 2 * (1 - _DISTANCE_WEIGHT) + _DISTANCE_WEIGHT * far_N, 0, 1)
    ranked = asked[score_N[asked].argsort()[::-1]]
    groups = _groups(ranked[margin_N[ranked] >= _STRONG].tolist(), reading, alternative_N)
    found: list[Suspect] = []
    shown: set[int] = set()
    for position in ranked.tolist():
        if len(found) == limit:
            break
        if position not in shown:
            together = groups.get(position, (position,))
            shown.update(together)
            reasons = _reasons(shares, position, names, int(alternative_N[position]), float(far_N[position]))
            score = float(score_N[position])
            label, alternative = names[label_N[position]], names[alternative_N[position]]
            found.append(Suspect(position, label, alternative, score, tuple(reasons), together))
    return found


def answers_of_classifier(keys: Sequence[str], rows: Sequence[Mapping[str, str]]) -> dict[int, tuple[str, float]]:
    """The rows of `cross_validate/predictions.csv` by position."""
    position_of = {key: position for position, key in enumerate(keys)}
    return {
        position_of[row["key"]]: (
            DISCARD if row["answer"] == NOT_MUSCULOSKELETAL else row["answer"],
            float(row["probability"]),
        )
        for row in rows
        if row["key"] in position_of
    }


def _groups(ranked: Sequence[int], reading: Reading, alternative_N: Positions) -> dict[int, tuple[int, ...]]:
    """Suspects of one cluster with one alternative, by the most suspect of them."""
    groups: dict[tuple[int, int], list[list[int]]] = {}
    for position in ranked:
        of_kind = groups.setdefault((int(reading.cluster_N[position]), int(alternative_N[position])), [[]])
        if len(of_kind[-1]) == _LARGEST_GROUP:
            of_kind.append([])
        of_kind[-1].append(position)
    return {group[0]: tuple(group) for of_kind in groups.values() for group in of_kind}


def _neighbour_shares(
    reading: Reading, label_N: Positions, seen_N: npt.NDArray[np.bool_], neighbours_NK: Positions, num_labels: int
) -> Array:
    """Share of each label among the neighbours that are in other clusters or were looked at alone."""
    elsewhere_NK = reading.cluster_N[neighbours_NK] != reading.cluster_N[:, None]
    weights_NK = np.where(seen_N[neighbours_NK], _LOOKED_AT, elsewhere_NK) * (label_N[neighbours_NK] >= 0)
    rows, columns = weights_NK.nonzero()
    shares = np.zeros((len(label_N), num_labels), np.float32)
    np.add.at(shares, (rows, label_N[neighbours_NK[rows, columns]]), weights_NK[rows, columns])
    result: Array = shares / np.maximum(weights_NK.sum(1), 5)[:, None]  # few neighbours elsewhere say little
    return result.astype(np.float32)


def _probe_shares(
    reading: Reading, label_N: Positions, seen_N: npt.NDArray[np.bool_], features_ND: Array, num_labels: int
) -> Array:
    """Probabilities of a probe that has seen nothing of the radiograph's cluster but what somebody has looked at."""
    extended = with_bias(features_ND)
    width = extended.shape[1]
    grams = np.zeros((_NUM_FOLDS, width, width), np.float32)
    crosses = np.zeros((_NUM_FOLDS, width, num_labels), np.float32)

    def sums(positions: Positions) -> tuple[Array, Array]:
        chosen, one_hot = extended[positions], np.eye(num_labels, dtype=np.float32)[label_N[positions]]
        return chosen.T @ chosen, chosen.T @ one_hot

    generator = np.random.default_rng(0)
    clusters = [cluster_id for cluster_id in reading.members if cluster_id in reading.labels]
    fold_of = dict(zip(generator.permutation(clusters).tolist(), np.arange(len(clusters)) % _NUM_FOLDS, strict=True))
    for cluster_id in clusters:
        members = generator.permutation(reading.members[cluster_id])[:_MEMBERS_PER_CLUSTER]
        members = members[label_N[members] >= 0]
        gram, cross = sums(members)
        grams[fold_of[cluster_id]] += gram
        crosses[fold_of[cluster_id]] += cross
    gram, cross = (_LOOKED_AT * part for part in sums(np.flatnonzero(seen_N & (label_N >= 0))))
    shares = np.zeros((len(label_N), num_labels), np.float32)
    for fold in range(_NUM_FOLDS):
        weights_DL = solve_ridge(grams.sum(0) - grams[fold] + gram, crosses.sum(0) - crosses[fold] + cross)
        inside = [reading.members[cluster_id] for cluster_id in clusters if fold_of[cluster_id] == fold]
        if inside:
            positions = np.concatenate(inside)
            shares[positions] = probe_probabilities(features_ND[positions], weights_DL)
    return shares


def _dissent(answers: Mapping[int, tuple[str, float]], label_N: Positions, number: Mapping[str, int]) -> Array:
    shares = np.zeros((len(label_N), len(number)), np.float32)
    for position, (label, probability) in answers.items():
        if label in number and number[label] != label_N[position]:
            shares[position, number[label]] = probability
    return shares


def _one_hot(targets: Sequence[int], num_labels: int) -> Array:
    shares = np.zeros((len(targets), num_labels), np.float32)
    known = [position for position, target in enumerate(targets) if target >= 0]
    shares[known, [targets[position] for position in known]] = 1.0
    return shares


def _distance_ranks(reading: Reading, features_ND: Array) -> Array:
    """Rank of each radiograph within its cluster by distance from the centroid: 0 the nearest, 1 the farthest."""
    ranks = np.zeros(len(features_ND), np.float32)
    for members in reading.members.values():
        similarity = features_ND[members] @ features_ND[members].sum(0)
        ranks[members[similarity.argsort()[::-1]]] = np.linspace(0, 1, len(members), dtype=np.float32)
    return ranks


def _reasons(shares: Mapping[str, Array], position: int, names: Sequence[str], label: int, far: float) -> list[str]:
    name = in_words(names[label])
    reasons = []
    if (share := shares["neighbours"][position, label]) >= _WORTH_SAYING:
        reasons.append(f"{share:.0%} of its neighbours in other clusters, or looked at, are {name}")
    if (share := shares["classifier"][position, label]) >= _WORTH_SAYING:
        reasons.append(f"classifier: {name} {share:.2f}")
    if (share := shares["probe"][position, label]) >= _WORTH_SAYING:
        reasons.append(f"linear probe: {name} {share:.2f}")
    if shares["tag"][position, label]:
        reasons.append(f"its tag says {name}")
    if far >= 0.9:
        reasons.append("far from the middle of its cluster")
    return reasons
