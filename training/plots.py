"""Pictures of a run: contact sheets, curves, the confusion matrix, the Grad-CAM gallery. All return PNG bytes."""

import io
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from PIL import Image, ImageDraw, ImageFont

from samx.png import to_png

mpl.use("agg")

_TILE = 112
_MARGIN = 150
_GAP = 4
_INK, _PAPER = 235, 24
_BLUE, _RED, _GREY = "#2563a8", "#b4352c", "#6b7280"


def contact_sheet(rows: Sequence[tuple[str, npt.NDArray[np.uint8]]], columns: int) -> bytes:
    """A captioned row of radiographs per entry.

    Args:
        rows: caption (lines separated by newlines) and images `(n, H, W)` or `(n, H, W, 3)` uint8, `n <= columns`.
        columns: width of the sheet in radiographs.
    """
    height = max(1, len(rows)) * (_TILE + _GAP) + _GAP
    sheet = Image.new("RGB", (_MARGIN + columns * (_TILE + _GAP) + _GAP, height), (_PAPER,) * 3)
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(14)
    for line, (caption, images) in enumerate(rows):
        top = _GAP + line * (_TILE + _GAP)
        draw.multiline_text((10, top + 8), caption, fill=(_INK,) * 3, font=font, spacing=4)
        for column, image in enumerate(images):
            tile = Image.fromarray(image).convert("RGB").resize((_TILE, _TILE), Image.Resampling.LANCZOS)
            sheet.paste(tile, (_MARGIN + column * (_TILE + _GAP), top))
    return to_png(np.asarray(sheet))


def pretraining_history(history: Sequence[Mapping[str, Any]]) -> bytes:
    """Phase 1 over its epochs: loss, stability and sizes of the clusters, and what neighbours have in common."""
    figure = Figure(figsize=(11, 6), layout="constrained")
    (loss, stability), (clusters, neighbours) = figure.subplots(2, 2)
    epochs = [row["epoch"] for row in history]

    def draw(axes: Axes, name: str, label: str, colour: str, style: str = "-") -> None:
        values = [np.nan if row.get(name) is None else row[name] for row in history]
        if not np.all(np.isnan(values)):
            axes.plot(epochs, values, style, color=colour, label=label, marker="." if len(epochs) == 1 else "")

    draw(loss, "loss", "all of it", _BLUE)
    draw(loss, "prototype_loss", "of the prototypes", _GREY)
    loss.set(ylabel="loss", title="Loss")
    draw(stability, "assignment_stability_nmi", "NMI", _BLUE)
    draw(stability, "assignment_stability_ami", "AMI", _GREY)
    stability.set(ylabel="with the epoch before", title="Stability of the clusters", ylim=(0, 1.02))
    draw(clusters, "num_used", "used", _BLUE)
    draw(clusters, "num_tiny", "tiny (below 5)", _GREY)
    draw(clusters, "num_empty", "empty", _RED)
    clusters.set(ylabel="clusters", title="Clusters", ylim=(0, None))
    for what, colour in (("tag", _BLUE), ("site", _RED)):
        draw(neighbours, f"neighbours_of_same_{what}", f"same {what}", colour)
        draw(neighbours, f"neighbours_of_same_{what}_by_chance", f"same {what}, by chance", colour, ":")
    neighbours.set(ylabel="share of the 10 nearest", title="Neighbours", ylim=(0, 1.02))
    for axes in (loss, stability, clusters, neighbours):
        axes.set_xlabel("epoch")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        if axes.get_legend_handles_labels()[0]:
            axes.legend(frameon=False, fontsize=8, loc="upper left", bbox_to_anchor=(1.0, 1.0))
    return _png(figure)


def confusion(counts: npt.NDArray[np.int64], labels: Sequence[str], title: str) -> bytes:
    """Confusion matrix, rows true labels, shaded by the share of the row, with the counts written in."""
    side = max(4.0, 1.6 + 0.34 * len(labels))
    figure = Figure(figsize=(side, side), layout="constrained")
    axes = figure.subplots()
    shares = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for row, column in zip(*np.nonzero(counts), strict=True):
        colour = "white" if shares[row, column] > 0.55 else ("black" if row == column else _RED)
        axes.text(column, row, str(counts[row, column]), ha="center", va="center", fontsize=7, color=colour)
    names = [label.replace("_", " ") for label in labels]
    axes.set_xticks(range(len(labels)), names, rotation=90, fontsize=8)
    axes.set_yticks(range(len(labels)), names, fontsize=8)
    axes.set(xlabel="answer", ylabel="label", title=title)
    return _png(figure)


def reliability(
    confidences: npt.NDArray[np.float32],
    hits: npt.NDArray[np.bool_],
    review_thresholds: Sequence[float],
    num_bins: int = 10,
) -> bytes:
    """Accuracy against calibrated probability, with the share of answers in each bin and the classes' thresholds."""
    figure = Figure(figsize=(4.4, 3.8), layout="constrained")
    axes = figure.subplots()
    bins = np.minimum((confidences * num_bins).astype(int), num_bins - 1)
    present = np.unique(bins)
    axes.bar(
        (np.arange(num_bins) + 0.5) / num_bins, np.bincount(bins, minlength=num_bins) / len(bins), 0.09, color="#d8dee9"
    )
    axes.plot([0, 1], [0, 1], color=_GREY, linewidth=1, linestyle=":")
    means = [confidences[bins == b].mean() for b in present]
    axes.plot(means, [hits[bins == b].mean() for b in present], "o-", color=_BLUE)
    for threshold in sorted({round(threshold, 3) for threshold in review_thresholds}):
        axes.axvline(threshold, color=_RED, linewidth=0.8)
    axes.text(min(review_thresholds) - 0.02, 0.04, "review | accept", color=_RED, fontsize=8, ha="right")
    axes.set(
        xlabel="calibrated probability",
        ylabel="share right (line), share of answers (bars)",
        xlim=(0, 1),
        ylim=(0, 1.02),
    )
    axes.set_title("Hold-out: are probabilities frequencies?", fontsize=10)
    return _png(figure)


def _png(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=130)
    return buffer.getvalue()
