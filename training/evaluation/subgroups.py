"""The hold-out in parts that may fare differently, and the answers beside what the DICOM tag says."""

from collections.abc import Mapping, Sequence

import numpy as np

from training.evaluation.intervals import proportion
from training.evaluation.predictions import NO, YES

UNKNOWN = "(unknown)"
_COLUMNS = {
    "site": "site",
    "sex": "sex",
    "age_group": "age_group",
    "implant": "implant",
    "view": "view",
    "tag": "tag_is_right",
}
_TAGS = {YES: "right", NO: "wrong"}


def subgroup_figures(rows: Sequence[Mapping[str, object]]) -> dict[str, dict[str, dict[str, object]]]:
    """Number and top-1 of the radiographs of each site, sex, decade of age and view, and by whether the tag is right.

    Radiographs with and without an implant stand apart where a table said so of some, else there is no such group.
    Intervals are Wilson's; a difference between two groups may be one of the labels they hold.

    Args:
        rows: of predictions.csv, all of them with a label.
    """
    figures: dict[str, dict[str, dict[str, object]]] = {}
    for name, column in _COLUMNS.items():
        values = [str(row[column]) for row in rows]
        if name == "tag":
            values = [_TAGS.get(value, "") for value in values]
        figures[name] = {}
        if name == "implant" and not any(values):
            continue
        for value in sorted(set(values)):
            hits = [row["label"] == row["answer"] for row, other in zip(rows, values, strict=True) if other == value]
            figures[name][value or UNKNOWN] = {"n": len(hits), "top_1": proportion(np.array(hits, bool))}
    return figures


def tag_figures(rows: Sequence[Mapping[str, object]]) -> dict[str, object]:
    """How often the answer agrees with Body Part Examined, how often that is right, and the answer where it is wrong.

    `n_tagged` counts radiographs whose tag and label can both be compared. A tag may name a region (EXTREMITY), which
    is right for every entity in it.

    Args:
        rows: of predictions.csv, all of them with a label.
    """
    tagged = [row for row in rows if row["tag_is_right"] in (YES, NO)]
    wrong = [row for row in tagged if row["tag_is_right"] == NO]
    comparable = [row for row in tagged if row["tag_agrees"] in (YES, NO)]
    return {
        "n_tagged": len(tagged),
        "agrees": proportion(np.array([row["tag_agrees"] == YES for row in comparable], bool)),
        "tag_right": proportion(np.array([row["tag_is_right"] == YES for row in tagged], bool)),
        "answer_right_where_tag_wrong": proportion(np.array([row["label"] == row["answer"] for row in wrong], bool)),
    }
