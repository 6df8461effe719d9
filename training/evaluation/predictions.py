"""The table of the hold-out's answers: a row per radiograph, with what is known of it and no picture."""

from collections.abc import Mapping

from samx.anatomy import label_of_body_part, tag_agrees
from samx.classifier import Prediction
from samx.manifest import ATTRIBUTES
from training.attribute_labels import NOTHING

PREDICTION_COLUMNS = (
    "key", "part", "patient", "site", "label", "answer", "second", "probability", "decision", "out_of_scope_score",
    "tag", "tag_agrees", "tag_is_right", "sex", "age_group", "implant", "view", "view_label", "view_answer",
    "laterality_label", "laterality_answer",
)  # fmt: skip
YES, NO, UNKNOWN = "true", "false", ""


def prediction_row(
    index_row: Mapping[str, str], label: str, prediction: Prediction, attributes: Mapping[str, str] = NOTHING
) -> dict[str, object]:
    """One row, without `part`.

    `tag` is the label that Body Part Examined (0018,0015) names, `tag_agrees` says whether the tag, which may name a
    region too, and the answer mean the same, `tag_is_right` whether the tag and the label do: "" where nothing can be
    said.

    Args:
        index_row: of the radiograph, from index.csv; columns that an older index lacks are left empty.
        label: given by people or by the data set; "" where unknown.
        prediction: the answer.
        attributes: view and laterality, given like the label; "" where unknown.
    """
    (first, probability), *others = prediction.ranked(2)
    tag = index_row["body_part_examined"]
    return {
        "key": index_row["key"],
        "patient": index_row["patient"],
        "site": index_row["site"],
        "label": label,
        "answer": first,
        "second": others[0][0] if others else "",
        "probability": f"{probability:.6f}",
        "decision": prediction.decision,
        "out_of_scope_score": f"{prediction.out_of_scope_score:.4f}",
        "tag": label_of_body_part(tag) or "",
        "tag_agrees": _as_text(tag_agrees(first, tag)),
        "tag_is_right": _as_text(tag_agrees(label, tag) if label else None),
        "sex": index_row.get("sex", ""),
        "age_group": index_row.get("age_group", ""),
        "implant": index_row.get("implant", ""),
        "view": index_row["view_position"],
        **{f"{name}_label": attributes[name] for name in ATTRIBUTES},
        **{f"{name}_answer": prediction.attributes.get(name, ("", 0.0))[0] for name in ATTRIBUTES},
    }


def _as_text(value: bool | None) -> str:
    return UNKNOWN if value is None else YES if value else NO
