"""What phase 1 says of itself after every epoch, and when it stops because it learns nothing.

Shape suffixes: N radiographs, S sampled radiographs, D dimensions, K clusters.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor

from samx.errors import SamxError
from training.metrics import agreement, neighbour_purity
from training.pseudo_labels import Clustering

Row = dict[str, Any]

_STUCK = 0.98
_ONE_CLUSTER = 0.5
_TINY = 5


def clustering_row(clustering: Clustering, assignments_N: Tensor, before_N: Tensor | None) -> Row:
    """What the clusters of the whole set look like before an epoch.

    `assignment_stability_nmi` and `_ami` compare them with those of the epoch before. NMI is far above 0 by chance (two
    random assignments of 42,608 radiographs to 1000 clusters reach 0.46), AMI is 0. Neither says whether clusters
    follow anatomy.
    """
    sizes_K = clustering.sizes_K
    row: Row = {
        "num_used": int((sizes_K > 0).sum()),
        "num_tiny": int(((sizes_K > 0) & (sizes_K < _TINY)).sum()),
        "num_empty": int((sizes_K == 0).sum()),
        "num_reseeded": clustering.num_reseeded,
        "largest_share": float(sizes_K.max() / sizes_K.sum()),
        "mean_similarity": clustering.mean_similarity,
        "assignment_stability_nmi": None,
        "assignment_stability_ami": None,
    }
    if before_N is not None:
        for name, value in agreement(before_N.tolist(), assignments_N.tolist()).items():
            row[f"assignment_stability_{name}"] = value
    return row


def neighbour_row(projected_SD: Tensor, tags: Sequence[str], sites: Sequence[str]) -> Row:
    """Whether neighbours share their DICOM tag, as they should, and their site, as they should not; None without any.

    Args:
        projected_SD: unit vectors of a sample.
        tags: Body Part Examined of each, "" where missing.
        sites: Institution Name of each, "" where missing.
    """
    row: Row = {}
    for name, labels in (("tag", tags), ("site", sites)):
        found, chance = neighbour_purity(projected_SD, labels)
        row |= {f"neighbours_of_same_{name}": found, f"neighbours_of_same_{name}_by_chance": chance}
    return row


def stop_if_collapsed(history: Sequence[Row], num_epochs: int, guessing: Mapping[str, float]) -> None:
    """Learning nothing is noticed after a third of the epochs.

    Args:
        history: a row per epoch.
        num_epochs: that will be.
        guessing: value of loss terms when nothing is told apart.

    Raises:
        SamxError: with the reason.
    """
    if len(history) < max(5, num_epochs // 3):
        return
    row = history[-1]
    for name, chance in guessing.items():
        if row[name] > _STUCK * chance:
            raise SamxError(
                f"phase 1 learns nothing: after {len(history)} epochs {name} is {row[name]:.3f}, and guessing gives "
                f"{chance:.3f}; lower pretrain.learning_rate or weaken augmentation"
            )
    if row["largest_share"] > _ONE_CLUSTER:
        raise SamxError(
            f"phase 1 has collapsed: after {len(history)} epochs one of {row['num_used']} clusters holds "
            f"{row['largest_share']:.0%} of the radiographs; raise pretrain.contrast_weight or lower "
            "pretrain.learning_rate"
        )


def json_lines(history: Sequence[Row]) -> bytes:
    """One JSON object per epoch and line."""
    return "".join(json.dumps(row, sort_keys=True) + "\n" for row in history).encode()
