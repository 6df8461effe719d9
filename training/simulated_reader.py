"""A simulated reader: plays the radiologist from a truth file, for demonstration, tests and benchmarks.

It looks at ten random members of a cluster and names it by their majority, calls it mixed below 60 %, and discards what
is not musculoskeletal. It leaves the same files as a person does, with `simulated` as the reader; `decided_at` stays
empty, because nobody decided at any time.
"""

import csv
import io
from collections import Counter
from collections.abc import Mapping, Sequence

import torch

from samx.anatomy import DISCARD, MIXED, NOT_MUSCULOSKELETAL
from samx.errors import ObjectNotFound, WrongInput
from samx.storage import open_storage
from training.config import SimulatedReaderConfig

READER = "simulated"


def read_truth(config: SimulatedReaderConfig) -> dict[str, str]:
    """The truth file as label by key; what is not musculoskeletal bears that label.

    Raises:
        WrongInput: the file or one of its columns is missing.
    """
    folder, _, name = config.truth.rpartition("/")
    try:
        rows = list(csv.DictReader(io.StringIO(open_storage(folder or ".").read(name).decode())))
    except ObjectNotFound as error:
        raise WrongInput(f"label.simulated_reader.truth: there is no file {config.truth}") from error
    if not rows or not {config.key_column, config.label_column} <= set(rows[0]):
        raise WrongInput(f"{config.truth} needs the columns {config.key_column} and {config.label_column}")
    return {
        row[config.key_column].removeprefix(config.key_prefix): (
            NOT_MUSCULOSKELETAL if row[config.label_column] in config.not_musculoskeletal else row[config.label_column]
        )
        for row in rows
    }


def name_clusters(
    members: Mapping[int, Sequence[str]],
    truth: Mapping[str, str],
    config: SimulatedReaderConfig,
    generator: torch.Generator,
) -> list[dict[str, object]]:
    """One row of cluster_labels.csv for every cluster.

    Args:
        members: keys of the radiographs in each cluster.
        truth: label by key; radiographs that it lacks are passed over.
        config: how many members are looked at, and the majority that is asked for.
        generator: decides which members.
    """
    rows = []
    for cluster_id, keys in sorted(members.items()):
        order = torch.randperm(len(keys), generator=generator).tolist()
        seen = [truth[keys[position]] for position in order if keys[position] in truth][: config.num_members]
        label, note = MIXED, "no member is in the truth file"
        if seen:
            commonest, count = Counter(seen).most_common(1)[0]
            note = f"{count} of {len(seen)} members"
            if count >= config.majority * len(seen):
                label = DISCARD if commonest == NOT_MUSCULOSKELETAL else commonest
        rows.append(
            {
                "cluster_id": cluster_id,
                "label": label,
                "view": "",
                "laterality": "",
                "note": note,
                "reader": READER,
                "decided_at": "",
            }
        )
    return rows
