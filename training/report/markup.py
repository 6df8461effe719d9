"""Pieces of HTML: figures in words, tables with headers, disclosures. All text is escaped here."""

import html
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from training.report.facts import Facts

NOT_MEASURED = "not measured by this run"


@dataclass(frozen=True, slots=True)
class Cell:
    """What stands in a table."""

    text: str
    source: str = ""
    """The file and the path in it, `evaluate/metrics.json#holdout.top_1`, that the text was made from."""
    note: str = ""
    """Small, below."""
    is_quiet: bool = False
    """Whether it says that there is nothing to say."""


Row = list[str | Cell]
"""Of a table; the first cell heads it."""


def words(name: str) -> str:
    """A name as people write it."""
    return name.replace("_", " ")


def share(figure: Any) -> str:
    """A share with its 95 % interval, in percent."""
    if not isinstance(figure, dict) or figure.get("value") is None:
        return "-"
    value, low, high = (100 * figure[name] for name in ("value", "low", "high"))
    return f"{value:.1f} % ({low:.1f}-{high:.1f})"


def plain(figure: Any) -> str:
    """A share without its interval, in percent, for running text."""
    if isinstance(figure, dict):
        figure = figure.get("value")
    return "-" if figure is None else f"{100 * figure:.1f} %"


def number(value: Any) -> str:
    """A count, or a number to three places, to one from 100 on, with its interval if it has one."""
    if isinstance(value, dict):
        if value.get("value") is None:
            return "-"
        return f"{value['value']:.3f} ({value['low']:.3f} to {value['high']:.3f})"
    if value is None:
        return "-"
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:,.1f}" if abs(value) >= 100 else f"{value:.3f}"


def share_cell(facts: Facts, document: str, *path: str) -> Cell:
    """A share of a JSON file; the limits over patients stand below where the file has them."""
    figure = facts.at(document, *path)
    note = ""
    if isinstance(figure, dict) and figure.get("value") is not None and isinstance(figure.get("bootstrap"), dict):
        low, high = (100 * figure["bootstrap"][name] for name in ("low", "high"))
        note = f"patients {low:.1f}-{high:.1f}"
    return _cell(plain(figure) if isinstance(figure, float) else share(figure), figure, document, path, note)


def number_cell(facts: Facts, document: str, *path: str) -> Cell:
    """A number of a JSON file."""
    figure = facts.at(document, *path)
    return _cell(number(figure), figure, document, path)


def _cell(text: str, figure: Any, document: str, path: tuple[str, ...], note: str = "") -> Cell:
    return Cell(text, f"{document}#{'.'.join(path)}" if figure is not None else "", note)


def table(caption: str, columns: Sequence[str], rows: Sequence[Row], *, is_text: bool = False) -> str:
    """A table whose first column heads its rows; an empty string without rows.

    Args:
        caption: says what the figures are.
        columns: heads of the columns.
        rows: as many cells as columns.
        is_text: whether the cells hold text, not figures; four columns of it are stacked on small screens.
    """
    if not rows:
        return ""
    head = "".join(f'<th scope="col">{html.escape(column)}</th>' for column in columns)
    body = "".join(f"<tr>{_row(row)}</tr>" for row in rows)
    kind = ("text" if is_text else "figures") + {2: " narrow", 4: " stack" * is_text}.get(len(columns), "")
    heads = f"<thead><tr>{head}</tr></thead>" if any(columns) else ""
    return (
        f'<div class="wide" role="region" aria-label="{html.escape(caption)}" tabindex="0"><table class="{kind}">'
        f"<caption>{html.escape(caption)}</caption>{heads}<tbody>{body}</tbody></table></div>"
    )


def _row(row: Row) -> str:
    cells = [cell if isinstance(cell, Cell) else Cell(cell) for cell in row]
    first, *others = (_content(cell) for cell in cells)
    return f'<th scope="row"{first}</th>' + "".join(f"<td{other}</td>" for other in others)


def _content(cell: Cell) -> str:
    source = f' data-from="{html.escape(cell.source)}"' if cell.source else ""
    note = f"<small>{html.escape(cell.note)}</small>" if cell.note else ""
    kind = ' class="quiet"' if cell.is_quiet else ""
    return f"{kind}{source}>{html.escape(cell.text)}{note}"


def paragraph(text: str, kind: str = "") -> str:
    """Running text."""
    return f'<p class="{kind}">{html.escape(text)}</p>' if kind else f"<p>{html.escape(text)}</p>"


def not_measured(what: str) -> str:
    """Where a figure would stand that the run has not."""
    return paragraph(f"{what}: {NOT_MEASURED}.", "quiet")


def figure(content: str, caption: str, kind: str = "") -> str:
    """A picture with its caption."""
    return f'<figure class="{kind or "chart"}">{content}<figcaption>{html.escape(caption)}</figcaption></figure>'


def disclosure(summary: str, content: str) -> str:
    """Content that is closed until one asks for it."""
    return f"<details><summary>{html.escape(summary)}</summary>{content}</details>" if content else ""
