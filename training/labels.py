"""The reader's decisions: the tables that hold them, and how they are checked.

cluster_labels.csv     cluster_id, label, view, laterality, note, reader, decided_at - a row per cluster
cluster_members.csv    key, cluster_id - radiographs that are in another cluster since the reader has split theirs
corrections.csv        key, label, view, laterality, reader, decided_at - radiographs of the development set that the
                       reader has moved out of their cluster, to be learned under a label of their own
radiograph_labels.csv  the same columns - labels of single radiographs, given by people or by the data set; validation
                       and hold-out are judged by these, never by clusters
"""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from samx.anatomy import DISCARD, MIXED, NOT_MUSCULOSKELETAL
from samx.errors import WrongInput

CLUSTER_LABEL_COLUMNS = ("cluster_id", "label", "view", "laterality", "note", "reader", "decided_at")
MEMBER_COLUMNS = ("key", "cluster_id")
CORRECTION_COLUMNS = ("key", "label", "view", "laterality", "reader", "decided_at")
RADIOGRAPH_LABEL_COLUMNS = ("key", "label", "view", "laterality", "reader", "decided_at")


@dataclass(frozen=True, slots=True)
class ClusterDecision:
    """What the reader said of one cluster."""

    cluster_id: int
    label: str
    reader: str

    @property
    def class_label(self) -> str | None:
        """The class of its radiographs; None where they are left out."""
        return class_of(self.label)


def class_of(label: str) -> str | None:
    """The class that a label makes; None where its radiographs are left out."""
    if label == MIXED:
        return None
    return NOT_MUSCULOSKELETAL if label == DISCARD else label


def parse_cluster_labels(
    rows: Sequence[Mapping[str, str]], cluster_ids: Collection[int], *, empty: Collection[int] = ()
) -> list[ClusterDecision]:
    """Check a table of decisions against the clusters there are.

    Args:
        rows: of cluster_labels.csv.
        cluster_ids: clusters that must be named.
        empty: clusters without radiographs, which may be.

    Raises:
        WrongInput: columns are missing, a cluster is unknown, named twice or not at all, or a label is empty.
    """
    if rows and not set(CLUSTER_LABEL_COLUMNS) <= set(rows[0]):
        missing = sorted(set(CLUSTER_LABEL_COLUMNS) - set(rows[0]))
        raise WrongInput(f"cluster_labels.csv lacks the columns {missing}; it needs {', '.join(CLUSTER_LABEL_COLUMNS)}")
    decisions = []
    for line, row in enumerate(rows, start=2):
        try:
            cluster_id = int(row["cluster_id"])
        except ValueError as error:
            raise WrongInput(f"cluster_labels.csv, line {line}: {row['cluster_id']!r} is not a cluster_id") from error
        if not row["label"].strip():
            raise WrongInput(f"cluster_labels.csv, line {line}: cluster {cluster_id} has no label")
        decisions.append(ClusterDecision(cluster_id, row["label"].strip(), row["reader"]))
    counts = Counter(decision.cluster_id for decision in decisions)
    twice = sorted(cluster_id for cluster_id, count in counts.items() if count > 1)
    unknown = sorted(counts.keys() - set(cluster_ids) - set(empty))
    undecided = sorted(set(cluster_ids) - counts.keys())
    for problem, found in (("named more than once", twice), ("unknown", unknown), ("not named yet", undecided)):
        if found:
            raise WrongInput(f"cluster_labels.csv: {len(found)} clusters are {problem}, the first is {found[0]}")
    return decisions


def num_undecided(rows: Sequence[Mapping[str, str]], cluster_ids: Collection[int]) -> int:
    """How many clusters still have no label."""
    named = {row.get("cluster_id") for row in rows if (row.get("label") or "").strip()}
    return sum(str(cluster_id) not in named for cluster_id in cluster_ids)


def parse_corrections(rows: Sequence[Mapping[str, str]], keys: Collection[str]) -> dict[str, str]:
    """Label by key of the radiographs that were moved out of their cluster.

    Raises:
        WrongInput: columns are missing, a key is unknown, or a label is empty.
    """
    if rows and not {"key", "label"} <= set(rows[0]):
        raise WrongInput(f"corrections.csv needs the columns {', '.join(CORRECTION_COLUMNS)}")
    known = set(keys)
    for line, row in enumerate(rows, start=2):
        if row["key"] not in known:
            raise WrongInput(f"corrections.csv, line {line}: no radiograph of the development set has this key")
        if not row["label"].strip():
            raise WrongInput(f"corrections.csv, line {line}: the radiograph has no label")
    return {row["key"]: row["label"].strip() for row in rows}


def class_order(labels: Collection[str]) -> list[str]:
    """Classes in head order: alphabetical, what is not musculoskeletal last."""
    return sorted(set(labels), key=lambda label: (label == NOT_MUSCULOSKELETAL, label))
