"""The section about the smaller network that answers on CPUs; empty where the run has none."""

from training.report.facts import (
    AGAINST_REFERENCE,
    CALIBRATION,
    CROSS_VALIDATE,
    EVALUATE,
    STUDENT,
    STUDENT_CALIBRATION,
    STUDENT_CROSS_VALIDATE,
    STUDENT_EVALUATE,
    Facts,
)
from training.report.markup import Row, number_cell, paragraph, plain, share_cell, table

_SHARES = {
    "top_1": "Right (top-1)",
    "top_2": "Among the first two",
    "macro_recall": "Macro recall",
    "accepted": "Accepted without review",
    "accepted_precision": "Right among accepted",
}
_CALIBRATION = {
    "temperature": "Temperature",
    "review_threshold": "Review threshold where no class has its own",
    "out_of_scope_threshold": "Out-of-scope threshold",
}


def student(facts: Facts) -> str:
    """Both networks side by side, and whether the smaller one may answer on CPUs."""
    summary = facts.documents.get(STUDENT)
    if not summary:
        return ""
    verdict = (
        "It answers on CPUs; all other figures of this page are those of the large network, which answers on GPUs."
        if summary["is_accepted"]
        else "It is not published: the large network answers everywhere."
    )
    texts = [
        f"A {summary['backbone']} learned the answers of the {facts.spec.architecture.backbone} to "
        f"{summary['num_radiographs']:,} radiographs of the development set, labelled or not (initial weights: "
        f"{summary['initial_weights']}), and one without each fold those of the fold's network. Of the out-of-fold "
        f"answers {plain(summary['agreement'])} are the same; {100 * summary['loss']:.2f} points of right ones are "
        f"lost, {100 * summary['largest_loss']:.2f} are allowed. {verdict}"
    ]
    paired = facts.at(AGAINST_REFERENCE, "holdout", "top_1")
    if paired:
        value, low, high = (100 * paired["difference"][name] for name in ("value", "low", "high"))
        texts.append(
            f"On the hold-out its top-1 differs by {value:+.1f} points ({low:+.1f} to {high:+.1f}, bootstrap over "
            f"patients); only the large network is right {paired['only_a']} times, only the small one "
            f"{paired['only_b']} times (McNemar p {paired['mcnemar_p']:.3f})."
        )
    return "".join(map(paragraph, texts)) + _table(facts)


def _table(facts: Facts) -> str:
    columns = [
        (EVALUATE, ("holdout",), "Hold-out, large"),
        (STUDENT_EVALUATE, ("holdout",), "Hold-out, small"),
        (CROSS_VALIDATE, (), "Cross-validation, large"),
        (STUDENT_CROSS_VALIDATE, (), "Cross-validation, small"),
    ]
    columns = [(document, path, title) for document, path, title in columns if facts.at(document, *path, "top_1")]
    rows: list[Row] = [
        [title, *(share_cell(facts, document, *path, name) for document, path, _ in columns)]
        for name, title in _SHARES.items()
    ]
    numbers: list[Row] = [
        [title, number_cell(facts, CALIBRATION, name), number_cell(facts, STUDENT_CALIBRATION, name)]
        for name, title in _CALIBRATION.items()
    ]
    shares = table("Both networks, in brackets 95 % limits", ["", *(title for *_, title in columns)], rows)
    return (shares if columns else "") + table("Set on out-of-fold answers", ["", "Large", "Small"], numbers)
