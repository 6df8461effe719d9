"""The reader's decisions: what `cluster_labels.csv` and `radiograph_labels.csv` say and how they are checked.

cluster_labels.csv     cluster_id, label, view, laterality, note, reader, decided_at - a row per cluster
radiograph_labels.csv  key, label, view, laterality, reader, decided_at - labels of single radiographs, given by
                       people or by the data set; validation and hold-out are judged by these, never by clusters
"""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from samx.anatomy import DISCARD, MIXED, NOT_MUSCULOSKELETAL
from samx.errors import WrongInput

CLUSTER_LABEL_COLUMNS = ("cluster_id", "label", "view", "laterality", "note", "reader", "decided_at")
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
        if self.label == MIXED:
            return None
        return NOT_MUSCULOSKELETAL if self.label == DISCARD else self.label


def parse_cluster_labels(rows: Sequence[Mapping[str, str]], cluster_ids: Collection[int]) -> list[ClusterDecision]:
    """Check a table of decisions against the clusters there are.

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
    unknown = sorted(counts.keys() - set(cluster_ids))
    undecided = sorted(set(cluster_ids) - counts.keys())
    for problem, found in (("named more than once", twice), ("unknown", unknown), ("not named yet", undecided)):
        if found:
            raise WrongInput(f"cluster_labels.csv: {len(found)} clusters are {problem}, the first is {found[0]}")
    return decisions


def class_order(labels: Collection[str]) -> list[str]:
    """Classes in head order: alphabetical, what is not musculoskeletal last."""
    return sorted(set(labels), key=lambda label: (label == NOT_MUSCULOSKELETAL, label))
