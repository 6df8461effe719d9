"""The radiographs of a run: the table that `index` and `split` made, and the cached images in memory."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from samx.anatomy import standard_view
from samx.storage import Storage
from training.run import CLUSTER_MEMBERS, RADIOGRAPH_LABELS, Run, read_table

Part = Literal["development", "holdout_internal", "holdout_external"]

INDEX_COLUMNS = (
    "key", "etag", "sha256", "format", "rows", "columns", "patient", "site", "body_part_examined", "view_position",
    "laterality", "sex", "age_group", "implant", "described_label", "was_negative", "perceptual_hash", "duplicate_of",
)  # fmt: skip
SPLIT_COLUMNS = ("key", "part", "fold")


@dataclass(frozen=True, slots=True)
class Dataset:
    """Some radiographs of a run; row `i` of `images_NHW` belongs to `rows[i]`."""

    rows: Sequence[dict[str, str]]
    """Rows of the index, in its order."""
    images_NHW: Tensor
    """Preprocessed, uint8."""
    folds: Sequence[int]
    """Fold of each radiograph; -1 in the hold-out."""

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def keys(self) -> list[str]:
        """Where each radiograph is stored, relative to the source."""
        return [row["key"] for row in self.rows]

    def where(self, keep: Callable[[int], bool]) -> "Dataset":
        """The radiographs whose position satisfies `keep`."""
        chosen = [index for index in range(len(self)) if keep(index)]
        return Dataset(
            [self.rows[index] for index in chosen], self.images_NHW[chosen], [self.folds[index] for index in chosen]
        )


def load_dataset(run: Run, *parts: Part) -> Dataset:
    """The radiographs of the given parts of the split, in the order of the index."""
    rows = run.read_csv("index/index.csv")
    split = {row["key"]: row for row in run.read_csv("split/split.csv")}
    num_shards = int(run.read_json("index/summary.json")["num_shards"])
    is_chosen = np.array([split[row["key"]]["part"] in parts for row in rows])
    kept, start = [], 0
    for number in range(num_shards):  # one at a time: what is not chosen is not kept in memory
        shard = run.read_array(images_key(number))
        kept.append(shard[is_chosen[start : start + len(shard)]])
        start += len(shard)
    assert start == len(rows) == len(split), "index and split disagree"
    chosen = np.flatnonzero(is_chosen)
    folds = [int(split[rows[index]["key"]]["fold"] or -1) for index in chosen]
    return Dataset([rows[index] for index in chosen], torch.from_numpy(np.concatenate(kept)), folds)


def radiograph_labels(run: Run) -> dict[str, str]:
    """Label by key of the radiographs that people or the data set have labelled; empty where nobody has."""
    if not run.storage.exists(RADIOGRAPH_LABELS):
        return {}
    return {row["key"]: row["label"] for row in run.read_csv(RADIOGRAPH_LABELS)}


def radiograph_attributes(run: Run) -> dict[str, dict[str, str]]:
    """View and laterality by key, as people or the data set gave them; "" where they did not."""
    return {
        row["key"]: {"view": standard_view(row.get("view") or ""), "laterality": row.get("laterality") or ""}
        for row in read_table(run.storage, RADIOGRAPH_LABELS)
    }


def current_assignments(storage: Storage) -> dict[str, int]:
    """Cluster by key of the development set, as phase 1 left them and the reader has split them since."""
    assignments = {row["key"]: int(row["cluster_id"]) for row in read_table(storage, "cluster/assignments.csv")}
    return assignments | {row["key"]: int(row["cluster_id"]) for row in read_table(storage, CLUSTER_MEMBERS)}


def images_key(shard: int) -> str:
    """Where the cached images of a shard of the index are."""
    return f"index/images-{shard:05d}.npy"
