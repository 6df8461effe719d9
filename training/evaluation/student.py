"""The smaller network for CPUs against the large one that has taught it: whether it may be published, and how it does.

The choice is made on out-of-fold answers; the hold-out only says what became of it.
"""

from collections.abc import Mapping

from training.evaluation.comparison import Evaluated, compare, compare_part
from training.run import Run


def student_summary(run: Run) -> dict[str, object]:
    """Both networks' out-of-fold answers for the development set, side by side.

    Without labels of single radiographs nobody knows who is right. Then the share of other answers is taken for the
    loss: it cannot be larger.

    Returns:
        `{backbone, n, agreement, top_1: {a, b, difference, ...}, loss, largest_loss, is_accepted}`: a is the large
        network, b the student; `top_1` is None where nothing is known.
    """
    config = run.config.distill
    large, small = ({row["key"]: row for row in run.read_csv(f"{stage}/predictions.csv")} for stage in _STAGES)
    same = sum(large[key]["answer"] == small[key]["answer"] for key in large)
    known = [key for key in large if large[key]["label"]]
    top_1 = None
    loss = 1 - same / len(large)
    if known:
        found = compare_part([large[key] for key in known], [small[key] for key in known], seed=run.config.seed)
        top_1 = found["top_1"]
        right = [sum(rows[key]["answer"] == rows[key]["label"] for key in known) for rows in (large, small)]
        loss = (right[0] - right[1]) / len(known)
    return {
        "backbone": config.backbone,
        "n": len(large),
        "agreement": round(same / len(large), 6),
        "top_1": top_1,
        "loss": round(loss, 6),
        "largest_loss": config.largest_loss,
        "is_accepted": loss <= config.largest_loss,
    }


_STAGES = ("cross_validate", "distill")


def against_teacher(
    teacher: Mapping[str, Mapping[str, str]], student: Mapping[str, Mapping[str, str]], *, resamples: int, seed: int
) -> dict[str, object]:
    """The hold-out's answers of both, paired: see `compare`; a is the large network, b the student.

    Args:
        teacher: rows of predictions.csv by key.
        student: likewise.
        resamples: of the bootstrap over patients.
        seed: of it.

    Returns:
        `{agreement, holdout: {...}, ...}`: the share of equal answers, and the figures of the labelled radiographs;
        those of a part are missing where it has none.
    """
    same = sum(teacher[key]["answer"] == student[key]["answer"] for key in teacher)
    a, b = (Evaluated("", {key: row for key, row in rows.items() if row["label"]}) for rows in (teacher, student))
    figures = compare(a, b, resamples=resamples, seed=seed)
    agreement = round(same / len(teacher), 6) if teacher else None
    return {"agreement": agreement, **{part: found for part, found in figures.items() if part not in ("a", "b")}}
