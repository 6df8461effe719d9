"""What the report is made from: the files that the stages left, and nothing else. No time, no place, no key."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from samx.errors import ObjectNotFound
from samx.manifest import ModelSpec
from training.labels import class_order
from training.model import model_spec
from training.run import Run, read_table

EVALUATE = "evaluate/metrics.json"
CROSS_VALIDATE = "cross_validate/metrics.json"
CALIBRATION = "cross_validate/calibration.json"
INDEX = "index/summary.json"
SPLIT = "split/summary.json"
CLUSTER = "cluster/summary.json"
LABEL = "label/summary.json"
SANITY = "explain/sanity.json"
GALLERY = "explain/gallery.json"
WEIGHTS = "pretrain/initial_weights.json"
STUDENT = "distill/summary.json"
STUDENT_CROSS_VALIDATE = "distill/metrics.json"
STUDENT_CALIBRATION = "distill/calibration.json"
STUDENT_EVALUATE = "evaluate/student/metrics.json"
AGAINST_REFERENCE = "evaluate/student/against_reference.json"
_DOCUMENTS = (
    *(EVALUATE, CROSS_VALIDATE, CALIBRATION, INDEX, SPLIT, CLUSTER, LABEL, SANITY, GALLERY, WEIGHTS),
    *(STUDENT, STUDENT_CROSS_VALIDATE, STUDENT_CALIBRATION, STUDENT_EVALUATE, AGAINST_REFERENCE),
)

PARTS = {
    "holdout_internal": "Hold-out, internal sites",
    "holdout_external": "Hold-out, external sites",
    "holdout": "Hold-out, together",
}
"""Names of the parts of the hold-out in evaluate's figures, and in words."""

FIELDS = (
    "seed",
    "architecture",
    "preprocessing",
    "augmentation",
    "index",
    "split",
    "pretrain",
    "cluster",
    "label",
    "finetune",
    "cross_validate",
    "distill",
)
"""Fields of the configuration that the report names."""


@dataclass(frozen=True)
class Facts:
    """Files of a run, read."""

    configuration: Mapping[str, Any]
    """Resolved, without the places of the data."""
    configuration_sha256: str
    spec: ModelSpec
    documents: Mapping[str, Any]
    """JSON by key; a file that an older run has not is missing."""
    predictions: Sequence[Mapping[str, str]]
    """Rows of evaluate/predictions.csv."""
    pretraining: Sequence[Mapping[str, Any]]
    """Lines of pretrain/history.jsonl."""
    finetuning: Sequence[Mapping[str, str]]
    """Rows of finetune/history.csv."""
    num_retrieved: int
    """Files that were found in the source."""

    def at(self, document: str, *path: str) -> Any:
        """A value of a JSON file, or None where the run has none."""
        found = self.documents.get(document)
        for name in path:
            found = found.get(name) if isinstance(found, dict) else None
        return found

    def at_list(self, document: str) -> list[Any]:
        """The list that a JSON file holds, empty where the run has no such file."""
        found = self.documents.get(document)
        return found if isinstance(found, list) else []

    @cached_property
    def judged(self) -> list[Mapping[str, str]]:
        """Predictions for the radiographs of the hold-out whose label is known."""
        return [row for row in self.predictions if row["label"]]

    @cached_property
    def confusion(self) -> tuple[list[str], npt.NDArray[np.int64]]:
        """Labels, and how often each (rows) was given each answer (columns)."""
        labels = class_order([row[name] for row in self.judged for name in ("label", "answer")])
        counts_LL = np.zeros((len(labels), len(labels)), np.int64)
        for row in self.judged:
            counts_LL[labels.index(row["label"]), labels.index(row["answer"])] += 1
        return labels, counts_LL

    @cached_property
    def mistakes(self) -> list[tuple[str, str, int]]:
        """Label, answer and how often, of the wrong answers, the commonest first."""
        wrong = Counter((row["label"], row["answer"]) for row in self.judged if row["label"] != row["answer"])
        return [(*pair, count) for pair, count in sorted(wrong.items(), key=lambda entry: (-entry[1], entry[0]))]

    @property
    def is_simulated(self) -> bool:
        """Whether no person has named the clusters."""
        return "simulated" in (self.at(LABEL, "readers") or ())


def read_facts(run: Run) -> Facts:
    """Read what the stages before the report have left."""
    documents = {}
    for key in _DOCUMENTS:
        try:
            documents[key] = run.read_json(key)
        except ObjectNotFound:  # a run of an older version
            continue
    return Facts(
        configuration=run.config.fields(FIELDS),
        configuration_sha256=run.config.sha256(),
        spec=model_spec(run),
        documents=documents,
        predictions=read_table(run.storage, "evaluate/predictions.csv"),
        pretraining=_lines(run, "pretrain/history.jsonl"),
        finetuning=read_table(run.storage, "finetune/history.csv"),
        num_retrieved=len(read_table(run.storage, "index/source.csv")),
    )


def _lines(run: Run, key: str) -> list[dict[str, Any]]:
    try:
        text = run.read(key).decode()
    except ObjectNotFound:
        return []
    return [json.loads(line) for line in text.splitlines()]
