"""Stage label: read the decisions about clusters, and inject them as labels of radiographs.

Reads the clusters and, at the top of the run, what the reader left there: `cluster_labels.csv`, `cluster_members.csv`
and `corrections.csv` (see training.labels); `audit_log.jsonl`, where there is one, only says how often a reader
decided. Where a simulated reader is configured it writes `cluster_labels.csv`, `radiograph_labels.csv` and
`audit_log.jsonl` first; nothing else in the job reads the truth file. Writes `label/labels.csv` (a label per radiograph
that is learned from, with view and laterality where they are known), `label/classes.json`, `label/attributes.json` (the
views and lateralities that are learned) and `label/summary.json`.
"""

from typing import Any

from samx.anatomy import DISCARD, MIXED, NOT_MUSCULOSKELETAL
from samx.errors import WrongInput
from samx.manifest import ATTRIBUTES
from training.attribute_labels import known_attributes, learned_values
from training.config import SimulatedReaderConfig
from training.dataset import current_assignments
from training.labelling.reading import decisions_by_reader
from training.labelling.record import log_of_table, parse_log
from training.labels import (
    CLUSTER_LABEL_COLUMNS,
    RADIOGRAPH_LABEL_COLUMNS,
    ClusterDecision,
    class_of,
    class_order,
    parse_cluster_labels,
    parse_corrections,
)
from training.metrics import cluster_label_scores
from training.run import AUDIT_LOG, CLUSTER_LABELS, CORRECTIONS, RADIOGRAPH_LABELS, Run, read_table
from training.simulated_reader import READER, name_clusters, read_attributes, read_truth


def label(run: Run) -> None:
    """Merge clusters of the same name and give their label to their radiographs.

    Raises:
        WrongInput: the decisions do not fit the clusters, or leave fewer than two classes.
    """
    assignments = current_assignments(run.storage)
    num_clusters = int(run.read_json("cluster/summary.json")["num_clusters"])
    config = run.config.label
    truth: dict[str, str] = {}
    if config.simulated_reader is not None:
        truth = read_truth(config.simulated_reader)
        _simulate(run, config.simulated_reader, assignments, truth, num_clusters)
    cluster_rows, correction_rows = run.read_csv(CLUSTER_LABELS), read_table(run.storage, CORRECTIONS)
    decisions = parse_cluster_labels(cluster_rows, set(assignments.values()), empty=set(range(num_clusters)))
    corrections = parse_corrections(correction_rows, assignments)
    label_of = {decision.cluster_id: decision.class_label for decision in decisions}
    class_of_key = {key: label_of[cluster_id] for key, cluster_id in assignments.items()}
    class_of_key |= {key: class_of(name) for key, name in corrections.items()}
    index_rows = {row["key"]: row for row in run.read_csv("index/index.csv")}
    said_of_cluster = {int(row["cluster_id"]): row for row in cluster_rows}
    said = {key: said_of_cluster.get(cluster_id) for key, cluster_id in assignments.items()}
    said |= {row["key"]: row for row in correction_rows}
    rows: list[dict[str, Any]] = [
        {"key": key, "label": name, "cluster_id": assignments[key]}
        | known_attributes(index_rows[key], name, said[key], config.trusted_attributes)
        for key, name in class_of_key.items()
        if name is not None
    ]
    classes = class_order([str(row["label"]) for row in rows])
    if len(classes) < 2:
        raise WrongInput(
            f"the decisions in {CLUSTER_LABELS} leave the classes {classes}; a classifier needs two or more"
        )
    run.write_csv("label/labels.csv", rows, ("key", "label", "cluster_id", *ATTRIBUTES))
    run.write_json("label/attributes.json", learned_values(rows, config.smallest_value))
    run.write_json("label/classes.json", classes)
    injected = {str(row["key"]): str(row["label"]) for row in rows}
    num_decisions = _num_decisions(run, otherwise=len(decisions) + len(corrections))
    run.write_json("label/summary.json", _summary(decisions, corrections, num_decisions, assignments, injected, truth))


def _simulate(
    run: Run, config: SimulatedReaderConfig, assignments: dict[str, int], truth: dict[str, str], num_clusters: int
) -> None:
    """Leave what a person would leave. Files that are there already - of a person, or of an interruption - stay."""
    if run.storage.exists(CLUSTER_LABELS):
        return
    members: dict[int, list[str]] = {cluster_id: [] for cluster_id in range(num_clusters)}
    for key, cluster_id in assignments.items():
        members[cluster_id].append(key)
    attributes = read_attributes(config)
    single = [
        {"key": row["key"], "label": truth[row["key"]], **attributes[row["key"]], "reader": READER, "decided_at": ""}
        for row in run.read_csv("split/split.csv")
        if row["key"] in truth
    ]
    decisions = name_clusters(members, truth, config, run.generator("label"), attributes)
    run.write(AUDIT_LOG, log_of_table(decisions))
    run.write_csv(RADIOGRAPH_LABELS, single, RADIOGRAPH_LABEL_COLUMNS)
    run.write_csv(CLUSTER_LABELS, decisions, CLUSTER_LABEL_COLUMNS)


def _num_decisions(run: Run, *, otherwise: int) -> int:
    """How often a reader decided; one decision may name many clusters or correct many radiographs."""
    if not run.storage.exists(AUDIT_LOG):
        return otherwise
    return decisions_by_reader(parse_log(run.read(AUDIT_LOG), run.storage.url)).total()


def _summary(
    decisions: list[ClusterDecision],
    corrections: dict[str, str],
    num_decisions: int,
    assignments: dict[str, int],
    injected: dict[str, str],
    truth: dict[str, str],
) -> dict[str, object]:
    num_radiographs = len(assignments)
    summary: dict[str, object] = {
        "num_decisions": num_decisions,
        "decisions_per_1000": round(1000 * num_decisions / num_radiographs, 1),
        "num_corrections": len(corrections),
        "num_clusters_discarded": sum(decision.label == DISCARD for decision in decisions),
        "num_clusters_mixed": sum(decision.label == MIXED for decision in decisions),
        "num_radiographs": num_radiographs,
        "num_injected": len(injected),
        "num_not_musculoskeletal": sum(name == NOT_MUSCULOSKELETAL for name in injected.values()),
        "readers": sorted({decision.reader for decision in decisions}),
    }
    known = [key for key in assignments if key in truth]
    if known:
        names = [truth[key] for key in known]
        summary["against_truth"] = cluster_label_scores([assignments[key] for key in known], names)
        judged = [key for key in known if key in injected]
        summary["share_of_wrong_labels"] = sum(injected[key] != truth[key] for key in judged) / max(1, len(judged))
        summary["entities_lost"] = sorted(set(names) - set(injected.values()))
    return summary
