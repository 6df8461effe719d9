"""Review thresholds: what they accept, and how often the promise holds on fresh answers; a row per case and way.

    python -m tests.benchmarks.review_thresholds             simulated answers, of which the truth is known
    python -m tests.benchmarks.review_thresholds --run RUN   a finished run's answers, out of fold and on the hold-out

Ways: `single`, one threshold for all classes; `by class`, the ones that are published (`training.review_thresholds`);
`a cut each`, the lowest convex hull of every class's errors walked down together, classes of fewer than 100 answers as
one: most coverage on the answers it was fitted to, and a promise that is broken on fresh ones.
"""

import argparse
import csv
import itertools
import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt

from samx.anatomy import NOT_MUSCULOSKELETAL
from samx.manifest import NEVER_ACCEPTED
from tests.simulated_answers import SimulatedAnswers, simulated_answers, thresholds_of
from training.review_thresholds import SUREST, lowest_cut

PROMISE = 0.99
REPEATS = 100
NUM_FRESH = 20_000
SMALLEST_CLASS = 100
NUM_CLASSES = 28

Thresholds = npt.NDArray[np.float64]
Way = Callable[[SimulatedAnswers], Thresholds]


def single(answers: SimulatedAnswers) -> Thresholds:
    cut = lowest_cut(np.minimum(answers.confidences_N, SUREST), answers.hits_N, PROMISE)
    return np.full(answers.num_classes, NEVER_ACCEPTED if cut is None else cut)


def by_class(answers: SimulatedAnswers) -> Thresholds:
    return thresholds_of(answers, PROMISE)


def a_cut_each(answers: SimulatedAnswers) -> Thresholds:
    """Pieces of all classes' hulls in the order of their error rate, as long as the promise holds."""
    counts_K = np.bincount(answers.given_N, minlength=answers.num_classes)
    group_K = np.where(counts_K >= SMALLEST_CLASS, np.arange(answers.num_classes), -1)
    threshold_of = dict.fromkeys(group_K.tolist(), NEVER_ACCEPTED)
    pieces = [
        (piece, group) for group in threshold_of for piece in _hull_pieces(answers, group_K[answers.given_N] == group)
    ]
    num_accepted, num_wrong = 0, 0
    for (_, accepted, wrong, lowest), group in sorted(pieces, key=lambda entry: entry[0][0]):
        if num_wrong + wrong > (1 - PROMISE) * (num_accepted + accepted):
            break
        num_accepted, num_wrong = num_accepted + accepted, num_wrong + wrong
        threshold_of[group] = lowest
    return np.array([threshold_of[group] for group in group_K.tolist()])


def _hull_pieces(answers: SimulatedAnswers, chosen_N: npt.NDArray[np.bool_]) -> Iterator[tuple[float, int, int, float]]:
    """Error rate, answers, errors and lowest confidence of each piece of the lower convex hull, the surest first."""
    confidences, hits = np.minimum(answers.confidences_N[chosen_N], SUREST), answers.hits_N[chosen_N]
    order = np.argsort(-confidences, kind="stable")
    is_last = np.append(np.diff(confidences[order]) < 0, True)  # of equal ones
    corners = [(0, 0)]
    for count in (np.flatnonzero(is_last) + 1).tolist():
        wrong = int((~hits[order[:count]]).sum())
        while len(corners) > 1 and _slope(corners[-2], corners[-1]) >= _slope(corners[-1], (count, wrong)):
            corners.pop()
        corners.append((count, wrong))
    for before, after in itertools.pairwise(corners):
        yield _slope(before, after), after[0] - before[0], after[1] - before[1], float(confidences[order[after[0] - 1]])


def _slope(before: tuple[int, int], after: tuple[int, int]) -> float:
    return (after[1] - before[1]) / (after[0] - before[0])


