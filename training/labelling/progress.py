"""How far a reading is, how fast it goes, and how well two readers agree."""

import statistics
from collections import Counter, defaultdict
from collections.abc import Mapping
from itertools import combinations
from typing import Any

import numpy as np
from sklearn.metrics import cohen_kappa_score

from samx.anatomy import DISCARD, MIXED
from training.labelling.reading import Reading, active, decisions_by_reader

_RECENT = 50
SECOND_READING_CLUSTERS = 40
"""Clusters of the sample that a second reader is shown."""


def progress(reading: Reading) -> dict[str, Any]:
    """Figures for the page: how much is named, by whom, how fast."""
    covered = sum(len(reading.members[cluster_id]) for cluster_id in reading.labels)
    recent = [entry for entry in active(reading.entries) if entry.seconds is not None][-_RECENT:]
    seconds = statistics.median(entry.seconds for entry in recent if entry.seconds is not None) if recent else None
    per_decision = [len(getattr(entry.decision, "clusters", ())) or 1 for entry in recent]
    left = len(reading.undecided)
    readers = decisions_by_reader(reading.entries)
    decisions = readers.total()
    clusters, radiographs = Counter[str](), Counter[str]()
    for cluster_id, given in reading.labels.items():
        clusters[given.label] += 1
        radiographs[given.label] += len(reading.members[cluster_id])
    return {
        "clusters": len(reading.members),
        "named": len(reading.labels),
        "radiographs": len(reading.assigned_N),
        "covered": covered,
        "decisions": decisions,
        "decisions_per_1000": round(1000 * decisions / covered, 1) if covered else 0.0,
        "seconds_per_decision": None if seconds is None else round(seconds, 1),
        "seconds_left": None if seconds is None else round(seconds * left / statistics.mean(per_decision)),
        "discarded": clusters[DISCARD],
        "mixed": clusters[MIXED],
        "corrections": len(reading.corrections),
        "labels": [
            {"label": label, "clusters": count, "radiographs": radiographs[label]}
            for label, count in sorted(clusters.items())
        ],
        "readers": [{"reader": reader, "decisions": count} for reader, count in sorted(readers.items())],
        "complete": left == 0,
    }


def second_reading(reading: Reading, reader: str) -> dict[str, Any]:
    """A sample of clusters that others have named, for a reader to name without knowing their labels.

    The same for every second reader, in an order that says nothing; those that the reader has done are left out.
    """
    order = np.random.default_rng(0).permutation(sorted(reading.members))
    others = [
        int(cluster_id)
        for cluster_id in order.tolist()
        if cluster_id in reading.labels and reading.labels[cluster_id].reader != reader
    ][:SECOND_READING_CLUSTERS]
    done = reading.second_readings.get(reader, {})
    return {
        "clusters": [cluster_id for cluster_id in others if cluster_id not in done],
        "done": sum(cluster_id in done for cluster_id in others),
        "total": len(others),
    }


def agreement(reading: Reading) -> list[dict[str, Any]]:
    """Cohen's kappa of every pair of readers over the clusters that both have named.

    Kappa is the agreement beyond what chance gives two readers who use each label as often as these do: 1 is perfect,
    0 is chance (Cohen 1960). None where both use one label alone. It says nothing of who is right.
    """
    said: Mapping[str, dict[int, str]] = defaultdict(dict)
    for cluster_id, given in reading.labels.items():
        said[given.reader][cluster_id] = given.label
    for reader, labels in reading.second_readings.items():
        for cluster_id, label in labels.items():
            if cluster_id in reading.members:
                said[reader].setdefault(cluster_id, label)
    pairs = []
    for first, second in combinations(sorted(said), 2):
        both = sorted(said[first].keys() & said[second].keys())
        if not both:
            continue
        one, other = [said[first][item] for item in both], [said[second][item] for item in both]
        pairs.append(
            {
                "first": first,
                "second": second,
                "clusters": len(both),
                "agree": sum(a == b for a, b in zip(one, other, strict=True)),
                "kappa": None if len({*one, *other}) < 2 else round(float(cohen_kappa_score(one, other)), 3),
                "disagreements": [
                    {"id": item, "first": a, "second": b} for item, a, b in zip(both, one, other, strict=True) if a != b
                ],
            }
        )
    return pairs
