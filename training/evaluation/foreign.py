"""Whether the out-of-scope score tells what is to be sorted from what is not: photographs, pages, ultrasound, noise.

The foreign images are drawn at evaluation time (`foreign_images`) and were never learned from; what a reader has
discarded, and phase 2 has learned as not musculoskeletal, is another matter. Reported apart, since they are radiographs
after all: those of the hold-out as negatives that went unnoticed (`inverted`) and standing on their heads
(`upside_down`).
"""

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from samx.anatomy import NOT_MUSCULOSKELETAL
from samx.classifier import Classifier
from training.config import EvaluateConfig
from training.evaluation.foreign_images import FOREIGN_KINDS, foreign_image
from training.evaluation.intervals import percentile_limits, proportion, resampled_counts, rounded
from training.evaluation.robustness import as_read, content_box, evenly_chosen
from training.model import answers_of

RADIOGRAPH_KINDS = ("inverted", "upside_down")


def foreign_figures(
    classifier: Classifier,
    images_NHW: npt.NDArray[np.uint8],
    rows: Sequence[Mapping[str, object]],
    config: EvaluateConfig,
    *,
    seed: int = 0,
) -> tuple[dict[str, dict[str, object]], list[dict[str, object]]]:
    """AUROC of the out-of-scope score and share refused, for each kind, against the hold-out's radiographs in scope.

    In scope is what bears the label of a class that is not NOT_MUSCULOSKELETAL. Chance is an AUROC of 0.5; below it
    foreign images look more familiar than radiographs. It says nothing of kinds that are not among these.

    Args:
        classifier: gives the scores.
        images_NHW: the hold-out, preprocessed.
        rows: of predictions.csv, in the order of the images.
        config: how many images of each kind.
        seed: of the foreign images and of the bootstrap.

    Returns:
        `{kind: {n, auroc, out_of_scope}}` - the AUROC without value where no label is known - and the rows of
        foreign.csv.
    """
    classes = set(classifier.spec.labels) - {NOT_MUSCULOSKELETAL}
    in_scope = [row for row in rows if row["label"] in classes]
    scores_N = np.array([float(str(row["out_of_scope_score"])) for row in in_scope])
    patients = [str(row["patient"]) for row in in_scope]
    scope_positions = [index for index, row in enumerate(rows) if row["label"] in classes]
    chosen = np.array(scope_positions, np.intp)[evenly_chosen(len(scope_positions), config.num_foreign)]
    figures: dict[str, dict[str, object]] = {}
    table: list[dict[str, object]] = []
    for kind in (*FOREIGN_KINDS, *RADIOGRAPH_KINDS):
        if kind in RADIOGRAPH_KINDS:
            images = [_reversed(images_NHW[index], kind) for index in chosen]
            sources = [str(rows[index]["key"]) for index in chosen]
            groups = [str(rows[index]["patient"]) for index in chosen]
        else:
            drawn = range(config.num_foreign)
            images = [as_read(foreign_image(kind, seed, number), classifier.spec.preprocessing) for number in drawn]
            sources = [str(number) for number in drawn]
            groups = [f"{kind} {number}" for number in drawn]
        if not images:
            continue
        predictions = answers_of(classifier, images)
        found: list[dict[str, object]] = [
            {
                "kind": kind,
                "source": source,
                "out_of_scope_score": f"{p.out_of_scope_score:.4f}",
                "decision": p.decision,
            }
            for source, p in zip(sources, predictions, strict=True)
        ]
        table += found
        foreign_M = np.array([float(str(row["out_of_scope_score"])) for row in found])
        refused = np.array([p.decision == "out_of_scope" for p in predictions], bool)
        interval = auroc_interval(scores_N, patients, foreign_M, groups, resamples=config.resamples, seed=seed)
        figures[kind] = {"n": len(images), "auroc": interval, "out_of_scope": proportion(refused)}
    return figures, table


def auroc_interval(
    scores_N: npt.NDArray[np.float64],
    patients: Sequence[str],
    foreign_M: npt.NDArray[np.float64],
    groups: Sequence[str],
    *,
    resamples: int,
    seed: int,
) -> dict[str, object]:
    """Share of pairs in which the foreign image has the higher score, ties half, with bootstrap limits.

    Patients are drawn with all their radiographs, the foreign images of the same patient with them; other foreign
    images by themselves.

    Args:
        scores_N: of radiographs in scope.
        patients: of each.
        foreign_M: scores of foreign images.
        groups: patient of each foreign image, or a name of its own.
        resamples: of the bootstrap.
        seed: of its draws.
    """
    if not len(scores_N) or not len(foreign_M):
        return {"value": None, "low": 0.0, "high": 1.0, "n": len(foreign_M)}
    wins_NM = (foreign_M > scores_N[:, None]) + 0.5 * (foreign_M == scores_N[:, None])
    names, patient_N = np.unique(np.array(patients), return_inverse=True)
    position = {name: index for index, name in enumerate(names.tolist())}
    wins_PM = np.zeros((len(names), len(foreign_M)))
    np.add.at(wins_PM, patient_N, wins_NM)
    size_P = np.bincount(patient_N)
    of_patient = all(group in position for group in groups)
    column_M = np.array([position[group] for group in groups]) if of_patient else np.arange(len(foreign_M))
    own = resampled_counts(len(names), resamples=resamples, seed=seed)
    others = own if of_patient else resampled_counts(len(foreign_M), resamples=resamples, seed=seed + 1)
    values: list[npt.NDArray[np.float64]] = []
    for weights_bP, drawn in ((block, block) for block in own) if of_patient else zip(own, others, strict=True):
        weights_bM = drawn[:, column_M]
        pairs_b = (weights_bP @ size_P) * weights_bM.sum(1)
        with np.errstate(invalid="ignore"):
            values.append(((weights_bP @ wins_PM) * weights_bM).sum(1) / pairs_b)
    low, high = percentile_limits(np.concatenate(values))
    return {"value": rounded(float(wins_NM.mean())), "low": rounded(low), "high": rounded(high), "n": len(foreign_M)}


def _reversed(image: npt.NDArray[np.uint8], kind: str) -> npt.NDArray[np.uint8]:
    """A preprocessed radiograph, black padding kept, inverted or turned by 180 degrees."""
    if kind == "upside_down":
        return np.ascontiguousarray(image[::-1, ::-1])
    inverted = image.copy()
    inverted[content_box(image)] = 255 - image[content_box(image)]
    return inverted
