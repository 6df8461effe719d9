"""A closer look at one cluster or one radiograph, as the page gets it."""

import re
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from samx.anatomy import has_sides
from training.labelling.overview import Overview
from training.labelling.pool import Pool, name_of
from training.labelling.reading import NotAllowed, Reading
from training.labelling.similarity import Positions

RANDOM_MEMBERS, EDGE_MEMBERS, GROUP_MEMBERS, NEIGHBOURS = 24, 6, 6, 6
_AGREED = 0.9
_VIEW, _SIDE = re.compile(r"[A-Z0-9]{1,16}"), re.compile("[LRB]")
"""What a label can carry; a tag may hold anything, and U says that there is no side."""


def members_of(reading: Reading, cluster_id: int) -> Positions:
    """Positions of a cluster's radiographs.

    Raises:
        NotAllowed: there is no such cluster.
    """
    if cluster_id not in reading.members:
        raise NotAllowed("not_found", f"There is no cluster {cluster_id}; it may have been split.")
    return reading.members[cluster_id]


def sample(reading: Reading, cluster_id: int, count: int) -> list[int]:
    """Random members, the same whenever one looks."""
    members = reading.members[cluster_id]
    return [int(one) for one in np.random.default_rng(cluster_id).permutation(members)[:count]]


def look_at_cluster(
    pool: Pool, reading: Reading, overview: Overview, attributes: Sequence[str], cluster_id: int
) -> dict[str, Any]:
    """Members to show, tags, suggestions, neighbours, and the clusters that go with it.

    Raises:
        NotAllowed: there is no such cluster.
    """
    members = members_of(reading, cluster_id)
    row = overview.ids.index(cluster_id)
    centroids_CD = overview.suggester.centroids_CD
    by_similarity = members[(pool.features_ND[members] @ centroids_CD[row]).argsort()[::-1]]
    similarity_C = centroids_CD @ centroids_CD[row]
    near = [int(other) for other in similarity_C.argsort()[::-1] if other != row][:NEIGHBOURS]
    return {
        "id": cluster_id,
        "random": sample(reading, cluster_id, RANDOM_MEMBERS),
        "nearest": by_similarity[:EDGE_MEMBERS].tolist(),
        "farthest": by_similarity[-EDGE_MEMBERS:][::-1].tolist(),
        "corrections": {
            int(position): reading.corrections[position].label
            for position in members
            if position in reading.corrections
        },
        "tags": _tag_counts(pool, attributes, members),
        "num_tagged": overview.suggester.num_tagged(cluster_id),
        "suggestions": [
            {
                "label": one.label,
                "confidence": round(one.confidence, 3),
                "sources": one.sources,
                "view": _agreed(pool, "view_position", members, _VIEW),
                "laterality": _agreed(pool, "laterality", members, _SIDE) if has_sides(one.label) else "",
            }
            for one in overview.suggester.of(cluster_id)
        ],
        "neighbours": [
            {name: overview.rows[overview.ids[other]][name] for name in ("id", "label", "size")}
            | {"similarity": round(float(similarity_C[other]), 3)}
            for other in near
        ],
        "group": [
            {"id": other, "size": len(reading.members[other]), "positions": sample(reading, other, GROUP_MEMBERS)}
            for other in overview.groups.get(cluster_id, [cluster_id])
        ],
    }


def look_at_radiograph(
    pool: Pool, reading: Reading, overview: Overview, attributes: Sequence[str], position: int
) -> dict[str, Any]:
    """What may be said of one radiograph.

    Raises:
        NotAllowed: there is no such radiograph.
    """
    if not 0 <= position < len(pool.rows):
        raise NotAllowed("not_found", f"There is no radiograph {position}.")
    row, cluster_id = pool.rows[position], int(reading.cluster_N[position])
    given, own = reading.labels.get(cluster_id), reading.corrections.get(position)
    centroid_D = overview.suggester.centroids_CD[overview.ids.index(cluster_id)]
    return {
        "position": position,
        "cluster_id": cluster_id,
        "label": given.label if given else None,
        "correction": own.label if own else None,
        "similarity": round(float(pool.features_ND[position] @ centroid_D), 3),
        "rows": int(row["rows"]),
        "columns": int(row["columns"]),
        "format": row["format"],
        "attributes": {name: row.get(name, "") for name in attributes},
        "name": name_of(row),
    }


def _tag_counts(pool: Pool, attributes: Sequence[str], members: Positions) -> list[dict[str, Any]]:
    return [
        {"attribute": name, "value": value, "count": count}
        for name in attributes
        for value, count in Counter(pool.rows[position].get(name, "") for position in members).most_common()
        if value
    ]


def _agreed(pool: Pool, attribute: str, members: Positions, allowed: re.Pattern[str]) -> str:
    """The value that nearly all of at least half of the radiographs bear; empty where there is none that is allowed."""
    values = (pool.rows[position].get(attribute, "").upper() for position in members)
    counts = Counter(value if allowed.fullmatch(value) else "" for value in values)
    num_silent = counts.pop("", 0)
    total = counts.total()
    if total == 0 or total < num_silent:
        return ""
    value, count = counts.most_common(1)[0]
    return value if count >= _AGREED * total else ""
