"""Two runs side by side on the same hold-out: what differs, and whether it may be chance.

Every radiograph is answered by both, so figures are paired: a patient who is drawn by the bootstrap is drawn for both.

Shape suffixes: N radiographs, B resamples.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from samx.artifact import read_artifact, resolve
from samx.errors import ArtifactError, ObjectNotFound, WrongInput
from samx.storage import Storage, open_storage
from training.evaluation.intervals import RESAMPLES, percentile_limits, resampled_sums, rounded
from training.run import read_json, read_table

_PREDICTIONS = "evaluate/predictions.csv"
FIGURES = ("top_1", "top_2", "accepted")


@dataclass(frozen=True, slots=True)
class Evaluated:
    """The hold-out's answers of one run."""

    url: str
    rows: Mapping[str, Mapping[str, str]]
    """Labelled rows of predictions.csv, by key."""


def load_evaluated(url: str) -> Evaluated:
    """The answers of a run, or of the run that a published model came from.

    Raises:
        WrongInput: there is neither, the model's run is gone or has published another version since, it was not
            evaluated, or no radiograph of its hold-out has a label.
    """
    storage = open_storage(url)
    if not storage.exists(_PREDICTIONS):
        storage = _run_of_model(storage)
    rows = {row["key"]: row for row in read_table(storage, _PREDICTIONS) if row["label"]}
    if not rows:
        raise WrongInput(f"{url}: no radiograph of its hold-out has a label, so there is nothing to compare")
    if missing := {"patient", "second", "decision"} - set(next(iter(rows.values()))):
        raise WrongInput(f"{_PREDICTIONS} of {url} lacks {', '.join(sorted(missing))}: evaluate it again")
    return Evaluated(url, rows)


def _run_of_model(model: Storage) -> Storage:
    try:
        manifest = read_artifact(resolve(model)).manifest
    except ArtifactError as error:
        raise WrongInput(
            f"{model.url} is neither a run that was evaluated (no {_PREDICTIONS}) nor a model: {error}"
        ) from error
    run = open_storage(manifest.provenance.source)
    wanted = {"name": manifest.name, "version": manifest.version}
    try:
        published = read_json(run, "publish/published.json")
    except ObjectNotFound as error:
        raise WrongInput(f"{model.url} was made by {run.url}, which is not there: name a run") from error
    if published != wanted:
        raise WrongInput(
            f"{model.url} is version {manifest.version}; its run {run.url} has published {published['version']} since"
        )
    return run


def compare(a: Evaluated, b: Evaluated, *, resamples: int = RESAMPLES, seed: int = 0) -> dict[str, object]:
    """Figures of both, their differences with the bootstrap over patients, and McNemar's test of the right answers.

    Returns:
        `{a, b, holdout: {n, num_patients, top_1: {...}, top_2, accepted}, holdout_internal, holdout_external}`; each
        figure is `{a, b, difference: {value, low, high}, only_a, only_b, mcnemar_p}`, the difference b - a.

    Raises:
        WrongInput: the hold-outs differ in a radiograph or in a label.
    """
    _require_same_holdout(a, b)
    keys = sorted(a.rows)
    figures: dict[str, object] = {"a": a.url, "b": b.url}
    for part in ("holdout", "holdout_internal", "holdout_external"):
        chosen = [key for key in keys if part in ("holdout", a.rows[key]["part"])]
        if chosen:
            rows_a, rows_b = ([side.rows[key] for key in chosen] for side in (a, b))
            figures[part] = compare_part(rows_a, rows_b, resamples=resamples, seed=seed)
    return figures


def _require_same_holdout(a: Evaluated, b: Evaluated) -> None:
    only_a, only_b = a.rows.keys() - b.rows.keys(), b.rows.keys() - a.rows.keys()
    if only_a or only_b:
        raise WrongInput(
            f"the hold-outs differ: {len(only_a)} labelled radiographs are only in {a.url}, {len(only_b)} only in "
            f"{b.url}, {len(a.rows.keys() & b.rows.keys())} in both. Compare runs of the same source, seed and split"
        )
    other = sorted(key for key, row in a.rows.items() if row["label"] != b.rows[key]["label"])
    if other:
        raise WrongInput(f"the hold-outs differ: {len(other)} radiographs have another label, the first is {other[0]}")


