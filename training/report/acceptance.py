"""What is promised of accepted answers, and how far it was kept, for all of them and for each class."""

from training.report.facts import CALIBRATION, CROSS_VALIDATE, EVALUATE, PARTS, Facts
from training.report.markup import (
    Row,
    disclosure,
    not_measured,
    number_cell,
    paragraph,
    plain,
    share_cell,
    table,
    words,
)

_PROMISE = (
    "Review thresholds are set so that {} of the accepted answers are right, all classes together, and as many as "
    "possible are accepted. That is an estimate: it was made on the out-of-fold answers of the development set, which "
    "the thresholds were fitted to, and holds for radiographs like those. The hold-out, which has set nothing, says "
    "how far it is kept. It is no promise for a single class: below is what each kept."
)
_FIGURES = ("accepted", "accepted_precision")


def acceptance(facts: Facts) -> str:
    """The promise, and coverage and precision out of fold and on the hold-out, pooled and by class."""
    columns = [(EVALUATE, (part,), title) for part, title in PARTS.items() if facts.at(EVALUATE, part)]
    pooled: list[tuple[str, tuple[str, ...], str]] = [(CROSS_VALIDATE, (), "Out of fold"), *columns]
    pooled = [(document, path, title) for document, path, title in pooled if facts.at(document, *path, "accepted")]
    if not pooled:
        return not_measured("How many answers are accepted, and how many of these are right")
    rows: list[Row] = [
        [title, *(share_cell(facts, document, *path, name) for name in _FIGURES)] for document, path, title in pooled
    ]
    promised = plain(facts.configuration["cross_validate"]["accepted_precision"])
    heads = ["", "Accepted without review", "Right among accepted"]
    return (
        paragraph(_PROMISE.format(promised))
        + table("Accepted answers, all classes together", heads, rows)
        + disclosure("By class", _by_class(facts))
    )


def _by_class(facts: Facts) -> str:
    rows: list[Row] = []
    for label in facts.spec.labels:
        own = facts.at(CALIBRATION, "review_thresholds", label)
        threshold = ("review_threshold",) if own is None else ("review_thresholds", label)
        row: Row = [words(label), number_cell(facts, CALIBRATION, *threshold)]
        for where in ((CROSS_VALIDATE, "per_class", label), (EVALUATE, "holdout", "per_class", label)):
            row += [share_cell(facts, *where, name) for name in _FIGURES]
        rows.append(row)
    heads = [
        "Answered",
        "Review below",
        "Accepted, out of fold",
        "Right of these",
        "Accepted, hold-out",
        "Right of these",
    ]
    return table("Accepted among the answers of each class; at 1 none is", heads, rows)
