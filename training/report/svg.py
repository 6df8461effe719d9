"""Matplotlib figures as SVG within a page: text stays text, colours are the page's, equal input gives equal bytes."""

import html
import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

TEXT, QUIET, LINE, BLUE, ORANGE, GREEN = "#1b1f24", "#57606a", "#d8dee4", "#0072b2", "#d55e00", "#009e73"
"""Stand for the page's colours of the same name; the last three are safe for the colour-blind (Okabe and Ito)."""
_VARIABLES = {TEXT: "text", QUIET: "quiet", LINE: "line", BLUE: "blue", ORANGE: "orange", GREEN: "green"}
_SCALE = 1.5
"""Pixels of the page per point of the figure, so that 9 points read as the page's small text."""
_BROAD = 600
"""Wider ones are scrolled on small screens, not made smaller still."""
_SETTINGS: Any = {
    "svg.fonttype": "none",
    "svg.hashsalt": "samx",
    "font.family": "sans-serif",
    "font.size": 9,
    "text.color": TEXT,
    "axes.labelcolor": QUIET,
    "axes.edgecolor": LINE,
    "axes.titlesize": 10,
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": LINE,
    "grid.linewidth": 0.5,
    "xtick.color": LINE,
    "ytick.color": LINE,
    "xtick.labelcolor": QUIET,
    "ytick.labelcolor": QUIET,
    "legend.frameon": False,
    "legend.fontsize": 8,
    "lines.linewidth": 1.6,
}


@contextmanager
def charts() -> Iterator[None]:
    """Within it, figures are drawn in the page's manner."""
    with mpl.rc_context(_SETTINGS):
        yield


def legend(axes: Axes, location: Literal["best", "upper left", "lower left"] = "best") -> None:
    """A legend where there is something to tell apart."""
    if axes.get_legend_handles_labels()[0]:
        axes.legend(loc=location)


def to_svg(figure: Figure, name: str, description: str) -> str:
    """The figure as an element of an HTML page; call it within `charts`.

    Args:
        figure: drawn with the colours of this module.
        name: unique in the page; goes before the identifiers.
        description: for those who cannot see it.
    """
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    text = buffer.getvalue()
    text = re.sub(r"<metadata>.*?</metadata>\s*", "", text[text.index("<svg") :], flags=re.DOTALL)
    text = re.sub(r"<!--.*?-->\s*", "", text, flags=re.DOTALL)
    text = re.sub(r"font: ([\d.]+px) [^;\"]*", r"font: \1 system-ui, sans-serif", text)
    text = re.sub(r'\b(id=")', rf"\g<1>{name}-", text)
    text = re.sub(r'(href="#|url\(#)', rf"\g<1>{name}-", text)
    for colour, variable in _VARIABLES.items():
        text = text.replace(colour, f"var(--{variable})")
    box = re.search(r'viewBox="0 0 ([\d.]+) ([\d.]+)"', text)
    assert box is not None
    width = _SCALE * float(box[1])
    kind = ' class="broad"' if width > _BROAD else ""
    start = (
        f'<svg{kind} viewBox="{box[0][9:-1]}" width="{width:.0f}" role="img" aria-label="{html.escape(description)}">'
    )
    return start + text[text.index(">") + 1 :].strip()
