"""View and laterality: what is known of each radiograph, and which values are learned.

Known from the reader, who may say them of a cluster or of a radiograph, else from the DICOM attributes that the
configuration trusts. Where nothing is known nothing is learned.

Shape suffixes: N radiographs, V values of an attribute.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from samx.anatomy import NOT_MUSCULOSKELETAL, has_sides, standard_view
from samx.manifest import ATTRIBUTES, AttributeName

Known = Mapping[str, str]
"""Value by name of the attribute; "" where unknown."""

UNKNOWN_TARGET = -100
"""What torch's cross-entropy passes over."""
NOTHING: Known = dict.fromkeys(ATTRIBUTES, "")
_SIDES = ("L", "R", "B")
_TAGS: Mapping[AttributeName, str] = {"view": "view_position", "laterality": "laterality"}


@dataclass(frozen=True, slots=True)
class AttributeTargets:
    """What the head of one attribute learns."""

    num_values: int
    """V."""
    targets_N: Tensor
    """Value of each radiograph, int64 in [0, V), or `UNKNOWN_TARGET`."""


def known_attributes(
    index_row: Mapping[str, str], label: str, said: Mapping[str, str] | None, trusted: Sequence[AttributeName]
) -> dict[AttributeName, str]:
    """What is known of a radiograph.

    Args:
        index_row: of the index: what its DICOM attributes say.
        label: its class; what has no left and right has no laterality, what is not musculoskeletal no view either.
        said: row of the reader's table that holds for it: its correction, else its cluster's.
        trusted: attributes whose DICOM value is taken where the reader has said nothing.
    """
    if label == NOT_MUSCULOSKELETAL:
        return {"view": "", "laterality": ""}
    view, side = (
        (said or {}).get(name) or (index_row.get(_TAGS[name], "") if name in trusted else "") for name in ATTRIBUTES
    )
    side = side.strip().upper()
    return {"view": standard_view(view), "laterality": side if side in _SIDES and has_sides(label) else ""}


def learned_values(rows: Sequence[Known], smallest: int) -> dict[AttributeName, list[str]]:
    """Values of each attribute that enough radiographs have; attributes with fewer than two such values are left out.

    Args:
        rows: what is known of each radiograph that is learned from.
        smallest: number of radiographs that a value must have.
    """
    values: dict[AttributeName, list[str]] = {}
    for name in ATTRIBUTES:
        counts = Counter(row[name] for row in rows if row[name])
        kept = sorted(value for value, count in counts.items() if count >= smallest)
        if len(kept) > 1:
            values[name] = kept
    return values


def attribute_targets(
    rows: Sequence[Known], values: Mapping[AttributeName, Sequence[str]]
) -> dict[AttributeName, AttributeTargets]:
    """What each head learns.

    Args:
        rows: what is known of each radiograph.
        values: of each head, as `learned_values` gives them.
    """
    targets: dict[AttributeName, AttributeTargets] = {}
    for name, learned in values.items():
        position = {value: index for index, value in enumerate(learned)}
        targets_N = torch.tensor([position.get(row[name], UNKNOWN_TARGET) for row in rows], dtype=torch.int64)
        targets[name] = AttributeTargets(len(learned), targets_N)
    return targets