WAYS: Mapping[str, Way] = {"single": single, "by class": by_class, "a cut each": a_cut_each}
CASES: Mapping[str, Mapping[int, float]] = {
    "none": {},
    "30 % of one class": {5: 0.3},
    "0 to 6 % of every class": dict(enumerate(np.random.default_rng(7).beta(0.3, 20, NUM_CLASSES))),
}


def accepted(answers: SimulatedAnswers, thresholds_K: Thresholds) -> npt.NDArray[np.bool_]:
    limits_N = thresholds_K[answers.given_N]
    found_N: npt.NDArray[np.bool_] = (answers.confidences_N >= limits_N) & (limits_N < NEVER_ACCEPTED)
    return found_N


def simulate() -> None:
    print(
        "| systematic errors | answers | thresholds | coverage | right among accepted | promise kept | none accepted |"
    )
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for case, systematic in CASES.items():
        for num_answers in (1000, 8000):
            figures: dict[str, list[tuple[float, float]]] = {way: [] for way in WAYS}
            for seed in range(REPEATS):
                answers = simulated_answers(num_answers, systematic=systematic, seed=seed)
                fresh = simulated_answers(NUM_FRESH, systematic=systematic, seed=10_000 + seed)
                for way, thresholds in WAYS.items():
                    accepted_N = accepted(fresh, thresholds(answers))
                    right = float(fresh.hits_N[accepted_N].mean()) if accepted_N.any() else np.nan
                    figures[way].append((float(accepted_N.mean()), right))
            for way, values in figures.items():
                coverage, right_R = np.array(values).T
                some = np.isfinite(right_R)
                kept = f"{(right_R[some] >= PROMISE).sum()} of {some.sum()}"
                shares = f"{100 * coverage.mean():.1f} % | {100 * right_R[some].mean():.2f} %"
                print(f"| {case} | {num_answers:,} | {way} | {shares} | {kept} | {(~some).sum()} |")


def of_run(run: Path) -> None:
    """Thresholds from the out-of-fold answers of a finished run, applied to them and to the hold-out's."""
    scope = json.loads((run / "cross_validate/calibration.json").read_text())["out_of_scope_threshold"]
    rows = {stage: _rows(run / stage / "predictions.csv", scope) for stage in ("cross_validate", "evaluate")}
    labels = sorted({row["answer"] for table in rows.values() for row in table})
    num_all = {stage: sum(1 for row in _table(run / stage / "predictions.csv") if row["label"]) for stage in rows}
    answers = {
        stage: SimulatedAnswers(
            np.array([float(row["probability"]) for row in table]),
            np.array([row["label"] == row["answer"] for row in table]),
            np.array([labels.index(row["answer"]) for row in table]),
            len(labels),
        )
        for stage, table in rows.items()
    }
    print("| answers | thresholds | radiographs | accepted | right among accepted | never accepted |")
    print("| --- | --- | --- | --- | --- | --- |")
    for way, thresholds in WAYS.items():
        thresholds_K = thresholds(answers["cross_validate"])
        never = [label for label, threshold in zip(labels, thresholds_K, strict=True) if threshold >= NEVER_ACCEPTED]
        for stage, found in answers.items():
            accepted_N = accepted(found, thresholds_K)
            right = f"{found.hits_N[accepted_N].sum()} of {accepted_N.sum()}"
            share = 100 * accepted_N.sum() / num_all[stage]
            print(f"| {stage} | {way} | {num_all[stage]} | {share:.1f} % | {right} | {len(never)} of {len(labels)} |")


def _table(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def _rows(path: Path, scope: float) -> list[dict[str, str]]:
    """Answers with a known label that would be accepted if sure enough."""
    return [
        row
        for row in _table(path)
        if row["label"] and float(row["out_of_scope_score"]) <= scope and row["answer"] != NOT_MUSCULOSKELETAL
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", type=Path, help="folder of a finished run; without it answers are simulated")
    options = parser.parse_args()
    of_run(options.run) if options.run else simulate()


if __name__ == "__main__":
    main()
