"""MODEL_CARD.md: what a reviewer asks of a model, answered from the run's own figures."""

from typing import Any

from samx.manifest import NEVER_ACCEPTED, ModelSpec, Provenance

_TABLE = (
    "| radiographs | n | top-1 | top-2 | macro recall | accepted | right among accepted |",
    "| --- | --- | --- | --- | --- | --- | --- |",
)


def model_card(
    name: str,
    spec: ModelSpec,
    provenance: Provenance,
    metrics: dict[str, Any],
    student: ModelSpec | None = None,
) -> str:
    """The card in Markdown (after Mitchell et al. 2019), without time and place.

    Args:
        name: of the model.
        spec: classes, architecture and thresholds.
        provenance: data and decisions it was made from.
        metrics: content of metrics.json: `clusters`, `cross_validation` and `holdout`, and of a run that has trained a
            smaller network `student` and `engine`.
        student: the smaller network that answers on CPUs, if it was published.
    """
    clusters = metrics["clusters"]
    simulated = "simulated" in provenance.readers
    lines = [
        f"# {name}",
        "",
        "Sorts musculoskeletal radiographs by anatomical entity. For research; not a medical device. All figures, the "
        "methods and the items of CLAIM 2024 are in report.html beside this file.",
        "",
        "## Made from",
        "",
        f"- {provenance.num_radiographs} radiographs of the development set, {spec.architecture.backbone} at "
        f"{spec.preprocessing.size} pixels, initial weights: {provenance.initial_weights}.",
        f"- {provenance.num_clusters} clusters, {provenance.num_decisions} decisions "
        f"({clusters['decisions_per_1000']} per 1,000 radiographs) by: {', '.join(provenance.readers)}."
        + (" The simulated reader knows the truth of ten members of each cluster." if simulated else ""),
        f"- {clusters['num_clusters_mixed']} clusters mixed and left out, {clusters['num_clusters_discarded']} are "
        "not musculoskeletal.",
        "",
        "## How good it is",
        "",
        "Judged by labels that people or the data set gave, never by clusters; with 95 % intervals (Wilson).",
        "",
        *_TABLE,
    ]
    titles = {
        "holdout": "hold-out",
        "holdout_internal": "hold-out, internal sites",
        "holdout_external": "hold-out, external sites",
    }
    measured = {title: metrics["holdout"][part] for part, title in titles.items() if part in metrics["holdout"]}
    if "top_1" in metrics["cross_validation"]:
        measured["cross-validation"] = metrics["cross_validation"]
    lines += [_row(title, figures) for title, figures in measured.items()] or ["| not measured | 0 | | | | | |"]
    lines += _details(metrics["holdout"])
    if "student" in metrics:
        lines += ["", "## On CPUs", "", *_on_cpus(spec, student, metrics["student"], metrics["engine"]["published"])]
    lines += [
        "",
        "## Answers",
        "",
        f"- Probabilities are calibrated with temperature {spec.temperature:.3f}. Below its class's threshold an "
        "answer gets `review`. The thresholds are set together, so that of all accepted out-of-fold answers as many "
        "are right as promised: an estimate, and none for a single class. What the hold-out kept is in the tables.",
        f"- An out-of-scope score above {spec.out_of_scope_threshold:.3f} (Mahalanobis distance of the features) gives "
        "`out_of_scope`.",
        *(f"- {head.name.capitalize()} is answered too: {', '.join(head.values)}." for head in spec.attributes),
        "",
        "## Classes",
        "",
        "| class | Body Part Examined | SNOMED CT | review below | accepted, hold-out | right among accepted |",
        "| --- | --- | --- | --- | --- | --- |",
        *_classes(spec, metrics["holdout"]),
        "",
        "## Not for",
        "",
        "- Entities that are not in the table, other modalities, photographs: look at `decision` too.",
        *([] if spec.attributes else ["- Laterality and view: they are not answered."]),
        *([f"- Lost on the way, because no cluster bore their name: {', '.join(clusters['entities_lost'])}."]
          if clusters.get("entities_lost") else []),
    ]  # fmt: skip
    return "\n".join(lines) + "\n"


