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

from samx.anatomy import DISCARD, MIXED, NOT_MUSCULOSKELETAL, standard_view
from samx.errors import ObjectNotFound, WrongInput
from samx.manifest import AttributeName
from samx.storage import open_storage
from training.attribute_labels import NOTHING, Known
from training.config import SimulatedReaderConfig

READER = "simulated"


def read_truth(config: SimulatedReaderConfig) -> dict[str, str]:
    """The truth file as label by key; what is not musculoskeletal bears that label.

    Raises:
        WrongInput: the file or one of its columns is missing.
    """
    return {
        key: NOT_MUSCULOSKELETAL if row[config.label_column] in config.not_musculoskeletal else row[config.label_column]
        for key, row in _rows_of(config).items()
    }


def read_attributes(config: SimulatedReaderConfig) -> dict[str, Known]:
    """View and laterality by key from the truth file; "" where it has no column for them.

    Raises:
        WrongInput: as `read_truth`.
    """
    return {
        key: {
            "view": standard_view(row[config.view_column]) if config.view_column else "",
            "laterality": row[config.laterality_column] if config.laterality_column else "",
        }
        for key, row in _rows_of(config).items()
    }


def _rows_of(config: SimulatedReaderConfig) -> dict[str, dict[str, str]]:
    folder, _, name = config.truth.rpartition("/")
    try:
        rows = list(csv.DictReader(io.StringIO(open_storage(folder or ".").read(name).decode())))
    except ObjectNotFound as error:
        raise WrongInput(f"label.simulated_reader.truth: there is no file {config.truth}") from error
    needed = [config.key_column, config.label_column, config.view_column, config.laterality_column]
    if not rows or not set(filter(None, needed)) <= set(rows[0]):
        raise WrongInput(f"{config.truth} needs the columns {' and '.join(filter(None, needed))}")
    return {row[config.key_column].removeprefix(config.key_prefix): row for row in rows}


def name_clusters(
    members: Mapping[int, Sequence[str]],
    truth: Mapping[str, str],
    config: SimulatedReaderConfig,
    generator: torch.Generator,
    attributes: Mapping[str, Known] | None = None,
) -> list[dict[str, object]]:
    """One row of cluster_labels.csv for every cluster.

    Args:
        members: keys of the radiographs in each cluster.
        truth: label by key; radiographs that it lacks are passed over.
        config: how many members are looked at, and the majority that is asked for.
        generator: decides which members.
        attributes: view and laterality by key: said of a cluster where all members looked at share them.
    """
    rows = []
    for cluster_id, keys in sorted(members.items()):
        order = torch.randperm(len(keys), generator=generator).tolist()
        looked_at = [keys[position] for position in order if keys[position] in truth][: config.num_members]
        seen = [truth[key] for key in looked_at]
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
                "view": _shared("view", looked_at, attributes or {}),
                "laterality": _shared("laterality", looked_at, attributes or {}),
                "note": note,
                "reader": READER,
                "decided_at": "",
            }
        )
    return rows


def _shared(name: AttributeName, keys: Sequence[str], attributes: Mapping[str, Known]) -> str:
    values = {attributes.get(key, NOTHING)[name] for key in keys}
    return values.pop() if len(values) == 1 else ""
