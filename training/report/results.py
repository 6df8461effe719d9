"""Sections with figures: how good the answers are, for whom, under which disturbances."""

import numpy as np

from training.report import charts
from training.report.facts import CALIBRATION, CROSS_VALIDATE, EVALUATE, PARTS, Facts
from training.report.markup import (
    Row,
    disclosure,
    figure,
    not_measured,
    number_cell,
    paragraph,
    plain,
    share_cell,
    table,
    words,
)

_NUM_MISTAKES = 12
_SHARES = {
    "top_1": "Right (top-1)",
    "top_2": "Among the first two",
    "top_3": "Among the first three",
    "macro_recall": "Macro recall",
    "accepted": "Accepted without review",
    "accepted_precision": "Right among accepted",
    "body_region_error": "Wrong body region",
    "coverage_at_99": "Answered where 99 % are right",
}
_NUMBERS = {
    "balanced_accuracy": "Balanced accuracy",
    "macro_f1": "Macro F1",
    "brier": "Brier score",
    "brier_uncalibrated": "Brier score, not calibrated",
    "expected_calibration_error": "Calibration error",
    "expected_calibration_error_uncalibrated": "Calibration error, not calibrated",
}


def results(facts: Facts) -> str:
    """The main figures of the hold-out's parts and of cross-validation side by side."""
    columns: list[tuple[str, tuple[str, ...], str]] = [
        (EVALUATE, (part,), title) for part, title in PARTS.items() if facts.at(EVALUATE, part)
    ]
    if facts.at(CROSS_VALIDATE, "top_1"):
        columns.append((CROSS_VALIDATE, (), "Cross-validation"))
    if not columns:
        return not_measured("How good the answers are, for want of labels of single radiographs")
    rows: list[Row] = [["Radiographs", *(number_cell(facts, d, *path, "n") for d, path, _ in columns)]]
    for names, cell in ((_SHARES, share_cell), (_NUMBERS, number_cell)):
        for name, title in names.items():
            if any(facts.at(d, *path, name) is not None for d, path, _ in columns):
                rows.append([title, *(cell(facts, d, *path, name) for d, path, _ in columns)])
    caption = "Judged by labels of single radiographs; in brackets 95 % limits"
    return table(caption, ["", *(title for *_, title in columns)], rows) + paragraph(
        "Shares carry Wilson's interval, which takes radiographs as independent; where the line below says patients, "
        "these are limits of the bootstrap over patients, which does not.",
        "quiet",
    )


def folds(facts: Facts) -> str:
    """Cross-validation, fold by fold."""
    found = facts.at(CROSS_VALIDATE, "folds") or []
    rows: list[Row] = [
        [
            f"Fold {fold['fold']}",
            str(fold["n"]),
            plain(fold["top_1"]),
            plain(fold.get("top_2")),
            plain(fold.get("accepted")),
        ]
        for fold in found
    ]
    if not rows:
        return not_measured("Figures per fold")
    mean, deviation = facts.at(CROSS_VALIDATE, "top_1_mean"), facts.at(CROSS_VALIDATE, "top_1_standard_deviation")
    text = f"Mean top-1 of the folds {plain(mean)}, standard deviation {plain(deviation)}."
    injected, linear = (facts.at(CROSS_VALIDATE, step) for step in ("injected_head", "linear_head"))
    if injected and linear:
        text += f" Before: the injected head {plain(injected)}, once its rows alone were fitted {plain(linear)}."
    return table(
        "Out-of-fold answers of the development set", ["", "n", "Top-1", "Top-2", "Accepted"], rows
    ) + paragraph(text)


def classes(facts: Facts) -> str:
    """Recall and precision of every class."""
    found = facts.at(EVALUATE, "holdout", "per_class")
    if not found:
        return not_measured("Recall and precision per class")
    found = {label: f for label, f in found.items() if isinstance(f.get("recall"), dict)}
    rows: list[Row] = [
        [
            words(label),
            *(
                cell(facts, EVALUATE, "holdout", "per_class", label, name, *more)
                for name in ("recall", "precision")
                for cell, more in ((number_cell, ("n",)), (share_cell, ()))
            ),
        ]
        for label in found
    ]
    columns = ["Class", "Labelled so", "Recall", "Answered so", "Precision"]
    shown = {
        label: f for label, f in found.items() if any((f.get(name) or {}).get("n") for name in ("recall", "precision"))
    }
    chart = (
        figure(charts.per_class(shown), "Hold-out together: share found and share right, with 95 % limits")
        if shown
        else ""
    )
    return chart + disclosure("The same as a table", table("Hold-out together, per class", columns, rows))


def confusion(facts: Facts) -> str:
    """Who is taken for whom."""
    if not facts.judged:
        return not_measured("Confusion of classes")
    labels, counts = facts.confusion
    rows: list[Row] = [
        [words(label), words(answer), str(count)] for label, answer, count in facts.mistakes[:_NUM_MISTAKES]
    ]
    full: list[Row] = [
        [words(label), *(str(n) if n else "" for n in row)] for label, row in zip(labels, counts, strict=True)
    ]
    return (
        figure(
            charts.confusion(counts, labels), "Hold-out together: blue right, orange wrong; shaded by share of the row"
        )
        + (
            table("The commonest mistakes", ["Label", "Answer", "Radiographs"], rows, is_text=True)
            or paragraph("No answer is wrong.")
        )
        + disclosure("The matrix as a table", table("Label by row, answer by column", ["", *map(words, labels)], full))
    )