def _details(evaluation: dict[str, Any]) -> list[str]:
    """What the table has no room for; nothing where nothing was measured."""
    lines = []
    if "holdout" in evaluation:  # else no radiograph has a label
        found = evaluation["holdout"]
        limits = found["top_1"]["bootstrap"]
        lines += [
            f"- Hold-out top-1 with patients drawn instead of radiographs: {100 * limits['low']:.1f}-"
            f"{100 * limits['high']:.1f} % (bootstrap, {found['num_patients']} patients). Macro-F1 "
            f"{_share(found['macro_f1'])}; the answer lies in another region of the body in "
            f"{_share(found['body_region_error'])}.",
            f"- Calibration error {found['expected_calibration_error']:.3f} "
            f"({found['expected_calibration_error_uncalibrated']:.3f} before calibration), Brier score "
            f"{found['brier']:.3f} ({found['brier_uncalibrated']:.3f}).",
        ]
        robustness = evaluation["robustness"]
        if robustness and robustness["original"]["top_1"]["n"]:
            shares = {name: figures["top_1"] for name, figures in robustness.items() if name != "original"}
            worst = min(sorted(shares), key=lambda name: shares[name]["value"])
            lines.append(
                f"- Distorted radiographs: worst is {worst.replace('_', ' ')}, top-1 {_share(shares[worst])}, against "
                f"{_share(robustness['original']['top_1'])} of the same radiographs as they are."
            )
    for name, figures in evaluation.get("attributes", {}).items():
        if figures["n"]:
            lines.append(
                f"- {name.capitalize()}: {_share(figures['accuracy'])} right of {figures['n']} radiographs of the "
                f"hold-out whose {name} is known; the commonest one makes {100 * figures['commonest']:.1f} %."
            )
    kinds = {k: f["auroc"]["value"] for k, f in evaluation["foreign"].items() if f["auroc"]["value"] is not None}
    if kinds:
        named = ", ".join(f"{kind.replace('_', ' ')} {value:.3f}" for kind, value in kinds.items())
        lines.append(f"- Out-of-scope score against foreign images, AUROC: {named}.")
    return ["", *lines] if lines else []


def _classes(spec: ModelSpec, evaluation: dict[str, Any]) -> list[str]:
    measured = evaluation.get("holdout", {}).get("per_class", {})
    rows = []
    for entry, threshold in zip(spec.classes, spec.review_thresholds, strict=True):
        figures = measured.get(entry.label, {})
        cells = [
            entry.label,
            entry.body_part_examined,
            f"{entry.code_value} {entry.code_meaning}",
            f"{threshold:.3f}" if threshold < NEVER_ACCEPTED else "always",
            *(_share(figures[name]) if name in figures else "" for name in ("accepted", "accepted_precision")),
        ]
        rows.append(f"| {' | '.join(cells)} |")
    return rows


def _on_cpus(spec: ModelSpec, student: ModelSpec | None, figures: dict[str, Any], engine: str) -> list[str]:
    """Which network answers there, and what that costs."""
    found = figures["against_reference"].get("holdout")
    if student is None:
        return [
            f"A {figures['backbone']} was taught to answer on CPUs and left out: it loses {100 * figures['loss']:.1f} "
            f"points of the out-of-fold answers, {100 * figures['largest_loss']:.1f} are allowed. "
            f"{spec.architecture.backbone} answers everywhere."
        ]
    library = "torch" if engine == "none" else f"ONNX Runtime in {engine}"
    lines = [
        f"A {student.architecture.backbone} answers there, by {library}. The figures above are those of "
        f"{spec.architecture.backbone}, which answers on GPUs and has taught it (Hinton et al. 2015) with "
        f"{figures['num_radiographs']} radiographs. Initial weights: {figures['initial_weights']}.",
        "",
    ]
    measured = {"hold-out": figures["holdout"].get("holdout"), "cross-validation": figures["cross_validation"]}
    rows = [_row(title, found) for title, found in measured.items() if found and "top_1" in found]
    if rows:
        lines += [*_TABLE, *rows, ""]
    if found:
        difference = found["top_1"]["difference"]
        low, high = 100 * difference["low"], 100 * difference["high"]
        lines.append(
            f"- Hold-out top-1 against {spec.architecture.backbone}: {100 * difference['value']:+.1f} points "
            f"({low:+.1f} to {high:+.1f}, bootstrap over patients; McNemar p {found['top_1']['mcnemar_p']:.3f})."
        )
    return [
        *lines,
        f"- Out-of-fold answers lost: {100 * figures['loss']:.2f} points; {100 * figures['largest_loss']:.1f} are "
        f"allowed. {100 * figures['agreement']:.1f} % of all out-of-fold answers are the same.",
        f"- Its temperature is {student.temperature:.3f}, its review thresholds are "
        f"{min(student.review_thresholds):.3f} to {max(student.review_thresholds):.3f}, its out-of-scope threshold is "
        f"{student.out_of_scope_threshold:.3f}.",
    ]


def _row(title: str, figures: dict[str, Any]) -> str:
    names = ("top_1", "top_2", "macro_recall", "accepted", "accepted_precision")
    cells = [title, str(figures["n"]), *(_share(figures[name]) if name in figures else "" for name in names)]
    return f"| {' | '.join(cells)} |"


def _share(figure: dict[str, Any]) -> str:
    if figure["value"] is None:
        return ""
    return f"{100 * figure['value']:.1f} % ({100 * figure['low']:.1f}-{100 * figure['high']:.1f})"