def compare_part(
    rows_a: Sequence[Mapping[str, str]],
    rows_b: Sequence[Mapping[str, str]],
    *,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> dict[str, object]:
    """What `compare` says of one part: two answers to each of some labelled radiographs, rows in the same order."""
    patients = [row["patient"] for row in rows_a]
    hits = {name: (_hits(rows_a, name), _hits(rows_b, name)) for name in FIGURES}
    columns = [np.ones(len(rows_a), np.int64), *(b.astype(int) - a for a, b in hits.values())]
    sums = resampled_sums(np.stack(columns, axis=1), patients, resamples=resamples, seed=seed)
    figures: dict[str, object] = {"n": len(rows_a), "num_patients": len(set(patients))}
    for position, (name, (a_N, b_N)) in enumerate(hits.items(), start=1):
        low, high = percentile_limits(sums[:, position] / sums[:, 0])
        value = float(b_N.mean() - a_N.mean())
        only_a, only_b = int((a_N & ~b_N).sum()), int((b_N & ~a_N).sum())
        figures[name] = {
            "a": rounded(float(a_N.mean())),
            "b": rounded(float(b_N.mean())),
            "difference": {"value": rounded(value), "low": rounded(low), "high": rounded(high)},
            "only_a": only_a,
            "only_b": only_b,
            "mcnemar_p": mcnemar(only_a, only_b),
        }
    return figures


def _hits(rows: Sequence[Mapping[str, str]], name: str) -> npt.NDArray[np.bool_]:
    if name == "accepted":
        return np.array([row["decision"] == "accept" for row in rows], bool)
    answers = ("answer", "second") if name == "top_2" else ("answer",)
    return np.array([row["label"] in [row[column] for column in answers] for row in rows], bool)


def mcnemar(only_one: int, only_other: int) -> float:
    """Two-sided exact p-value that of the radiographs which only one gets right, either is as likely (McNemar 1947).

    Takes radiographs as independent; where patients have several, the bootstrap's interval is to be believed.
    """
    total, fewer = only_one + only_other, min(only_one, only_other)
    tail = sum(math.comb(total, k) for k in range(fewer + 1))
    return float(min(1.0, 2 * tail / 2**total))


def as_table(figures: Mapping[str, object]) -> str:
    """The comparison in Markdown."""
    lines = [
        f"A: {figures['a']}",
        f"B: {figures['b']}",
        "",
        "| hold-out | n | patients | figure | A | B | B - A | only A | only B | p |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for part, title in (("holdout", "all"), ("holdout_internal", "internal"), ("holdout_external", "external")):
        found = figures.get(part)
        if isinstance(found, dict):
            lines += [
                f"| {title} | {found['n']} | {found['num_patients']} | {name.replace('_', '-')} | {_row(found[name])} |"
                for name in FIGURES
            ]
    lines += ["", "B - A with 95 % limits of the bootstrap over patients; p of McNemar's exact test over radiographs."]
    return "\n".join(lines)


def _row(figure: Mapping[str, object]) -> str:
    difference = figure["difference"]
    assert isinstance(difference, dict)
    value, low, high = (100 * difference[name] for name in ("value", "low", "high"))
    p = float(str(figure["mcnemar_p"]))
    cells = [
        *(f"{100 * float(str(figure[side])):.1f} %" for side in ("a", "b")),
        f"{value:+.1f} ({low:+.1f} to {high:+.1f})",
        str(figure["only_a"]),
        str(figure["only_b"]),
        f"{p:.4f}" if p >= 1e-4 else "< 0.0001",
    ]
    return " | ".join(cells)
