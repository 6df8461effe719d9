"""The report's plots as SVG. Each takes plain figures and a description of what it shows."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator

from training.report.markup import words
from training.report.svg import BLUE, GREEN, LINE, ORANGE, QUIET, TEXT, charts, legend, to_svg

_STYLES = ((BLUE, "-"), (ORANGE, "--"), (GREEN, ":"), (QUIET, "-."))
"""Colour never tells alone."""


def confusion(counts_LL: npt.NDArray[np.int64], labels: Sequence[str]) -> str:
    """Confusion matrix `(L, L)`, rows labels and columns answers, shaded by the share of the row."""
    shares = counts_LL / np.maximum(counts_LL.sum(1, keepdims=True), 1)
    num, side = len(labels), 2.2 + 0.26 * len(labels)
    with charts():
        figure = Figure(figsize=(side, side), layout="constrained")
        axes = figure.subplots()
        axes.grid(visible=False)
        edges = np.arange(num + 1) - 0.5
        axes.hlines(edges, -0.5, num - 0.5, color=LINE, linewidth=0.4)
        axes.vlines(edges, -0.5, num - 0.5, color=LINE, linewidth=0.4)
        for row, column in zip(*np.nonzero(counts_LL), strict=True):
            colour = BLUE if row == column else ORANGE
            strength = 0.12 + 0.45 * float(shares[row, column])
            axes.add_patch(Rectangle((column - 0.5, row - 0.5), 1, 1, color=colour, alpha=strength, linewidth=0))
            axes.text(column, row, str(counts_LL[row, column]), ha="center", va="center", fontsize=7)
        axes.set(xlim=(-0.5, num - 0.5), ylim=(num - 0.5, -0.5), xlabel="answer", ylabel="label", aspect="equal")
        names = [words(label) for label in labels]
        axes.set_xticks(range(num), names, rotation=90, fontsize=8)
        axes.set_yticks(range(num), names, fontsize=8)
        axes.tick_params(length=0)
        return to_svg(
            figure, "confusion", f"Confusion matrix of {int(counts_LL.sum())} radiographs; see the table below"
        )


def reliability(
    confidences_N: npt.NDArray[np.float64],
    hits_N: npt.NDArray[np.bool_],
    thresholds: Sequence[float],
    num_bins: int = 10,
) -> str:
    """Share right against calibrated probability in bins, above the share of answers in each; thresholds of classes."""
    bins_N = np.minimum((confidences_N * num_bins).astype(int), num_bins - 1)
    present = np.unique(bins_N)
    centres = (np.arange(num_bins) + 0.5) / num_bins
    with charts():
        figure = Figure(figsize=(4.4, 4.4), layout="constrained")
        axes, counts = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
        axes.plot([0, 1], [0, 1], ":", color=QUIET, linewidth=1, label="perfect")
        means = [confidences_N[bins_N == b].mean() for b in present]
        axes.plot(means, [hits_N[bins_N == b].mean() for b in present], "o-", color=BLUE, label="answers", markersize=4)
        for place, threshold in enumerate(sorted({round(threshold, 3) for threshold in thresholds})):
            name = "_" if place else "review thresholds"
            axes.axvline(threshold, color=ORANGE, linewidth=0.8, linestyle="--", label=name)
        axes.set(ylabel="share right", xlim=(0, 1.01), ylim=(0, 1.03))
        legend(axes, "upper left")
        counts.bar(centres, np.bincount(bins_N, minlength=num_bins) / len(bins_N), 0.09, color=BLUE, alpha=0.4)
        counts.set(xlabel="calibrated probability", ylabel="share of answers")
        return to_svg(figure, "reliability", "Share of right answers against the probability that was given")


def risk_coverage(curves: Mapping[str, Mapping[str, Sequence[float]]]) -> str:
    """Accuracy of the surest answers against their share, a line per part."""
    with charts():
        figure = Figure(figsize=(4.4, 4.4), layout="constrained")
        axes = figure.subplots()
        for (name, curve), (colour, style) in zip(curves.items(), _STYLES, strict=False):
            axes.plot(curve["coverage"], curve["accuracy"], style, color=colour, label=name)
        lowest = min(min(curve["accuracy"]) for curve in curves.values())
        axes.axhline(0.99, color=QUIET, linewidth=0.8, linestyle=(0, (1, 3)))
        axes.set(xlabel="share answered, the surest first", ylabel="share right", xlim=(0, 1.01))
        axes.set_ylim(max(0.0, lowest - 0.03), 1.005)
        legend(axes)
        return to_svg(figure, "coverage", "Accuracy against the share of radiographs that is answered")


def per_class(figures: Mapping[str, Mapping[str, Any]]) -> str:
    """Recall and precision of each class with their 95 % intervals."""
    labels = list(figures)
    with charts():
        figure = Figure(figsize=(7.6, 1.1 + 0.25 * len(labels)), layout="constrained")
        axes = figure.subplots()
        for name, colour, marker, shift in (("recall", BLUE, "o", -0.15), ("precision", ORANGE, "D", 0.15)):
            kept = [(i, figures[label].get(name) or {}) for i, label in enumerate(labels)]
            _whiskers(axes, [(i + shift, f) for i, f in kept], name, colour, marker)
        _named_rows(axes, labels)
        return to_svg(figure, "classes", "Recall and precision per class; see the table below")


def robustness(figures: Mapping[str, Mapping[str, Any]]) -> str:
    """Share right and share of unchanged answers for each disturbance."""
    names = list(figures)
    with charts():
        figure = Figure(figsize=(7.6, 1.1 + 0.3 * len(names)), layout="constrained")
        axes = figure.subplots()
        for name, text, colour, marker, shift in (
            ("top_1", "right", BLUE, "o", -0.15),
            ("same_answer", "same answer as without", ORANGE, "D", 0.15),
        ):
            points = [(i + shift, figures[key].get(name) or {}) for i, key in enumerate(names)]
            _whiskers(axes, points, text, colour, marker)
        _named_rows(axes, names)
        return to_svg(figure, "robustness", "Accuracy on disturbed images; see the table below")


def pretraining(history: Sequence[Mapping[str, Any]]) -> str:
    """Loss, stability of clusters and what neighbours share, over the epochs of phase 1."""
    with charts():
        figure = Figure(figsize=(9.4, 3.2), layout="constrained")
        loss, stability, neighbours = figure.subplots(1, 3)
        _lines(loss, history, {"loss": "all of it", "prototype_loss": "prototypes"})
        _lines(stability, history, {"assignment_stability_nmi": "NMI", "assignment_stability_ami": "AMI"})
        _lines(
            neighbours,
            history,
            {
                "neighbours_of_same_tag": "same tag",
                "neighbours_of_same_site": "same site",
                "neighbours_of_same_tag_by_chance": "same tag, by chance",
                "neighbours_of_same_site_by_chance": "same site, by chance",
            },
        )
        for axes, title in (
            (loss, "Loss"),
            (stability, "Clusters, epoch to epoch"),
            (neighbours, "Share of neighbours"),
        ):
            axes.set(title=title, xlabel="epoch")
        stability.set_ylim(0, 1.02)
        neighbours.set_ylim(0, 1.02)
        return to_svg(figure, "phase1", "Learning curves of phase 1")


def finetuning(history: Sequence[Mapping[str, str]]) -> str:
    """Loss over the epochs of phase 2."""
    with charts():
        figure = Figure(figsize=(4.4, 3.0), layout="constrained")
        axes = figure.subplots()
        _lines(axes, [{"epoch": int(row["epoch"]), "loss": float(row["loss"])} for row in history], {"loss": "loss"})
        axes.set(xlabel="epoch", ylabel="loss")
        return to_svg(figure, "phase2", "Learning curve of phase 2")


def deletion(curves: Mapping[str, Sequence[float]]) -> str:
    """Probability of the answer while pixels are deleted in the order of each map."""
    names = {"grad_cam": "Grad-CAM", "random": "random map", "middle": "middle first"}
    with charts():
        figure = Figure(figsize=(4.4, 3.4), layout="constrained")
        axes = figure.subplots()
        for (name, text), (colour, style) in zip(names.items(), _STYLES, strict=False):
            curve = curves[name]
            axes.plot(np.linspace(0, 1, len(curve)), curve, style, color=colour, label=text)
        axes.set(xlabel="share of pixels deleted", ylabel="probability of the answer", xlim=(0, 1))
        axes.set_ylim(0, None)
        legend(axes)
        return to_svg(figure, "deletion", "Probability while the image is deleted; see the table below")


def _lines(axes: Axes, history: Sequence[Mapping[str, Any]], names: Mapping[str, str]) -> None:
    epochs = [row["epoch"] for row in history]
    for (name, text), (colour, style) in zip(names.items(), _STYLES, strict=False):
        values = [np.nan if row.get(name) is None else row[name] for row in history]
        if not np.all(np.isnan(values)):
            axes.plot(epochs, values, style, color=colour, label=text, marker="." if len(epochs) < 4 else "")
    axes.set_xlim(epochs[0] - 0.3, epochs[-1] + 0.3)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    if len(names) > 1:
        legend(axes)


def _whiskers(
    axes: Axes, points: Sequence[tuple[float, Mapping[str, Any]]], name: str, colour: str, marker: str
) -> None:
    kept = [(at, figure) for at, figure in points if figure.get("value") is not None]
    for at, figure in kept:
        axes.plot([figure["low"], figure["high"]], [at, at], color=colour, linewidth=1, alpha=0.5)
    values = [figure["value"] for _, figure in kept]
    axes.plot(values, [at for at, _ in kept], marker, color=colour, markersize=4, label=name, clip_on=False)


def _named_rows(axes: Axes, names: Sequence[str]) -> None:
    axes.set_yticks(range(len(names)), [words(name) for name in names], fontsize=8, color=TEXT)
    axes.set(ylim=(len(names) - 0.5, -0.5), xlim=(0, 1.005))
    axes.tick_params(axis="y", length=0)
    axes.grid(visible=False, axis="y")
    axes.spines["left"].set_color(LINE)
    axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=2)
