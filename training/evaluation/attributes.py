"""How often view and laterality are right, of the radiographs whose truth is known and among what the model learned."""

from collections.abc import Mapping, Sequence

import numpy as np

from samx.manifest import AttributeName
from training.evaluation.intervals import mean_of_proportions, proportion, rounded


def attribute_figures(
    rows: Sequence[Mapping[str, object]], values: Mapping[AttributeName, Sequence[str]]
) -> dict[str, dict[str, object]]:
    """Figures of each attribute: `n`, `accuracy`, `macro_recall` and `recall` of each value, with Wilson intervals.

    `commonest` is the share of the commonest value: what answering always that would give.

    Args:
        rows: of predictions.csv: `<name>_label` is the truth, `<name>_answer` what the model says, "" where unknown.
        values: that the model has learned.
    """
    figures: dict[str, dict[str, object]] = {}
    for name, learned in values.items():
        pairs = [(str(row[f"{name}_label"]), str(row[f"{name}_answer"])) for row in rows]
        judged = [(truth, answer) for truth, answer in pairs if answer and truth in learned]
        if not judged:
            figures[name] = {"n": 0}
            continue
        hits_of = {value: [answer == value for truth, answer in judged if truth == value] for value in learned}
        present = {value: hits for value, hits in hits_of.items() if hits}
        figures[name] = {
            "n": len(judged),
            "accuracy": proportion(np.array([truth == answer for truth, answer in judged], bool)),
            "macro_recall": mean_of_proportions(
                [sum(hits) for hits in present.values()], [len(hits) for hits in present.values()]
            ),
            "commonest": rounded(max(map(len, present.values())) / len(judged)),
            "recall": {value: {"n": len(hits), **proportion(np.array(hits, bool))} for value, hits in present.items()},
        }
    return figures