def confidence(facts: Facts) -> str:
    """Whether probabilities are frequencies, and what is left when the unsure go to a person."""
    parts = []
    if facts.judged:
        confidences_N = np.array([float(row["probability"]) for row in facts.judged])
        hits_N = np.array([row["label"] == row["answer"] for row in facts.judged])
        parts.append(
            figure(
                charts.reliability(confidences_N, hits_N, facts.spec.review_thresholds),
                "Reliability: on the line, probabilities are frequencies",
            )
        )
    curves = {
        title: facts.at(EVALUATE, part, "risk_coverage")
        for part, title in PARTS.items()
        if facts.at(EVALUATE, part, "risk_coverage")
    }
    if curves:
        parts.append(figure(charts.risk_coverage(curves), "Coverage: the surest answers first; dotted at 99 %"))
    found = f'<div class="pair">{"".join(parts)}</div>' if parts else not_measured("Reliability")
    if not curves:
        found += not_measured("Accuracy against coverage")
    rows: list[Row] = [
        ["Temperature", number_cell(facts, CALIBRATION, "temperature")],
        ["Review threshold where no class has its own", number_cell(facts, CALIBRATION, "review_threshold")],
        ["Out-of-scope threshold", number_cell(facts, CALIBRATION, "out_of_scope_threshold")],
        ["Radiographs they are set on", number_cell(facts, CALIBRATION, "num_labelled")],
    ]
    return found + table("Calibration, from out-of-fold answers", ["", ""], rows)


def subgroups(facts: Facts) -> str:
    """Accuracy by site, sex, age, implant where known, view and tag."""
    found = facts.at(EVALUATE, "subgroups")
    if not found:
        return not_measured("Accuracy by site, sex, age, view and tag")
    tables = []
    for group in ("site", "sex", "age_group", "implant", "view", "tag"):
        values = found.get(group) or {}
        rows: list[Row] = [
            [
                words(value) or "(none)",
                number_cell(facts, EVALUATE, "subgroups", group, value, "n"),
                share_cell(facts, EVALUATE, "subgroups", group, value, "top_1"),
            ]
            for value in values
        ]
        tables.append(table(f"By {words(group)}", ["", "n", "Top-1"], rows))
    return f'<div class="pair">{"".join(tables)}</div>' + paragraph(
        "Small groups have wide limits; with many groups some differ by chance alone.", "quiet"
    )


def attributes(facts: Facts) -> str:
    """View and laterality."""
    found = facts.at(EVALUATE, "attributes")
    if not found:
        return not_measured("View and laterality: the model has not learned them; the accuracy")
    rows: list[Row] = [
        [words(name), *(cell(facts, EVALUATE, "attributes", name, what) for what, cell in _ATTRIBUTES)]
        for name in found
    ]
    values: list[Row] = [
        [f"{words(name)} {value}", *(cell(facts, EVALUATE, "attributes", name, "recall", value, *more)
                                     for cell, more in ((number_cell, ("n",)), (share_cell, ())))]
        for name, figures in found.items()
        for value in figures.get("recall", {})
    ]  # fmt: skip
    columns = ["", "n", "Right", "Macro recall", "The commonest value"]
    return (
        table("View and laterality, hold-out together", columns, rows)
        + disclosure("Value by value", table("Recall of each value", ["", "n", "Recall"], values))
        + paragraph("By heads of their own; of radiographs whose view or side somebody has named.", "quiet")
    )


def disturbances(facts: Facts) -> str:
    """Disturbed images, and images that are no radiographs of the kind at all."""
    found = facts.at(EVALUATE, "robustness") or {}
    names = sorted(found, key=lambda name: (name != "original", name))
    rows: list[Row] = [
        [words(name), *(cell(facts, EVALUATE, "robustness", name, what) for what, cell in _DISTURBED)] for name in names
    ]
    text = (
        figure(charts.robustness({name: found[name] for name in names}), "Hold-out, disturbed, with 95 % limits")
        + disclosure("The same as a table", table("Disturbed hold-out", ["", "n", "Top-1", "Same answer"], rows))
        if rows
        else not_measured("Accuracy on disturbed images")
    )
    foreign = facts.at(EVALUATE, "foreign") or {}
    kinds: list[Row] = [
        [words(kind), *(cell(facts, EVALUATE, "foreign", kind, what) for what, cell in _FOREIGN)] for kind in foreign
    ]
    columns = ["", "n", "AUROC", "Answered out of scope"]
    return text + (
        table("What the model has not learned: told from the hold-out by the out-of-scope score", columns, kinds)
        or not_measured("Images of other kinds")
    )


_ATTRIBUTES = (("n", number_cell), ("accuracy", share_cell), ("macro_recall", share_cell), ("commonest", share_cell))
_DISTURBED = (("n", number_cell), ("top_1", share_cell), ("same_answer", share_cell))
_FOREIGN = (("n", number_cell), ("auroc", number_cell), ("out_of_scope", share_cell))
_TAGS = {
    "n_tagged": ("Radiographs with a tag that names a body part", number_cell),
    "agrees": ("The answer agrees with the tag", share_cell),
    "tag_right": ("The tag is right", share_cell),
    "answer_right_where_tag_wrong": ("The answer is right where the tag is wrong", share_cell),
}


def tags(facts: Facts) -> str:
    """Against Body Part Examined (0018,0015)."""
    rows: list[Row] = [[title, cell(facts, EVALUATE, "tag", name)] for name, (title, cell) in _TAGS.items()]
    if not facts.at(EVALUATE, "tag"):
        return not_measured("Agreement with the tag Body Part Examined")
    return table("Answer against Body Part Examined, hold-out together", ["", ""], rows)
